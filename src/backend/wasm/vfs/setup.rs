//! The host's side of a file system: what is put into it before the guest starts, and read from it afterwards.

use std::sync::Arc;

use super::errno::Errno;
use super::inode::{Directory, FileType, Ino, Kind, Stat};
use super::resolve::{Follow, Found, Last};
use super::tree::LowerTree;
use super::{Fd, Fs, Handle, LowerFile, Mount, OpenFile, Rights, is_lower, lower_ino, now_ns};

/// Bytes that are moved at once.
const BLOCK: usize = 64 << 10;

impl Fs {
    /// Shows a file of the host's at `path`, read-only, making the directories above it. `EEXIST` where something is
    /// there.
    pub fn mount_file(&mut self, path: &str, file: Arc<dyn LowerFile>) -> Result<(), Errno> {
        self.mount(path, Arc::new(LowerTree::from_file(file)))
    }

    /// Shows a tree at `path`, read-only, making the directories above it. `EEXIST` where something other than an
    /// empty directory is there.
    pub fn mount_dir(&mut self, path: &str, tree: Arc<LowerTree>) -> Result<(), Errno> {
        self.mount(path, tree)
    }

    fn mount(&mut self, path: &str, tree: Arc<LowerTree>) -> Result<(), Errno> {
        let (above, _) = split(path).ok_or(Errno::Exist)?;
        self.create_dir_all(above)?;
        let found = self.resolve_host(path, Follow::Yes)?;
        let Last::Name(name) = &found.last else { return Err(Errno::Exist) };
        if is_lower(found.parent) {
            return Err(Errno::Rofs);
        }
        let parent = found.parent;
        if let Some(there) = found.node {
            self.remove_empty(there, parent, name)?;
        }
        self.depth(parent)?;
        let ino = lower_ino(self.mounts.len(), 0);
        let is_directory = tree.type_of(0) == FileType::Directory;
        Arc::make_mut(&mut self.mounts).push(Mount { tree, parent });
        self.attach(parent, name, ino, now_ns())?;
        self.directory_mut(parent)?.subdirectories += u64::from(is_directory);
        Ok(())
    }

    /// Removes an empty directory that nobody has open.
    fn remove_empty(&mut self, ino: Ino, parent: Ino, name: &str) -> Result<(), Errno> {
        if is_lower(ino) {
            return Err(Errno::Exist);
        }
        match self.own_mut(ino)? {
            inode if inode.opens > 0 => return Err(Errno::Busy),
            inode => match &inode.kind {
                Kind::Directory(entries) if entries.is_empty() => inode.links = 0,
                _ => return Err(Errno::Exist),
            },
        }
        let directory = self.directory_mut(parent)?;
        directory.remove(name);
        directory.subdirectories = directory.subdirectories.saturating_sub(1);
        self.release(ino);
        Ok(())
    }

    /// Opens the directory at `path` before the guest starts, under a name of its own: paths that begin with that name
    /// are looked up in it, also where the name lies below something that is no directory.
    ///
    /// # Errors
    /// There is no directory at `path`, or no room for another open file.
    pub fn preopen(&mut self, path: &str, name: &str) -> Result<Fd, Errno> {
        let ino = self.host_find(path)?.existing(self)?;
        if self.file_type(ino)? != FileType::Directory {
            return Err(Errno::Notdir);
        }
        let preopened = Some(self.preopens.len());
        let (base, inheriting) = (Rights::DIRECTORY, Rights::INHERITING);
        let file = OpenFile { handle: Handle::File(ino), position: 0, flags: 0, base, inheriting, preopened };
        let fd = self.table.insert(file)?;
        if !is_lower(ino) {
            self.own_mut(ino)?.opens += 1;
        }
        Arc::make_mut(&mut self.preopens).push(name.to_owned());
        Ok(fd)
    }

    /// The guest's name for a preopened directory; `EBADF` for any other descriptor.
    pub fn preopened(&self, fd: Fd) -> Result<&str, Errno> {
        let index = self.file(fd)?.preopened.ok_or(Errno::Badf)?;
        self.preopens.get(index).map(String::as_str).ok_or(Errno::Badf)
    }

    /// Makes a directory and those above it, where they are not there.
    pub fn create_dir_all(&mut self, path: &str) -> Result<(), Errno> {
        let mut end = 0;
        while end < path.len() {
            end = path[end + 1..].find('/').map_or(path.len(), |slash| end + 1 + slash);
            let part = &path[..end];
            if part.trim_end_matches('/').is_empty() {
                continue;
            }
            let found = self.resolve_host(part, Follow::Yes)?;
            match found.node {
                Some(node) if self.file_type(node)? == FileType::Directory => {}
                Some(_) => return Err(Errno::Notdir),
                None => {
                    let Last::Name(name) = &found.last else { return Err(Errno::Noent) };
                    self.create(found.parent, name, Kind::Directory(Directory::new(found.parent)))?;
                }
            }
        }
        Ok(())
    }

    /// Makes a file with this content, or replaces the content of the one that is there. The directory must be there.
    pub fn write_file(&mut self, path: &str, bytes: &[u8]) -> Result<(), Errno> {
        let before = self.clone();
        let written = self.try_write_file(path, bytes);
        if written.is_err() {
            *self = before;
        }
        written
    }

    fn try_write_file(&mut self, path: &str, bytes: &[u8]) -> Result<(), Errno> {
        let found = self.resolve_host(path, Follow::Yes)?;
        let ino = match (&found.last, found.node) {
            (_, Some(node)) => match self.file_type(node)? {
                FileType::RegularFile => node,
                _ => return Err(Errno::Isdir),
            },
            (Last::Name(name), None) => self.create_file(found.parent, name)?,
            _ => return Err(Errno::Noent),
        };
        self.set_len(ino, 0)?;
        if self.write_to(ino, 0, bytes)? < bytes.len() {
            return Err(Errno::Nospc);
        }
        Ok(())
    }

    /// All bytes of a file.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>, Errno> {
        let ino = self.host_find(path)?.existing(self)?;
        let reader = self.reader_of(ino)?;
        let mut bytes = Vec::new();
        loop {
            let start = bytes.len();
            bytes.resize(start + BLOCK, 0);
            let read = reader.read_at(start as u64, &mut bytes[start..])?;
            bytes.truncate(start + read);
            if read < BLOCK {
                return Ok(bytes);
            }
        }
    }

    /// The names in a directory, without `.` and `..`, in the order of a listing.
    pub fn list_names(&self, path: &str) -> Result<Vec<String>, Errno> {
        let directory = self.host_find(path)?.existing(self)?;
        let mut names = Vec::new();
        self.list(directory, 2, &mut |entry| {
            names.push(entry.name.to_owned());
            true
        })?;
        Ok(names)
    }

    /// The attributes of a file; a symbolic link at the path's end is not followed.
    pub fn stat(&self, path: &str) -> Result<Stat, Errno> {
        self.stat_of(self.resolve_host(path, Follow::WithSlash)?.existing(self)?)
    }

    fn host_find(&self, path: &str) -> Result<Found, Errno> {
        self.resolve_host(path, Follow::Yes)
    }
}

/// A path without its last name, and that name.
fn split(path: &str) -> Option<(&str, &str)> {
    let path = path.trim_end_matches('/');
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    (!name.is_empty()).then_some((above, name))
}
