//! Files beside documents, with their content in the object store.

use std::fs;
use std::path::PathBuf;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use pymd::domain::Quotas;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::World;
use crate::databases::{TestDatabase, on_both_databases};
use crate::store::set_quotas;
use crate::support::{Answer, TestApp};

on_both_databases![
    files_are_put_listed_got_and_deleted,
    what_comes_out_is_only_to_be_saved,
    hostile_paths_are_refused,
    files_are_as_large_as_the_server_and_the_tier_allow,
    without_the_object_store_nothing_is_half_done,
    objects_go_when_nobody_names_them,
];

impl World {
    async fn put(&self, document: &str, path: &str, media_type: &str, content: Vec<u8>) -> Answer {
        let request = self.request(Method::PUT, &format!("{document}/files/{path}"));
        Answer::of(request.header("content-type", media_type).body(content).send().await.unwrap()).await
    }

    async fn got(&self, document: &str, path: &str) -> Vec<u8> {
        let answer = self.request(Method::GET, &format!("{document}/files/{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap().to_vec()
    }

    /// The objects of files that there are.
    fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut directories = vec![self.app.data_dir.path().join("objects")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    directories.push(entry.path())
                } else {
                    found.push(entry.path())
                }
            }
        }
        found
    }
}

async fn files_are_put_listed_got_and_deleted(at: TestDatabase) {
    let world = World::start(&at).await;
    let document = world.document(json!({"title": "x"})).await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let put = world.put(&document, "data/a%20%C3%A9.bin", "application/zip; x=y", content.clone()).await.json();
    assert_eq!((put["path"].as_str(), put["size_bytes"].as_u64()), (Some("data/a é.bin"), Some(3_000_000)));
    assert_eq!((put["media_type"].as_str(), put["sha256"].as_str().map(str::len)), (Some("application/zip"), Some(64)));
    world.put(&document, "empty", "", Vec::new()).await.json();
    assert_eq!(world.got(&document, "data/a%20%C3%A9.bin").await, content);
    assert_eq!(world.got(&document, "empty").await, b"");
    let list = world.send(Method::GET, &format!("{document}/files"), None).await.json();
    assert_eq!((list["total"].as_u64(), list["total_size_bytes"].as_u64()), (Some(2), Some(3_000_000)));
    assert_eq!((&list["files"][0], list["files"][1]["path"].as_str()), (&put, Some("empty")));
    assert_eq!(list["files"][1]["media_type"], "application/octet-stream");

    // The same content is kept once.
    world.put(&document, "again", "text/plain", content.clone()).await.json();
    let copy = world.send(Method::POST, &format!("{document}/duplicate"), None).await;
    let copy: Value = serde_json::from_str(&copy.text).unwrap();
    let copy = format!("{}/{}", super::DOCUMENTS, copy["id"].as_str().unwrap());
    assert_eq!(world.objects().len(), 2);
    assert_eq!(world.got(&copy, "again").await, content);

    let replaced = world.put(&document, "again", "text/plain", b"other".to_vec()).await.json();
    assert_eq!(replaced["size_bytes"], 5);
    assert_eq!((world.got(&document, "again").await, world.got(&copy, "again").await), (b"other".to_vec(), content));
    world.put(&document, "again/below", "", Vec::new()).await.problem(409, "conflict");
    let deleted = world.send(Method::DELETE, &format!("{document}/files/again"), None).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    for method in [Method::GET, Method::DELETE] {
        world.send(method, &format!("{document}/files/again"), None).await.problem(404, "not_found");
    }
    world.app.stop().await;
}

