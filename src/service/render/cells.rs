//! Running a document's cells: those that must be. What is known of the others stands in for them.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::{Attached, CellStatus, CellSummary, RenderEvent, RenderSender};
use crate::backend::event_channel;
use crate::backend::wasm::{Kernel, Sandbox, StartPoint};
use crate::document::{self, CellKey, CellRef};
use crate::domain::{CellReport, CellRequest, Event, ExecutionId, Limits, Outcome, UserId};
use crate::service::admission::{Admission, Seat};
use crate::service::checkpoints::{Checkpoints, Known, Place};
use crate::service::{RecordedCell, Recording, Renders, ServiceError};

/// A document as a whole may take this many times as long as one of its cells; the cells left then are not run.
const DOCUMENT_DEADLINES: u32 = 4;
/// And it may show this many times as much; the cells left then can show nothing.
const DOCUMENT_OUTPUTS: u64 = 4;

/// The number of the name of where the cells would start.
const OWN: usize = 0;

/// What runs, and in what.
pub(super) struct Run<'a> {
    pub sandbox: &'a Sandbox,
    pub admission: &'a Admission,
    /// For whom.
    pub seat: &'a Seat,
    pub start: StartPoint<'a>,
    /// The cells that are to run, in order.
    pub cells: Vec<CellRef<'a>>,
    /// The files that lie beside the document.
    pub attached: Option<&'a Attached>,
    pub limits: &'a Limits,
    pub stop_on_error: bool,
    /// Where results are kept, and for whom.
    pub keeper: Option<(&'a Arc<Checkpoints>, UserId)>,
    /// Where they are kept beyond the memory.
    pub renders: Option<&'a Renders>,
    /// Whether what is known counts for nothing.
    pub fresh: bool,
    pub watch: Option<&'a RenderSender>,
    pub recording: Option<&'a Recording>,
}

/// What came of a cell.
pub(super) struct Done {
    pub report: Arc<CellReport>,
    pub status: CellStatus,
    pub execution_id: Option<ExecutionId>,
}

impl Done {
    /// Of a cell that is not to run.
    pub fn skipped() -> Self {
        let report = CellReport {
            outcome: Outcome::Completed,
            outputs: Vec::new(),
            fuel_used: 0,
            wall_ms: 0.0,
            peak_memory_bytes: 0,
            output_bytes: 0,
        };
        Self { report: Arc::new(report), status: CellStatus::Skipped, execution_id: None }
    }
}

/// Where the cells that run go on.
struct Beginning {
    kernel: Kernel,
    keys: Vec<CellKey>,
    place: Option<Place>,
}

