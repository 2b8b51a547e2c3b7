//! API keys, and the first admin's.

use std::collections::HashSet;

use jiff::{Timestamp, ToSpan as _};
use pymd::domain::{PageRequest, Role, Scopes, UserId};
use pymd::store::{AuthenticateError, CreateKeyError, Database, NewKey, StoreError};

use super::{at_once, new_user};
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    nobody_has_keys_without_end,
    another_servers_admin_token_is_seen,
    a_key_brings_its_user,
    a_key_ends,
    a_suspended_user_is_shut_out,
    what_is_no_key_brings_nobody,
    use_is_noted_once_a_minute,
    the_first_admin_is_made_once,
    another_admin_token_replaces_the_first,
    who_runs_the_server_always_gets_in,
];

fn key(name: &str) -> NewKey {
    NewKey { name: name.to_owned(), scopes: Scopes::of(Role::User), expires_at: None }
}

async fn refused(database: &Database, text: &str) {
    let error = database.authenticate(text).await.unwrap_err();
    assert!(matches!(error, AuthenticateError::Unknown), "{error}");
}

async fn a_key_brings_its_user(at: TestDatabase) {
    let database = at.open().await;
    let (ada, bob) = (new_user(&database).await, new_user(&database).await);
    let (first, text) = database.create_key(ada.id, &key("laptop")).await.unwrap();
    let (second, other) = database.create_key(bob.id, &key("laptop")).await.unwrap();
    let came = database.authenticate(text.expose()).await.unwrap();
    assert_eq!((came.user, came.key, came.is_bootstrap), (ada.clone(), first.id, false));
    assert_eq!(database.authenticate(other.expose()).await.unwrap().user, bob);
    assert_ne!(first.id, second.id);

    assert!(text.expose().starts_with(&first.prefix) && first.prefix.starts_with("pymd_"));
    assert!(text.expose().len() >= first.prefix.len() + 36, "what is shown later is not the key");
    assert!(!format!("{text:?}").contains(&text.expose()[5..]), "{text:?}");
    let listed = database.keys(ada.id).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].id, listed[0].name.as_str()), (first.id, "laptop"));
    let error = database.create_key(UserId::new(), &key("x")).await.unwrap_err();
    assert!(matches!(error, CreateKeyError::Store(StoreError::Missing { what: "user" })), "{error}");
}

async fn nobody_has_keys_without_end(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await;
    for number in 0..98 {
        database.create_key(user.id, &key(&number.to_string())).await.unwrap();
    }
    let (one, two) = (key("one"), key("two"));
    let at_once = [&one, &two, &one, &two, &one].map(|key| database.create_key(user.id, key));
    let answers = futures::future::join_all(at_once).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
    assert!(matches!(
        answers.iter().find_map(|answer| answer.as_ref().err()),
        Some(CreateKeyError::TooMany { live: 100 })
    ));
    database.revoke_key(user.id, database.keys(user.id).await.unwrap()[0].id).await.unwrap();
    database.create_key(user.id, &one).await.unwrap();
}

async fn another_servers_admin_token_is_seen(at: TestDatabase) {
    let database = at.open().await;
    assert!(!database.has_other_admin_token("mine").await.unwrap());
    database.ensure_admin("mine").await.unwrap();
    assert!(!database.has_other_admin_token("mine").await.unwrap());
    assert!(database.has_other_admin_token("theirs").await.unwrap());
}

async fn a_key_ends(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await;
    let past = NewKey {
        name: "past".to_owned(),
        scopes: Scopes::of(Role::User),
        expires_at: Some(Timestamp::now() - 1.second()),
    };
    let (_, expired) = database.create_key(user.id, &past).await.unwrap();
    refused(&database, expired.expose()).await;
    let later = NewKey {
        name: "later".to_owned(),
        scopes: Scopes::of(Role::User),
        expires_at: Some(Timestamp::now() + 1.hour()),
    };
    let (later, text) = database.create_key(user.id, &later).await.unwrap();
    database.authenticate(text.expose()).await.unwrap();

    let stranger = new_user(&database).await;
    database.revoke_key(stranger.id, later.id).await.unwrap_err();
    database.authenticate(text.expose()).await.unwrap();
    database.revoke_key(user.id, later.id).await.unwrap();
    refused(&database, text.expose()).await;
    let revoked = database.keys(user.id).await.unwrap().pop().unwrap().revoked_at;
    database.revoke_key(user.id, later.id).await.unwrap();
    assert_eq!(database.keys(user.id).await.unwrap().pop().unwrap().revoked_at, revoked, "when it was revoked first");
}

