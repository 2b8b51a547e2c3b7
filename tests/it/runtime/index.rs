//! A package index on a port of its own that serves one wheel, in good or bad faith.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;

use super::sha256;

const WHEEL: &str = "fake_python-1.0-py3-none-any.whl";

/// How the index answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Honestly, in JSON if the client asks for it.
    Json,
    /// In HTML, whatever the client asks for.
    Html,
    /// As `Json`, but only to a user with a password.
    Private,
    /// Honestly, but slowly.
    Slow,
    /// The first this many requests for the page, and for the file, fail with 503.
    FailFirst(u32),
    /// The first this many bodies of the file break off in the middle.
    TruncateFirst(u32),
    /// Another file of the same length.
    WrongBytes,
    /// A file that never ends.
    Endless,
    /// A digest that is not the pinned one.
    WrongListing,
    /// A project without the wheel.
    NotListed,
    /// A listed file that is not there.
    MissingFile,
    /// A page that is no JSON, though it says so.
    Gibberish,
}

struct Shared {
    wheel: Vec<u8>,
    answer: Answer,
    pages: AtomicU32,
    files: AtomicU32,
}

/// The running index; it stops when dropped.
pub struct Index {
    /// Address of its simple API, without a slash at the end.
    pub url: String,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

impl Index {
    pub fn start(wheel: Vec<u8>, answer: Answer) -> Self {
        let shared = Arc::new(Shared { wheel, answer, pages: AtomicU32::new(0), files: AtomicU32::new(0) });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/simple", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/simple/fake-python/", get(page))
            .route(&format!("/files/{WHEEL}"), get(file))
            .with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { url, shared, _runtime: runtime }
    }

    /// How often the project's page and the wheel were asked for.
    pub fn hits(&self) -> (u32, u32) {
        (self.shared.pages.load(Ordering::SeqCst), self.shared.files.load(Ordering::SeqCst))
    }
}

fn refused(shared: &Shared, headers: &HeaderMap) -> bool {
    // The Base64 of `user:secret`.
    let known = headers.get(header::AUTHORIZATION).is_some_and(|value| value == "Basic dXNlcjpzZWNyZXQ=");
    shared.answer == Answer::Private && !known
}

async fn page(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let number = shared.pages.fetch_add(1, Ordering::SeqCst);
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert!(accept.starts_with("application/vnd.pypi.simple.v1+json"), "{accept}");
    let digest = match shared.answer {
        Answer::WrongListing => sha256(b"another"),
        _ => sha256(&shared.wheel),
    };
    let json = |body: String| ([(header::CONTENT_TYPE, "application/vnd.pypi.simple.v1+json")], body).into_response();
    match shared.answer {
        _ if refused(&shared, &headers) => StatusCode::UNAUTHORIZED.into_response(),
        Answer::FailFirst(count) if number < count => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Answer::Gibberish => json("<html>".to_owned()),
        Answer::NotListed => json(r#"{"files": [{"filename": "other.whl", "url": "other.whl"}]}"#.to_owned()),
        Answer::Html => axum::response::Html(format!(
            "<!DOCTYPE html><body><a href=\"../../files/old.whl\">old</a><br/>\n\
             <a href=\"../../files/{WHEEL}?x=1&amp;y=2#sha256={digest}\" data-requires-python=\"&gt;=3\">{WHEEL}</a>"
        ))
        .into_response(),
        _ => json(format!(
            r#"{{"meta": {{"api-version": "1.1"}}, "name": "fake-python", "files": [
                {{"filename": "{WHEEL}", "url": "/files/{WHEEL}", "hashes": {{"sha256": "{digest}"}}, "size": 7}}]}}"#
        )),
    }
}

async fn file(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let number = shared.files.fetch_add(1, Ordering::SeqCst);
    let wheel = shared.wheel.clone();
    match shared.answer {
        _ if refused(&shared, &headers) => StatusCode::UNAUTHORIZED.into_response(),
        Answer::FailFirst(count) if number < count => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Answer::MissingFile => StatusCode::NOT_FOUND.into_response(),
        Answer::WrongBytes => vec![b'x'; wheel.len()].into_response(),
        Answer::Endless => {
            Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![7; 65536]))))
                .into_response()
        }
        // With a declared length the connection breaks; without one, the body just ends early.
        Answer::TruncateFirst(count) if number < count => {
            let half = Bytes::from(wheel[..wheel.len() / 2].to_vec());
            let body = stream::iter([Ok(half), Err(std::io::Error::other("gone"))]);
            let body = if number == 0 { Body::from_stream(body) } else { Body::from(wheel[..7].to_vec()) };
            body.into_response()
        }
        Answer::Slow => {
            tokio::time::sleep(Duration::from_millis(400)).await;
            wheel.into_response()
        }
        _ => wheel.into_response(),
    }
}
