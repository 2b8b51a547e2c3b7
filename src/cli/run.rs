//! `pymd run`: Python in a fresh kernel.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use super::flags::{BaseArgs, LimitFlags};
use super::{exit, local};
use crate::backend::{EventReceiver, event_channel};
use crate::domain::{Event, ExecuteReport, MimeBundle, Outcome, Output, StreamName};
use crate::service::ExecuteRequest;
use crate::telemetry;

/// What to run, and how.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Code to run
    #[arg(short = 'c', long, value_name = "CODE", conflicts_with = "file", allow_hyphen_values = true)]
    code: Option<String>,
    /// File to run; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "code")]
    file: Option<PathBuf>,
    /// Print the whole outcome as JSON at the end, and nothing else
    #[arg(long)]
    json: bool,
    /// What the code reads from its standard input; - is ours. Without it, input is at its end at once
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// Directory of wheels that the code can import: one of an environment, or any
    #[arg(long, value_name = "DIR")]
    env_dir: Option<PathBuf>,
    #[command(flatten)]
    base: BaseArgs,
    #[command(flatten)]
    limits: LimitFlags,
}

/// Runs the code; the result is the exit code.
pub async fn run(args: RunArgs) -> Result<u8, Failure> {
    let config = args.base.load()?;
    telemetry::init(&config.log, "warn")?;
    let code = match (args.code, args.file) {
        (Some(code), _) => (code, true),
        (None, Some(file)) => (local::read_text(&file)?, false),
        (None, None) => return Err(Failure::usage("there is nothing to run: give -c CODE or FILE")),
    };
    let (code, echo) = code;
    let stdin = args.stdin.map(|path| local::read_text(&path)).transpose()?;
    let service = local::service(&config, &args.limits).await?;
    let environment = local::env_dir(&config, &service, args.env_dir).await?;
    let limits = args.limits.request();
    let request = ExecuteRequest { code, limits, stdin, ..ExecuteRequest::default() };
    if args.json {
        let report = service.execute(request, environment, None, None, &service.allowance()).await?;
        let json = serde_json::to_string(&report).map_err(Failure::fault)?;
        local::write_text(None, &format!("{json}\n"))?;
        return Ok(exit_code(&report.outcome));
    }
    let (sender, receiver) = event_channel();
    let allowance = service.allowance();
    let ran = service.execute(request, environment, Some(sender), None, &allowance);
    // Both at once; when standard output is closed, the code is ended as a pipe would end it.
    let (report, shown) = tokio::try_join!(async { Ok(ran.await?) }, async {
        show_all(receiver, echo).await.map_err(|error| Failure::fault(format!("cannot write: {error}")))
    })?;
    finish(&report, shown)
}

/// Says how it ended, where the outputs did not.
fn finish(report: &ExecuteReport, error_shown: bool) -> Result<u8, Failure> {
    let told = match report.outcome {
        Outcome::PythonError { .. } => error_shown,
        Outcome::Exited { .. } => true,
        _ => false,
    };
    if let Some(sentence) = report.outcome.sentence().filter(|_| !told) {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "{sentence}");
    }
    Ok(exit_code(&report.outcome))
}

/// Shows events as they come. The result says whether an exception was among them.
async fn show_all(mut events: EventReceiver, echo: bool) -> io::Result<bool> {
    let mut error_shown = false;
    while let Some(event) = events.next().await {
        error_shown |= matches!(event, Event::Output { output: Output::Error { .. } });
        show(&event, echo)?;
    }
    Ok(error_shown)
}

fn show(event: &Event, echo: bool) -> io::Result<()> {
    match event {
        Event::Output { output: Output::Stream { name: StreamName::Stdout, text } } => put(io::stdout(), text),
        Event::Output { output: Output::Stream { name: StreamName::Stderr, text } } => put(io::stderr(), text),
        Event::Output { output: Output::ExecuteResult { .. } } if !echo => Ok(()),
        Event::Output { output: Output::ExecuteResult { data, .. } | Output::DisplayData { data, .. } }
        | Event::UpdateDisplay { data, .. } => put(io::stdout(), &as_text(data)),
        Event::Output { output: Output::Error { ename, evalue, traceback } } => {
            let mut text: String = traceback.iter().map(|line| format!("{}\n", line.trim_end_matches('\n'))).collect();
            if text.is_empty() {
                text = format!("{ename}: {evalue}\n");
            }
            put(io::stderr(), &text)
        }
        // A terminal keeps what it has shown.
        Event::ClearOutput { .. } => Ok(()),
    }
}

fn put(mut out: impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// An object as a line of text.
fn as_text(data: &MimeBundle) -> String {
    match data.get("text/plain").and_then(|text| text.as_str()) {
        Some(text) => format!("{text}\n"),
        None => {
            let kinds: Vec<&str> = data.keys().map(String::as_str).collect();
            format!("<{}>\n", kinds.join(", "))
        }
    }
}

fn exit_code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Completed => exit::DONE,
        // As the system does it: the lowest eight bits.
        Outcome::Exited { code } => code.to_le_bytes()[0],
        outcome if outcome.is_limit() => exit::LIMIT,
        _ => exit::FAILED,
    }
}
