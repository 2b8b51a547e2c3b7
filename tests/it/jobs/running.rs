//! Jobs that run on one server, and on several.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pymd::domain::JobState;
use pymd::jobs::{Handlers, JobContext, JobError, QueueOptions, Runner};
use pymd::store::NewJob;
use serde_json::json;
use tokio::sync::{Barrier, mpsc};

use super::support::{Place, Work, quick, runner, stopping_runner};
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    a_job_runs_and_its_result_is_kept,
    a_job_begins_without_waiting_for_the_next_poll,
    a_failed_job_keeps_its_reason,
    our_own_fault_is_not_shown_to_the_user,
    a_handler_that_panics_fails_its_job_and_no_other,
    no_more_jobs_run_at_once_than_allowed,
    a_kind_with_room_of_its_own_holds_up_no_other,
    a_runner_takes_only_jobs_that_it_has_a_handler_for,
    two_servers_share_the_jobs_and_each_runs_once,
    old_jobs_go,
];

async fn a_job_runs_and_its_result_is_kept(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let _runner = runner(&queue, |job| async move { Ok(json!({ "asked": job.request() })) });
    let mut new = place.job("work");
    new.request = json!({ "packages": ["rich"] });
    let id = queue.enqueue(&new).await.unwrap().id;
    let job = place.ended(&queue, id).await;
    assert_eq!(job.state, JobState::Succeeded);
    assert_eq!(job.result, Some(json!({ "asked": { "packages": ["rich"] } })));
    assert!(job.started_at >= Some(job.created_at) && job.finished_at >= job.started_at);
}

async fn a_job_begins_without_waiting_for_the_next_poll(at: TestDatabase) {
    let place = Place::new(at).await;
    let hour = 3_600_000;
    let options = QueueOptions { lease_ms: hour, heartbeat_ms: hour, poll_ms: hour, ..Default::default() };
    let queue = place.queue(options).await;
    let (_runner, mut begins) = stopping_runner(&queue);
    // Whenever it is that the runner looks first: the others come when it waits.
    for _ in 0..3 {
        let id = place.enqueue(&queue, "work").await;
        assert_eq!(begins.recv().await.unwrap().id(), id);
    }
}

async fn a_failed_job_keeps_its_reason(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let _runner = runner(&queue, |_| async { Err(JobError::failed("there is no package `nope`")) });
    let id = place.enqueue(&queue, "work").await;
    let job = place.ended(&queue, id).await;
    assert_eq!((job.state, job.error.as_deref()), (JobState::Failed, Some("there is no package `nope`")));
}

async fn our_own_fault_is_not_shown_to_the_user(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let _runner = runner(&queue, |_| async { Err(JobError::internal("secret: /etc/passwd")) });
    let id = place.enqueue(&queue, "work").await;
    let job = place.ended(&queue, id).await;
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.error, Some(format!("internal error; ask for the log of job {id}")));
}

async fn a_handler_that_panics_fails_its_job_and_no_other(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(QueueOptions { concurrency: 1, ..quick() }).await;
    let calls = AtomicUsize::new(0);
    let _runner = runner(&queue, move |_| {
        let is_first = calls.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if is_first { panic!("a bug") } else { Ok(json!("fine")) } }
    });
    let (first, second) = (place.enqueue(&queue, "work").await, place.enqueue(&queue, "work").await);
    let first = place.ended(&queue, first).await;
    assert_eq!(first.state, JobState::Failed);
    assert!(first.error.unwrap().starts_with("internal error"));
    assert_eq!(place.ended(&queue, second).await.state, JobState::Succeeded);
}

async fn no_more_jobs_run_at_once_than_allowed(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(QueueOptions { concurrency: 2, ..quick() }).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(place.enqueue(&queue, "work").await);
    }
    // Both places are in use at once, or nobody gets past the barrier; a third would be seen.
    let (running, most, pair) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(2)));
    let (running, seen) = (Arc::new(running), most.clone());
    let _runner = runner(&queue, move |_| {
        let (running, most, pair) = (running.clone(), most.clone(), pair.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            pair.wait().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(json!(null))
        }
    });
    for id in ids {
        assert_eq!(place.ended(&queue, id).await.state, JobState::Succeeded);
    }
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