async fn what_comes_out_is_only_to_be_saved(at: TestDatabase) {
    let world = World::start(&at).await;
    let document = world.document(json!({"title": "x"})).await;
    for (path, media_type, stored, sent) in [
        ("a.html", "text/html", "text/html", "application/octet-stream"),
        ("a.svg", "IMAGE/SVG+XML", "image/svg+xml", "application/octet-stream"),
        ("a.js", "text/javascript;charset=utf-8", "text/javascript", "application/octet-stream"),
        ("a.xml", "application/xhtml+xml", "application/xhtml+xml", "application/octet-stream"),
        ("a.csv", "text/csv", "text/csv", "text/csv"),
        ("a.png", "image/png", "image/png", "image/png"),
        ("a.x", "not a type", "application/octet-stream", "application/octet-stream"),
        ("a.y", &"x/".repeat(100), "application/octet-stream", "application/octet-stream"),
    ] {
        let put = world.put(&document, path, media_type, b"<script>alert(1)</script>".to_vec()).await.json();
        assert_eq!(put["media_type"], stored);
        let got = world.send(Method::GET, &format!("{document}/files/{path}"), None).await;
        assert_eq!(got.header("content-type"), sent, "{path}");
        assert_eq!(got.header("content-length"), "25");
        assert_eq!(got.header("x-content-type-options"), "nosniff");
        assert!(got.header("content-disposition").starts_with(&format!("attachment; filename=\"{path}\"")));
        assert!(got.header("content-security-policy").contains("default-src 'none'"));
        assert_eq!(got.header("etag"), format!("\"{}\"", put["sha256"].as_str().unwrap()));
        let path = format!("{document}/files/{path}");
        let again = world.send_if(Method::GET, &path, ("if-none-match", got.header("etag")), None).await;
        assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));
    }
    world.put(&document, "d/%22%3B%20x%3D%25%C3%A9.txt", "text/plain", b"x".to_vec()).await.json();
    let got = world.send(Method::GET, &format!("{document}/files/d/%22%3B%20x%3D%25%C3%A9.txt"), None).await;

    let disposition = got.header("content-disposition");
    assert!(disposition.ends_with("filename*=UTF-8''%22%3B%20x%3D%25%C3%A9.txt"), "{disposition}");
    assert_eq!(disposition.matches('"').count(), 2, "{disposition}");
    world.app.stop().await;
}

async fn hostile_paths_are_refused(at: TestDatabase) {
    let world = World::start(&at).await;
    let document = world.document(json!({"title": "x"})).await;
    let (long, deep) = ("x".repeat(256), ["d"; 9].join("/"));
    for path in [
        "%2E%2E%2Fx",
        "a%2F..%2F..%2Fx",
        "a%2F%2Fb",
        "%2Fetc%2Fpasswd",
        "a//b",
        "a/",
        "a%5Cb",
        "a%00b",
        "a%0Ab",
        "a/%2e%2e%2fb",
        &long,
        &deep,
    ] {
        let put = world.put(&document, path, "", b"x".to_vec()).await;
        put.problem(422, "invalid_request");
        world.send(Method::GET, &format!("{document}/files/{path}"), None).await.problem(404, "not_found");
        world.send(Method::DELETE, &format!("{document}/files/{path}"), None).await.problem(404, "not_found");
    }
    // Clients tidy such paths up before they send them: these are sent as they are.
    for path in ["%2E", "../x", "a/../../x", "./x", "%ff", "..", ""] {
        let answer = raw(&world, &format!("PUT {document}/files/{path} HTTP/1.1"), "Content-Length: 1\r\n", "x").await;
        let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
        assert!([400, 404, 405, 422].contains(&status), "{path}: {answer}");
    }
    let list = world.send(Method::GET, &format!("{document}/files"), None).await.json();
    assert_eq!(list["total"], 0);
    assert_eq!(world.objects(), Vec::<PathBuf>::new());
    world.app.stop().await;
}

/// A request as no client would send it.
async fn raw(world: &World, line: &str, headers: &str, body: &str) -> String {
    let mut connection = TcpStream::connect(&world.app.host).await.unwrap();
    let (host, key) = (&world.app.host, &world.key);
    let request =
        format!("{line}\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n{headers}\r\n{body}");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn files_are_as_large_as_the_server_and_the_tier_allow(at: TestDatabase) {
    let app = TestApp::builder().preparing().database_url(at.url()).body_limit_bytes(10_000).start().await;
    let world = World { key: World::new_key(&app).await, app };
    set_quotas(world.app.workspace.database(), Quotas { attached_bytes: 25_000, ..Quotas::default() }).await;
    let document = world.document(json!({"title": "x"})).await;
    world.put(&document, "large", "", vec![0; 10_001]).await.problem(413, "too_large");
    let streamed = futures::stream::iter((0..30).map(|n| Ok::<_, std::io::Error>(vec![n; 1000])));
    let request = world.request(Method::PUT, &format!("{document}/files/large"));
    let answer = request.body(reqwest::Body::wrap_stream(streamed)).send().await.unwrap();
    Answer::of(answer).await.problem(413, "too_large");
    // Ten times 5,000 at once: five of them fit.
    let put = |number: u8| {
        let (world, document) = (&world, &document);
        async move { world.put(document, &format!("f{number}"), "", vec![number; 5000]).await }
    };
    let answers = join_all((0..10).map(put)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 5);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        let problem = answer.problem(409, "quota_exceeded");
        assert_eq!(problem["field"], "attached_bytes");
    }
    let list = world.send(Method::GET, &format!("{document}/files"), None).await.json();
    assert_eq!(list["total_size_bytes"], 25_000);
    world.send(Method::POST, &format!("{document}/duplicate"), None).await.problem(409, "quota_exceeded");
    world.app.stop().await;
}

