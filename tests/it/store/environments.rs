//! Environments: names, quotas, the default one, pages, deletion.

use std::collections::HashSet;

use futures::future::join_all;
use jiff::Timestamp;
use pymd::domain::{
    BackendKind, EnvironmentId, EnvironmentName, EnvironmentStats, EnvironmentStatus, PageRequest, QuotaKind, Quotas,
    UserId,
};
use pymd::store::{EnvironmentError, NewEnvironment, StoreError};

use super::{at_once, named, new_user, set_quotas};
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    what_was_never_finished_is_swept_up,
    an_environment_is_kept_as_made,
    names_are_unique_among_those_of_a_user,
    of_two_requests_for_one_name_one_passes,
    the_quota_holds_when_many_ask_at_once,
    the_default_environment_is_made_once,
    the_default_environment_stays_and_counts_against_nothing,
    others_see_nothing,
    a_deleted_environment_is_gone_and_its_name_free,
    deleted_environments_are_swept_up,
    lists_come_in_pages_with_the_default_first,
    use_is_noted_once_a_minute,
    an_error_is_noted_for_its_generation_only,
    a_dropped_request_leaves_nothing,
];

async fn an_environment_is_kept_as_made(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await;
    let new = NewEnvironment { backend: BackendKind::Docker, status: EnvironmentStatus::Creating, ..named("My-env_3") };
    let made = database.create_environment(user.id, &new).await.unwrap();
    assert_eq!((made.generation, made.package_count, made.is_default), (0, 0, false));
    assert_eq!(database.environment(user.id, made.id).await.unwrap(), made);
    assert_eq!(database.environment_named(user.id, &made.name).await.unwrap(), made);
    let contents = database.environment_contents(user.id, made.id).await.unwrap();
    assert_eq!((contents.lock.python_version.as_str(), contents.lock.packages.len()), ("3.15.0", 0));
    assert_eq!(database.environment_packages(user.id, made.id).await.unwrap(), []);

    let imports = ["numpy".to_owned(), "a\"b".to_owned()];
    let changed = database.set_warm_imports(user.id, made.id, &imports).await.unwrap();
    assert_eq!(changed.warm_imports, imports);
    assert_eq!(database.environment(user.id, made.id).await.unwrap(), changed);
    let error = database.create_environment(UserId::new(), &named("x")).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::Store(StoreError::Missing { what: "user" })), "{error}");
}

async fn names_are_unique_among_those_of_a_user(at: TestDatabase) {
    let database = at.open().await;
    let (ada, bob) = (new_user(&database).await, new_user(&database).await);
    let made = database.create_environment(ada.id, &named("x")).await.unwrap();
    let error = database.create_environment(ada.id, &named("x")).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::NameTaken { .. }), "{error}");
    database.create_environment(bob.id, &named("x")).await.unwrap();
    let other = database.create_environment(ada.id, &named("X")).await.unwrap();

    let error = database.rename_environment(ada.id, other.id, &made.name).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::NameTaken { .. }), "{error}");
    let renamed = database.rename_environment(ada.id, other.id, &"y".parse().unwrap()).await.unwrap();
    assert_eq!(renamed.name.as_str(), "y");
    assert!(renamed.updated_at > other.updated_at);
    assert_eq!(database.rename_environment(ada.id, other.id, &renamed.name).await.unwrap(), renamed);
    for reserved in [
        database.create_environment(ada.id, &named("default")).await,
        database.rename_environment(ada.id, other.id, &EnvironmentName::default_name()).await,
    ] {
        assert!(matches!(reserved, Err(EnvironmentError::NameTaken { .. })), "{reserved:?}");
    }
}

async fn of_two_requests_for_one_name_one_passes(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await;
    let answers = at_once(&at, 8, |server, _| {
        let user = user.id;
        async move { server.create_environment(user, &named("x")).await }
    });
    let answers = answers.await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    assert!(refused.iter().all(|answer| matches!(answer, Err(EnvironmentError::NameTaken { .. }))), "{refused:?}");

    let other = database.create_environment(user.id, &named("y")).await.unwrap();
    let ids = [made.into_iter().next().unwrap().unwrap().id, other.id];
    let renamed = at_once(&at, 2, |server, number| {
        let (user, id) = (user.id, ids[number]);
        async move { server.rename_environment(user, id, &"z".parse().unwrap()).await }
    });
    let renamed = renamed.await;
    assert_eq!(renamed.iter().filter(|answer| answer.is_ok()).count(), 1, "{renamed:?}");
}

