//! One cell's way into the history.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::{Executions, kept};
use crate::domain::{
    BackendKind, CellReport, DocumentId, EnvironmentId, Execution, ExecutionId, ExecutionKind, ExecutionOutcome,
    KernelId, Outcome, OutcomeKind, UserId,
};
use crate::store::NewExecution;

/// Of a cell's code so much is taken along: more than is kept.
const CODE_BYTES: usize = 2048;

/// Of a name, likewise.
const NAME_BYTES: usize = 512;

/// Whose cells run, and in what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Whose they are.
    pub user: UserId,
    /// What they run in.
    pub kind: ExecutionKind,
    /// Their environment.
    pub environment: Option<EnvironmentId>,
    /// Their document, where it is a stored one.
    pub document: Option<DocumentId>,
    /// Their kernel, where it is one that stays.
    pub kernel: Option<KernelId>,
}

/// Which cell runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordedCell<'a> {
    /// Its number, from 0.
    pub index: Option<u64>,
    /// Its label.
    pub label: Option<&'a str>,
    /// What tracebacks call it.
    pub name: &'a str,
    /// Its code.
    pub code: &'a str,
}

/// Writes down the cells of one origin.
#[derive(Clone)]
pub struct Recording(Arc<(Executions, Origin)>);

impl Recording {
    pub(super) fn new(executions: Executions, origin: Origin) -> Self {
        Self(Arc::new((executions, origin)))
    }

    /// A cell begins. If the answer is dropped, nobody waited for the cell any more, and it is `cancelled`.
    pub fn begin(&self, cell: RecordedCell<'_>) -> Running {
        let (executions, origin) = &*self.0;
        executions.queue().begin();
        let began = Timestamp::now();
        let execution = Execution {
            id: ExecutionId::new(),
            user_id: origin.user,
            kind: origin.kind,
            environment_id: origin.environment,
            document_id: origin.document,
            kernel_id: origin.kernel,
            cell_index: cell.index,
            cell_label: cell.label.map(|label| beginning(label, NAME_BYTES).to_owned()),
            cell_name: cell.name.to_owned(),
            code: beginning(cell.code, CODE_BYTES).to_owned(),
            outcome: ExecutionOutcome { kind: OutcomeKind::Cancelled, ename: None },
            fuel_used: 0,
            wall_ms: 0.0,
            peak_memory_bytes: 0,
            output_bytes: 0,
            backend: BackendKind::Wasm,
            started_at: began,
            completed_at: began,
        };
        Running { recording: self.clone(), since: Instant::now(), execution: Some(Box::new(execution)) }
    }
}

fn beginning(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A cell that runs.
pub struct Running {
    recording: Recording,
    since: Instant,
    execution: Option<Box<Execution>>,
}

impl Running {
    /// The cell has ended. Without a report it failed for a reason that is not its own, and is not written down. The
    /// result is its place in the history; none where there was no room to write it down.
    pub fn end(mut self, report: Option<&CellReport>) -> Option<ExecutionId> {
        let execution = self.execution.take()?;
        let report = report?;
        let (executions, _) = &*self.recording.0;
        let ename = match &report.outcome {
            Outcome::PythonError { ename, .. } => Some(beginning(ename, NAME_BYTES).to_owned()),
            _ => None,
        };
        let execution = Execution {
            outcome: ExecutionOutcome { kind: OutcomeKind::from(&report.outcome), ename },
            fuel_used: report.fuel_used,
            wall_ms: report.wall_ms,
            peak_memory_bytes: report.peak_memory_bytes,
            output_bytes: report.output_bytes,
            completed_at: Timestamp::now().max(execution.started_at),
            ..*execution
        };
        executions.count(&execution);
        let policy = executions.policy();
        let outputs = (!policy.keep_outputs.is_zero()).then(|| kept::kept(&report.outputs, policy.output_bytes));
        let id = execution.id;
        executions.queue().push(NewExecution { execution, outputs }).then_some(id)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (executions, _) = &*self.recording.0;
        if let Some(execution) = self.execution.take() {
            let wall_ms = (self.since.elapsed().as_secs_f64() * 1e6).round() / 1e3;
            let completed_at = Timestamp::now().max(execution.started_at);
            let execution = Execution { wall_ms, completed_at, ..*execution };
            executions.count(&execution);
            executions.queue().push(NewExecution { execution, outputs: None });
        }
        executions.queue().end();
    }
}
