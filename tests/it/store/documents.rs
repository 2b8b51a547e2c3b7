//! Documents: kept as made, changed by one at a time, versions, quotas, the bin.

mod files;
mod publications;
mod renders;
mod search;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use pymd::domain::{
    Document, DocumentFormat, DocumentId, DocumentQuery, DocumentTitle, PageRequest, QuotaKind, Quotas, Tag, UserId,
};
use pymd::store::{Database, DocumentChange, DocumentError, NewDocument, StoreError};

use super::{at_once, named, new_user, set_quotas};
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    a_document_is_kept_as_made,
    a_change_is_compared_and_set,
    of_many_who_change_one_version_one_passes,
    every_text_is_kept_until_there_are_too_many,
    large_texts_are_kept_less_often,
    an_earlier_text_comes_back_as_a_new_version,
    the_quota_of_documents_holds_when_many_ask_at_once,
    a_text_over_its_quota_may_shrink,
    the_bin_gives_back_and_is_emptied_after_its_time,
    a_full_bin_loses_what_is_in_it_longest,
    others_see_nothing,
    a_dropped_request_leaves_nothing,
    tiers_of_earlier_servers_can_be_read,
];

fn titled(title: &str) -> NewDocument {
    NewDocument {
        title: title.parse().unwrap(),
        content: format!("# {title}\n"),
        render_format: DocumentFormat::Html,
        environment_id: None,
        tags: Vec::new(),
    }
}

fn tags(tags: &[&str]) -> Vec<Tag> {
    tags.iter().map(|tag| tag.parse().unwrap()).collect()
}

fn text(content: &str) -> DocumentChange {
    DocumentChange { content: Some(content.to_owned()), ..DocumentChange::default() }
}

async fn titles(database: &Database, user: UserId, query: &DocumentQuery) -> Vec<String> {
    let page = database.documents(user, query, PageRequest::new(1, 100).unwrap()).await.unwrap();
    assert_eq!(page.total, page.items.len() as u64);
    page.items.into_iter().map(|document| document.title.to_string()).collect()
}

async fn versions(database: &Database, user: UserId, id: DocumentId) -> Vec<u64> {
    let page = database.document_versions(user, id, PageRequest::new(1, 100).unwrap()).await.unwrap();
    page.items.into_iter().map(|version| version.version).collect()
}

async fn a_document_is_kept_as_made(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let environment = database.create_environment(user, &named("e")).await.unwrap().id;
    let new = NewDocument {
        title: "Über \"x\"; DROP TABLE documents; --".parse().unwrap(),
        content: "\u{1F40D} 'quoted' \\ $1 ?1\r\n\t".to_owned(),
        render_format: DocumentFormat::Markdown,
        environment_id: Some(environment),
        tags: tags(&["b", "a b", "b", "é"]),
    };
    let made = database.create_document(user, new.clone()).await.unwrap();
    assert_eq!((&made.summary.title, &made.content), (&new.title, &new.content));
    assert_eq!((made.summary.version, made.summary.size_bytes), (1, new.content.len() as u64));
    assert_eq!(made.summary.tags, tags(&["a b", "b", "é"]));
    assert_eq!((made.summary.environment_id, made.summary.deleted_at), (Some(environment), None));
    assert_eq!(database.document(user, made.summary.id).await.unwrap(), made);
    assert_eq!(database.document_summary(user, made.summary.id).await.unwrap(), made.summary);

    let copy = database.duplicate_document(user, made.summary.id).await.unwrap();
    assert_eq!(copy.summary.title.as_str(), "Über \"x\"; DROP TABLE documents; -- (copy)");
    assert_eq!((&copy.content, &copy.summary.tags), (&made.content, &made.summary.tags));
    assert_eq!((copy.summary.environment_id, copy.summary.version), (Some(environment), 1));
    assert_eq!(database.document(user, copy.summary.id).await.unwrap(), copy);

    let other = new_user(&database).await.id;
    let theirs = database.create_environment(other, &named("e")).await.unwrap().id;
    let error =
        database.create_document(user, NewDocument { environment_id: Some(theirs), ..titled("x") }).await.unwrap_err();
    assert!(matches!(error, DocumentError::NoEnvironment), "{error}");
    // A document outlives its environment, and can be changed and copied then, too.
    database.delete_environment(user, environment).await.unwrap();
    let changed = database.update_document(user, made.summary.id, text("y"), None).await.unwrap();
    assert_eq!(changed.summary.environment_id, Some(environment));
    database.duplicate_document(user, made.summary.id).await.unwrap();
    let none = DocumentChange { environment_id: Some(None), ..DocumentChange::default() };
    let changed = database.update_document(user, made.summary.id, none, None).await.unwrap();
    assert_eq!((changed.summary.environment_id, changed.summary.version), (None, 3));
    let error = database.create_document(UserId::new(), titled("x")).await.unwrap_err();
    assert!(matches!(error, DocumentError::Store(StoreError::Missing { what: "user" })), "{error}");
}

