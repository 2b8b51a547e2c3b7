//! The cache's files: written whole or not at all, shared by any number of processes, believed only when whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// What a file begins with, before the digest of the rest and a line end. Another layout gets another number.
const MAGIC: &str = "pymd-index-1 ";
const HEADER_BYTES: usize = MAGIC.len() + 64 + 1;

/// The directory of the cache. Its methods block.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    root: PathBuf,
}

impl Disk {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// A file's contents; nothing if there is none or if it is not as it was written.
    pub(super) fn read(&self, path: &Path, max_bytes: u64) -> Option<Vec<u8>> {
        let file = File::open(self.root.join(path)).ok()?;
        let length = file.metadata().ok()?.len();
        let mut bytes = Vec::with_capacity(usize::try_from(length.min(max_bytes)).ok()?);
        file.take(max_bytes).read_to_end(&mut bytes).ok()?;
        let header = bytes.get(..HEADER_BYTES)?;
        let digest = header.strip_prefix(MAGIC.as_bytes())?.strip_suffix(b"\n")?;
        if blake3::hash(&bytes[HEADER_BYTES..]).to_hex().as_bytes() != digest {
            return None;
        }
        bytes.drain(..HEADER_BYTES);
        Some(bytes)
    }

    /// Keeps contents. A cache that can't be written is no reason to fail: the next one asks the index again.
    pub(super) fn write(&self, path: &Path, contents: &[u8]) {
        let target = self.root.join(path);
        if let Err(error) = write_whole(&target, contents) {
            tracing::warn!(path = %target.display(), %error, "a file of the index cache can't be written");
        }
    }
}

fn write_whole(target: &Path, contents: &[u8]) -> io::Result<()> {
    let directory = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".{}.tmp", Uuid::now_v7().simple()));
    let written = File::create_new(&temporary).and_then(|mut file| {
        file.write_all(format!("{MAGIC}{}\n", blake3::hash(contents).to_hex()).as_bytes())?;
        file.write_all(contents)?;
        drop(file);
        // Not synced: what a crash tears has the wrong digest.
        fs::rename(&temporary, target)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
