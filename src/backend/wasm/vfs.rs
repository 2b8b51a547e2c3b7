//! The guest's file system: copy-on-write, in the host's memory, over read-only lower layers.
//!
//! [`Fs`] is the directory tree, the table of inodes and the table of open files. All three are persistent maps, so a
//! clone costs nothing and shares everything until one of the two is changed; that is what checkpoints, roll-back and
//! forks are made of. The guest never creates anything on the host's disk, and quotas are exact counters.
//!
//! ```text
//! vfs.rs       Fs: the parts together, the quota         open.rs    path_open
//! setup.rs     the host's side: mounts, files            files.rs   reading, writing, positions, attributes by fd
//! resolve.rs   from a path to a file                     names.rs   making, removing, linking, renaming
//! inode.rs     files, directories, links                 content.rs chunks of a file
//! table.rs     open files     rights.rs  errno.rs        lower.rs, layer.rs, tree.rs  read-only layers
//! quota.rs     counters       compare.rs   saved.rs      listing.rs readdir
//! ```
//!
//! Paths are those of a Unix: `..` at the root is the root, absolute symbolic links start there. Each operation either
//! happens as a whole or leaves everything, the counters too, as it was. Operations count their *steps* (names looked
//! up, chunks dropped, entries listed), for which the caller charges the guest: [`Fs::take_steps`].

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rpds::RedBlackTreeMapSync;

mod compare;
mod content;
mod errno;
mod files;
mod inode;
mod layer;
mod listing;
mod lower;
mod names;
mod open;
mod quota;
mod resolve;
mod rights;
mod saved;
mod setup;
mod table;
mod tree;

pub use errno::Errno;
pub use files::{FdStat, FileReader, SetTime, Whence};
pub use inode::{FileType, Ino, Stat, Times};
pub use listing::DirectoryEntry;
pub use lower::{CapFile, LowerFile};
pub use names::PathAt;
pub use open::{OFLAG_CREATE, OFLAG_DIRECTORY, OFLAG_EXCLUSIVE, OFLAG_TRUNCATE, OpenRequest};
pub use quota::{FsQuota, FsUsage};
pub use rights::Rights;
pub use saved::{BadFs, SavedFs};
pub use table::{FDFLAG_APPEND, FDFLAGS_ALL, Fd, Handle, OpenFile, Stdio};
pub use tree::LowerTree;

use inode::{Directory, Inode, Kind};
use quota::Account;
use table::FdTable;

/// The root directory's number.
const ROOT: Ino = 1;

/// Numbers of files in the mount `m` start at `(m + 1) << MOUNT_SHIFT`.
const MOUNT_SHIFT: u32 = 40;

/// No file is longer than this.
const MAX_FILE_BYTES: u64 = i64::MAX as u64;

/// A file system with its open files. See the module's documentation.
#[derive(Clone)]
pub struct Fs {
    inodes: RedBlackTreeMapSync<Ino, Inode>,
    mounts: Arc<Vec<Mount>>,
    /// The guest's names for its preopened directories.
    preopens: Arc<Vec<String>>,
    table: FdTable,
    account: Account,
    next_ino: Ino,
    steps: u64,
}

/// A read-only tree, and the directory that it hangs in.
#[derive(Clone)]
struct Mount {
    tree: Arc<LowerTree>,
    parent: Ino,
}

