//! The history of what ran: found by its user alone, quick when it is long, gone in time.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use pymd::domain::{
    BackendKind, DocumentId, EnvironmentId, Execution, ExecutionFilter, ExecutionGroup, ExecutionId, ExecutionKind,
    ExecutionOutcome, KernelId, OutcomeKind, Output, PageRequest, SortOrder, StreamName, UserId,
};
use pymd::store::{Database, NewExecution, NewOutputs, StoreError};
use sqlx::{Connection as _, Executor as _};

use super::opening::connect;
use super::{named, new_user};
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    what_is_recorded_is_read_back,
    others_see_and_delete_nothing,
    filters_orders_and_pages,
    stats_are_by_what_they_have_in_common,
    the_eldest_and_the_too_many_go,
    history_outlives_what_it_is_about_but_not_its_user,
    long_histories_are_quick,
];

fn execution(user: UserId) -> Execution {
    let now = Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap();
    Execution {
        id: ExecutionId::new(),
        user_id: user,
        kind: ExecutionKind::Execute,
        environment_id: None,
        document_id: None,
        kernel_id: None,
        cell_index: None,
        cell_label: None,
        cell_name: "cell 1".to_owned(),
        code: "print(1)".to_owned(),
        outcome: ExecutionOutcome { kind: OutcomeKind::Completed, ename: None },
        fuel_used: 1000,
        wall_ms: 2.5,
        peak_memory_bytes: 41_943_040,
        output_bytes: 2,
        backend: BackendKind::default(),
        started_at: now,
        completed_at: now,
    }
}

fn alone(execution: Execution) -> NewExecution {
    NewExecution { execution, outputs: None }
}

fn with_outputs(execution: Execution) -> NewExecution {
    let json = r#"[{"type":"stream","name":"stdout","text":"a\u0000b"}]"#.to_owned();
    NewExecution { execution, outputs: Some(NewOutputs { json, is_truncated: true }) }
}

/// Deletes the eldest, and tells how many.
async fn delete(database: &Database, user: UserId, filter: &ExecutionFilter, limit: u32) -> u64 {
    let eldest = database.eldest_executions(user, filter, limit).await.unwrap();
    assert!(eldest.is_sorted_by_key(|(_, began)| *began), "{eldest:?}");
    let ids: Vec<_> = eldest.into_iter().map(|(id, _)| id).collect();
    database.delete_executions(user, &ids).await.unwrap()
}

async fn all(database: &Database, user: UserId, filter: &ExecutionFilter) -> Vec<Execution> {
    let page = PageRequest::new(1, 100).unwrap();
    let page = database.executions(user, filter, SortOrder::Asc, page).await.unwrap();
    assert_eq!(page.total, page.items.len() as u64);
    page.items
}

fn missing<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Missing { what: "execution" })), "{answer:?}");
}

async fn what_is_recorded_is_read_back(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let full = Execution {
        kind: ExecutionKind::Render,
        environment_id: Some(EnvironmentId::new()),
        document_id: Some(DocumentId::new()),
        kernel_id: Some(KernelId::new()),
        cell_index: Some(7),
        cell_label: Some("fig-\u{e9}".to_owned()),
        outcome: ExecutionOutcome { kind: OutcomeKind::PythonError, ename: Some("ValueError".to_owned()) },
        fuel_used: i64::MAX as u64,
        wall_ms: 30_000.123,
        ..execution(user)
    };
    let hostile = Execution {
        code: format!("\0{}", "\u{e9}".repeat(1000)),
        cell_name: "n".repeat(1000),
        outcome: ExecutionOutcome { kind: OutcomeKind::Crashed, ename: Some("\0".repeat(1000)) },
        ..execution(user)
    };
    let new = [with_outputs(full.clone()), alone(hostile.clone())];
    database.record_executions(&new).await.unwrap();
    // A second time, as after a connection that broke when it was done.
    database.record_executions(&new).await.unwrap();
    let (read, kept) = database.execution(user, full.id).await.unwrap();
    assert_eq!(read, full);
    let kept = kept.unwrap();
    assert_eq!((kept.is_truncated, kept.text(StreamName::Stdout).as_str()), (true, "a\0b"));
    assert!(matches!(&kept.outputs[..], [Output::Stream { name: StreamName::Stdout, .. }]), "{kept:?}");
    let (read, kept) = database.execution(user, hostile.id).await.unwrap();
    assert_eq!((read.code.len(), read.cell_name.len(), kept), (1025, 200, None), "three bytes for the NUL");
    assert_eq!(all(&database, user, &ExecutionFilter::default()).await.len(), 2);
    database.record_executions(&[]).await.unwrap();
}

