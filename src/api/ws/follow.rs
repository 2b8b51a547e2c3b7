//! One subscription: what happens to its subject, until it is over.

use futures::StreamExt as _;

use super::messages::{Now, Subject, Told};
use super::outbox::{Gone, Place};
use crate::api::{ApiError, App, jobs};
use crate::domain::{DocumentId, JobId, KernelId, UserId};
use crate::jobs::SubscribeError;
use crate::service::ServiceError;

/// Tells what happens to a subject, until nothing more can. A reader who is too slow is told from where to go on.
pub async fn follow(app: &App, user: UserId, place: &Place) -> Result<(), Gone> {
    let followed = match place.asked.subject {
        Subject::Job(id) => follow_job(app, user, id, place).await,
        Subject::Kernel(id) => follow_kernel(app, user, id, place).await,
        Subject::Document(id) => follow_document(app, user, id, place).await,
    };
    match followed {
        Ok(()) => {}
        Err(Over::Gone(gone)) => return Err(gone),
        Err(Over::Problem(error)) => {
            place.tell(Told::Error { code: error.code(), detail: error.detail() }).await?;
        }
    }
    place.end().await
}

/// Why there is nothing more to tell.
enum Over {
    Gone(Gone),
    Problem(ApiError),
}

impl From<Gone> for Over {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

impl From<ApiError> for Over {
    fn from(error: ApiError) -> Self {
        Self::Problem(error)
    }
}

impl From<ServiceError> for Over {
    fn from(error: ServiceError) -> Self {
        Self::Problem(error.into())
    }
}

async fn follow_job(app: &App, user: UserId, id: JobId, place: &Place) -> Result<(), Over> {
    let mut events = std::pin::pin!(jobs::subscribe(app, user, id, place.asked.after()).await?);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => place.tell(Told::JobEvent { event: &event }).await?,
            Err(SubscribeError::TooSlow { resume_after }) => {
                return Ok(place.tell(Told::TooSlow { epoch: None, after: resume_after }).await?);
            }
            Err(SubscribeError::Store(error)) => return Err(ServiceError::from(error).into()),
        }
    }
    let job = app.workspace().job(user, id).await?;
    Ok(place.tell(Told::JobDone { job: &job }).await?)
}

async fn follow_kernel(app: &App, user: UserId, id: KernelId, place: &Place) -> Result<(), Over> {
    let mut watch = app.workspace().watch_kernel(user, id, place.asked.position().as_ref()).await?;
    let epoch = watch.epoch().to_owned();
    let now = Now::Kernel(Box::new(watch.now.clone()));
    place.tell(Told::beginning(watch.start, &epoch, watch.seq(), now)).await?;
    loop {
        match watch.next().await {
            Ok(Some((seq, event))) => place.tell(Told::KernelEvent { epoch: &epoch, seq, event: &event }).await?,
            Ok(None) => return Ok(()),
            Err(slow) => return Ok(place.tell(Told::TooSlow { epoch: Some(&epoch), after: slow.after }).await?),
        }
    }
}

async fn follow_document(app: &App, user: UserId, id: DocumentId, place: &Place) -> Result<(), Over> {
    let mut watch = app.workspace().watch_document(user, id, place.asked.position().as_ref()).await?;
    let epoch = watch.epoch().to_owned();
    let now = Now::Document(watch.now.clone());
    place.tell(Told::beginning(watch.start, &epoch, watch.seq(), now)).await?;
    loop {
        match watch.next().await {
            Ok(Some((seq, event))) => place.tell(Told::DocumentEvent { epoch: &epoch, seq, event: &event }).await?,
            Ok(None) => return Ok(()),
            Err(slow) => return Ok(place.tell(Told::TooSlow { epoch: Some(&epoch), after: slow.after }).await?),
        }
    }
}
