//! `/api/v1/environments/{id}/packages`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::error::Problems;
use super::extract::{ApiJson, ApiPath, Caller, PrefersAsync};
use super::{ApiError, App, jobs};
use crate::domain::{EnvironmentId, EnvironmentPackage, InstallReport, Job};
use crate::service::{AddPackages, ImportRequirements, InstallRequest, PackageList};

/// Install packages.
///
/// Those that can't be had are reported, the others go in together. With `Prefer: respond-async` the answer is 202 with
/// a job at once: its events say how far it is, its result is what this would have answered.
#[utoipa::path(post, path = "/api/v1/environments/{id}/packages", tag = "packages",
    params(("id" = EnvironmentId, Path)), request_body = AddPackages, responses(
    (status = 200, description = "What is there now, and what is not", body = InstallReport),
    (status = 202, description = "The job, with `Prefer: respond-async`", body = Job), Problems))]
pub async fn install(
    State(app): State<App>,
    Caller(user): Caller,
    PrefersAsync(later): PrefersAsync,
    ApiPath(id): ApiPath<EnvironmentId>,
    ApiJson(request): ApiJson<AddPackages>,
) -> Result<Response, ApiError> {
    if later {
        let job = app.run(app.workspace().install_later(user.id, id, InstallRequest::Packages(request))).await?;
        return Ok(jobs::accepted(job));
    }
    Ok(Json(app.run(app.workspace().install(user.id, id, request, &|_| {})).await?).into_response())
}

/// Install what a `requirements.txt` asks for: all of it or nothing.
#[utoipa::path(post, path = "/api/v1/environments/{id}/packages/import", tag = "packages",
    params(("id" = EnvironmentId, Path)), request_body = ImportRequirements, responses(
    (status = 200, description = "What is there now", body = InstallReport),
    (status = 202, description = "The job, with `Prefer: respond-async`", body = Job), Problems))]
pub async fn import(
    State(app): State<App>,
    Caller(user): Caller,
    PrefersAsync(later): PrefersAsync,
    ApiPath(id): ApiPath<EnvironmentId>,
    ApiJson(request): ApiJson<ImportRequirements>,
) -> Result<Response, ApiError> {
    if later {
        let job = app.run(app.workspace().install_later(user.id, id, InstallRequest::Import(request))).await?;
        return Ok(jobs::accepted(job));
    }
    Ok(Json(app.run(app.workspace().import_requirements(user.id, id, request, &|_| {})).await?).into_response())
}

/// The packages of an environment.
#[utoipa::path(get, path = "/api/v1/environments/{id}/packages", tag = "packages",
    params(("id" = EnvironmentId, Path)),
    responses((status = 200, description = "The packages", body = PackageList), Problems))]
pub async fn list(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<EnvironmentId>,
) -> Result<Json<PackageList>, ApiError> {
    Ok(Json(app.workspace().packages(user.id, id).await?))
}

/// A package of an environment.
#[utoipa::path(get, path = "/api/v1/environments/{id}/packages/{name}", tag = "packages",
    params(("id" = EnvironmentId, Path), ("name" = String, Path)),
    responses((status = 200, description = "The package", body = EnvironmentPackage), Problems))]
pub async fn show(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath((id, name)): ApiPath<(EnvironmentId, String)>,
) -> Result<Json<EnvironmentPackage>, ApiError> {
    Ok(Json(app.workspace().package(user.id, id, &name).await?))
}

/// Uninstall a package, and what only it needed.
#[utoipa::path(delete, path = "/api/v1/environments/{id}/packages/{name}", tag = "packages",
    params(("id" = EnvironmentId, Path), ("name" = String, Path)),
    responses((status = 204, description = "It is gone"), Problems))]
pub async fn uninstall(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath((id, name)): ApiPath<(EnvironmentId, String)>,
) -> Result<StatusCode, ApiError> {
    app.run(app.workspace().uninstall(user.id, id, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
