//! One answer, with what is wrong with it.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures::{StreamExt, stream};
use tokio::sync::{Semaphore, watch};

use super::JSON;

/// Holds requests up until it is opened.
#[derive(Clone)]
pub struct Gate {
    permits: Arc<Semaphore>,
    waiting: Arc<watch::Sender<usize>>,
}

impl Gate {
    pub fn closed() -> Self {
        Self { permits: Arc::new(Semaphore::new(0)), waiting: Arc::new(watch::Sender::new(0)) }
    }

    /// Waits until this many requests have come to the gate, in all.
    pub async fn arrived(&self, count: usize) {
        self.waiting.subscribe().wait_for(|waiting| *waiting >= count).await.unwrap();
    }

    /// Lets this many requests through, waiting or to come.
    pub fn open(&self, count: usize) {
        self.permits.add_permits(count);
    }

    pub(super) async fn pass(&self) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        self.permits.acquire().await.unwrap().forget();
    }
}

/// One answer.
#[derive(Clone, Default)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    ranges: bool,
    break_after: Option<usize>,
    endless: bool,
    chunked: bool,
    pub(super) gate: Option<Gate>,
}

impl Reply {
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self { status: 200, body: body.into(), ..Self::default() }
    }

    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::ok(body).header("content-type", JSON)
    }

    pub fn html(body: impl Into<Bytes>) -> Self {
        Self::ok(body).header("content-type", "text/html; charset=utf-8")
    }

    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub fn redirect(target: &str) -> Self {
        Self::status(302).header("location", target)
    }

    /// An `etag` here is honoured when the client sends it back.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Range requests are answered with parts.
    pub fn ranges(mut self) -> Self {
        self.ranges = true;
        self
    }

    /// The connection breaks after so many bytes of the body.
    pub fn breaking_after(mut self, bytes: usize) -> Self {
        self.break_after = Some(bytes);
        self
    }

    /// The body is followed by zeros without end.
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// Without a declared length.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    pub fn gated(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    fn named(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn answer(self, asked: &HeaderMap) -> Response {
        let sent = |name: header::HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
        let mut response = Response::builder();
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let is_known = self.named("etag").is_some_and(|etag| sent(header::IF_NONE_MATCH) == Some(etag))
            || self.named("last-modified").is_some_and(|date| sent(header::IF_MODIFIED_SINCE) == Some(date));
        if self.status == 200 && is_known {
            return response.status(304).body(Body::empty()).unwrap();
        }
        let (mut body, mut status) = (self.body.clone(), self.status);
        let is_same = sent(header::IF_RANGE).is_none_or(|etag| self.named("etag") == Some(etag));
        if let Some(range) = sent(header::RANGE).filter(|_| self.ranges && is_same) {
            let Some((from, to)) = range_of(range, body.len()) else {
                return response.status(416).body(Body::empty()).unwrap();
            };
            response = response.header("content-range", format!("bytes {from}-{}/{}", to - 1, body.len()));
            body = body.slice(from..to);
            status = 206;
        }
        let response = response.status(StatusCode::from_u16(status).unwrap());
        if self.endless {
            let zeros = std::iter::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 65536])));
            return response.body(Body::from_stream(stream::iter(std::iter::once(Ok(body)).chain(zeros)))).unwrap();
        }
        if let Some(bytes) = self.break_after {
            let rest = body.slice(..bytes.min(body.len()));
            let response = response.header("content-length", body.len());
            let broken = async {
                // The server sends what it has when there is nothing more for a moment.
                tokio::task::yield_now().await;
                Err(std::io::Error::other("the connection breaks"))
            };
            let body = stream::iter([Ok(rest)]).chain(stream::once(broken));
            return response.body(Body::from_stream(body)).unwrap();
        }
        if self.chunked {
            return response.body(Body::from_stream(stream::iter([Ok::<_, std::io::Error>(body)]))).unwrap();
        }
        response.body(Body::from(body)).unwrap()
    }
}

fn range_of(range: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    match (from, to) {
        ("", last) => Some((length.saturating_sub(last.parse().ok()?), length)),
        (from, "") => Some((from.parse().ok()?, length)),
        (from, to) => Some((from.parse().ok()?, (to.parse::<usize>().ok()? + 1).min(length))),
    }
    .filter(|(from, to)| from < to)
}
