//! A kernel: an interpreter that runs one cell after another, each a transaction.

mod ending;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::checkpoint::{Checkpoint, State};
use super::executor::Pace;
use super::guest::{CellProblem, CheckCell, Work};
use super::machine::Live;
use super::memory::{Slot, collect};
use super::recorder::Recorder;
use super::sandbox::{Inner, SandboxError};
use super::vfs::{Fs, LowerFile};
use crate::backend::EventSender;
use crate::domain::{CellReport, CellRequest, InputFile, Limits, Outcome};
use ending::{Return, classify, keeps_state};

/// What the boot image binds for the host to call.
const TURN: &str = "__pymd_turn__()";
/// Where the cells of a document find their files.
const WORK_DIR: &str = "/work";
/// A cell that wrote more pages than this is undone by mapping its memory anew.
const MOST_UNDONE_PAGES: usize = 4096;
/// Pages that a checkpoint takes in before it gives its thread away.
const PIECE_PAGES: usize = 512;

/// A live interpreter. Dropping it gives its memory back to the pool.
pub struct Kernel {
    inner: Arc<Inner>,
    /// Always there but while `drop` runs.
    slot: Option<Arc<Slot>>,
    /// The store over the slot; none after a rollback, until the next cell.
    live: Option<Live>,
    /// The state before the next cell.
    state: Checkpoint,
    /// Another state to go on from; the next cell goes there first.
    target: Option<Checkpoint>,
    /// Whether the memory holds what a cell left that is to be undone; the next cell does that first.
    spoilt: bool,
    /// Whether the guest came back from its last turn, so that the store can serve another kernel.
    at_rest: bool,
    /// How it shares the processor with others.
    pace: Pace,
}

/// What becomes of the state after a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Committed or rolled back: the kernel goes on.
    Transaction,
    /// Committed only where all went well, and it counts for no cell: the kernel is still being made.
    Setup,
    /// Nothing: the kernel ends with this cell.
    Nothing,
}

impl Kernel {
    pub(super) fn new(inner: Arc<Inner>, slot: Arc<Slot>, live: Option<Live>, state: Checkpoint) -> Self {
        let pace = Pace::default();
        Self { inner, slot: Some(slot), live, state, target: None, spoilt: false, at_rest: true, pace }
    }

    /// From its next cell on it shares the processor with others so.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Lets the kernel go on from another state of the same image. False where it is of another image: then nothing has
    /// changed.
    pub fn go_to(&mut self, state: &Checkpoint) -> bool {
        let same = Arc::ptr_eq(&self.state.state().image, &state.state().image);
        if same {
            self.target = Some(state.clone());
        }
        same
    }

    /// Puts files into the working directory, before the next cell.
    ///
    /// # Errors
    /// [`SandboxError::File`] for a path that leaves the directory, or when they don't fit in `limits.disk_bytes`.
    pub fn put_files(&mut self, files: &[InputFile], limits: &Limits) -> Result<(), SandboxError> {
        if files.is_empty() {
            return Ok(());
        }
        let mut fs = self.checkpoint().state().fs.clone();
        fs.set_quota_limits(limits.disk_bytes, limits.open_files);
        for file in files {
            let refuse = |reason: String| SandboxError::File { path: file.path.clone(), reason };
            let path = relative(&file.path).map_err(|reason| refuse(reason.to_owned()))?;
            let path = format!("{WORK_DIR}/{path}");
            if let Some((parent, _)) = path.rsplit_once('/') {
                fs.create_dir_all(parent).map_err(|error| refuse(error.to_string()))?;
            }
            fs.write_file(&path, &file.content).map_err(|error| refuse(error.to_string()))?;
        }
        self.set_files(fs);
        Ok(())
    }

    /// Shows files in the working directory that cells can read and not change, before the next cell.
    ///
    /// # Errors
    /// [`SandboxError::File`] for a path that leaves the directory, or where something is already.
    pub fn show_files(&mut self, files: &[(String, Arc<[u8]>)]) -> Result<(), SandboxError> {
        if files.is_empty() {
            return Ok(());
        }
        let fs = with_shown(self.checkpoint().state().fs.clone(), files)?;
        self.set_files(fs);
        Ok(())
    }

