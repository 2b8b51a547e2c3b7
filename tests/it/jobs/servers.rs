//! Servers that stop, die and stall.

use std::sync::Arc;
use std::time::Duration;

use pymd::domain::JobState;
use pymd::jobs::{JobError, Queue, QueueOptions};
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use super::support::{Place, deaf_runner, quick, runner, stopping_runner};
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    queued_jobs_run_after_a_restart,
    a_job_of_a_dead_server_is_begun_again,
    a_job_that_loses_every_server_fails_with_the_reason,
    a_stalled_server_can_neither_append_nor_finish,
    a_job_lives_longer_than_its_lease,
    a_server_that_loses_the_database_stops_its_jobs,
    shutdown_lets_jobs_end,
    shutdown_gives_back_what_takes_too_long,
    shutdown_gives_back_what_does_not_listen,
    a_handler_that_ended_its_job_itself_is_believed,
];

/// A server that is given up when it is silent for so long.
fn mortal() -> QueueOptions {
    QueueOptions { lease_ms: 700, ..quick() }
}

async fn queued_jobs_run_after_a_restart(at: TestDatabase) {
    let place = Place::new(at).await;
    let before = place.queue(quick()).await;
    let id = place.enqueue(&before, "work").await;
    drop(before);
    let after = place.queue(quick()).await;
    let _runner = runner(&after, |_| async { Ok(json!(null)) });
    assert_eq!(place.ended(&after, id).await.state, JobState::Succeeded);
}

async fn a_job_of_a_dead_server_is_begun_again(at: TestDatabase) {
    let place = Place::new(at).await;
    let dies = place.queue(mortal()).await;
    let (runner_that_dies, mut begins) = deaf_runner(&dies);
    let id = place.enqueue(&dies, "work").await;
    begins.recv().await.unwrap().event(json!("first")).await.unwrap();
    // No shutdown: as if it were killed.
    drop(runner_that_dies);
    let lives = place.queue(quick()).await;
    let _runner = runner(&lives, |job| async move { job.event(json!("second")).await.map(|()| json!("done")) });
    let job = place.ended(&lives, id).await;
    assert_eq!((job.state, job.result), (JobState::Succeeded, Some(json!("done"))));
    assert_eq!(place.events(&lives, id).await, [json!("first"), json!("second")]);
}

async fn a_job_that_loses_every_server_fails_with_the_reason(at: TestDatabase) {
    let place = Place::new(at).await;
    let first = place.queue(mortal()).await;
    let id = place.enqueue(&first, "work").await;
    for _ in 0..3 {
        let queue = place.queue(mortal()).await;
        let (runner, mut begins) = deaf_runner(&queue);
        assert_eq!(begins.recv().await.unwrap().id(), id);
        drop(runner);
    }
    let last = place.queue(mortal()).await;
    let (_runner, mut begins) = deaf_runner(&last);
    let job = place.ended(&last, id).await;
    assert_eq!(job.state, JobState::Failed);
    assert!(job.error.unwrap().contains("the server stopped each time"));
    assert!(begins.try_recv().is_err());
}

async fn a_stalled_server_can_neither_append_nor_finish(at: TestDatabase) {
    let place = Place::new(at).await;
    // It has no heartbeat, does not hear that it should stop, and has no room to take the job back.
    let hour = 3_600_000;
    let alone = QueueOptions { concurrency: 1, heartbeat_ms: hour, stop_ms: hour, ..mortal() };
    let stalled = place.queue(alone).await;
    let (wakes, wake) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (late, mut lates) = mpsc::unbounded_channel();
    let (begun, gate) = (wakes.clone(), wake.clone());
    let stalled_runner = runner(&stalled, move |job| {
        let (begun, gate, late) = (begun.clone(), gate.clone(), late.clone());
        async move {
            job.event(json!("old")).await?;
            job.progress("old", json!("old progress"));
            begun.notify_one();
            gate.notified().await;
            late.send(job.event(json!("late")).await).unwrap();
            Ok(json!("late"))
        }
    });
    let id = place.enqueue(&stalled, "work").await;
    wakes.notified().await;
    let lives = place.queue(quick()).await;
    let (new, mut news) = mpsc::unbounded_channel();
    let end = Arc::new(Notify::new());
    let ends = end.clone();
    let _runner = runner(&lives, move |job| {
        let (new, ends) = (new.clone(), ends.clone());
        async move {
            job.event(json!("new")).await?;
            new.send(()).unwrap();
            ends.notified().await;
            job.event(json!("newer")).await?;
            Ok(json!("done"))
        }
    });
    news.recv().await.unwrap();
    // While the new one is at it, and once more after it.
    wake.notify_one();
    assert!(matches!(lates.recv().await.unwrap(), Err(JobError::Stopped)));
    stalled_runner.shutdown().await;
    assert_eq!(place.open().await.job(place.user, id).await.unwrap().state, JobState::Running);
    end.notify_one();
    let job = place.ended(&lives, id).await;
    assert_eq!((job.state, job.result), (JobState::Succeeded, Some(json!("done"))));
    let events = place.events(&lives, id).await;
    assert!(!events.contains(&json!("late")));
    assert!(events.ends_with(&[json!("new"), json!("newer")]));
}

