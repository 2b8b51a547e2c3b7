//! Last renders: one a document, the latest, within a user's bytes; and which objects they name.

use jiff::{SignedDuration, Timestamp};
use pymd::domain::{DocumentId, Quotas, UserId};
use pymd::store::{Database, DocumentError, Kept, NewRender};

use super::titled;
use crate::databases::{TestDatabase, on_both_databases};
use crate::store::{at_once, new_user, set_quotas};

on_both_databases![
    a_render_is_kept_as_it_was,
    the_latest_render_stays,
    of_many_at_once_the_latest_stays,
    the_eldest_pages_make_room_but_not_those_of_published_documents,
    renders_go_with_their_document,
    renders_of_others_are_not_there,
];

async fn document(database: &Database, user: UserId) -> (UserId, DocumentId) {
    (user, database.create_document(user, titled("x")).await.unwrap().summary.id)
}

/// A render of so many bytes, so many seconds after the first.
fn render(seconds: i64, size_bytes: u64, key: &str) -> NewRender {
    NewRender {
        version: 7,
        inputs_key: "inputs".to_owned(),
        rendered_at: Timestamp::from_second(1_700_000_000).unwrap() + SignedDuration::from_secs(seconds),
        cell_count: 3,
        failed_count: 1,
        size_bytes,
        digest: format!("digest of {key}"),
        object_key: Some(key.to_owned()),
    }
}

async fn keep(database: &Database, (user, id): (UserId, DocumentId), new: &NewRender) -> Kept {
    database.keep_render(user, id, new).await.unwrap()
}

/// The key of what is kept, if anything is.
async fn key(database: &Database, (user, id): (UserId, DocumentId)) -> Option<String> {
    database.last_render(user, id).await.unwrap()?.object_key
}

fn kept(is_kept: bool, unnamed: &[&str]) -> Kept {
    Kept { is_kept, unnamed: unnamed.iter().map(|key| (*key).to_owned()).collect() }
}

async fn a_render_is_kept_as_it_was(at: TestDatabase) {
    let database = at.open().await;
    let place = document(&database, new_user(&database).await.id).await;
    assert_eq!(database.last_render(place.0, place.1).await.unwrap(), None);
    let new = render(0, 10, "renders/1");
    assert_eq!(keep(&database, place, &new).await, kept(true, &[]));
    let stored = database.last_render(place.0, place.1).await.unwrap().unwrap();
    assert_eq!((stored.digest.as_str(), stored.inputs_key.as_str()), ("digest of renders/1", "inputs"));
    assert_eq!(stored.object_key.as_deref(), Some("renders/1"));
    let about = stored.about;
    assert_eq!((about.version, about.cell_count, about.failed_count, about.size_bytes), (7, 3, 1, 10));
    assert_eq!((about.rendered_at, about.is_kept), (new.rendered_at, true));
    // One that is too large takes its place, and has no page.
    let large = NewRender { object_key: None, ..render(1, u64::MAX >> 1, "") };
    assert_eq!(keep(&database, place, &large).await, kept(false, &["renders/1"]));
    let stored = database.last_render(place.0, place.1).await.unwrap().unwrap();
    assert_eq!((stored.object_key, stored.about.is_kept, stored.about.size_bytes), (None, false, u64::MAX >> 1));
}

async fn the_latest_render_stays(at: TestDatabase) {
    let database = at.open().await;
    let place = document(&database, new_user(&database).await.id).await;
    assert_eq!(keep(&database, place, &render(5, 1, "renders/5")).await, kept(true, &[]));
    assert_eq!(keep(&database, place, &render(4, 1, "renders/4")).await, kept(false, &["renders/4"]));
    assert_eq!(key(&database, place).await.as_deref(), Some("renders/5"));
    assert_eq!(keep(&database, place, &render(6, 1, "renders/6")).await, kept(true, &["renders/5"]));
    // Of a version that is not the latest, however late it is.
    let of_before = NewRender { version: 6, ..render(7, 1, "renders/7") };
    assert_eq!(keep(&database, place, &of_before).await, kept(false, &["renders/7"]));
    let all = ["renders/4", "renders/5", "renders/6"].map(str::to_owned);
    let named = database.named_objects(&all).await.unwrap();
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["renders/6"]);
}

