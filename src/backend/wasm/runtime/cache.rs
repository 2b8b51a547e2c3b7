//! Directories that are built once, checked on every use, and shared by processes.
//!
//! An entry is a directory of plain files with a receipt (sizes and digests). It is built in a staging directory next
//! to its place, made durable, and renamed into it: an entry is whole or not there. A lock file per entry lets one
//! process build while the others wait. Entries hold native code and raw memory, so nobody else may write them.

use std::fs::{self, DirBuilder, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use super::evict::{Evicted, evict};
pub use super::receipt::Damage;
use super::receipt::{self, sync_dir};

const STAGING: &str = ".staging.";

/// Numbers the staging directories of this process.
static STAGED: AtomicU64 = AtomicU64::new(0);

/// A cache directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The file system refused something.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The cache must be a directory.
    #[error("`{}` is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory is another user's.
    #[error("the cache directory `{}` belongs to user {owner}, not to user {user}", path.display())]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// User id of its owner.
        owner: u32,
        /// User id of this process.
        user: u32,
    },
    /// Other users could put code into the directory.
    #[error("the cache directory `{}` can be written by others (mode {mode:03o})", path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// An entry's name would be a path or a hidden file.
    #[error("`{name}` is no name for a cache entry")]
    BadName {
        /// The name.
        name: String,
    },
    /// A builder left something that is not a plain file.
    #[error("`{}` is not a plain file and cannot be cached", path.display())]
    NotSealable {
        /// The path.
        path: PathBuf,
    },
}

impl CacheError {
    /// Wraps an I/O error with what was tried on which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Writable { path, .. } => Some(format!("it holds native code: run `chmod go-w '{}'`", path.display())),
            Self::ForeignOwner { .. } | Self::NotADirectory { .. } => {
                Some("choose another one with --cache-dir or PYMD_CACHE_DIR".to_owned())
            }
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("a runtime needs some 700 MB of cache; choose another place with --cache-dir".to_owned())
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some("choose a writable place with --cache-dir or PYMD_CACHE_DIR".to_owned())
                }
                _ => None,
            },
            Self::BadName { .. } | Self::NotSealable { .. } => None,
        }
    }
}

/// A cache entry that was checked, or built just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// The directory with its files.
    pub dir: PathBuf,
    /// What its builder returned when it was built.
    pub meta: T,
}

/// The entry `name` of the directory `parent` (made if need be): checked if it is there and whole, else built.
///
/// `build` gets an empty private directory on the same file system, puts plain files into it and returns what is to be
/// kept with them. It runs in one process at a time; another that comes meanwhile calls `waiting` and blocks until it
/// can use the entry. What crashed builders left behind is removed. An entry that was changed in any way is replaced.
///
/// # Errors
/// `parent` cannot be used, or others can write it; whatever `build` returns.
pub fn ensure_dir<T, E>(
    parent: &Path,
    name: &str,
    waiting: &dyn Fn(),
    build: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<Entry<T>, E>
where
    T: Serialize + DeserializeOwned,
    E: From<CacheError>,
{
    check_name(name)?;
    private_dir(parent)?;
    let dir = parent.join(name);
    if let Some(meta) = usable(&dir) {
        return Ok(Entry { dir, meta });
    }
    let _lock = lock(parent, name, waiting)?;
    if let Some(meta) = usable(&dir) {
        return Ok(Entry { dir, meta });
    }
    sweep(parent, name);
    let staging = Staging::create(parent, name)?;
    let meta = build(&staging.path)?;
    receipt::seal(&staging.path, &meta)?;
    publish(parent, name, &staging)?;
    Ok(Entry { dir, meta })
}

/// The directory `name` in `parent`, if it is there and whole.
///
/// # Errors
/// The name is none.
pub fn find_dir<T: DeserializeOwned>(parent: &Path, name: &str) -> Result<Option<Entry<T>>, CacheError> {
    check_name(name)?;
    let dir = parent.join(name);
    Ok(usable(&dir).map(|meta| Entry { dir, meta }))
}

/// A single cached file: [`ensure_dir`] with one file in it, which `build` writes to the path that it gets. Returns
/// the file's path, `<dir>/<name>/<name>`.
///
/// # Errors
/// As [`ensure_dir`].
pub fn ensure_file<E>(dir: &Path, name: &str, build: impl FnOnce(&Path) -> Result<(), E>) -> Result<PathBuf, E>
where
    E: From<CacheError>,
{
    let entry = ensure_dir(dir, name, &|| tracing::info!(name, "waiting for another process"), |staging| {
        build(&staging.join(name))
    })?;
    Ok(entry.dir.join(name))
}

/// Makes `path` a directory of ours (with its parents, all private) if it is not there, and checks that nobody else
/// can write it. One that belongs to the superuser will do: it can be read.
///
/// # Errors
/// It cannot be made, is no directory, is another user's, or others can write it.
pub fn private_dir(path: &Path) -> Result<(), CacheError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(CacheError::io("create", path))?;
    let metadata = fs::metadata(path).map_err(CacheError::io("inspect", path))?;
    if !metadata.is_dir() {
        return Err(CacheError::NotADirectory { path: path.to_owned() });
    }
    if !owned(&metadata) {
        let user = rustix::process::geteuid().as_raw();
        return Err(CacheError::ForeignOwner { path: path.to_owned(), owner: metadata.uid(), user });
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(CacheError::Writable { path: path.to_owned(), mode: metadata.mode() & 0o777 });
    }
    Ok(())
}