async fn others_see_and_delete_nothing(at: TestDatabase) {
    let database = at.open().await;
    let (user, other) = (new_user(&database).await.id, new_user(&database).await.id);
    let environment = Some(EnvironmentId::new());
    let new = Execution { environment_id: environment, ..execution(user) };
    database.record_executions(&[with_outputs(new.clone())]).await.unwrap();
    missing(database.execution(other, new.id).await);
    missing(database.delete_execution(other, new.id).await);
    missing(database.execution(user, ExecutionId::new()).await);
    for filter in [ExecutionFilter::default(), ExecutionFilter { environment_id: environment, ..Default::default() }] {
        assert_eq!(all(&database, other, &filter).await, []);
        assert_eq!(database.eldest_executions(other, &filter, 100).await.unwrap(), []);
        assert_eq!(database.delete_executions(other, &[new.id]).await.unwrap(), 0);
        let page = PageRequest::default();
        let stats = database.execution_stats(other, &filter, ExecutionGroup::Environment, page).await.unwrap();
        assert_eq!((stats.total, stats.items.len()), (0, 0));
    }
    assert_eq!(database.surplus_executions(other, 0).await.unwrap(), 0);
    database.delete_surplus_outputs(other, 0).await.unwrap();
    assert!(database.execution(user, new.id).await.unwrap().1.is_some());
    database.delete_execution(user, new.id).await.unwrap();
    missing(database.execution(user, new.id).await);
}

async fn filters_orders_and_pages(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let (environment, document, kernel) = (EnvironmentId::new(), DocumentId::new(), KernelId::new());
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let new: Vec<_> = (0..100_i64)
        .map(|number| Execution {
            started_at: start + Duration::from_secs(60 * number.unsigned_abs()),
            kind: ExecutionKind::ALL[usize::try_from(number % 3).unwrap()],
            outcome: ExecutionOutcome { kind: OutcomeKind::ALL[usize::try_from(number % 9).unwrap()], ename: None },
            environment_id: Some(if number % 2 == 0 { environment } else { EnvironmentId::new() }),
            document_id: (number % 5 == 0).then_some(document),
            kernel_id: (number % 7 == 0).then_some(kernel),
            ..execution(user)
        })
        .collect();
    database.record_executions(&new.iter().cloned().map(alone).collect::<Vec<_>>()).await.unwrap();
    let none = ExecutionFilter::default;
    let (since, until) = (Some(start + Duration::from_secs(600)), Some(start + Duration::from_secs(1200)));
    let filters = [
        (none(), 100),
        (ExecutionFilter { environment_id: Some(environment), ..none() }, 50),
        (ExecutionFilter { document_id: Some(document), ..none() }, 20),
        (ExecutionFilter { kernel_id: Some(kernel), ..none() }, 15),
        (ExecutionFilter { kind: Some(ExecutionKind::Kernel), ..none() }, 33),
        (ExecutionFilter { outcome: Some(OutcomeKind::OutOfFuel), ..none() }, 11),
        (ExecutionFilter { since, ..none() }, 90),
        (ExecutionFilter { until, ..none() }, 20),
        (ExecutionFilter { since, until, environment_id: Some(environment), ..none() }, 5),
        (ExecutionFilter { document_id: Some(document), kernel_id: Some(kernel), ..none() }, 3),
        (ExecutionFilter { document_id: Some(DocumentId::new()), ..none() }, 0),
    ];
    for (filter, count) in filters {
        assert_eq!(all(&database, user, &filter).await.len(), count, "{filter:?}");
    }
    let page = |number| PageRequest::new(number, 30).unwrap();
    let mut seen = Vec::new();
    for number in 1..=4 {
        let page = database.executions(user, &none(), SortOrder::Desc, page(number)).await.unwrap();
        assert_eq!((page.total, page.has_more()), (100, number < 4));
        seen.extend(page.items.into_iter().map(|execution| execution.id));
    }
    seen.reverse();
    assert_eq!(seen, new.iter().map(|execution| execution.id).collect::<Vec<_>>());
    let gone = ExecutionFilter { until, ..none() };
    assert_eq!(delete(&database, user, &gone, 15).await, 15);
    assert_eq!(delete(&database, user, &gone, 15).await, 5);
    assert_eq!(all(&database, user, &none()).await.len(), 80);
}