async fn a_change_is_compared_and_set(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let made = database.create_document(user, titled("x")).await.unwrap();
    let id = made.summary.id;
    let change = DocumentChange { title: Some("y".parse().unwrap()), tags: Some(tags(&["t"])), ..text("second") };
    let second = database.update_document(user, id, change.clone(), Some(&[1])).await.unwrap();
    assert_eq!((second.summary.version, second.content.as_str()), (2, "second"));
    assert!(second.summary.updated_at > made.summary.updated_at);
    assert_eq!(second.summary.created_at, made.summary.created_at);
    let error = database.update_document(user, id, text("lost"), Some(&[1])).await.unwrap_err();
    assert!(matches!(error, DocumentError::Changed { current: 2 }), "{error}");
    let error = database.update_document(user, id, text("lost"), Some(&[])).await.unwrap_err();
    assert!(matches!(error, DocumentError::Changed { current: 2 }), "{error}");
    assert_eq!(database.document(user, id).await.unwrap(), second);
    // What changes nothing is no version.
    assert_eq!(database.update_document(user, id, change, Some(&[1, 2])).await.unwrap(), second);
    let third = database.update_document(user, id, text("third"), None).await.unwrap();
    assert_eq!((third.summary.version, third.summary.tags.clone()), (3, tags(&["t"])));
    // Tags are no text.
    let untagged = DocumentChange { tags: Some(Vec::new()), ..DocumentChange::default() };
    let fourth = database.update_document(user, id, untagged, Some(&[3])).await.unwrap();
    assert_eq!((fourth.summary.version, fourth.summary.tags.len()), (4, 0));
    assert_eq!(versions(&database, user, id).await, [3, 2, 1]);
    assert_eq!(database.document_tags(user).await.unwrap(), []);
}

async fn of_many_who_change_one_version_one_passes(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = database.create_document(user, titled("x")).await.unwrap().summary.id;
    for version in 1..=3 {
        let answers = at_once(&at, 8, |server, number| async move {
            server.update_document(user, id, text(&format!("{version}: {number}")), Some(&[version])).await
        });
        let (done, lost): (Vec<_>, Vec<_>) = answers.await.into_iter().partition(Result::is_ok);
        assert_eq!(done.len(), 1);
        let current = version + 1;
        let lost_it = |answer: &_| matches!(answer, Err(DocumentError::Changed { current: now }) if *now == current);
        assert!(lost.iter().all(lost_it), "{lost:?}");
        assert_eq!(database.document(user, id).await.unwrap(), done.into_iter().next().unwrap().unwrap());
    }
    // Without a version all pass, one after the other.
    let answers = at_once(&at, 8, |server, number| async move {
        server.update_document(user, id, text(&format!("all: {number}")), None).await.unwrap().summary.version
    });
    let mut got = answers.await;
    got.sort_unstable();
    assert_eq!(got, (5..=12).collect::<Vec<_>>());
}

async fn every_text_is_kept_until_there_are_too_many(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = database.create_document(user, titled("x")).await.unwrap().summary.id;
    let tagged = DocumentChange { tags: Some(tags(&["t"])), ..DocumentChange::default() };
    database.update_document(user, id, tagged, None).await.unwrap();
    let third = DocumentChange { title: Some("y".parse().unwrap()), ..text("third") };
    database.update_document(user, id, third, None).await.unwrap();
    assert_eq!(versions(&database, user, id).await, [3, 1]);
    let first = database.document_version(user, id, 1).await.unwrap();
    assert_eq!((first.summary.title.as_str(), first.content.as_str()), ("x", "# x\n"));
    assert_eq!(database.document_version(user, id, 2).await.unwrap(), first, "what it was then");
    assert_eq!(database.document_version(user, id, 3).await.unwrap().content, "third");
    for version in [0, 4, u64::MAX] {
        let error = database.document_version(user, id, version).await.unwrap_err();
        assert!(matches!(error, DocumentError::NoVersion), "{version}: {error}");
    }
    for number in 4..=210 {
        database.update_document(user, id, text(&number.to_string()), None).await.unwrap();
    }
    let page = database.document_versions(user, id, PageRequest::new(2, 100).unwrap()).await.unwrap();
    assert_eq!((page.total, page.items.last().unwrap().version), (200, 11));
    assert!(matches!(database.document_version(user, id, 10).await, Err(DocumentError::NoVersion)));
    assert_eq!(database.document(user, id).await.unwrap().content, "210");
}

