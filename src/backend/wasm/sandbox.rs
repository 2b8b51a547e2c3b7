//! The sandbox: kernels from the boot image, from the warm image, from those of environments, from checkpoints.

mod base;
mod bytecode;
mod environment;
mod environments;
mod guest_files;
mod make;
mod rest;
mod start_files;
mod stored;
mod warming;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use wasmtime::Engine;

use super::checkpoint::Checkpoint;
use super::kernel::Kernel;
use super::machine::{Live, Machine};
use super::memory::{Image, Slot};
use super::runtime::RuntimeFiles;
use super::runtime::cache::CacheError;
use super::vfs::Fs;
use crate::domain::Limits;
use base::Base;
pub use bytecode::{Bytecode, SkippedFile};
pub use environment::{EnvironmentBase, EnvironmentSpec, SITE_PACKAGES, WarmLimits};
use environments::Environments;
use make::Recipe;

/// Memory that a kernel of the warm image should have beside what is imported.
const WARM_HEADROOM_BYTES: u64 = 64 << 20;

/// A checkpoint with more pages is mapped as an image of its own: that is made once, and costs its whole size.
const RESUMED_PAGES: usize = 8192;

/// How the sandbox uses the machine.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Executor threads. Default: one a core.
    pub threads: usize,
    /// Kernels of each image kept ready to run, with their memory resident. Default: 16.
    pub ready_kernels: usize,
    /// Environments whose images are kept in memory. Default: 32.
    pub environments: usize,
    /// Bytes that these images may take together; the one used last is kept in any case. Default: 1 GiB.
    pub environment_bytes: u64,
    /// Environments that have kernels ready to run, those used last. Default: 8.
    pub environment_pools: usize,
    /// Kernels kept ready for each of these. Default: 2.
    pub environment_ready_kernels: usize,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            ready_kernels: 16,
            environments: 32,
            environment_bytes: 1 << 30,
            environment_pools: 8,
            environment_ready_kernels: 2,
        }
    }
}

/// A failure of the host. What a guest does is never one: that is an outcome.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The system refused memory, mappings, threads or files.
    #[error("the system refused: {0}")]
    Io(#[from] io::Error),
    /// wasmtime failed in a way that no guest can cause.
    #[error("wasmtime: {0:#}")]
    Wasmtime(wasmtime::Error),
    /// The cache can't be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The interpreter did not come up.
    #[error("the interpreter did not start: {reason}")]
    Boot {
        /// What it said.
        reason: String,
    },
    /// A file can't be put into a kernel.
    #[error("the file {path:?} can't be put into the kernel: {reason}")]
    File {
        /// The path as given.
        path: String,
        /// Why not.
        reason: String,
    },
    /// A syntax check ran into a limit.
    #[error("the check ran into its limits")]
    Check,
    /// Something that holds by construction did not.
    #[error("broken invariant: {0}")]
    Broken(&'static str),
    /// The executor threads ended, or a task on them panicked.
    #[error("the task on the executor did not end: {0}")]
    Executor(String),
}

/// What is alive, for metrics and for tests that look for leaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxStats {
    /// Kernels with memory.
    pub kernels: usize,
    /// Kernels that wait in the pools.
    pub ready: usize,
    /// Environments whose images are in memory.
    pub environments: usize,
}

/// What code starts from.
pub enum StartPoint<'a> {
    /// The runtime alone.
    Boot,
    /// The runtime with its data packages imported.
    Warm(Warm<'a>),
    /// An environment.
    Environment(&'a EnvironmentBase),
}

/// The image with the data packages.
pub struct Warm<'a>(&'a Base);

impl StartPoint<'_> {
    /// The names of what states may go on from where code would start here, its own first. States of one name are of
    /// one image.
    pub fn names(&self) -> Vec<String> {
        const WARM: &str = "warm";
        match self {
            // More is imported there: that does no harm.
            Self::Boot => vec!["boot".to_owned(), WARM.to_owned()],
            // Not the other way round: what is imported here would be imported by a cell, which takes long.
            Self::Warm(_) => vec![WARM.to_owned()],
            Self::Environment(environment) => vec![environment.name()],
        }
    }
}

/// The sandbox. Cloning shares it.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

