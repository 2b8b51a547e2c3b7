//! The real server, in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pymd::api::{self, App};
use pymd::backend::wasm::SandboxConfig;
use pymd::config::{AdminToken, Config, HttpConfig, Settings};
use pymd::domain::{AuthPolicy, ExecutionPolicy, JobPolicy, KernelPolicy, Tier, Traffic};
use pymd::metrics::Metrics;
use pymd::service::install::{InstallConfig, Installer};
use pymd::service::prepare::{PrepareRequest, prepare};
use pymd::service::{
    Accounts, CreateEnvironment, Service, ServiceConfig, UpdateEnvironment, Workspace, WorkspaceParts,
};
use pymd::store::{Database, DatabaseOptions, Objects};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::report::Result;

/// A server on a loopback port.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The token that it wants.
    pub token: String,
    workspace: Workspace,
    runtime: Runtime,
    serving: JoinHandle<std::io::Result<()>>,
    shutdown: CancellationToken,
    /// With the database.
    directory: TempDir,
}

impl Server {
    /// Starts a server as the environment (`PYMD_...`) has it, and waits until code runs.
    pub fn start() -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, AdminToken::random()?)
    }

    fn start_in(directory: TempDir, token: AdminToken) -> Result<Self> {
        let config = Config::load(None, Settings::from_environment()?)?;
        // As `pymd serve` has it.
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let executor = config.executor;
        let service = Service::new(ServiceConfig {
            limits: config.ceiling.clone(),
            max_running: executor.max_running,
            max_queued: executor.max_queued,
            renders: config.renders,
            ..ServiceConfig::default()
        });
        let http = HttpConfig { shutdown_grace: Duration::from_secs(1), ..HttpConfig::default() };
        let url = format!("sqlite://{}", directory.path().join("pymd.db").display());
        let database = runtime.block_on(Database::open(&url, &DatabaseOptions::default()))?;
        runtime.block_on(async {
            database.ensure_admin(token.expose()).await?;
            // What a tier allows at once is not what is measured.
            for tier in database.tiers().await? {
                let traffic = Traffic {
                    running: 1_000,
                    waiting: 10_000,
                    requests_per_second: 100_000,
                    burst: 1_000_000,
                    ..tier.traffic
                };
                database.put_tier(&Tier { traffic, ..tier }).await?;
            }
            Ok::<_, pymd::store::StoreError>(())
        })?;
        let workspace = Workspace::open(WorkspaceParts {
            kernels: KernelPolicy::default(),
            service: service.clone(),
            database,
            objects: Objects::open(&format!("file://{}", directory.path().join("objects").display()))?,
            installer: Installer::open(InstallConfig {
                index_urls: config.index_urls.clone(),
                trusted_hosts: Vec::new(),
                cache_dir: config.cache_dir.clone(),
            })?,
            executions: ExecutionPolicy::default(),
            jobs: JobPolicy::default(),
            printer: pymd::browser::Printer::default(),
            data_dir: directory.path().to_owned(),
            cache_dir: config.cache_dir.clone(),
        })?;
        let accounts = Accounts::new(workspace.database().clone(), AuthPolicy::default())?;
        let app = App::new(workspace.clone(), accounts, token.clone(), http, Metrics::install()?);
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let (address, shutdown) = (listener.local_addr()?, CancellationToken::new());
        let serving = runtime.spawn(api::serve(app, listener, shutdown.clone()));
        let request = PrepareRequest {
            index_url: config.index_url(),
            cache_dir: config.cache_dir,
            sandbox: SandboxConfig {
                threads: executor.threads,
                ready_kernels: executor.ready_kernels,
                ..SandboxConfig::default()
            },
        };
        runtime.block_on(prepare(&service, request, None))?;
        Ok(Self { address, token: token.expose().to_owned(), workspace, runtime, serving, shutdown, directory })
    }

    /// The id of a new environment with these modules imported.
    pub fn environment(&self, imports: &[&str]) -> Result<String> {
        let name = "bench".parse()?;
        let create = CreateEnvironment { name, python_version: None, template: None };
        let imports = imports.iter().map(|&module| module.to_owned()).collect();
        let update = UpdateEnvironment { name: None, warm_imports: Some(imports) };
        let work = async {
            let user = self.workspace.database().first_admin().await?.ok_or("there is no admin")?.id;
            let made = self.workspace.create_environment(user, create, &|_| {}).await?;
            Ok(self.workspace.update_environment(user, made.id, update).await?.id.to_string())
        };
        self.runtime.block_on(work)
    }

    /// Allows the admin so many kernels.
    pub fn allow_kernels(&self, kernels: u64) -> Result<()> {
        let database = self.workspace.database();
        self.runtime.block_on(async {
            let admin = database.first_admin().await?.ok_or("there is no admin")?.id;
            let name = database.grant(admin, None).await?.tier;
            let mut tier = database.tier(&name).await?.ok_or("there is no such tier")?;
            (tier.quotas.kernels, tier.quotas.kernel_bytes) = (kernels, u64::MAX >> 2);
            Ok(database.put_tier(&tier).await?)
        })
    }

    /// Kernels in memory.
    pub fn live_kernels(&self) -> usize {
        self.workspace.kernels().live_count()
    }

    /// Waits until at most so many kernels are in memory, and all of those are let go.
    pub fn until_few_kernels(&self, most: usize) -> Result<()> {
        let until = std::time::Instant::now() + Duration::from_secs(120);
        while self.live_kernels() > most {
            if std::time::Instant::now() > until {
                return Err(format!("{} kernels stay in memory", self.live_kernels()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.runtime.block_on(self.workspace.kernels().shutdown());
        Ok(())
    }

    /// Ends it as a signal does, and starts it again: what it had in memory is lost.
    pub fn restart(self) -> Result<Self> {
        let Self { token, workspace, runtime, serving, shutdown, directory, .. } = self;
        shutdown.cancel();
        runtime.block_on(async {
            serving.await??;
            workspace.kernels().shutdown().await;
            if let Some(renders) = workspace.service().renders() {
                renders.flush().await;
            }
            workspace.executions().close(Duration::from_secs(5)).await;
            workspace.database().close().await;
            Result::Ok(())
        })?;
        drop((workspace, runtime));
        Self::start_in(directory, token.parse()?)
    }

    /// Stops it as a signal does.
    pub fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        Ok(self.runtime.block_on(self.serving)??)
    }
}
