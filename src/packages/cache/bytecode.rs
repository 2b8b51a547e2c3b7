//! Bytecode: compiled by the caller, once for each wheel and runtime, and kept beside the wheel's files.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::disk::{self, DiskError};
use super::entry::{CachedWheel, FILES};
use super::error::CacheError;
use super::{Shared, seal};

const SEAL: &str = "seal.json";
const MAX_SEAL_BYTES: u64 = 4 << 10;
const ATTEMPTS: usize = 5;

/// `seal.json`.
#[derive(Serialize, Deserialize)]
struct Seal {
    digest: String,
    bytes: u64,
}

impl CachedWheel {
    /// The directory of the wheel's bytecode for the runtime `key`, if it was stored and is whole: `__pycache__`
    /// directories with `*.pyc` files, at their places beside the sources.
    pub fn bytecode_dir(&self, key: &str) -> Option<PathBuf> {
        let dir = self.place(key).ok()?;
        is_whole(&self.0.shared, &dir).then(|| dir.join(FILES))
    }

    /// Stores bytecode for the runtime `key` (letters, digits, `.`, `-`, `_`): `compile` gets an empty directory and
    /// puts it there. All of it is stored or nothing. Returns the directory; if somebody was faster, theirs.
    ///
    /// # Errors
    /// Whatever `compile` returns; files that are no bytecode; the disk.
    pub fn store_bytecode<E: From<CacheError>>(
        &self,
        key: &str,
        compile: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let place = self.place(key)?;
        let shared = &self.0.shared;
        let staging = shared.staging.create().map_err(CacheError::from)?;
        let files = staging.path().join(FILES);
        disk::private_dir(&files).map_err(CacheError::from)?;
        compile(&files)?;
        complete(shared, staging.path()).and_then(|()| publish(shared, &place, staging)).map_err(E::from)?;
        Ok(place.join(FILES))
    }

    fn place(&self, key: &str) -> Result<PathBuf, CacheError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if key.is_empty() || key.len() > 128 || key.starts_with('.') || !key.bytes().all(plain) {
            return Err(CacheError::BadKey { key: key.chars().take(200).collect() });
        }
        Ok(self.0.dir.join("bytecode").join(key))
    }
}

fn complete(shared: &Shared, dir: &Path) -> Result<(), CacheError> {
    let files = seal::files_below(&dir.join(FILES))?;
    for file in &files {
        // Anything else could stand in the way of another wheel's files.
        let is_bytecode = file.path.ends_with(".pyc")
            && file.path.rsplit('/').nth(1).is_some_and(|directory| directory == "__pycache__");
        if !is_bytecode {
            return Err(CacheError::NotBytecode { path: file.path.chars().take(200).collect() });
        }
    }
    let bytes = files.iter().map(|file| file.size).sum();
    let path = dir.join(SEAL);
    let text = serde_json::to_vec(&Seal { digest: seal::digest(&files), bytes });
    let text = text.map_err(|error| DiskError::at("write", &path)(error.into()))?;
    shared.steps.reach("seal the bytecode", &path)?;
    disk::write_file(&path, &text)?;
    Ok(shared.mark_unsynced(dir)?)
}

fn publish(shared: &Shared, place: &Path, staging: disk::Staging) -> Result<(), CacheError> {
    disk::private_dir(place.parent().unwrap_or(place))?;
    let mut staging = staging;
    for _ in 0..ATTEMPTS {
        shared.steps.reach("publish the bytecode", place)?;
        match staging.publish(place)? {
            None => return Ok(()),
            Some(_) if is_whole(shared, place) => return Ok(()),
            Some(unpublished) => staging = unpublished,
        }
        shared.staging.discard(place)?;
    }
    Err(CacheError::Contended { sha256: place.display().to_string() })
}

fn is_whole(shared: &Shared, dir: &Path) -> bool {
    let Some(seal) = read_seal(dir) else { return false };
    let files = dir.join(FILES);
    let there = || seal::files_below(&files).is_ok_and(|files| seal::digest(&files) == seal.digest);
    files.is_dir() && shared.is_whole(dir, there)
}

fn read_seal(dir: &Path) -> Option<Seal> {
    let mut text = Vec::new();
    File::open(dir.join(SEAL)).and_then(|file| file.take(MAX_SEAL_BYTES).read_to_end(&mut text)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Bytes of all bytecode of the entry `dir`.
pub(super) fn stored_bytes(dir: &Path) -> u64 {
    let Ok(keys) = fs::read_dir(dir.join("bytecode")) else { return 0 };
    keys.flatten().filter_map(|key| read_seal(&key.path())).map(|seal| seal.bytes).fold(0, u64::saturating_add)
}
