//! What is told of a job, and to whom.

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use pymd::domain::JobState;
use pymd::jobs::{JobContext, JobError, SubscribeError};
use pymd::store;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::support::{Place, next, numbered, quick, runner};
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    subscribers_get_every_event_once_whenever_they_come,
    a_subscriber_gets_events_while_the_job_runs,
    a_subscriber_gets_the_events_of_another_server,
    a_subscriber_of_a_queued_job_waits_for_it,
    progress_is_written_now_and_then_and_its_last_word_always,
    progress_reaches_subscribers_without_an_event,
    a_slow_subscriber_is_told_from_where_to_resume,
    an_event_that_is_too_large_is_refused,
    many_subscribers_see_the_same,
    only_its_user_sees_a_job,
    only_the_latest_jobs_have_their_events,
];

/// Ten events, each after a wait for nothing, so that subscribers get in between.
async fn ten_events(job: JobContext) -> Result<Value, JobError> {
    for number in 1..=10 {
        job.event(json!(number)).await?;
    }
    Ok(json!(null))
}

async fn subscribers_get_every_event_once_whenever_they_come(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let id = place.enqueue(&queue, "work").await;
    let early = queue.subscribe(place.user, id, 0).await.unwrap();
    let _runner = runner(&queue, ten_events);
    let early = numbered(early.map(Result::unwrap).collect().await, 0);
    assert_eq!(early, (1..=10).map(|number| json!(number)).collect::<Vec<_>>());
    for after in [0, 1, 9, 10, 11] {
        let late = queue.subscribe(place.user, id, after).await.unwrap();
        let late = numbered(late.map(Result::unwrap).collect().await, after);
        assert_eq!(late, early[usize::try_from(after).unwrap().min(10)..]);
    }
}

/// A runner whose handler says one thing each time that it is told to, and ends when there is no more to say.
fn told(queue: &pymd::jobs::Queue) -> (pymd::jobs::Runner, mpsc::UnboundedSender<Value>) {
    let (say, says) = mpsc::unbounded_channel::<Value>();
    let says = Arc::new(tokio::sync::Mutex::new(says));
    let runner = runner(queue, move |job| {
        let says = says.clone();
        async move {
            while let Some(event) = says.lock().await.recv().await {
                job.event(event).await?;
            }
            Ok(json!(null))
        }
    });
    (runner, say)
}

async fn a_subscriber_gets_events_while_the_job_runs(at: TestDatabase) {
    let place = Place::new(at).await;
    // Nothing but what is told at once comes in time: the next look into the database is an hour away.
    let queue = place.queue(pymd::jobs::QueueOptions { poll_ms: 3_600_000, ..quick() }).await;
    let (_runner, say) = told(&queue);
    let id = place.enqueue(&queue, "work").await;
    say.send(json!("begun")).unwrap();
    let mut events = pin!(queue.subscribe(place.user, id, 0).await.unwrap());
    assert_eq!(next(&mut events).await.unwrap().event, json!("begun"));
    for number in 0..20 {
        say.send(json!(number)).unwrap();
        assert_eq!(next(&mut events).await.unwrap().event, json!(number));
    }
    drop(say);
    assert!(events.next().await.is_none());
}

async fn a_subscriber_gets_the_events_of_another_server(at: TestDatabase) {
    let place = Place::new(at).await;
    let (here, there) = (place.queue(quick()).await, place.queue(quick()).await);
    let (_runner, say) = told(&there);
    let id = place.enqueue(&here, "work").await;
    let mut events = pin!(here.subscribe(place.user, id, 0).await.unwrap());
    for number in 1..=5 {
        say.send(json!(number)).unwrap();
        let event = next(&mut events).await.unwrap();
        assert_eq!((event.seq, event.event), (number, json!(number)));
    }
    drop(say);
    assert!(events.next().await.is_none());
    assert_eq!(place.ended(&here, id).await.state, JobState::Succeeded);
}

async fn a_subscriber_of_a_queued_job_waits_for_it(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let id = place.enqueue(&queue, "work").await;
    let events = queue.subscribe(place.user, id, 0).await.unwrap();
    let listening = tokio::spawn(events.map(Result::unwrap).collect::<Vec<_>>());
    let _runner = runner(&queue, ten_events);
    assert_eq!(numbered(listening.await.unwrap(), 0).len(), 10);
}

async fn progress_is_written_now_and_then_and_its_last_word_always(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(pymd::jobs::QueueOptions { progress_ms: 3_600_000, ..quick() }).await;
    let _runner = runner(&queue, |job| async move {
        for bytes in 0..=50_000 {
            job.progress("rich", json!({ "download": "rich", "bytes": bytes }));
            job.progress("attrs", json!({ "download": "attrs", "bytes": bytes }));
        }
        job.event(json!("unpack")).await?;
        job.progress("compile", json!("half"));
        job.progress("compile", json!("whole"));
        Ok(json!(null))
    });
    let id = place.enqueue(&queue, "work").await;
    place.ended(&queue, id).await;
    let events = place.events(&queue, id).await;
    assert!(events.len() <= 7, "{} rows", events.len());
    let unpack = events.iter().position(|event| event == "unpack").unwrap();
    assert!(events[..unpack].contains(&json!({ "download": "rich", "bytes": 50_000 })));
    assert!(events[..unpack].contains(&json!({ "download": "attrs", "bytes": 50_000 })));
    assert_eq!(events.last().unwrap(), "whole");
}

