//! Schedules: one job for each time that one is due, and none where none should be.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pymd::domain::{DocumentFormat, DocumentId, DocumentSummary, JobEnd, JobState, PageRequest, Schedule, UserId};
use pymd::store::{Attached, Database, Fired, NewDocument, NewFile, NewJob, NewSchedule, ScheduleError};
use serde_json::json;

use super::{at_once, named, new_user};
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    a_schedule_is_put_replaced_and_deleted,
    a_time_that_is_due_gets_one_job_of_many_servers,
    what_a_job_is_to_work_on_is_held_until_it_is_over,
    a_schedule_waits_for_its_last_run_and_for_its_user,
    a_schedule_that_always_fails_is_disabled,
    a_schedule_of_a_document_in_the_bin_does_not_run,
    nobody_has_too_many,
    a_purged_document_takes_its_schedule_along,
    the_results_of_a_user_make_room_for_each_other,
];

fn new_schedule(next_run_at: Timestamp) -> NewSchedule {
    NewSchedule {
        cron: "*/15 * * * *".parse().unwrap(),
        time_zone: "Europe/Berlin".parse().unwrap(),
        environment_id: None,
        fresh: true,
        enabled: true,
        next_run_at,
    }
}

async fn document(database: &Database, user: UserId) -> DocumentId {
    let new = NewDocument {
        title: "Report".parse().unwrap(),
        content: "text".to_owned(),
        render_format: DocumentFormat::Html,
        environment_id: None,
        tags: Vec::new(),
    };
    database.create_document(user, new).await.unwrap().summary.id
}

/// So many quarters of an hour after a full hour.
fn quarter(number: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + 900 * number).unwrap()
}

fn job(user: UserId) -> impl FnOnce(&DocumentSummary) -> NewJob + Send {
    move |document| NewJob {
        user,
        environment: None,
        kind: "render".to_owned(),
        request: json!({"version": document.version}),
    }
}

async fn fire(database: &Database, seen: &Schedule, next: i64) -> Fired {
    database.fire_schedule(seen, Some(quarter(next)), job(seen.user_id), 5).await.unwrap()
}

/// Fires the only schedule, due at a quarter.
async fn fire_at(database: &Database, number: i64) -> Fired {
    let due = database.due_schedules(quarter(number), 10).await.unwrap();
    assert_eq!(due.len(), 1, "{due:?}");
    fire(database, &due[0], number + 1).await
}

async fn end(database: &Database, end: JobEnd) {
    let (_, lease) = database.claim("me", &["render"], Duration::from_secs(60)).await.unwrap().unwrap();
    database.finish(&lease, &end).await.unwrap();
}

fn reason(fired: Fired) -> String {
    match fired {
        Fired::Skipped { reason } | Fired::Disabled { reason } => reason,
        other => panic!("{other:?}"),
    }
}

async fn a_schedule_is_put_replaced_and_deleted(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let eve = new_user(&database).await.id;
    let id = document(&database, user).await;
    assert!(matches!(database.schedule(user, id).await, Err(ScheduleError::NotFound)));
    let put = database.put_schedule(user, id, &new_schedule(quarter(1)), 5).await.unwrap();
    assert_eq!((put.cron.as_str(), put.time_zone.as_str(), put.enabled), ("*/15 * * * *", "Europe/Berlin", true));
    assert_eq!((put.next_run_at, put.last_job_id, put.failures), (Some(quarter(1)), None, 0));
    assert_eq!(database.schedule(user, id).await.unwrap(), put);
    assert_eq!(database.next_due().await.unwrap(), Some(quarter(1)));
    let off = NewSchedule { cron: "@daily".parse().unwrap(), enabled: false, ..new_schedule(quarter(2)) };
    let replaced = database.put_schedule(user, id, &off, 5).await.unwrap();
    assert_eq!((replaced.id, replaced.cron.as_str(), replaced.next_run_at), (put.id, "@daily", None));
    assert_eq!(
        (database.next_due().await.unwrap(), database.due_schedules(quarter(9), 9).await.unwrap()),
        (None, vec![])
    );
    let page = database.schedules(user, PageRequest::default()).await.unwrap();
    assert_eq!((page.total, page.items), (1, vec![replaced]));

    assert!(matches!(database.schedule(eve, id).await, Err(ScheduleError::NotFound)));
    assert!(matches!(database.put_schedule(eve, id, &off, 5).await, Err(ScheduleError::NoDocument)));
    assert!(matches!(database.delete_schedule(eve, id).await, Err(ScheduleError::NotFound)));
    assert_eq!(database.schedules(eve, PageRequest::default()).await.unwrap().total, 0);
    let hers = database.create_environment(eve, &named("hers")).await.unwrap().id;
    let foreign = NewSchedule { environment_id: Some(hers), ..off };
    assert!(matches!(database.put_schedule(user, id, &foreign, 5).await, Err(ScheduleError::NoEnvironment)));
    database.delete_schedule(user, id).await.unwrap();
    assert!(matches!(database.delete_schedule(user, id).await, Err(ScheduleError::NotFound)));
}