    /// Gives the kernel other files, before its next cell.
    pub(super) fn set_files(&mut self, fs: Fs) {
        if let Some(target) = &mut self.target {
            *target = target.with_fs(fs);
            return;
        }
        if let Some(live) = &mut self.live {
            live.store.data_mut().wasi.fs = fs.clone();
        }
        self.state = self.state.with_fs(fs);
    }

    /// Runs a cell on an executor thread. Whatever happens to the cell, the kernel comes back with its state after
    /// it, or before it when it was rolled back.
    ///
    /// Dropping the future ends the cell, and the kernel with it.
    ///
    /// # Errors
    /// Only failures of the host.
    pub async fn run(
        self,
        cell: CellRequest,
        events: Option<EventSender>,
        cancel: CancellationToken,
    ) -> Result<(Self, CellReport), SandboxError> {
        let work = self.cell_work(&cell);
        self.on_executor(cell, work, events, cancel, Keep::Transaction).await
    }

    /// Runs the only cell of a kernel, whose state afterwards nobody wants.
    ///
    /// # Errors
    /// Only failures of the host.
    pub async fn run_once(
        self,
        cell: CellRequest,
        events: Option<EventSender>,
        cancel: CancellationToken,
    ) -> Result<CellReport, SandboxError> {
        let work = self.cell_work(&cell);
        Ok(self.on_executor(cell, work, events, cancel, Keep::Nothing).await?.1)
    }

    fn cell_work(&self, cell: &CellRequest) -> Work {
        let state = self.target.as_ref().unwrap_or(&self.state);
        Work::Run {
            code: cell.code.clone(),
            name: cell.name.clone(),
            count: state.count() + 1,
            born: state.state().born,
            figure_format: "png",
        }
    }

    /// Does other work than a cell, in the same way.
    ///
    /// # Errors
    /// Only failures of the host.
    pub(super) async fn do_work(
        self,
        work: Work,
        limits: Limits,
        keep: Keep,
    ) -> Result<(Self, CellReport), SandboxError> {
        let cell = CellRequest { code: String::new(), name: String::new(), stdin: Vec::new(), limits };
        self.on_executor(cell, work, None, CancellationToken::new(), keep).await
    }

    async fn on_executor(
        mut self,
        cell: CellRequest,
        work: Work,
        events: Option<EventSender>,
        cancel: CancellationToken,
        keep: Keep,
    ) -> Result<(Self, CellReport), SandboxError> {
        let inner = Arc::clone(&self.inner);
        let (cpu_share, pace) = (cell.limits.cpu_share, self.pace.clone());
        inner
            .machine
            .on_executor(cpu_share, pace, async move {
                let report = self.run_here(&cell, work, events, cancel, keep).await?;
                Ok((self, report))
            })
            .await
    }