async fn stats_are_by_what_they_have_in_common(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let (one, other) = (DocumentId::new(), DocumentId::new());
    let day: Timestamp = "2026-02-28T23:59:59.999999Z".parse().unwrap();
    let row = |document, kind, outcome, wall_ms, at| Execution {
        document_id: document,
        kind,
        outcome: ExecutionOutcome { kind: outcome, ename: None },
        wall_ms,
        started_at: at,
        ..execution(user)
    };
    let later = day + Duration::from_micros(1);
    let new = [
        row(Some(one), ExecutionKind::Render, OutcomeKind::Completed, 1.0, day),
        row(Some(one), ExecutionKind::Render, OutcomeKind::Completed, 8.0, day),
        row(Some(one), ExecutionKind::Render, OutcomeKind::OutOfFuel, 2.001, day),
        row(Some(other), ExecutionKind::Render, OutcomeKind::Completed, 5.0, later),
        row(None, ExecutionKind::Kernel, OutcomeKind::Cancelled, 4.0, later),
        row(None, ExecutionKind::Execute, OutcomeKind::Completed, 6.0, later),
    ];
    database.record_executions(&new.map(alone)).await.unwrap();
    let stats = async |by| {
        let page = database.execution_stats(user, &ExecutionFilter::default(), by, PageRequest::default()).await;
        let page = page.unwrap();
        assert_eq!(page.total, page.items.len() as u64);
        page.items
    };
    let documents = stats(ExecutionGroup::Document).await;
    let of_one = documents.iter().find(|stats| stats.group == Some(one.to_string())).unwrap();
    assert_eq!((of_one.executions, of_one.fuel_used, of_one.output_bytes), (3, 3000, 6));
    assert_eq!((of_one.wall_ms, of_one.median_wall_ms, of_one.max_wall_ms), (11.001, 2.001, 8.0));
    assert_eq!((of_one.peak_memory_bytes, of_one.last_started_at), (41_943_040, day));
    let outcomes: Vec<_> = of_one.outcomes.clone().into_iter().collect();
    assert_eq!(outcomes, [(OutcomeKind::Completed, 2), (OutcomeKind::OutOfFuel, 1)]);
    assert_eq!(documents.last().unwrap().group, of_one.group, "the one used last is first");
    let of_none = documents.iter().find(|stats| stats.group.is_none()).unwrap();
    assert_eq!((of_none.executions, of_none.median_wall_ms, of_none.max_wall_ms), (2, 4.0, 6.0));
    let groups = |stats: Vec<pymd::domain::ExecutionStats>| {
        stats.into_iter().map(|stats| (stats.group.unwrap_or_default(), stats.executions)).collect::<Vec<_>>()
    };
    let days = groups(stats(ExecutionGroup::Day).await);
    assert_eq!(days, [("2026-03-01".to_owned(), 3), ("2026-02-28".to_owned(), 3)]);
    let mut kinds = groups(stats(ExecutionGroup::Kind).await);
    kinds.sort();
    assert_eq!(kinds, [("execute".to_owned(), 1), ("kernel".to_owned(), 1), ("render".to_owned(), 4)]);
    assert_eq!(groups(stats(ExecutionGroup::Environment).await), [(String::new(), 6)]);
    let request = PageRequest::new(2, 2).unwrap();
    let filter = ExecutionFilter { since: Some(day), ..ExecutionFilter::default() };
    let page = database.execution_stats(user, &filter, ExecutionGroup::Document, request).await.unwrap();
    assert_eq!((page.total, page.items.len(), page.has_more()), (3, 1, false));
    let request = PageRequest::new(9, 2).unwrap();
    let page = database.execution_stats(user, &filter, ExecutionGroup::Document, request).await.unwrap();
    assert_eq!((page.total, page.items.len()), (3, 0));
}

