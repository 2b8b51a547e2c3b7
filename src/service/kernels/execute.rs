//! Running a cell in a kernel.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Kernels;
use super::entry::{Entry, Turn};
use crate::backend::EventSender;
use crate::domain::{CellReport, CellRequest, ExecuteReport, KernelId, Limits, LimitsRequest, UserId};
use crate::service::ServiceError;

/// A cell to run in a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecuteCell {
    /// Python source.
    pub code: String,
    /// Limits below the kernel's own.
    #[serde(default)]
    pub limits: LimitsRequest,
    /// What `input()` and `sys.stdin` read. Absent: end of file.
    #[serde(default)]
    pub stdin: Option<String>,
}

impl Kernels {
    /// Runs a cell, after those that came before. Where it hits a limit, or the future is dropped, it is undone, and the
    /// kernel goes on from where it was.
    ///
    /// # Errors
    /// There is no such kernel, it is dead, too many cells wait, or a failure of the host.
    pub async fn execute(
        &self,
        user: UserId,
        id: KernelId,
        request: ExecuteCell,
        events: Option<EventSender>,
    ) -> Result<ExecuteReport, ServiceError> {
        let entry = self.entry(user, id)?;
        let limits = request.limits.within(entry.limits())?;
        let cancel = CancellationToken::new();
        // A task of its own: whoever goes away leaves a whole kernel behind.
        let _guard = cancel.clone().drop_guard();
        let (this, cell) = (self.clone(), (request, limits));
        let work = tokio::spawn(async move {
            let turn = tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    return Err(ServiceError::Conflict { message: "nobody waited for the cell any more".to_owned() });
                }
                turn = entry.take_turn() => turn?,
            };
            let ran = this.run(&entry, &turn, cell, events, cancel).await;
            drop(turn);
            this.make_room();
            this.cool_later(&entry);
            ran
        });
        let report = work.await.map_err(|error| ServiceError::internal(&error))??;
        Ok(report.into())
    }

    async fn run(
        &self,
        entry: &Entry,
        turn: &Turn,
        (request, limits): (ExecuteCell, Limits),
        events: Option<EventSender>,
        cancel: CancellationToken,
    ) -> Result<CellReport, ServiceError> {
        let _permit = self.0.service.admission().enter().await?;
        let kernel = entry.begin(&self.0.service, &cancel, turn)?;
        let cell = CellRequest {
            name: format!("cell {}", kernel.checkpoint().count() + 1),
            code: request.code.clone(),
            stdin: request.stdin.unwrap_or_default().into_bytes(),
            limits,
        };
        let ran = kernel.run(cell, events, cancel).await;
        let report = ran.map(|(kernel, report)| {
            entry.keep(kernel, &request.code, self.0.config.kernel_bytes);
            report
        });
        entry.end();
        Ok(report?)
    }

    /// Gives the kernel's memory back when nothing is run for a while.
    fn cool_later(&self, entry: &Arc<Entry>) {
        let (entry, idle) = (Arc::downgrade(entry), Duration::from_millis(self.0.config.idle_ms));
        tokio::spawn(async move {
            tokio::time::sleep(idle).await;
            if let Some(entry) = entry.upgrade() {
                entry.cool(idle);
            }
        });
    }
}