    async fn run_here(
        &mut self,
        cell: &CellRequest,
        work: Work,
        events: Option<EventSender>,
        cancel: CancellationToken,
        keep: Keep,
    ) -> Result<CellReport, SandboxError> {
        let started = Instant::now();
        let returned = self.turn(cell, work, events, &cancel).await?;
        let live = self.live.as_mut().ok_or(SandboxError::Broken("a cell without a store"))?;
        let fuel_used = cell.limits.fuel.saturating_sub(live.store.get_fuel()?);
        let peak_memory_bytes = live.memory.data_size(&live.store) as u64;
        let memory_refused = live.store.data().memory.refused;
        let (outputs, output_bytes, ending) = live.store.data().recorder.with(|recorder| {
            let outputs = recorder.finish();
            (outputs, recorder.used_bytes(), std::mem::take(&mut recorder.ending))
        });
        let at_rest = matches!(returned, Return::Status(_));
        let outcome = classify(returned, ending, memory_refused, &cell.limits)?;
        let kept = match keep {
            Keep::Transaction => keeps_state(&outcome),
            Keep::Setup => outcome == Outcome::Completed,
            Keep::Nothing => false,
        };
        if at_rest && kept {
            self.commit(keep).await?;
        } else if keep != Keep::Nothing {
            self.live = None;
            self.spoilt = true;
        }
        Ok(CellReport {
            outcome,
            outputs,
            fuel_used,
            wall_ms: (started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
            peak_memory_bytes,
            output_bytes,
        })
    }

    /// Compiles cells without running anything, and answers what is wrong with them.
    ///
    /// # Errors
    /// [`SandboxError::Check`] when the check itself ran into a limit; else only failures of the host.
    pub async fn check(
        mut self,
        cells: Vec<(String, String)>,
        limits: Limits,
    ) -> Result<Vec<CellProblem>, SandboxError> {
        let inner = Arc::clone(&self.inner);
        let cells: Vec<_> = cells.into_iter().map(|(name, code)| CheckCell { code, name }).collect();
        let (cpu_share, pace) = (limits.cpu_share, self.pace.clone());
        let request = CellRequest { code: String::new(), name: String::new(), stdin: Vec::new(), limits };
        inner
            .machine
            .on_executor(cpu_share, pace, async move {
                let work = Work::Check { cells };
                let returned = self.turn(&request, work, None, &CancellationToken::new()).await?;
                let live = self.live.as_mut().ok_or(SandboxError::Broken("a check without a store"))?;
                match returned {
                    Return::Status(0) => Ok(std::mem::take(&mut live.store.data_mut().problems)),
                    _ => Err(SandboxError::Check),
                }
            })
            .await
    }

    /// One turn of the guest under the limits of `cell`.
    async fn turn(
        &mut self,
        cell: &CellRequest,
        work: Work,
        events: Option<EventSender>,
        cancel: &CancellationToken,
    ) -> Result<Return, SandboxError> {
        self.roll_back()?;
        let slot = self.slot.as_ref().ok_or(SandboxError::Broken("a kernel without memory"))?;
        if self.live.is_none() {
            self.live = Some(self.inner.machine.instantiate(slot, &self.state)?);
        }
        let live = self.live.as_mut().ok_or(SandboxError::Broken("a cell without a store"))?;
        let recorder = Recorder::new(cell.limits.output_bytes, events);
        let memory_bytes = live.memory.data_size(&live.store);
        live.store.data_mut().prepare(cell, Some(work), recorder, memory_bytes);
        live.store.set_fuel(cell.limits.fuel)?;
        let deadline = Duration::from_millis(cell.limits.wall_ms);
        self.at_rest = false;
        let returned = tokio::select! {
            biased;
            () = cancel.cancelled() => Return::Cancelled,
            turned = tokio::time::timeout(deadline, live.turn(TURN)) => match turned {
                Ok(Ok(status)) => Return::Status(status),
                Ok(Err(error)) => Return::Failed(error),
                Err(_) => Return::Deadline,
            },
        };
        self.at_rest = matches!(returned, Return::Status(_));
        Ok(returned)
    }

    /// Makes the state after the cell the kernel's state.
    async fn commit(&mut self, keep: Keep) -> Result<(), SandboxError> {
        let (Some(slot), Some(live)) = (&self.slot, &mut self.live) else {
            return Err(SandboxError::Broken("a commit without a store"));
        };
        let mut delta = self.state.state().delta.clone();
        for (piece, changed) in pieces(slot.scan_and_track()?).enumerate() {
            if piece > 0 {
                tokio::task::yield_now().await;
            }
            collect(&mut delta, slot.image(), live.memory.data(&live.store), changed);
        }
        let globals = live.read_globals();
        let wasi = &live.store.data().wasi;
        let (count, born) = match keep {
            Keep::Setup => (self.state.count(), self.state.state().born),
            Keep::Transaction | Keep::Nothing => (self.state.count() + 1, false),
        };
        self.state = Checkpoint::new(State {
            image: Arc::clone(slot.image()),
            delta,
            memory_bytes: live.memory.data_size(&live.store),
            globals,
            fs: wasi.fs.clone(),
            clock: wasi.clock.reading(),
            count,
            born,
        });
        Ok(())
    }

    /// Undoes the cell before, where it is to be undone, and goes to the state that is to be gone on from.
    fn roll_back(&mut self) -> Result<(), SandboxError> {
        if let Some(target) = self.target.take() {
            self.live = None;
            let slot = self.slot.as_mut().and_then(Arc::get_mut);
            let slot = slot.ok_or(SandboxError::Broken("a store outlived its kernel's rollback"))?;
            slot.go_to(&self.state.state().delta, &target.state().delta, target.memory_bytes())?;
            (self.state, self.spoilt) = (target, false);
            return Ok(());
        }
        if !self.spoilt {
            return Ok(());
        }
        let slot = self.slot.as_mut().and_then(Arc::get_mut);
        let slot = slot.ok_or(SandboxError::Broken("a store outlived its kernel's rollback"))?;
        if slot.private_pages()? > self.state.delta_pages() + MOST_UNDONE_PAGES {
            let state = self.state.for_resume()?;
            let mut fresh = Slot::new(Arc::clone(&state.state().image))?;
            fresh.restore(&state.state().delta, state.memory_bytes(), true)?;
            (self.slot, self.state) = (Some(Arc::new(fresh)), state);
        } else {
            slot.restore(&self.state.state().delta, self.state.memory_bytes(), false)?;
        }
        self.spoilt = false;
        Ok(())
    }

    /// The state after the last cell that was kept. Costs nothing: every cell leaves one.
    pub fn checkpoint(&self) -> Checkpoint {
        self.target.as_ref().unwrap_or(&self.state).clone()
    }

    /// The files as the last turn left them, however it ended; none after a rollback.
    pub(super) fn files(&self) -> Option<Fs> {
        self.live.as_ref().map(|live| live.store.data().wasi.fs.clone())
    }

    /// Takes the memory out, for comparing it in tests.
    ///
    /// # Errors
    /// When the kernel has no memory.
    pub fn memory_image(&mut self) -> Result<Vec<u8>, SandboxError> {
        self.live = None;
        self.roll_back()?;
        let slot = self.slot.as_mut().and_then(Arc::get_mut);
        Ok(slot.ok_or(SandboxError::Broken("a store outlived its kernel"))?.bytes_mut().to_vec())
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let live = self.live.take().filter(|_| self.at_rest);
        if let Some(slot) = self.slot.take() {
            self.inner.recycle(slot, live);
        }
    }
}

/// Ranges of pages in pieces that take less than a millisecond each.
fn pieces(changed: Vec<Range<usize>>) -> impl Iterator<Item = Vec<Range<usize>>> {
    let mut ranges = changed.into_iter().flat_map(|range| {
        let end = range.end;
        range.step_by(PIECE_PAGES).map(move |start| start..end.min(start + PIECE_PAGES))
    });
    std::iter::from_fn(move || {
        let mut pages = 0;
        let mut piece = Vec::new();
        while pages < PIECE_PAGES {
            let Some(range) = ranges.next() else { break };
            pages += range.len();
            piece.push(range);
        }
        (!piece.is_empty()).then_some(piece)
    })
}

/// Files with others shown in the working directory.
pub(super) fn with_shown(mut fs: Fs, files: &[(String, Arc<[u8]>)]) -> Result<Fs, SandboxError> {
    for (path, content) in files {
        let refuse = |reason: String| SandboxError::File { path: path.clone(), reason };
        let relative = relative(path).map_err(|reason| refuse(reason.to_owned()))?;
        let content: Arc<dyn LowerFile> = Arc::new(Arc::clone(content));
        fs.mount_file(&format!("{WORK_DIR}/{relative}"), content).map_err(|error| refuse(error.to_string()))?;
    }
    Ok(fs)
}

/// A path below the working directory, or why it is none.
fn relative(path: &str) -> Result<&str, &'static str> {
    let parts = || path.split('/');
    if path.is_empty() || path.contains('\0') || parts().any(str::is_empty) {
        Err("the path must be relative and without empty parts")
    } else if parts().any(|part| part == "." || part == "..") {
        Err("the path must not contain '.' or '..'")
    } else {
        Ok(path)
    }
}
