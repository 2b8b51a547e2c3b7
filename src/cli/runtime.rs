//! `pymd runtime`: the Python runtimes in the cache directory.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::backend::wasm::runtime::cache::CacheError;
use crate::backend::wasm::runtime::fetch::Retry;
use crate::backend::wasm::runtime::manifest::{Manifest, ManifestError};
use crate::backend::wasm::runtime::{
    Engine, EnsureRequest, Installed, Progress, RuntimeError, RuntimeMeta, Source, ensure, installed, verify,
};

/// Install, list or check the Python runtimes in the cache directory.
#[derive(Debug, Clone, Args)]
pub struct RuntimeArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RuntimeCommand,
}

/// What to do with the runtimes.
#[derive(Debug, Clone, Subcommand)]
pub enum RuntimeCommand {
    /// Fetch and compile the runtime of this version, if it is not there yet.
    Install(InstallArgs),
    /// List the runtimes in the cache directory.
    List,
    /// Check every byte of the runtimes in the cache directory.
    Verify,
}

/// Where to install the runtime from.
#[derive(Debug, Clone, Default, Args)]
pub struct InstallArgs {
    /// Use this wheel instead of downloading it; it must be the pinned one.
    #[arg(long, value_name = "PATH")]
    pub wheel: Option<PathBuf>,
}

/// What the commands work with.
pub struct RuntimeContext<'a> {
    /// The cache directory.
    pub cache_dir: &'a Path,
    /// Address of the package index's simple API.
    pub index_url: &'a str,
    /// The engine to compile for.
    pub engine: &'a Engine,
    /// Whatever else the compiled module depends on; the same as the server's.
    pub extra_key: &'a str,
    /// Hears how far an installation is.
    pub progress: &'a dyn Progress,
}

/// Why a command failed. [`RuntimeCliError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeCliError {
    /// The runtime cannot be had.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The output cannot be written.
    #[error("cannot write the output: {source}")]
    Output {
        /// The system's words.
        #[from]
        source: io::Error,
    },
    /// Some runtimes are damaged.
    #[error("{damaged} of {checked} runtimes are damaged")]
    Damaged {
        /// How many.
        damaged: usize,
        /// Of how many.
        checked: usize,
    },
}

impl From<CacheError> for RuntimeCliError {
    fn from(error: CacheError) -> Self {
        Self::Runtime(error.into())
    }
}

impl From<ManifestError> for RuntimeCliError {
    fn from(error: ManifestError) -> Self {
        Self::Runtime(error.into())
    }
}

impl RuntimeCliError {
    /// What a person can do about it, apart from the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Runtime(error) => error.hint(),
            Self::Damaged { .. } => Some("they are built anew when they are used, or by `pymd runtime install`".into()),
            Self::Output { .. } => None,
        }
    }
}

/// Runs a `pymd runtime` command; what it has to say goes to `out`. Blocks.
///
/// # Errors
/// The command failed; `verify` also fails when a runtime is damaged.
pub fn run(args: &RuntimeArgs, context: &RuntimeContext<'_>, out: &mut dyn Write) -> Result<(), RuntimeCliError> {
    match &args.command {
        RuntimeCommand::Install(args) => install(args, context, out),
        RuntimeCommand::List => list(context.cache_dir, out),
        RuntimeCommand::Verify => check(context.cache_dir, out),
    }
}

fn install(args: &InstallArgs, context: &RuntimeContext<'_>, out: &mut dyn Write) -> Result<(), RuntimeCliError> {
    let source = match &args.wheel {
        Some(path) => Source::Wheel { path: path.clone() },
        None => Source::Index { url: context.index_url.to_owned() },
    };
    let request = EnsureRequest {
        manifest: Manifest::embedded()?,
        cache_dir: context.cache_dir.to_owned(),
        source,
        extra_key: context.extra_key.to_owned(),
        retry: Retry::default(),
    };
    let files = ensure(&request, context.engine, context.progress)?;
    let python = &files.manifest.runtime.python_version;
    writeln!(out, "Python {python} is installed: {}", files.dir.display())?;
    Ok(())
}

fn list(cache_dir: &Path, out: &mut dyn Write) -> Result<(), RuntimeCliError> {
    let runtimes = installed(cache_dir)?;
    if runtimes.is_empty() {
        writeln!(out, "no runtimes in {}", cache_dir.display())?;
    }
    for Installed { key, state, .. } in runtimes {
        match state {
            Ok((size_bytes, meta)) => writeln!(out, "{key}  {}  {} MB", describe(&meta), size_bytes / 1_000_000)?,
            Err(damage) => writeln!(out, "{key}  damaged: {damage}")?,
        }
    }
    Ok(())
}

fn check(cache_dir: &Path, out: &mut dyn Write) -> Result<(), RuntimeCliError> {
    let runtimes = installed(cache_dir)?;
    let checked = runtimes.len();
    let mut damaged = 0_usize;
    for Installed { key, dir, .. } in runtimes {
        match verify(&dir) {
            Ok(meta) => writeln!(out, "{key}  {}  ok", describe(&meta))?,
            Err(damage) => {
                damaged = damaged.saturating_add(1);
                writeln!(out, "{key}  damaged: {damage}")?;
            }
        }
    }
    if damaged > 0 { Err(RuntimeCliError::Damaged { damaged, checked }) } else { Ok(()) }
}

fn describe(meta: &RuntimeMeta) -> String {
    format!("Python {} ({} {})", meta.python_version, meta.package, meta.version)
}
