//! The queue: each job is worked on by one worker at a time, and ends once.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use pymd::domain::{JobEnd, JobId, JobState, PageRequest, UserId};
use pymd::store::{Database, JobError, NewJob};
use serde_json::{Value, json};

use super::{named, new_user};
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    a_job_goes_its_way,
    each_job_is_claimed_once,
    the_eldest_of_the_asked_kinds_is_claimed,
    users_take_turns,
    only_the_latest_of_many_ended_jobs_are_kept,
    a_worker_that_was_thought_dead_changes_nothing,
    a_job_that_ends_its_workers_is_given_up,
    a_released_job_waits_again_and_is_not_given_up,
    events_are_numbered_without_gaps,
    a_waiting_job_is_cancelled_at_once,
    a_running_job_is_told_to_end,
    a_job_whose_user_gave_up_is_not_tried_again,
    a_job_ends_once,
    lists_are_the_users_own,
    old_jobs_go_with_their_events,
    a_purged_environment_leaves_its_jobs,
    an_environment_has_one_job_at_a_time,
    no_user_fills_the_queue,
];

const LONG: Duration = Duration::from_secs(3600);

fn install(user: UserId) -> NewJob {
    NewJob { user, environment: None, kind: "install".to_owned(), request: json!({"packages": ["a\0\u{e9}"]}) }
}

async fn enqueue(database: &Database, user: UserId) -> JobId {
    database.enqueue(&install(user), 100).await.unwrap().id
}

fn lost<T: std::fmt::Debug>(answer: Result<T, JobError>) {
    assert!(matches!(answer, Err(JobError::LeaseLost(_))), "{answer:?}");
}

async fn a_job_goes_its_way(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let queued = database.enqueue(&install(user), 100).await.unwrap();
    assert_eq!(database.job(user, queued.id).await.unwrap(), queued);
    let (running, lease) = database.claim("me", &["install"], LONG).await.unwrap().unwrap();
    assert_eq!((running.id, running.state, &running.request), (queued.id, JobState::Running, &queued.request));
    assert_eq!(lease.job(), queued.id);
    assert!(!database.renew(&lease, LONG).await.unwrap());
    assert_eq!(database.append_events(&lease, &[json!({"stage": "resolve"})]).await.unwrap().0, 1);
    database.finish(&lease, &JobEnd::Succeeded(json!([1, null]))).await.unwrap();
    let done = database.job(user, queued.id).await.unwrap();
    assert_eq!((done.state, done.result, done.last_event), (JobState::Succeeded, Some(json!([1, null])), 1));
    assert!(done.created_at <= done.started_at.unwrap() && done.started_at <= done.finished_at);
    assert_eq!(database.claim("me", &["install"], LONG).await.unwrap(), None);
}

async fn each_job_is_claimed_once(at: TestDatabase) {
    let servers = [at.open().await, at.open().await, at.open().await];
    let user = new_user(&servers[0]).await.id;
    let mut queued = HashSet::new();
    for _ in 0..20 {
        queued.insert(enqueue(&servers[0], user).await);
    }
    let workers = (0..6).map(|n| {
        let server = servers[n % 3].clone();
        tokio::spawn(async move {
            let mut claimed = Vec::new();
            while let Some((job, lease)) = server.claim(&format!("w{n}"), &["install"], LONG).await.unwrap() {
                claimed.push(job.id);
                server.finish(&lease, &JobEnd::Succeeded(Value::Null)).await.unwrap();
            }
            claimed
        })
    });
    let claimed: Vec<_> = join_all(workers).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(claimed.len(), 20);
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>(), queued);
}

