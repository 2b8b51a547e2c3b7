//! Read-only files that lie below the guest's own: of the host, or bytes in memory.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// A file that a guest can read and never write. Its length must not change.
pub trait LowerFile: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it holds nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads into `buf` from `offset` on, and returns how many bytes it read: 0 only at the end, or for an empty `buf`.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// When it was last changed, in nanoseconds since 1970.
    fn modified_ns(&self) -> u64 {
        0
    }

    /// Bytes of memory that are kept for it alone.
    fn memory_bytes(&self) -> u64 {
        0
    }
}

/// A file of the host, opened through cap-std and held open.
pub struct CapFile {
    file: std::fs::File,
    len: u64,
    modified_ns: u64,
}

impl CapFile {
    /// Takes an open file; its length is what it is now.
    pub fn new(file: cap_std::fs::File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self { len: metadata.len(), modified_ns: modified_ns(&metadata), file: file.into_std() })
    }
}

impl LowerFile for CapFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        read_host(&self.file, self.len, offset, buf)
    }

    fn modified_ns(&self) -> u64 {
        self.modified_ns
    }
}

/// Reads from a host file as if it ended at `len`, and retries interrupted calls.
pub(super) fn read_host(file: &std::fs::File, len: u64, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let there = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
    let wanted = there.min(buf.len());
    loop {
        match file.read_at(&mut buf[..wanted], offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A host file's last change in nanoseconds since 1970, 0 where unknown.
pub(super) fn modified_ns(metadata: &cap_std::fs::Metadata) -> u64 {
    let since_epoch = metadata.modified().ok().and_then(|time| time.into_std().duration_since(UNIX_EPOCH).ok());
    since_epoch.map_or(0, |age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX))
}

/// Bytes of the program.
impl LowerFile for &'static [u8] {
    fn len(&self) -> u64 {
        (**self).len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(read_bytes(self, offset, buf))
    }
}

/// Bytes in memory.
impl LowerFile for Arc<[u8]> {
    fn len(&self) -> u64 {
        (**self).len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(read_bytes(self, offset, buf))
    }

    fn memory_bytes(&self) -> u64 {
        (**self).len() as u64
    }
}

fn read_bytes(bytes: &[u8], offset: u64, buf: &mut [u8]) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or(&[]);
    let read = rest.len().min(buf.len());
    buf[..read].copy_from_slice(&rest[..read]);
    read
}
