//! The zip archive itself, read strictly: one that two programs could read differently is refused.
//!
//! It must be members from its first byte to its central directory, each beginning where the one before ends, then the
//! central directory, then the end record, and nothing else. The `zip` crate then only unpacks what was checked here.

mod central;
mod fields;
mod local;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use super::super::disk::DiskError;
use super::error::{WheelError, shown};
use super::limits::WheelLimits;
use super::names;

/// Archives up to this size are read at once: small reads of a file cost more than their bytes.
const MEMORY_BYTES: u64 = 32 << 20;

/// A file or directory of the archive, checked.
#[derive(Debug)]
pub(super) struct Member {
    /// Its path, without the slash that marks a directory.
    pub(super) path: String,
    /// Whether it is a directory.
    pub(super) is_dir: bool,
    /// Its bytes when unpacked.
    pub(super) size: u64,
    raw_name: Vec<u8>,
    /// Bits of its flags that change how it is read.
    flags: u16,
    method: u16,
    crc32: u32,
    compressed_size: u64,
    header_offset: u64,
}

/// Where the bytes of an archive are.
pub(super) enum Source {
    Memory(Vec<u8>),
    File { file: File, len: u64 },
}

impl Source {
    /// Opens the archive at `path`, if it is not too large.
    pub(super) fn open(path: &Path, limits: &WheelLimits) -> Result<Self, WheelError> {
        let mut file = File::open(path).map_err(DiskError::at("read", path))?;
        let len = file.metadata().map_err(DiskError::at("read", path))?.len();
        if len > limits.archive_bytes {
            return Err(WheelError::TooLarge { what: "bytes", limit: limits.archive_bytes });
        }
        if len > MEMORY_BYTES {
            return Ok(Self::File { file, len });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
        file.by_ref().take(MEMORY_BYTES).read_to_end(&mut bytes).map_err(DiskError::at("read", path))?;
        Ok(Self::Memory(bytes))
    }

    /// Its bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// `len` bytes at `offset`, all of them.
    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, WheelError> {
        let cut_short = || unsound("it ends too early".to_owned());
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(|_| cut_short())?;
                let end = start.checked_add(len).ok_or_else(cut_short)?;
                Ok(bytes.get(start..end).ok_or_else(cut_short)?.to_vec())
            }
            Self::File { file, .. } => {
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, offset).map_err(|error| unsound(error.to_string()))?;
                Ok(bytes)
            }
        }
    }
}

/// An archive is read from somewhere.
pub(super) trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// A checked archive that can be unpacked.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Box<dyn ReadSeek + 'a>>,
    /// In the order of the central directory.
    members: Vec<Member>,
}

impl<'a> Archive<'a> {
    /// Reads and checks the archive's structure; no member is unpacked.
    pub(super) fn open(source: &'a Source, limits: &WheelLimits) -> Result<Self, WheelError> {
        let (members, central_offset) = central::read(source, limits)?;
        check_names(&members, limits)?;
        check_sizes(&members, source.len(), limits)?;
        local::check(source, &members, central_offset)?;
        let reader: Box<dyn ReadSeek> = match source {
            Source::Memory(bytes) => Box::new(Cursor::new(bytes.as_slice())),
            Source::File { file, .. } => Box::new(BufReader::new(file)),
        };
        let zip = ZipArchive::new(reader).map_err(|error| unsound(error.to_string()))?;
        if zip.len() != members.len() {
            return Err(unsound(format!("it has {} or {} members", zip.len(), members.len())));
        }
        Ok(Self { zip, members })
    }

    /// Its members.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Unpacks the member with this index, and hands its bytes on piece by piece: as many as its header says, or it is
    /// an error.
    pub(super) fn unpack(
        &mut self,
        index: usize,
        buffer: &mut [u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), WheelError>,
    ) -> Result<(), WheelError> {
        let member = self.members.get(index).ok_or_else(|| unsound("a member is missing".to_owned()))?;
        let damaged = |reason: String| WheelError::Damaged { member: shown(&member.raw_name), reason };
        let mut file = self.zip.by_index(index).map_err(|error| damaged(error.to_string()))?;
        let method = match file.compression() {
            CompressionMethod::Stored => 0,
            CompressionMethod::Deflated => 8,
            _ => u16::MAX,
        };
        let same = file.name_raw() == member.raw_name.as_slice()
            && file.header_start() == member.header_offset
            && file.compressed_size() == member.compressed_size
            && file.size() == member.size
            && file.crc32() == member.crc32
            && method == member.method;
        if !same {
            return Err(unsound(format!("`{}` can be read in two ways", shown(&member.raw_name))));
        }
        let mut unpacked = 0_u64;
        loop {
            let count = match file.read(buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(damaged(error.to_string())),
            };
            unpacked = unpacked.saturating_add(count as u64);
            if unpacked > member.size {
                return Err(damaged(format!("it unpacks to more than the {} bytes that it says", member.size)));
            }
            sink(buffer.get(..count).unwrap_or_default())?;
        }
        if unpacked != member.size {
            return Err(damaged(format!("it unpacks to {unpacked} bytes, not to the {} that it says", member.size)));
        }
        Ok(())
    }
}

fn unsound(reason: String) -> WheelError {
    WheelError::Archive { reason }
}

fn check_names(members: &[Member], limits: &WheelLimits) -> Result<(), WheelError> {
    let mut tree = names::Tree::default();
    let mut seen = HashSet::new();
    for member in members {
        if !seen.insert(member.raw_name.as_slice()) {
            return Err(WheelError::Duplicate { path: shown(&member.raw_name) });
        }
        if member.is_dir {
            tree.add_dir(&member.path)?
        } else {
            tree.add_file(&member.path)?
        }
        // Also the directories that only stand in the paths of files: each is one on the disk.
        if tree.len() as u64 > limits.files {
            return Err(WheelError::TooLarge { what: "files and directories", limit: limits.files });
        }
    }
    Ok(())
}

fn check_sizes(members: &[Member], archive_bytes: u64, limits: &WheelLimits) -> Result<(), WheelError> {
    if members.iter().any(|member| member.size > limits.file_bytes) {
        return Err(WheelError::TooLarge { what: "bytes in one file", limit: limits.file_bytes });
    }
    let unpacked_bytes = members.iter().fold(0_u64, |sum, member| sum.saturating_add(member.size));
    if unpacked_bytes > limits.unpacked_bytes {
        return Err(WheelError::TooLarge { what: "unpacked bytes", limit: limits.unpacked_bytes });
    }
    let limit_bytes = limits.expansion_bytes(archive_bytes);
    if unpacked_bytes > limit_bytes {
        return Err(WheelError::Bomb { archive_bytes, unpacked_bytes, limit_bytes });
    }
    Ok(())
}
