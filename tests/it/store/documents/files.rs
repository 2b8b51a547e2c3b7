//! Files beside documents: rows, quotas, and which objects they name.

use jiff::Timestamp;
use pymd::domain::{DocumentId, FilePath, QuotaKind, Quotas, UserId};
use pymd::store::{Attached, Database, DocumentError, NewFile};

use super::titled;
use crate::databases::{TestDatabase, on_both_databases};
use crate::store::{at_once, new_user, set_quotas};

on_both_databases![
    files_are_kept_as_put,
    content_that_is_there_is_shared_within_a_user,
    the_quota_of_bytes_holds_when_many_ask_at_once,
    no_path_goes_through_a_file,
    a_document_has_so_many_files,
    files_go_with_their_document,
    files_of_others_are_not_there,
];

fn file(path: &str, sha256: &str, size_bytes: u64) -> NewFile {
    let (path, sha256) = (path.parse().unwrap(), sha256.to_owned());
    NewFile { path, size_bytes, sha256, media_type: "text/csv".to_owned() }
}

async fn attach(
    database: &Database,
    (user, id): (UserId, DocumentId),
    new: &NewFile,
    key: &str,
) -> Result<Attached, DocumentError> {
    database.attach_file(user, id, new, Some(key)).await
}

async fn keys(database: &Database, (user, id): (UserId, DocumentId)) -> Vec<(String, String)> {
    let files = database.attached_files(user, id).await.unwrap();
    files.into_iter().map(|stored| (stored.file.path.to_string(), stored.object_key)).collect()
}

async fn document(database: &Database, user: UserId) -> (UserId, DocumentId) {
    (user, database.create_document(user, titled("x")).await.unwrap().summary.id)
}

async fn files_are_kept_as_put(at: TestDatabase) {
    let database = at.open().await;
    let place = document(&database, new_user(&database).await.id).await;
    let (user, id) = place;
    let new = file("data/2024/sales é.csv", "aa", 10);
    assert_eq!(database.attach_file(user, id, &new, None).await.unwrap(), Attached::ContentNeeded);
    assert_eq!(keys(&database, place).await, []);
    let Attached::Done(made) = attach(&database, place, &new, "files/1").await.unwrap() else { panic!() };
    assert_eq!((made.size_bytes, made.sha256.as_str(), made.media_type.as_str()), (10, "aa", "text/csv"));
    let stored = database.attached_file(user, id, &new.path).await.unwrap();
    assert_eq!((stored.file, stored.object_key.as_str()), (made, "files/1"));
    attach(&database, place, &file("b", "bb", 1), "files/2").await.unwrap();
    attach(&database, place, &file("B", "cc", 2), "files/3").await.unwrap();
    // Another content in the same place.
    attach(&database, place, &file("b", "dd", 3), "files/4").await.unwrap();
    let expected = [("B", "files/3"), ("b", "files/4"), ("data/2024/sales é.csv", "files/1")];
    assert_eq!(keys(&database, place).await, expected.map(|(path, key)| (path.to_owned(), key.to_owned())));
    let all: Vec<String> = (0..250).map(|number| format!("files/{number}")).collect();
    let mut named: Vec<_> = database.named_objects(&all).await.unwrap().into_iter().collect();
    named.sort();
    assert_eq!(named, ["files/1", "files/3", "files/4"]);
    assert!(database.named_objects(&[]).await.unwrap().is_empty());

    let path: FilePath = "b".parse().unwrap();
    database.detach_file(user, id, &path).await.unwrap();
    assert!(matches!(database.detach_file(user, id, &path).await, Err(DocumentError::NoFile)));
    assert!(matches!(database.attached_file(user, id, &path).await, Err(DocumentError::NoFile)));
    let before = database.document_summary(user, id).await.unwrap();
    assert_eq!(before.version, 1, "files are no text");
}

async fn content_that_is_there_is_shared_within_a_user(at: TestDatabase) {
    let database = at.open().await;
    let (ada, bob) = (new_user(&database).await.id, new_user(&database).await.id);
    let (first, second) = (document(&database, ada).await, document(&database, ada).await);
    attach(&database, first, &file("a", "aa", 10), "files/1").await.unwrap();
    let same = database.attach_file(ada, second.1, &file("b", "aa", 10), None).await.unwrap();
    assert!(matches!(same, Attached::Done(_)));
    // Who was slower: its object is nobody's.
    attach(&database, second, &file("c", "aa", 10), "files/2").await.unwrap();
    let expected = [("b", "files/1"), ("c", "files/1")].map(|(path, key)| (path.to_owned(), key.to_owned()));
    assert_eq!(keys(&database, second).await, expected);
    let theirs = document(&database, bob).await;
    let foreign = database.attach_file(bob, theirs.1, &file("a", "aa", 10), None).await.unwrap();
    assert_eq!(foreign, Attached::ContentNeeded, "nobody learns what others have");

    let copy = (ada, database.duplicate_document(ada, second.1).await.unwrap().summary.id);
    assert_eq!(keys(&database, copy).await, expected);
    database.purge_document(ada, first.1, None).await.unwrap();
    database.purge_document(ada, second.1, None).await.unwrap();
    assert_eq!(database.named_objects(&["files/1".to_owned()]).await.unwrap().len(), 1);
    database.purge_document(ada, copy.1, None).await.unwrap();
    assert_eq!(database.named_objects(&["files/1".to_owned()]).await.unwrap().len(), 0);
}

