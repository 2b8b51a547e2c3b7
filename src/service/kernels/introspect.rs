//! Asking a kernel what can stand somewhere, and what a name means. The question runs in a copy that is thrown away: the
//! kernel does not notice it, also while it runs a cell.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Entry, Kernels};
use crate::domain::{CellRequest, Completion, Inspection, Limits, Outcome, StreamName};
use crate::service::{Allowance, ServiceError};

/// What runs in the copy.
const PROGRAM: &str = include_str!("introspect.py");
/// What a question may take; what takes longer has no answer.
const FUEL: u64 = 6_000_000_000;
const WALL_MS: u64 = 2_000;
const OUTPUT_BYTES: u64 = 1 << 20;
/// Code that is looked at is not longer.
const MAX_CODE_BYTES: usize = 1 << 20;

/// A place in code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct At {
    /// The code.
    pub code: String,
    /// The place, in characters from its beginning.
    pub cursor: usize,
}

impl Kernels {
    /// What can stand at a place: names that the kernel knows.
    ///
    /// # Errors
    /// It is dead, or the place is not in the code.
    pub(crate) async fn complete(&self, entry: &Entry, at: At) -> Result<Completion, ServiceError> {
        let none = Completion { matches: Vec::new(), cursor_start: at.cursor, cursor_end: at.cursor };
        Ok(self.ask(entry, "complete", at).await?.unwrap_or(none))
    }

    /// What is known of the name at a place.
    ///
    /// # Errors
    /// It is dead, or the place is not in the code.
    pub(crate) async fn inspect(&self, entry: &Entry, at: At) -> Result<Inspection, ServiceError> {
        Ok(self.ask(entry, "inspect", at).await?.unwrap_or_default())
    }

    /// The answer, unless what the guest's objects do is in its way.
    async fn ask<T: DeserializeOwned>(&self, entry: &Entry, ask: &str, at: At) -> Result<Option<T>, ServiceError> {
        if at.code.len() > MAX_CODE_BYTES {
            return Err(ServiceError::TooLarge { what: "the code".to_owned(), limit: MAX_CODE_BYTES as u64 });
        }
        let length = at.code.chars().count();
        if at.cursor > length {
            let message = format!("lies behind the code's {length} characters");
            return Err(ServiceError::Invalid { field: "cursor".to_owned(), message });
        }
        let Allowance { limits, seat } = self.allowance(entry.user(), entry.environment()).await?;
        let permit = self.0.service.admission().enter_as(&seat).await?;
        let mut kernel = self.0.service.sandbox()?.resume(&entry.state()?)?;
        let question = json!({"ask": ask, "code": at.code, "cursor": at.cursor});
        kernel.set_pace(permit.pace());
        let limits = entry.limit(&limits);
        let limits = Limits {
            fuel: limits.fuel.min(FUEL),
            wall_ms: limits.wall_ms.min(WALL_MS),
            output_bytes: OUTPUT_BYTES,
            ..limits
        };
        let (code, stdin) = (PROGRAM.to_owned(), question.to_string().into_bytes());
        let cell = CellRequest { code, name: "question".to_owned(), stdin, limits };
        let report = kernel.run_once(cell, None, CancellationToken::new()).await?;
        if report.outcome != Outcome::Completed {
            return Ok(None);
        }
        // What the guest says of itself is data, and may be anything.
        Ok(serde_json::from_str(&report.text(StreamName::Stdout)).ok())
    }
}
