//! Names: making, removing, linking and renaming files, and asking for attributes by path.

use std::sync::Arc;

use super::content::Content;
use super::errno::Errno;
use super::files::SetTime;
use super::inode::{Directory, FileType, Ino, Inode, Kind, Stat};
use super::resolve::{Follow, Found, Last, MAX_PATH_BYTES};
use super::rights::Rights;
use super::table::Fd;
use super::{Fs, ROOT, is_lower, now_ns, split_lower};

/// A path, and the open directory that it starts at.
#[derive(Debug, Clone, Copy)]
pub struct PathAt<'a> {
    /// The directory.
    pub directory: Fd,
    /// The path.
    pub path: &'a str,
}

impl Fs {
    fn find(&mut self, at: PathAt<'_>, needed: Rights, follow: Follow) -> Result<Found, Errno> {
        let directory = self.directory_of(at.directory, needed)?;
        self.resolve(directory, at.path, follow)
    }

    /// The attributes of a file.
    pub fn path_stat(&mut self, at: PathAt<'_>, follow: bool) -> Result<Stat, Errno> {
        let found = self.find(at, Rights::PATH_FILESTAT_GET, follow.into())?;
        self.stat_of(found.existing(self)?)
    }

    /// Sets the times of a file.
    pub fn set_path_times(
        &mut self,
        at: PathAt<'_>,
        follow: bool,
        accessed: SetTime,
        modified: SetTime,
    ) -> Result<(), Errno> {
        let found = self.find(at, Rights::PATH_FILESTAT_SET_TIMES, follow.into())?;
        self.set_times_of(found.existing(self)?, accessed, modified)
    }

    /// Where a symbolic link leads; `EINVAL` for any other file.
    pub fn read_link(&mut self, at: PathAt<'_>) -> Result<Arc<str>, Errno> {
        let found = self.find(at, Rights::PATH_READLINK, Follow::WithSlash)?;
        self.link_target(found.existing(self)?)?.ok_or(Errno::Inval)
    }

    /// Makes a directory.
    pub fn make_directory(&mut self, at: PathAt<'_>) -> Result<(), Errno> {
        let found = self.find(at, Rights::PATH_CREATE_DIRECTORY, Follow::Never)?;
        let name = new_name(&found)?;
        self.create(found.parent, name, Kind::Directory(Directory::new(found.parent)))?;
        Ok(())
    }

    /// Makes a symbolic link to `target`, which may be anything but empty.
    pub fn symlink(&mut self, target: &str, at: PathAt<'_>) -> Result<(), Errno> {
        if target.is_empty() {
            return Err(Errno::Noent);
        }
        if target.len() > MAX_PATH_BYTES {
            return Err(Errno::Nametoolong);
        }
        if target.contains('\0') {
            return Err(Errno::Inval);
        }
        let found = self.find(at, Rights::PATH_SYMLINK, Follow::Never)?;
        let name = new_name(&found)?;
        if found.wants_directory {
            return Err(Errno::Noent);
        }
        self.create(found.parent, name, Kind::Symlink(target.into()))?;
        Ok(())
    }

    /// Gives a file one more name: `EPERM` for directories, `EXDEV` for files of a read-only layer.
    pub fn link(&mut self, from: PathAt<'_>, follow: bool, to: PathAt<'_>) -> Result<(), Errno> {
        let source = self.find(from, Rights::PATH_LINK_SOURCE, follow.into())?.existing(self)?;
        let target = self.find(to, Rights::PATH_LINK_TARGET, Follow::Never)?;
        let name = new_name(&target)?;
        if target.wants_directory {
            return Err(Errno::Noent);
        }
        if self.file_type(source)? == FileType::Directory {
            return Err(Errno::Perm);
        }
        self.check_new_name(target.parent)?;
        if is_lower(source) {
            return Err(Errno::Xdev);
        }
        self.account.take_inode()?;
        let now = now_ns();
        let inode = self.own_mut(source)?;
        inode.links += 1;
        inode.times.changed = now;
        self.attach(target.parent, name, source, now)
    }

