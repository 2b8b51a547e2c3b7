//! `GET /metrics`.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::{App, error};

/// What was counted and measured, in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "server", responses(
    (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
    (status = 401, description = "There is no token, or a wrong one", body = error::ProblemDetails,
     content_type = "application/problem+json")))]
pub async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let text = app.metrics().render(app.service().stats(), app.workspace().executions().recording_stats());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
