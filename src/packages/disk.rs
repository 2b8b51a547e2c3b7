//! Files of ours as a store needs them: private, made aside and renamed into place, so that whoever looks sees the old
//! or the new, and whatever dies leaves rubbish in one known place only.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

/// A file system that refuses something.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// No room is left, on the disk or in a quota.
    #[error("the disk is full: cannot {action} `{}`", path.display())]
    Full {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl DiskError {
    /// Wraps an I/O error with what was tried on which path.
    pub(super) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { action, path },
            _ => Self::Io { action, path, source },
        }
    }
}

/// What hears of a step before it is taken, and can forbid it.
type Hook = dyn Fn(&'static str) -> io::Result<()> + Send + Sync;

/// The steps of a change on the disk: a hook hears of each before it is taken. Tests look at the disk then, as it
/// would be found if the process died there, or let the step fail as a full disk would.
#[derive(Clone, Default)]
pub struct Steps(Option<Arc<Hook>>);

impl Steps {
    /// Steps that `hook` hears of. An error of it fails the step.
    pub fn watched(hook: impl Fn(&'static str) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    /// Comes before the step that does `action` to `path`.
    pub(super) fn reach(&self, action: &'static str, path: &Path) -> Result<(), DiskError> {
        self.0.as_ref().map_or(Ok(()), |hook| hook(action)).map_err(DiskError::at(action, path))
    }
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Steps(watched)" } else { "Steps" })
    }
}

/// Makes a directory that only we can use, and its parents, where they are not there.
pub(super) fn private_dir(path: &Path) -> Result<(), DiskError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(DiskError::at("create", path))
}

/// Makes a new file that only we can use.
pub(super) fn create_file(path: &Path) -> Result<File, DiskError> {
    File::options().write(true).create_new(true).mode(0o600).open(path).map_err(DiskError::at("create", path))
}

/// Makes a new file with these bytes in it.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<File, DiskError> {
    let mut file = create_file(path)?;
    file.write_all(bytes).map_err(DiskError::at("write", path))?;
    Ok(file)
}

/// Waits until the file's bytes, or the directory's names, outlive a power cut.
pub(super) fn sync(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(DiskError::at("write", path))
}

/// Removes a directory with all in it; one that is not there is no error.
pub(super) fn remove_tree(path: &Path) -> Result<(), DiskError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(DiskError::at("remove", path)),
    }
}

/// Makes `to` the same file as `from`, or, where the file system cannot, a durable copy. Says whether it is the same.
pub(super) fn link_or_copy(from: &Path, to: &Path) -> Result<bool, DiskError> {
    let Err(error) = fs::hard_link(from, to) else { return Ok(true) };
    match error.kind() {
        // Another file system; no hard links there; too many of them.
        io::ErrorKind::CrossesDevices
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::Unsupported
        | io::ErrorKind::TooManyLinks => {
            let mut target = create_file(to)?;
            let mut source = File::open(from).map_err(DiskError::at("read", from))?;
            io::copy(&mut source, &mut target).and_then(|_| target.sync_all()).map_err(DiskError::at("write", to))?;
            Ok(false)
        }
        _ => Err(DiskError::at("link", to)(error)),
    }
}

/// Where things are made aside. On the same file system as their places, so that they can be renamed into them.
#[derive(Debug)]
pub(super) struct StagingArea {
    dir: PathBuf,
}

impl StagingArea {
    /// Opens the area `dir`, and makes it if need be.
    pub(super) fn open(dir: PathBuf) -> Result<Self, DiskError> {
        private_dir(&dir)?;
        Ok(Self { dir })
    }

    /// A new empty directory.
    pub(super) fn create(&self) -> Result<Staging, DiskError> {
        // Between its birth and its lock it would look like a dead builder's to `sweep`.
        let gate = self.gate()?;
        gate.lock_shared().map_err(DiskError::at("lock", &self.dir))?;
        let path = self.dir.join(Uuid::now_v7().to_string());
        DirBuilder::new().mode(0o700).create(&path).map_err(DiskError::at("create", &path))?;
        let lock =
            File::open(&path).and_then(|lock| lock.lock().map(|()| lock)).map_err(DiskError::at("lock", &path))?;
        Ok(Staging { path, published: false, _lock: lock })
    }

    /// Takes `path` away at once, and then deletes it.
    pub(super) fn discard(&self, path: &Path) -> Result<(), DiskError> {
        let staging = self.create()?;
        match fs::rename(path, staging.path.join("discarded")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(DiskError::at("remove", path)),
        }
    }

    /// Removes what dead builders left, and says how many they were.
    pub(super) fn sweep(&self) -> Result<usize, DiskError> {
        let mut dead = Vec::new();
        {
            let gate = self.gate()?;
            gate.lock().map_err(DiskError::at("lock", &self.dir))?;
            for entry in fs::read_dir(&self.dir).map_err(DiskError::at("list", &self.dir))? {
                let path = entry.map_err(DiskError::at("list", &self.dir))?.path();
                if !path.is_dir() {
                    continue;
                }
                // Its lock is kept, so that two sweeps do not meet in one directory.
                if let Ok(lock) = File::open(&path)
                    && lock.try_lock().is_ok()
                {
                    dead.push((path, lock));
                }
            }
        }
        for (path, _lock) in &dead {
            remove_tree(path)?;
        }
        Ok(dead.len())
    }

    fn gate(&self) -> Result<File, DiskError> {
        let path = self.dir.join("lock");
        let opened = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        opened.map_err(DiskError::at("lock", &path))
    }
}

/// A directory being made; removed when dropped, unless it was published.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    published: bool,
    /// Tells other processes that its maker lives.
    _lock: File,
}

impl Staging {
    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in its place. If something is there already, that stays, and the staged directory comes back.
    pub(super) fn publish(mut self, place: &Path) -> Result<Option<Self>, DiskError> {
        match fs::rename(&self.path, place) {
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) => {
                Ok(Some(self))
            }
            other => {
                other.map_err(DiskError::at("write", place))?;
                self.published = true;
                Ok(None)
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = remove_tree(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove what was not finished");
        }
    }
}
