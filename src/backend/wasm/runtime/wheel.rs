//! Takes pinned files out of a wheel, and believes nothing that the archive says about itself.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::manifest::{Artifact, PinnedFile};

const BUFFER_BYTES: usize = 256 << 10;

/// A wheel that is not the pinned one, or cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// The wheel cannot be read, or a file of it not written.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Not a zip archive, or without the file.
    #[error("cannot unpack `{member}` of `{}`: {reason}", path.display())]
    Archive {
        /// The wheel.
        path: PathBuf,
        /// The file inside it.
        member: String,
        /// The archive reader's words.
        reason: String,
    },
    /// A file is longer or shorter than the manifest says.
    #[error("`{file}` has {found} bytes, not {expected}")]
    Size {
        /// The wheel, or the file inside it.
        file: String,
        /// Bytes according to the manifest.
        expected: u64,
        /// Bytes found; of an overlong file, where reading stopped.
        found: u64,
    },
    /// A file has other contents than the manifest says.
    #[error("`{file}` has the SHA-256 {computed}, not {expected}")]
    Sha256 {
        /// The wheel, or the file inside it.
        file: String,
        /// Digest according to the manifest.
        expected: String,
        /// Digest found.
        computed: String,
    },
}

/// Checks that the file at `path` is the pinned wheel, byte for byte.
///
/// # Errors
/// It cannot be read, or its size or digest is another.
pub fn verify(path: &Path, artifact: &Artifact) -> Result<(), WheelError> {
    let read_error = |source| WheelError::Io { action: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read_error)?;
    let found = file.metadata().map_err(read_error)?.len();
    let expected = artifact.size_bytes;
    if found != expected {
        return Err(WheelError::Size { file: path.display().to_string(), expected, found });
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer).map_err(read_error)? {
            0 => break,
            count => hasher.update(buffer.get(..count).unwrap_or_default()),
        }
    }
    check_sha256(&path.display().to_string(), hasher, &artifact.sha256)
}

/// Unpacks `member` of the wheel at `path` into `sink`, checking its digest on the way; `tick` hears the bytes so far.
/// Never more bytes come out than the manifest says. On an error, what `sink` got must not be used.
///
/// # Errors
/// The archive is damaged, has no such file, or the file is not the pinned one.
pub fn extract(path: &Path, member: &PinnedFile, sink: &mut dyn Write, tick: &dyn Fn(u64)) -> Result<(), WheelError> {
    let archive_error = |reason| WheelError::Archive { path: path.to_owned(), member: member.path.clone(), reason };
    let write_error = |source| WheelError::Io { action: "unpack", path: PathBuf::from(&member.path), source };
    let file = File::open(path).map_err(|source| WheelError::Io { action: "read", path: path.to_owned(), source })?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| archive_error(error.to_string()))?;
    let zipped = archive.by_name(&member.path).map_err(|error| archive_error(error.to_string()))?;
    // One byte more than is pinned is enough to know that a file is too long.
    let mut reader = zipped.take(member.size_bytes.saturating_add(1));
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut found = 0_u64;
    loop {
        let count = reader.read(&mut buffer).map_err(|error| archive_error(error.to_string()))?;
        let chunk = buffer.get(..count).unwrap_or_default();
        found = found.saturating_add(count as u64);
        if count == 0 || found > member.size_bytes {
            break;
        }
        hasher.update(chunk);
        sink.write_all(chunk).map_err(write_error)?;
        tick(found);
    }
    sink.flush().map_err(write_error)?;
    if found != member.size_bytes {
        return Err(WheelError::Size { file: member.path.clone(), expected: member.size_bytes, found });
    }
    check_sha256(&member.path, hasher, &member.sha256)
}

fn check_sha256(file: &str, hasher: Sha256, expected: &str) -> Result<(), WheelError> {
    let computed = hex::encode(hasher.finalize());
    if computed == expected {
        return Ok(());
    }
    Err(WheelError::Sha256 { file: file.to_owned(), expected: expected.to_owned(), computed })
}
