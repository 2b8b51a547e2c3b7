//! What a caller is told when something is wrong: RFC 9457 problems. The only map from our errors to HTTP.

use std::any::Any;
use std::fmt;

use axum::extract::OriginalUri;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use super::request_id::RequestId;
use crate::domain::Scope;
use crate::service::ServiceError;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Seconds after which to ask again for a runtime that is being prepared.
const PREPARING_RETRY_S: u64 = 2;
/// Seconds after which to ask again for files.
const OBJECTS_RETRY_S: u64 = 10;
/// Seconds after which to ask again for the identity provider.
const PROVIDER_RETRY_S: u64 = 5;

/// A problem as the caller sees it (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemDetails {
    /// `urn:pymd:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time, in a sentence to act on.
    pub detail: String,
    /// A stable name for programs.
    pub code: &'static str,
    /// The field that is wrong, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The request, as the log and the header `x-request-id` name it.
    pub request_id: String,
}

/// Something that is wrong with a request, or with us.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    field: Option<String>,
    retry_after_s: Option<u64>,
    /// What the header `WWW-Authenticate` says.
    challenge: Option<Challenge>,
}

/// What the header `WWW-Authenticate` says (RFC 6750).
#[derive(Debug, Clone, Copy)]
enum Challenge {
    /// Come with a token.
    Token,
    /// Come with another one.
    InvalidToken,
    /// Come with one that may be used for this.
    Scope(Scope),
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer realm=\"pymd\"")?;
        match self {
            Self::Token => Ok(()),
            Self::InvalidToken => f.write_str(", error=\"invalid_token\""),
            Self::Scope(scope) => write!(f, ", error=\"insufficient_scope\", scope=\"{scope}\""),
        }
    }
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, title, detail: detail.into(), field: None, retry_after_s: None, challenge: None }
    }

    /// The body is no JSON.
    pub(super) fn bad_json(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_json", "The body is not JSON", detail)
    }

    /// The request as such can't be understood.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "The request cannot be read", detail)
    }

    /// The body did not come in time.
    pub(super) fn too_slow() -> Self {
        let detail = "The request's body did not arrive in time; send it again.";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "The request took too long to arrive", detail)
    }

    /// The body is JSON of another shape.
    pub(super) fn invalid(field: Option<String>, detail: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self { field, ..Self::new(status, "invalid_request", "A value of the request is not valid", detail) }
    }

    /// The body is too large.
    pub(super) fn body_too_large(limit: usize) -> Self {
        let detail = format!("The request's body may have at most {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The request is too large", detail)
    }

    /// The body is of another type.
    pub(super) fn not_json() -> Self {
        let detail = "Send the body with the header `Content-Type: application/json`.";
        let title = "The body has another media type";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", title, detail)
    }

    /// There is no token.
    pub(super) fn unauthorized(detail: &str) -> Self {
        let challenge = Some(Challenge::Token);
        Self { challenge, ..Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A token is needed", detail) }
    }

    /// There is a token that is not accepted.
    pub(super) fn invalid_token(detail: &str) -> Self {
        let challenge = Some(Challenge::InvalidToken);
        Self { challenge, ..Self::unauthorized(detail) }
    }

    /// The token may not be used for this.
    pub(super) fn insufficient_scope(scope: Scope) -> Self {
        let detail = format!("What you came with may not be used for this: it lacks the scope `{scope}`.");
        let challenge = Some(Challenge::Scope(scope));
        let title = "The credential may not be used for this";
        Self { challenge, ..Self::new(StatusCode::FORBIDDEN, "insufficient_scope", title, detail) }
    }

    /// A login did not come to its end.
    pub(super) fn login_failed(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "login_failed", "You are not logged in", detail)
    }

    /// The identity provider does not answer.
    pub(super) fn no_provider() -> Self {
        let detail = "The identity provider does not answer, so its tokens cannot be checked; try again in a moment.";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self {
            retry_after_s: Some(PROVIDER_RETRY_S),
            ..Self::new(status, "identity_unavailable", "The identity provider does not answer", detail)
        }
    }

    /// The route has no such method.
    pub(super) fn method_not_allowed(method: &Method) -> Self {
        let detail = format!("This route has no method {method}; the header `Allow` lists those that it has.");
        let title = "The route has no such method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", title, detail)
    }

    /// The caller is no admin.
    pub(super) fn admins_only() -> Self {
        let detail = "Only admins may do this.";
        Self::new(StatusCode::FORBIDDEN, "forbidden", "The caller may not do this", detail)
    }

    /// The caller is shut out.
    pub(super) fn suspended() -> Self {
        let detail = "The account is suspended; ask who runs the server.";
        Self::new(StatusCode::FORBIDDEN, "suspended", "The account is suspended", detail)
    }

    /// A stable name for programs.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong, in a sentence.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The request was sent by another site's page.
    pub(super) fn cross_origin() -> Self {
        let detail = "The session cookie counts only for requests of this server's own pages; use the bearer token.";
        Self::new(StatusCode::FORBIDDEN, "cross_origin", "The request comes from another site", detail)
    }

    /// The request was sent to another server's name.
    pub(super) fn bad_host() -> Self {
        let detail = "The server answers only to localhost, 127.0.0.1, [::1] and its public name where it has one; use \
                      one of them in the address.";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "bad_host", "The server has another name", detail)
    }

    /// The server stops.
    pub(super) fn stopping() -> Self {
        let detail = "The server is being stopped and takes no more work; try again when it is back.";
        Self {
            retry_after_s: Some(PREPARING_RETRY_S),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "The server stops", detail)
        }
    }

    /// Our own failure, logged under that id.
    pub(super) fn internal(id: Option<String>) -> Self {
        let id = id.map(|id| format!(" under the id {id}")).unwrap_or_default();
        let detail = format!("internal error: this is the server's own fault, and its log has more{id}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Internal error", detail)
    }

    /// Requests of somebody come faster than they may.
    pub fn too_fast(retry_after_s: u64) -> Self {
        let detail = "You send more requests than you may: slow down.";
        Self {
            retry_after_s: Some(retry_after_s),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_fast", "Too many requests", detail)
        }
    }

    /// There is nothing.
    pub fn not_found(detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing", detail)
    }

    /// The problem as the caller of this request sees it.
    pub(super) fn details(&self, id: &RequestId) -> ProblemDetails {
        ProblemDetails {
            kind: format!("urn:pymd:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code,
            field: self.field.clone(),
            request_id: id.to_string(),
        }
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let detail = error.to_string();
        match error {
            ServiceError::Preparing { .. } => Self {
                retry_after_s: Some(PREPARING_RETRY_S),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "preparing", "The server is not ready yet", detail)
            },
            ServiceError::Unavailable { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "No code can run", detail)
            }
            ServiceError::Invalid { field, .. } => Self::invalid(Some(field), detail),
            ServiceError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The request is too large", detail)
            }
            ServiceError::Busy { retry_after_s } => Self {
                retry_after_s: Some(retry_after_s),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", "Too much runs already", detail)
            },
            ServiceError::TooMany { .. } => Self {
                retry_after_s: Some(1),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", "You do too much at once", sentence(&detail))
            },
            ServiceError::NotFound { .. } => Self::not_found(sentence(&detail)),
            ServiceError::Conflict { .. } => {
                Self::new(StatusCode::CONFLICT, "conflict", "It can't be done as things are now", sentence(&detail))
            }
            ServiceError::Changed { .. } => {
                let title = "It was changed meanwhile";
                Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", title, sentence(&detail))
            }
            ServiceError::Objects => Self {
                retry_after_s: Some(OBJECTS_RETRY_S),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "objects_unavailable",
                    "Files can't be had at the moment",
                    sentence(&detail),
                )
            },
            ServiceError::NoPrinter { .. } => {
                let title = "This server makes no PDF";
                Self::new(StatusCode::NOT_IMPLEMENTED, "pdf_unavailable", title, sentence(&detail))
            }
            ServiceError::NotPrintable { .. } => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "not_printable", "The document can't be printed", sentence(&detail))
            }
            ServiceError::Quota(quota) => {
                let title = "The tier allows no more";
                Self {
                    field: Some(quota.what.to_string()),
                    ..Self::new(StatusCode::CONFLICT, "quota_exceeded", title, sentence(&detail))
                }
            }
            ServiceError::Packages { .. } => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "packages_unavailable", "The packages can't be had", sentence(&detail))
            }
            ServiceError::Index { .. } => {
                let title = "The package index does not answer as it should";
                Self::new(StatusCode::BAD_GATEWAY, "index_unavailable", title, sentence(&detail))
            }
            ServiceError::Internal { id } => Self::internal(Some(id.to_string())),
        }
    }
}

