//! What is known is not asked again, and what is kept is only believed when it is whole.

use std::fs;
use std::path::PathBuf;

use super::*;

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn one_wheel(fixture: &Fixture, version: &str, headers: &[(&str, &str)]) {
    let file = File::wheel("a", version, &["b>=1"]);
    fixture.fake.publish("a", Style::Json, std::slice::from_ref(&file));
    let reply = headers.iter().fold(page("a", Style::Json, &[file]), |reply, (name, value)| reply.header(name, value));
    fixture.fake.script("/simple/a/", [reply]);
}

#[tokio::test]
async fn a_fresh_page_is_not_asked_for_again() {
    for (headers, hits) in [
        (vec![], 1),
        (vec![("cache-control", "max-age=600, public")], 1),
        (vec![("expires", "Fri, 01 Jan 2100 00:00:00 GMT")], 1),
        (vec![("cache-control", "max-age=600"), ("age", "590"), ("expires", "0")], 1),
        (vec![("cache-control", "max-age=600"), ("age", "600")], 3),
        (vec![("cache-control", "max-age=0")], 3),
        (vec![("cache-control", "Max-Age=no")], 3),
        (vec![("cache-control", "no-cache")], 3),
        (vec![("cache-control", "max-age=600, no-store")], 3),
        (vec![("expires", "0")], 3),
        (vec![("expires", "Thu, 01 Jan 2015 00:00:00 GMT")], 3),
    ] {
        let fixture = Fixture::new().await;
        one_wheel(&fixture, "1.0", &headers);
        let index = fixture.index();
        index.project(&package("a")).await.unwrap();
        index.project(&package("a")).await.unwrap();
        fixture.project("a").await.unwrap();
        assert_eq!(fixture.fake.hits("/simple/a/"), hits, "{headers:?}");
        let is_stored = !headers.iter().any(|(_, value)| value.contains("no-store"));
        assert_eq!(fixture.cache.path().join("index").exists(), is_stored, "{headers:?}");
    }
}

#[tokio::test]
async fn a_stale_page_is_asked_for_by_its_name() {
    for name in [("etag", "\"one\""), ("last-modified", "Thu, 01 Jan 2015 00:00:00 GMT")] {
        let fixture = Fixture::new().await;
        one_wheel(&fixture, "1.0", &[("cache-control", "max-age=0"), name]);
        let index = fixture.index();
        for client in [index.clone(), index.clone(), fixture.index()] {
            assert_eq!(names(&client.project(&package("a")).await.unwrap()), ["a-1.0-py3-none-any.whl"]);
        }
        let conditional = |seen: &crate::packages::fake_index::Seen| {
            seen.header("if-none-match").or(seen.header("if-modified-since")).map(str::to_owned)
        };
        let conditions: Vec<_> = fixture.fake.seen("/simple/a/").iter().map(conditional).collect();
        assert_eq!(conditions, [None, Some(name.1.to_owned()), Some(name.1.to_owned())]);
        one_wheel(&fixture, "2.0", &[("cache-control", "max-age=600"), ("etag", "\"two\"")]);
        assert_eq!(names(&index.project(&package("a")).await.unwrap()), ["a-2.0-py3-none-any.whl"]);
        fixture.project("a").await.unwrap();
        assert_eq!(fixture.fake.hits("/simple/a/"), 4);
    }
}

#[tokio::test]
async fn an_unchanged_page_is_fresh_again() {
    let fixture = Fixture::new().await;
    let reply = |age: &str| page("a", Style::Json, &[]).header("etag", "\"one\"").header("cache-control", age);
    fixture.fake.script("/simple/a/", [reply("max-age=0"), reply("max-age=600")]);
    for _ in 0..4 {
        fixture.project("a").await.unwrap();
    }
    assert_eq!(fixture.fake.hits("/simple/a/"), 2);
    // What is not said again holds on.
    let first = page("c", Style::Json, &[]).header("etag", "\"one\"").header("cache-control", "max-age=0");
    fixture.fake.script("/simple/c/", [first, Reply::status(304)]);
    for _ in 0..3 {
        fixture.project("c").await.unwrap();
    }
    assert_eq!(fixture.fake.hits("/simple/c/"), 3);
    // "Not modified", though nothing was there to be modified.
    fixture.fake.script("/simple/b/", [Reply::status(304)]);
    assert!(matches!(fixture.project("b").await, Err(IndexError::Status { status: 304, .. })));
}

