//! Environments: kernels that find packages of the user's choice, imported already.
//!
//! An environment comes as plain data, an ordered list of directories, which kernels see merged at [`SITE_PACKAGES`].
//! Its image is made once: the packages are imported in a kernel, one after another, and what can't be imported is left
//! out and reported. Nothing of it is ever run outside the sandbox, and `.pth` files are not run at all.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::base::Base;
use super::environments::Key;
use super::stored::{entry_name, find, stored};
use super::{Sandbox, SandboxError, make, warming};
use crate::backend::wasm::checkpoint::Checkpoint;
use crate::backend::wasm::guest::Work;
use crate::backend::wasm::kernel::{Keep, Kernel};
use crate::backend::wasm::memory::Image;
use crate::backend::wasm::runtime::cache::{Evicted, evict};
use crate::backend::wasm::vfs::{Errno, Fs, LowerTree};
use crate::domain::{Limits, Outcome, WarmReport};

/// Where a kernel sees the packages of its environment.
pub const SITE_PACKAGES: &str = "/usr/local/lib/python3.15/site-packages";
/// The directory of environments' images, beside those of the runtime.
const IMAGES: &str = "environments";
/// Memory that a kernel of an environment should have beside what is imported.
const HEADROOM_BYTES: u64 = 16 << 20;

/// What an environment is made of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// Stands for what the directories hold, such as a digest of the set of wheels: environments of one key are one.
    pub key: String,
    /// The directories that are merged; of two files of one path, the one of the earlier directory is seen. They stay,
    /// and what is in them stays as it is, as long as there are kernels of the environment.
    pub layers: Vec<PathBuf>,
    /// The modules that are imported ahead, in this order: the environment's own, or those linked into the runtime.
    pub imports: Vec<String>,
    /// What importing them may use.
    pub limits: WarmLimits,
}

/// What importing an environment's modules ahead may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmLimits {
    /// Of each import. Default: 60 x 10^9 units of fuel, 20 s, 384 MiB, which is the memory of all of them together.
    pub each: Limits,
    /// Fuel of all imports together. Default: 300 x 10^9.
    pub total_fuel: u64,
    /// Wall-clock milliseconds of all imports together. Default: 120,000.
    pub total_wall_ms: u64,
}

impl Default for WarmLimits {
    fn default() -> Self {
        let each = Limits {
            fuel: 60_000_000_000,
            memory_bytes: 384 << 20,
            wall_ms: 20_000,
            output_bytes: 1 << 20,
            disk_bytes: 16 << 20,
            ..Limits::default()
        };
        Self { each, total_fuel: 300_000_000_000, total_wall_ms: 120_000 }
    }
}

/// An environment that is ready for kernels. Cloning shares it; it stays whole as long as somebody has it.
#[derive(Clone)]
pub struct EnvironmentBase(Arc<Environment>);

pub(super) struct Environment {
    pub key: Key,
    pub base: Base,
    /// The files of a kernel without the image.
    cold: Fs,
    report: WarmReport,
}

impl EnvironmentBase {
    /// Which modules its kernels find imported.
    pub fn report(&self) -> &WarmReport {
        &self.0.report
    }

    /// Bytes of memory that its kernels start with.
    pub fn image_bytes(&self) -> u64 {
        self.0.base.checkpoint.memory_bytes() as u64
    }

    /// Names it and its directories: environments of one name are one.
    pub fn name(&self) -> String {
        let Key { name, layers } = &self.0.key;
        let mut hasher = blake3::Hasher::new();
        for layer in layers {
            hasher.update(layer.as_os_str().as_encoded_bytes());
            hasher.update(b"\0");
        }
        format!("{name} {}", hasher.finalize().to_hex())
    }

    /// Whether kernels with these limits start in its image.
    pub(super) fn fits(&self, limits: &Limits) -> bool {
        self.image_bytes().saturating_add(HEADROOM_BYTES) <= limits.memory_bytes
    }

    /// The files of kernels that do not.
    pub(super) fn cold_files(&self) -> &Fs {
        &self.0.cold
    }

    pub(super) fn get(&self) -> &Environment {
        &self.0
    }
}

impl fmt::Debug for EnvironmentBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvironmentBase").field("name", &self.0.key.name).field("report", &self.0.report).finish()
    }
}

