//! The command line: what to do, and what the process ends with.

mod env;
mod failure;
mod flags;
mod install_progress;
mod local;
pub mod progress;
mod render;
mod run;
pub mod runtime;
mod serve;
mod signals;

use std::future::Future;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use failure::Failure;
use flags::BaseArgs;
use runtime::{RuntimeArgs, RuntimeContext};

use crate::backend::wasm;
use crate::service::prepare::EXTRA_KEY;
use crate::telemetry;

/// What the process ends with.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// The document or the code failed, or a check found something.
    pub const FAILED: u8 = 1;
    /// The command line, the configuration or a file is not what it should be.
    pub const USAGE: u8 = 2;
    /// A limit was hit.
    pub const LIMIT: u8 = 3;
    /// Our own fault, or the machine's.
    pub const FAULT: u8 = 70;
}

/// Runs Python in a WebAssembly sandbox, and renders PyMD documents.
#[derive(Debug, Parser)]
#[command(name = "pymd", version, propagate_version = true, max_term_width = 120)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the REST API and the start page to this machine
    ///
    /// Once requests are accepted, one line is printed: `listening on http://HOST:PORT/?token=TOKEN`. At the first
    /// start the runtime is fetched and compiled meanwhile, which `/health` shows. SIGTERM and SIGINT let running
    /// cells come to their end for a while; a second one ends at once.
    ///
    /// Flags win over the environment, that over the configuration file, that over the defaults.
    Serve(Box<serve::ServeArgs>),
    /// Render a document: run its cells and lay their outputs out
    ///
    /// Cells that failed are listed on standard error. The exit code is 1 when one failed, 3 when one hit a limit; the
    /// document is written in any case.
    Render(render::RenderArgs),
    /// Run Python in a fresh kernel
    ///
    /// What it prints comes as it is printed. Displayed objects are shown as text. The value of the last expression is
    /// shown with -c, as at Python's prompt, and not for a FILE, as with a script. The exit code is the code's own
    /// where it has one (`sys.exit`), else 0; 1 after an exception; 3 when a limit was hit.
    Run(run::RunArgs),
    /// Make environments, and install packages into them
    ///
    /// The environments are those of the first admin of the database, whom a server on the same data directory knows,
    /// too; a server that runs need not be stopped.
    Env(env::EnvArgs),
    /// Install, list or check the Python runtimes in the cache directory
    Runtime(RuntimeCommandArgs),
}

/// `pymd runtime` with what it needs around it.
#[derive(Debug, Args)]
pub struct RuntimeCommandArgs {
    #[command(flatten)]
    base: BaseArgs,
    #[command(flatten)]
    runtime: RuntimeArgs,
}

/// Does what the command line says. Failures are told on standard error.
pub fn main(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Serve(args) => block_on(serve::run(*args)),
        Command::Render(args) => block_on(render::run(args)),
        Command::Run(args) => block_on(run::run(args)),
        Command::Env(args) => block_on(env::run(args)),
        Command::Runtime(args) => run_runtime(&args),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "{failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn block_on(work: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::fault(format!("cannot start threads: {error}")))?;
    let done = runtime.block_on(work);
    // A compilation that goes on in its thread must not hold the process back.
    runtime.shutdown_background();
    done
}

fn run_runtime(args: &RuntimeCommandArgs) -> Result<u8, Failure> {
    let config = args.base.load()?;
    telemetry::init(&config.log, "warn")?;
    let engine = wasm::engine().map_err(|error| Failure::fault(format!("the engine does not work here: {error:#}")))?;
    let progress = progress::for_stderr();
    let context = RuntimeContext {
        cache_dir: &config.cache_dir,
        index_url: &config.index_url(),
        engine: &engine,
        extra_key: EXTRA_KEY,
        progress: progress.as_ref(),
    };
    runtime::run(&args.runtime, &context, &mut io::stdout().lock())?;
    Ok(exit::DONE)
}

/// The `PYMD_` variables of the environment that mean nothing: misspelt ones, most likely.
fn unknown_variables() -> Vec<String> {
    let cli = Cli::command();
    let mut known = Vec::new();
    let mut commands = vec![&cli];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands());
        known.extend(command.get_arguments().filter_map(|argument| argument.get_env()));
    }
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| !known.contains(&name.as_os_str()))
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("PYMD_"))
        .collect()
}
