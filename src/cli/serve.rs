//! `pymd serve`: the server.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::{exit, unknown_variables};
use crate::api::{self, App};
use crate::backend::wasm::SandboxConfig;
use crate::config::{AdminToken, Config, Settings};
use crate::metrics::Metrics;
use crate::service::prepare::{PrepareRequest, prepare};
use crate::service::{Service, ServiceConfig};
use crate::telemetry;

/// What to serve, and how.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration file in TOML: the keys are these flags' names, those of a group in its table (`[limits]` ...)
    #[arg(long, value_name = "FILE", env = "PYMD_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// Serves until it is told to stop; the result is the exit code.
pub async fn run(args: ServeArgs) -> Result<u8, Failure> {
    let config = Config::load(args.config.as_deref(), args.settings)?;
    telemetry::init(&config.log, "info")?;
    telemetry::log_panics();
    for name in unknown_variables() {
        tracing::warn!(name, "this environment variable means nothing here");
    }
    let token = match &config.admin_token {
        Some(token) => token.clone(),
        None => AdminToken::load_or_create(config.data_dir()?)?,
    };
    let service = Service::new(ServiceConfig {
        limits: config.limits.clone(),
        max_running: config.executor.max_running,
        max_queued: config.executor.max_queued,
    });
    let app = App::new(service.clone(), token.clone(), config.http, Metrics::install()?);
    let listen = config.listen()?;
    let cannot_listen = |error: io::Error| Failure::usage(format!("cannot listen on {listen}: {error}"));
    let listener = TcpListener::bind(listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let shutdown = CancellationToken::new();
    stop_on_signals(shutdown.clone())?;
    tokio::spawn(prepare_in_background(service, config));
    announce(address, &token);
    api::serve(app, listener, shutdown).await.map_err(|error| Failure::fault(format!("cannot serve: {error}")))?;
    tracing::info!("stopped");
    Ok(exit::DONE)
}

async fn prepare_in_background(service: Service, config: Config) {
    let request = PrepareRequest {
        cache_dir: config.cache_dir,
        index_url: config.index_url,
        sandbox: SandboxConfig { threads: config.executor.threads, ready_kernels: config.executor.ready_kernels },
    };
    match prepare(&service, request, None).await {
        Ok(sandbox) => {
            tracing::info!("ready");
            if let Err(error) = sandbox.warm_up().await {
                tracing::warn!(%error, "there is no warm image: packages are imported by each kernel");
            }
        }
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            tracing::error!(%error, hint, "the runtime could not be prepared: no code can run until a restart");
        }
    }
}

/// The one line on standard output: scripts wait for it.
fn announce(address: SocketAddr, token: &AdminToken) {
    let line = format!("listening on http://{address}/?token={}\n", token.expose());
    let mut out = io::stdout().lock();
    // A closed standard output is nobody who waits.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    tracing::info!(%address, "listening");
}

/// The first signal drains, the second ends the process at once.
fn stop_on_signals(shutdown: CancellationToken) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::fault(format!("cannot listen for signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::spawn(async move {
        let number = either(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = number, "stopping: running cells get the grace period, a second signal ends at once");
        shutdown.cancel();
        let number = either(&mut terminate, &mut interrupt).await;
        std::process::exit(number.saturating_add(128));
    });
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
    }
}