async fn the_quota_holds_when_many_ask_at_once(at: TestDatabase) {
    let database = at.open().await;
    let (user, other) = (new_user(&database).await, new_user(&database).await);
    let answers = at_once(&at, 12, |server, number| {
        let user = user.id;
        async move {
            // And several requests at each server.
            let names = [0, 1, 2].map(|n| named(&format!("e{number}-{n}")));
            join_all(names.iter().map(|new| server.create_environment(user, new))).await
        }
    });
    let mut made = Vec::new();
    for answer in answers.await.into_iter().flatten() {
        match answer {
            Ok(environment) => made.push(environment.id),
            Err(EnvironmentError::QuotaExceeded(refusal)) => {
                assert_eq!((refusal.what, refusal.used, refusal.allowed), (QuotaKind::Environments, 3, 3));
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(made.len(), 3, "as many as the tier FREE allows");
    database.create_environment(other.id, &named("x")).await.unwrap();
    database.delete_environment(user.id, made[0]).await.unwrap();
    database.create_environment(user.id, &named("again")).await.unwrap();

    set_quotas(&database, Quotas { environments: 0, ..Quotas::default() }).await;
    let error = database.create_environment(other.id, &named("y")).await.unwrap_err();
    assert_eq!(error.to_string(), "1 environments are there, and your tier allows 0");
}

async fn the_default_environment_is_made_once(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await;
    let got = at_once(&at, 12, |server, _| {
        let user = user.id;
        async move { server.default_environment(user, "3.15.0").await.unwrap() }
    });
    let got = got.await;
    assert_eq!(got.iter().map(|environment| environment.id).collect::<HashSet<_>>().len(), 1);
    assert!(got[0].is_default && got[0].name.as_str() == "default" && got[0].status == EnvironmentStatus::Active);
    let error = database.default_environment(UserId::new(), "3.15.0").await.unwrap_err();
    assert!(matches!(error, EnvironmentError::Store(StoreError::Missing { what: "user" })), "{error}");
}

async fn the_default_environment_stays_and_counts_against_nothing(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await;
    for name in ["a", "b", "c"] {
        database.create_environment(user.id, &named(name)).await.unwrap();
    }
    let default = database.default_environment(user.id, "3.15.0").await.unwrap();
    let error = database.delete_environment(user.id, default.id).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::DefaultStays), "{error}");
    let stats = database.environment_stats(user.id).await.unwrap();
    assert_eq!((stats.environments, stats.counted_environments), (4, 3));
    let renamed = database.rename_environment(user.id, default.id, &"mine".parse().unwrap()).await.unwrap();
    assert_eq!(database.default_environment(user.id, "3.15.0").await.unwrap(), renamed);
    database.rename_environment(user.id, default.id, &EnvironmentName::default_name()).await.unwrap();
}

async fn others_see_nothing(at: TestDatabase) {
    let database = at.open().await;
    let (ada, bob) = (new_user(&database).await.id, new_user(&database).await.id);
    let id = database.create_environment(ada, &named("x")).await.unwrap().id;
    let name = "y".parse().unwrap();
    let errors = [
        database.environment(bob, id).await.unwrap_err(),
        database.environment_named(bob, &"x".parse().unwrap()).await.unwrap_err(),
        database.environment_contents(bob, id).await.unwrap_err(),
        database.environment_packages(bob, id).await.unwrap_err(),
        database.rename_environment(bob, id, &name).await.unwrap_err(),
        database.set_warm_imports(bob, id, &[]).await.unwrap_err(),
        database.delete_environment(bob, id).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, EnvironmentError::NotFound), "{error}");
    }
    assert_eq!(database.environments(bob, PageRequest::default()).await.unwrap().total, 0);
    assert_eq!(database.environment_stats(bob).await.unwrap(), EnvironmentStats::default());
    assert_eq!(database.environment(ada, id).await.unwrap().name.as_str(), "x");
}

async fn a_deleted_environment_is_gone_and_its_name_free(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let first = database.create_environment(user, &named("x")).await.unwrap();
    let deleted = join_all((0..4).map(|_| database.delete_environment(user, first.id))).await;
    assert_eq!(deleted.iter().filter(|answer| answer.is_ok()).count(), 1, "{deleted:?}");
    let error = database.environment(user, first.id).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::NotFound), "{error}");
    assert!(!database.set_error(first.id, 0, "too late").await.unwrap());
    assert!(matches!(database.reserve_generation(first.id).await, Err(EnvironmentError::NotFound)));
    let second = database.create_environment(user, &named("x")).await.unwrap();
    assert_ne!(first.id, second.id);
}

async fn what_was_never_finished_is_swept_up(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let creating = |name: &str| NewEnvironment { status: EnvironmentStatus::Creating, ..named(name) };
    let lost = database.create_environment(user, &creating("lost")).await.unwrap().id;
    let kept = database.create_environment(user, &named("kept")).await.unwrap().id;
    assert_eq!(database.delete_unfinished(Timestamp::UNIX_EPOCH).await.unwrap(), 0);
    assert_eq!(database.delete_unfinished(Timestamp::MAX).await.unwrap(), 1);
    assert!(matches!(database.environment(user, lost).await, Err(EnvironmentError::NotFound)));
    database.environment(user, kept).await.unwrap();
    database.create_environment(user, &creating("lost")).await.unwrap();
}