pub(super) struct Inner {
    pub machine: Arc<Machine>,
    files: RuntimeFiles,
    config: SandboxConfig,
    boot: Base,
    /// None where it could not be made: that is not tried again.
    warm: OnceCell<Option<Base>>,
    environments: Environments,
    foreign: rest::Foreign,
    /// How much is made at once that nobody waits for with a finger on the key: images, bytecode.
    background: Arc<Semaphore>,
    kernels: AtomicUsize,
}

impl Sandbox {
    /// Loads the runtime and boots the interpreter, or takes the image of an earlier boot from the cache.
    ///
    /// # Errors
    /// When a file is not what it should be, or the interpreter does not come up.
    pub async fn open(engine: Engine, files: &RuntimeFiles, config: SandboxConfig) -> Result<Self, SandboxError> {
        let (machine, runtime) = Machine::new(engine, files, config.threads)?;
        let machine = Arc::new(machine);
        let start = Checkpoint::of_image(Arc::new(runtime), start_files::file_system(files)?);
        let boot = make::image(&machine, &files.dir, Recipe::Boot, start).await?;
        Ok(Self(Arc::new(Inner {
            machine,
            files: files.clone(),
            boot: Base::new(boot, config.ready_kernels),
            warm: OnceCell::new(),
            environments: Environments::new(&config),
            foreign: rest::Foreign::default(),
            background: Arc::new(Semaphore::new(config.threads.max(1))),
            config,
            kernels: AtomicUsize::new(0),
        })))
    }

    /// A kernel that nothing has run in.
    ///
    /// # Errors
    /// When the system refuses memory.
    pub fn kernel(&self) -> Result<Kernel, SandboxError> {
        self.start(&self.0.boot)
    }

