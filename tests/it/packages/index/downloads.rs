//! Downloads that succeed, break off, lie, and are continued.

use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use pymd::packages::index::Downloaded;
use tokio::io::AsyncWrite;

use super::*;

const PATH: &str = "/files/a-1.0-py3-none-any.whl";

/// A fake index with one file of noise.
async fn prepared(bytes: &[u8]) -> (Fixture, DistFile) {
    let fixture = Fixture::new().await;
    fixture.fake.publish("a", Style::Json, &[File::new("a-1.0-py3-none-any.whl", bytes.to_vec())]);
    let file = fixture.file("a").await;
    (fixture, file)
}

async fn download(fixture: &Fixture, file: &DistFile) -> Result<(Downloaded, Vec<u8>), IndexError> {
    let mut written = Vec::new();
    let downloaded = fixture.index().download(file, &mut written, &|_, _| {}).await?;
    Ok((downloaded, written))
}

#[tokio::test]
async fn a_download_is_streamed_counted_and_hashed() {
    let bytes = noise(300_000);
    let (fixture, mut file) = prepared(&bytes).await;
    let heard = Mutex::new(Vec::new());
    let mut written = Vec::new();
    let progress = |done, total| heard.lock().unwrap().push((done, total));
    let downloaded = fixture.index().download(&file, &mut written, &progress).await.unwrap();
    assert_eq!(downloaded, Downloaded { sha256: sha256(&bytes), size_bytes: 300_000 });
    assert_eq!(written, bytes);
    let heard = heard.into_inner().unwrap();
    assert_eq!(heard.first(), Some(&(0, Some(300_000))));
    assert_eq!(heard.last(), Some(&(300_000, Some(300_000))));
    assert!(heard.is_sorted());
    // An index that says nothing leaves the caller to judge the hash.
    (file.sha256, file.size_bytes) = (None, None);
    fixture.fake.script(PATH, [Reply::ok(bytes.clone()).chunked()]);
    assert_eq!(download(&fixture, &file).await.unwrap(), (downloaded, bytes));
}

