//! Removing entries of a cache directory that nobody has used for long, or that take too much room.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::cache::{CacheError, lock_file, take_away};

/// The system counts a file's disk space in blocks of this.
const BLOCK_BYTES: u64 = 512;

/// What was removed, and what is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Entries removed.
    pub removed: usize,
    /// Bytes of disk that they took.
    pub removed_bytes: u64,
    /// Entries that are left.
    pub left: usize,
    /// Bytes of disk that these take.
    pub left_bytes: u64,
}

/// Removes the entries of the directory `parent` that were not used for `max_age`, and those for which there is no room
/// in `max_bytes` of disk beside others that were used later. An entry that is being built stays. The time of use is that
/// of the entry's directory. Who has an entry's files open keeps them.
///
/// # Errors
/// `parent` can't be read. That it is not there is no error.
pub fn evict(parent: &Path, max_bytes: u64, max_age: Duration) -> Result<Evicted, CacheError> {
    let listed = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Evicted::default()),
        other => other.map_err(CacheError::io("list", parent))?,
    };
    let mut entries = Vec::new();
    for entry in listed {
        let entry = entry.map_err(CacheError::io("list", parent))?;
        let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata()) else { continue };
        if !name.starts_with('.') && metadata.is_dir() {
            entries.push((used(&metadata), disk_bytes(&entry.path()), name));
        }
    }
    entries.sort_by(|a, b| b.cmp(a));
    let oldest = SystemTime::now().checked_sub(max_age).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut done = Evicted::default();
    for (used, bytes, name) in entries {
        let stays = used >= oldest && done.left_bytes.saturating_add(bytes) <= max_bytes;
        if !stays && remove(parent, &name)? {
            done.removed += 1;
            done.removed_bytes = done.removed_bytes.saturating_add(bytes);
        } else {
            done.left += 1;
            done.left_bytes = done.left_bytes.saturating_add(bytes);
        }
    }
    Ok(done)
}

fn used(metadata: &Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn disk_bytes(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    let blocks = files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.blocks());
    blocks.fold(0, u64::saturating_add).saturating_mul(BLOCK_BYTES)
}

/// Removes an entry, unless somebody builds it now.
fn remove(parent: &Path, name: &str) -> Result<bool, CacheError> {
    let (lock_path, lock) = lock_file(parent, name)?;
    if lock.try_lock().is_err() {
        return Ok(false);
    }
    drop(take_away(parent, name)?);
    // Whoever waits for this lock has the removed file's, and whoever comes later another one's: the two may build the
    // same entry twice, and the later one stays.
    let _ = fs::remove_file(lock_path);
    Ok(true)
}
