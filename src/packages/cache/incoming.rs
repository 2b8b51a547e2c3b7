//! A wheel on its way into the cache.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::super::disk::{self, DiskError, Staging};
use super::super::wheel::{self, WheelError};
use super::super::wheel_name::WheelName;
use super::entry::{self, ARCHIVE, CachedWheel, FILES};
use super::error::CacheError;
use super::{WheelCache, is_digest};

/// How often a place is tried for that others make and damage at the same time.
const ATTEMPTS: usize = 5;

/// A wheel that is being received. Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    cache: WheelCache,
    filename: String,
    name: WheelName,
    expected: Option<String>,
    staging: Staging,
    path: PathBuf,
    file: File,
    hasher: Sha256,
    len: u64,
}

impl Incoming {
    pub(super) fn begin(cache: WheelCache, filename: &str, expected: Option<&str>) -> Result<Self, CacheError> {
        if let Some(text) = expected.filter(|text| !is_digest(text)) {
            return Err(CacheError::BadDigest { text: text.chars().take(100).collect() });
        }
        let name = WheelName::from_str(filename).map_err(|error| CacheError::refused(filename)(error.into()))?;
        let shared = &cache.0;
        shared.steps.reach("receive", &shared.wheels)?;
        let staging = shared.staging.create()?;
        let path = staging.path().join(ARCHIVE);
        let file = disk::create_file(&path)?;
        let (filename, expected) = (filename.to_owned(), expected.map(str::to_owned));
        Ok(Self { cache, filename, name, expected, staging, path, file, hasher: Sha256::new(), len: 0 })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// The disk does not take them, or they are too many.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), CacheError> {
        let limit = self.cache.0.rules.limits.archive_bytes;
        self.len = self.len.saturating_add(piece.len() as u64);
        if self.len > limit {
            return Err(CacheError::refused(&self.filename)(WheelError::TooLarge { what: "bytes", limit }));
        }
        self.cache.0.steps.reach("write", &self.path)?;
        self.hasher.update(piece);
        Ok(self.file.write_all(piece).map_err(DiskError::at("write", &self.path))?)
    }

    /// How many bytes came so far.
    pub fn received_bytes(&self) -> u64 {
        self.len
    }

    /// Checks the wheel, unpacks it and puts it into its place. If it is there already, that one is it.
    ///
    /// # Errors
    /// It is not the expected wheel, it breaks a rule, or the disk does not take it.
    pub fn finish(self) -> Result<CachedWheel, CacheError> {
        let Self { cache, filename, name, expected, staging, path, file, hasher, .. } = self;
        let shared = &cache.0;
        let sha256 = hex::encode(hasher.finalize());
        if let Some(expected) = expected.filter(|expected| *expected != sha256) {
            return Err(CacheError::Digest { filename, expected, computed: sha256 });
        }
        if let Some(wheel) = cache.get(&sha256)? {
            return wheel.named(&filename, &name);
        }
        let files = staging.path().join(FILES);
        disk::private_dir(&files)?;
        let unpacked = wheel::unpack(&path, &filename, &shared.rules, &files, &shared.steps);
        let unpacked = unpacked.map_err(CacheError::refused(&filename))?;
        // Only a wheel that is good is worth the wait for the disk.
        shared.steps.reach("sync the archive", &path)?;
        file.sync_all().map_err(DiskError::at("write", &path))?;
        drop(file);
        entry::complete(shared, &staging, unpacked)?;
        publish(&cache, &sha256, staging)?.named(&filename, &name)
    }
}

fn publish(cache: &WheelCache, sha256: &str, staging: Staging) -> Result<CachedWheel, CacheError> {
    let place = cache.0.entry(sha256);
    disk::private_dir(place.parent().unwrap_or(&cache.0.wheels))?;
    let mut staging = Some(staging);
    for _ in 0..ATTEMPTS {
        if let Some(staged) = staging.take() {
            cache.0.steps.reach("publish", &place)?;
            staging = staged.publish(&place)?;
        }
        // Ours, or that of another who was faster; a damaged one is out of the way then.
        if let Some(wheel) = cache.get(sha256)? {
            return Ok(wheel);
        }
    }
    Err(CacheError::Contended { sha256: sha256.to_owned() })
}
