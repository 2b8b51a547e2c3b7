//! `/api/v1/environments` and `/api/v1/environment-templates`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Problems;
use super::extract::{ApiJson, ApiPath, ApiQuery, Caller, Paging};
use super::{ApiError, App};
use crate::domain::{Environment, EnvironmentId, EnvironmentStats};
use crate::service::{CloneEnvironment, CreateEnvironment, TEMPLATES, Template, UpdateEnvironment};

/// Environments.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EnvironmentList {
    /// Those of this page: the default one, then the eldest first.
    pub environments: Vec<Environment>,
    /// How many there are in all.
    pub total: u64,
    /// This page, counted from 1.
    pub page: u32,
    /// Items of a page.
    pub page_size: u32,
    /// Whether there are more.
    pub has_more: bool,
}

/// Templates of environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TemplateList {
    /// All of them.
    pub templates: Vec<Template>,
}

/// Make an environment.
///
/// With a template, its packages are installed before the answer.
#[utoipa::path(post, path = "/api/v1/environments", tag = "environments", request_body = CreateEnvironment, responses(
    (status = 201, description = "The environment", body = Environment), Problems))]
pub async fn create(
    State(app): State<App>,
    Caller(user): Caller,
    ApiJson(request): ApiJson<CreateEnvironment>,
) -> Result<(StatusCode, Json<Environment>), ApiError> {
    let made = app.run(app.workspace().create_environment(user.id, request, &|_| {})).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Your environments. The one named `default` is always there.
#[utoipa::path(get, path = "/api/v1/environments", tag = "environments", params(Paging), responses(
    (status = 200, description = "A page of them", body = EnvironmentList), Problems))]
pub async fn list(
    State(app): State<App>,
    Caller(user): Caller,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Json<EnvironmentList>, ApiError> {
    let page = app.workspace().environments(user.id, paging.request()?).await?;
    Ok(Json(EnvironmentList {
        has_more: page.has_more(),
        total: page.total,
        page: page.request.page(),
        page_size: page.request.page_size(),
        environments: page.items,
    }))
}

/// What your environments are together.
#[utoipa::path(get, path = "/api/v1/environments/stats", tag = "environments", responses(
    (status = 200, description = "Counts and sizes", body = EnvironmentStats), Problems))]
pub async fn stats(State(app): State<App>, Caller(user): Caller) -> Result<Json<EnvironmentStats>, ApiError> {
    Ok(Json(app.workspace().environment_stats(user.id).await?))
}

/// What an environment can begin with.
#[utoipa::path(get, path = "/api/v1/environment-templates", tag = "environments", responses(
    (status = 200, description = "The templates", body = TemplateList), Problems))]
pub async fn templates() -> Json<TemplateList> {
    Json(TemplateList { templates: TEMPLATES.to_vec() })
}

/// An environment.
#[utoipa::path(get, path = "/api/v1/environments/{id}", tag = "environments", params(("id" = EnvironmentId, Path)),
    responses((status = 200, description = "The environment", body = Environment), Problems))]
pub async fn show(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<EnvironmentId>,
) -> Result<Json<Environment>, ApiError> {
    Ok(Json(app.workspace().environment(user.id, id).await?))
}

/// Rename an environment, or choose what is imported beforehand.
#[utoipa::path(patch, path = "/api/v1/environments/{id}", tag = "environments", params(("id" = EnvironmentId, Path)),
    request_body = UpdateEnvironment,
    responses((status = 200, description = "The environment as it is now", body = Environment), Problems))]
pub async fn update(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<EnvironmentId>,
    ApiJson(request): ApiJson<UpdateEnvironment>,
) -> Result<Json<Environment>, ApiError> {
    Ok(Json(app.run(app.workspace().update_environment(user.id, id, request)).await?))
}

/// Delete an environment. The default one stays.
#[utoipa::path(delete, path = "/api/v1/environments/{id}", tag = "environments", params(("id" = EnvironmentId, Path)),
    responses((status = 204, description = "It is gone"), Problems))]
pub async fn delete(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<EnvironmentId>,
) -> Result<StatusCode, ApiError> {
    app.workspace().delete_environment(user.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take all packages out of an environment.
#[utoipa::path(post, path = "/api/v1/environments/{id}/reset", tag = "environments",
    params(("id" = EnvironmentId, Path)),
    responses((status = 200, description = "The environment as it is now", body = Environment), Problems))]
pub async fn reset(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<EnvironmentId>,
) -> Result<Json<Environment>, ApiError> {
    Ok(Json(app.run(app.workspace().reset_environment(user.id, id)).await?))
}

/// Make an environment with the same packages.
#[utoipa::path(post, path = "/api/v1/environments/{id}/clone", tag = "environments",
    params(("id" = EnvironmentId, Path)), request_body = CloneEnvironment,
    responses((status = 201, description = "The copy", body = Environment), Problems))]
pub async fn duplicate(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<EnvironmentId>,
    ApiJson(request): ApiJson<CloneEnvironment>,
) -> Result<(StatusCode, Json<Environment>), ApiError> {
    let copy = app.run(app.workspace().clone_environment(user.id, id, request)).await?;
    Ok((StatusCode::CREATED, Json(copy)))
}

/// The exact packages of an environment as `pylock.toml` (PEP 751).
#[utoipa::path(get, path = "/api/v1/environments/{id}/lockfile", tag = "environments",
    params(("id" = EnvironmentId, Path)),
    responses((status = 200, description = "The lockfile", body = String, content_type = "application/toml"), Problems))]
pub async fn lockfile(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<EnvironmentId>,
) -> Result<impl IntoResponse, ApiError> {
    let text = app.workspace().lockfile(user.id, id).await?;
    Ok(([(CONTENT_TYPE, "application/toml; charset=utf-8")], text))
}

/// The exact packages of an environment as `requirements.txt`, with hashes.
#[utoipa::path(get, path = "/api/v1/environments/{id}/requirements.txt", tag = "environments",
    params(("id" = EnvironmentId, Path)),
    responses((status = 200, description = "The list", body = String, content_type = "text/plain"), Problems))]
pub async fn requirements(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<EnvironmentId>,
) -> Result<impl IntoResponse, ApiError> {
    let text = app.workspace().requirements_txt(user.id, id).await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text))
}