impl Run<'_> {
    /// The cells' results, in order; fewer than there are cells where some were not run.
    pub async fn results(&self) -> Result<Vec<Done>, ServiceError> {
        let (at, mut known) = self.known().await;
        let count = self.cells.len();
        let ends_there = self.end_of(&known).filter(|_| self.stop_on_error);
        if let Some(failed) = ends_there {
            known.reports.truncate(failed + 1);
        } else if known.reports.len() < count {
            let behind = known.resume.as_ref().map_or(0, |(behind, ..)| *behind);
            known.reports.truncate(behind);
        }
        let mut done = self.tell_known(known.reports);
        if ends_there.is_some() || done.len() == count {
            self.note(at);
            return Ok(done);
        }
        let permit = self.admission.enter_as(self.seat).await?;
        let (at, mut beginning) = match known.resume {
            Some((_, state, place)) => {
                let parked = self.keeper.and_then(|(checkpoints, user)| checkpoints.unpark(user, &state));
                let kernel = parked.map_or_else(|| self.sandbox.resume(&state), Ok)?;
                (at, Beginning { kernel, keys: self.keys(at), place: Some(place) })
            }
            None => {
                let mut kernel = self.sandbox.kernel_at(&self.start, self.limits).await?;
                if let Some(attached) = self.attached {
                    kernel.show_files(&attached.load().await?)?;
                }
                (OWN, Beginning { kernel, keys: self.keys(OWN), place: None })
            }
        };
        beginning.kernel.set_pace(permit.pace());
        self.run(beginning, &mut done).await?;
        self.note(at);
        Ok(done)
    }

    /// Stands for what the results can depend on besides the document's text.
    pub fn inputs_key(&self) -> String {
        document::inputs_key(&self.names().into_iter().next().unwrap_or_default(), self.limits)
    }

    /// What is known of the document's first cells, and from which of the names on.
    async fn known(&self) -> (usize, Known) {
        let Some((_, user)) = self.keeper.filter(|_| !self.fresh) else { return Default::default() };
        let (mut at, mut known) = self.in_memory();
        let Some(renders) = self.renders.filter(|_| !self.is_all(&known)) else { return (at, known) };
        let grounds = self.sandbox.grounds(&self.start, self.limits);
        for (name, ground) in grounds.iter().enumerate() {
            // What goes on from another beginning than that in memory is shorter, or comes back with it.
            let is_meant = known.reports.is_empty() || name == at;
            if let Some(ground) = ground.as_ref().filter(|_| is_meant)
                && renders.recall(user, &self.kept_keys(name), ground).await
            {
                (at, known) = self.in_memory();
            }
        }
        if !self.is_all(&known)
            && let Some(ground) = grounds.get(at).and_then(Option::as_ref)
            && renders.recall_state(user, &self.kept_keys(at), ground, self.attached).await
        {
            (at, known) = self.in_memory();
        }
        (at, known)
    }

    /// The same, of what is in memory.
    fn in_memory(&self) -> (usize, Known) {
        let Some((checkpoints, user)) = self.keeper else { return Default::default() };
        let known = (0..self.names().len()).map(|name| (name, checkpoints.known(user, &self.kept_keys(name))));
        // Of two that are equally long, the first.
        let longest = known.reduce(|one, other| if other.1.reports.len() > one.1.reports.len() { other } else { one });
        longest.unwrap_or_default()
    }

    /// Whether nothing is left to run.
    fn is_all(&self, known: &Known) -> bool {
        known.reports.len() == self.cells.len() || (self.stop_on_error && self.end_of(known).is_some())
    }

    /// The first cell that failed.
    fn end_of(&self, known: &Known) -> Option<usize> {
        known.reports.iter().position(|report| report.outcome != Outcome::Completed)
    }

    /// Sees to it that what is known now is kept.
    fn note(&self, at: usize) {
        let (Some((_, user)), Some(renders)) = (self.keeper, self.renders) else { return };
        if let Some(Some(ground)) = self.sandbox.grounds(&self.start, self.limits).get(at) {
            renders.note(user, &self.kept_keys(at), ground);
        }
    }

    /// The names of what the first cell may find.
    fn names(&self) -> Vec<String> {
        let files = self.attached.map_or("", |attached| attached.digest());
        self.start.names().into_iter().map(|name| format!("{name} {files}")).collect()
    }

    /// The cells' keys, where they begin as the name of that number says.
    fn keys(&self, name: usize) -> Vec<CellKey> {
        let start = self.names().into_iter().nth(name).unwrap_or_default();
        document::keys(self.cells.iter().copied(), &start, self.limits)
    }

    /// Those of them under which something is kept: what is not to be kept is not looked for either.
    fn kept_keys(&self, name: usize) -> Vec<CellKey> {
        let mut keys = self.keys(name);
        keys.truncate(self.kept_cells());
        keys
    }

    /// How many cells come before the first one that says that nothing of it may be kept.
    fn kept_cells(&self) -> usize {
        self.cells.iter().position(|cell| cell.options.cache == Some(false)).unwrap_or(self.cells.len())
    }

    fn tell_known(&self, reports: Vec<Arc<CellReport>>) -> Vec<Done> {
        let told = self.cells.iter().zip(reports).map(|(cell, report)| {
            if let Some(watch) = self.watch {
                for output in &report.outputs {
                    let event = Event::Output { output: output.clone() };
                    watch.send(RenderEvent::Output { cell: cell.index, event });
                }
            }
            let done = Done { report, status: CellStatus::Cached, execution_id: None };
            self.tell_done(*cell, &done);
            done
        });
        told.collect()
    }

    fn tell_done(&self, cell: CellRef<'_>, done: &Done) {
        if let Some(watch) = self.watch {
            let summary = CellSummary::new(cell, done);
            watch.send(RenderEvent::CellDone { cell: cell.index, summary });
        }
    }

    /// Runs the cells that are not done yet, one after another.
    async fn run(&self, beginning: Beginning, done: &mut Vec<Done>) -> Result<(), ServiceError> {
        let started = Instant::now();
        let budget_ms = self.limits.wall_ms.saturating_mul(u64::from(DOCUMENT_DEADLINES));
        let shown = done.iter().map(|done| done.report.output_bytes).fold(0, u64::saturating_add);
        let mut left_bytes = self.limits.output_bytes.saturating_mul(DOCUMENT_OUTPUTS).saturating_sub(shown);
        let Beginning { kernel, keys, mut place } = beginning;
        let mut kernel = Some(kernel);
        // Nothing is kept behind a cell whose result is not.
        let mut keeper = self.keeper;
        let kept_cells = self.kept_cells();
        for number in done.len()..self.cells.len() {
            let (Some(cell), Some(before)) = (self.cells.get(number).copied(), kernel.take()) else { break };
            let spent_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let left_ms = budget_ms.saturating_sub(spent_ms);
            if left_ms == 0 {
                break;
            }
            let own_ms = cell.options.timeout_ms.unwrap_or(u64::MAX).min(self.limits.wall_ms);
            let is_whole = own_ms <= left_ms && number < kept_cells;
            let (wall_ms, output_bytes) = (own_ms.min(left_ms), self.limits.output_bytes.min(left_bytes));
            let limits = Limits { wall_ms, output_bytes, ..self.limits.clone() };
            let name = format!("cell {}", cell.index + 1);
            let request = CellRequest { code: cell.code.to_owned(), name, stdin: Vec::new(), limits };
            let is_last = number + 1 == self.cells.len() && self.keeper.is_none();
            if let Some(watch) = self.watch {
                watch.send(RenderEvent::CellStarted { cell: cell.index });
            }
            let about = RecordedCell {
                index: Some(cell.index as u64),
                label: cell.options.label.as_deref(),
                name: &request.name,
                code: cell.code,
            };
            let running = self.recording.map(|recording| recording.begin(about));
            let ran = self.run_cell(before, request, is_last, cell.index).await;
            let execution_id = running.and_then(|running| running.end(ran.as_ref().ok().map(|(_, report)| report)));
            let report;
            (kernel, report) = ran?;
            left_bytes = left_bytes.saturating_sub(report.output_bytes);
            let report = Arc::new(report);
            if let (Some((checkpoints, user)), Some(kernel), Some(key)) = (keeper, &kernel, keys.get(number)) {
                // One that had less time than it may have could end otherwise another time.
                let kept = is_whole.then(|| checkpoints.keep(user, place, *key, &report, &kernel.checkpoint()));
                place = kept.flatten();
                keeper = keeper.filter(|_| place.is_some());
            }
            let ended = Done { report, status: CellStatus::Executed, execution_id };
            self.tell_done(cell, &ended);
            let failed = ended.report.outcome != Outcome::Completed;
            done.push(ended);
            if failed && self.stop_on_error {
                break;
            }
        }
        if let (Some((checkpoints, user)), Some(kernel)) = (self.keeper, kernel) {
            checkpoints.park(user, kernel);
        }
        Ok(())
    }

    /// Runs a cell. After the last one there is no kernel where nobody wants its state.
    async fn run_cell(
        &self,
        kernel: Kernel,
        request: CellRequest,
        is_last: bool,
        cell: usize,
    ) -> Result<(Option<Kernel>, CellReport), ServiceError> {
        let (sender, mut receiver) = event_channel();
        let forward = async {
            while let (Some(event), Some(watch)) = (receiver.next().await, self.watch) {
                watch.send(RenderEvent::Output { cell, event });
            }
        };
        let run = async {
            let (sender, cancel) = (self.watch.is_some().then_some(sender), CancellationToken::new());
            if is_last {
                return Ok::<_, ServiceError>((None, kernel.run_once(request, sender, cancel).await?));
            }
            let (kernel, report) = kernel.run(request, sender, cancel).await?;
            Ok((Some(kernel), report))
        };
        tokio::join!(run, forward).0
    }
}
