//! The table of open files.

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::{Deserialize, Serialize};

use super::errno::Errno;
use super::inode::Ino;
use super::rights::Rights;

/// A number of an open file.
pub type Fd = u32;

/// One of the standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdio {
    /// Standard input.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What an open descriptor refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handle {
    /// A standard stream, which lies outside the file system.
    Stdio(Stdio),
    /// A file or directory.
    File(Ino),
}

/// Writes go to the file's end.
pub const FDFLAG_APPEND: u16 = 1;
/// Every flag of preview 1: append, dsync, nonblock, rsync, sync. Only the first one changes anything here.
pub const FDFLAGS_ALL: u16 = 0b1_1111;

/// An open file.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct OpenFile {
    /// What is open.
    pub handle: Handle,
    /// Where the next read or write happens.
    pub position: u64,
    /// Flags of preview 1.
    pub flags: u16,
    /// What may be done with it.
    pub base: Rights,
    /// What may be done with files that are opened through it.
    pub inheriting: Rights,
    /// Which of the preopened directories it is.
    pub preopened: Option<usize>,
}

/// Open files by number; a new one gets the lowest number that is free.
#[derive(Clone)]
pub(super) struct FdTable {
    entries: RedBlackTreeMapSync<Fd, OpenFile>,
    /// Free numbers below `next`.
    free: RedBlackTreeSetSync<Fd>,
    next: Fd,
}

impl FdTable {
    pub(super) fn new() -> Self {
        Self { entries: RedBlackTreeMapSync::new_sync(), free: RedBlackTreeSetSync::new_sync(), next: 0 }
    }

    /// A table of these open files, with these free numbers below `next`.
    pub(super) fn of(entries: Vec<(Fd, OpenFile)>, free: Vec<Fd>, next: Fd) -> Self {
        Self { entries: entries.into_iter().collect(), free: free.into_iter().collect(), next }
    }

    /// The free numbers below the next one, and that one.
    pub(super) fn free_numbers(&self) -> (Vec<Fd>, Fd) {
        (self.free.iter().copied().collect(), self.next)
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.size() as u64
    }

    pub(super) fn get(&self, fd: Fd) -> Result<&OpenFile, Errno> {
        self.entries.get(&fd).ok_or(Errno::Badf)
    }

    pub(super) fn get_mut(&mut self, fd: Fd) -> Result<&mut OpenFile, Errno> {
        // Asked for first: a miss must not copy a path of the shared tree.
        if !self.entries.contains_key(&fd) {
            return Err(Errno::Badf);
        }
        self.entries.get_mut(&fd).ok_or(Errno::Badf)
    }

    pub(super) fn insert(&mut self, file: OpenFile) -> Result<Fd, Errno> {
        let fd = match self.free.first().copied() {
            Some(fd) => {
                self.free.remove_mut(&fd);
                fd
            }
            None => {
                let fd = self.next;
                self.next = fd.checked_add(1).filter(|next| *next <= i32::MAX as u32).ok_or(Errno::Mfile)?;
                fd
            }
        };
        self.entries.insert_mut(fd, file);
        Ok(fd)
    }

    pub(super) fn remove(&mut self, fd: Fd) -> Result<OpenFile, Errno> {
        let file = *self.get(fd)?;
        self.entries.remove_mut(&fd);
        self.free.insert_mut(fd);
        Ok(file)
    }

    /// Puts a file in the place of another, which is returned.
    pub(super) fn replace(&mut self, fd: Fd, file: OpenFile) -> Result<OpenFile, Errno> {
        let entry = self.get_mut(fd)?;
        Ok(std::mem::replace(entry, file))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Fd, &OpenFile)> {
        self.entries.iter().map(|(fd, file)| (*fd, file))
    }
}