async fn progress_reaches_subscribers_without_an_event(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let go_on = Arc::new(Notify::new());
    let gate = go_on.clone();
    let _runner = runner(&queue, move |job| {
        let gate = gate.clone();
        async move {
            for bytes in 1..=3 {
                job.progress("rich", json!(bytes));
                gate.notified().await;
            }
            Ok(json!(null))
        }
    });
    let id = place.enqueue(&queue, "work").await;
    let mut events = pin!(queue.subscribe(place.user, id, 0).await.unwrap());
    for bytes in 1..=3 {
        assert_eq!(next(&mut events).await.unwrap().event, json!(bytes));
        go_on.notify_one();
    }
    assert!(events.next().await.is_none());
}

async fn a_slow_subscriber_is_told_from_where_to_resume(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let (_runner, say) = told(&queue);
    let id = place.enqueue(&queue, "work").await;
    let mut slow = pin!(queue.subscribe(place.user, id, 0).await.unwrap());
    say.send(json!(1)).unwrap();
    assert_eq!(next(&mut slow).await.unwrap().seq, 1);
    say.send(json!(2)).unwrap();
    assert_eq!(next(&mut slow).await.unwrap().seq, 2);
    for number in 3..=1500 {
        say.send(json!(number)).unwrap();
    }
    drop(say);
    place.ended(&queue, id).await;
    let mut taken = 2;
    let resume_after = loop {
        match slow.next().await {
            Some(Ok(event)) => taken = event.seq,
            Some(Err(SubscribeError::TooSlow { resume_after })) => break resume_after,
            other => panic!("{other:?} after {taken}"),
        }
    };
    assert_eq!(resume_after, taken);
    let rest = queue.subscribe(place.user, id, resume_after).await.unwrap();
    let rest = numbered(rest.map(Result::unwrap).collect().await, resume_after);
    assert_eq!(rest.last(), Some(&json!(1500)));
}

async fn an_event_that_is_too_large_is_refused(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let _runner = runner(&queue, |job| async move {
        let large = json!("x".repeat(70_000));
        job.progress("large", large.clone());
        let Err(JobError::EventTooLarge { bytes: 70_002, limit }) = job.event(large).await else {
            return Err(JobError::failed("it was taken"));
        };
        Ok(json!(limit))
    });
    let id = place.enqueue(&queue, "work").await;
    assert_eq!(place.ended(&queue, id).await.result, Some(json!(65_536)));
    assert!(place.events(&queue, id).await.is_empty());
}

async fn many_subscribers_see_the_same(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let id = place.enqueue(&queue, "work").await;
    let mut listening = Vec::new();
    for _ in 0..20 {
        let events = queue.subscribe(place.user, id, 0).await.unwrap();
        listening.push(tokio::spawn(events.map(Result::unwrap).collect::<Vec<_>>()));
    }
    let _runner = runner(&queue, ten_events);
    for events in listening {
        assert_eq!(numbered(events.await.unwrap(), 0).len(), 10);
    }
}

async fn only_its_user_sees_a_job(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(quick()).await;
    let id = place.enqueue(&queue, "work").await;
    let eve = place.other_user().await;
    let refused = queue.subscribe(eve, id, 0).await.map(drop);
    assert!(matches!(refused, Err(SubscribeError::Store(store::JobError::NotFound))));
    assert!(matches!(queue.cancel(eve, id).await, Err(store::JobError::NotFound)));
    assert!(matches!(queue.wait(eve, id).await, Err(store::JobError::NotFound)));
    assert_eq!(place.open().await.job(place.user, id).await.unwrap().state, JobState::Queued);
}

async fn only_the_latest_jobs_have_their_events(at: TestDatabase) {
    let place = Place::new(at).await;
    let queue = place.queue(pymd::jobs::QueueOptions { open_jobs: 200, ..quick() }).await;
    let mut ids = Vec::new();
    // Many end while none is made.
    for _ in 0..130 {
        ids.push(place.enqueue(&queue, "work").await);
    }
    let runner = runner(&queue, |job| async move { job.event(json!("begun")).await.map(|()| json!(null)) });
    for id in &ids {
        place.ended(&queue, *id).await;
    }
    runner.shutdown().await;
    let waiting = place.enqueue(&queue, "work").await;
    let database = place.open().await;
    let mut kept = Vec::new();
    for id in &ids {
        let job = database.job(place.user, *id).await.unwrap();
        let events = place.events(&queue, *id).await;
        assert_eq!(job.last_event, 1);
        kept.push((job.finished_at, *id, events.len()));
    }
    kept.sort_unstable();
    let kept: Vec<_> = kept.into_iter().map(|(_, _, events)| events).collect();
    assert_eq!(kept, [vec![0; 30], vec![1; 100]].concat());
    assert_eq!(database.job(place.user, waiting).await.unwrap().state, JobState::Queued);
}
