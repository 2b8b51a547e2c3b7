//! A wheel of the cache, in use.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::super::disk::{self, DiskError, Staging};
use super::super::wheel::{UnpackedWheel, WheelError, WheelInfo};
use super::super::wheel_name::WheelName;
use super::error::CacheError;
use super::{Shared, seal};

const SCHEMA: u32 = 1;
const MAX_RECEIPT_BYTES: u64 = 64 << 20;
/// Last uses are noted no more exactly than this, to spare the disk.
const USE_GRAIN: Duration = Duration::from_secs(60);

pub(super) const ARCHIVE: &str = "archive.whl";
pub(super) const FILES: &str = "files";
pub(super) const RECEIPT: &str = "wheel.json";
pub(super) const LOCK: &str = "lock";

/// A verified, unpacked wheel of the cache. While it or a clone lives, no process removes the wheel.
#[derive(Debug, Clone)]
pub struct CachedWheel(pub(super) Arc<Wheel>);

impl CachedWheel {
    /// SHA-256 of its archive in lower-case hex.
    pub fn sha256(&self) -> &str {
        &self.0.sha256
    }

    /// What it holds.
    pub fn info(&self) -> &WheelInfo {
        &self.0.receipt.info
    }

    /// The wheel as a file.
    pub fn archive(&self) -> PathBuf {
        self.0.dir.join(ARCHIVE)
    }

    /// The directory of what it brings to `site-packages`.
    pub fn files(&self) -> PathBuf {
        self.0.dir.join(FILES)
    }

    /// Itself, if it may come under this name: one wheel may have several, of one project and version.
    pub(super) fn named(self, filename: &str, name: &WheelName) -> Result<Self, CacheError> {
        let info = self.info();
        if info.is_of(name.name.as_ref(), &name.version) {
            return Ok(self);
        }
        let (name, version) = (info.name.clone(), info.version.clone());
        Err(CacheError::OtherName { filename: filename.to_owned(), name, version })
    }
}

#[derive(Debug)]
pub(super) struct Wheel {
    pub(super) shared: Arc<Shared>,
    pub(super) sha256: String,
    pub(super) dir: PathBuf,
    receipt: Receipt,
    lease: File,
}

/// `wheel.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Receipt {
    schema: u32,
    pub(super) info: WheelInfo,
    files_digest: String,
}

impl Receipt {
    /// Reads the receipt of the entry `dir`; nothing if there is none that makes sense.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, DiskError> {
        let path = dir.join(RECEIPT);
        let mut text = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAX_RECEIPT_BYTES).read_to_end(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(DiskError::at("read", &path))?,
        };
        Ok(serde_json::from_slice(&text).ok().filter(|receipt: &Self| receipt.schema == SCHEMA))
    }
}

impl Wheel {
    /// Opens an entry. One that is damaged is removed, and so is not there.
    pub(super) fn open(shared: &Arc<Shared>, sha256: &str) -> Result<Option<Self>, CacheError> {
        let dir = shared.entry(sha256);
        let lease = match lease(&dir)? {
            Found::Entry(lease) => lease,
            Found::Nothing => return Ok(None),
            Found::Remains => {
                discard_if(shared, &dir, || !dir.join(LOCK).exists())?;
                return Ok(None);
            }
        };
        let Some(receipt) = whole(shared, &dir)? else {
            tracing::warn!(dir = %dir.display(), "a wheel of the cache is damaged and is made anew");
            drop(lease);
            discard_if(shared, &dir, || matches!(whole(shared, &dir), Ok(None)))?;
            return Ok(None);
        };
        let wheel = Self { shared: shared.clone(), sha256: sha256.to_owned(), dir, receipt, lease };
        wheel.touch();
        Ok(Some(wheel))
    }

    /// Notes that it is used now. Best effort: the cache may be read-only.
    pub(super) fn touch(&self) {
        let now = SystemTime::now();
        let noted = self.lease.metadata().and_then(|metadata| metadata.modified());
        if noted.is_ok_and(|noted| now.duration_since(noted).is_ok_and(|age| age >= USE_GRAIN))
            && let Err(error) = self.lease.set_modified(now)
        {
            tracing::debug!(dir = %self.dir.display(), %error, "cannot note a wheel's use");
        }
    }
}

/// What is found where an entry should be.
enum Found {
    /// It, with a shared lock on it.
    Entry(File),
    /// Nothing, or what somebody is removing.
    Nothing,
    /// A directory that is no entry.
    Remains,
}

fn lease(dir: &Path) -> Result<Found, DiskError> {
    let path = dir.join(LOCK);
    let lock = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(if dir.exists() { Found::Remains } else { Found::Nothing });
        }
        other => other.map_err(DiskError::at("lock", &path))?,
    };
    match lock.try_lock_shared() {
        Ok(()) if is_at(&lock, &path) => Ok(Found::Entry(lock)),
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(Found::Nothing),
        Err(TryLockError::Error(error)) => Err(DiskError::at("lock", &path)(error)),
    }
}

/// Whether this open file still is the one at `path`: else it was taken away between its opening and its locking.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

/// Removes an entry unless somebody uses it or it is not as `goes` wants it, which is asked while nobody else can use
/// it. Says whether it did.
pub(super) fn discard_if(shared: &Shared, dir: &Path, goes: impl FnOnce() -> bool) -> Result<bool, DiskError> {
    let path = dir.join(LOCK);
    let lock = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => Some(other.map_err(DiskError::at("lock", &path))?),
    };
    // Without a lock nobody can be using it.
    let is_ours = lock.as_ref().is_none_or(|lock| lock.try_lock().is_ok() && is_at(lock, &path));
    if !is_ours || !goes() {
        return Ok(false);
    }
    shared.steps.reach("discard", dir)?;
    shared.staging.discard(dir)?;
    Ok(true)
}

fn whole(shared: &Shared, dir: &Path) -> Result<Option<Receipt>, DiskError> {
    let Some(receipt) = Receipt::read(dir)? else { return Ok(None) };
    let files = dir.join(FILES);
    let archive_there = fs::metadata(dir.join(ARCHIVE)).is_ok_and(|file| file.len() == receipt.info.archive_bytes);
    let files_there = || seal::files_below(&files).is_ok_and(|files| seal::digest(&files) == receipt.files_digest);
    let whole = archive_there && files.is_dir() && shared.is_whole(dir, files_there);
    Ok(whole.then_some(receipt))
}

/// Writes what makes a staged directory with its archive and files an entry.
pub(super) fn complete(shared: &Shared, staging: &Staging, unpacked: UnpackedWheel) -> Result<(), CacheError> {
    let dir = staging.path();
    let files_digest = seal::digest(&unpacked.files);
    let receipt = Receipt { schema: SCHEMA, info: unpacked.info, files_digest };
    let path = dir.join(RECEIPT);
    shared.steps.reach("write the receipt", &path)?;
    let text = serde_json::to_vec(&receipt).map_err(|error| DiskError::at("write", &path)(error.into()))?;
    // What is longer could not be read again.
    if text.len() as u64 > MAX_RECEIPT_BYTES {
        let error = WheelError::TooLarge { what: "bytes in what it says of itself", limit: MAX_RECEIPT_BYTES };
        return Err(CacheError::refused(&receipt.info.filename)(error));
    }
    disk::write_file(&path, &text)?;
    disk::create_file(&dir.join(LOCK))?;
    Ok(shared.mark_unsynced(dir)?)
}