/// A message as a sentence.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let first = chars.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    let dot = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{dot}", chars.as_str())
}

impl IntoResponse for ApiError {
    /// Status and headers; the body is written by [`finish`], which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge.and_then(|challenge| HeaderValue::from_str(&challenge.to_string()).ok())
        {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of a response that is a problem.
pub(super) fn finish(response: &mut Response, id: &RequestId) {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return };
    // A structure of strings and a number: writing it as JSON cannot fail.
    let body = serde_json::to_vec(&error.details(id)).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    *response.body_mut() = body.into();
}

/// Answers for a path that is no route.
pub(super) async fn not_found(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::not_found(format!("There is no route {method} {path}; the routes are listed at /docs."))
}

/// Answers for a route's other methods; the router adds `Allow`.
pub(super) async fn method_not_allowed(method: Method) -> ApiError {
    ApiError::method_not_allowed(&method)
}

/// Answers for a handler that panicked. The panic itself is in the log, in the span of the request's id.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::internal(None).into_response()
}

/// What a route that takes `If-Match` may answer, too.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answer in the OpenAPI document; nothing makes one")]
pub(super) enum Changed {
    /// It is no longer what `If-Match` names; the detail says what it is
    #[response(status = 412, content_type = "application/problem+json")]
    PreconditionFailed(ProblemDetails),
}