impl PartialEq for EnvironmentBase {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for EnvironmentBase {}

impl Sandbox {
    /// The environment as it is in memory, or with its image from the cache, or with one that is made now: that takes
    /// as long as the imports do.
    ///
    /// # Errors
    /// A directory can't be read, or a failure of the host. That modules can't be imported is in the report.
    pub async fn environment(&self, spec: &EnvironmentSpec) -> Result<EnvironmentBase, SandboxError> {
        let limits = serde_json::to_string(&spec.limits).map_err(|_| SandboxError::Broken("limits are no JSON"))?;
        let parts = [make::WARM, &spec.key, &limits].into_iter().chain(spec.imports.iter().map(String::as_str));
        let key = Key { name: entry_name("env", parts), layers: spec.layers.clone() };
        let cell = self.0.environments.cell(&key);
        let made = cell.get_or_try_init(|| self.make_environment(spec, key)).await.cloned();
        drop(cell);
        self.0.environments.settle();
        if let Ok(base) = &made {
            let (base, sandbox) = (base.clone(), Arc::downgrade(&self.0));
            self.0.machine.later(move || {
                if let Some(inner) = sandbox.upgrade()
                    && let Err(error) = base.get().base.fill(&inner.machine)
                {
                    tracing::warn!(%error, "the pool of an environment is not full");
                }
            });
        }
        made
    }

    async fn make_environment(&self, spec: &EnvironmentSpec, key: Key) -> Result<EnvironmentBase, SandboxError> {
        let layers = spec.layers.clone();
        let tree = tokio::task::spawn_blocking(move || LowerTree::from_paths(layers)).await;
        let tree = Arc::new(tree.map_err(|error| SandboxError::Executor(error.to_string()))??);
        let fs = with_packages(&self.0.boot.checkpoint.state().fs, &tree)?;
        let (sandbox, spec, cold) = (self.clone(), spec.clone(), fs.clone());
        let images = self.0.files.dir.join(IMAGES);
        let (image, report) = match find(images.clone(), key.name.clone()).await? {
            Some(found) => found,
            None => {
                let turn = self.background_turn().await?;
                let make = move |runtime: &Handle| {
                    let _turn = &turn;
                    runtime.block_on(warming::image(&sandbox, &spec, &cold))
                };
                stored(images, key.name.clone(), make).await?
            }
        };
        let base = Base::new(Checkpoint::of_image(Arc::new(image), fs.clone()), 0);
        Ok(EnvironmentBase(Arc::new(Environment { key, base, cold: fs, report })))
    }

    /// A kernel of an environment that nothing has run in. Where the image does not fit into `limits`, its packages
    /// are there and nothing is imported.
    pub(super) async fn kernel_in(
        &self,
        environment: &EnvironmentBase,
        limits: &Limits,
    ) -> Result<Kernel, SandboxError> {
        self.0.environments.touch(environment);
        if environment.fits(limits) {
            return self.start(&environment.0.base);
        }
        let kernel = self.start_with(&self.0.boot, environment.0.cold.clone())?;
        let limits = Limits { memory_bytes: limits.memory_bytes, ..Limits::default() };
        enter(kernel, limits).await.map_err(|outcome| outcome.into())
    }

    /// Removes images of environments from the cache that were not used for `max_age`, and those for which there is no
    /// room in `max_bytes` of disk beside others that were used later. Blocks. Environments in memory are not touched.
    ///
    /// # Errors
    /// The cache can't be read.
    pub fn evict_images(&self, max_bytes: u64, max_age: Duration) -> Result<Evicted, SandboxError> {
        Ok(evict(&self.0.files.dir.join(IMAGES), max_bytes, max_age)?)
    }
}

/// The packages could not be put on a kernel's path.
pub(super) enum EnterError {
    Sandbox(SandboxError),
    Outcome(Outcome),
}

impl From<EnterError> for SandboxError {
    fn from(error: EnterError) -> Self {
        match error {
            EnterError::Sandbox(error) => error,
            EnterError::Outcome(outcome) => Self::Boot { reason: outcome.sentence().unwrap_or_default() },
        }
    }
}

/// Puts the packages on the kernel's path.
pub(super) async fn enter(kernel: Kernel, limits: Limits) -> Result<Kernel, EnterError> {
    let work = Work::Enter { site: SITE_PACKAGES };
    let (kernel, report) = kernel.do_work(work, limits, Keep::Setup).await.map_err(EnterError::Sandbox)?;
    match report.outcome {
        Outcome::Completed => Ok(kernel),
        outcome => Err(EnterError::Outcome(outcome)),
    }
}

/// Files with packages among them.
pub(super) fn with_packages(fs: &Fs, tree: &Arc<LowerTree>) -> Result<Fs, SandboxError> {
    let mut fs = fs.clone();
    let broken = |error: Errno| SandboxError::Boot { reason: format!("its packages: {error}") };
    fs.mount_dir(SITE_PACKAGES, Arc::clone(tree)).map_err(broken)?;
    Ok(fs)
}

/// What [`warming`] makes.
pub(super) type Warmed = (Image, WarmReport);
