//! Running the system: `/api/v1/admin/...`: tiers, users, what is different for some, and the audit log.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::Problems;
use super::etag::{IfMatch, of_version};
use super::extract::{AdminOnly, ApiJson, ApiPath, ApiQuery, Caller, Paging};
use super::request_id::RequestId;
use super::{ApiError, App};
use crate::domain::{
    Actor, AuditEntry, AuditFilter, EnvironmentId, LimitsPatch, Role, Tier, TierInUse, User, UserFilter, UserId,
};
use crate::service::{ChangeTier, ChangeUser, CreateTier, UserDetail};

/// A tier, as admins see it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TierView {
    /// The tier.
    #[serde(flatten)]
    pub tier: Tier,
    /// Counts its changes; it is its `ETag`, too.
    pub version: u64,
    /// How many users have it.
    pub users: u64,
}

impl From<TierInUse> for TierView {
    fn from(TierInUse { tier, version, users }: TierInUse) -> Self {
        Self { tier, version, users }
    }
}

impl TierView {
    fn answer(self, status: StatusCode) -> Response {
        (status, [(ETAG, of_version(self.version))], Json(self)).into_response()
    }
}

/// Tiers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TierList {
    /// All of them, by name.
    pub tiers: Vec<TierView>,
}

/// Some users.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct UserList {
    /// The eldest first.
    pub users: Vec<User>,
    /// How many fit.
    pub total: u64,
    /// Which page this is, from 1.
    pub page: u32,
    /// Users of a page.
    pub page_size: u32,
    /// Whether there are more pages.
    pub has_more: bool,
}

/// Which users are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct UserQuery {
    /// What is in the name or the address, whatever its case.
    search: Option<String>,
    /// The tier's name.
    tier: Option<String>,
    /// What they may do.
    #[param(inline)]
    role: Option<Role>,
    /// Whether they are shut out.
    suspended: Option<bool>,
    /// The page, counted from 1.
    page: Option<u32>,
    /// Users of a page, 1 to 100. Default: 20.
    page_size: Option<u32>,
}

/// Some of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditList {
    /// The latest first.
    pub entries: Vec<AuditEntry>,
    /// How many fit.
    pub total: u64,
    /// Which page this is, from 1.
    pub page: u32,
    /// Entries of a page.
    pub page_size: u32,
    /// Whether there are more pages.
    pub has_more: bool,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// What was done, or all of a kind: `tier.change`, `tier`.
    act: Option<String>,
    /// To what, such as `tier FREE`.
    subject: Option<String>,
    /// Who did it.
    actor_id: Option<UserId>,
    /// At this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// The page, counted from 1.
    page: Option<u32>,
    /// Entries of a page, 1 to 100. Default: 20.
    page_size: Option<u32>,
}

/// The admin who asks, as what they do is written down.
fn actor(user: &User, request: &RequestId) -> Actor {
    Actor { user: Some(user.id), request_id: Some(request.to_string()) }
}

/// All tiers. For admins.
#[utoipa::path(get, path = "/api/v1/admin/tiers", tag = "admin", operation_id = "list_tiers", responses(
    (status = 200, description = "All of them", body = TierList), Problems))]
pub async fn tiers(State(app): State<App>, AdminOnly: AdminOnly) -> Result<Json<TierList>, ApiError> {
    let tiers = app.workspace().tiers().await?.into_iter().map(TierView::from).collect();
    Ok(Json(TierList { tiers }))
}

/// Make a tier. For admins.
#[utoipa::path(post, path = "/api/v1/admin/tiers", tag = "admin", operation_id = "create_tier",
    request_body = CreateTier, responses((status = 201, description = "The tier", body = TierView), Problems))]
pub async fn create_tier(
    State(app): State<App>,
    AdminOnly: AdminOnly,
    Caller(user): Caller,
    request: RequestId,
    ApiJson(tier): ApiJson<CreateTier>,
) -> Result<Response, ApiError> {
    let made = app.workspace().create_tier(&actor(&user, &request), tier).await?;
    Ok(TierView::from(made).answer(StatusCode::CREATED))
}

/// A tier. For admins.
#[utoipa::path(get, path = "/api/v1/admin/tiers/{name}", tag = "admin", operation_id = "show_tier",
    params(("name" = String, Path)), responses((status = 200, description = "The tier", body = TierView), Problems))]
pub async fn tier(
    State(app): State<App>,
    AdminOnly: AdminOnly,
    ApiPath(name): ApiPath<String>,
) -> Result<Response, ApiError> {
    Ok(TierView::from(app.workspace().tier(&name).await?).answer(StatusCode::OK))
}

/// Change a tier: some of its limits and quotas. It holds for the next cell of its users, on every server. For admins.
#[utoipa::path(patch, path = "/api/v1/admin/tiers/{name}", tag = "admin", operation_id = "change_tier",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header, description = "The versions one of which it must have")),
    request_body = ChangeTier, responses((status = 200, description = "The tier as it is now", body = TierView), Problems))]
pub async fn change_tier(
    State(app): State<App>,
    Caller(user): Caller,
    request: RequestId,
    IfMatch(expected): IfMatch,
    ApiPath(name): ApiPath<String>,
    ApiJson(change): ApiJson<ChangeTier>,
) -> Result<Response, ApiError> {
    let actor = actor(&user, &request);
    let changed = app.workspace().change_tier(&actor, &name, &change, expected.as_deref()).await?;
    Ok(TierView::from(changed).answer(StatusCode::OK))
}

