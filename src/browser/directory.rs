//! The directory of one browser.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::PrintError;
use super::process::nobody;

const PREFIX: &str = "pymd-print-";

/// A directory for one browser, which goes with it.
pub struct Directory(PathBuf);

impl Directory {
    /// Makes it below `parent`, for nobody else than the browser's user.
    pub fn make(parent: &Path) -> Result<Self, PrintError> {
        let path = parent.join(format!("{PREFIX}{}", Uuid::now_v7().simple()));
        let error = |source| PrintError::Io { action: "make the browser's directory", source };
        DirBuilder::new().mode(0o700).create(&path).map_err(error)?;
        let directory = Self(path);
        if let Some(id) = nobody() {
            chown(&directory.0, Some(id), Some(id)).map_err(error)?;
        }
        Ok(directory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it, away from the threads that serve.
    pub async fn remove(self) {
        // Nobody waits for its result; what could not be removed is swept up later.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a browser's directory is left");
        }
    }
}

/// Removes what killed servers have left.
pub fn sweep(parent: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // (Not through links: the directory may be one that all may write to.)
        let metadata = is_ours.then(|| entry.metadata().ok()).flatten().filter(fs::Metadata::is_dir);
        let modified = metadata.and_then(|metadata| metadata.modified().ok());
        if modified.is_some_and(|modified| modified.elapsed().is_ok_and(|elapsed| elapsed >= age)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
