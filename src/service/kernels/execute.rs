//! Running a cell in a kernel.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Kernels;
use super::entry::{Entry, Turn};
use crate::backend::EventSender;
use crate::domain::{CellRequest, ExecuteReport, ExecutionKind, Limits, LimitsRequest};
use crate::service::admission::Seat;
use crate::service::{Allowance, Origin, RecordedCell, Recording, ServiceError};

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
    /// Runs a cell, after those that came before, in the kernel whose turn it has. Where it hits a limit, or is cancelled,
    /// it is undone, and the kernel goes on from where it was.
    ///
    /// # Errors
    /// The kernel is dead, a limit is none, or a failure of the host.
    pub(crate) async fn execute(
        &self,
        (entry, turn): (Arc<Entry>, Turn),
        request: ExecuteCell,
        events: Option<EventSender>,
        cancel: CancellationToken,
    ) -> Result<ExecuteReport, ServiceError> {
        let Allowance { limits, seat } = self.allowance(entry.user(), entry.environment()).await?;
        let limits = request.limits.within(&entry.limit(&limits))?;
        let ran = self.run(&entry, &turn, (request, limits, seat), events, cancel).await;
        drop(turn);
        let this = self.clone();
        // The answer does not wait for it.
        tokio::spawn(async move { this.make_room().await });
        ran
    }

    async fn run(
        &self,
        entry: &Entry,
        turn: &Turn,
        (request, limits, seat): (ExecuteCell, Limits, Seat),
        events: Option<EventSender>,
        cancel: CancellationToken,
    ) -> Result<ExecuteReport, ServiceError> {
        if !self.server().await?.is_sure() {
            return Err(ServiceError::Unavailable { reason: "the database does not answer".to_owned() });
        }
        self.refuse_crowded(entry.user()).await?;
        entry.expect(&cancel, turn);
        let entered = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                let message = "the cell was interrupted before it began".to_owned();
                Err(ServiceError::Conflict { message })
            }
            entered = self.0.service.admission().enter_as(&seat) => entered,
        };
        let begun = entered.and_then(|permit| Ok((entry.begin(&self.0.service, turn)?, permit)));
        let (mut kernel, permit) = begun.inspect_err(|_| entry.expect_none())?;
        kernel.set_pace(permit.pace());
        let number = kernel.checkpoint().count();
        let cell = CellRequest {
            name: format!("cell {}", number + 1),
            code: request.code.clone(),
            stdin: request.stdin.unwrap_or_default().into_bytes(),
            limits,
        };
        let about = RecordedCell { index: Some(number), name: &cell.name, code: &cell.code, label: None };
        let running = self.recording(entry).begin(about);
        let events = self.tell_begin(entry, &request.code, events);
        let ran = kernel.run(cell, Some(events), cancel).await;
        let execution_id = running.end(ran.as_ref().ok().map(|(_, report)| report));
        let mut made = None;
        let report = ran.map(|(kernel, report)| {
            made = entry.keep(kernel, &request.code, self.0.config.kernel_bytes);
            report
        });
        entry.end();
        self.tell_end(entry, number + 1, report.as_ref().ok().map(|report| (report, execution_id, made)));
        if entry.is_gone() && report.is_ok() {
            let message = "the kernel was deleted, or taken by another server, while the cell ran".to_owned();
            return Err(ServiceError::Conflict { message });
        }
        Ok(ExecuteReport { execution_id, ..report?.into() })
    }

    fn recording(&self, entry: &Entry) -> Recording {
        let (user, environment) = (entry.user(), entry.environment());
        let kernel = Some(entry.id());
        let origin = Origin { user, kind: ExecutionKind::Kernel, environment, document: None, kernel };
        self.0.executions.recording(origin)
    }
}
