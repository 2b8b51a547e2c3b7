//! A service of this process alone, for the commands that run something once.

use std::io::{self, Read as _, Write};
use std::path::Path;

use super::failure::Failure;
use super::flags::LimitFlags;
use super::progress;
use crate::backend::wasm::SandboxConfig;
use crate::config::Config;
use crate::service::prepare::{PrepareRequest, prepare};
use crate::service::{Service, ServiceConfig};

/// What stands for standard input and output.
const DASH: &str = "-";

/// A service that is ready. A runtime that is not cached yet is fetched and compiled, with its progress shown on
/// standard error.
pub async fn service(config: &Config, limits: &LimitFlags) -> Result<Service, Failure> {
    let service = Service::new(ServiceConfig {
        limits: limits.raise(config.limits.clone()),
        max_running: config.executor.max_running,
        max_queued: config.executor.max_queued,
    });
    let request = PrepareRequest {
        cache_dir: config.cache_dir.clone(),
        index_url: config.index_url.clone(),
        // One kernel is all that is needed, so none is kept ready.
        sandbox: SandboxConfig { threads: config.executor.threads, ready_kernels: 0 },
    };
    prepare(&service, request, Some(progress::for_stderr())).await?;
    Ok(service)
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
    match path {
        Some(path) if path != Path::new(DASH) => {
            std::fs::write(path, text).map_err(|error| Failure::file("write", path, &error))
        }
        _ => {
            let mut out = io::stdout().lock();
            let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            written.map_err(|error| Failure::file("write", Path::new("standard output"), &error))
        }
    }
}
