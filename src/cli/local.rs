//! A service of this process alone, for the commands that run something once.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::flags::LimitFlags;
use super::progress;
use crate::backend::wasm::{EnvironmentBase, SandboxConfig};
use crate::browser::{Printer, PrinterConfig};
use crate::config::{AdminToken, Config, PdfConfig};
use crate::domain::User;
use crate::service::install::{InstallConfig, Installer};
use crate::service::prepare::{PrepareRequest, prepare};
use crate::service::{Service, ServiceConfig, Workspace, WorkspaceParts};
use crate::store::{Database, DatabaseOptions, Objects};

/// What stands for standard input and output.
const DASH: &str = "-";

/// A service that is ready. A runtime that is not cached yet is fetched and compiled, with its progress shown on
/// standard error.
pub async fn service(config: &Config, limits: &LimitFlags) -> Result<Service, Failure> {
    let service = Service::new(ServiceConfig {
        limits: limits.raise(config.limits.clone()),
        max_running: config.executor.max_running,
        max_queued: config.executor.max_queued,
        renders: config.renders,
        ..ServiceConfig::default()
    });
    let request = PrepareRequest {
        cache_dir: config.cache_dir.clone(),
        index_url: config.index_url(),
        // One kernel is all that is needed, so none is kept ready.
        sandbox: SandboxConfig { threads: config.executor.threads, ready_kernels: 0, ..SandboxConfig::default() },
    };
    prepare(&service, request, Some(progress::for_stderr())).await?;
    Ok(service)
}

/// What gets packages.
pub fn installer(config: &Config) -> Result<Installer, Failure> {
    Ok(Installer::open(InstallConfig {
        index_urls: config.index_urls.clone(),
        trusted_hosts: config.index_trusted_hosts.clone(),
        cache_dir: config.cache_dir.clone(),
    })?)
}

/// What makes PDFs.
pub fn printer(config: &Config) -> Printer {
    let PdfConfig { chromium, timeout, sandbox } = config.pdf.clone();
    Printer::new(PrinterConfig { chromium, timeout, has_sandbox: sandbox, ..PrinterConfig::default() })
}

/// The database of the data directory, or the one that is configured, and its first admin: whoever may read the
/// directory may do what the admin may.
pub async fn database(config: &Config) -> Result<(Database, User), Failure> {
    let url = config.database_url()?;
    let database = Database::open(&url, &DatabaseOptions::default()).await?;
    let admin = match database.first_admin().await? {
        Some(admin) => admin,
        None => {
            let token = match &config.admin_token {
                Some(token) => token.clone(),
                None => AdminToken::load_or_create(config.data_dir()?)?,
            };
            database.ensure_admin(token.expose()).await?
        }
    };
    Ok((database, admin))
}

/// The object store, with copies on this machine where it is elsewhere.
pub fn objects(config: &Config) -> Result<Objects, Failure> {
    let objects = Objects::open(&config.object_store_url()?).map_err(Failure::usage)?;
    let copies = config.cache_dir.join("objects");
    objects.with_copies(copies, config.object_copies_bytes).map_err(Failure::usage)
}

/// What the first admin has, over `service`.
pub async fn workspace(config: &Config, service: Service) -> Result<(Workspace, User), Failure> {
    let (database, admin) = database(config).await?;
    let workspace = Workspace::open(WorkspaceParts {
        kernels: config.kernels.clone(),
        service,
        database,
        objects: objects(config)?,
        installer: installer(config)?,
        executions: config.executions,
        printer: printer(config),
        data_dir: config.data_dir()?.to_owned(),
        cache_dir: config.cache_dir.clone(),
        jobs: config.jobs,
    })?;
    Ok((workspace, admin))
}

/// What runs with the wheels in a directory start from, where one is named.
pub async fn env_dir(
    config: &Config,
    service: &Service,
    dir: Option<PathBuf>,
) -> Result<Option<EnvironmentBase>, Failure> {
    match dir {
        None => Ok(None),
        Some(dir) => Ok(Some(installer(config)?.directory(service, dir).await?)),
    }
}

/// A service that still has to be made ready, for what needs no code to run.
pub fn idle_service(config: &Config) -> Service {
    Service::new(ServiceConfig {
        limits: config.ceiling.clone(),
        max_running: config.executor.max_running,
        max_queued: config.executor.max_queued,
        renders: config.renders,
        ..ServiceConfig::default()
    })
}

/// The text of a file, or of standard input for `-`.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new(DASH) {
        io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(path).map(|content| bytes = content)
    };
    read.map_err(|error| Failure::file("read", path, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        Failure::usage(format!("`{}` is not UTF-8: look at byte {place}", path.display()))
    })
}

/// Writes to a file, or to standard output for `-` and for none.
pub fn write_text(path: Option<&Path>, text: &str) -> Result<(), Failure> {
    write_bytes(path, text.as_bytes())
}

/// The same with any bytes.
pub fn write_bytes(path: Option<&Path>, bytes: &[u8]) -> Result<(), Failure> {
    match path {
        Some(path) if path != Path::new(DASH) => {
            std::fs::write(path, bytes).map_err(|error| Failure::file("write", path, &error))
        }
        _ => {
            let mut out = io::stdout().lock();
            let written = out.write_all(bytes).and_then(|()| out.flush());
            written.map_err(|error| Failure::file("write", Path::new("standard output"), &error))
        }
    }
}
