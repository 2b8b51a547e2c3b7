//! What leaves the cache, and when.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::disk::DiskError;
use super::entry::{LOCK, Receipt, discard_if};
use super::error::CacheError;
use super::{Shared, WheelCache, bytecode, is_digest};

/// How much a cache may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheRoom {
    /// Bytes of all wheels, packed, unpacked and compiled.
    pub max_bytes: u64,
    /// A wheel that was not used for this long goes.
    pub max_age: Duration,
}

/// What left a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Wheels that went.
    pub wheels: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Wheels that stayed.
    pub kept_wheels: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Unfinished things of processes that died.
    pub unfinished: usize,
}

struct Entry {
    dir: PathBuf,
    sha256: String,
    bytes: u64,
    last_used: SystemTime,
    is_whole: bool,
}

impl WheelCache {
    /// Removes damaged wheels, those that were not used for too long and, the longest unused first, as many as are
    /// too much; and what died unfinished. Never a wheel of `in_use` (SHA-256 in lower-case hex), or one that any
    /// process holds.
    ///
    /// # Errors
    /// The disk fails; what was removed stays removed.
    pub fn gc(&self, room: CacheRoom, in_use: &BTreeSet<String>) -> Result<Evicted, CacheError> {
        let mut evicted = Evicted { unfinished: self.0.staging.sweep()?, ..Evicted::default() };
        let mut entries = entries(&self.0)?;
        entries.sort_by(|a, b| (a.is_whole, a.last_used, &a.sha256).cmp(&(b.is_whole, b.last_used, &b.sha256)));
        let now = SystemTime::now();
        evicted.kept_wheels = entries.len() as u64;
        evicted.kept_bytes = entries.iter().map(|entry| entry.bytes).fold(0, u64::saturating_add);
        for entry in entries {
            let is_old = now.duration_since(entry.last_used).is_ok_and(|age| age > room.max_age);
            let goes = !entry.is_whole || is_old || evicted.kept_bytes > room.max_bytes;
            if goes && !in_use.contains(&entry.sha256) && discard_if(&self.0, &entry.dir, || true)? {
                evicted.wheels += 1;
                evicted.bytes = evicted.bytes.saturating_add(entry.bytes);
                evicted.kept_wheels -= 1;
                evicted.kept_bytes -= entry.bytes.min(evicted.kept_bytes);
            }
        }
        Ok(evicted)
    }
}

fn entries(shared: &Shared) -> Result<Vec<Entry>, DiskError> {
    let mut entries = Vec::new();
    for group in list(&shared.wheels)? {
        if !group.is_dir() {
            continue;
        }
        for dir in list(&group)? {
            let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // What is not ours stays.
            if is_digest(&name) && dir.is_dir() {
                entries.push(entry(dir, name)?);
            }
        }
    }
    Ok(entries)
}

fn entry(dir: PathBuf, sha256: String) -> Result<Entry, DiskError> {
    let receipt = Receipt::read(&dir)?;
    let own =
        receipt.as_ref().map_or(0, |receipt| receipt.info.archive_bytes.saturating_add(receipt.info.unpacked_bytes));
    let bytes = own.saturating_add(bytecode::stored_bytes(&dir));
    let last_used = fs::metadata(dir.join(LOCK)).and_then(|lock| lock.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(Entry { is_whole: receipt.is_some(), dir, sha256, bytes, last_used })
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(DiskError::at("list", dir))?,
    };
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(DiskError::at("list", dir))).collect()
}
