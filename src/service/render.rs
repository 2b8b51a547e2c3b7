//! Render a document: run its cells in one kernel, then lay their outputs out.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Service, ServiceError};
use crate::backend::wasm::{EnvironmentBase, Kernel};
use crate::backend::{EventSender, Queued, event_channel};
use crate::document::{self, Document, Format, RenderOptions};
use crate::domain::{CellReport, CellRequest, EnvironmentId, Event, Limits, LimitsRequest, Outcome};

/// A document as a whole may take this many times as long as one of its cells; the cells left then are not run.
const DOCUMENT_DEADLINES: u32 = 4;
/// And it may show this many times as much; the cells left then can show nothing.
const DOCUMENT_OUTPUTS: u64 = 4;

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

/// How one cell of a render ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CellSummary {
    /// The cell's number, from 0.
    pub index: usize,
    /// The line of the document where its code begins.
    pub line: usize,
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
    fn new(index: usize, line: usize, report: &CellReport) -> Self {
        Self {
            index,
            line,
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
    /// The cells that ran.
    pub cells: Vec<CellSummary>,
    /// How many cells the document has.
    pub cell_count: usize,
    /// Fuel burnt by all of them.
    pub fuel_used: u64,
    /// Wall-clock milliseconds of the whole render.
    pub wall_ms: f64,
}

/// What happens during a render.
#[derive(Debug, Clone, PartialEq)]
pub enum RenderEvent {
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

impl Service {
    /// Renders a document: in `environment`, or with what is linked into the runtime. Dropping the future ends its cells.
    ///
    /// # Errors
    /// When the request can't be taken; what the cells do is in the result.
    pub async fn render(
        &self,
        request: RenderRequest,
        environment: Option<EnvironmentBase>,
        watch: Option<RenderSender>,
    ) -> Result<RenderReport, ServiceError> {
        let started = Instant::now();
        let sandbox = self.sandbox()?;
        let limits = request.limits.within(self.limits())?;
        let _permit = self.0.admission.enter().await?;
        let content = request.content;
        let parsed = off_the_server_threads(move || document::parse(&content)).await?;
        let code = parsed.cells().map(|cell| cell.code).collect::<Vec<_>>().join("\n");
        let kernel = sandbox.kernel_for(environment.as_ref(), &code, &limits).await?;
        let reports = run_cells(kernel, &parsed, &limits, request.stop_on_error, watch.as_ref()).await?;
        let cells: Vec<_> = parsed
            .cells()
            .zip(&reports)
            .map(|(cell, report)| CellSummary::new(cell.index, cell.line, report))
            .collect();
        let cell_count = parsed.cells().count();
        let options = RenderOptions {
            format: match (request.format, request.standalone) {
                (RenderFormat::Html, false) => Format::Html,
                (RenderFormat::Html, true) => Format::Page,
                (RenderFormat::Markdown, _) => Format::Markdown,
                (RenderFormat::Json, _) => Format::Json,
            },
            show_code: request.show_code,
            ..RenderOptions::default()
        };
        let rendered = off_the_server_threads(move || document::render(&parsed, &reports, &options)).await?;
        Ok(RenderReport {
            rendered,
            cached: false,
            format: request.format,
            fuel_used: cells.iter().map(|cell| cell.fuel_used).sum(),
            cells,
            cell_count,
            wall_ms: (started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
        })
    }
}

/// Runs the cells one after another in `kernel`. The answer is shorter than the document when some were not run.
async fn run_cells(
    kernel: Kernel,
    parsed: &Document,
    limits: &Limits,
    stop_on_error: bool,
    watch: Option<&RenderSender>,
) -> Result<Vec<CellReport>, ServiceError> {
    let started = Instant::now();
    let budget_ms = limits.wall_ms.saturating_mul(u64::from(DOCUMENT_DEADLINES));
    let mut left_bytes = limits.output_bytes.saturating_mul(DOCUMENT_OUTPUTS);
    let mut reports = Vec::new();
    let mut kernel = Some(kernel);
    let mut cells = parsed.cells().peekable();
    while let (Some(cell), Some(before)) = (cells.next(), kernel.take()) {
        let spent_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let left_ms = budget_ms.saturating_sub(spent_ms);
        if left_ms == 0 {
            break;
        }
        let (wall_ms, output_bytes) = (limits.wall_ms.min(left_ms), limits.output_bytes.min(left_bytes));
        let limits = Limits { wall_ms, output_bytes, ..limits.clone() };
        let name = format!("cell {}", cell.index + 1);
        let request = CellRequest { code: cell.code.to_owned(), name, stdin: Vec::new(), limits };
        let report;
        (kernel, report) = run_cell(before, request, cells.peek().is_none(), cell.index, watch).await?;
        left_bytes = left_bytes.saturating_sub(report.output_bytes);
        if let Some(watch) = watch {
            let summary = CellSummary::new(cell.index, cell.line, &report);
            watch.send(RenderEvent::CellDone { cell: cell.index, summary });
        }
        let failed = report.outcome != Outcome::Completed;
        reports.push(report);
        if failed && stop_on_error {
            break;
        }
    }
    Ok(reports)
}

/// Runs a cell. After the last one there is no kernel: nobody wants its state.
async fn run_cell(
    kernel: Kernel,
    request: CellRequest,
    is_last: bool,
    cell: usize,
    watch: Option<&RenderSender>,
) -> Result<(Option<Kernel>, CellReport), ServiceError> {
    let (sender, mut receiver) = event_channel();
    let forward = async {
        while let (Some(event), Some(watch)) = (receiver.next().await, watch) {
            watch.send(RenderEvent::Output { cell, event });
        }
    };
    let run = async {
        let (sender, cancel) = (watch.is_some().then_some(sender), CancellationToken::new());
        if is_last {
            return Ok::<_, ServiceError>((None, kernel.run_once(request, sender, cancel).await?));
        }
        let (kernel, report) = kernel.run(request, sender, cancel).await?;
        Ok((Some(kernel), report))
    };
    tokio::join!(run, forward).0
}

/// Runs work on documents, which is all processor and no waiting, away from the threads that serve.
pub(super) async fn off_the_server_threads<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServiceError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ServiceError::internal(&error))
}
