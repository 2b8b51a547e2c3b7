//! Render a document: run those of its cells that must be, then lay their outputs out.

mod attached;
mod cells;

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Allowance, Recording, Service, ServiceError};
use crate::backend::wasm::EnvironmentBase;
use crate::backend::{EventSender, Queued};
use crate::document::{self, CellRef, Document, Format, RenderOptions};
use crate::domain::{CellReport, EnvironmentId, Event, ExecutionId, LimitsRequest, Outcome, UserId};
pub use attached::{Attached, Loaded};
use cells::{Done, Run};

/// What a document is rendered to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RenderFormat {
    /// HTML, sanitised.
    #[default]
    Html,
    /// Markdown.
    Markdown,
    /// The blocks with their code, outputs and outcomes.
    Json,
}

/// A document to render.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenderRequest {
    /// The document, in either spelling.
    pub content: String,
    /// What to render it to.
    #[serde(default)]
    pub format: RenderFormat,
    /// The environment to run it in; absent: the one that its front matter names, or else the caller's default one.
    #[serde(default)]
    pub environment_id: Option<EnvironmentId>,
    /// Limits of each cell below the caller's own.
    #[serde(default)]
    pub limits: LimitsRequest,
    /// Whether all cells are run, also those whose result is known from an earlier render.
    #[serde(default)]
    pub fresh: bool,
    /// Whether the cells after a failed one are left out.
    #[serde(default)]
    pub stop_on_error: bool,
    /// Whether the cells' source is shown above their outputs.
    #[serde(default)]
    pub show_code: bool,
    /// HTML: a whole page with its style, instead of a fragment.
    #[serde(default)]
    pub standalone: bool,
}

/// Where a cell's result comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CellStatus {
    /// It was run.
    Executed,
    /// It was run for an earlier render, and nothing that it depends on has changed.
    Cached,
    /// It says that it is not to run.
    Skipped,
}

/// How one cell of a render ended. What it took is what it took when it was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CellSummary {
    /// The cell's number, from 0.
    pub index: usize,
    /// The line of the document where its code begins.
    pub line: usize,
    /// Whether it was run for this.
    pub status: CellStatus,
    /// Under which it is found in the history, where it was run for this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<ExecutionId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Fuel burnt.
    pub fuel_used: u64,
    /// Wall-clock milliseconds.
    pub wall_ms: f64,
    /// The largest linear memory it had.
    pub peak_memory_bytes: u64,
    /// Bytes of output it produced.
    pub output_bytes: u64,
}

impl CellSummary {
    fn new(cell: CellRef<'_>, Done { report, status, execution_id }: &Done) -> Self {
        Self {
            index: cell.index,
            line: cell.line,
            status: *status,
            execution_id: *execution_id,
            outcome: report.outcome.clone(),
            fuel_used: report.fuel_used,
            wall_ms: report.wall_ms,
            peak_memory_bytes: report.peak_memory_bytes,
            output_bytes: report.output_bytes,
        }
    }
}

/// A rendered document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RenderReport {
    /// The document in the format asked for.
    pub rendered: String,
    /// Whether nothing had to run.
    pub cached: bool,
    /// The format.
    pub format: RenderFormat,
    /// The cells that were run, for this render or an earlier one.
    pub cells: Vec<CellSummary>,
    /// How many cells the document has.
    pub cell_count: usize,
    /// Fuel burnt by those that were run for this render.
    pub fuel_used: u64,
    /// Wall-clock milliseconds of the whole render.
    pub wall_ms: f64,
}

/// What happens during a render.
#[derive(Debug, Clone, PartialEq)]
pub enum RenderEvent {
    /// A cell begins to run.
    CellStarted {
        /// The cell's number, from 0.
        cell: usize,
    },
    /// A cell shows something.
    Output {
        /// The cell's number, from 0.
        cell: usize,
        /// What it shows.
        event: Event,
    },
    /// A cell ended.
    CellDone {
        /// The cell's number, from 0.
        cell: usize,
        /// How it ended.
        summary: CellSummary,
    },
}

impl Queued for RenderEvent {
    fn join(&mut self, next: Self) -> Option<Self> {
        match (self, next) {
            (Self::Output { cell, event }, Self::Output { cell: next_cell, event: next }) if *cell == next_cell => {
                event.join(next).map(|event| Self::Output { cell: next_cell, event })
            }
            (_, next) => Some(next),
        }
    }
}

/// Where the events of a render go.
pub type RenderSender = EventSender<RenderEvent>;

/// What a render has to do with besides the request.
#[derive(Default)]
pub struct RenderContext {
    /// Where the cells run; absent: with what is linked into the runtime.
    pub environment: Option<EnvironmentBase>,
    /// Whose render it is. Of what they have rendered lately only that runs again that has changed, and what comes after
    /// it; without an owner nothing is kept.
    pub owner: Option<UserId>,
    /// Files that lie beside the document.
    pub attached: Option<Attached>,
    /// Who hears of it.
    pub watch: Option<RenderSender>,
    /// What writes the cells down.
    pub recording: Option<Recording>,
    /// What whoever asks for it may use; absent: what anybody may.
    pub allowance: Option<Allowance>,
}

