//! `GET /health`: whether the server can work.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use crate::service::Readiness;

/// Whether the server can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// The runtime is being fetched or compiled: code cannot run yet.
    Preparing,
    /// Code runs.
    Ok,
    /// Something does not work; the checks say what.
    Degraded,
}

/// The server's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// The whole in one word.
    pub status: HealthStatus,
    /// The server's version.
    pub version: &'static str,
    /// The Python runtime, once it is ready.
    pub runtime: Option<String>,
    /// The parts.
    pub checks: Checks,
}

/// The server's parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Checks {
    /// The Python runtime.
    pub runtime: RuntimeCheck,
    /// What runs now.
    pub executor: ExecutorCheck,
}

/// The Python runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RuntimeCheck {
    /// It is being fetched or compiled.
    Preparing {
        /// What is done now: waiting, download, retry, verify, extract, split, compile, store, boot.
        stage: String,
        /// How much of it is done: bytes, or milliseconds of compiling.
        done: u64,
        /// How much it is in all, where that is known; of compiling it is an estimate.
        total: Option<u64>,
    },
    /// It runs.
    Ok {
        /// Its Python version.
        python_version: String,
    },
    /// It could not be prepared.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
}

/// What runs now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExecutorCheck {
    /// `ok`, or `stopping` when the server takes no more work.
    pub status: &'static str,
    /// Requests that run code.
    pub running: usize,
    /// Requests that wait until they may.
    pub queued: usize,
    /// Kernels that belong to a request.
    pub kernels: usize,
    /// Kernels that wait for a request.
    pub ready_kernels: usize,
}

/// Whether the server can work. Needs no token; the status is 200 as long as it answers at all.
#[utoipa::path(get, path = "/health", tag = "server", security(()),
    responses((status = 200, description = "The server's state", body = Health)))]
pub async fn health(State(app): State<App>) -> Json<Health> {
    let (status, runtime, check) = match app.service().readiness() {
        Readiness::Preparing { stage, done, total } => {
            (HealthStatus::Preparing, None, RuntimeCheck::Preparing { stage, done, total })
        }
        Readiness::Ready { runtime, python_version } => {
            (HealthStatus::Ok, Some(runtime), RuntimeCheck::Ok { python_version })
        }
        Readiness::Failed { reason } => (HealthStatus::Degraded, None, RuntimeCheck::Failed { reason }),
    };
    let stats = app.service().stats();
    let stopping = app.is_draining();
    let executor = ExecutorCheck {
        status: if stopping { "stopping" } else { "ok" },
        running: stats.running,
        queued: stats.queued,
        kernels: stats.kernels,
        ready_kernels: stats.ready_kernels,
    };
    Json(Health {
        status: if stopping { HealthStatus::Degraded } else { status },
        version: env!("CARGO_PKG_VERSION"),
        runtime,
        checks: Checks { runtime: check, executor },
    })
}