async fn the_eldest_of_the_asked_kinds_is_claimed(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let mut ids = Vec::new();
    for kind in ["render", "install", "warm", "install"] {
        ids.push(database.enqueue(&NewJob { kind: kind.to_owned(), ..install(user) }, 100).await.unwrap().id);
    }
    let claim = async |kinds: &[&str]| database.claim("me", kinds, LONG).await.unwrap().map(|(job, _)| job.id);
    assert_eq!(claim(&["warm", "install"]).await, Some(ids[1]));
    assert_eq!(claim(&["warm", "install"]).await, Some(ids[2]));
    assert_eq!(claim(&[]).await, None);
    assert_eq!(claim(&["nothing"]).await, None);
    assert_eq!(claim(&["install"]).await, Some(ids[3]));
    assert_eq!(claim(&["install"]).await, None);
}

async fn users_take_turns(at: TestDatabase) {
    let database = at.open().await;
    let (many, few) = (new_user(&database).await.id, new_user(&database).await.id);
    let mut ids = Vec::new();
    for user in [many, many, many, few, few] {
        ids.push(enqueue(&database, user).await);
    }
    for next in [0, 3, 1, 4, 2] {
        let (job, _) = database.claim("me", &["install"], LONG).await.unwrap().unwrap();
        assert_eq!(job.id, ids[next]);
    }
}

async fn only_the_latest_of_many_ended_jobs_are_kept(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let mut ids = Vec::new();
    for _ in 0..1003 {
        let id = enqueue(&database, user).await;
        database.request_cancel(user, id).await.unwrap();
        ids.push(id);
    }
    assert_eq!(database.jobs(user, None, PageRequest::default()).await.unwrap().total, 1001);
    assert!(matches!(database.job(user, ids[0]).await, Err(JobError::NotFound)));
    database.job(user, ids[2]).await.unwrap();
}

async fn a_worker_that_was_thought_dead_changes_nothing(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = enqueue(&database, user).await;
    let (_, dead) = database.claim("dead", &["install"], Duration::ZERO).await.unwrap().unwrap();
    let expired = database.requeue_expired().await.unwrap();
    assert_eq!((expired.requeued, expired.failed), (1, 0));
    let check_dead = async || {
        lost(database.renew(&dead, LONG).await);
        lost(database.append_events(&dead, &[json!("late")]).await);
        lost(database.finish(&dead, &JobEnd::Failed("late".to_owned())).await);
        lost(database.release(&dead).await);
    };
    check_dead().await;
    let (_, alive) = database.claim("alive", &["install"], LONG).await.unwrap().unwrap();
    check_dead().await;
    assert_eq!(database.requeue_expired().await.unwrap().requeued, 0, "this lease holds");
    database.append_events(&alive, &[json!("in time")]).await.unwrap();
    database.finish(&alive, &JobEnd::Succeeded(json!(1))).await.unwrap();
    check_dead().await;
    let job = database.job(user, id).await.unwrap();
    assert_eq!((job.state, job.result, job.error, job.last_event), (JobState::Succeeded, Some(json!(1)), None, 1));
}

async fn a_job_that_ends_its_workers_is_given_up(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = enqueue(&database, user).await;
    for (requeued, failed) in [(1, 0), (1, 0), (0, 1), (0, 0)] {
        database.claim("me", &["install"], Duration::ZERO).await.unwrap();
        let expired = database.requeue_expired().await.unwrap();
        assert_eq!((expired.requeued, expired.failed), (requeued, failed));
    }
    let job = database.job(user, id).await.unwrap();
    assert_eq!(job.state, JobState::Failed);
    assert!(job.error.unwrap().contains("the server stopped each time") && job.finished_at.is_some());
}

async fn a_released_job_waits_again_and_is_not_given_up(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = enqueue(&database, user).await;
    for _ in 0..5 {
        let (job, lease) = database.claim("me", &["install"], LONG).await.unwrap().unwrap();
        assert_eq!(job.id, id);
        database.release(&lease).await.unwrap();
        lost(database.release(&lease).await);
    }
    assert_eq!(database.job(user, id).await.unwrap().state, JobState::Queued);
}

