//! Telling two states of a file system apart.

use std::sync::Arc;

use super::content::{CHUNK, Content};
use super::inode::{Directory, Ino, Inode, Kind};
use super::table::Handle;
use super::{Fs, ROOT, split_lower};

/// What a file costs beside its bytes, more or less.
const INODE_BYTES: u64 = 256;

impl Fs {
    /// The first thing by which this file system differs from an `earlier` state of it, in words; none where a guest
    /// would find the same files, directories, links and open descriptors. Times and positions are not looked at.
    ///
    /// Costs time in proportion to what the guest owns.
    pub fn difference(&self, earlier: &Self) -> Option<String> {
        let made = self.inodes.keys().find(|number| !earlier.inodes.contains_key(number));
        if let Some(made) = made {
            return Some(format!("{} was made", self.path_to(*made)));
        }
        let changed =
            |(number, inode): &(&Ino, &Inode)| earlier.inodes.get(number).is_some_and(|before| !same(inode, before));
        if let Some((gone, _)) = earlier.inodes.iter().find(|(number, _)| !self.inodes.contains_key(number)) {
            return Some(format!("{} was removed", earlier.path_to(*gone)));
        }
        if let Some((changed, _)) = self.inodes.iter().find(changed) {
            return Some(format!("{} was changed", self.path_to(*changed)));
        }
        let open = |fs: &Self| -> Vec<(u32, Handle)> { fs.table.iter().map(|(fd, file)| (fd, file.handle)).collect() };
        let (now, before) = (open(self), open(earlier));
        let left = now.iter().find(|entry| !before.contains(entry));
        match left {
            Some((_, Handle::File(number))) => Some(format!("{} was left open", self.path_to(*number))),
            Some((_, Handle::Stdio(_))) => Some("a standard stream was moved".to_owned()),
            None if now.len() != before.len() => Some("a descriptor was closed".to_owned()),
            None => None,
        }
    }

    /// Bytes of memory that it takes beside `other`, with which it may share files and pieces of files; those that lie below
    /// in memory count, too. Costs time in proportion to what the guest owns.
    pub fn bytes_beyond(&self, other: Option<&Self>) -> u64 {
        let own = self.inodes.iter().map(|(number, inode)| {
            let there = other.and_then(|other| other.inodes.get(number));
            match (&inode.kind, there.map(|there| &there.kind)) {
                (Kind::File(content), Some(Kind::File(there))) => content.bytes_beyond(Some(there)),
                (Kind::File(content), _) => content.bytes_beyond(None).saturating_add(INODE_BYTES),
                (_, Some(_)) => 0,
                (_, None) => INODE_BYTES,
            }
        });
        let shown = self.mounts.iter().filter(|mount| {
            let has = |other: &Self| other.mounts.iter().any(|there| Arc::ptr_eq(&there.tree, &mount.tree));
            !other.is_some_and(has)
        });
        own.chain(shown.map(|mount| mount.tree.memory_bytes())).fold(0, u64::saturating_add)
    }

    /// One of a file's paths, for messages; within its layer where it lies in one.
    fn path_to(&self, wanted: Ino) -> String {
        if let Some((mount, node)) = split_lower(wanted) {
            return self.mounts.get(mount).map_or_else(String::new, |mount| mount.tree.path_of(node));
        }
        let mut path = String::new();
        let mut at = wanted;
        // Each step goes up a directory, of which there are only so many.
        for _ in 0..=self.account.quota.path_depth {
            let found = self.inodes.iter().find_map(|(parent, inode)| match &inode.kind {
                Kind::Directory(directory) => {
                    directory.entries().find(|(_, ino)| *ino == at).map(|(name, _)| (*parent, name))
                }
                _ => None,
            });
            let Some((parent, name)) = found else { break };
            path = format!("/{name}{path}");
            at = parent;
        }
        match (path.is_empty(), wanted) {
            (true, ROOT) => "/".to_owned(),
            (true, _) => "a file without a name".to_owned(),
            (false, _) => path,
        }
    }
}

fn same(one: &Inode, other: &Inode) -> bool {
    one.links == other.links
        && match (&one.kind, &other.kind) {
            (Kind::File(one), Kind::File(other)) => same_content(one, other),
            (Kind::Directory(one), Kind::Directory(other)) => same_entries(one, other),
            (Kind::Symlink(one), Kind::Symlink(other)) => one == other,
            _ => false,
        }
}

fn same_entries(one: &Directory, other: &Directory) -> bool {
    one.parent == other.parent && one.entries().eq(other.entries())
}

fn same_content(one: &Content, other: &Content) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (mut left, mut right) = (vec![0_u8; CHUNK], vec![0_u8; CHUNK]);
    (0..one.len().div_ceil(CHUNK as u64)).all(|chunk| {
        let at = chunk * CHUNK as u64;
        let (read, also) = (one.read_at(at, &mut left), other.read_at(at, &mut right));
        left[..read] == right[..also]
    })
}
