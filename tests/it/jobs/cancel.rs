//! Jobs that their user does not want any more.

use std::time::Duration;

use pymd::domain::JobState;
use pymd::jobs::{JobError, QueueOptions};
use serde_json::json;

use super::support::{Place, deaf_runner, quick, runner, stopping_runner};
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    a_queued_job_is_cancelled_at_once,
    a_running_job_is_told_and_ends_as_cancelled,
    a_job_of_another_server_is_told_at_its_heartbeat,
    a_handler_that_does_not_listen_is_dropped,
    what_was_done_before_stays_done,
    a_job_that_is_over_stays_as_it_is,
    a_cancelled_job_of_a_dead_server_is_not_begun_again,
    a_cancelled_job_that_was_given_back_is_not_begun_again,
];

async fn a_queued_job_is_cancelled_at_once(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let id = place.enqueue(&queue, "work").await;
    assert_eq!(queue.cancel(place.user, id).await.unwrap().state, JobState::Cancelled);
    let _runner = runner(&queue, |_| async { Ok(json!(null)) });
    // One that comes later runs: the cancelled one was passed over.
    let next = place.enqueue(&queue, "work").await;
    assert_eq!(place.ended(&queue, next).await.state, JobState::Succeeded);
    assert_eq!(place.ended(&queue, id).await.state, JobState::Cancelled);
}

async fn a_running_job_is_told_and_ends_as_cancelled(at: TestDatabase) {
    let place = Place::new(at).await;
    // No heartbeat for an hour: it is told directly.
    let queue = place.queue(QueueOptions { heartbeat_ms: 3_600_000, ..quick() }).await;
    let (_runner, mut begins) = stopping_runner(&queue);
    let id = place.enqueue(&queue, "work").await;
    begins.recv().await.unwrap().event(json!("begun")).await.unwrap();
    let asked = queue.cancel(place.user, id).await.unwrap();
    assert!(asked.cancel_requested);
    let job = place.ended(&queue, id).await;
    assert_eq!((job.state, job.error, job.result), (JobState::Cancelled, None, None));
    assert_eq!(place.events(&queue, id).await, [json!("begun")]);
}

async fn a_job_of_another_server_is_told_at_its_heartbeat(at: TestDatabase) {
    let place = Place::new(at).await;
    let (here, there) = (place.queue(quick()).await, place.queue(quick()).await);
    let (_runner, mut begins) = stopping_runner(&there);
    let id = place.enqueue(&here, "work").await;
    begins.recv().await.unwrap();
    assert_eq!(here.cancel(place.user, id).await.unwrap().state, JobState::Running);
    assert_eq!(place.ended(&here, id).await.state, JobState::Cancelled);
}

async fn a_handler_that_does_not_listen_is_dropped(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(QueueOptions { stop_ms: 10, ..quick() }).await;
    let (_runner, mut begins) = deaf_runner(&queue);
    let id = place.enqueue(&queue, "work").await;
    let job = begins.recv().await.unwrap();
    queue.cancel(place.user, id).await.unwrap();
    assert_eq!(place.ended(&queue, id).await.state, JobState::Cancelled);
    assert!(matches!(job.event(json!("still here")).await, Err(JobError::Stopped)));
}

async fn what_was_done_before_stays_done(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let _runner = runner(&queue, |job| async move {
        job.event(json!("begun")).await?;
        job.token().cancelled().await;
        Ok(json!("done"))
    });
    let id = place.enqueue(&queue, "work").await;
    while place.open().await.job(place.user, id).await.unwrap().last_event == 0 {}
    queue.cancel(place.user, id).await.unwrap();
    let job = place.ended(&queue, id).await;
    assert_eq!((job.state, job.result), (JobState::Succeeded, Some(json!("done"))));
}

async fn a_job_that_is_over_stays_as_it_is(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let _runner = runner(&queue, |_| async { Ok(json!("done")) });
    let id = place.enqueue(&queue, "work").await;
    let ended = place.ended(&queue, id).await;
    assert_eq!(queue.cancel(place.user, id).await.unwrap(), ended);
}

async fn a_cancelled_job_of_a_dead_server_is_not_begun_again(at: TestDatabase) {
    let place = Place::new(at).await;
    let times = QueueOptions { lease_ms: 300, heartbeat_ms: 3_600_000, ..quick() };
    let queue = place.queue(times).await;
    let (runner, mut begins) = deaf_runner(&queue);
    let id = place.enqueue(&queue, "work").await;
    begins.recv().await.unwrap();
    drop(runner);
    place.open().await.request_cancel(place.user, id).await.unwrap();
    let other = place.queue(quick()).await;
    let (_other, mut begins) = stopping_runner(&other);
    assert_eq!(place.ended(&other, id).await.state, JobState::Cancelled);
    assert!(begins.try_recv().is_err());
}

async fn a_cancelled_job_that_was_given_back_is_not_begun_again(at: TestDatabase) {
    let place = Place::new(at).await;
    let (queue, database) = (place.queue(quick()).await, place.open().await);
    let id = place.enqueue(&queue, "work").await;
    // A server that stops just when the user cancels.
    let (_, lease) = database.claim("stops", &["work"], Duration::from_secs(60)).await.unwrap().unwrap();
    queue.cancel(place.user, id).await.unwrap();
    database.release(&lease).await.unwrap();
    let (_runner, mut begins) = stopping_runner(&queue);
    assert_eq!(place.ended(&queue, id).await.state, JobState::Cancelled);
    assert!(begins.try_recv().is_err());
}
