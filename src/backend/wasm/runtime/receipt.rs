//! What makes a cached directory trustworthy: a list of its files with sizes and digests.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::cache::CacheError;

/// Name of the receipt in its directory.
pub(super) const RECEIPT: &str = "receipt.json";

/// The receipt's format; another one counts as damage.
const SCHEMA: u32 = 1;

/// A receipt is small: reading stops here.
const MAX_RECEIPT_BYTES: u64 = 8 << 20;

/// The receipt of a directory: its files, and what the builder had to say about them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipt<T> {
    schema: u32,
    files: BTreeMap<String, Seal>,
    meta: T,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    size_bytes: u64,
    blake3: String,
}

/// Why a cached directory cannot be used. It is built anew; nothing is repaired.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// There is no such directory, or it has no receipt.
    #[error("it is not there")]
    Missing,
    /// Something cannot be read.
    #[error("`{file}` cannot be read: {source}")]
    Unreadable {
        /// Name in the directory.
        file: String,
        /// The system's words.
        source: io::Error,
    },
    /// The receipt is torn, or of another version.
    #[error("its receipt is not valid: {reason}")]
    Receipt {
        /// What is wrong.
        reason: String,
    },
    /// A file is no plain file of ours, or others can write it.
    #[error("`{file}` is not a plain file that only its owner can write")]
    Permissions {
        /// Name in the directory.
        file: String,
    },
    /// A file is longer or shorter than it was.
    #[error("`{file}` has {found} bytes, not {expected}")]
    Size {
        /// Name in the directory.
        file: String,
        /// Bytes according to the receipt.
        expected: u64,
        /// Bytes on disk.
        found: u64,
    },
    /// A file has other contents than it had.
    #[error("`{file}` has the BLAKE3 digest {computed}, not {expected}")]
    Digest {
        /// Name in the directory.
        file: String,
        /// Digest according to the receipt.
        expected: String,
        /// Digest of the file.
        computed: String,
    },
}

/// Checks every file that the receipt of `dir` lists, and returns the builder's word. Other entries are not looked at.
pub(super) fn verify<T: DeserializeOwned>(dir: &Path) -> Result<T, Damage> {
    let receipt: Receipt<T> = read(dir)?;
    for (name, seal) in &receipt.files {
        verify_file(dir, name, seal)?;
    }
    Ok(receipt.meta)
}

/// The total size in bytes that the receipt of `dir` lists, and the builder's word; no file is checked.
pub(super) fn peek<T: DeserializeOwned>(dir: &Path) -> Result<(u64, T), Damage> {
    let receipt: Receipt<T> = read(dir)?;
    let size = receipt.files.values().fold(0_u64, |sum, seal| sum.saturating_add(seal.size_bytes));
    Ok((size, receipt.meta))
}

/// Makes the files of `dir` private and durable, and writes their receipt.
pub(super) fn seal<T: Serialize>(dir: &Path, meta: &T) -> Result<(), CacheError> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(CacheError::io("list", dir))? {
        let path = entry.map_err(CacheError::io("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let metadata = fs::symlink_metadata(&path).map_err(CacheError::io("inspect", &path))?;
        if !metadata.is_file() || name.is_empty() || name == RECEIPT {
            return Err(CacheError::NotSealable { path });
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(CacheError::io("protect", &path))?;
        File::open(&path).and_then(|file| file.sync_all()).map_err(CacheError::io("write", &path))?;
        let blake3 = digest(&path).map_err(CacheError::io("read", &path))?;
        files.insert(name, Seal { size_bytes: metadata.len(), blake3 });
    }
    let path = dir.join(RECEIPT);
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(&serde_json::to_vec_pretty(&Receipt { schema: SCHEMA, files, meta })?)?;
        file.sync_all()?;
        sync_dir(dir)
    };
    write().map_err(CacheError::io("write", &path))
}

/// Makes the names in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn read<T: DeserializeOwned>(dir: &Path) -> Result<Receipt<T>, Damage> {
    let mut text = Vec::new();
    let read = File::open(dir.join(RECEIPT)).and_then(|file| file.take(MAX_RECEIPT_BYTES).read_to_end(&mut text));
    match read {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound) => return Err(Damage::Missing),
        Err(source) => {
            return Err(Damage::Unreadable { file: RECEIPT.to_owned(), source });
        }
        Ok(_) => {}
    }
    let invalid = |reason| Damage::Receipt { reason };
    let receipt: Receipt<T> = serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
    if receipt.schema != SCHEMA {
        return Err(invalid(format!("format {} instead of {SCHEMA}", receipt.schema)));
    }
    match receipt.files.keys().find(|name| name.contains('/') || name.starts_with("..")) {
        Some(name) => Err(invalid(format!("`{name}` is not a name in the directory"))),
        None => Ok(receipt),
    }
}

fn verify_file(dir: &Path, name: &str, seal: &Seal) -> Result<(), Damage> {
    let path = dir.join(name);
    let file = || name.to_owned();
    let unreadable = |source| Damage::Unreadable { file: name.to_owned(), source };
    let metadata = fs::symlink_metadata(&path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.mode() & 0o022 != 0 || !super::cache::owned(&metadata) {
        return Err(Damage::Permissions { file: file() });
    }
    if metadata.len() != seal.size_bytes {
        return Err(Damage::Size { file: file(), expected: seal.size_bytes, found: metadata.len() });
    }
    let computed = digest(&path).map_err(unreadable)?;
    if computed != seal.blake3 {
        return Err(Damage::Digest { file: file(), expected: seal.blake3.clone(), computed });
    }
    Ok(())
}

/// BLAKE3 of a file in hexadecimal, on all cores: a warm file of 300 MB takes some tens of milliseconds.
fn digest(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap_rayon(path)?;
    Ok(hasher.finalize().to_hex().to_string())
}