/// An id of an execution that began so long ago.
fn id_of(ago: Duration) -> ExecutionId {
    ExecutionId::earliest_at(Timestamp::now() - ago)
}

async fn the_eldest_and_the_too_many_go(at: TestDatabase) {
    let database = at.open().await;
    let (user, other) = (new_user(&database).await.id, new_user(&database).await.id);
    const HOUR: Duration = Duration::from_secs(3600);
    let new: Vec<_> = (1..=10)
        .map(|hours| {
            let started_at = Timestamp::now() - HOUR * hours;
            with_outputs(Execution { id: id_of(HOUR * hours), started_at, ..execution(user) })
        })
        .collect();
    database.record_executions(&new).await.unwrap();
    database.record_executions(&[with_outputs(execution(other))]).await.unwrap();
    let kept = async |number: usize| database.execution(user, new[number].execution.id).await.map(|found| found.1);
    let before = |hours| Timestamp::now() - HOUR * hours - HOUR / 2;
    assert_eq!(database.delete_old_execution_outputs(before(6), 3).await.unwrap(), 3);
    assert_eq!(database.delete_old_execution_outputs(before(6), 3).await.unwrap(), 1);
    assert!(kept(5).await.unwrap().is_some() && kept(6).await.unwrap().is_none());
    assert_eq!(database.delete_old_executions(before(8), 100).await.unwrap(), 2);
    missing(kept(8).await);
    // One has some 50 bytes.
    let size = new[0].outputs.as_ref().unwrap().json.len() as u64;
    assert_eq!(database.delete_surplus_outputs(user, 6 * size).await.unwrap(), 0);
    assert_eq!(database.delete_surplus_outputs(user, 3 * size).await.unwrap(), 3);
    assert!(kept(2).await.unwrap().is_some() && kept(3).await.unwrap().is_none());
    assert_eq!(database.surplus_executions(user, 5).await.unwrap(), 3);
    assert_eq!(delete(&database, user, &ExecutionFilter::default(), 3).await, 3);
    missing(kept(5).await);
    assert!(kept(4).await.is_ok());
    assert_eq!(all(&database, other, &ExecutionFilter::default()).await.len(), 1);
    let users = database.users_with_executions(None, 100).await.unwrap();
    assert_eq!(users, [user, other]);
    assert_eq!(database.users_with_executions(Some(user), 100).await.unwrap(), [other]);
    // Outputs go with their execution.
    let mut connection = connect(&at).await;
    let (left,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM execution_outputs").fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, 4);
    connection.close().await.unwrap();
}

async fn history_outlives_what_it_is_about_but_not_its_user(at: TestDatabase) {
    let database = at.open().await;
    let (user, gone) = (new_user(&database).await.id, new_user(&database).await.id);
    let environment = database.create_environment(user, &named("e")).await.unwrap().id;
    let new = Execution { environment_id: Some(environment), ..execution(user) };
    database.record_executions(&[with_outputs(new.clone()), with_outputs(execution(gone))]).await.unwrap();
    database.delete_environment(user, environment).await.unwrap();
    database.purge_environment(environment).await.unwrap();
    assert_eq!(database.execution(user, new.id).await.unwrap().0, new);
    let mut connection = connect(&at).await;
    sqlx::query("DELETE FROM users WHERE id = $1").bind(gone.to_string()).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(all(&database, gone, &ExecutionFilter::default()).await, []);
    // What comes late of a user who is gone takes nothing of the others' with it.
    let late = execution(user);
    database.record_executions(&[alone(execution(gone)), alone(late.clone())]).await.unwrap();
    assert_eq!(database.execution(user, late.id).await.unwrap().0, late);
    assert_eq!(all(&database, gone, &ExecutionFilter::default()).await, []);
}

/// 100,000 rows of one user. On a busy machine of two cores a page takes some 10 ms in SQLite and up to 40 ms in
/// PostgreSQL; the test allows more, as others run beside it.
async fn long_histories_are_quick(at: TestDatabase) {
    const ROWS: u64 = 100_000;
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let environments = [EnvironmentId::new(), EnvironmentId::new(), EnvironmentId::new()];
    let documents: Vec<_> = (0..200).map(|_| DocumentId::new()).collect();
    let start = Timestamp::now() - Duration::from_secs(ROWS);
    let row = |number: u64| {
        let at = start + Duration::from_secs(number);
        alone(Execution {
            id: ExecutionId::earliest_at(at),
            environment_id: Some(environments[usize::try_from(number % 3).unwrap()]),
            document_id: number.is_multiple_of(2).then(|| documents[usize::try_from(number / 2 % 200).unwrap()]),
            outcome: ExecutionOutcome { kind: OutcomeKind::ALL[usize::try_from(number % 9).unwrap()], ename: None },
            wall_ms: (number % 1000) as f64,
            started_at: at,
            ..execution(user)
        })
    };
    let began = Instant::now();
    for first in (0..ROWS).step_by(512) {
        let rows: Vec<_> = (first..ROWS.min(first + 512)).map(row).collect();
        database.record_executions(&rows).await.unwrap();
    }
    eprintln!("{}: {ROWS} rows written in {:?}", at.url(), began.elapsed());
    if at.url().starts_with("postgres") {
        // As the server does by itself a little later.
        connect(&at).await.execute("VACUUM ANALYZE executions").await.unwrap();
    }
    let none = ExecutionFilter::default;
    let filters = [
        none(),
        ExecutionFilter { environment_id: Some(environments[0]), ..none() },
        ExecutionFilter { document_id: Some(documents[7]), ..none() },
        ExecutionFilter { outcome: Some(OutcomeKind::Crashed), ..none() },
        ExecutionFilter { since: Some(start + Duration::from_secs(ROWS / 2)), ..none() },
    ];
    for filter in filters {
        for page in [1, 50] {
            let request = PageRequest::new(page, 20).unwrap();
            let mut times = Vec::new();
            for _ in 0..5 {
                let began = Instant::now();
                let page = database.executions(user, &filter, SortOrder::Desc, request).await.unwrap();
                times.push(began.elapsed());
                assert!(page.total > 0);
            }
            times.sort();
            eprintln!("{}: page {page} of {filter:?}: {:?}", at.url(), times[2]);
            assert!(times[0] < Duration::from_millis(200), "{times:?}: {filter:?}");
        }
    }
    for by in [ExecutionGroup::Document, ExecutionGroup::Environment, ExecutionGroup::Kind, ExecutionGroup::Day] {
        let began = Instant::now();
        let stats = database.execution_stats(user, &none(), by, PageRequest::default()).await.unwrap();
        eprintln!("{}: stats by {by}: {:?}", at.url(), began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(5) && stats.total > 0);
    }
}
