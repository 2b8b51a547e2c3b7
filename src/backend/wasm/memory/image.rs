//! Images: immutable bytes of linear memory that many slots map copy-on-write.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use serde::{Deserialize, Serialize};

use super::{PAGE_BYTES, PageMap, ZERO_PAGE};

/// The value of one exported mutable global.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalValue {
    /// The name under which the split module exports it.
    pub name: String,
    /// The value; a 32-bit one is sign-extended.
    pub value: i64,
}

/// Everything but the file system that a kernel starts from: linear memory and globals.
///
/// The bytes live in a sealed memfd, so that neither another process nor a bug can change what is mapped.
pub struct Image {
    file: OwnedFd,
    map: NonNull<u8>,
    len: usize,
    /// The mutable globals at the moment the image was taken.
    pub globals: Vec<GlobalValue>,
    /// Where it was made of one kernel's state: the image that this one lies over. Whoever keeps the state keeps both.
    origin: Option<Arc<Image>>,
    digest: OnceLock<blake3::Hash>,
}

/// An image at rest on disk, next to its digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageFile {
    /// Bytes of linear memory; the file may be shorter, the rest is zero.
    pub len: u64,
    /// The mutable globals.
    pub globals: Vec<GlobalValue>,
}

// SAFETY: the mapping is read-only and its bytes never change (the memfd is sealed against writing, growing and
// shrinking before the mapping is made), so any thread may read it.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    /// Builds an image of `len` bytes (a multiple of the page size) from what `fill` writes into a new memfd.
    ///
    /// # Errors
    /// What the system says when memory or descriptors run out, and what `fill` returns.
    pub fn build(
        len: usize,
        globals: Vec<GlobalValue>,
        fill: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<Self> {
        assert!(len > 0 && len.is_multiple_of(PAGE_BYTES), "an image is made of whole pages");
        let memfd = rustix::fs::memfd_create("pymd-image", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let file = File::from(memfd);
        file.set_len(len as u64)?;
        fill(&file)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice, of a file that has `len` bytes for ever.
        let map = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, &file, 0) }?;
        let map = NonNull::new(map.cast()).ok_or_else(|| io::Error::other("mmap answered null"))?;
        Ok(Self { file: file.into(), map, len, globals, origin: None, digest: OnceLock::new() })
    }

    /// Reads an image of `len` bytes from a file, whose missing end is zero.
    ///
    /// # Errors
    /// What reading the file or building the image says.
    pub fn read(source: &File, len: usize, globals: Vec<GlobalValue>) -> io::Result<Self> {
        Self::build(len, globals, |file| {
            let mut buffer = vec![0_u8; 1 << 20];
            let mut at = 0_u64;
            while at < len as u64 {
                let read = source.read_at(&mut buffer, at)?;
                if read == 0 {
                    break;
                }
                write_sparse(file, &buffer[..read.min(len - at as usize)], at)?;
                at += read as u64;
            }
            Ok(())
        })
    }

    /// The memory of `base` with the pages of `delta` over it, `len` bytes in all, as a new image.
    ///
    /// # Errors
    /// What building the image says.
    pub fn flatten(base: &Self, delta: &PageMap, len: usize, globals: Vec<GlobalValue>) -> io::Result<Self> {
        Self::build(len, globals, |file| {
            let bytes = base.bytes();
            write_sparse(file, &bytes[..bytes.len().min(len)], 0)?;
            for (number, page) in delta.iter() {
                file.write_all_at(page, (number * PAGE_BYTES) as u64)?;
            }
            Ok(())
        })
    }

    /// As an image of the state of one kernel, which began in `origin`.
    #[must_use]
    pub fn derived_from(mut self, origin: &Arc<Self>) -> Self {
        self.origin = Some(Arc::clone(Self::root(origin)));
        self
    }

    /// Whether it was made of one kernel's state.
    pub fn is_derived(&self) -> bool {
        self.origin.is_some()
    }

    /// The image that the kernels began in whose states lie over this one.
    pub fn root(self: &Arc<Self>) -> &Arc<Self> {
        self.origin.as_ref().unwrap_or(self)
    }

    /// Stands for its bytes and globals. Reads all of it, the first time.
    pub fn digest(&self) -> blake3::Hash {
        *self.digest.get_or_init(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&(self.len as u64).to_le_bytes());
            for GlobalValue { name, value } in &self.globals {
                hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes()).update(&value.to_le_bytes());
            }
            hasher.update_rayon(self.bytes()).finalize()
        })
    }

    /// Writes its bytes to an empty file, leaving out what is zero; the file has its full length.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_to(&self, file: &File) -> io::Result<()> {
        file.set_len(self.len as u64)?;
        write_sparse(file, self.bytes(), 0)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `map` is a live read-only mapping of `len` bytes that never change, unmapped only by `drop`.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.len) }
    }

    /// The page of that number; zero past the end.
    pub fn page(&self, number: usize) -> &[u8] {
        let start = number * PAGE_BYTES;
        self.bytes().get(start..start + PAGE_BYTES).unwrap_or(&ZERO_PAGE)
    }

    /// Its length in bytes, a multiple of the page size.
    pub fn byte_len(&self) -> usize {
        self.len
    }

    /// The sealed file, for mapping.
    pub(super) fn file(&self) -> impl AsFd + '_ {
        self.file.as_fd()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: `map`/`len` are exactly what `mmap` gave; no slice of it outlives `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.map.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "a whole mapping can be unmapped");
    }
}

/// Writes `bytes` at `at`, leaving pages that are zero as holes.
fn write_sparse(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut start = 0;
    while start < bytes.len() {
        let zero = |from: usize| {
            bytes[from..bytes.len().min(from + PAGE_BYTES)] == ZERO_PAGE[..bytes.len().min(from + PAGE_BYTES) - from]
        };
        if zero(start) {
            start += PAGE_BYTES;
            continue;
        }
        let mut end = start;
        while end < bytes.len() && !zero(end) {
            end += PAGE_BYTES;
        }
        file.write_all_at(&bytes[start..end.min(bytes.len())], at + start as u64)?;
        start = end;
    }
    Ok(())
}