async fn a_time_that_is_due_gets_one_job_of_many_servers(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = document(&database, user).await;
    database.put_schedule(user, id, &new_schedule(quarter(1)), 5).await.unwrap();
    assert_eq!(database.due_schedules(quarter(0), 9).await.unwrap(), []);
    let seen = database.due_schedules(quarter(1), 9).await.unwrap().remove(0);
    let late = seen.clone();
    let fired = at_once(&at, 4, move |server, _| {
        let seen = seen.clone();
        async move { fire(&server, &seen, 2).await }
    });
    let fired = fired.await;
    let jobs: Vec<_> =
        fired.iter().filter_map(|fired| if let Fired::Job(job) = fired { Some(job) } else { None }).collect();
    assert_eq!((jobs.len(), fired.iter().filter(|fired| **fired == Fired::Lost).count()), (1, 3), "{fired:?}");
    let schedule = database.schedule(user, id).await.unwrap();
    assert_eq!((schedule.next_run_at, schedule.last_job_id), (Some(quarter(2)), Some(jobs[0].id)));
    assert_eq!((schedule.last_outcome, schedule.last_run_at), (Some(JobState::Queued), Some(jobs[0].created_at)));
    end(&database, JobEnd::Succeeded(json!(1))).await;
    assert_eq!(database.schedule(user, id).await.unwrap().last_outcome, Some(JobState::Succeeded));
    // One who comes much later, and one who has moved it back.
    assert_eq!(fire(&database, &late, 2).await, Fired::Lost);
    database.put_schedule(user, id, &new_schedule(quarter(1)), 5).await.unwrap();
    assert!(matches!(fire_at(&database, 1).await, Fired::Skipped { .. }), "that time had its job");
    assert_eq!(database.jobs(user, None, PageRequest::default()).await.unwrap().total, 1);
}

async fn what_a_job_is_to_work_on_is_held_until_it_is_over(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = document(&database, user).await;
    let new = NewFile {
        path: "a.csv".parse().unwrap(),
        size_bytes: 3,
        sha256: "0".repeat(64),
        media_type: "text/csv".to_owned(),
    };
    let attached = database.attach_file(user, id, &new, Some("files/key")).await.unwrap();
    assert!(matches!(attached, Attached::Done(_)));
    let made = database.enqueue_of_document(user, id, job(user), 5).await.unwrap();
    database.detach_file(user, id, &new.path).await.unwrap();
    let keys = ["files/key".to_owned(), "files/other".to_owned()];
    let named = async || database.named_objects(&keys).await.unwrap().len();
    assert_eq!(named().await, 1);
    let files = database.job_files(made.id).await.unwrap();
    assert_eq!((files.len(), files[0].object_key.as_str(), files[0].file.size_bytes), (1, "files/key", 3));
    end(&database, JobEnd::Cancelled).await;
    assert_eq!(named().await, 0);
    // One that ends before it began lets go, too.
    database.attach_file(user, id, &new, Some("files/key")).await.unwrap();
    let made = database.enqueue_of_document(user, id, job(user), 5).await.unwrap();
    database.detach_file(user, id, &new.path).await.unwrap();
    assert_eq!(named().await, 1);
    database.request_cancel(user, made.id).await.unwrap();
    assert_eq!((named().await, database.job_files(made.id).await.unwrap().len()), (0, 0));
    // So does one that has lost its servers, and one that was to be cancelled by a lost one.
    for is_cancelled in [false, true] {
        database.attach_file(user, id, &new, Some("files/key")).await.unwrap();
        let made = database.enqueue_of_document(user, id, job(user), 5).await.unwrap();
        database.detach_file(user, id, &new.path).await.unwrap();
        while let Some((claimed, _)) = database.claim("me", &["render"], Duration::ZERO).await.unwrap() {
            assert_eq!((claimed.id, database.job_files(made.id).await.unwrap().len()), (made.id, 1));
            if is_cancelled {
                database.request_cancel(user, made.id).await.unwrap();
            }
            database.requeue_expired().await.unwrap();
        }
        let state = if is_cancelled { JobState::Cancelled } else { JobState::Failed };
        assert_eq!(database.job(user, made.id).await.unwrap().state, state);
        assert_eq!((named().await, database.job_files(made.id).await.unwrap().len()), (0, 0));
    }
}

async fn a_schedule_waits_for_its_last_run_and_for_its_user(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = document(&database, user).await;
    database.put_schedule(user, id, &new_schedule(quarter(1)), 5).await.unwrap();
    assert!(matches!(fire_at(&database, 1).await, Fired::Job(_)));
    assert!(reason(fire_at(&database, 2).await).contains("not over"));
    let schedule = database.schedule(user, id).await.unwrap();
    assert_eq!((schedule.next_run_at, schedule.failures), (Some(quarter(3)), 0));
    assert!(schedule.last_skipped.unwrap().contains("not over"));
    end(&database, JobEnd::Succeeded(json!(1))).await;
    database.set_suspended(user, Some(Timestamp::now())).await.unwrap();
    assert!(reason(fire_at(&database, 3).await).contains("suspended"));
    database.set_suspended(user, None).await.unwrap();
    for _ in 0..5 {
        database
            .enqueue(&NewJob { user, environment: None, kind: "x".to_owned(), request: json!(1) }, 5)
            .await
            .unwrap();
    }
    assert!(reason(fire_at(&database, 4).await).contains("5 of your jobs"));
    let schedule = database.schedule(user, id).await.unwrap();
    assert_eq!((schedule.enabled, schedule.failures, schedule.next_run_at), (true, 0, Some(quarter(5))));
}