async fn without_the_object_store_nothing_is_half_done(at: TestDatabase) {
    let world = World::start(&at).await;
    let document = world.document(json!({"title": "x"})).await;
    world.put(&document, "a", "", b"there".to_vec()).await.json();
    let (objects, aside) = (world.app.data_dir.path().join("objects"), world.app.data_dir.path().join("aside"));
    fs::rename(&objects, &aside).unwrap();
    fs::write(&objects, "a file where the directory was").unwrap();
    let problem = world.put(&document, "b", "", b"new".to_vec()).await;
    assert_eq!(problem.header("retry-after"), "10");
    problem.problem(503, "objects_unavailable");
    let read = world.send(Method::GET, &format!("{document}/files/a"), None).await;
    assert!(read.status.is_server_error(), "{}", read.text);
    let list = world.send(Method::GET, &format!("{document}/files"), None).await.json();
    assert_eq!((list["total"].as_u64(), list["files"][0]["path"].as_str()), (Some(1), Some("a")));
    // All but files goes on.
    world.send(Method::PATCH, &document, Some(json!({"content": "y"}))).await.json();
    fs::remove_file(&objects).unwrap();
    fs::rename(&aside, &objects).unwrap();
    world.put(&document, "b", "", b"new".to_vec()).await.json();
    assert_eq!(
        (world.got(&document, "a").await, world.got(&document, "b").await),
        (b"there".to_vec(), b"new".to_vec())
    );
    world.app.stop().await;
}

async fn objects_go_when_nobody_names_them(at: TestDatabase) {
    let world = World::start(&at).await;
    let (first, second) = (world.document(json!({"title": "x"})).await, world.document(json!({"title": "y"})).await);
    for (document, path, content) in [(&first, "a", "1"), (&first, "b", "2"), (&second, "c", "1"), (&second, "d", "3")]
    {
        world.put(document, path, "", content.into()).await.json();
    }
    assert_eq!(world.objects().len(), 3);
    let sweep = |hours: i64| {
        let now = Timestamp::now() + SignedDuration::from_hours(hours);
        world.app.workspace.sweep_documents(now)
    };
    world.send(Method::DELETE, &format!("{first}/files/a"), None).await;
    world.send(Method::DELETE, &format!("{first}/files/b"), None).await;
    sweep(0).await.unwrap();
    assert_eq!(world.objects().len(), 3, "an upload may still name it");
    sweep(2).await.unwrap();
    assert_eq!(world.objects().len(), 2, "another file has the content of `a`");
    assert_eq!(world.got(&second, "c").await, b"1");
    world.send(Method::DELETE, &second, None).await;
    sweep(24 * 29).await.unwrap();
    assert_eq!(world.objects().len(), 2, "it is in the bin");
    sweep(24 * 31).await.unwrap();
    assert_eq!(world.objects().len(), 0);
    // Uploads of one content, while it is let go and swept up again and again.
    let turns = (0..20).map(|number: usize| {
        let (world, first) = (&world, &first);
        async move {
            let path = format!("{}", number % 4);
            if number.is_multiple_of(3) {
                world.send(Method::DELETE, &format!("{first}/files/{path}"), None).await;
                world.app.workspace.sweep_documents(Timestamp::now()).await.unwrap();
            } else {
                world.put(first, &path, "", b"same".to_vec()).await.json();
            }
        }
    });
    join_all(turns).await;
    let list = world.send(Method::GET, &format!("{first}/files"), None).await.json();
    for file in list["files"].as_array().unwrap() {
        assert_eq!(world.got(&first, file["path"].as_str().unwrap()).await, b"same");
    }
    world.app.stop().await;
}
