//! What can be set: flags win over the environment, that over the TOML file, that over the defaults.
//!
//! Each concern is one small struct of optional [`Settings`], which the command line, the environment and the file
//! fill alike; its fields' documentation is also what `pymd serve --help` shows. [`Config`] is what they come to.

mod auth;
mod executions;
mod executor;
mod http;
mod jobs;
mod kernels;
mod limits;
mod listen;
mod log;
mod paths;
mod pdf;
mod renders;
mod settings;
mod token;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use auth::{AuthSettings, ClientSecret};
pub use executions::ExecutionSettings;
pub use executor::{ExecutorConfig, ExecutorSettings};
pub use http::{HttpConfig, HttpSettings};
pub use jobs::JobSettings;
pub use kernels::KernelSettings;
pub use limits::LimitSettings;
pub use listen::ListenAddr;
pub use log::{LogConfig, LogFormat, LogSettings};
pub use pdf::{PdfConfig, PdfSettings};
pub use renders::RenderSettings;
pub use settings::Settings;
pub use token::{AdminToken, BadToken, TokenError, TokenText};

use url::Url;

use crate::domain::{AuthPolicy, ExecutionPolicy, JobPolicy, KernelPolicy, Limits, RenderPolicy};

/// Bytes of copies of a bucket's objects.
const DEFAULT_OBJECT_COPIES_BYTES: u64 = 10 << 30;
/// The simple API of the Python package index, where no other index is chosen.
pub const DEFAULT_INDEX_URL: &str = "https://pypi.org/simple/";

/// Everything that is set, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the server listens, as given; [`Config::listen`] checks it.
    listen: SocketAddr,
    /// The bearer token, where one is given.
    pub admin_token: Option<AdminToken>,
    /// The directory of what must be kept; nothing where there is no home directory and none is given.
    pub data_dir: Option<PathBuf>,
    /// The directory of what can be made again.
    pub cache_dir: PathBuf,
    /// The database's URL, where one is given. It may hold a password.
    database_url: Option<DatabaseUrl>,
    /// The object store's URL, where one is given.
    object_store_url: Option<String>,
    /// Bytes of copies of a bucket's objects in the cache directory; 0: none.
    pub object_copies_bytes: u64,
    /// Simple APIs of package indexes, at least one: the first that knows a package is asked for it.
    pub index_urls: Vec<Url>,
    /// Servers that indexes may lead to though they lie in a private network.
    pub index_trusted_hosts: Vec<String>,
    /// How people get in.
    pub auth: AuthPolicy,
    /// What an execution may use that is no user's: of a command.
    pub limits: Limits,
    /// What no user's execution goes beyond, whatever the tier says.
    pub ceiling: Limits,
    /// Threads and queues.
    pub executor: ExecutorConfig,
    /// How much is kept of what ran.
    pub executions: ExecutionPolicy,
    /// What holds for every request.
    pub http: HttpConfig,
    /// Work that goes on when nobody waits for it.
    pub jobs: JobPolicy,
    /// Kernels that stay between cells.
    pub kernels: KernelPolicy,
    /// What is kept of renders.
    pub renders: RenderPolicy,
    /// How documents are printed.
    pub pdf: PdfConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// Why the configuration can't be used. The message names the setting.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file can't be read.
    #[error("cannot read the configuration file `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The configuration file is not what it should be; the message names the key.
    #[error("the configuration file `{}` is not valid: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        message: String,
    },
    /// A value lies outside what it may be.
    #[error("`{key}` {message}")]
    Value {
        /// The setting as the file names it.
        key: &'static str,
        /// What it must be.
        message: String,
    },
    /// A variable of the environment has a value that it cannot have.
    #[error("the environment variable `{variable}` is not valid: {message}")]
    Environment {
        /// Its name.
        variable: String,
        /// What is wrong with it.
        message: String,
    },
    /// There is no default for a directory.
    #[error("there is no home directory: set `{key}` (--{flag} or {variable})")]
    NoHome {
        /// The setting as the file names it.
        key: &'static str,
        /// Its flag.
        flag: &'static str,
        /// Its environment variable.
        variable: &'static str,
    },
    /// The address can be reached from other machines.
    #[error(
        "`listen` must be a loopback address such as 127.0.0.1:8787, not {listen}: the server itself does not encrypt \
         what tokens travel in; let a proxy with TLS on this machine face the others"
    )]
    NotLoopback {
        /// The address.
        listen: SocketAddr,
    },
}

impl Config {
    /// What `given` (flags and environment), the file and the defaults come to.
    ///
    /// # Errors
    /// The file can't be read or has an unknown key, or a value is not possible.
    pub fn load(file: Option<&Path>, given: Settings) -> Result<Self, ConfigError> {
        let file = file.map(Settings::from_file).transpose()?.unwrap_or_default();
        Self::resolve(given.or(file))
    }

