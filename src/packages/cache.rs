//! The wheel cache: each wheel once, by the SHA-256 of its archive, verified and unpacked.
//!
//! ```text
//! wheels/<two digits>/<sha256>/archive.whl   the wheel; environments hold hard links to it
//!                              files/        what it brings to site-packages
//!                              bytecode/<runtime>/files/   compiled from it; merged with `files`, which has none
//!                              wheel.json    what it holds, and a digest of `files`
//!                              lock          shared while in use; its time is the last use
//!                              unsynced      the boot that made it: gone once it is known to be on the disk
//! staging/                                   what is being made
//! ```
//! An entry is made aside and renamed into its place. Only `archive.whl` is flushed to the disk, as it is the one file
//! that environments keep; the thousands of others are checked against their digest when they are first used after a
//! restart of the machine, and made again if a power cut took some of their bytes. All of it can be downloaded again.
//! Several processes may share a cache; nobody removes a wheel while another uses it.

mod bytecode;
mod entry;
mod error;
mod evict;
mod incoming;
mod seal;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use entry::CachedWheel;
pub use error::CacheError;
pub use evict::{CacheRoom, Evicted};
pub use incoming::Incoming;

use super::disk::{self, DiskError, StagingArea, Steps};
use super::wheel::{WheelError, WheelRules};
use super::wheel_name::WheelName;
use entry::Wheel;

/// A cache of wheels. Clones share it.
#[derive(Debug, Clone)]
pub struct WheelCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    wheels: PathBuf,
    staging: StagingArea,
    rules: WheelRules,
    steps: Steps,
    /// Wheels in use: each has its lock open once.
    open: Mutex<HashMap<String, Weak<Wheel>>>,
    /// Which run of the machine this is, where it says it.
    boot: Option<String>,
}

impl WheelCache {
    /// Opens the cache in `dir`, and makes it if need be. Wheels must keep to `rules`.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(dir: &Path, rules: WheelRules) -> Result<Self, CacheError> {
        Self::open_with_steps(dir, rules, Steps::default())
    }

    /// [`Self::open`] with a hook that hears of each step of what is changed.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_steps(dir: &Path, rules: WheelRules, steps: Steps) -> Result<Self, CacheError> {
        let wheels = dir.join("wheels");
        disk::private_dir(&wheels)?;
        let staging = StagingArea::open(dir.join("staging"))?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned());
        Ok(Self(Arc::new(Shared { wheels, staging, rules, steps, open: Mutex::default(), boot })))
    }

    /// The wheel whose archive has this SHA-256 (lower-case hex), if it is there and whole. While the returned value
    /// or a clone of it lives, no process removes the wheel.
    ///
    /// # Errors
    /// The digest is none, the disk fails, or the wheel was put there under other rules than ours and breaks them.
    pub fn get(&self, sha256: &str) -> Result<Option<CachedWheel>, CacheError> {
        if !is_digest(sha256) {
            return Err(CacheError::BadDigest { text: sha256.chars().take(100).collect() });
        }
        let found = self.find(sha256)?;
        if let Some(wheel) = &found
            && let Some((path, top_level)) = self.0.rules.forbidden(&wheel.info().roots)
        {
            let source = WheelError::Forbidden { path: path.to_owned(), top_level: top_level.to_owned() };
            return Err(CacheError::refused(&wheel.info().filename)(source));
        }
        Ok(found)
    }

    fn find(&self, sha256: &str) -> Result<Option<CachedWheel>, CacheError> {
        let open = || self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = open().get(sha256).and_then(Weak::upgrade);
        if let Some(wheel) = in_use {
            wheel.touch();
            return Ok(Some(CachedWheel(wheel)));
        }
        let Some(wheel) = Wheel::open(&self.0, sha256)? else { return Ok(None) };
        let mut open = open();
        // Another thread may have been faster: one lock a wheel will do.
        if let Some(wheel) = open.get(sha256).and_then(Weak::upgrade) {
            return Ok(Some(CachedWheel(wheel)));
        }
        let wheel = Arc::new(wheel);
        open.retain(|_, wheel| wheel.strong_count() > 0);
        open.insert(sha256.to_owned(), Arc::downgrade(&wheel));
        Ok(Some(CachedWheel(wheel)))
    }

    /// Begins to take in a wheel piece by piece, which is how a download comes. With `sha256` (lower-case hex) it must
    /// be that one.
    ///
    /// # Errors
    /// The digest is none, or the disk fails.
    pub fn receive(&self, filename: &str, sha256: Option<&str>) -> Result<Incoming, CacheError> {
        Incoming::begin(self.clone(), filename, sha256)
    }

    /// Takes in a wheel. With `sha256` (lower-case hex) it must be that one.
    ///
    /// # Errors
    /// It is another, it breaks a rule, it cannot be read, or the disk does not take it.
    pub fn insert(
        &self,
        filename: &str,
        sha256: Option<&str>,
        mut source: impl Read,
    ) -> Result<CachedWheel, CacheError> {
        const BUFFER_BYTES: usize = 256 << 10;
        let mut incoming = self.receive(filename, sha256)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match source.read(&mut buffer).map_err(DiskError::at("read", Path::new(filename))) {
                Ok(0) => return incoming.finish(),
                Ok(count) => incoming.write(buffer.get(..count).unwrap_or_default())?,
                Err(DiskError::Io { source, .. }) if source.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes in the wheel at `path`, which keeps its name and place. With `sha256` (lower-case hex) it must be that one.
    /// If it is there already, it is only read, or not even that.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn insert_file(&self, path: &Path, sha256: Option<&str>) -> Result<CachedWheel, CacheError> {
        let filename = path.file_name().unwrap_or_default().to_string_lossy();
        let sha256 = match sha256 {
            Some(sha256) => sha256.to_owned(),
            None => hex::encode(seal::hash(path).map_err(DiskError::at("read", path))?.1),
        };
        if let Some(wheel) = self.get(&sha256)? {
            let name = WheelName::from_str(&filename).map_err(|error| CacheError::refused(&filename)(error.into()))?;
            return wheel.named(&filename, &name);
        }
        let file = File::open(path).map_err(DiskError::at("read", path))?;
        self.insert(&filename, Some(&sha256), file)
    }
}

impl Shared {
    fn entry(&self, sha256: &str) -> PathBuf {
        self.wheels.join(sha256.get(..2).unwrap_or_default()).join(sha256)
    }

    /// Writes down which run of the machine made `dir`: what it wrote may not be on the disk yet.
    fn mark_unsynced(&self, dir: &Path) -> Result<(), DiskError> {
        disk::write_file(&dir.join(UNSYNCED), self.boot.as_deref().unwrap_or_default().as_bytes()).map(drop)
    }

    /// Whether what lies in `dir` is what was written: that is known, or `check` finds it so.
    fn is_whole(&self, dir: &Path, check: impl FnOnce() -> bool) -> bool {
        let marker = dir.join(UNSYNCED);
        match fs::read_to_string(&marker) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return true,
            Ok(boot) if !boot.is_empty() && Some(boot.as_str()) == self.boot.as_deref() => return true,
            _ => {}
        }
        let whole = check();
        // It was read from the disk, as the machine that wrote it has stopped since: no need to ask again.
        if whole
            && self.boot.is_some()
            && let Err(error) = fs::remove_file(&marker)
        {
            tracing::debug!(marker = %marker.display(), %error, "cannot note that a cache entry is durable");
        }
        whole
    }
}

const UNSYNCED: &str = "unsynced";

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