async fn large_texts_are_kept_less_often(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = database.create_document(user, titled("x")).await.unwrap().summary.id;
    let large = |letter: &str| text(&letter.repeat(10 << 20));
    for letter in ["a", "b", "c", "d"] {
        let saved = database.update_document(user, id, large(letter), None).await.unwrap();
        assert_eq!(saved.summary.size_bytes, 10 << 20);
    }
    assert_eq!(versions(&database, user, id).await, [5, 4, 3], "32 MiB of them");
    assert!(database.document(user, id).await.unwrap().content.bytes().all(|byte| byte == b'd'));
    let error = database.update_document(user, id, text(&"x".repeat((10 << 20) + 1)), None).await.unwrap_err();
    let DocumentError::QuotaExceeded(refusal) = error else { panic!("{error}") };
    assert_eq!((refusal.what, refusal.wanted, refusal.allowed), (QuotaKind::DocumentBytes, 10_485_761, 10_485_760));
}

async fn an_earlier_text_comes_back_as_a_new_version(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let made = database.create_document(user, titled("first")).await.unwrap();
    let id = made.summary.id;
    let change = DocumentChange {
        title: Some("second".parse().unwrap()),
        render_format: Some(DocumentFormat::Markdown),
        tags: Some(tags(&["t"])),
        ..text("second")
    };
    database.update_document(user, id, change, None).await.unwrap();
    let error = database.restore_document_version(user, id, 1, Some(&[1])).await.unwrap_err();
    assert!(matches!(error, DocumentError::Changed { current: 2 }), "{error}");
    let back = database.restore_document_version(user, id, 1, Some(&[2])).await.unwrap();
    assert_eq!((back.summary.version, &back.content, &back.summary.title), (3, &made.content, &made.summary.title));
    assert_eq!((back.summary.render_format, back.summary.tags.clone()), (DocumentFormat::Html, tags(&["t"])));
    assert_eq!(versions(&database, user, id).await, [3, 2, 1]);
    assert_eq!(database.restore_document_version(user, id, 3, None).await.unwrap(), back, "it is there already");
    let error = database.restore_document_version(user, id, 9, None).await.unwrap_err();
    assert!(matches!(error, DocumentError::NoVersion), "{error}");
    let found = DocumentQuery { search: Some("first".to_owned()), ..DocumentQuery::default() };
    assert_eq!(titles(&database, user, &found).await, ["first"], "and is found by its words again");
}

async fn the_quota_of_documents_holds_when_many_ask_at_once(at: TestDatabase) {
    let database = at.open().await;
    let (user, other) = (new_user(&database).await.id, new_user(&database).await.id);
    set_quotas(&database, Quotas { documents: 5, ..Quotas::default() }).await;
    let first = database.create_document(user, titled("first")).await.unwrap().summary.id;
    let binned = database.create_document(user, titled("binned")).await.unwrap().summary.id;
    database.delete_document(user, binned, None).await.unwrap();
    // New ones, copies and those of the bin count together.
    let answers = at_once(&at, 12, |server, number| async move {
        let made = match number {
            0 => server.restore_document(user, binned).await,
            _ if number % 2 == 0 => server.duplicate_document(user, first).await,
            _ => server.create_document(user, titled("new")).await,
        };
        match made {
            Ok(_) => 1,
            Err(DocumentError::QuotaExceeded(refusal)) => {
                assert_eq!((refusal.what, refusal.used, refusal.allowed), (QuotaKind::Documents, 5, 5));
                0
            }
            Err(error) => panic!("{error}"),
        }
    });
    assert_eq!(answers.await.into_iter().sum::<u32>(), 4);
    assert_eq!(titles(&database, user, &DocumentQuery::default()).await.len(), 5);
    database.create_document(other, titled("x")).await.unwrap();
    database.delete_document(user, first, None).await.unwrap();
    database.create_document(user, titled("again")).await.unwrap();
}

