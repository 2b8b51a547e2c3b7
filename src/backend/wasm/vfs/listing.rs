//! Listing directories.

use super::errno::Errno;
use super::inode::{FIRST_COOKIE, FileType, Ino, Kind};
use super::rights::Rights;
use super::table::Fd;
use super::{Fs, Node, lower_ino, split_lower};

/// One entry of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryEntry<'a> {
    /// With this cookie the listing goes on after the entry.
    pub next: u64,
    /// The file's number.
    pub ino: Ino,
    /// What it is.
    pub file_type: FileType,
    /// Its name.
    pub name: &'a str,
}

impl Fs {
    /// Shows the entries of an open directory from a cookie on, 0 being the start, until there are no more or `show`
    /// wants no more.
    pub fn read_directory(
        &mut self,
        fd: Fd,
        cookie: u64,
        mut show: impl FnMut(DirectoryEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        let directory = self.directory_of(fd, Rights::FD_READDIR)?;
        let steps = self.list(directory, cookie, &mut show)?;
        self.step(steps);
        Ok(())
    }

    /// As [`Fs::read_directory`]; returns the steps it took.
    pub(super) fn list(
        &self,
        directory: Ino,
        cookie: u64,
        show: &mut dyn FnMut(DirectoryEntry<'_>) -> bool,
    ) -> Result<u64, Errno> {
        let mut steps = 1;
        let dots = [(0, ".", directory), (1, "..", self.parent_of(directory).unwrap_or(directory))];
        for (at, name, ino) in dots {
            let entry = DirectoryEntry { next: at + 1, ino, file_type: FileType::Directory, name };
            if cookie <= at && !show(entry) {
                return Ok(steps);
            }
        }
        // After `..` comes the first entry, whose own cookie follows.
        let first = if cookie < FIRST_COOKIE { FIRST_COOKIE } else { cookie.saturating_add(1) };
        match self.node(directory)? {
            Node::Own(inode) => {
                let Kind::Directory(entries) = &inode.kind else { return Err(Errno::Notdir) };
                for (next, name, ino) in entries.entries_from(first) {
                    steps += 1;
                    if !show(DirectoryEntry { next, ino, file_type: self.file_type(ino)?, name }) {
                        break;
                    }
                }
            }
            Node::Lower(tree, node) => {
                let mount = split_lower(directory).ok_or(Errno::Noent)?.0;
                let skipped = usize::try_from(first - FIRST_COOKIE).unwrap_or(usize::MAX);
                for (at, child) in tree.children(node).iter().enumerate().skip(skipped) {
                    steps += 1;
                    let (file_type, name) = (tree.type_of(*child), tree.name_of(*child));
                    let next = at as u64 + FIRST_COOKIE;
                    if !show(DirectoryEntry { next, ino: lower_ino(mount, *child), file_type, name }) {
                        break;
                    }
                }
            }
        }
        Ok(steps)
    }
}