/// A file, seen through to where its bytes are.
enum Node<'a> {
    Own(&'a Inode),
    Lower(&'a LowerTree, u32),
}

impl Fs {
    /// An empty file system: a root directory, the standard streams as descriptors 0 to 2, the root as descriptor 3.
    /// These are there whatever the quota says.
    pub fn new(quota: FsQuota) -> Self {
        let mut root = Inode::new(Kind::Directory(Directory::new(ROOT)), now_ns());
        root.opens = 1;
        let mut inodes = RedBlackTreeMapSync::new_sync();
        inodes.insert_mut(ROOT, root);
        Self {
            inodes,
            mounts: Arc::default(),
            preopens: Arc::new(vec!["/".to_owned()]),
            table: table_at_start(),
            account: Account { quota, bytes: 0, inodes: 1 },
            next_ino: ROOT + 1,
            steps: 0,
        }
    }

    /// Opens those of the standard streams again that the guest has closed.
    pub fn restore_stdio(&mut self) {
        for (fd, stream) in (0..).zip(standard_streams()) {
            if self.table.get(fd).is_err() {
                // The lowest free number is this one, as those below it are taken.
                let _ = self.table.insert(stream);
            }
        }
    }

    /// What it holds.
    pub fn usage(&self) -> FsUsage {
        FsUsage { bytes: self.account.bytes, inodes: self.account.inodes, open_files: self.table.len() }
    }

    /// What it may hold.
    pub fn quota(&self) -> FsQuota {
        self.account.quota
    }

    /// Sets what it may hold from now on. What it holds already stays, also where that is more.
    pub fn set_quota(&mut self, quota: FsQuota) {
        self.account.quota = quota;
    }

    /// Sets the quota of bytes and open files, and leaves the rest of it as it is.
    pub fn set_quota_limits(&mut self, bytes: u64, open_files: u32) {
        self.account.quota.bytes = bytes;
        self.account.quota.open_files = open_files.into();
    }

    /// Counts everything anew, at a cost in proportion to what there is: [`Fs::usage`] is always the same.
    pub fn recount(&self) -> FsUsage {
        let mut counted = FsUsage { open_files: self.table.iter().count() as u64, ..FsUsage::default() };
        for inode in self.inodes.values() {
            counted.bytes += inode.charged_bytes();
            counted.inodes += inode.charged_inodes();
        }
        counted
    }

    /// The steps of work since the last call; each costs the host up to about a microsecond.
    pub fn take_steps(&mut self) -> u64 {
        std::mem::take(&mut self.steps)
    }

    fn step(&mut self, steps: u64) {
        self.steps = self.steps.saturating_add(steps);
    }

    /// The inode of a file of the guest's own; `EROFS` for one of a read-only layer.
    fn own_mut(&mut self, ino: Ino) -> Result<&mut Inode, Errno> {
        if is_lower(ino) {
            return Err(Errno::Rofs);
        }
        if !self.inodes.contains_key(&ino) {
            return Err(Errno::Noent);
        }
        self.inodes.get_mut(&ino).ok_or(Errno::Noent)
    }

    /// The directory of the guest's own with that number.
    fn directory_mut(&mut self, ino: Ino) -> Result<&mut Directory, Errno> {
        match &mut self.own_mut(ino)?.kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(Errno::Notdir),
        }
    }

    fn node(&self, ino: Ino) -> Result<Node<'_>, Errno> {
        match split_lower(ino) {
            Some((mount, node)) => {
                let mount = self.mounts.get(mount).ok_or(Errno::Noent)?;
                Ok(Node::Lower(&mount.tree, node))
            }
            None => self.inodes.get(&ino).map(Node::Own).ok_or(Errno::Noent),
        }
    }

    fn file_type(&self, ino: Ino) -> Result<FileType, Errno> {
        Ok(match self.node(ino)? {
            Node::Own(inode) => inode.file_type(),
            Node::Lower(tree, node) => tree.type_of(node),
        })
    }

    fn stat_of(&self, ino: Ino) -> Result<Stat, Errno> {
        let (tree, node) = match self.node(ino)? {
            Node::Own(inode) => return Ok(inode.stat(ino)),
            Node::Lower(tree, node) => (tree, node),
        };
        let file_type = tree.type_of(node);
        let links = if file_type == FileType::Directory { 2 + tree.subdirectories(node) } else { 1 };
        let times = Times::all(tree.modified_ns_of(node));
        Ok(Stat { device: 1, ino, file_type, links, size: tree.len_of(node), times })
    }

    /// The directory that a directory lies in; the root's is the root.
    fn parent_of(&self, directory: Ino) -> Result<Ino, Errno> {
        match split_lower(directory) {
            Some((mount, 0)) => self.mounts.get(mount).map(|mount| mount.parent).ok_or(Errno::Noent),
            Some((mount, node)) => {
                let tree = &self.mounts.get(mount).ok_or(Errno::Noent)?.tree;
                Ok(lower_ino(mount, tree.parent_of(node)))
            }
            None => match self.inodes.get(&directory).map(|inode| &inode.kind) {
                Some(Kind::Directory(directory)) => Ok(directory.parent),
                Some(_) => Err(Errno::Notdir),
                None => Err(Errno::Noent),
            },
        }
    }

    /// Forgets an inode that no name and no descriptor refers to.
    fn release(&mut self, ino: Ino) {
        let Some(inode) = self.inodes.get(&ino) else { return };
        if inode.links > 0 || inode.opens > 0 {
            return;
        }
        let (bytes, inodes) = (inode.charged_bytes(), inode.charged_inodes());
        if let Kind::File(content) = &inode.kind {
            let chunks = content.chunks();
            self.steps = self.steps.saturating_add(chunks);
        }
        self.account.give_bytes(bytes);
        self.account.give_inodes(inodes);
        self.inodes.remove_mut(&ino);
    }
}

/// The standard streams as they are at the start, in the order of their descriptors.
fn standard_streams() -> [OpenFile; 3] {
    let stream = |stdio, flags, base| OpenFile {
        handle: Handle::Stdio(stdio),
        position: 0,
        flags,
        base,
        inheriting: Rights::NONE,
        preopened: None,
    };
    [
        stream(Stdio::Stdin, 0, Rights::STDIN),
        stream(Stdio::Stdout, FDFLAG_APPEND, Rights::STDOUT),
        stream(Stdio::Stderr, FDFLAG_APPEND, Rights::STDOUT),
    ]
}

fn table_at_start() -> FdTable {
    let root = OpenFile {
        handle: Handle::File(ROOT),
        position: 0,
        flags: 0,
        base: Rights::DIRECTORY,
        inheriting: Rights::INHERITING,
        preopened: Some(0),
    };
    let mut table = FdTable::new();
    for file in standard_streams().into_iter().chain([root]) {
        // An empty table has room for four.
        let _ = table.insert(file);
    }
    table
}

/// Whether a number is one of a read-only tree.
fn is_lower(ino: Ino) -> bool {
    ino >> MOUNT_SHIFT != 0
}

/// The mount and the node of a number of a read-only tree.
fn split_lower(ino: Ino) -> Option<(usize, u32)> {
    let mount = usize::try_from((ino >> MOUNT_SHIFT).checked_sub(1)?).ok()?;
    let node = u32::try_from(ino & ((1 << MOUNT_SHIFT) - 1)).ok()?;
    Some((mount, node))
}

fn lower_ino(mount: usize, node: u32) -> Ino {
    ((mount as u64 + 1) << MOUNT_SHIFT) | u64::from(node)
}

/// Nanoseconds since 1970; 0 on a host whose clock stands before that.
fn now_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