async fn a_job_lives_longer_than_its_lease(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(mortal()).await;
    let (_runner, mut begins) = deaf_runner(&queue);
    let id = place.enqueue(&queue, "work").await;
    let job = begins.recv().await.unwrap();
    // Another server would take it.
    let other = place.queue(mortal()).await;
    let (_other, mut stolen) = deaf_runner(&other);
    // A lease of the same time that nobody renews: when it has ended, so has the job's first.
    let database = place.open().await;
    let bait = place.enqueue(&other, "bait").await;
    database.claim("nobody", &["bait"], Duration::from_millis(mortal().lease_ms)).await.unwrap().unwrap();
    while database.job(place.user, bait).await.unwrap().state == JobState::Running {}
    job.event(json!("mine")).await.unwrap();
    assert_eq!(database.job(place.user, id).await.unwrap().state, JobState::Running);
    assert!(stolen.try_recv().is_err());
}

async fn a_server_that_loses_the_database_stops_its_jobs(at: TestDatabase) {
    let place = Place::new(at).await;
    let database = place.open().await;
    let queue = Queue::new(database.clone(), mortal());
    let (_runner, mut begins) = stopping_runner(&queue);
    let id = place.enqueue(&queue, "work").await;
    let job = begins.recv().await.unwrap();
    database.close().await;
    // By its own clock: nobody can tell it.
    job.token().cancelled().await;
    let other = place.queue(quick()).await;
    let _other = runner(&other, |_| async { Ok(json!("done")) });
    assert_eq!(place.ended(&other, id).await.state, JobState::Succeeded);
}

async fn shutdown_lets_jobs_end(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let gate = go_on.clone();
    let runner = runner(&queue, move |_| {
        begun.send(()).unwrap();
        let gate = gate.clone();
        async move {
            gate.notified().await;
            Ok(json!("done"))
        }
    });
    let id = place.enqueue(&queue, "work").await;
    begins.recv().await.unwrap();
    let shutdown = tokio::spawn(runner.shutdown());
    go_on.notify_one();
    shutdown.await.unwrap();
    assert_eq!(place.open().await.job(place.user, id).await.unwrap().state, JobState::Succeeded);
    // And nothing is begun after it.
    let next = place.enqueue(&queue, "work").await;
    assert_eq!(place.open().await.job(place.user, next).await.unwrap().state, JobState::Queued);
}

async fn shutdown_gives_back_what_takes_too_long(at: TestDatabase) {
    let place = Place::new(at).await;
    // Its lease has an hour to go: the other server gets it because it was given back.
    let queue = place.queue(QueueOptions { grace_ms: 1, ..quick() }).await;
    let (runner_that_stops, mut begins) = stopping_runner(&queue);
    let id = place.enqueue(&queue, "work").await;
    begins.recv().await.unwrap();
    runner_that_stops.shutdown().await;
    assert_eq!(place.open().await.job(place.user, id).await.unwrap().state, JobState::Queued);
    let other = place.queue(quick()).await;
    let _runner = runner(&other, |_| async { Ok(json!("done")) });
    assert_eq!(place.ended(&other, id).await.state, JobState::Succeeded);
}

async fn shutdown_gives_back_what_does_not_listen(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(QueueOptions { grace_ms: 1, stop_ms: 100, ..quick() }).await;
    let (runner, mut begins) = deaf_runner(&queue);
    let id = place.enqueue(&queue, "work").await;
    let job = begins.recv().await.unwrap();
    runner.shutdown().await;
    assert_eq!(place.open().await.job(place.user, id).await.unwrap().state, JobState::Queued);
    assert!(matches!(job.event(json!("still here")).await, Err(JobError::Stopped)));
}

async fn a_handler_that_ended_its_job_itself_is_believed(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let database = place.open().await;
    let _runner = runner(&queue, move |job| {
        let database = database.clone();
        async move {
            // As a switch of generations does, in the transaction of its effect.
            let end = pymd::domain::JobEnd::Succeeded(json!("by itself"));
            database.finish(job.lease(), &end).await.map_err(JobError::internal)?;
            Ok(json!("not this"))
        }
    });
    let id = place.enqueue(&queue, "work").await;
    let job = place.ended(&queue, id).await;
    assert_eq!((job.state, job.result), (JobState::Succeeded, Some(json!("by itself"))));
}
