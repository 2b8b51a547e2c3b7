//! Asking again where the database is not there for a moment: what took minutes is not thrown away for it.

use std::time::Duration;

use crate::jobs;
use crate::store::{self, DocumentError, StoreError};

/// The pause before it is asked again; each is twice as long as the one before, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why the database did not do something.
pub(super) trait Refusal {
    /// Whether it may do it the next time.
    fn is_for_now(&self) -> bool;
}

impl Refusal for StoreError {
    fn is_for_now(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl Refusal for DocumentError {
    fn is_for_now(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_for_now())
    }
}

impl Refusal for store::JobError {
    fn is_for_now(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_for_now())
    }
}

impl Refusal for jobs::JobError {
    fn is_for_now(&self) -> bool {
        let Self::Internal { source } = self else { return false };
        source.downcast_ref::<store::JobError>().is_some_and(Refusal::is_for_now)
    }
}

/// Asks until the database is there. It never ends by itself: a job's handler is told to stop when its lease is over.
pub(super) async fn patiently<T, E: Refusal, F: Future<Output = Result<T, E>>>(
    mut ask: impl FnMut() -> F,
) -> Result<T, E> {
    let mut pause = FIRST_PAUSE;
    loop {
        match ask().await {
            Err(error) if error.is_for_now() => {
                tracing::warn!("the database is not there for a job: asking again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            answer => return answer,
        }
    }
}
