//! What every handler has at hand.

use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::ApiError;
use super::rates::Rates;
use crate::config::{AdminToken, HttpConfig};
use crate::domain::UserId;
use crate::metrics::{Metrics, cell_ended};
use crate::service::{Accounts, Service, ServiceError, Share, Shares, Workspace};

/// Connections of one user that stay open to tell what happens.
const MAX_CONNECTIONS: usize = 32;

/// The server's state. Cloning shares it.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    workspace: Workspace,
    accounts: Accounts,
    token: AdminToken,
    http: HttpConfig,
    metrics: Metrics,
    connections: Shares,
    rates: Rates,
    draining: CancellationToken,
    ended: CancellationToken,
}

impl App {
    /// A server for `workspace` and who has an account, whose first admin has `token`.
    pub fn new(
        workspace: Workspace,
        accounts: Accounts,
        token: AdminToken,
        http: HttpConfig,
        metrics: Metrics,
    ) -> Self {
        let (draining, ended) = (CancellationToken::new(), CancellationToken::new());
        workspace.executions().tell(cell_ended);
        let connections = Shares::new(MAX_CONNECTIONS);
        let rates = Rates::new(&http);
        Self(Arc::new(Inner { workspace, accounts, token, http, metrics, connections, rates, draining, ended }))
    }

    /// What users have.
    pub fn workspace(&self) -> &Workspace {
        &self.0.workspace
    }

    /// Who comes.
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// What runs code.
    pub fn service(&self) -> &Service {
        self.0.workspace.service()
    }

    /// The token of who runs the server.
    pub fn token(&self) -> &AdminToken {
        &self.0.token
    }

    /// What holds for every request.
    pub fn http(&self) -> &HttpConfig {
        &self.0.http
    }

    /// How fast requests come.
    pub(super) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// What was measured.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The right to a connection that stays open to tell what happens, for as long as the answer lives.
    pub(super) fn connection(&self, user: UserId) -> Result<Share, ApiError> {
        let refused = || ServiceError::TooMany { what: format!("{MAX_CONNECTIONS} open event streams") };
        Ok(self.0.connections.take(user).ok_or_else(refused)?)
    }

    /// From now on no work is begun.
    pub(super) fn drain(&self) {
        self.0.draining.cancel();
    }

    /// From now on no work goes on.
    pub(super) fn end(&self) {
        self.0.ended.cancel();
    }

    /// Waits until no work may go on.
    pub(super) async fn ended(&self) {
        self.0.ended.cancelled().await;
    }

    /// Whether no work is begun any more.
    pub(super) fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Does `work`, unless the server stops before or meanwhile. Dropping the future drops the work.
    pub(super) async fn run<T>(&self, work: impl Future<Output = Result<T, ServiceError>>) -> Result<T, ApiError> {
        if self.is_draining() {
            return Err(ApiError::stopping());
        }
        tokio::select! {
            biased;
            done = work => Ok(done?),
            () = self.0.ended.cancelled() => Err(ApiError::stopping()),
        }
    }
}