#[tokio::test]
async fn lies_are_found_and_not_asked_for_again() {
    let bytes = noise(5000);
    let (fixture, file) = prepared(&bytes).await;
    let shorter = &bytes[..4999];
    let longer = [&bytes[..], b"x"].concat();
    let other: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
    let cases = [
        (Reply::ok(other), "the SHA-256"),
        (Reply::ok(shorter.to_vec()), "has 4999 bytes, not 5000"),
        (Reply::ok(longer.clone()), "has 5001 bytes, not 5000"),
        (Reply::ok(longer).chunked(), "bytes, not 5000"),
        (Reply::ok(bytes.clone()).endless(), "bytes, not 5000"),
        (Reply::status(404), "answered 404"),
        (Reply::status(403), "answered 403"),
        (Reply::status(206).header("content-range", "bytes 0-4999/5000"), "answered 206"),
    ];
    for (number, (reply, expected)) in cases.into_iter().enumerate() {
        fixture.fake.script(PATH, [reply]);
        let error = download(&fixture, &file).await.map(drop).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(fixture.fake.hits(PATH), number + 1, "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_read() {
    let (fixture, file) = prepared(&noise(5000)).await;
    let index = Index::new(IndexConfig { max_file_bytes: 4999, ..fixture.config() }).unwrap();
    let mut written = Vec::new();
    let error = index.download(&file, &mut written, &|_, _| {}).await.unwrap_err();
    assert!(matches!(error, IndexError::TooLarge { max_bytes: 4999, .. }), "{error}");
    assert_eq!(fixture.fake.hits(PATH), 0);
    let file = DistFile { size_bytes: None, sha256: None, ..file };
    for reply in [Reply::ok(noise(5000)), Reply::ok(noise(5000)).chunked(), Reply::ok("").endless()] {
        fixture.fake.script(PATH, [reply]);
        let error = index.download(&file, &mut written, &|_, _| {}).await.unwrap_err();
        assert!(matches!(error, IndexError::TooLarge { .. }), "{error}");
        assert!(written.len() < 5000);
        written.clear();
    }
}

#[tokio::test]
async fn a_broken_download_is_continued() {
    let bytes = noise(300_000);
    for knows_size in [true, false] {
        let (fixture, mut file) = prepared(&bytes).await;
        file.size_bytes = file.size_bytes.filter(|_| knows_size);
        let reply = || Reply::ok(bytes.clone()).ranges().header("etag", "\"same\"");
        fixture.fake.script(PATH, [reply().breaking_after(100_000), reply().breaking_after(50_000), reply()]);
        let (downloaded, written) = download(&fixture, &file).await.unwrap();
        assert_eq!((downloaded.sha256, written), (sha256(&bytes), bytes.clone()));
        let seen = fixture.fake.seen(PATH);
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[0].header("range"), None);
        assert!(seen[2].header("range").is_some_and(|range| range.starts_with("bytes=") && range.ends_with('-')));
        assert_eq!(seen[2].header("if-range"), Some("\"same\""));
    }
}

#[tokio::test]
async fn without_parts_a_broken_download_begins_again() {
    let bytes = noise(300_000);
    let (fixture, mut file) = prepared(&bytes).await;
    fixture.fake.script(PATH, [Reply::ok(bytes.clone()).breaking_after(200_000), Reply::ok(bytes.clone())]);
    let (downloaded, written) = download(&fixture, &file).await.unwrap();
    assert_eq!((downloaded.size_bytes, written), (300_000, bytes.clone()));
    // An early end without a declared length looks like an accident.
    fixture.fake.script(PATH, [Reply::ok(bytes[..1000].to_vec()).chunked(), Reply::ok(bytes.clone())]);
    assert_eq!(download(&fixture, &file).await.unwrap().1, bytes);
    fixture.fake.script(PATH, [Reply::ok(bytes[..1000].to_vec()).chunked()]);
    assert!(matches!(download(&fixture, &file).await, Err(IndexError::WrongLength { received: 1000, .. })));
    // Another file than before is noticed, also without a hash to go by.
    (file.sha256, file.size_bytes) = (None, None);
    let other = Reply::ok(noise(300_001)[1..].to_vec()).header("etag", "\"two\"");
    for other in [other.clone(), other.ranges(), Reply::ok("short")] {
        let first = Reply::ok(bytes.clone()).header("etag", "\"one\"").breaking_after(100_000);
        fixture.fake.script(PATH, [first, other]);
        let error = download(&fixture, &file).await.map(drop).unwrap_err();
        assert!(matches!(error, IndexError::Changed { .. }), "{error}");
    }
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    let bytes = noise(5000);
    for status in [408, 429, 500, 502, 503, 504] {
        let (fixture, file) = prepared(&bytes).await;
        fixture.fake.script(PATH, [Reply::status(status), Reply::status(status), Reply::ok(bytes.clone())]);
        fixture.fake.script("/simple/b/", [Reply::status(status), page("b", Style::Json, &[])]);
        download(&fixture, &file).await.unwrap();
        fixture.project("b").await.unwrap();
        assert_eq!((fixture.fake.hits(PATH), fixture.fake.hits("/simple/b/")), (3, 2));
        fixture.fake.script(PATH, [Reply::status(status)]);
        let error = download(&fixture, &file).await.map(drop).unwrap_err();
        assert!(matches!(error, IndexError::Status { status: found, .. } if found == status), "{error}");
        assert_eq!(fixture.fake.hits(PATH), 6);
    }
}

#[tokio::test]
async fn a_server_says_when_to_try_again() {
    let fixture = Fixture::new().await;
    // Without the server's word the second attempt would be next week.
    let retry = Retry { attempts: 3, first_wait: Duration::from_secs(600_000), max_wait: Duration::from_secs(600_000) };
    let index = Index::new(IndexConfig { retry, ..fixture.config() }).unwrap();
    for (path, wait) in [("a", "0"), ("b", "Thu, 01 Jan 2015 00:00:00 GMT")] {
        let busy = Reply::status(429).header("retry-after", wait);
        fixture.fake.script(&format!("/simple/{path}/"), [busy.clone(), busy, page(path, Style::Json, &[])]);
        index.project(&package(path)).await.unwrap();
        assert_eq!(fixture.fake.hits(&format!("/simple/{path}/")), 3);
    }
    // Nobody waits that long.
    for (path, wait) in [("c", "86400000"), ("d", "Fri, 01 Jan 2100 00:00:00 GMT")] {
        fixture.fake.script(&format!("/simple/{path}/"), [Reply::status(503).header("retry-after", wait)]);
        let error = index.project(&package(path)).await.unwrap_err();
        assert!(matches!(error, IndexError::Status { status: 503, .. }), "{error}");
        assert_eq!(fixture.fake.hits(&format!("/simple/{path}/")), 1);
    }
}

/// A disk that is full from the start.
struct Full;

impl AsyncWrite for Full {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_full_disk_is_the_callers_to_know() {
    let (fixture, file) = prepared(&noise(5000)).await;
    let error = fixture.index().download(&file, &mut Full, &|_, _| {}).await.unwrap_err();
    assert!(matches!(error, IndexError::Write { kind: io::ErrorKind::StorageFull, .. }), "{error}");
    assert_eq!(fixture.fake.hits(PATH), 1);
}

/// A disk that takes one byte and then never answers again.
struct Stuck(bool);

impl AsyncWrite for Stuck {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        if std::mem::replace(&mut self.0, true) { Poll::Pending } else { Poll::Ready(Ok(1)) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_write_that_was_cut_off_is_not_continued() {
    let (fixture, file) = prepared(&noise(5000)).await;
    let brief = IndexConfig { download_deadline: Duration::from_millis(200), ..fixture.config() };
    let error = Index::new(brief).unwrap().download(&file, &mut Stuck(false), &|_, _| {}).await.unwrap_err();
    assert!(matches!(error, IndexError::Write { kind: io::ErrorKind::TimedOut, .. }), "{error}");
    assert_eq!(fixture.fake.hits(PATH), 1);
}