async fn a_text_over_its_quota_may_shrink(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let new = NewDocument { content: "x".repeat(100), ..titled("x") };
    let id = database.create_document(user, new).await.unwrap().summary.id;
    set_quotas(&database, Quotas { document_bytes: 10, ..Quotas::default() }).await;
    database.update_document(user, id, text(&"x".repeat(101)), None).await.unwrap_err();
    let retitled = DocumentChange { title: Some("y".parse().unwrap()), ..DocumentChange::default() };
    database.update_document(user, id, retitled, None).await.unwrap();
    database.update_document(user, id, text(&"y".repeat(99)), None).await.unwrap();
    database.update_document(user, id, text(&"z".repeat(9)), None).await.unwrap();
    database.update_document(user, id, text(&"z".repeat(11)), None).await.unwrap_err();
    database.create_document(user, NewDocument { content: "x".repeat(11), ..titled("x") }).await.unwrap_err();
}

async fn the_bin_gives_back_and_is_emptied_after_its_time(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let mut made = Vec::new();
    for title in ["a", "b", "c"] {
        made.push(database.create_document(user, NewDocument { tags: tags(&["t"]), ..titled(title) }).await.unwrap());
    }
    let ids: Vec<_> = made.iter().map(|document| document.summary.id).collect();
    let error = database.delete_document(user, ids[0], Some(&[2])).await.unwrap_err();
    assert!(matches!(error, DocumentError::Changed { current: 1 }), "{error}");
    let deleted = join_all((0..4).map(|_| database.delete_document(user, ids[0], Some(&[1])))).await;
    assert_eq!(deleted.iter().filter(|answer| answer.is_ok()).count(), 1, "{deleted:?}");
    database.delete_document(user, ids[1], None).await.unwrap();

    let bin = DocumentQuery { deleted: true, ..DocumentQuery::default() };
    assert_eq!(titles(&database, user, &bin).await, ["b", "a"]);
    assert_eq!(titles(&database, user, &DocumentQuery::default()).await, ["c"]);
    assert_eq!(database.document_tags(user).await.unwrap()[0].documents, 1);
    for error in [
        database.document(user, ids[0]).await.unwrap_err(),
        database.update_document(user, ids[0], text("x"), None).await.unwrap_err(),
        database.duplicate_document(user, ids[0]).await.unwrap_err(),
        database.document_version(user, ids[0], 1).await.unwrap_err(),
        database.restore_document_version(user, ids[0], 1, None).await.unwrap_err(),
        database.restore_document(user, ids[2]).await.unwrap_err(),
    ] {
        assert!(matches!(error, DocumentError::NotFound), "{error}");
    }
    assert_eq!(database.restore_document(user, ids[0]).await.unwrap(), made[0]);
    let found = DocumentQuery { search: Some("a".to_owned()), ..DocumentQuery::default() };
    assert_eq!(titles(&database, user, &found).await, ["a"]);

    database.delete_document(user, ids[0], None).await.unwrap();
    let month = SignedDuration::from_hours(30 * 24);
    assert_eq!(database.purge_deleted_documents(Timestamp::now() - month, 10).await.unwrap(), 0);
    assert_eq!(database.purge_deleted_documents(Timestamp::MAX, 1).await.unwrap(), 1, "the eldest");
    assert_eq!(titles(&database, user, &bin).await, ["a"]);
    assert_eq!(database.purge_deleted_documents(Timestamp::MAX, 10).await.unwrap(), 1);
    assert_eq!(titles(&database, user, &bin).await, Vec::<String>::new());
    assert_eq!(database.document(user, ids[2]).await.unwrap(), made[2]);
    assert!(matches!(database.restore_document(user, ids[0]).await, Err(DocumentError::NotFound)));

    let error = database.purge_document(user, ids[2], Some(&[7])).await.unwrap_err();
    assert!(matches!(error, DocumentError::Changed { current: 1 }), "{error}");
    database.purge_document(user, ids[2], Some(&[1])).await.unwrap();
    assert!(matches!(database.purge_document(user, ids[2], None).await, Err(DocumentError::NotFound)));
    let found = DocumentQuery { search: Some("c".to_owned()), ..DocumentQuery::default() };
    assert_eq!(titles(&database, user, &found).await, Vec::<String>::new());
}

