//! `/api/v1/executions`: the history of cells that ran.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::Problems;
use super::extract::{ApiPath, ApiQuery, Caller, Paging};
use super::{ApiError, App};
use crate::domain::{
    DocumentId, EnvironmentId, Execution, ExecutionFilter, ExecutionGroup, ExecutionId, ExecutionKind, ExecutionStats,
    KernelId, OutcomeKind, SortOrder,
};
use crate::service::ExecutionDetail;

/// Executions.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExecutionList {
    /// Those of this page, without what they showed.
    pub executions: Vec<Execution>,
    /// How many there are in all.
    pub total: u64,
    /// This page, counted from 1.
    pub page: u32,
    /// Items of a page.
    pub page_size: u32,
    /// Whether there are more.
    pub has_more: bool,
}

/// What executions came to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExecutionStatsList {
    /// What they are counted by.
    pub group_by: ExecutionGroup,
    /// The groups of this page: the one that was used last comes first.
    pub stats: Vec<ExecutionStats>,
    /// How many groups there are in all.
    pub total: u64,
    /// This page, counted from 1.
    pub page: u32,
    /// Items of a page.
    pub page_size: u32,
    /// Whether there are more.
    pub has_more: bool,
}

/// Executions that were forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeletedExecutions {
    /// How many.
    pub deleted: u64,
}

/// A query: the filters that all routes have, and what is a route's own.
macro_rules! query {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
        #[serde(deny_unknown_fields, default)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            /// Only those in this environment.
            pub environment_id: Option<EnvironmentId>,
            /// Only those of this stored document.
            pub document_id: Option<DocumentId>,
            /// Only those in this kernel.
            pub kernel_id: Option<KernelId>,
            /// Only those in such a thing.
            #[param(inline)]
            pub kind: Option<ExecutionKind>,
            /// Only those that ended so.
            #[param(inline)]
            pub outcome: Option<OutcomeKind>,
            /// Only those that began then or later.
            #[param(value_type = Option<String>, format = DateTime)]
            pub since: Option<Timestamp>,
            /// Only those that began before then.
            #[param(value_type = Option<String>, format = DateTime)]
            pub until: Option<Timestamp>,
            $($(#[$attribute])* pub $field: $type,)*
        }

        impl $name {
            fn filter(&self) -> ExecutionFilter {
                let Self { environment_id, document_id, kernel_id, kind, outcome, since, until, .. } = *self;
                ExecutionFilter { environment_id, document_id, kernel_id, kind, outcome, since, until }
            }
        }
    };
}

query! {
    /// Which executions.
    ExecutionQuery {}
}

query! {
    /// Which executions, and in which order.
    ExecutionListQuery {
        /// By when they began. Default: `desc`.
        #[param(inline)]
        sort_order: Option<SortOrder>,
        /// The page, counted from 1.
        #[param(minimum = 1)]
        page: Option<u32>,
        /// Items of a page, 1 to 100. Default: 20.
        #[param(minimum = 1, maximum = 100)]
        page_size: Option<u32>,
    }
}

query! {
    /// Which executions, and what they are counted by.
    ExecutionStatsQuery {
        /// What they are counted by. Default: `document`.
        #[param(inline)]
        group_by: Option<ExecutionGroup>,
        /// The page, counted from 1.
        #[param(minimum = 1)]
        page: Option<u32>,
        /// Items of a page, 1 to 100. Default: 20.
        #[param(minimum = 1, maximum = 100)]
        page_size: Option<u32>,
    }
}

/// Your executions: one for each cell that ran.
///
/// What was answered is there at once, unless the server had too much to write down.
#[utoipa::path(get, path = "/api/v1/executions", tag = "executions", params(ExecutionListQuery), responses(
    (status = 200, description = "A page of them", body = ExecutionList), Problems))]
pub async fn list(
    State(app): State<App>,
    Caller(user): Caller,
    ApiQuery(query): ApiQuery<ExecutionListQuery>,
) -> Result<Json<ExecutionList>, ApiError> {
    let paging = Paging { page: query.page, page_size: query.page_size };
    let order = query.sort_order.unwrap_or(SortOrder::Desc);
    let page = app.workspace().executions().list(user.id, &query.filter(), order, paging.request()?).await?;
    Ok(Json(ExecutionList {
        has_more: page.has_more(),
        total: page.total,
        page: page.request.page(),
        page_size: page.request.page_size(),
        executions: page.items,
    }))
}

/// What your executions came to together.
#[utoipa::path(get, path = "/api/v1/executions/stats", tag = "executions", params(ExecutionStatsQuery), responses(
    (status = 200, description = "A page of groups", body = ExecutionStatsList), Problems))]
pub async fn stats(
    State(app): State<App>,
    Caller(user): Caller,
    ApiQuery(query): ApiQuery<ExecutionStatsQuery>,
) -> Result<Json<ExecutionStatsList>, ApiError> {
    let paging = Paging { page: query.page, page_size: query.page_size };
    let group_by = query.group_by.unwrap_or_default();
    let page = app.workspace().executions().stats(user.id, &query.filter(), group_by, paging.request()?).await?;
    Ok(Json(ExecutionStatsList {
        group_by,
        has_more: page.has_more(),
        total: page.total,
        page: page.request.page(),
        page_size: page.request.page_size(),
        stats: page.items,
    }))
}

/// An execution, with what it showed as long as that is kept.
#[utoipa::path(get, path = "/api/v1/executions/{id}", tag = "executions", params(("id" = ExecutionId, Path)),
    responses((status = 200, description = "The execution", body = ExecutionDetail), Problems))]
pub async fn show(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<ExecutionId>,
) -> Result<Json<ExecutionDetail>, ApiError> {
    Ok(Json(app.workspace().executions().show(user.id, id).await?))
}

/// Forget an execution.
#[utoipa::path(delete, path = "/api/v1/executions/{id}", tag = "executions", params(("id" = ExecutionId, Path)),
    responses((status = 204, description = "It is gone"), Problems))]
pub async fn delete(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<ExecutionId>,
) -> Result<StatusCode, ApiError> {
    app.workspace().executions().delete(user.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forget your executions: those that the filters let through, or all.
#[utoipa::path(delete, path = "/api/v1/executions", tag = "executions", params(ExecutionQuery), responses(
    (status = 200, description = "How many are gone", body = DeletedExecutions), Problems))]
pub async fn delete_all(
    State(app): State<App>,
    Caller(user): Caller,
    ApiQuery(query): ApiQuery<ExecutionQuery>,
) -> Result<Json<DeletedExecutions>, ApiError> {
    let deleted = app.workspace().executions().delete_all(user.id, &query.filter()).await?;
    Ok(Json(DeletedExecutions { deleted }))
}
