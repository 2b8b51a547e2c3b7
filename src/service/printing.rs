//! Printing: few pages at once, as each takes a browser of its own.

use super::admission::Admission;
use super::{ServiceError, Shares};
use crate::browser::Printer;
use crate::domain::UserId;

/// Pages that are printed at once.
const MAX_PRINTING: usize = 2;
/// Pages that wait; more are refused.
const MAX_WAITING: usize = 8;
/// Of one user, printed or waiting.
const MAX_OF_ONE: usize = 2;

/// Prints pages for users, in turn.
pub struct Printing {
    printer: Printer,
    shares: Shares,
    admission: Admission,
}

impl Printing {
    pub fn new(printer: Printer) -> Self {
        let admission = Admission::new(MAX_PRINTING, MAX_WAITING);
        Self { printer, shares: Shares::new(MAX_OF_ONE), admission }
    }

    /// What prints.
    pub fn printer(&self) -> &Printer {
        &self.printer
    }

    /// The PDF of a page, which is made when there is a place for its user.
    pub async fn print(
        &self,
        user: UserId,
        page: impl Future<Output = Result<String, ServiceError>>,
    ) -> Result<Vec<u8>, ServiceError> {
        let refused = || ServiceError::TooMany { what: format!("{MAX_OF_ONE} documents to be printed") };
        let share = self.shares.take(user).ok_or_else(refused)?;
        self.printer.check()?;
        let page = page.await?;
        let permit = self.admission.enter().await?;
        // A browser takes its place until it is gone, whether or not somebody waits for it.
        Ok(self.printer.print_holding(page, (permit, share)).await?)
    }
}
