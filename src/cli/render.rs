//! `pymd render`: a document to a file.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::failure::Failure;
use super::flags::{BaseArgs, LimitFlags};
use super::signals::Signals;
use super::{exit, install_progress, local};
use crate::backend::wasm::EnvironmentBase;
use crate::browser::Printer;
use crate::config::Config;
use crate::document::{self, Needs};
use crate::domain::{Outcome, Quotas};
use crate::service::{RenderContext, RenderFormat, RenderReport, RenderRequest, Scripts, Service, ServiceError};
use crate::telemetry;

/// What a document's own environment may have: the machine is the caller's own.
const QUOTAS: Quotas = Quotas {
    environments: 0,
    packages_per_environment: 500,
    environment_bytes: 10 << 30,
    documents: 0,
    document_bytes: 0,
    attached_bytes: 0,
    kernels: 0,
    kernel_bytes: 0,
    live_kernels: 0,
    rendered_bytes: 0,
    checkpoint_bytes: 0,
    publications: 0,
};

/// What to render, and how.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// Document to render; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// File to write; - is standard output, which is also the default
    #[arg(short = 'o', long = "out", value_name = "OUT")]
    out: Option<PathBuf>,
    /// What to render to
    #[arg(long, value_name = "FORMAT", default_value = "html")]
    format: OutFormat,
    /// HTML: only what belongs into a page, not a whole one
    #[arg(long)]
    fragment: bool,
    /// Show the cells' source above their outputs
    #[arg(long)]
    show_code: bool,
    /// Leave out the cells after one that failed
    #[arg(long)]
    stop_on_error: bool,
    /// Environment to run the cells in, by its name or id [default: what the document's front matter says]
    #[arg(long, value_name = "NAME", conflicts_with = "env_dir")]
    env: Option<String>,
    /// Directory of wheels that the cells can import: one of an environment, or any
    #[arg(long, value_name = "DIR")]
    env_dir: Option<PathBuf>,
    #[command(flatten)]
    base: BaseArgs,
    #[command(flatten)]
    limits: LimitFlags,
}

/// What to render to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutFormat {
    /// HTML with everything in it
    Html,
    /// The same on paper; it needs Chromium
    Pdf,
    /// Markdown
    Markdown,
    /// The blocks with their code, outputs and outcomes
    Json,
}

impl From<OutFormat> for RenderFormat {
    fn from(format: OutFormat) -> Self {
        match format {
            OutFormat::Html | OutFormat::Pdf => Self::Html,
            OutFormat::Markdown => Self::Markdown,
            OutFormat::Json => Self::Json,
        }
    }
}

/// Renders the document; the result is the exit code.
pub async fn run(args: RenderArgs) -> Result<u8, Failure> {
    let config = args.base.load()?;
    telemetry::init(&config.log, "warn")?;
    let content = local::read_text(&args.file)?;
    let service = local::service(&config, &args.limits).await?;
    let request = RenderRequest {
        content,
        format: args.format.into(),
        environment_id: None,
        limits: args.limits.request(),
        fresh: true,
        stop_on_error: args.stop_on_error,
        show_code: args.show_code,
        standalone: !args.fragment || args.format == OutFormat::Pdf,
    };
    let printer = local::printer(&config);
    if args.format == OutFormat::Pdf {
        printer.check().map_err(ServiceError::from)?;
    }
    let environment = environment(&config, &service, &request.content, args.env, args.env_dir).await?;
    let report = service.render(request, RenderContext { environment, ..RenderContext::default() }).await?;
    let file = args.file.display().to_string();
    if args.format == OutFormat::Pdf {
        let pdf = match print(&printer, report.rendered.clone()).await? {
            ControlFlow::Continue(pdf) => pdf,
            ControlFlow::Break(code) => return Ok(code),
        };
        local::write_bytes(args.out.as_deref(), &pdf)?;
        return Ok(tell(&report, &file, args.stop_on_error));
    }
    let mut rendered = report.rendered.clone();
    if !rendered.ends_with('\n') {
        rendered.push('\n');
    }
    local::write_text(args.out.as_deref(), &rendered)?;
    Ok(tell(&report, &file, args.stop_on_error))
}

/// The PDF of a page, or what the process ends with where a signal came before: nothing of the browser is left then.
async fn print(printer: &Printer, page: String) -> Result<ControlFlow<u8, Vec<u8>>, Failure> {
    let mut signals = Signals::listen()?;
    let done = tokio::select! {
        printed = printer.print(page) => Ok(printed),
        number = signals.next() => Err(number),
    };
    let number = match done {
        Ok(printed) => {
            // Nothing is left to be cleared away: from here on a signal ends the process at once, also while it writes.
            tokio::spawn(async move { std::process::exit(signals.next().await.saturating_add(128)) });
            return Ok(ControlFlow::Continue(printed.map_err(ServiceError::from)?));
        }
        Err(number) => number,
    };
    tokio::select! {
        () = printer.until_gone() => {}
        // Who asks twice does not want to wait.
        _ = signals.next() => {}
    }
    Ok(ControlFlow::Break(u8::try_from(number.saturating_add(128)).unwrap_or(u8::MAX)))
}

/// What the cells start from: as the flags say, or else as the document says.
async fn environment(
    config: &Config,
    service: &Service,
    content: &str,
    name: Option<String>,
    dir: Option<PathBuf>,
) -> Result<Option<EnvironmentBase>, Failure> {
    if dir.is_some() {
        return local::env_dir(config, service, dir).await;
    }
    let needs = match name {
        Some(name) => Needs { environment: Some(name), ..Needs::default() },
        None => document::needs(content)
            .map_err(|problem| Failure::usage(format!("line {}: {}", problem.line, problem.message)))?,
    };
    if !needs.packages.is_empty() {
        let progress = install_progress::for_stderr();
        let scripts = Scripts::open(&config.cache_dir, local::installer(config)?)?;
        let base = scripts.base(service, "", &needs, &QUOTAS, &|event| progress.tell(&event)).await?;
        return Ok(Some(base));
    }
    match needs.environment {
        None => Ok(None),
        Some(name) => {
            let (workspace, user) = local::workspace(config, service.clone()).await?;
            Ok(workspace.base_named(user.id, &name).await?)
        }
    }
}

/// Lists what failed; the result is the exit code.
fn tell(report: &RenderReport, file: &str, stop_on_error: bool) -> u8 {
    let mut code = exit::DONE;
    let mut lines = String::new();
    for cell in &report.cells {
        if matches!(cell.outcome, Outcome::Completed | Outcome::Exited { code: 0 }) {
            continue;
        }
        code = code.max(if cell.outcome.is_limit() { exit::LIMIT } else { exit::FAILED });
        let sentence = cell.outcome.sentence().unwrap_or_default();
        lines.push_str(&format!("{file}:{}: {sentence}\n", cell.line));
    }
    let left_out = report.cell_count.saturating_sub(report.cells.len());
    if left_out > 0 && !(stop_on_error && code != exit::DONE) {
        code = exit::LIMIT;
        lines.push_str(&format!("{file}: the document took too long: its last {left_out} cells were not run\n"));
    }
    // Nobody is left to tell when standard error is closed.
    let _ = io::stderr().write_all(lines.as_bytes());
    code
}