    fn resolve(settings: Settings) -> Result<Self, ConfigError> {
        let cache_dir = settings.cache_dir.or_else(paths::default_cache_dir).ok_or(ConfigError::NoHome {
            key: "cache_dir",
            flag: "cache-dir",
            variable: "PYMD_CACHE_DIR",
        })?;
        let bad_token = |error: BadToken| ConfigError::Value { key: "admin_token", message: error.to_string() };
        let limits = settings.limits.resolve()?;
        let admin_token = settings.admin_token.map(|text| text.check().map_err(bad_token)).transpose()?;
        Ok(Self {
            listen: settings.listen.unwrap_or_default().0,
            admin_token,
            data_dir: settings.data_dir.or_else(paths::default_data_dir),
            cache_dir,
            database_url: settings.database_url.map(DatabaseUrl),
            object_store_url: settings.object_store_url,
            object_copies_bytes: settings.object_copies_bytes.unwrap_or(DEFAULT_OBJECT_COPIES_BYTES),
            index_urls: index_urls(settings.index_url.as_deref().unwrap_or(DEFAULT_INDEX_URL))?,
            index_trusted_hosts: words(settings.index_trusted_hosts.as_deref().unwrap_or_default()),
            auth: settings.auth.resolve()?,
            limits: Limits::default().with(&limits),
            ceiling: Limits::highest().with(&limits),
            executor: settings.executor.resolve()?,
            executions: settings.executions.resolve()?,
            http: settings.http.resolve()?,
            jobs: settings.jobs.resolve()?,
            kernels: settings.kernels.resolve()?,
            renders: settings.renders.resolve()?,
            pdf: settings.pdf.resolve()?,
            log: settings.log.resolve(),
        })
    }

    /// Where the server listens; port 0 picks one.
    ///
    /// # Errors
    /// Other machines could reach it.
    pub fn listen(&self) -> Result<SocketAddr, ConfigError> {
        if self.listen.ip().is_loopback() {
            Ok(self.listen)
        } else {
            Err(ConfigError::NotLoopback { listen: self.listen })
        }
    }

    /// The first index: where the runtime comes from.
    pub fn index_url(&self) -> String {
        self.index_urls.first().map(ToString::to_string).unwrap_or_default()
    }

    /// The database's URL.
    ///
    /// # Errors
    /// None is given, and there is no data directory for the default one.
    pub fn database_url(&self) -> Result<String, ConfigError> {
        match &self.database_url {
            Some(DatabaseUrl(url)) => Ok(url.clone()),
            None => Ok(format!("sqlite://{}", self.data_dir()?.join("pymd.db").display())),
        }
    }

    /// Whether the database was named, so that other servers may use it, too.
    pub fn shares_database(&self) -> bool {
        self.database_url.is_some()
    }

    /// The object store's URL.
    ///
    /// # Errors
    /// None is given, and there is no data directory for the default one.
    pub fn object_store_url(&self) -> Result<String, ConfigError> {
        match &self.object_store_url {
            Some(url) => Ok(url.clone()),
            None => {
                let dir = std::path::absolute(self.data_dir()?.join("objects"));
                let dir = dir.map_err(|error| ConfigError::Value { key: "data_dir", message: error.to_string() })?;
                let url = Url::from_directory_path(&dir).map_err(|()| ConfigError::Value {
                    key: "data_dir",
                    message: format!("`{}` cannot stand in a URL", dir.display()),
                })?;
                Ok(url.into())
            }
        }
    }

    /// The directory of what must be kept.
    ///
    /// # Errors
    /// None is given and there is no home directory.
    pub fn data_dir(&self) -> Result<&Path, ConfigError> {
        self.data_dir.as_deref().ok_or(ConfigError::NoHome {
            key: "data_dir",
            flag: "data-dir",
            variable: "PYMD_DATA_DIR",
        })
    }
}

/// A database's URL, which no `Debug` output shows.
#[derive(Clone)]
struct DatabaseUrl(String);

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseUrl(..)")
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn index_urls(text: &str) -> Result<Vec<Url>, ConfigError> {
    // The text may hold a password: it is not shown.
    let value = |message: String| ConfigError::Value { key: "index_url", message };
    let urls = text.split_whitespace().map(|url| {
        let url = Url::parse(url).map_err(|error| value(format!("must be a URL: {error}")))?;
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        if is_http { Ok(url) } else { Err(value("must be an http or https URL".to_owned())) }
    });
    let urls = urls.collect::<Result<Vec<_>, _>>()?;
    if urls.is_empty() { Err(value("must name an index".to_owned())) } else { Ok(urls) }
}

/// The value if it lies between `min` and `max`.
fn within<T: PartialOrd + std::fmt::Display>(key: &'static str, value: T, min: T, max: T) -> Result<T, ConfigError> {
    if value >= min && value <= max {
        Ok(value)
    } else {
        Err(ConfigError::Value { key, message: format!("must be between {min} and {max}, not {value}") })
    }
}
