//! Who the caller is, their API keys, and new users: `/api/v1/auth/me`, `/api/v1/api-keys`, `/api/v1/admin/users`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Problems;
use super::extract::{ApiJson, ApiPath, Caller, Who};
use super::{ApiError, App};
use crate::domain::{ApiKey, KeyId, Means, Principal, Scope, Scopes, User};
use crate::service::{CreateKey, CreateUser, CreatedKey, CreatedUser};

/// API keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeyList {
    /// The eldest first, revoked ones included.
    pub api_keys: Vec<ApiKey>,
}

/// Who you are, and what you may do with what you came with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Me {
    /// Who.
    #[serde(flatten)]
    pub user: User,
    /// With what you came.
    pub means: Means,
    /// What that may be used for.
    #[schema(value_type = Vec<Scope>)]
    pub scopes: Scopes,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// Who you are.
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "accounts", responses(
    (status = 200, description = "The caller", body = Me), Problems))]
pub async fn me(Who(Principal { user, means, scopes, expires_at }): Who) -> Json<Me> {
    Json(Me { user, means, scopes, expires_at })
}

/// Your API keys; their texts are shown only when they are made.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "accounts", responses(
    (status = 200, description = "The keys", body = KeyList), Problems))]
pub async fn keys(State(app): State<App>, Caller(user): Caller) -> Result<Json<KeyList>, ApiError> {
    Ok(Json(KeyList { api_keys: app.accounts().keys(&user).await? }))
}

/// Make an API key.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "accounts", request_body = CreateKey, responses(
    (status = 201, description = "The key, with its text for the only time", body = CreatedKey), Problems))]
pub async fn create_key(
    State(app): State<App>,
    Who(maker): Who,
    ApiJson(request): ApiJson<CreateKey>,
) -> Result<(StatusCode, Json<CreatedKey>), ApiError> {
    Ok((StatusCode::CREATED, Json(app.accounts().create_key(&maker, request).await?)))
}

/// Revoke an API key.
#[utoipa::path(delete, path = "/api/v1/api-keys/{id}", tag = "accounts", params(("id" = KeyId, Path)), responses(
    (status = 204, description = "It is not accepted any more"), Problems))]
pub async fn revoke_key(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<KeyId>,
) -> Result<StatusCode, ApiError> {
    app.accounts().revoke_key(&user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a user, with a first API key. For admins.
#[utoipa::path(post, path = "/api/v1/admin/users", tag = "accounts", request_body = CreateUser, responses(
    (status = 201, description = "The user, with their key for the only time", body = CreatedUser), Problems))]
pub async fn create_user(
    State(app): State<App>,
    ApiJson(request): ApiJson<CreateUser>,
) -> Result<(StatusCode, Json<CreatedUser>), ApiError> {
    Ok((StatusCode::CREATED, Json(app.accounts().create_user(request).await?)))
}
