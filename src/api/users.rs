//! Oneself: `/api/v1/users/me`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::error::Problems;
use super::extract::{ApiJson, Caller};
use super::request_id::RequestId;
use super::{ApiError, App};
use crate::domain::{User, UserSettings};

/// What is to be different about oneself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateMe {
    /// What one is called: 1 to 200 characters. It stays so until the identity provider says another name than before.
    name: String,
}

/// That one really wants to go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteMe {
    /// One's name or address, exactly as it is shown.
    confirm: String,
}

/// You.
#[utoipa::path(get, path = "/api/v1/users/me", tag = "accounts", responses(
    (status = 200, description = "The caller", body = User), Problems))]
pub async fn show(Caller(user): Caller) -> Json<User> {
    Json(user)
}

/// Change what you are called.
#[utoipa::path(patch, path = "/api/v1/users/me", tag = "accounts", request_body = UpdateMe, responses(
    (status = 200, description = "The caller as they are now", body = User), Problems))]
pub async fn update(
    State(app): State<App>,
    Caller(user): Caller,
    ApiJson(request): ApiJson<UpdateMe>,
) -> Result<Json<User>, ApiError> {
    let user = app.workspace().rename_user(user.id, &request.name).await?;
    app.accounts().forget(user.id);
    Ok(Json(user))
}

/// Delete yourself, with all that you have. There is no way back.
#[utoipa::path(delete, path = "/api/v1/users/me", tag = "accounts", request_body = DeleteMe, responses(
    (status = 204, description = "You are gone, and so is all that you had"), Problems))]
pub async fn delete(
    State(app): State<App>,
    Caller(user): Caller,
    request_id: RequestId,
    ApiJson(request): ApiJson<DeleteMe>,
) -> Result<StatusCode, ApiError> {
    let deleted = app.workspace().delete_user(&user, &request.confirm, request_id.to_string()).await;
    app.accounts().forget(user.id);
    deleted?;
    Ok(StatusCode::NO_CONTENT)
}

/// What you have chosen.
#[utoipa::path(get, path = "/api/v1/users/me/settings", tag = "accounts", responses(
    (status = 200, description = "The settings", body = UserSettings), Problems))]
pub async fn settings(State(app): State<App>, Caller(user): Caller) -> Result<Json<UserSettings>, ApiError> {
    Ok(Json(app.workspace().user_settings(user.id).await?))
}

/// Change some of your settings.
///
/// What is absent stays as it is, also within `editor` and `render`; `null` is the default again.
#[utoipa::path(patch, path = "/api/v1/users/me/settings", tag = "accounts", request_body = UserSettings, responses(
    (status = 200, description = "The settings as they are now", body = UserSettings), Problems))]
pub async fn update_settings(
    State(app): State<App>,
    Caller(user): Caller,
    ApiJson(patch): ApiJson<Map<String, Value>>,
) -> Result<Json<UserSettings>, ApiError> {
    Ok(Json(app.workspace().change_user_settings(user.id, patch).await?))
}

/// All that you have, to take along.
///
/// Lines of JSON, each with its `kind`: `user`, `settings`, `api_key`, `environment`, `lockfile`, `document`,
/// `document_version`, `file`, `deleted_document`, `schedule`, `execution`, and last `end`: without it, something is
/// missing. The contents of files are had by their routes.
#[utoipa::path(get, path = "/api/v1/users/me/export", tag = "accounts", responses(
    (status = 200, description = "The lines", body = String, content_type = "application/jsonl"), Problems))]
pub async fn export(State(app): State<App>, Caller(user): Caller) -> Result<Response, ApiError> {
    let connection = app.connection(user.id)?;
    let lines = app.workspace().export_user(user).map(move |line| {
        // For as long as somebody reads.
        let _ = &connection;
        Ok::<_, std::convert::Infallible>(line)
    });
    let disposition = "attachment; filename=\"pymd-export.jsonl\"";
    let headers = [(CONTENT_TYPE, "application/jsonl"), (CONTENT_DISPOSITION, disposition)];
    Ok((headers, Body::from_stream(lines)).into_response())
}