async fn the_quota_of_bytes_holds_when_many_ask_at_once(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    set_quotas(&database, Quotas { attached_bytes: 50, ..Quotas::default() }).await;
    let (first, second) = (document(&database, user).await, document(&database, user).await);
    let answers = at_once(&at, 12, |server, number| async move {
        let place = if number % 2 == 0 { first } else { second };
        let new = file(&format!("f{number}"), &format!("{number}"), 10);
        match attach(&server, place, &new, &format!("files/{number}")).await {
            Ok(_) => 1,
            Err(DocumentError::QuotaExceeded(refusal)) => {
                assert_eq!((refusal.what, refusal.used, refusal.wanted), (QuotaKind::AttachedBytes, 50, 60));
                0
            }
            Err(error) => panic!("{error}"),
        }
    });
    assert_eq!(answers.await.into_iter().sum::<u32>(), 5);
    // The bin counts, and so do copies; something smaller in the place of something does not.
    let full = if keys(&database, first).await.is_empty() { second } else { first };
    assert!(matches!(database.duplicate_document(user, full.1).await, Err(DocumentError::QuotaExceeded(_))));
    let (path, _) = keys(&database, full).await.remove(0);
    attach(&database, full, &file(&path, "small", 9), "files/s").await.unwrap();
    attach(&database, full, &file(&path, "large", 11), "files/l").await.unwrap_err();
    attach(&database, full, &file("empty", "empty", 0), "files/e").await.unwrap();
    attach(&database, full, &file("one", "one", 1), "files/o").await.unwrap();
    let third = document(&database, user).await;
    database.delete_document(user, first.1, None).await.unwrap();
    attach(&database, third, &file("f", "f", 1), "files/f").await.unwrap_err();
    database.purge_document(user, first.1, None).await.unwrap();
    database.purge_document(user, second.1, None).await.unwrap();
    attach(&database, third, &file("f", "f", 50), "files/f").await.unwrap();
}

async fn no_path_goes_through_a_file(at: TestDatabase) {
    let database = at.open().await;
    let place = document(&database, new_user(&database).await.id).await;
    attach(&database, place, &file("a/b", "1", 1), "files/1").await.unwrap();
    for (path, other) in [("a", "a/b"), ("a/b/c", "a/b"), ("a/b/c/d", "a/b")] {
        match attach(&database, place, &file(path, "2", 1), "files/2").await {
            Err(DocumentError::PathTaken { path: refused, other: there }) => {
                assert_eq!((refused.as_str(), there.as_str()), (path, other));
            }
            answer => panic!("{path}: {answer:?}"),
        }
    }
    for path in ["a/bc", "a/c", "ab", "A"] {
        attach(&database, place, &file(path, "2", 1), "files/2").await.unwrap();
    }
}

async fn a_document_has_so_many_files(at: TestDatabase) {
    let database = at.open().await;
    let place = document(&database, new_user(&database).await.id).await;
    for number in 0..500 {
        attach(&database, place, &file(&number.to_string(), "1", 0), "files/1").await.unwrap();
    }
    let error = attach(&database, place, &file("x", "1", 0), "files/1").await.unwrap_err();
    assert!(matches!(error, DocumentError::TooManyFiles { max: 500 }), "{error}");
    attach(&database, place, &file("0", "2", 1), "files/2").await.unwrap();
}

async fn files_go_with_their_document(at: TestDatabase) {
    let database = at.open().await;
    let place = document(&database, new_user(&database).await.id).await;
    let (user, id) = place;
    let new = file("a", "1", 1);
    attach(&database, place, &new, "files/1").await.unwrap();
    database.delete_document(user, id, None).await.unwrap();
    for error in [
        database.attached_files(user, id).await.unwrap_err(),
        database.attached_file(user, id, &new.path).await.unwrap_err(),
        database.detach_file(user, id, &new.path).await.unwrap_err(),
        attach(&database, place, &new, "files/1").await.unwrap_err(),
    ] {
        assert!(matches!(error, DocumentError::NotFound), "{error}");
    }
    database.restore_document(user, id).await.unwrap();
    assert_eq!(keys(&database, place).await.len(), 1);
    database.delete_document(user, id, None).await.unwrap();
    assert_eq!(database.named_objects(&["files/1".to_owned()]).await.unwrap().len(), 1);
    database.purge_deleted_documents(Timestamp::MAX, 10).await.unwrap();
    assert_eq!(database.named_objects(&["files/1".to_owned()]).await.unwrap().len(), 0);
}

async fn files_of_others_are_not_there(at: TestDatabase) {
    let database = at.open().await;
    let (ada, bob) = (new_user(&database).await.id, new_user(&database).await.id);
    let (_, id) = document(&database, ada).await;
    let new = file("a", "1", 1);
    attach(&database, (ada, id), &new, "files/1").await.unwrap();
    for error in [
        database.attached_files(bob, id).await.unwrap_err(),
        database.attached_file(bob, id, &new.path).await.unwrap_err(),
        database.detach_file(bob, id, &new.path).await.unwrap_err(),
        attach(&database, (bob, id), &new, "files/2").await.unwrap_err(),
    ] {
        assert!(matches!(error, DocumentError::NotFound), "{error}");
    }
}

#[test]
fn paths_are_relative_and_plain() {
    let deep = ["d"; 8].join("/");
    for good in ["a", "a/b.csv", ".hidden", "a b", "é/ü", "...", "a..b", "C:", &"x".repeat(255), &deep] {
        assert_eq!(good.parse::<FilePath>().unwrap().as_str(), good);
    }
    let (long, deep) = ("é".repeat(128), ["d"; 9].join("/"));
    for bad in [
        "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "a/./b", "a\\b", "..\\a", "a\0",
        "a\nb", "\u{7f}", "\u{85}", &long, &deep,
    ] {
        assert!(bad.parse::<FilePath>().is_err(), "{bad:?}");
    }
}
