//! What the benchmarks run on: the server's own runtime cache, one sandbox, and criterion.

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use pymd::backend::wasm::runtime::fetch::Retry;
use pymd::backend::wasm::runtime::manifest::Manifest;
use pymd::backend::wasm::runtime::{Engine, EnsureRequest, RuntimeFiles, Silent, Source, ensure};
use pymd::backend::wasm::{self, Checkpoint, Kernel, Sandbox, SandboxConfig};
use pymd::config::{Config, Settings};
use pymd::domain::{CellReport, CellRequest, Limits, Outcome};
use pymd::service::prepare::EXTRA_KEY;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::report::{Result, Samples};

/// Kernels in the pool.
pub const READY_KERNELS: usize = 8;

/// Everything that is measured runs here.
pub struct World {
    /// Stands for the threads that serve HTTP.
    pub tokio: Runtime,
    /// The metered engine.
    pub engine: Engine,
    /// The runtime for it.
    pub files: RuntimeFiles,
    /// A sandbox with a full pool.
    pub sandbox: Sandbox,
}

impl World {
    /// Loads the runtime, which is fetched and compiled if it is not cached.
    pub fn new() -> Result<Self> {
        let tokio = Builder::new_multi_thread().enable_all().build()?;
        let engine = wasm::engine()?;
        let files = files(&engine, "")?;
        let sandbox = tokio.block_on(sandbox(&engine, &files, READY_KERNELS))?;
        Ok(Self { tokio, engine, files, sandbox })
    }

    /// Another sandbox, with nothing in its pool.
    pub fn sandbox_without_pool(&self) -> Result<Sandbox> {
        self.tokio.block_on(sandbox(&self.engine, &self.files, 0))
    }

    /// How the sandbox of a server uses the machine, with a smaller pool.
    pub fn config(&self) -> SandboxConfig {
        SandboxConfig { ready_kernels: 0, ..SandboxConfig::default() }
    }

    /// Another sandbox.
    pub fn sandbox_with(&self, config: SandboxConfig) -> Result<Sandbox> {
        Ok(self.tokio.block_on(Sandbox::open(self.engine.clone(), &self.files, config))?)
    }

    /// A kernel that has run `code`.
    pub fn session(&self, code: &str) -> Result<Session> {
        let mut session = Session { kernel: Some(self.sandbox.kernel()?) };
        session.run(self, code)?;
        Ok(session)
    }
}

/// The runtime's files for an engine. `PYMD_BENCH_WHEEL` names a local wheel to make them from.
pub fn files(engine: &Engine, key: &str) -> Result<RuntimeFiles> {
    let config = Config::load(None, Settings::from_environment()?)?;
    let source = match std::env::var_os("PYMD_BENCH_WHEEL") {
        Some(path) => Source::Wheel { path: path.into() },
        None => Source::Index { url: config.index_url() },
    };
    let request = EnsureRequest {
        manifest: Manifest::embedded()?,
        cache_dir: config.cache_dir,
        source,
        extra_key: format!("{EXTRA_KEY}{key}"),
        retry: Retry::default(),
    };
    Ok(ensure(&request, engine, &Silent)?)
}

async fn sandbox(engine: &Engine, files: &RuntimeFiles, ready_kernels: usize) -> Result<Sandbox> {
    let config = SandboxConfig { ready_kernels, ..SandboxConfig::default() };
    let sandbox = Sandbox::open(engine.clone(), files, config).await?;
    sandbox.fill_pool()?;
    Ok(sandbox)
}

/// A cell of `code` under the default limits.
pub fn cell(code: &str) -> CellRequest {
    CellRequest { code: code.to_owned(), name: "cell".to_owned(), stdin: Vec::new(), limits: Limits::default() }
}

/// Waits until the kernels that were dropped are gone, and the pool is full again.
pub fn settle(sandbox: &Sandbox, kernels: usize, ready: usize) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        let stats = sandbox.stats();
        if stats.kernels <= kernels && stats.ready >= ready {
            break;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// A kernel that runs cell after cell.
pub struct Session {
    kernel: Option<Kernel>,
}

impl Session {
    /// A kernel that is already there.
    pub fn of(kernel: Kernel) -> Self {
        Self { kernel: Some(kernel) }
    }

    /// Runs a cell, with its checkpoint: how long that took, and what came of it.
    pub fn run(&mut self, world: &World, code: &str) -> Result<(Duration, CellReport)> {
        let kernel = self.kernel.take().ok_or("the kernel is gone")?;
        let request = cell(code);
        let start = Instant::now();
        let (kernel, report) = world.tokio.block_on(kernel.run(request, None, CancellationToken::new()))?;
        let took = start.elapsed();
        self.kernel = Some(kernel);
        completed(&report)?;
        Ok((took, report))
    }

    /// Runs a cell after which the state is not kept, and the kernel is gone.
    pub fn run_last(&mut self, world: &World, code: &str) -> Result<()> {
        let kernel = self.kernel.take().ok_or("the kernel is gone")?;
        completed(&world.tokio.block_on(kernel.run_once(cell(code), None, CancellationToken::new()))?)
    }

    /// The state after the last cell.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(self.kernel.as_ref().ok_or("the kernel is gone")?.checkpoint())
    }
}

/// A measurement of something that failed is none.
pub fn completed(report: &CellReport) -> Result<()> {
    match &report.outcome {
        Outcome::Completed => Ok(()),
        other => Err(format!("the cell did not complete: {other:?}").into()),
    }
}

/// Lets criterion call `once` for about `budget`; each call says how long the part took that counts.
pub fn measure(
    criterion: &mut Criterion,
    name: &str,
    budget: Duration,
    mut once: impl FnMut() -> Result<Duration>,
) -> Samples {
    let mut samples = Vec::new();
    let mut group = criterion.benchmark_group("engine");
    group.sampling_mode(SamplingMode::Flat).sample_size(20).warm_up_time(budget / 5).measurement_time(budget);
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let one = || once().unwrap_or_else(|error| panic!("{name}: {error}"));
            let times: Vec<Duration> = std::iter::repeat_with(one).take(iterations as usize).collect();
            samples.extend_from_slice(&times);
            times.iter().sum()
        });
    });
    group.finish();
    samples.into_iter().collect()
}
