//! A file system at rest: all that is the guest's own, as what has changed since the state before. What lies below it is
//! not part of it, only a digest by which the same is told from something else.
//!
//! The bytes of files are not in [`SavedFs`] but in pieces behind it, in the order in which it names them.

use std::io::{self, Read};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::content::{CHUNK, Content};
use super::inode::{Directory, Inode, Kind};
use super::table::FdTable;
use super::{Fd, Fs, Handle, Ino, OpenFile, ROOT, Times, split_lower};

/// A file system at rest.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedFs {
    below: [u8; 32],
    gone: Vec<Ino>,
    changed: Vec<(Ino, SavedInode)>,
    open: Vec<(Fd, OpenFile)>,
    free: Vec<Fd>,
    next_fd: Fd,
    next_ino: Ino,
    /// Bytes and inodes that count against the quota.
    charged: (u64, u64),
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedInode {
    kind: SavedKind,
    links: u64,
    opens: u64,
    times: Times,
}

#[derive(Debug, Serialize, Deserialize)]
enum SavedKind {
    /// Chunks that are there no more, and the numbers and lengths of those in the pieces.
    File {
        len: u64,
        gone: Vec<u64>,
        chunks: Vec<(u64, u32)>,
    },
    /// Cookie, name and number of each entry.
    Directory {
        parent: Ino,
        subdirectories: u64,
        entries: Vec<(u64, String, Ino)>,
        next_cookie: u64,
    },
    Symlink(String),
}

/// Why a file system at rest can't be gone on from.
#[derive(Debug, thiserror::Error)]
pub enum BadFs {
    /// It lies over other files than those it was saved over.
    #[error("other files lie below than those that lay there when it was saved")]
    Below,
    /// It is not whole.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The pieces can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl SavedFs {
    /// How many entries of directories and files it has to name.
    pub fn entries(&self) -> usize {
        let of = |inode: &SavedInode| match &inode.kind {
            SavedKind::File { chunks, .. } => 1 + chunks.len(),
            SavedKind::Directory { entries, .. } => 1 + entries.len(),
            SavedKind::Symlink(_) => 1,
        };
        self.changed.iter().map(|(_, inode)| of(inode)).sum()
    }
}

