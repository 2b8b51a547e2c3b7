//! What every request goes through, whatever it asks for.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Instrument as _, Level, Span, field};

use super::request_id::{self, RequestId};
use super::{error, guard};
use crate::metrics;

/// Headers of every answer, where the handler did not set its own.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Names the request, checks whom it is for, and answers with what every answer has; counts and logs it.
pub async fn around(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let seen = Seen::new(&request, &id);
    let mut response = match guard::check_host(&request) {
        Ok(()) => next.run(request).instrument(seen.span.clone()).await,
        Err(error) => error.into_response(),
    };
    error::finish(&mut response, &id);
    set_headers(response.headers_mut(), &id);
    seen.answered(response.status());
    response
}

fn set_headers(headers: &mut HeaderMap, id: &RequestId) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Some(id) = id.header_value() {
        headers.insert(request_id::HEADER, id);
    }
}

/// A request that is being answered. Dropped without an answer, its client has gone away.
struct Seen {
    started: Instant,
    route: String,
    method: &'static str,
    span: Span,
    answered: bool,
}

impl Seen {
    fn new(request: &Request, id: &RequestId) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
        let method = method_label(request.method());
        // The path of an unknown route is left out as every query is: either may hold a token.
        let span = tracing::span!(Level::INFO, "request", %id, method, route, status = field::Empty);
        Self { started: Instant::now(), route, method, span, answered: false }
    }

    fn answered(mut self, status: StatusCode) {
        self.answered = true;
        self.report(status.as_u16());
    }

    fn report(&self, status: u16) {
        let took = self.started.elapsed();
        metrics::http_request(&self.route, self.method, status, took);
        let _inside = self.span.enter();
        self.span.record("status", status);
        let ms = took.as_secs_f64() * 1000.0;
        if self.answered {
            tracing::debug!(ms, "answered");
        } else {
            tracing::debug!(ms, "the client went away");
        }
    }
}

/// What a request counts as whose client went away.
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl Drop for Seen {
    fn drop(&mut self) {
        if !self.answered {
            self.report(CLIENT_CLOSED_REQUEST);
        }
    }
}

/// The method, or `other`: clients can make methods up, and each would be a series of its own.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