    /// What code starts from: the environment, where there is one; else, for code that may import the packages of the
    /// warm image, that one, where it fits into `limits`.
    ///
    /// The first such code on a machine has to wait for the warm image, about as long as the imports take.
    pub async fn start_point<'a>(
        &'a self,
        environment: Option<&'a EnvironmentBase>,
        code: &str,
        limits: &Limits,
    ) -> StartPoint<'a> {
        if let Some(environment) = environment {
            return StartPoint::Environment(environment);
        }
        if !make::wants_warm(code) {
            return StartPoint::Boot;
        }
        match self.warm().await {
            Some(warm) if warm.checkpoint.memory_bytes() as u64 + WARM_HEADROOM_BYTES <= limits.memory_bytes => {
                StartPoint::Warm(Warm(warm))
            }
            _ => StartPoint::Boot,
        }
    }

    /// A kernel that nothing has run in.
    ///
    /// # Errors
    /// When the system refuses memory.
    pub async fn kernel_at(&self, start: &StartPoint<'_>, limits: &Limits) -> Result<Kernel, SandboxError> {
        match start {
            StartPoint::Boot => self.kernel(),
            StartPoint::Warm(Warm(warm)) => self.start(warm),
            StartPoint::Environment(environment) => self.kernel_in(environment, limits).await,
        }
    }

    /// A kernel that nothing has run in, for this code: see [`Sandbox::start_point`].
    ///
    /// # Errors
    /// When the system refuses memory.
    pub async fn kernel_for(
        &self,
        environment: Option<&EnvironmentBase>,
        code: &str,
        limits: &Limits,
    ) -> Result<Kernel, SandboxError> {
        self.kernel_at(&self.start_point(environment, code, limits).await, limits).await
    }

    async fn warm(&self) -> Option<&Base> {
        let make = || async {
            let start = self.0.boot.checkpoint.clone();
            match make::image(&self.0.machine, &self.0.files.dir, Recipe::Warm, start).await {
                Ok(image) => Some(Base::new(image, self.0.config.ready_kernels)),
                Err(error) => {
                    tracing::warn!(%error, "there is no warm image: packages are imported by each kernel");
                    None
                }
            }
        };
        self.0.warm.get_or_init(make).await.as_ref()
    }

    fn start(&self, base: &Base) -> Result<Kernel, SandboxError> {
        let (slot, live) = base.take()?;
        Ok(self.adopt(slot, live, base.checkpoint.clone()))
    }

    /// As [`Sandbox::start`] with other files.
    fn start_with(&self, base: &Base, fs: Fs) -> Result<Kernel, SandboxError> {
        let mut kernel = self.start(base)?;
        kernel.set_files(fs);
        Ok(kernel)
    }

    /// Waits until there is room for work in the background. Not on a thread for blocking work: whoever waits there keeps
    /// it from all others.
    async fn background_turn(&self) -> Result<OwnedSemaphorePermit, SandboxError> {
        Arc::clone(&self.0.background)
            .acquire_owned()
            .await
            .map_err(|_| SandboxError::Broken("the background work is closed"))
    }

    /// A kernel in the state of a checkpoint: `fork` says that the kernel which left it goes on elsewhere, so that
    /// this one needs random numbers of its own.
    ///
    /// # Errors
    /// When the system refuses memory.
    pub fn restore(&self, checkpoint: &Checkpoint, fork: bool) -> Result<Kernel, SandboxError> {
        self.map(checkpoint.for_restore()?, fork)
    }

    fn map(&self, state: Checkpoint, fork: bool) -> Result<Kernel, SandboxError> {
        let mut slot = Slot::new(Arc::clone(&state.state().image))?;
        slot.restore(&state.state().delta, state.memory_bytes(), true)?;
        let state = if fork { state.forked() } else { state };
        Ok(self.adopt(Arc::new(slot), None, state))
    }

    /// A kernel that goes on from a checkpoint, whose own kernel does not: memory that is ready is used where there is
    /// some.
    ///
    /// # Errors
    /// When the system refuses memory.
    pub fn resume(&self, checkpoint: &Checkpoint) -> Result<Kernel, SandboxError> {
        if checkpoint.delta_pages() > RESUMED_PAGES {
            return self.map(checkpoint.for_resume()?, false);
        }
        let image = &checkpoint.state().image;
        let (slot, live) = match self.0.with_base(image, Base::take) {
            Some(taken) => taken?,
            None => (Arc::new(Slot::new(Arc::clone(image))?), None),
        };
        let start = Checkpoint::of_image(Arc::clone(image), checkpoint.state().fs.clone());
        let mut kernel = self.adopt(slot, live, start);
        kernel.go_to(checkpoint);
        Ok(kernel)
    }

    fn adopt(&self, slot: Arc<Slot>, live: Option<Live>, state: Checkpoint) -> Kernel {
        self.0.kernels.fetch_add(1, Ordering::AcqRel);
        Kernel::new(Arc::clone(&self.0), slot, live, state)
    }

    /// Makes kernels of the boot image ready until its pool is full.
    ///
    /// # Errors
    /// When the system refuses memory.
    pub fn fill_pool(&self) -> Result<(), SandboxError> {
        self.0.boot.fill(&self.0.machine)
    }

    /// Makes the warm image, if need be, and fills its pool.
    ///
    /// # Errors
    /// When the system refuses memory.
    pub async fn warm_up(&self) -> Result<(), SandboxError> {
        match self.warm().await {
            Some(warm) => warm.fill(&self.0.machine),
            None => Ok(()),
        }
    }

    /// What is alive now.
    pub fn stats(&self) -> SandboxStats {
        let (environments, ready) = self.0.environments.counts();
        SandboxStats {
            kernels: self.0.kernels.load(Ordering::Acquire),
            ready: self.0.boot.ready() + self.0.made_warm().map_or(0, Base::ready) + ready,
            environments,
        }
    }
}

impl Inner {
    fn made_warm(&self) -> Option<&Base> {
        self.warm.get().and_then(Option::as_ref)
    }

    /// Does something with the base of an image, where that is one.
    fn with_base<T>(&self, image: &Arc<Image>, work: impl FnOnce(&Base) -> T) -> Option<T> {
        let environment = self.environments.find(image);
        let environment = environment.as_ref().map(|found| &found.get().base);
        let mut bases = [Some(&self.boot), self.made_warm(), environment].into_iter().flatten();
        bases.find(|base| Arc::ptr_eq(image, base.image())).map(work)
    }

    /// Takes a kernel's memory back, to be used again where it is of an image with a pool.
    pub fn recycle(self: &Arc<Self>, slot: Arc<Slot>, live: Option<Live>) {
        let inner = Arc::clone(self);
        // Not on the caller's thread: the answer to the client does not wait for it.
        self.machine.later(move || {
            let image = Arc::clone(slot.image());
            if let Some(Err(error)) = inner.with_base(&image, |base| base.refill(&inner.machine, slot, live)) {
                tracing::warn!(%error, "a kernel's memory could not be used again");
            }
            inner.kernels.fetch_sub(1, Ordering::AcqRel);
        });
    }
}
