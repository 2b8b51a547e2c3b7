//! `pymd serve`: the server.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::signals::Signals;
use super::{exit, local, unknown_variables};
use crate::api::{self, App};
use crate::backend::wasm::SandboxConfig;
use crate::config::{AdminToken, Config, Settings};
use crate::jobs::Runner;
use crate::metrics::Metrics;
use crate::service::prepare::{PrepareRequest, prepare};
use crate::service::{Accounts, Clock, Workspace, WorkspaceParts};
use crate::store::{Database, DatabaseOptions};
use crate::telemetry;

/// Kernels that are not saved are saved in so much time at the end.
const LAST_SAVES: Duration = Duration::from_secs(30);
/// How often is looked for what crashes, changes and deletions have left.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// After the grace period, the history of what ran has so long to be written down.
const LAST_RECORDS: Duration = Duration::from_secs(5);

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
    let database = Database::open(&config.database_url()?, &DatabaseOptions::default()).await?;
    // A token that was made up here must not shut out those who use another server of the same database.
    if config.admin_token.is_none()
        && config.shares_database()
        && database.has_other_admin_token(token.expose()).await?
    {
        return Err(Failure::usage(format!(
            "the servers of {} have another admin token than `{}` holds: give all of them the same PYMD_ADMIN_TOKEN",
            database.place(),
            config.data_dir()?.display()
        )));
    }
    database.ensure_admin(token.expose()).await?;
    let objects = local::objects(&config)?;
    tracing::info!(database = database.place(), objects = objects.place(), "opened");
    let (service, printer) = (local::idle_service(&config), local::printer(&config));
    let workspace = Workspace::open(WorkspaceParts {
        kernels: config.kernels.clone(),
        service: service.clone(),
        database,
        objects,
        installer: local::installer(&config)?,
        executions: config.executions,
        printer: printer.clone(),
        data_dir: config.data_dir()?.to_owned(),
        cache_dir: config.cache_dir.clone(),
        jobs: config.jobs,
    })?;
    let accounts = Accounts::new(workspace.database().clone(), config.auth.clone()).map_err(Failure::usage)?;
    let app = App::new(workspace.clone(), accounts, token.clone(), config.http, Metrics::install()?);
    let listen = config.listen()?;
    let cannot_listen = |error: io::Error| Failure::usage(format!("cannot listen on {listen}: {error}"));
    let listener = TcpListener::bind(listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let shutdown = CancellationToken::new();
    stop_on_signals(shutdown.clone())?;
    let preparing = tokio::spawn(prepare_in_background(workspace.clone(), config));
    announce(address, &token);
    // Jobs and requests have the same grace period: both come to their end at once.
    let jobs = end_jobs(preparing, shutdown.clone());
    let served = async {
        let served = api::serve(app, listener, shutdown.clone()).await;
        shutdown.cancel();
        served
    };
    let (served, ()) = tokio::join!(served, jobs);
    if tokio::time::timeout(LAST_SAVES, workspace.kernels().shutdown()).await.is_err() {
        tracing::error!("not all kernels could be saved in time: they are as they were when they were saved last");
    }
    if let Some(renders) = workspace.service().renders()
        && tokio::time::timeout(LAST_SAVES, renders.flush()).await.is_err()
    {
        tracing::warn!("not all that was rendered last could be kept in time: it is run anew");
    }
    printer.until_gone().await;
    workspace.executions().close(LAST_RECORDS).await;
    workspace.database().close().await;
    served.map_err(|error| Failure::fault(format!("cannot serve: {error}")))?;
    tracing::info!("stopped");
    Ok(exit::DONE)
}

/// Brings the runtime up, then takes jobs: none can be done before.
async fn prepare_in_background(workspace: Workspace, config: Config) -> Option<(Runner, Clock)> {
    let request = PrepareRequest {
        cache_dir: config.cache_dir.clone(),
        index_url: config.index_url(),
        sandbox: SandboxConfig {
            threads: config.executor.threads,
            ready_kernels: config.executor.ready_kernels,
            ..SandboxConfig::default()
        },
    };
    match prepare(workspace.service(), request, None).await {
        Ok(sandbox) => {
            tracing::info!("ready");
            tokio::spawn(async move {
                if let Err(error) = sandbox.warm_up().await {
                    tracing::warn!(%error, "there is no warm image: packages are imported by each kernel");
                }
            });
        }
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            tracing::error!(%error, hint, "the runtime could not be prepared: no code can run until a restart");
            return None;
        }
    }
    let runner = Runner::start(workspace.queue(), workspace.handlers(), &owner());
    let clock = workspace.start_clock();
    tokio::spawn(sweep_now_and_then(workspace));
    Some((runner, clock))
}

/// Waits until the server is to stop, and then until the jobs have ended or were given back.
async fn end_jobs(mut preparing: JoinHandle<Option<(Runner, Clock)>>, shutdown: CancellationToken) {
    shutdown.cancelled().await;
    if !preparing.is_finished() {
        preparing.abort();
    }
    if let Ok(Some((runner, clock))) = (&mut preparing).await {
        drop(clock);
        runner.shutdown().await;
    }
}

/// Names this process among the servers of a database.
fn owner() -> String {
    format!("{} {}", std::process::id(), uuid::Uuid::now_v7())
}

async fn sweep_now_and_then(workspace: Workspace) {
    let mut turns = tokio::time::interval(SWEEP_EVERY);
    loop {
        turns.tick().await;
        if let Err(error) = workspace.sweep().await {
            tracing::warn!(%error, "what is left of earlier could not be swept up");
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
    let mut signals = Signals::listen()?;
    tokio::spawn(async move {
        let number = signals.next().await;
        tracing::info!(signal = number, "stopping: running cells get the grace period, a second signal ends at once");
        shutdown.cancel();
        let number = signals.next().await;
        std::process::exit(number.saturating_add(128));
    });
    Ok(())
}