/// Delete a tier that nobody has. For admins.
#[utoipa::path(delete, path = "/api/v1/admin/tiers/{name}", tag = "admin", operation_id = "delete_tier",
    params(("name" = String, Path)), responses((status = 204, description = "It is gone"), Problems))]
pub async fn delete_tier(
    State(app): State<App>,
    AdminOnly: AdminOnly,
    Caller(user): Caller,
    request: RequestId,
    ApiPath(name): ApiPath<String>,
) -> Result<StatusCode, ApiError> {
    app.workspace().delete_tier(&actor(&user, &request), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Users. For admins.
#[utoipa::path(get, path = "/api/v1/admin/users", tag = "admin", operation_id = "list_users", params(UserQuery),
    responses((status = 200, description = "A page of them", body = UserList), Problems))]
pub async fn users(
    State(app): State<App>,
    AdminOnly: AdminOnly,
    ApiQuery(query): ApiQuery<UserQuery>,
) -> Result<Json<UserList>, ApiError> {
    let UserQuery { search, tier, role, suspended, page, page_size } = query;
    let filter = UserFilter { search, tier, role, is_suspended: suspended };
    let page = app.workspace().users(&filter, Paging { page, page_size }.request()?).await?;
    Ok(Json(UserList {
        has_more: page.has_more(),
        total: page.total,
        page: page.request.page(),
        page_size: page.request.page_size(),
        users: page.items,
    }))
}

/// A user, and what they may do at this moment. For admins.
#[utoipa::path(get, path = "/api/v1/admin/users/{id}", tag = "admin", operation_id = "show_user",
    params(("id" = UserId, Path)), responses((status = 200, description = "The user", body = UserDetail), Problems))]
pub async fn user(
    State(app): State<App>,
    AdminOnly: AdminOnly,
    ApiPath(id): ApiPath<UserId>,
) -> Result<Json<UserDetail>, ApiError> {
    Ok(Json(app.workspace().user_detail(id).await?))
}

/// Change a user's role or tier, shut them out or let them in, or say what is different for them. For admins.
#[utoipa::path(patch, path = "/api/v1/admin/users/{id}", tag = "admin", operation_id = "change_user",
    params(("id" = UserId, Path)), request_body = ChangeUser,
    responses((status = 200, description = "The user as they are now", body = UserDetail), Problems))]
pub async fn change_user(
    State(app): State<App>,
    AdminOnly: AdminOnly,
    Caller(user): Caller,
    request: RequestId,
    ApiPath(id): ApiPath<UserId>,
    ApiJson(change): ApiJson<ChangeUser>,
) -> Result<Json<UserDetail>, ApiError> {
    let changed = app.workspace().change_user(&actor(&user, &request), id, change).await?;
    app.accounts().forget(id);
    Ok(Json(changed))
}

/// What is different for runs in one environment. For admins.
#[utoipa::path(get, path = "/api/v1/admin/environments/{id}/limits", tag = "admin",
    operation_id = "show_environment_limits", params(("id" = EnvironmentId, Path)),
    responses((status = 200, description = "What is said", body = LimitsPatch), Problems))]
pub async fn environment_limits(
    State(app): State<App>,
    AdminOnly: AdminOnly,
    ApiPath(id): ApiPath<EnvironmentId>,
) -> Result<Json<LimitsPatch>, ApiError> {
    Ok(Json(app.workspace().environment_limits(id).await?))
}

/// Say what is different for runs in one environment, as a whole; `{}`: nothing. For admins.
#[utoipa::path(put, path = "/api/v1/admin/environments/{id}/limits", tag = "admin",
    operation_id = "set_environment_limits", params(("id" = EnvironmentId, Path)), request_body = LimitsPatch,
    responses((status = 200, description = "What is said now", body = LimitsPatch), Problems))]
pub async fn set_environment_limits(
    State(app): State<App>,
    AdminOnly: AdminOnly,
    Caller(user): Caller,
    request: RequestId,
    ApiPath(id): ApiPath<EnvironmentId>,
    ApiJson(limits): ApiJson<LimitsPatch>,
) -> Result<Json<LimitsPatch>, ApiError> {
    Ok(Json(app.workspace().set_environment_limits(&actor(&user, &request), id, limits).await?))
}

/// What admins did, and what concerns who gets in. For admins.
#[utoipa::path(get, path = "/api/v1/admin/audit", tag = "admin", operation_id = "list_audit", params(AuditQuery),
    responses((status = 200, description = "A page of it", body = AuditList), Problems))]
pub async fn audit(
    State(app): State<App>,
    AdminOnly: AdminOnly,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> Result<Json<AuditList>, ApiError> {
    let AuditQuery { act, subject, actor_id, from, until, page, page_size } = query;
    let filter = AuditFilter { act, subject, actor: actor_id, from, until };
    let page = app.workspace().audit(&filter, Paging { page, page_size }.request()?).await?;
    Ok(Json(AuditList {
        has_more: page.has_more(),
        total: page.total,
        page: page.request.page(),
        page_size: page.request.page_size(),
        entries: page.items,
    }))
}
