//! The files that every kernel starts with.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use zip::ZipArchive;

use super::{SandboxError, guest_files};
use crate::backend::wasm::runtime::RuntimeFiles;
use crate::backend::wasm::runtime::cache::{self, CacheError};
use crate::backend::wasm::vfs::{CapFile, Errno, Fs, FsQuota, LowerFile};

/// Where the Python side lies.
const GUEST_DIR: &str = "/usr/local/lib/pymd";
/// matplotlib's fonts and styles: an archive in the standard library zip.
const DATA_MEMBER: &str = "matplotlib/mpl-data.zip";
/// matplotlib looks for them beside its code, which is in the zip: a path below a file.
const DATA_BELOW_STDLIB: &str = "matplotlib/mpl-data";
/// Where they really are.
const DATA_DIR: &str = "/usr/local/share/matplotlib";
/// matplotlib's `MPLCONFIGDIR`, writable, with a list of its fonts: making one takes half a second.
const CONFIG_DIR: &str = "/var/cache/matplotlib";
/// The list's name holds the version of its format; for any other, matplotlib makes its own.
const FONT_LIST: &str = "fontlist-v3.11.0.json";
const FONT_LIST_JSON: &str = include_str!("../../../../runtime/guest/mplcache/fontlist-v3.11.0.json");
/// The archive's name in the cache.
const DATA_FILE: &str = "mpl-data.zip";
/// No such archive is larger than that.
const MAX_DATA_BYTES: u64 = 64 << 20;

/// A file system with the standard library, our own modules, matplotlib's data, and the writable `/work` and `/tmp`.
pub(super) fn file_system(files: &RuntimeFiles) -> Result<Fs, SandboxError> {
    let broken = |error: Errno| SandboxError::Boot { reason: format!("its file system: {error}") };
    let mut fs = Fs::new(FsQuota::default());
    let stdlib = cap_std::fs::File::from_std(File::open(&files.stdlib)?);
    let stdlib_path = &files.manifest.stdlib.guest_path;
    fs.mount_file(stdlib_path, Arc::new(CapFile::new(stdlib)?)).map_err(broken)?;
    for (path, content) in guest_files::FILES {
        fs.mount_file(&format!("{GUEST_DIR}/{path}"), Arc::new(content.as_bytes())).map_err(broken)?;
    }
    for (name, file) in data_files(files)? {
        fs.mount_file(&format!("{DATA_DIR}/{name}"), Arc::new(file)).map_err(broken)?;
    }
    fs.mount_file(&format!("{CONFIG_DIR}/{FONT_LIST}"), Arc::new(FONT_LIST_JSON.as_bytes())).map_err(broken)?;
    fs.preopen(DATA_DIR, &format!("{stdlib_path}/{DATA_BELOW_STDLIB}")).map_err(broken)?;
    for directory in ["/work", "/tmp"] {
        fs.create_dir_all(directory).map_err(broken)?;
    }
    Ok(fs)
}

/// A member of an archive that is not compressed.
struct Member {
    archive: Arc<[u8]>,
    bytes: Range<usize>,
}

impl Member {
    fn bytes(&self) -> &[u8] {
        self.archive.get(self.bytes.clone()).unwrap_or_default()
    }
}

impl LowerFile for Member {
    fn len(&self) -> u64 {
        self.bytes().len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.bytes().get(offset..)).unwrap_or_default();
        let read = rest.len().min(buf.len());
        buf[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }
}

/// The members of the data archive, which is taken out of the standard library once per runtime.
fn data_files(files: &RuntimeFiles) -> Result<Vec<(String, Member)>, SandboxError> {
    let path = cache::ensure_file(&files.dir, DATA_FILE, |target| -> Result<(), DataError> {
        let mut stdlib = ZipArchive::new(File::open(&files.stdlib)?)?;
        let mut bytes = Vec::new();
        stdlib.by_name(DATA_MEMBER)?.take(MAX_DATA_BYTES).read_to_end(&mut bytes)?;
        Ok(File::create_new(target)?.write_all(&bytes)?)
    })?;
    let archive: Arc<[u8]> = fs::read(path)?.into();
    let archive_bytes = archive.len() as u64;
    let mut members = ZipArchive::new(io::Cursor::new(Arc::clone(&archive))).map_err(DataError::from)?;
    let mut found = Vec::with_capacity(members.len());
    for index in 0..members.len() {
        let member = members.by_index_raw(index).map_err(DataError::from)?;
        if member.is_dir() {
            continue;
        }
        let name = member.name().map_err(DataError::from)?.into_owned();
        let start = member.data_start().and_then(|start| usize::try_from(start).ok()).unwrap_or(usize::MAX);
        let len = usize::try_from(member.size()).unwrap_or(usize::MAX);
        if member.size() != member.compressed_size()
            || start.checked_add(len).is_none_or(|end| end as u64 > archive_bytes)
        {
            let reason = format!("{DATA_MEMBER}: {name} is compressed or cut off");
            return Err(SandboxError::Boot { reason });
        }
        found.push((name, Member { archive: Arc::clone(&archive), bytes: start..start + len }));
    }
    Ok(found)
}

/// Why the data files can't be had.
#[derive(Debug, thiserror::Error)]
enum DataError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Zip(#[from] zip::result::ZipError),
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl From<DataError> for SandboxError {
    fn from(error: DataError) -> Self {
        Self::Boot { reason: format!("matplotlib's data: {error}") }
    }
}