async fn a_full_bin_loses_what_is_in_it_longest(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    set_quotas(&database, Quotas { documents: 2, ..Quotas::default() }).await;
    for title in ["a", "b", "c", "d"] {
        let id = database.create_document(user, titled(title)).await.unwrap().summary.id;
        database.delete_document(user, id, None).await.unwrap();
    }
    let bin = DocumentQuery { deleted: true, ..DocumentQuery::default() };
    assert_eq!(titles(&database, user, &bin).await, ["d", "c"]);
}

async fn others_see_nothing(at: TestDatabase) {
    let database = at.open().await;
    let (ada, bob) = (new_user(&database).await.id, new_user(&database).await.id);
    let made = database.create_document(ada, NewDocument { tags: tags(&["t"]), ..titled("secret") }).await.unwrap();
    let id = made.summary.id;
    let binned = database.create_document(ada, titled("binned")).await.unwrap().summary.id;
    database.delete_document(ada, binned, None).await.unwrap();
    let errors = [
        database.document(bob, id).await.unwrap_err(),
        database.document_summary(bob, id).await.unwrap_err(),
        database.update_document(bob, id, text("x"), None).await.unwrap_err(),
        database.duplicate_document(bob, id).await.unwrap_err(),
        database.delete_document(bob, id, None).await.unwrap_err(),
        database.purge_document(bob, id, None).await.unwrap_err(),
        database.restore_document(bob, binned).await.unwrap_err(),
        database.document_versions(bob, id, PageRequest::default()).await.unwrap_err(),
        database.document_version(bob, id, 1).await.unwrap_err(),
        database.restore_document_version(bob, id, 1, None).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, DocumentError::NotFound), "{error}");
    }
    for search in [None, Some("secret".to_owned())] {
        for deleted in [false, true] {
            let query = DocumentQuery { search: search.clone(), deleted, ..DocumentQuery::default() };
            assert_eq!(titles(&database, bob, &query).await, Vec::<String>::new());
        }
    }
    assert_eq!(database.document_tags(bob).await.unwrap(), []);
    assert_eq!(database.document(ada, id).await.unwrap(), made);
}

async fn a_dropped_request_leaves_nothing(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = database.create_document(user, titled("x")).await.unwrap().summary.id;
    // Each is stopped a little later than the one before, so that some stop in every step.
    for turns in 0..60 {
        let mut request = std::pin::pin!(database.update_document(user, id, text(&turns.to_string()), None));
        for _ in 0..turns {
            if futures::poll!(request.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // A write that was on its way to the disk is done before this one begins.
    database.update_document(user, id, text("settled"), None).await.unwrap();
    // Nothing holds a lock, and the document is one that was saved as a whole.
    let Document { summary, content } = database.document(user, id).await.unwrap();
    assert_eq!(database.document_version(user, id, summary.version).await.unwrap().content, content);
    database.update_document(user, id, text("last"), Some(&[summary.version])).await.unwrap();
}

async fn tiers_of_earlier_servers_can_be_read(at: TestDatabase) {
    let database = at.open().await;
    let old = r#"{"environments":3,"packages_per_environment":50,"environment_bytes":1073741824}"#;
    assert_eq!(serde_json::from_str::<Quotas>(old).unwrap(), Quotas::default());
    let tiers = database.tiers().await.unwrap();
    assert_eq!(tiers.iter().map(|tier| tier.quotas.documents).collect::<Vec<_>>(), [200, 5000]);
}

#[test]
fn titles_and_tags_are_plain() {
    for good in ["x", "a b", "é\u{1F40D}", &"é".repeat(255)] {
        assert_eq!(good.parse::<DocumentTitle>().unwrap().as_str(), good);
    }
    for bad in ["", " ", "a\nb", "a\0", "\u{7f}", &"x".repeat(256)] {
        assert!(bad.parse::<DocumentTitle>().is_err(), "{bad:?}");
    }
    let copy = "é".repeat(255).parse::<DocumentTitle>().unwrap().of_copy();
    assert!(copy.as_str().parse::<DocumentTitle>().is_ok() && copy.as_str().ends_with(" (copy)"), "{copy}");
    for good in ["x", "a b", &"é".repeat(50)] {
        assert_eq!(good.parse::<Tag>().unwrap().as_str(), good);
    }
    for bad in ["", " a", "a ", "a,b", "a\0", "a\tb", &"x".repeat(51)] {
        assert!(bad.parse::<Tag>().is_err(), "{bad:?}");
    }
}