async fn a_suspended_user_is_shut_out(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await;
    let (_, text) = database.create_key(user.id, &key("x")).await.unwrap();
    database.set_suspended(user.id, Some(Timestamp::now())).await.unwrap();
    let error = database.authenticate(text.expose()).await.unwrap_err();
    assert!(matches!(error, AuthenticateError::Suspended), "{error}");
    database.set_suspended(user.id, None).await.unwrap();
    database.authenticate(text.expose()).await.unwrap();
}

async fn what_is_no_key_brings_nobody(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await;
    let (key, text) = database.create_key(user.id, &key("x")).await.unwrap();
    let text = text.expose();
    let shorter = &text[..text.len() - 1];
    let longer = format!("{text}A");
    let padded = format!(" {text}");
    let lower = text.to_ascii_lowercase();
    let huge = "pymd_".repeat(1 << 20);
    for guess in ["", "pymd_", &key.prefix, shorter, &longer, &padded, &lower, &huge, "\0", "' OR 1 = 1 --"] {
        refused(&database, guess).await;
    }
}

async fn use_is_noted_once_a_minute(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await;
    let (_, text) = database.create_key(user.id, &key("x")).await.unwrap();
    let last_used = async || database.keys(user.id).await.unwrap()[0].last_used_at;
    assert_eq!(last_used().await, None);
    database.authenticate(text.expose()).await.unwrap();
    let first = last_used().await;
    assert!(first.is_some());
    database.authenticate(text.expose()).await.unwrap();
    assert_eq!(last_used().await, first);
}

async fn the_first_admin_is_made_once(at: TestDatabase) {
    let admins = at_once(&at, 8, |server, _| async move { server.ensure_admin("the-token").await.unwrap().id });
    let admins: HashSet<_> = admins.await.into_iter().collect();
    assert_eq!(admins.len(), 1);
    let database = at.open().await;
    let came = database.authenticate("the-token").await.unwrap();
    assert!(came.is_bootstrap && admins.contains(&came.user.id));
    assert_eq!((came.user.role, came.user.name.as_str()), (Role::Admin, "admin"));
    assert_eq!(database.users(PageRequest::default()).await.unwrap().total, 1);
    assert_eq!(database.keys(came.user.id).await.unwrap(), [], "it is set, not listed");
}

async fn another_admin_token_replaces_the_first(at: TestDatabase) {
    let database = at.open().await;
    let admin = database.ensure_admin("first").await.unwrap();
    assert_eq!(database.ensure_admin("second").await.unwrap(), admin);
    refused(&database, "first").await;
    let came = database.authenticate("second").await.unwrap();
    assert_eq!(came.user, admin);
    database.revoke_key(admin.id, came.key).await.unwrap_err();

    let (_, text) = database.create_key(admin.id, &key("x")).await.unwrap();
    let error = database.ensure_admin(text.expose()).await.unwrap_err();
    assert!(matches!(error, StoreError::TokenTaken), "{error}");
    assert_eq!(database.authenticate("second").await.unwrap().user, admin, "nothing has changed");
}

async fn who_runs_the_server_always_gets_in(at: TestDatabase) {
    let database = at.open().await;
    let admin = database.ensure_admin("token").await.unwrap();
    database.set_suspended(admin.id, Some(Timestamp::now())).await.unwrap();
    database.authenticate("token").await.unwrap_err();
    database.ensure_admin("token").await.unwrap();
    assert_eq!(database.authenticate("token").await.unwrap().user, admin);
}