async fn events_are_numbered_without_gaps(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = enqueue(&database, user).await;
    let (_, lease) = database.claim("me", &["install"], LONG).await.unwrap().unwrap();
    let events: Vec<_> = (0..250).map(|n| json!({"n": n, "text": "\0\u{1f6a2}"})).collect();
    assert_eq!(database.append_events(&lease, &events).await.unwrap().0, 250);
    assert_eq!(database.append_events(&lease, &[]).await.unwrap().0, 250);
    let one = [json!("x")];
    let added = join_all((0..10).map(|_| database.append_events(&lease, &one))).await;
    let mut added: Vec<_> = added.into_iter().map(|answer| answer.unwrap().0).collect();
    added.sort_unstable();
    assert_eq!(added, (251..=260).collect::<Vec<_>>());
    let read = database.job_events(user, id, 0).await.unwrap();
    assert_eq!(read.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=260).collect::<Vec<_>>());
    assert!(read.iter().zip(&events).all(|(read, event)| read.event == *event));
    assert_eq!(database.job_events(user, id, 258).await.unwrap(), read[258..]);
    assert_eq!(database.job_events(user, id, u64::MAX).await.unwrap(), []);
    let stranger = new_user(&database).await.id;
    assert!(matches!(database.job_events(stranger, id, 0).await, Err(JobError::NotFound)));
}

async fn a_waiting_job_is_cancelled_at_once(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = enqueue(&database, user).await;
    let stranger = new_user(&database).await.id;
    assert!(matches!(database.request_cancel(stranger, id).await, Err(JobError::NotFound)));
    let cancelled = database.request_cancel(user, id).await.unwrap();
    assert_eq!(cancelled.state, JobState::Cancelled);
    assert!(cancelled.finished_at.is_some());
    assert_eq!(database.request_cancel(user, id).await.unwrap(), cancelled);
    assert_eq!(database.claim("me", &["install"], LONG).await.unwrap(), None);
}

async fn a_running_job_is_told_to_end(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = enqueue(&database, user).await;
    let (_, lease) = database.claim("me", &["install"], LONG).await.unwrap().unwrap();
    let job = database.request_cancel(user, id).await.unwrap();
    assert_eq!((job.state, job.cancel_requested), (JobState::Running, true));
    assert!(database.renew(&lease, LONG).await.unwrap());
    database.finish(&lease, &JobEnd::Cancelled).await.unwrap();
    assert_eq!(database.request_cancel(user, id).await.unwrap().state, JobState::Cancelled);
}

async fn a_job_whose_user_gave_up_is_not_tried_again(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = enqueue(&database, user).await;
    let (_, lease) = database.claim("me", &["install"], Duration::ZERO).await.unwrap().unwrap();
    database.request_cancel(user, id).await.unwrap();
    let expired = database.requeue_expired().await.unwrap();
    assert_eq!((expired.requeued, expired.failed), (0, 0));
    assert_eq!(database.job(user, id).await.unwrap().state, JobState::Cancelled);
    lost(database.finish(&lease, &JobEnd::Succeeded(Value::Null)).await);
}

async fn a_job_ends_once(at: TestDatabase) {
    let servers = [at.open().await, at.open().await];
    let user = new_user(&servers[0]).await.id;
    let id = enqueue(&servers[0], user).await;
    let (_, lease) = servers[0].claim("me", &["install"], LONG).await.unwrap().unwrap();
    let ends: Vec<_> = (0..10).map(|n| JobEnd::Failed(format!("reason {n}\0"))).collect();
    let answers = join_all(ends.iter().enumerate().map(|(n, end)| servers[n % 2].finish(&lease, end))).await;
    let winners: Vec<_> = (0..10).filter(|n| answers[*n].is_ok()).collect();
    let [winner] = winners[..] else { panic!("{answers:?}") };
    let job = servers[1].job(user, id).await.unwrap();
    assert_eq!(job.error, Some(format!("reason {winner}\u{fffd}")));
}

