//! What happens to a kernel, told to those who watch it.
//!
//! A cell's outputs go from where it runs right into the kernel's feed, in the order in which they are made, and as long
//! as nobody watches they go nowhere.

use std::sync::Arc;

use super::Kernels;
use super::entry::{CODE_CHARS, Entry};
use crate::backend::{EventSender, Listener, Queued as _};
use crate::domain::{
    CellReport, CheckpointId, CheckpointInfo, Event, ExecutionId, KernelEvent, KernelId, KernelState, KernelStatus,
    Outcome,
};
use crate::service::feeds::{Feeds, Told};

/// Of an exception's message so much is told at the cell's end: all of it is among the outputs.
const MESSAGE_CHARS: usize = 1000;
/// An output that is larger is left out.
const MAX_SHOWN_BYTES: usize = 1 << 20;
/// What an event takes that has nothing in it.
const LEAST_BYTES: usize = 256;

impl Told for KernelEvent {
    type Status = KernelStatus;

    fn size_bytes(&self) -> usize {
        let more = match self {
            Self::Shown(event) => event.size_bytes(),
            Self::CellStarted { code, .. } => code.len(),
            Self::Checkpoint { checkpoint } => checkpoint.code.len(),
            _ => 0,
        };
        more.saturating_add(LEAST_BYTES)
    }

    fn join(&mut self, next: Self) -> Option<Self> {
        match (self, next) {
            (Self::Shown(event), Self::Shown(next)) => event.join(next).map(Self::Shown),
            (_, next) => Some(next),
        }
    }

    fn status(&self) -> Option<&KernelStatus> {
        match self {
            Self::State(status) => Some(status),
            _ => None,
        }
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Deleted)
    }
}

/// Those who watch a kernel hear what its cell shows.
struct Watchers {
    feeds: Arc<Feeds<KernelId, KernelEvent>>,
    kernel: KernelId,
}

impl Listener<Event> for Watchers {
    fn listens(&self) -> bool {
        self.feeds.is_there(self.kernel)
    }

    fn hear(&self, event: &Event) {
        self.feeds.tell(self.kernel, || match event.size_bytes() {
            size_bytes if size_bytes > MAX_SHOWN_BYTES => KernelEvent::LeftOut { size_bytes },
            _ => KernelEvent::Shown(event.clone()),
        });
    }
}

impl Kernels {
    /// What happens to those that are watched.
    pub(crate) fn feeds(&self) -> &Feeds<KernelId, KernelEvent> {
        &self.0.feeds
    }

    /// The same, to be kept.
    pub(crate) fn feeds_shared(&self) -> Arc<Feeds<KernelId, KernelEvent>> {
        Arc::clone(&self.0.feeds)
    }

    /// Tells how a kernel is that is in memory here.
    pub(crate) fn tell_state(&self, entry: &Entry) {
        self.feeds().tell(entry.id(), || KernelEvent::State(KernelStatus::from(&entry.info())));
    }

    /// Tells that a kernel is woken.
    pub(crate) fn tell_waking(&self, id: KernelId) {
        if let Some((_, Some(status))) = self.feeds().latest(id) {
            let starting = KernelStatus { state: KernelState::Starting, ..status };
            self.feeds().tell(id, || KernelEvent::State(starting));
        }
    }

    /// Tells that a kernel went back to a checkpoint.
    pub(super) fn tell_restored(&self, entry: &Entry, checkpoint_id: CheckpointId) {
        self.feeds().tell(entry.id(), || KernelEvent::Restored { checkpoint_id });
        self.tell_state(entry);
    }

    /// Tells that a kernel was saved and taken out of memory.
    pub(super) fn tell_asleep(&self, entry: &Entry) {
        self.feeds().tell(entry.id(), || {
            let status = KernelStatus::from(&entry.info());
            let is_dead = status.state == KernelState::Dead;
            let state = if is_dead { KernelState::Dead } else { KernelState::Hibernated };
            KernelEvent::State(KernelStatus { state, saved: true, ..status })
        });
    }

    /// Tells that a cell begins. What it shows goes to `events`, and to those who watch the kernel.
    pub(super) fn tell_begin(&self, entry: &Entry, code: &str, events: Option<EventSender>) -> EventSender {
        self.tell_state(entry);
        self.feeds().tell(entry.id(), || KernelEvent::CellStarted {
            execution_count: entry.execution_count().saturating_add(1),
            code: code.chars().take(CODE_CHARS).collect(),
        });
        let watchers = Watchers { feeds: Arc::clone(&self.0.feeds), kernel: entry.id() };
        EventSender::with_listener(events, Arc::new(watchers))
    }

    /// Tells that the cell of that number has ended, and what is kept of it.
    pub(super) fn tell_end(
        &self,
        entry: &Entry,
        execution_count: u64,
        ended: Option<(&CellReport, Option<ExecutionId>, Option<CheckpointInfo>)>,
    ) {
        let feeds = self.feeds();
        match ended {
            None => feeds.tell(entry.id(), || KernelEvent::CellFailed { execution_count }),
            Some((report, execution_id, checkpoint)) => {
                if let Some(checkpoint) = checkpoint {
                    feeds.tell(entry.id(), || KernelEvent::Checkpoint { checkpoint });
                }
                feeds.tell(entry.id(), || KernelEvent::CellDone {
                    execution_count,
                    execution_id,
                    outcome: in_short(&report.outcome),
                    fuel_used: report.fuel_used,
                    wall_ms: report.wall_ms,
                });
            }
        }
        self.tell_state(entry);
    }
}

/// How a cell ended, without what is among its outputs already.
fn in_short(outcome: &Outcome) -> Outcome {
    let short = |text: &str| text.chars().take(MESSAGE_CHARS).collect();
    match outcome {
        Outcome::PythonError { ename, evalue, .. } => {
            Outcome::PythonError { ename: short(ename), evalue: short(evalue), traceback: Vec::new() }
        }
        outcome => outcome.clone(),
    }
}
