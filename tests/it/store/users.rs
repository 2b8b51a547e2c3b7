//! Users, tiers and pages of them.

use pymd::domain::{PageRequest, Quotas, Role, UserId};
use pymd::store::{NewUser, StoreError};

use super::{new_user, set_quotas};
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    a_user_is_kept_as_made,
    the_tiers_of_the_design_are_there,
    a_tier_changes_for_its_users_at_once,
    lists_come_in_pages,
    nobody_gets_a_tier_that_is_not_there,
];

async fn a_user_is_kept_as_made(at: TestDatabase) {
    let database = at.open().await;
    let new = NewUser {
        name: "Grace \u{1f6a2} 'Amazing'\0".to_owned(),
        email: Some("grace@example.org".to_owned()),
        role: Role::Admin,
        tier: "PRO".to_owned(),
    };
    let user = database.create_user(&new).await.unwrap();
    assert_eq!(user.name, "Grace \u{1f6a2} 'Amazing'\u{fffd}", "no database takes NUL in a text");
    assert_eq!(database.user(user.id).await.unwrap().as_ref(), Some(&user));
    assert_eq!(database.user(UserId::new()).await.unwrap(), None);
    let since = user.created_at;
    database.set_suspended(user.id, Some(since)).await.unwrap();
    assert_eq!(database.user(user.id).await.unwrap().unwrap().suspended_at, Some(since));
}

async fn the_tiers_of_the_design_are_there(at: TestDatabase) {
    let tiers = at.open().await.tiers().await.unwrap();
    let [free, pro] = tiers.as_slice() else { panic!("{tiers:?}") };
    assert_eq!((free.name.as_str(), pro.name.as_str()), ("FREE", "PRO"));
    assert_eq!(free.quotas, Quotas::default());
    let quotas = [free.quotas, pro.quotas];
    assert_eq!(quotas.map(|quotas| quotas.environments), [3, 10]);
    assert_eq!(quotas.map(|quotas| quotas.packages_per_environment), [50, 500]);
    assert_eq!(quotas.map(|quotas| quotas.environment_bytes), [1 << 30, 10 << 30]);
    assert_eq!(quotas.map(|quotas| quotas.documents), [200, 5000]);
    assert_eq!(quotas.map(|quotas| quotas.document_bytes), [10 << 20, 10 << 20]);
    assert_eq!(quotas.map(|quotas| quotas.attached_bytes), [100 << 20, 2 << 30]);
    assert_eq!((free.limits.wall_ms, pro.limits.wall_ms), (30_000, 300_000));
    assert_eq!((free.limits.cpu_share, pro.limits.cpu_share), (0.5, 2.0));
    assert_eq!((free.limits.memory_bytes, pro.limits.memory_bytes), (512 << 20, 2 << 30));
    assert_eq!(pro.limits.fuel, 10 * free.limits.fuel);
}

async fn a_tier_changes_for_its_users_at_once(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await;
    let quotas = Quotas { environments: 7, packages_per_environment: 8, environment_bytes: 9, ..Quotas::default() };
    set_quotas(&database, quotas).await;
    assert_eq!(database.grant(user.id, None).await.unwrap().quotas, quotas);
    database.set_tier(user.id, "PRO").await.unwrap();
    assert_eq!(database.grant(user.id, None).await.unwrap().tier, "PRO");
}

async fn lists_come_in_pages(at: TestDatabase) {
    let database = at.open().await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(new_user(&database).await.id);
    }
    let mut listed = Vec::new();
    for number in 1..=3 {
        let page = database.users(PageRequest::new(number, 3).unwrap()).await.unwrap();
        assert_eq!((page.total, page.has_more()), (7, number < 3));
        listed.extend(page.items.iter().map(|user| user.id));
    }
    assert_eq!(listed, made, "the eldest first");
    let past = database.users(PageRequest::new(u32::MAX, 100).unwrap()).await.unwrap();
    assert_eq!((past.items.len(), past.total, past.has_more()), (0, 7, false));
}

async fn nobody_gets_a_tier_that_is_not_there(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await;
    let error = database.set_tier(user.id, "GOLD").await.unwrap_err();
    assert!(matches!(error, StoreError::Missing { what: "tier" }), "{error}");
    let error = database.set_tier(UserId::new(), "PRO").await.unwrap_err();
    assert!(matches!(error, StoreError::Missing { what: "user" }), "{error}");
    let new = NewUser { name: "x".to_owned(), email: None, role: Role::User, tier: "'; --".to_owned() };
    let error = database.create_user(&new).await.unwrap_err();
    assert!(matches!(error, StoreError::Missing { what: "tier" }), "{error}");
    assert_eq!(database.users(PageRequest::default()).await.unwrap().total, 1);
}

#[test]
fn pages_are_bounded() {
    assert!(PageRequest::new(0, 20).is_err());
    assert!(PageRequest::new(1, 0).is_err());
    assert!(PageRequest::new(1, 101).is_err());
    assert_eq!(PageRequest::new(3, 100).unwrap().offset(), 200);
    assert_eq!(PageRequest::default(), PageRequest::new(1, 20).unwrap());
}