#[tokio::test]
async fn damaged_cache_files_are_ignored() {
    let fixture = Fixture::new().await;
    one_wheel(&fixture, "1.0", &[]);
    let load = async || {
        let index = fixture.index();
        let project = index.project(&package("a")).await.unwrap();
        let metadata = index.metadata(&project.files[0]).await.unwrap();
        assert_eq!(metadata.requires_dist[0].to_string(), "b>=1");
    };
    load().await;
    load().await;
    let hits = fixture.fake.hits("/");
    let files = files_below(fixture.cache.path());
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(!files.iter().any(|file| file.extension().is_some_and(|extension| extension == "tmp")));
    type Damage = fn(&[u8]) -> Vec<u8>;
    let damages: [Damage; 6] = [
        |_| Vec::new(),
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |bytes| bytes[..40].to_vec(),
        |bytes| [bytes, b"x"].concat(),
        |bytes| bytes.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == bytes.len() - 3)).collect(),
        |_| {
            let body = b"{\"whole\": \"but something else\"}";
            format!("pymd-index-1 {}\n{}", blake3::hash(body).to_hex(), String::from_utf8_lossy(body)).into_bytes()
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        for file in &files {
            let bytes = fs::read(file).unwrap();
            fs::write(file, damage(&bytes)).unwrap();
        }
        load().await;
        load().await;
        assert_eq!(fixture.fake.hits("/"), hits * (number + 2), "each damage costs one more load");
    }
}

#[tokio::test]
async fn an_answer_is_kept_for_its_question_only() {
    let fixture = Fixture::new().await;
    fixture.fake.publish("a", Style::Json, &[File::wheel("a", "1.0", &[])]);
    fixture.fake.publish("b", Style::Json, &[File::wheel("b", "1.0", &[])]);
    fixture.project("a").await.unwrap();
    let [kept] = files_below(fixture.cache.path()).try_into().unwrap();
    fs::copy(&kept, kept.with_file_name("b.json")).unwrap();
    assert_eq!(names(&fixture.project("b").await.unwrap()), ["b-1.0-py3-none-any.whl"]);
    // The same project of another index.
    let other = FakeIndex::start().await;
    other.publish("a", Style::Json, &[File::wheel("a", "2.0", &[])]);
    let index = Index::new(config(vec![other.url()], fixture.cache.path())).unwrap();
    assert_eq!(names(&index.project(&package("a")).await.unwrap()), ["a-2.0-py3-none-any.whl"]);
}

#[tokio::test]
async fn many_clients_share_a_cache() {
    let fixture = Fixture::new().await;
    let files: Vec<_> = (0..200).map(|minor| File::wheel("a", &format!("1.{minor}"), &[])).collect();
    fixture.fake.publish("a", Style::Json, &files);
    let indexes: Vec<_> = (0..16).map(|_| fixture.index()).collect();
    let name = package("a");
    for _ in 0..3 {
        let projects = futures::future::join_all(indexes.iter().map(|index| index.project(&name))).await;
        assert!(projects.iter().all(|project| project.as_ref().unwrap().files.len() == 200));
    }
    assert_eq!(files_below(fixture.cache.path()).len(), 1);
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_no_failure() {
    let fixture = Fixture::new().await;
    one_wheel(&fixture, "1.0", &[]);
    fs::write(fixture.cache.path().join("index"), "in the way").unwrap();
    let index = fixture.index();
    let project = index.project(&package("a")).await.unwrap();
    index.metadata(&project.files[0]).await.unwrap();
    fixture.project("a").await.unwrap();
    assert_eq!(fixture.fake.hits("/simple/a/"), 2);
}

#[tokio::test]
async fn metadata_is_kept_for_ever() {
    for sha256 in [true, false] {
        let fixture = Fixture::new().await;
        let mut wheel = File::wheel("a", "1.0", &["b>=1; extra == 'c'"]).beside(Beside::Hashed);
        wheel.sha256 = wheel.sha256.filter(|_| sha256);
        fixture.fake.publish("a", Style::Json, &[wheel]);
        let file = fixture.file("a").await;
        let index = fixture.index();
        let first = index.metadata(&file).await.unwrap();
        assert!(Arc::ptr_eq(&first, &index.metadata(&file).await.unwrap()));
        let again = fixture.index().metadata(&file).await.unwrap();
        assert_eq!(format!("{again:?}"), format!("{first:?}"));
        assert_eq!(fixture.fake.hits("/files/"), 1);
    }
}