/// What a route that makes PDFs may answer, too.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answer in the OpenAPI document; nothing makes one")]
pub(super) enum NoPrinter {
    /// The server has no Chromium to make PDFs with; the detail says what is missing
    #[response(status = 501, content_type = "application/problem+json")]
    NotImplemented(ProblemDetails),
}

/// What any route that takes JSON may answer besides success.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers in the OpenAPI document; nothing makes one")]
pub(super) enum Problems {
    /// The body is no JSON, or the request cannot be read
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemDetails),
    /// There is no token, or a wrong one
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemDetails),
    /// The caller may not do this, their credential may not be used for it, or the session cookie came with a request of another site
    #[response(status = 403, content_type = "application/problem+json")]
    CrossOrigin(ProblemDetails),
    /// There is no such thing, or the caller may not see it
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemDetails),
    /// The tier allows no more, a name is taken, or it can't be done as things are now
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemDetails),
    /// The body, or something in it, is too large
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemDetails),
    /// The body has another media type than `application/json`
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(ProblemDetails),
    /// An unknown field, a wrong type, or a value that is not possible
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemDetails),
    /// Too much runs already; `Retry-After` says when to come again
    #[response(status = 429, content_type = "application/problem+json")]
    Busy(ProblemDetails),
    /// Our own failure; the log has more under the id in it
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemDetails),
    /// The package index does not answer as it should
    #[response(status = 502, content_type = "application/problem+json")]
    BadIndex(ProblemDetails),
    /// The runtime is still being prepared (`Retry-After` says when to ask again) or could not be; or the identity
    /// provider does not answer
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemDetails),
}