    /// Removes a name of a file that is no directory. The file is gone with its last name and its last descriptor.
    pub fn unlink(&mut self, at: PathAt<'_>) -> Result<(), Errno> {
        let found = self.find(at, Rights::PATH_UNLINK_FILE, Follow::Never)?;
        let node = found.node.ok_or(Errno::Noent)?;
        if self.file_type(node)? == FileType::Directory {
            return Err(Errno::Isdir);
        }
        let node = found.existing(self)?;
        let Last::Name(name) = &found.last else { return Err(Errno::Isdir) };
        self.check_removable(found.parent, node)?;
        self.detach(found.parent, name, node, now_ns())
    }

    /// Removes an empty directory.
    pub fn remove_directory(&mut self, at: PathAt<'_>) -> Result<(), Errno> {
        let found = self.find(at, Rights::PATH_REMOVE_DIRECTORY, Follow::Never)?;
        let node = found.existing(self)?;
        let name = match &found.last {
            Last::Name(name) => name,
            Last::Dot => return Err(Errno::Inval),
            Last::DotDot => return Err(Errno::Notempty),
            Last::Root => return Err(Errno::Busy),
        };
        if self.file_type(node)? != FileType::Directory {
            return Err(Errno::Notdir);
        }
        self.check_removable(found.parent, node)?;
        if !self.directory_mut(node)?.is_empty() {
            return Err(Errno::Notempty);
        }
        self.detach(found.parent, name, node, now_ns())
    }

    /// Gives a file another name, in the place of the file that has it.
    pub fn rename(&mut self, from: PathAt<'_>, to: PathAt<'_>) -> Result<(), Errno> {
        let old = self.find(from, Rights::PATH_RENAME_SOURCE, Follow::Never)?;
        let new = self.find(to, Rights::PATH_RENAME_TARGET, Follow::Never)?;
        let (Last::Name(old_name), Last::Name(new_name)) = (&old.last, &new.last) else { return Err(Errno::Busy) };
        let node = old.existing(self)?;
        let is_directory = self.file_type(node)? == FileType::Directory;
        if mount_of(old.parent) != mount_of(new.parent) {
            return Err(Errno::Xdev);
        }
        if new.wants_directory && !is_directory {
            return Err(Errno::Notdir);
        }
        self.check_removable(old.parent, node)?;
        if new.node == Some(node) {
            return Ok(());
        }
        if is_directory {
            self.check_not_inside(new.parent, node)?;
        }
        if let Some(replaced) = new.node {
            // What the file lies in is not empty, whatever the file is.
            self.check_not_inside(old.parent, replaced).map_err(|errno| match errno {
                Errno::Inval => Errno::Notempty,
                other => other,
            })?;
            self.check_replaceable(new.parent, replaced, is_directory)?;
        }
        let depth = self.check_new_name(new.parent)?;
        if is_directory {
            self.check_height(node, depth)?;
        }
        let now = now_ns();
        if let Some(replaced) = new.node {
            // Its entry stays and gets the new file, so that a listing shows the name once.
            let was_directory = self.drop_link(replaced, now)?;
            self.directory_mut(new.parent)?.subdirectories -= u64::from(was_directory);
        }
        self.unhook(old.parent, old_name, is_directory, now)?;
        self.attach(new.parent, new_name, node, now)?;
        self.own_mut(node)?.times.changed = now;
        Ok(())
    }

    /// Makes an empty file.
    pub(super) fn create_file(&mut self, parent: Ino, name: &Arc<str>) -> Result<Ino, Errno> {
        self.create(parent, name, Kind::File(Content::default()))
    }

    pub(super) fn create(&mut self, parent: Ino, name: &Arc<str>, kind: Kind) -> Result<Ino, Errno> {
        self.check_new_name(parent)?;
        let now = now_ns();
        let inode = Inode::new(kind, now);
        let mut account = self.account;
        account.take_inode()?;
        account.take_bytes(inode.charged_bytes())?;
        let ino = self.next_ino;
        if is_lower(ino) {
            return Err(Errno::Nospc);
        }
        self.next_ino += 1;
        self.account = account;
        self.inodes.insert_mut(ino, inode);
        self.attach(parent, name, ino, now)?;
        Ok(ino)
    }

    /// Whether a name can be made in a directory, and how many directories lie above it.
    fn check_new_name(&mut self, parent: Ino) -> Result<u64, Errno> {
        if self.own_mut(parent)?.links == 0 {
            return Err(Errno::Noent);
        }
        self.depth(parent)
    }