impl Fs {
    /// What has changed since `before`; without it, all that is the guest's own. The bytes go to `pieces`.
    pub fn save<'a>(&'a self, before: Option<&Self>, pieces: &mut Vec<&'a [u8]>) -> SavedFs {
        let there = |ino: &Ino| before.and_then(|before| before.inodes.get(ino));
        // What two states share is in one place.
        let changed =
            self.inodes.iter().filter(|(ino, inode)| !there(ino).is_some_and(|old| std::ptr::eq(old, *inode)));
        let changed = changed.map(|(ino, inode)| (*ino, save_inode(inode, there(ino), pieces))).collect();
        let gone = before.map(|before| before.inodes.keys().filter(|ino| !self.inodes.contains_key(*ino)).copied());
        let (free, next_fd) = self.table.free_numbers();
        SavedFs {
            below: self.below(),
            gone: gone.map(Iterator::collect).unwrap_or_default(),
            changed,
            open: self.table.iter().map(|(fd, file)| (fd, *file)).collect(),
            free,
            next_fd,
            next_ino: self.next_ino,
            charged: (self.account.bytes, self.account.inodes),
        }
    }

    /// The file system that was saved after `before`, over what lies below `base`.
    ///
    /// # Errors
    /// It was saved over something else, or is not whole.
    pub fn restored(saved: SavedFs, before: Option<&Self>, base: &Self, pieces: &mut impl Read) -> Result<Self, BadFs> {
        if saved.below != base.below() {
            return Err(BadFs::Below);
        }
        let mut inodes = before.map(|before| before.inodes.clone()).unwrap_or_default();
        for ino in saved.gone {
            inodes.remove_mut(&ino);
        }
        for (ino, inode) in saved.changed {
            let restored = restore_inode(inode, inodes.get(&ino), pieces)?;
            inodes.insert_mut(ino, restored);
        }
        let table = FdTable::of(saved.open, saved.free, saved.next_fd);
        let mut fs = Self { inodes, table, next_ino: saved.next_ino, steps: 0, ..base.clone() };
        (fs.account.bytes, fs.account.inodes) = saved.charged;
        fs.check()?;
        Ok(fs)
    }

    /// Stands for the names and kinds of what lies below.
    fn below(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for mount in self.mounts.iter() {
            hasher.update(&mount.parent.to_le_bytes()).update(mount.tree.shape().as_bytes());
        }
        for name in self.preopens.iter() {
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// Whether all that is named is there.
    fn check(&self) -> Result<(), BadFs> {
        let is_there = |ino: Ino| match split_lower(ino) {
            Some((mount, node)) => {
                self.mounts.get(mount).is_some_and(|mount| (node as usize) < mount.tree.node_count())
            }
            None => ino < self.next_ino && self.inodes.contains_key(&ino),
        };
        let is_directory = |ino: Ino| matches!(self.inodes.get(&ino), Some(Inode { kind: Kind::Directory(_), .. }));
        if !is_directory(ROOT) {
            return Err(BadFs::Missing("the root"));
        }
        for inode in self.inodes.values() {
            let Kind::Directory(directory) = &inode.kind else { continue };
            if !is_directory(directory.parent) || !directory.children().all(is_there) {
                return Err(BadFs::Missing("an entry of a directory"));
            }
        }
        let is_open = |file: &OpenFile| match file.handle {
            Handle::File(ino) => is_there(ino) && file.preopened.is_none_or(|at| at < self.preopens.len()),
            Handle::Stdio(_) => true,
        };
        if self.table.iter().all(|(_, file)| is_open(file)) { Ok(()) } else { Err(BadFs::Missing("an open file")) }
    }
}

fn save_inode<'a>(inode: &'a Inode, before: Option<&Inode>, pieces: &mut Vec<&'a [u8]>) -> SavedInode {
    let kind = match &inode.kind {
        Kind::File(content) => {
            let before = match before.map(|before| &before.kind) {
                Some(Kind::File(before)) => before,
                _ => &Content::default(),
            };
            let chunks = content.changed_since(before).map(|(index, chunk)| {
                pieces.push(chunk);
                (index, u32::try_from(chunk.len()).unwrap_or(u32::MAX))
            });
            SavedKind::File { len: content.len(), chunks: chunks.collect(), gone: content.gone_since(before).collect() }
        }
        Kind::Directory(directory) => SavedKind::Directory {
            parent: directory.parent,
            subdirectories: directory.subdirectories,
            entries: directory.entries_from(0).map(|(cookie, name, ino)| (cookie, name.to_string(), ino)).collect(),
            next_cookie: directory.next_cookie(),
        },
        Kind::Symlink(target) => SavedKind::Symlink(target.to_string()),
    };
    SavedInode { kind, links: inode.links, opens: inode.opens, times: inode.times }
}

fn restore_inode(saved: SavedInode, before: Option<&Inode>, pieces: &mut impl Read) -> Result<Inode, BadFs> {
    let kind = match saved.kind {
        SavedKind::File { len, gone, chunks } => {
            let mut content = match before.map(|before| &before.kind) {
                Some(Kind::File(before)) => before.clone(),
                _ => Content::default(),
            };
            for index in gone {
                content.drop_chunk(index);
            }
            for (index, len) in chunks {
                let len = usize::try_from(len).ok().filter(|len| *len <= CHUNK).ok_or(BadFs::Missing("a piece"))?;
                let mut chunk = vec![0; len];
                pieces.read_exact(&mut chunk)?;
                content.put_chunk(index, chunk);
            }
            content.declare_len(len);
            Kind::File(content)
        }
        SavedKind::Directory { parent, subdirectories, entries, next_cookie } => {
            let entries = entries.into_iter().map(|(cookie, name, ino)| (cookie, Arc::from(name), ino));
            Kind::Directory(Directory::of_entries(parent, subdirectories, entries, next_cookie))
        }
        SavedKind::Symlink(target) => Kind::Symlink(target.into()),
    };
    Ok(Inode { kind, links: saved.links, opens: saved.opens, times: saved.times })
}
