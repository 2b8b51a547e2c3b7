//! What a file system knows about one file of the guest's own.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use super::content::Content;

/// A file's number. Numbers are never used twice; those of read-only trees lie in a range of their own.
pub type Ino = u64;

/// What a file is, with the numbers of preview 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FileType {
    /// Nothing that is known.
    Unknown = 0,
    /// A stream of characters: standard input, output and error.
    CharacterDevice = 2,
    /// A directory.
    Directory = 3,
    /// A file.
    RegularFile = 4,
    /// A symbolic link.
    SymbolicLink = 7,
}

/// The three times of a file, in nanoseconds since 1970. Reading a file does not change `accessed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Times {
    /// Last access.
    pub accessed: u64,
    /// Last change of the content.
    pub modified: u64,
    /// Last change of content or attributes.
    pub changed: u64,
}

impl Times {
    pub(super) fn all(now: u64) -> Self {
        Self { accessed: now, modified: now, changed: now }
    }

    /// The content has changed.
    pub(super) fn touch(&mut self, now: u64) {
        self.modified = now;
        self.changed = now;
    }
}

/// The attributes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The device: 1 for files, 2 for the standard streams.
    pub device: u64,
    /// The file's number on that device.
    pub ino: Ino,
    /// What it is.
    pub file_type: FileType,
    /// How many names it has; for a directory, 2 and one for each of its directories.
    pub links: u64,
    /// Its length in bytes: of a symbolic link the target's, of a directory 0.
    pub size: u64,
    /// Its times.
    pub times: Times,
}

/// A file, directory or symbolic link of the guest's own.
#[derive(Clone)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    /// Names that lead to it; 0 for one that is only still open.
    pub(super) links: u64,
    /// Open descriptors that refer to it.
    pub(super) opens: u64,
    pub(super) times: Times,
}

#[derive(Clone)]
pub(super) enum Kind {
    File(Content),
    Directory(Directory),
    Symlink(Arc<str>),
}

impl Inode {
    pub(super) fn new(kind: Kind, now: u64) -> Self {
        Self { kind, links: 1, opens: 0, times: Times::all(now) }
    }

    pub(super) fn file_type(&self) -> FileType {
        match self.kind {
            Kind::File(_) => FileType::RegularFile,
            Kind::Directory(_) => FileType::Directory,
            Kind::Symlink(_) => FileType::SymbolicLink,
        }
    }

    /// The bytes that count against the quota.
    pub(super) fn charged_bytes(&self) -> u64 {
        match &self.kind {
            Kind::File(content) => content.len(),
            Kind::Symlink(target) => target.len() as u64,
            Kind::Directory(_) => 0,
        }
    }

    /// The inodes that count against the quota: one, and one for each further name.
    pub(super) fn charged_inodes(&self) -> u64 {
        self.links.max(1)
    }

    pub(super) fn stat(&self, ino: Ino) -> Stat {
        let links = match &self.kind {
            Kind::Directory(directory) if self.links > 0 => 2 + directory.subdirectories,
            _ => self.links,
        };
        Stat { device: 1, ino, file_type: self.file_type(), links, size: self.charged_bytes(), times: self.times }
    }
}

/// The first entry's cookie: 0 starts a listing, 1 and 2 follow `.` and `..`.
pub(super) const FIRST_COOKIE: u64 = 3;

/// A directory's entries, by name and in the order in which they came.
///
/// An entry's place in that order is its `readdir` cookie and never changes, so that a listing that goes on after
/// entries were removed misses none and shows none twice.
#[derive(Clone)]
pub(super) struct Directory {
    pub(super) parent: Ino,
    /// How many entries are directories.
    pub(super) subdirectories: u64,
    by_name: RedBlackTreeMapSync<Arc<str>, Entry>,
    by_cookie: RedBlackTreeMapSync<u64, Arc<str>>,
    next_cookie: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) ino: Ino,
    cookie: u64,
}

impl Directory {
    pub(super) fn new(parent: Ino) -> Self {
        Self {
            parent,
            subdirectories: 0,
            by_name: RedBlackTreeMapSync::new_sync(),
            by_cookie: RedBlackTreeMapSync::new_sync(),
            next_cookie: FIRST_COOKIE,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<Ino> {
        self.by_name.get(name).map(|entry| entry.ino)
    }

    /// Puts an entry in, in the place of one of that name where there is one.
    pub(super) fn insert(&mut self, name: &Arc<str>, ino: Ino) {
        if let Some(entry) = self.by_name.get_mut(&**name) {
            entry.ino = ino;
            return;
        }
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        self.by_cookie.insert_mut(cookie, Arc::clone(name));
        self.by_name.insert_mut(Arc::clone(name), Entry { ino, cookie });
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some(entry) = self.by_name.get(name).copied() {
            self.by_cookie.remove_mut(&entry.cookie);
            self.by_name.remove_mut(name);
        }
    }

    /// The cookie of the entry that comes next.
    pub(super) fn next_cookie(&self) -> u64 {
        self.next_cookie
    }

    /// A directory of these entries: cookie, name, file number.
    pub(super) fn of_entries(
        parent: Ino,
        subdirectories: u64,
        entries: impl IntoIterator<Item = (u64, Arc<str>, Ino)>,
        next_cookie: u64,
    ) -> Self {
        let mut directory = Self { subdirectories, next_cookie, ..Self::new(parent) };
        for (cookie, name, ino) in entries {
            directory.by_cookie.insert_mut(cookie, Arc::clone(&name));
            directory.by_name.insert_mut(name, Entry { ino, cookie });
        }
        directory
    }

    /// The entries whose cookie is at least `first`, in order: cookie, name, file number.
    pub(super) fn entries_from(&self, first: u64) -> impl Iterator<Item = (u64, &Arc<str>, Ino)> {
        self.by_cookie
            .range(first..)
            .filter_map(|(cookie, name)| self.by_name.get(&**name).map(|entry| (*cookie, name, entry.ino)))
    }

    /// Names and file numbers in the order of the names.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Arc<str>, Ino)> {
        self.by_name.iter().map(|(name, entry)| (name, entry.ino))
    }

    /// The file numbers of all entries.
    pub(super) fn children(&self) -> impl Iterator<Item = Ino> {
        self.by_name.values().map(|entry| entry.ino)
    }
}