/// Whether a file is this user's or the superuser's.
pub(super) fn owned(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() || metadata.uid() == 0
}

/// Checks the entry at `dir`: every byte of its files.
///
/// # Errors
/// What is wrong with it.
pub fn verify<T: DeserializeOwned>(dir: &Path) -> Result<T, Damage> {
    let metadata = match fs::symlink_metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Damage::Missing),
        other => other.map_err(|source| Damage::Unreadable { file: ".".to_owned(), source })?,
    };
    if !metadata.is_dir() || !owned(&metadata) || metadata.mode() & 0o022 != 0 {
        return Err(Damage::Permissions { file: ".".to_owned() });
    }
    receipt::verify(dir)
}

fn usable<T: DeserializeOwned>(dir: &Path) -> Option<T> {
    match verify(dir) {
        Ok(meta) => Some(meta),
        Err(Damage::Missing) => None,
        Err(damage) => {
            tracing::warn!(dir = %dir.display(), %damage, "a cache entry is damaged and is built anew");
            None
        }
    }
}

fn check_name(name: &str) -> Result<(), CacheError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    // Names become lock and staging names too, so they must stay clear of NAME_MAX.
    if name.is_empty() || name.len() > 128 || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(CacheError::BadName { name: name.to_owned() });
    }
    Ok(())
}

pub(super) fn lock_file(parent: &Path, name: &str) -> Result<(PathBuf, File), CacheError> {
    let path = parent.join(format!(".{name}.lock"));
    let opened = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.map_err(CacheError::io("lock", &path))?;
    Ok((path, file))
}

/// Takes the entry's lock. The system lets go of it when the file is closed, also by a crash.
fn lock(parent: &Path, name: &str, waiting: &dyn Fn()) -> Result<File, CacheError> {
    let (path, file) = lock_file(parent, name)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            waiting();
            file.lock().map_err(CacheError::io("lock", &path))?;
            Ok(file)
        }
        Err(TryLockError::Error(source)) => Err(CacheError::Io { action: "lock", path, source }),
    }
}

/// Removes staging directories whose builder is dead: nobody holds their entry's lock (`own` is ours). Best effort.
fn sweep(parent: &Path, own: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let Some((name, _)) =
            file_name.to_str().and_then(|name| name.strip_prefix(STAGING)).and_then(|rest| rest.rsplit_once('.'))
        else {
            continue;
        };
        let lock = if name == own { None } else { lock_file(parent, name).ok() };
        let dead = name == own || lock.as_ref().is_some_and(|(_, file)| file.try_lock().is_ok());
        if dead && let Err(error) = remove(&entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove a dead builder's files");
        }
    }
}

/// Removes a directory with all in it, or whatever else a stranger put in its place.
fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// A directory being built; removed when dropped, unless it was renamed.
pub(super) struct Staging {
    path: PathBuf,
}

impl Staging {
    fn create(parent: &Path, name: &str) -> Result<Self, CacheError> {
        let path = Self::unique(parent, name);
        DirBuilder::new().mode(0o700).create(&path).map_err(CacheError::io("create", &path))?;
        Ok(Self { path })
    }

    /// A path that no other staging directory has: names of dead processes were swept, and the lock is ours.
    fn unique(parent: &Path, name: &str) -> PathBuf {
        let number = STAGED.fetch_add(1, Ordering::Relaxed);
        parent.join(format!("{STAGING}{name}.{}-{number}", std::process::id()))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a staging directory");
        }
    }
}

/// Takes the entry `name` away, all of it at once for whoever looks. Its files go when the answer is dropped; where the
/// process dies before that, with the next builder's sweep.
pub(super) fn take_away(parent: &Path, name: &str) -> Result<Staging, CacheError> {
    let dir = parent.join(name);
    let old = Staging { path: Staging::unique(parent, name) };
    match fs::rename(&dir, &old.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other.map_err(CacheError::io("replace", &dir))?,
    }
    Ok(old)
}

/// Puts a finished staging directory in its place. A damaged entry there is moved out of the way: processes that have
/// its files mapped keep them.
fn publish(parent: &Path, name: &str, staging: &Staging) -> Result<(), CacheError> {
    let dir = parent.join(name);
    let _old = take_away(parent, name)?;
    fs::rename(&staging.path, &dir).and_then(|()| sync_dir(parent)).map_err(CacheError::io("write", &dir))
}