async fn of_many_at_once_the_latest_stays(at: TestDatabase) {
    let database = at.open().await;
    let place = document(&database, new_user(&database).await.id).await;
    let answers = at_once(&at, 12, |server, number| async move {
        keep(&server, place, &render(number as i64, 1, &format!("renders/{number}"))).await
    });
    let mut unnamed: Vec<_> = answers.await.into_iter().flat_map(|kept| kept.unnamed).collect();
    assert_eq!(key(&database, place).await.as_deref(), Some("renders/11"));
    unnamed.sort();
    unnamed.dedup();
    assert_eq!(unnamed.len(), 11, "every other object is told once: {unnamed:?}");
}

async fn the_eldest_pages_make_room_but_not_those_of_published_documents(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    set_quotas(&database, Quotas { rendered_bytes: 100, ..Quotas::default() }).await;
    let mut places = Vec::new();
    for number in 0..4 {
        let place = document(&database, user).await;
        assert!(keep(&database, place, &render(number, 25, &format!("renders/{number}"))).await.is_kept);
        places.push(place);
    }
    let token = "a".repeat(43).parse().unwrap();
    assert!(database.publish(user, places[0].1, "seed", &token).await.unwrap());
    let another = document(&database, user).await;
    assert_eq!(
        keep(&database, another, &render(10, 40, "renders/a")).await,
        kept(true, &["renders/1", "renders/2"]),
        "the first one is published"
    );
    assert!(database.last_render(user, places[1].1).await.unwrap().is_none());
    // Larger than all that could give way.
    let last = document(&database, user).await;
    assert_eq!(keep(&database, last, &render(11, 90, "renders/b")).await, kept(false, &["renders/b"]));
    assert_eq!(key(&database, last).await, None);
    assert_eq!(key(&database, another).await.as_deref(), Some("renders/a"), "nothing goes in vain");
    assert_eq!(key(&database, places[0]).await.as_deref(), Some("renders/0"));
    // A document's own page counts once.
    assert!(keep(&database, places[0], &render(12, 100, "renders/c")).await.is_kept);
    // And those of others don't.
    let other = document(&database, new_user(&database).await.id).await;
    assert_eq!(keep(&database, other, &render(13, 100, "renders/d")).await, kept(true, &[]));
}

async fn renders_go_with_their_document(at: TestDatabase) {
    let database = at.open().await;
    let place = document(&database, new_user(&database).await.id).await;
    let (user, id) = place;
    keep(&database, place, &render(0, 1, "renders/1")).await;
    let copy = database.duplicate_document(user, id).await.unwrap();
    assert_eq!(database.last_render(user, copy.summary.id).await.unwrap(), None);
    database.delete_document(user, id, None).await.unwrap();
    assert!(matches!(database.last_render(user, id).await, Err(DocumentError::NotFound)));
    let error = database.keep_render(user, id, &render(1, 1, "renders/2")).await.unwrap_err();
    assert!(matches!(error, DocumentError::NotFound), "{error}");
    let named = async || database.named_objects(&["renders/1".to_owned()]).await.unwrap().len();
    assert_eq!(named().await, 1, "the bin keeps it");
    database.restore_document(user, id).await.unwrap();
    assert_eq!(key(&database, place).await.as_deref(), Some("renders/1"));
    database.purge_document(user, id, None).await.unwrap();
    assert_eq!(named().await, 0);
}

async fn renders_of_others_are_not_there(at: TestDatabase) {
    let database = at.open().await;
    let (ada, bob) = (new_user(&database).await.id, new_user(&database).await.id);
    let (_, id) = document(&database, ada).await;
    keep(&database, (ada, id), &render(0, 1, "renders/1")).await;
    assert!(matches!(database.last_render(bob, id).await, Err(DocumentError::NotFound)));
    let error = database.keep_render(bob, id, &render(1, 1, "renders/2")).await.unwrap_err();
    assert!(matches!(error, DocumentError::NotFound), "{error}");
}
