//! Publications: one link a document, known by its hash, within a quota.

use jiff::{SignedDuration, Timestamp};
use pymd::domain::{DocumentId, PublicToken, QuotaKind, Quotas, UserId};
use pymd::store::{Database, DocumentError, NewRender};

use super::titled;
use crate::databases::{TestDatabase, on_both_databases};
use crate::store::{at_once, new_user, set_quotas};

on_both_databases![
    a_document_is_published_until_it_is_not,
    the_quota_holds_when_many_ask_at_once,
    one_document_has_one_link_however_many_ask,
    the_bin_and_a_suspended_owner_show_nothing,
    others_can_do_nothing_with_it,
];

async fn document(database: &Database, user: UserId) -> (UserId, DocumentId) {
    (user, database.create_document(user, titled("x")).await.unwrap().summary.id)
}

fn token(number: usize) -> PublicToken {
    format!("{number:043}").parse().unwrap()
}

async fn is_shown(database: &Database, number: usize) -> bool {
    database.published_page(&token(number)).await.unwrap().is_some()
}

async fn a_document_is_published_until_it_is_not(at: TestDatabase) {
    let database = at.open().await;
    let (user, id) = document(&database, new_user(&database).await.id).await;
    assert_eq!(database.publication(user, id).await.unwrap(), None);
    assert!(!database.unpublish(user, id).await.unwrap());
    assert!(database.publish(user, id, "seed 1", &token(1)).await.unwrap());
    assert!(!database.publish(user, id, "seed 2", &token(2)).await.unwrap(), "it has its link already");
    let stored = database.publication(user, id).await.unwrap().unwrap();
    assert_eq!((stored.seed.as_str(), stored.render.as_ref()), ("seed 1", None));
    assert!(stored.is_opened_by(&token(1)) && !stored.is_opened_by(&token(2)));
    assert!(!format!("{stored:?}").contains(token(1).expose()));
    assert_eq!(database.published_page(&token(1)).await.unwrap().unwrap().render, None);
    assert!(!is_shown(&database, 2).await);
    let new = NewRender {
        version: 1,
        inputs_key: String::new(),
        rendered_at: Timestamp::now(),
        cell_count: 0,
        failed_count: 0,
        size_bytes: 1,
        digest: "digest".to_owned(),
        object_key: Some("renders/1".to_owned()),
    };
    database.keep_render(user, id, &new).await.unwrap();
    let render = database.published_page(&token(1)).await.unwrap().unwrap().render.unwrap();
    assert_eq!((render.digest.as_str(), render.object_key.as_deref()), ("digest", Some("renders/1")));
    assert_eq!(database.publication(user, id).await.unwrap().unwrap().render, Some(render));
    assert!(database.unpublish(user, id).await.unwrap());
    assert!(!is_shown(&database, 1).await);
    assert!(database.publish(user, id, "seed 2", &token(2)).await.unwrap());
    assert!(is_shown(&database, 2).await && !is_shown(&database, 1).await);
    let copy = database.duplicate_document(user, id).await.unwrap().summary.id;
    assert_eq!(database.publication(user, copy).await.unwrap(), None);
}

async fn the_quota_holds_when_many_ask_at_once(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    set_quotas(&database, Quotas { publications: 3, ..Quotas::default() }).await;
    let mut documents = Vec::new();
    for _ in 0..10 {
        documents.push(document(&database, user).await.1);
    }
    let all = documents.clone();
    let answers = at_once(&at, 10, move |server, number| {
        let id = all[number];
        async move {
            match server.publish(user, id, "seed", &token(number)).await {
                Ok(is_new) => usize::from(is_new),
                Err(DocumentError::QuotaExceeded(refusal)) => {
                    assert_eq!((refusal.what, refusal.allowed), (QuotaKind::Publications, 3));
                    0
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    assert_eq!(answers.await.into_iter().sum::<usize>(), 3);
    // In the bin they count still, as they can come back; for good, they make room.
    let mut published = Vec::new();
    for id in &documents {
        published.extend(database.publication(user, *id).await.unwrap().map(|_| *id));
    }
    let free = *documents.iter().find(|id| !published.contains(id)).unwrap();
    database.delete_document(user, published[0], None).await.unwrap();
    database.publish(user, free, "seed", &token(20)).await.unwrap_err();
    database.purge_document(user, published[0], None).await.unwrap();
    assert!(database.publish(user, free, "seed", &token(20)).await.unwrap());
}

async fn one_document_has_one_link_however_many_ask(at: TestDatabase) {
    let database = at.open().await;
    let (user, id) = document(&database, new_user(&database).await.id).await;
    let answers = at_once(&at, 10, move |server, number| async move {
        server.publish(user, id, "seed", &token(number)).await.unwrap()
    });
    assert_eq!(answers.await.into_iter().filter(|is_new| *is_new).count(), 1);
    let mut shown = 0;
    for number in 0..10 {
        shown += usize::from(is_shown(&database, number).await);
    }
    assert_eq!(shown, 1);
}

async fn the_bin_and_a_suspended_owner_show_nothing(at: TestDatabase) {
    let database = at.open().await;
    let (user, id) = document(&database, new_user(&database).await.id).await;
    database.publish(user, id, "seed", &token(1)).await.unwrap();
    database.delete_document(user, id, None).await.unwrap();
    assert!(!is_shown(&database, 1).await);
    for error in [
        database.publication(user, id).await.unwrap_err(),
        database.publish(user, id, "seed", &token(2)).await.unwrap_err(),
        database.unpublish(user, id).await.unwrap_err(),
    ] {
        assert!(matches!(error, DocumentError::NotFound), "{error}");
    }
    database.restore_document(user, id).await.unwrap();
    assert!(is_shown(&database, 1).await);
    let now = Timestamp::now();
    database.set_suspended(user, Some(now - SignedDuration::from_secs(1))).await.unwrap();
    assert!(!is_shown(&database, 1).await);
    database.set_suspended(user, Some(now + SignedDuration::from_hours(1))).await.unwrap();
    assert!(is_shown(&database, 1).await);
    database.set_suspended(user, None).await.unwrap();
    database.purge_document(user, id, None).await.unwrap();
    assert!(!is_shown(&database, 1).await);
}

async fn others_can_do_nothing_with_it(at: TestDatabase) {
    let database = at.open().await;
    let (ada, bob) = (new_user(&database).await.id, new_user(&database).await.id);
    let (_, id) = document(&database, ada).await;
    database.publish(ada, id, "seed", &token(1)).await.unwrap();
    for error in [
        database.publication(bob, id).await.unwrap_err(),
        database.publish(bob, id, "seed", &token(2)).await.unwrap_err(),
        database.unpublish(bob, id).await.unwrap_err(),
    ] {
        assert!(matches!(error, DocumentError::NotFound), "{error}");
    }
    assert!(is_shown(&database, 1).await);
}

#[test]
fn tokens_have_one_shape() {
    let good = "AZaz09-_".repeat(6)[..43].to_owned();
    assert_eq!(good.parse::<PublicToken>().unwrap().expose(), good);
    assert!(!format!("{:?}", good.parse::<PublicToken>()).contains(&good));
    for bad in [
        "",
        "a",
        &"a".repeat(42),
        &"a".repeat(44),
        &format!("{}=", "a".repeat(42)),
        &"\u{e9}".repeat(22),
        &"/".repeat(43),
    ] {
        assert!(bad.parse::<PublicToken>().is_err(), "{bad}");
    }
}