async fn a_schedule_that_always_fails_is_disabled(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = document(&database, user).await;
    database.put_schedule(user, id, &new_schedule(quarter(1)), 5).await.unwrap();
    for number in 1..=12 {
        let fired = fire_at(&database, number).await;
        assert!(matches!(fired, Fired::Job(_)), "{number}: {fired:?}");
        // One success counts all anew.
        let how = if number == 2 { JobEnd::Succeeded(json!(1)) } else { JobEnd::Failed("no such file".to_owned()) };
        end(&database, how).await;
        let expected = if number < 2 { 1 } else { u32::try_from(number - 2).unwrap() };
        assert_eq!(database.schedule(user, id).await.unwrap().failures, expected);
    }
    let why = reason(fire_at(&database, 13).await);
    assert!(why.contains("10 times") && why.contains("no such file"), "{why}");
    let schedule = database.schedule(user, id).await.unwrap();
    assert_eq!((schedule.enabled, schedule.disabled_reason, schedule.next_run_at), (false, Some(why), None));
    assert_eq!(database.next_due().await.unwrap(), None);
    // Put again, it begins anew.
    let put = database.put_schedule(user, id, &new_schedule(quarter(14)), 5).await.unwrap();
    assert_eq!((put.enabled, put.disabled_reason, put.failures), (true, None, 0));
}

async fn a_schedule_of_a_document_in_the_bin_does_not_run(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = document(&database, user).await;
    database.put_schedule(user, id, &new_schedule(quarter(1)), 5).await.unwrap();
    database.delete_document(user, id, None).await.unwrap();
    for number in 1..=9 {
        assert!(reason(fire_at(&database, number).await).contains("bin"));
    }
    let schedule = database.schedule(user, id).await.unwrap();
    assert_eq!((schedule.failures, schedule.enabled), (9, true));
    assert!(reason(fire_at(&database, 10).await).contains("10 times"));
    assert!(!database.schedule(user, id).await.unwrap().enabled);
    assert_eq!(database.jobs(user, None, PageRequest::default()).await.unwrap().total, 0);
}

async fn nobody_has_too_many(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(document(&database, user).await);
    }
    let put = at_once(&at, 6, |server, number| {
        let id = ids[number];
        async move { server.put_schedule(user, id, &new_schedule(quarter(1)), 3).await.is_ok() }
    });
    assert_eq!(put.await.into_iter().filter(|put| *put).count(), 3);
    let page = database.schedules(user, PageRequest::default()).await.unwrap();
    database.put_schedule(user, page.items[0].document_id, &new_schedule(quarter(2)), 3).await.unwrap();
}

async fn a_purged_document_takes_its_schedule_along(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = document(&database, user).await;
    database.put_schedule(user, id, &new_schedule(quarter(1)), 5).await.unwrap();
    let seen = database.due_schedules(quarter(1), 9).await.unwrap().remove(0);
    database.purge_document(user, id, None).await.unwrap();
    assert_eq!(fire(&database, &seen, 2).await, Fired::Lost);
    assert_eq!(database.schedules(user, PageRequest::default()).await.unwrap().total, 0);
}

async fn the_results_of_a_user_make_room_for_each_other(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let mut ids = Vec::new();
    for number in 0..4_u64 {
        let new = NewJob { user, environment: None, kind: "render".to_owned(), request: json!(1) };
        ids.push(database.enqueue(&new, 5).await.unwrap().id);
        let lease = SignedDuration::from_secs(60).unsigned_abs();
        let (_, lease) = database.claim("me", &["render"], lease).await.unwrap().unwrap();
        let object = pymd::store::JobObject { object_key: format!("jobs/{number}"), size_bytes: 40 };
        database.finish_with_result(user, &lease, &json!({"href": "x"}), &object, 100).await.unwrap();
        let again = database.finish_with_result(user, &lease, &json!(2), &object, 100).await;
        assert!(again.is_err(), "a result is written once");
    }
    let mut kept = Vec::new();
    for id in &ids {
        kept.push(database.job_result(user, *id).await.unwrap().is_some());
    }
    assert_eq!(kept, [false, false, true, true]);
    let keys: Vec<_> = (0..4).map(|number| format!("jobs/{number}")).collect();
    assert_eq!(database.named_objects(&keys).await.unwrap().len(), 2);
    let eve = new_user(&database).await.id;
    assert_eq!(database.job_result(eve, ids[3]).await.unwrap(), None);
}