/// A document, and what came of its cells.
pub struct Ran {
    /// The document.
    pub document: Document,
    /// The reports of its cells, in order; fewer where some were not run.
    pub reports: Vec<CellReport>,
    /// Stands for what the reports can depend on besides the document's text.
    pub inputs_key: String,
    /// When its last cell had ended.
    pub rendered_at: Timestamp,
    cells: Vec<CellSummary>,
    started: Instant,
}

impl Ran {
    /// Whether a cell was run for this.
    pub fn has_executed(&self) -> bool {
        self.cells.iter().any(|cell| cell.status == CellStatus::Executed)
    }

    /// How many cells the document has, and how many of them did not end as they should, or were left out.
    pub fn counts(&self) -> (usize, usize) {
        let count = self.document.cells().count();
        let ended = |cell: &&CellSummary| matches!(cell.outcome, Outcome::Completed | Outcome::Exited { code: 0 });
        (count, count.saturating_sub(self.cells.iter().filter(ended).count()))
    }
}

/// How a document is laid out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layout {
    /// What to render it to.
    pub format: RenderFormat,
    /// As [`RenderRequest::show_code`].
    pub show_code: bool,
    /// As [`RenderRequest::standalone`].
    pub standalone: bool,
}

impl Service {
    /// Renders a document. Dropping the future ends its cells.
    ///
    /// # Errors
    /// When the request can't be taken; what the cells do is in the result.
    pub async fn render(&self, request: RenderRequest, context: RenderContext) -> Result<RenderReport, ServiceError> {
        let RenderRequest { format, standalone, show_code, .. } = request;
        let ran = self.run_document(request, context).await?;
        self.lay_out(Arc::new(ran), Layout { format, show_code, standalone }).await
    }

    /// Lays out a document whose cells have run.
    ///
    /// # Errors
    /// Only our own.
    pub async fn lay_out(&self, ran: Arc<Ran>, layout: Layout) -> Result<RenderReport, ServiceError> {
        let Layout { format, show_code, standalone } = layout;
        let options = RenderOptions {
            format: match (format, standalone) {
                (RenderFormat::Html, false) => Format::Html,
                (RenderFormat::Html, true) => Format::Page,
                (RenderFormat::Markdown, _) => Format::Markdown,
                (RenderFormat::Json, _) => Format::Json,
            },
            show_code,
            ..RenderOptions::default()
        };
        let laid_out = Arc::clone(&ran);
        let rendered =
            off_the_server_threads(move || document::render(&laid_out.document, &laid_out.reports, &options)).await?;
        let executed = ran.cells.iter().filter(|cell| cell.status == CellStatus::Executed);
        Ok(RenderReport {
            rendered,
            cached: !ran.has_executed() && ran.cells.iter().any(|cell| cell.status == CellStatus::Cached),
            format,
            fuel_used: executed.map(|cell| cell.fuel_used).fold(0, u64::saturating_add),
            cell_count: ran.document.cells().count(),
            cells: ran.cells.clone(),
            wall_ms: (ran.started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
        })
    }

    /// Runs a document's cells: those that must be.
    ///
    /// # Errors
    /// When the request can't be taken; what the cells do is in the result.
    pub async fn run_document(&self, request: RenderRequest, context: RenderContext) -> Result<Ran, ServiceError> {
        let started = Instant::now();
        let sandbox = self.sandbox()?;
        let RenderContext { environment, owner, attached, watch, recording, allowance } = context;
        let Allowance { limits, seat } = allowance.unwrap_or_else(|| self.allowance());
        let limits = request.limits.within(&limits)?;
        let content = request.content;
        let parse = move || {
            let document = document::parse(&content);
            let settings = document::settings(&document);
            (document, settings)
        };
        let (document, settings) = off_the_server_threads(parse).await?;
        let limits = settings.limits.clamped(&limits);
        let running: Vec<_> = document.cells().filter(|cell| cell.options.runs()).collect();
        let code = running.iter().map(|cell| cell.code).collect::<Vec<_>>().join("\n");
        let run = Run {
            sandbox,
            admission: &self.0.admission,
            seat: &seat,
            start: sandbox.start_point(environment.as_ref(), &code, &limits).await,
            cells: running,
            attached: attached.as_ref(),
            limits: &limits,
            stop_on_error: request.stop_on_error,
            keeper: owner.filter(|_| settings.cache).map(|owner| (&self.0.checkpoints, owner)),
            renders: self.renders(),
            fresh: request.fresh,
            watch: watch.as_ref(),
            recording: recording.as_ref(),
        };
        let inputs_key = run.inputs_key();
        let mut results = run.results().await?.into_iter();
        let rendered_at = Timestamp::now();
        let mut done = Vec::new();
        for cell in document.cells() {
            match if cell.options.runs() { results.next() } else { Some(Done::skipped()) } {
                Some(result) => done.push(result),
                None => break,
            }
        }
        let cells = document.cells().zip(&done).map(|(cell, done)| CellSummary::new(cell, done)).collect();
        let reports = done.into_iter().map(|done| Arc::unwrap_or_clone(done.report)).collect();
        Ok(Ran { document, reports, inputs_key, rendered_at, cells, started })
    }
}

/// Runs work on documents, which is all processor and no waiting, away from the threads that serve.
pub(super) async fn off_the_server_threads<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServiceError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ServiceError::internal(&error))
}