    /// `EROFS` for what lies in a read-only layer, and for the places where layers are mounted.
    fn check_removable(&self, parent: Ino, node: Ino) -> Result<(), Errno> {
        if is_lower(parent) || is_lower(node) { Err(Errno::Rofs) } else { Ok(()) }
    }

    fn check_replaceable(&mut self, parent: Ino, replaced: Ino, by_directory: bool) -> Result<(), Errno> {
        self.check_removable(parent, replaced)?;
        match (&self.own_mut(replaced)?.kind, by_directory) {
            (Kind::Directory(_), false) => Err(Errno::Isdir),
            (Kind::Directory(entries), true) if !entries.is_empty() => Err(Errno::Notempty),
            (Kind::Directory(_), true) | (_, false) => Ok(()),
            (_, true) => Err(Errno::Notdir),
        }
    }

    /// `EINVAL` where `directory` is `outer` or lies inside it.
    fn check_not_inside(&mut self, directory: Ino, outer: Ino) -> Result<(), Errno> {
        // As deep as a directory can lie: the walk ends.
        self.depth(directory)?;
        let mut at = directory;
        loop {
            if at == outer {
                return Err(Errno::Inval);
            }
            if at == ROOT {
                return Ok(());
            }
            at = self.parent_of(at)?;
        }
    }

    /// `ENAMETOOLONG` where something in `directory`, above which `depth` directories lie, would lie too deep.
    fn check_height(&mut self, directory: Ino, depth: u64) -> Result<(), Errno> {
        let limit = self.account.quota.path_depth;
        let mut steps = 0;
        let mut pending = vec![(directory, depth)];
        let mut too_deep = false;
        while let Some((ino, depth)) = pending.pop() {
            let Some(Kind::Directory(entries)) = self.inodes.get(&ino).map(|inode| &inode.kind) else { continue };
            steps += 1;
            if entries.is_empty() {
                continue;
            }
            if depth >= limit {
                too_deep = true;
                break;
            }
            if entries.subdirectories > 0 {
                for child in entries.children() {
                    steps += 1;
                    pending.push((child, depth + 1));
                }
            }
        }
        self.step(steps);
        if too_deep { Err(Errno::Nametoolong) } else { Ok(()) }
    }

    /// Puts a file into a directory. Everything was checked before.
    pub(super) fn attach(&mut self, parent: Ino, name: &Arc<str>, node: Ino, now: u64) -> Result<(), Errno> {
        let mut is_directory = false;
        if let Some(Kind::Directory(directory)) = self.inodes.get_mut(&node).map(|inode| &mut inode.kind) {
            directory.parent = parent;
            is_directory = true;
        }
        let directory = self.directory_mut(parent)?;
        directory.insert(name, node);
        directory.subdirectories += u64::from(is_directory);
        self.own_mut(parent)?.times.touch(now);
        Ok(())
    }

    /// Takes a name out of a directory.
    fn unhook(&mut self, parent: Ino, name: &str, is_directory: bool, now: u64) -> Result<(), Errno> {
        let directory = self.directory_mut(parent)?;
        directory.remove(name);
        directory.subdirectories -= u64::from(is_directory);
        self.own_mut(parent)?.times.touch(now);
        Ok(())
    }

    /// Takes a name away from a file and out of its directory.
    fn detach(&mut self, parent: Ino, name: &str, node: Ino, now: u64) -> Result<(), Errno> {
        let is_directory = self.drop_link(node, now)?;
        self.unhook(parent, name, is_directory, now)
    }

    /// Counts one name less of a file, which may be gone then; whether it was a directory.
    fn drop_link(&mut self, node: Ino, now: u64) -> Result<bool, Errno> {
        let inode = self.own_mut(node)?;
        let charged = inode.charged_inodes();
        inode.links = inode.links.saturating_sub(1);
        inode.times.changed = now;
        let given = charged - inode.charged_inodes();
        let is_directory = inode.file_type() == FileType::Directory;
        self.account.give_inodes(given);
        self.release(node);
        Ok(is_directory)
    }
}

/// The mount that a file lies in, if any.
fn mount_of(ino: Ino) -> Option<usize> {
    split_lower(ino).map(|(mount, _)| mount)
}

/// The name that is to be made: `EEXIST` where the path leads to something.
fn new_name(found: &Found) -> Result<&Arc<str>, Errno> {
    match (&found.last, found.node) {
        (Last::Name(name), None) => Ok(name),
        _ => Err(Errno::Exist),
    }
}
