//! The settings as they are given, all optional: one layer over another.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser as _};
use serde::Deserialize;

use super::{
    AuthSettings, ConfigError, ExecutionSettings, ExecutorSettings, HttpSettings, JobSettings, KernelSettings,
    LimitSettings, ListenAddr, LogSettings, PdfSettings, RenderSettings, TokenText,
};

/// `self` where it says something, else `below`, field by field.
macro_rules! layered {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $name {
            /// These settings, and for what they leave open those of `below`.
            #[must_use]
            pub fn or(self, below: Self) -> Self {
                Self { $($field: self.$field.or(below.$field)),* }
            }
        }
    };
}
pub(super) use layered;

/// Everything that can be set.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address and port to listen on; a loopback address. Port 0 picks a free one [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDR", env = "PYMD_LISTEN")]
    pub listen: Option<ListenAddr>,
    /// Directory of what must be kept, such as the token [default: pymd in the XDG data directory]
    #[arg(long, value_name = "DIR", env = "PYMD_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Directory of what can be made again: runtimes, images [default: pymd in the XDG cache directory]
    #[arg(long, value_name = "DIR", env = "PYMD_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Database: sqlite://PATH or postgres://... [default: pymd.db in the data directory]
    #[arg(long, value_name = "URL", env = "PYMD_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Object store: file:///DIR or s3://BUCKET/PREFIX [default: objects in the data directory]
    #[arg(long, value_name = "URL", env = "PYMD_OBJECT_STORE_URL", hide_env_values = true)]
    pub object_store_url: Option<String>,
    /// Bytes of copies of a bucket's objects in the cache directory: checkpoints come back from there; 0: none
    /// [default: 10737418240]
    #[arg(long, value_name = "BYTES", env = "PYMD_OBJECT_COPIES_BYTES")]
    pub object_copies_bytes: Option<u64>,
    /// Simple API of the package index, or several with blanks in between: the first that knows a package is asked for
    /// it. The second choice is PIP_INDEX_URL [default: the Python package index]
    #[arg(long, value_name = "URL", env = "PYMD_INDEX_URL", hide_env_values = true)]
    pub index_url: Option<String>,
    /// Servers (HOST or HOST:PORT, with blanks in between) that indexes may lead to though they lie in a private network
    #[arg(long, value_name = "HOSTS", env = "PYMD_INDEX_TRUSTED_HOSTS")]
    pub index_trusted_hosts: Option<String>,
    /// What pip is told to use: the second choice of the environment.
    #[arg(long, hide = true, env = "PIP_INDEX_URL", hide_env_values = true)]
    #[serde(skip)]
    pub pip_index_url: Option<String>,
    /// The bearer token. Prefer the variable: others see command lines [default: made at first start]
    #[arg(long, value_name = "TOKEN", env = "PYMD_ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<TokenText>,
    /// `[auth]`: who is let in besides those with API keys.
    #[command(flatten)]
    pub auth: AuthSettings,
    /// `[limits]`: what an execution may use.
    #[command(flatten)]
    pub limits: LimitSettings,
    /// `[executor]`: threads and queues.
    #[command(flatten)]
    pub executor: ExecutorSettings,
    /// `[executions]`: how much is kept of what ran.
    #[command(flatten)]
    pub executions: ExecutionSettings,
    /// `[http]`: what holds for every request.
    #[command(flatten)]
    pub http: HttpSettings,
    /// `[jobs]`: work that goes on when nobody waits for it.
    #[command(flatten)]
    pub jobs: JobSettings,
    /// `[kernels]`: kernels that stay between cells.
    #[command(flatten)]
    pub kernels: KernelSettings,
    /// `[renders]`: what is kept of renders.
    #[command(flatten)]
    pub renders: RenderSettings,
    /// `[pdf]`: how documents are printed.
    #[command(flatten)]
    pub pdf: PdfSettings,
    /// `[log]`: what is logged, and how.
    #[command(flatten)]
    pub log: LogSettings,
}

/// A command line without arguments: what is left are the environment variables.
#[derive(clap::Parser)]
#[command(no_binary_name = true)]
struct Environment {
    #[command(flatten)]
    settings: Settings,
}

impl Settings {
    /// These settings, and for what they leave open those of `below`.
    #[must_use]
    pub fn or(self, below: Self) -> Self {
        Self {
            listen: self.listen.or(below.listen),
            data_dir: self.data_dir.or(below.data_dir),
            cache_dir: self.cache_dir.or(below.cache_dir),
            database_url: self.database_url.or(below.database_url),
            object_store_url: self.object_store_url.or(below.object_store_url),
            object_copies_bytes: self.object_copies_bytes.or(below.object_copies_bytes),
            index_trusted_hosts: self.index_trusted_hosts.or(below.index_trusted_hosts),
            // pip's variable is less than ours of the same layer, and more than any layer below. Empty is not set.
            index_url: self.index_url.or(self.pip_index_url.filter(|url| !url.is_empty())).or(below.index_url),
            pip_index_url: below.pip_index_url,
            admin_token: self.admin_token.or(below.admin_token),
            auth: self.auth.or(below.auth),
            limits: self.limits.or(below.limits),
            executor: self.executor.or(below.executor),
            executions: self.executions.or(below.executions),
            http: self.http.or(below.http),
            jobs: self.jobs.or(below.jobs),
            kernels: self.kernels.or(below.kernels),
            renders: self.renders.or(below.renders),
            pdf: self.pdf.or(below.pdf),
            log: self.log.or(below.log),
        }
    }

    /// What the environment sets.
    ///
    /// # Errors
    /// A variable has a value that it cannot have.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let parsed = Environment::try_parse_from(std::iter::empty::<&str>());
        parsed.map(|environment| environment.settings).map_err(|error| ConfigError::Environment {
            variable: variable_of(&error),
            message: error.source().map_or_else(|| "has an impossible value".to_owned(), ToString::to_string),
        })
    }

    /// What a file sets.
    ///
    /// # Errors
    /// It can't be read, is no TOML, or has an unknown key or a wrong value.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), message: describe(&error, &text) })
    }
}

/// The variable that a parser's error is about; the error itself names the flag.
fn variable_of(error: &clap::Error) -> String {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return "PYMD_".to_owned() };
    let command = Environment::command();
    let same = |argument: &&clap::Arg| {
        argument.get_long().is_some_and(|long| flag.split(' ').next() == Some(&format!("--{long}")))
    };
    let variable = command.get_arguments().find(same).and_then(|argument| argument.get_env());
    variable.map_or_else(|| flag.clone(), |variable| variable.to_string_lossy().into_owned())
}

/// The message with the line's number and key. The rest of the line is left out: it may be the token.
fn describe(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().trim();
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return message.to_owned();
    };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    let key = line.split_once('=').map(|(key, _)| format!(", `{}`", key.trim())).unwrap_or_default();
    format!("line {}{key}: {message}", number.saturating_add(1))
}
