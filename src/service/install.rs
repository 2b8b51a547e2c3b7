//! From requirements to wheels in the cache, with their bytecode: what environments are made of. No database here.
//!
//! ```text
//! requirements -> resolve (index) -> lockfile -> fetch (index -> wheel cache) -> compile (sandbox) -> wheels
//! ```

mod error;
mod fetch;
mod set;
mod size;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::stream::{self, StreamExt as _};
use pep440_rs::Version;
use pep508_rs::PackageName;
use tokio::sync::Semaphore;
use url::Url;

pub use error::InstallError;
pub(super) use error::is_ours;
pub use set::{PackageSet, is_module};
pub(super) use size::{check_count, check_packed, check_unpacked};

use super::{Service, ServiceError, off_the_server_threads};
use crate::backend::wasm::runtime::manifest::Manifest;
use crate::backend::wasm::{EnvironmentBase, Sandbox};
use crate::domain::{InstallEvent, Limits, Lockfile};
use crate::packages::cache::{CachedWheel, WheelCache};
use crate::packages::generation::load;
use crate::packages::index::{Index, IndexConfig};
use crate::packages::resolver::{Request, Resolution, ResolveError, resolve};
use crate::packages::target::Target;
use crate::packages::wheel::WheelRules;

/// Top-level names of the standard library, one a line. A test compares them with what the runtime says.
const STDLIB_NAMES: &str = include_str!("../../runtime/stdlib-names.txt");
/// Top-level names of our own Python side.
const OWN_NAMES: [&str; 3] = ["pymd", "IPython", "_host"];
/// What compiling some 512 KiB of source to bytecode may use.
const COMPILE_FUEL: u64 = 120_000_000_000;
const COMPILE_WALL_MS: u64 = 60_000;

/// Wheels that are compiled at once; the sandbox sees to it that they do not take more than the machine has.
const COMPILED_AT_ONCE: usize = 8;

/// Hears how far an installation is.
pub type InstallEvents<'a> = dyn Fn(InstallEvent) + Send + Sync + 'a;

/// Where packages come from and where they lie.
#[derive(Debug, Clone)]
pub struct InstallConfig {
    /// Simple APIs of package indexes; the first that knows a project is asked for it.
    pub index_urls: Vec<Url>,
    /// Servers, as `host` or `host:port`, that may lie in a private network besides the indexes themselves.
    pub trusted_hosts: Vec<String>,
    /// The cache directory.
    pub cache_dir: PathBuf,
}

/// Installs packages into the cache. Cloning shares it.
#[derive(Clone)]
pub struct Installer(Arc<Inner>);

struct Inner {
    index: Index,
    wheels: WheelCache,
    target: Target,
    python_version: String,
    runtime_key: String,
    /// Held by each wheel that is being compiled, whoever wants it.
    compiling: Semaphore,
}

impl Installer {
    /// An installer for the runtime of this program; nothing is asked yet.
    ///
    /// # Errors
    /// An index's address is not one, or the cache directory cannot be used.
    pub fn open(config: InstallConfig) -> Result<Self, InstallError> {
        let manifest = Manifest::embedded().map_err(|error| InstallError::Broken { reason: error.to_string() })?;
        let python_version = manifest.runtime.python_version.clone();
        let linked = manifest.distributions.iter().map(|(name, version)| (name.as_str(), version.as_str()));
        let target = Target::sandbox(&python_version, linked)
            .map_err(|error| InstallError::Broken { reason: error.to_string() })?;
        let own = OWN_NAMES.into_iter().chain(STDLIB_NAMES.lines());
        let rules = WheelRules { forbidden_top_levels: own.map(str::to_owned).collect(), ..WheelRules::default() };
        let wheels = WheelCache::open(&config.cache_dir, rules)?;
        let index = IndexConfig {
            trusted_hosts: config.trusted_hosts,
            ..IndexConfig::new(config.index_urls, config.cache_dir)
        };
        // Bytecode is for a Python, whatever is linked into it.
        let runtime_key = format!("cpython-{python_version}");
        let index = Index::new(index)?;
        let compiling = Semaphore::new(COMPILED_AT_ONCE);
        Ok(Self(Arc::new(Inner { index, wheels, target, python_version, runtime_key, compiling })))
    }

