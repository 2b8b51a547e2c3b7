//! A directory of the host's that a read-only tree is made of.

use std::io;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};

/// Names are read in pieces of that many bytes.
const LISTING_BYTES: usize = 32 << 10;

/// A directory of the host's, whose files are reached through it alone: no name leads out of it.
pub(super) enum Layer {
    /// Held open.
    Open(Dir),
    /// Opened when it is needed: an environment has hundreds, and a process may hold only so many open.
    At(PathBuf),
}

/// A layer's directory as long as it is needed.
pub(super) enum Held<'a> {
    Borrowed(&'a Dir),
    Own(Dir),
}

impl Layer {
    pub(super) fn dir(&self) -> io::Result<Held<'_>> {
        match self {
            Self::Open(dir) => Ok(Held::Borrowed(dir)),
            Self::At(path) => Dir::open_ambient_dir(path, ambient_authority()).map(Held::Own),
        }
    }
}

impl Deref for Held<'_> {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        match self {
            Self::Borrowed(dir) => dir,
            Self::Own(dir) => dir,
        }
    }
}

/// The directory `name` of an open directory; a symbolic link is none.
pub(super) fn open_below(dir: &impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

/// Shows the directories, files and symbolic links in a directory that was just opened. Names that are not UTF-8, and
/// what is nothing of these, are left out.
pub(super) fn list(dir: &impl AsFd, mut show: impl FnMut(&str, FileType)) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); LISTING_BYTES];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            // Not every file system says it here.
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        if matches!(kind, FileType::Directory | FileType::RegularFile | FileType::Symlink) {
            show(name, kind);
        }
    }
    Ok(())
}
