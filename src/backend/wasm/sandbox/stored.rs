//! Images that are kept on disk: named by all that they depend on, made once, checked whenever they are read.

use std::fs::{File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::make::BOOT;
use super::{SandboxError, guest_files};
use crate::backend::wasm::machine::VARIABLES;
use crate::backend::wasm::memory::{Image, ImageFile};
use crate::backend::wasm::runtime::cache::{self, Entry};

/// The name of the memory's file in an image's cache entry.
const MEMORY_FILE: &str = "memory.image";
/// Goes into the key of cached images: raise it when what is stored, or the files that kernels start with, change.
const FORMAT: u32 = 3;
/// Hex digits of a digest that name a cache entry.
const KEY_DIGITS: usize = 20;
/// An entry may be removed between being checked and being read, as often as that.
const ATTEMPTS: usize = 3;

/// What is kept of an image beside its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept<N> {
    memory: ImageFile,
    note: N,
}

/// The digest of what all images of a runtime depend on.
static COMMON: LazyLock<blake3::Hash> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    let variables = VARIABLES.iter().flat_map(|(name, value)| [*name, *value]);
    let files = guest_files::FILES.iter().flat_map(|(path, content)| [*path, *content]);
    for part in [BOOT].into_iter().chain(variables).chain(files) {
        feed(&mut hasher, part);
    }
    hasher.update(&FORMAT.to_le_bytes());
    hasher.finalize()
});

fn feed(hasher: &mut blake3::Hasher, part: &str) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part.as_bytes());
}

/// The name of the entry of an image that depends on `parts` and on the Python side. The runtime is the directory's.
pub(super) fn entry_name<'a>(kind: &str, parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(COMMON.as_bytes());
    for part in parts {
        feed(&mut hasher, part);
    }
    let digest = hasher.finalize().to_hex();
    format!("{kind}-{}", &digest[..KEY_DIGITS])
}

/// The image in the entry `name` below `parent`, and what was noted when it was made; made now where it is not there.
pub(super) async fn stored<N: Serialize + DeserializeOwned + Send + 'static>(
    parent: PathBuf,
    name: String,
    make: impl Fn(&Handle) -> Result<(Image, N), SandboxError> + Send + 'static,
) -> Result<(Image, N), SandboxError> {
    let runtime = Handle::current();
    let blocking = tokio::task::spawn_blocking(move || {
        for _ in 1..ATTEMPTS {
            if let Some(image) = read(ensure(&parent, &name, || make(&runtime))?)? {
                return Ok(image);
            }
        }
        read(ensure(&parent, &name, || make(&runtime))?)?.ok_or(SandboxError::Broken("images are removed at once"))
    });
    blocking.await.map_err(|error| SandboxError::Executor(error.to_string()))?
}

/// The image in the entry `name` below `parent`, and what was noted when it was made, where it is there.
pub(super) async fn find<N: DeserializeOwned + Send + 'static>(
    parent: PathBuf,
    name: String,
) -> Result<Option<(Image, N)>, SandboxError> {
    let blocking = tokio::task::spawn_blocking(move || match cache::find_dir(&parent, &name)? {
        Some(entry) => read(entry),
        None => Ok(None),
    });
    blocking.await.map_err(|error| SandboxError::Executor(error.to_string()))?
}

/// The image in an entry, unless that was removed meanwhile.
fn read<N>(entry: Entry<Kept<N>>) -> Result<Option<(Image, N)>, SandboxError> {
    let Entry { dir, meta: Kept { memory: ImageFile { len, globals }, note } } = entry;
    let len = usize::try_from(len).map_err(|_| SandboxError::Broken("an image is larger than memory"))?;
    match File::open(dir.join(MEMORY_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => {
            let image = Image::read(&file?, len, globals)?;
            mark_used(&dir);
            Ok(Some((image, note)))
        }
    }
}

fn ensure<N: Serialize + DeserializeOwned>(
    parent: &Path,
    name: &str,
    make: impl FnOnce() -> Result<(Image, N), SandboxError>,
) -> Result<Entry<Kept<N>>, SandboxError> {
    let waiting = || tracing::info!(name, "waiting for another process to make an image");
    cache::ensure_dir(parent, name, &waiting, |staging| {
        let (image, note) = make()?;
        image.write_to(&File::create_new(staging.join(MEMORY_FILE))?)?;
        let memory = ImageFile { len: image.byte_len() as u64, globals: image.globals.clone() };
        Ok(Kept { memory, note })
    })
}

/// Eviction goes by the time of the last use. Where that can't be written, it goes by the time of making.
fn mark_used(dir: &Path) {
    let times = FileTimes::new().set_modified(SystemTime::now());
    if let Err(error) = File::open(dir).and_then(|dir| dir.set_times(times)) {
        tracing::debug!(%error, "the time of an image's use could not be noted");
    }
}
