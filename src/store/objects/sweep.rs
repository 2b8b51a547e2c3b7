//! What a process that was killed while it wrote leaves in a directory.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use super::{ObjectError, Objects};

impl Objects {
    /// Removes what was begun and never became an object, if it is older than `age`, and tells how many files it was.
    /// A bucket has no such thing.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub async fn sweep(&self, age: Duration) -> Result<u64, ObjectError> {
        let Some(directory) = self.directory.clone() else { return Ok(0) };
        let failed = |source| ObjectError::Directory { path: directory.clone(), source };
        let root = directory.clone();
        let swept = tokio::task::spawn_blocking(move || sweep(&root, age)).await;
        swept.map_err(|stopped| failed(io::Error::other(stopped)))?.map_err(failed)
    }
}

fn sweep(root: &Path, age: Duration) -> io::Result<u64> {
    let mut directories = vec![root.to_owned()];
    let mut removed = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() && is_staged(&entry.file_name()) && is_older(&entry, age) {
                // It may have become an object this instant.
                removed += u64::from(fs::remove_file(entry.path()).is_ok());
            }
        }
    }
    Ok(removed)
}

/// Whether it is a file that is still being written: `name#NUMBER`. No key has a `#`.
fn is_staged(name: &OsStr) -> bool {
    let number = name.as_bytes().rsplit(|b| *b == b'#').next().unwrap_or_default();
    number.len() < name.len() && !number.is_empty() && number.iter().all(u8::is_ascii_digit)
}

fn is_older(entry: &DirEntry, age: Duration) -> bool {
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|elapsed| elapsed >= age))
}