async fn lists_are_the_users_own(at: TestDatabase) {
    let database = at.open().await;
    let (ada, bob) = (new_user(&database).await.id, new_user(&database).await.id);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.insert(0, enqueue(&database, ada).await);
    }
    enqueue(&database, bob).await;
    database.request_cancel(ada, ids[1]).await.unwrap();
    let list = async |state| {
        let page = database.jobs(ada, state, PageRequest::default()).await.unwrap();
        assert_eq!(page.total, page.items.len() as u64);
        page.items.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None).await, ids, "the latest first");
    assert_eq!(list(Some(JobState::Cancelled)).await, ids[1..2]);
    assert_eq!(list(Some(JobState::Queued)).await, [ids[0], ids[2]]);
    let second = database.jobs(ada, None, PageRequest::new(2, 2).unwrap()).await.unwrap();
    assert_eq!((second.total, second.items[0].id, second.has_more()), (3, ids[2], false));
    assert!(matches!(database.job(bob, ids[0]).await, Err(JobError::NotFound)));
}

async fn old_jobs_go_with_their_events(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let old = enqueue(&database, user).await;
    let (_, lease) = database.claim("me", &["install"], LONG).await.unwrap().unwrap();
    database.append_events(&lease, &[json!(1), json!(2)]).await.unwrap();
    database.finish(&lease, &JobEnd::Succeeded(Value::Null)).await.unwrap();
    let waiting = enqueue(&database, user).await;
    assert_eq!(database.delete_old_jobs(Timestamp::UNIX_EPOCH, 10).await.unwrap(), 0);
    assert_eq!(database.delete_old_jobs(Timestamp::MAX, 0).await.unwrap(), 0);
    assert_eq!(database.delete_old_jobs(Timestamp::MAX, 10).await.unwrap(), 1);
    assert!(matches!(database.job_events(user, old, 0).await, Err(JobError::NotFound)));
    database.job(user, waiting).await.unwrap();
}

async fn a_purged_environment_leaves_its_jobs(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let environment = database.create_environment(user, &named("x")).await.unwrap().id;
    let new = NewJob { environment: Some(environment), ..install(user) };
    let job = database.enqueue(&new, 100).await.unwrap();
    assert_eq!(job.environment_id, Some(environment));
    database.delete_environment(user, environment).await.unwrap();
    assert!(database.purge_environment(environment).await.unwrap());
    assert_eq!(database.job(user, job.id).await.unwrap().environment_id, None);
}

async fn an_environment_has_one_job_at_a_time(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let environment = database.create_environment(user, &named("x")).await.unwrap().id;
    let new = NewJob { environment: Some(environment), ..install(user) };
    let first = database.enqueue(&new, 100).await.unwrap().id;
    let second = database.enqueue(&new, 100).await.unwrap().id;
    let other = database.enqueue(&install(user), 100).await.unwrap().id;
    let claim = async || database.claim("me", &["install"], LONG).await.unwrap();
    let (job, lease) = claim().await.unwrap();
    assert_eq!(job.id, first);
    assert_eq!(claim().await.unwrap().0.id, other, "it does not wait behind one that can't begin");
    assert_eq!(claim().await, None);
    database.finish(&lease, &JobEnd::Succeeded(json!({}))).await.unwrap();
    assert_eq!(claim().await.unwrap().0.id, second);
}

async fn no_user_fills_the_queue(at: TestDatabase) {
    let database = at.open().await;
    let (user, other) = (new_user(&database).await.id, new_user(&database).await.id);
    let new = install(user);
    let answers = join_all((0..12).map(|_| database.enqueue(&new, 3))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    assert!(answers.into_iter().filter_map(Result::err).all(|error| matches!(error, JobError::TooMany { open: 3 })));
    database.enqueue(&install(other), 3).await.unwrap();
    let (_, lease) = database.claim("me", &["install"], LONG).await.unwrap().unwrap();
    assert!(database.enqueue(&new, 3).await.is_err(), "one that runs counts, too");
    database.finish(&lease, &JobEnd::Cancelled).await.unwrap();
    database.enqueue(&new, 3).await.unwrap();
}