    /// The platform that packages are chosen for.
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// The Python of the runtime: `3.15.0`.
    pub fn python_version(&self) -> &str {
        &self.0.python_version
    }

    /// The wheels that are there.
    pub fn wheels(&self) -> &WheelCache {
        &self.0.wheels
    }

    /// Which bytecode goes with the runtime.
    pub fn runtime_key(&self) -> &str {
        &self.0.runtime_key
    }

    /// Finds versions that go together.
    ///
    /// # Errors
    /// There are none, or the index does not answer.
    pub async fn resolve(&self, request: Request) -> Result<Resolution, ResolveError> {
        resolve(&self.0.index, request).await
    }

    /// Compiles the wheels that have no bytecode for the runtime yet.
    ///
    /// # Errors
    /// A failure of ours: modules that can't be compiled are run from their source.
    pub async fn compile(
        &self,
        sandbox: &Sandbox,
        wheels: &[CachedWheel],
        events: &InstallEvents<'_>,
    ) -> Result<(), InstallError> {
        let missing: Vec<_> =
            wheels.iter().filter(|wheel| wheel.bytecode_dir(&self.0.runtime_key).is_none()).cloned().collect();
        let total = u64::try_from(missing.len()).unwrap_or(u64::MAX);
        let mut done = 0;
        let work = missing.into_iter().map(|wheel| self.compile_one(sandbox.clone(), wheel).boxed());
        let mut work = stream::iter(work.collect::<Vec<_>>()).buffer_unordered(COMPILED_AT_ONCE);
        while done < total {
            events(InstallEvent::Compile { done, total });
            work.next().await.transpose()?;
            done += 1;
        }
        if total > 0 {
            events(InstallEvent::Compile { done: total, total });
        }
        Ok(())
    }

    async fn compile_one(&self, sandbox: Sandbox, wheel: CachedWheel) -> Result<(), InstallError> {
        let _turn = self.0.compiling.acquire().await;
        let (key, runtime) = (self.0.runtime_key.clone(), tokio::runtime::Handle::current());
        let limits = Limits { fuel: COMPILE_FUEL, wall_ms: COMPILE_WALL_MS, ..Limits::default() };
        let compiled = tokio::task::spawn_blocking(move || {
            wheel.store_bytecode(&key, |target| {
                let compiled = runtime.block_on(sandbox.compile_bytecode(&wheel.files(), target, &limits))?;
                for skipped in &compiled.skipped {
                    tracing::debug!(
                        wheel = wheel.info().filename,
                        path = skipped.path,
                        reason = skipped.reason,
                        "not compiled"
                    );
                }
                Ok::<_, InstallError>(())
            })
        });
        compiled.await.map_err(|error| InstallError::Broken { reason: error.to_string() })?.map(drop)
    }

    /// What runs with the wheels in a directory start from: one of an environment, or one that was made by hand. Nothing is
    /// imported beforehand.
    ///
    /// # Errors
    /// The directory can't be read, or a wheel in it is refused.
    pub async fn directory(&self, service: &Service, dir: PathBuf) -> Result<EnvironmentBase, ServiceError> {
        let (wheels, python) = (self.wheels().clone(), self.0.python_version.clone());
        let loaded = off_the_server_threads(move || load(&dir, &wheels, &python)).await?;
        let loaded = loaded.map_err(InstallError::from)?;
        let sandbox = service.sandbox()?;
        self.compile(sandbox, &loaded.wheels, &|_| {}).await?;
        let set = PackageSet::new("", &loaded.lockfile, loaded.wheels, (&[], &[]), &self.0.runtime_key);
        Ok(sandbox.environment(set.spec()).await?)
    }

    /// The versions in a lockfile, as what a later resolution keeps.
    pub fn preferred(lock: &Lockfile) -> BTreeMap<PackageName, Version> {
        let read =
            |name: &str, version: &str| Some((PackageName::from_str(name).ok()?, Version::from_str(version).ok()?));
        lock.packages.iter().filter_map(|package| read(&package.name, &package.version)).collect()
    }
}