async fn a_kind_with_room_of_its_own_holds_up_no_other(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(QueueOptions { concurrency: 1, ..quick() }).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let waits = Work(move |job: JobContext| {
        begun.send(job.id()).unwrap();
        async move {
            job.token().cancelled().await;
            Err(JobError::Stopped)
        }
    });
    let work = Work(|_| async { Ok(json!("done")) });
    let _runner = Runner::start(&queue, Handlers::new().with("work", work).with_room("long", waits, 3), "test");
    let mut long = Vec::new();
    for _ in 0..3 {
        long.push(place.enqueue(&queue, "long").await);
    }
    let first = [begins.recv().await.unwrap(), begins.recv().await.unwrap()];
    // The shared room is one, and free each time.
    for _ in 0..3 {
        let id = place.enqueue(&queue, "work").await;
        assert_eq!(place.ended(&queue, id).await.state, JobState::Succeeded);
    }
    assert!(begins.try_recv().is_err(), "two at once: the third place is for others");
    let other = place.other_user().await;
    let mut others = Vec::new();
    for _ in 0..2 {
        others.push(queue.enqueue(&NewJob { user: other, ..place.job("long") }).await.unwrap().id);
    }
    assert_eq!(begins.recv().await.unwrap(), others[0]);
    queue.cancel(other, others[0]).await.unwrap();
    assert_eq!(begins.recv().await.unwrap(), others[1]);
    queue.cancel(place.user, first[0]).await.unwrap();
    assert!(!first.contains(&begins.recv().await.unwrap()));
}

async fn a_runner_takes_only_jobs_that_it_has_a_handler_for(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let other = place.enqueue(&queue, "other").await;
    let _runner = runner(&queue, |_| async { Ok(json!(null)) });
    let id = place.enqueue(&queue, "work").await;
    assert_eq!(place.ended(&queue, id).await.state, JobState::Succeeded);
    assert_eq!(place.open().await.job(place.user, other).await.unwrap().state, JobState::Queued);
}

async fn two_servers_share_the_jobs_and_each_runs_once(at: TestDatabase) {
    let place = Place::new(at).await;
    let (one, two) = (place.queue(quick()).await, place.queue(quick()).await);
    let (ran, mut runs) = mpsc::unbounded_channel();
    let count = move |job: pymd::jobs::JobContext| {
        ran.send(job.id()).unwrap();
        async { Ok(json!(null)) }
    };
    let mut asked = BTreeSet::new();
    let _runners = (runner(&one, count.clone()), runner(&two, count));
    for _ in 0..20 {
        asked.insert(place.enqueue(&one, "work").await);
        asked.insert(place.enqueue(&two, "work").await);
    }
    for id in &asked {
        assert_eq!(place.ended(&one, *id).await.state, JobState::Succeeded);
    }
    let mut ran = Vec::new();
    while let Ok(id) = runs.try_recv() {
        ran.push(id);
    }
    assert_eq!(ran.len(), 40);
    assert_eq!(BTreeSet::from_iter(ran), asked);
}

async fn old_jobs_go(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let first = runner(&queue, |job| async move { job.event(json!("begun")).await.map(|()| json!(null)) });
    let id = place.enqueue(&queue, "work").await;
    place.ended(&queue, id).await;
    first.shutdown().await;
    let waiting = place.enqueue(&queue, "other").await;
    // A runner looks for old jobs when it begins.
    let forgetful = place.queue(QueueOptions { keep_days: 0, ..quick() }).await;
    let _runner = runner(&forgetful, |_| async { Ok(json!(null)) });
    let database = place.open().await;
    while database.job(place.user, id).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(database.job(place.user, waiting).await.unwrap().state, JobState::Queued);
}