async fn deleted_environments_are_swept_up(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(database.create_environment(user, &named(name)).await.unwrap().id);
    }
    let start = Timestamp::now();
    database.delete_environment(user, ids[0]).await.unwrap();
    database.delete_environment(user, ids[1]).await.unwrap();
    assert_eq!(database.deleted_environments(start, 10).await.unwrap(), []);
    assert_eq!(database.deleted_environments(Timestamp::MAX, 10).await.unwrap(), ids[..2]);
    assert_eq!(database.deleted_environments(Timestamp::MAX, 1).await.unwrap(), ids[..1]);
    assert!(database.purge_environment(ids[0]).await.unwrap());
    assert!(!database.purge_environment(ids[0]).await.unwrap(), "it is gone");
    assert!(!database.purge_environment(ids[2]).await.unwrap(), "it is in use");
    assert_eq!(database.deleted_environments(Timestamp::MAX, 10).await.unwrap(), ids[1..2]);
    assert_eq!(database.live_generations().await.unwrap().into_keys().collect::<Vec<_>>(), ids[2..]);
}

async fn lists_come_in_pages_with_the_default_first(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    database.set_tier(user, "PRO").await.unwrap();
    let mut made: Vec<EnvironmentId> = Vec::new();
    for name in ["z", "Y", "x", "w_", "v-"] {
        made.push(database.create_environment(user, &named(name)).await.unwrap().id);
    }
    made.insert(0, database.default_environment(user, "3.15.0").await.unwrap().id);
    let mut listed = Vec::new();
    for number in 1..=3 {
        let page = database.environments(user, PageRequest::new(number, 2).unwrap()).await.unwrap();
        assert_eq!((page.total, page.items.len()), (6, 2));
        listed.extend(page.items.into_iter().map(|environment| environment.id));
    }
    assert_eq!(listed, made);
}

async fn use_is_noted_once_a_minute(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let fresh = database.create_environment(user, &named("x")).await.unwrap();
    database.touch_environment(&fresh).await.unwrap();
    let used = database.environment(user, fresh.id).await.unwrap();
    assert!(used.last_used_at.unwrap() >= fresh.created_at);
    database.touch_environment(&used).await.unwrap();
    assert_eq!(database.environment(user, fresh.id).await.unwrap(), used);
}

async fn an_error_is_noted_for_its_generation_only(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = database.create_environment(user, &named("x")).await.unwrap().id;
    assert!(!database.set_error(id, 1, "of another generation").await.unwrap());
    let long = format!("no\0room{}", "\u{e9}".repeat(20_000));
    assert!(database.set_error(id, 0, &long).await.unwrap());
    let failed = database.environment(user, id).await.unwrap();
    assert_eq!(failed.status, EnvironmentStatus::Error);
    let error = failed.error.unwrap();
    assert!(error.starts_with("no\u{fffd}room\u{e9}") && error.len() <= (16 << 10) + 2, "{}", error.len());
    let warm = serde_json::json!({"failed": {"pkg": "needs a display"}});
    assert!(database.set_warm(id, 0, Some(&warm)).await.unwrap());
    assert_eq!(database.environment(user, id).await.unwrap().warm, Some(warm));
    assert!(!database.set_warm(id, 1, None).await.unwrap());
}

async fn a_dropped_request_leaves_nothing(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    // Each is stopped a little later than the one before, so that some stop in every step.
    for turns in 0..40 {
        let new = named(&format!("e{turns}"));
        let mut request = std::pin::pin!(database.create_environment(user, &new));
        for _ in 0..turns {
            if futures::poll!(request.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // One that was stopped while it committed may be done a moment later: whoever writes to the user's row comes after it.
    database.set_suspended(user, None).await.unwrap();
    let kept = database.environments(user, PageRequest::default()).await.unwrap();
    assert!(kept.total <= 3);
    for environment in kept.items {
        database.delete_environment(user, environment.id).await.unwrap();
    }
    // Nothing holds a lock, and no place of the quota is lost.
    for name in ["a", "b", "c"] {
        database.create_environment(user, &named(name)).await.unwrap();
    }
}

#[test]
fn names_are_of_plain_characters() {
    for good in ["a", "A-b_9", "default", &"x".repeat(100)] {
        assert_eq!(good.parse::<EnvironmentName>().unwrap().as_str(), good);
    }
    for bad in ["", " ", "a b", "a/b", "..", "\u{e9}", "a\n", "a\0", &"x".repeat(101)] {
        assert!(bad.parse::<EnvironmentName>().is_err(), "{bad:?}");
    }
    assert!(serde_json::from_str::<EnvironmentName>("\"a b\"").is_err());
}
