//! The real server, in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pymd::api::{self, App};
use pymd::backend::wasm::SandboxConfig;
use pymd::config::{AdminToken, Config, HttpConfig, Settings};
use pymd::metrics::Metrics;
use pymd::service::prepare::{PrepareRequest, prepare};
use pymd::service::{Service, ServiceConfig};
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
    runtime: Runtime,
    serving: JoinHandle<std::io::Result<()>>,
    shutdown: CancellationToken,
}

impl Server {
    /// Starts a server as the environment (`PYMD_...`) has it, and waits until code runs.
    pub fn start() -> Result<Self> {
        let config = Config::load(None, Settings::from_environment()?)?;
        // As `pymd serve` has it.
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let token = AdminToken::random()?;
        let executor = config.executor;
        let service = Service::new(ServiceConfig {
            limits: config.limits,
            max_running: executor.max_running,
            max_queued: executor.max_queued,
        });
        let http = HttpConfig { shutdown_grace: Duration::from_secs(1), ..HttpConfig::default() };
        let app = App::new(service.clone(), token.clone(), http, Metrics::install()?);
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let (address, shutdown) = (listener.local_addr()?, CancellationToken::new());
        let serving = runtime.spawn(api::serve(app, listener, shutdown.clone()));
        let request = PrepareRequest {
            cache_dir: config.cache_dir,
            index_url: config.index_url,
            sandbox: SandboxConfig { threads: executor.threads, ready_kernels: executor.ready_kernels },
        };
        runtime.block_on(prepare(&service, request, None))?;
        Ok(Self { address, token: token.expose().to_owned(), runtime, serving, shutdown })
    }

    /// Stops it as a signal does.
    pub fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        Ok(self.runtime.block_on(self.serving)??)
    }
}
