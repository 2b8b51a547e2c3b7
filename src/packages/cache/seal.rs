//! One digest for a directory of files, to see later whether all of it is still there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::super::disk::DiskError;
use super::super::wheel::UnpackedFile;

/// As deep as a wheel's files can lie, and `__pycache__`.
const MAX_DEPTH: usize = 64;

/// The digest of these files, which must be sorted by path.
pub(super) fn digest(files: &[UnpackedFile]) -> String {
    let mut hasher = Sha256::new();
    for file in files {
        hasher.update(file.sha256);
        hasher.update(file.size.to_le_bytes());
        hasher.update((file.path.len() as u64).to_le_bytes());
        hasher.update(&file.path);
    }
    hex::encode(hasher.finalize())
}

/// The files below a directory, sorted by path. Anything but plain files and directories is an error.
pub(super) fn files_below(dir: &Path) -> Result<Vec<UnpackedFile>, DiskError> {
    let mut files = Vec::new();
    walk(dir, "", 0, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(dir: &Path, prefix: &str, depth: usize, files: &mut Vec<UnpackedFile>) -> Result<(), DiskError> {
    let odd = |path: &Path| DiskError::at("use", path)(io::Error::other("it is not a plain file"));
    for entry in fs::read_dir(dir).map_err(DiskError::at("list", dir))? {
        let entry = entry.map_err(DiskError::at("list", dir))?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| odd(&path))?;
        let kind = entry.file_type().map_err(DiskError::at("inspect", &path))?;
        if kind.is_dir() && depth < MAX_DEPTH {
            walk(&path, &format!("{prefix}{name}/"), depth + 1, files)?;
        } else if kind.is_file() {
            let (size, sha256) = hash(&path).map_err(DiskError::at("read", &path))?;
            files.push(UnpackedFile { path: format!("{prefix}{name}"), size, sha256 });
        } else {
            return Err(odd(&path));
        }
    }
    Ok(())
}

/// Size and SHA-256 of a file.
pub(super) fn hash(path: &Path) -> io::Result<(u64, [u8; 32])> {
    const BUFFER_BYTES: usize = 128 << 10;
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((size, hasher.finalize().into())),
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                size += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
