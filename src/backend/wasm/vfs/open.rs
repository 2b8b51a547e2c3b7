//! Opening and closing files.

use super::errno::Errno;
use super::inode::{FileType, Ino};
use super::resolve::{Follow, Found, Last};
use super::rights::Rights;
use super::table::{FDFLAGS_ALL, Fd, Handle, OpenFile};
use super::{Fs, is_lower};

/// Make the file where there is none.
pub const OFLAG_CREATE: u16 = 1;
/// Refuse what is no directory.
pub const OFLAG_DIRECTORY: u16 = 2;
/// With [`OFLAG_CREATE`]: refuse a file that is there.
pub const OFLAG_EXCLUSIVE: u16 = 4;
/// Cut the file to nothing.
pub const OFLAG_TRUNCATE: u16 = 8;

/// How a file is to be opened.
#[derive(Debug, Clone, Copy)]
pub struct OpenRequest<'a> {
    /// The path, from the directory that it is opened through.
    pub path: &'a str,
    /// Whether a symbolic link at the path's end is followed.
    pub follow: bool,
    /// `OFLAG_*`.
    pub oflags: u16,
    /// What is to be done with it; what a file of its type has no use for is left out.
    pub base: Rights,
    /// What is to be done with files that are opened through it.
    pub inheriting: Rights,
    /// Flags of the descriptor.
    pub fdflags: u16,
}

impl OpenRequest<'_> {
    fn has(&self, flag: u16) -> bool {
        self.oflags & flag != 0
    }

    fn rights_needed(&self) -> Rights {
        let mut needed = Rights::PATH_OPEN;
        if self.has(OFLAG_CREATE) {
            needed = needed | Rights::PATH_CREATE_FILE;
        }
        if self.has(OFLAG_TRUNCATE) {
            needed = needed | Rights::PATH_FILESTAT_SET_SIZE;
        }
        needed
    }
}

impl Fs {
    /// Opens a file through an open directory. Refuses with `ENOTCAPABLE` where the directory does not hand on every
    /// right that is asked for, and with `EROFS` where a file of a read-only layer would be written.
    pub fn open(&mut self, directory: Fd, request: &OpenRequest<'_>) -> Result<Fd, Errno> {
        let known = OFLAG_CREATE | OFLAG_DIRECTORY | OFLAG_EXCLUSIVE | OFLAG_TRUNCATE;
        if request.oflags & !known != 0 || request.fdflags & !FDFLAGS_ALL != 0 {
            return Err(Errno::Inval);
        }
        if request.has(OFLAG_CREATE) && request.has(OFLAG_DIRECTORY) {
            return Err(Errno::Inval);
        }
        let start = self.directory_of(directory, request.rights_needed())?;
        let inheriting = self.table.get(directory)?.inheriting;
        if !inheriting.contains(request.base) || !inheriting.contains(request.inheriting) {
            return Err(Errno::Notcapable);
        }
        // Before anything is made: a file that cannot be opened is not made either.
        if self.table.len() >= self.account.quota.open_files {
            return Err(Errno::Mfile);
        }
        let exclusive = request.has(OFLAG_CREATE) && request.has(OFLAG_EXCLUSIVE);
        // A file to be made is none whose name ends in a slash, whatever that name leads to.
        let follow = match request.has(OFLAG_CREATE) && request.path.ends_with('/') {
            true => Follow::Never,
            false => Follow::from(request.follow && !exclusive),
        };
        let found = self.resolve(start, request.path, follow)?;
        if request.has(OFLAG_CREATE) && found.wants_directory && matches!(found.last, Last::Name(_)) {
            return Err(Errno::Isdir);
        }
        let (ino, usable) = match found.node {
            None => (self.create_to_open(&found, request)?, Rights::FILE),
            Some(_) if exclusive => return Err(Errno::Exist),
            Some(node) => (node, self.check_openable(&found, node, request)?),
        };
        let directory_opened = usable == Rights::DIRECTORY;
        let file = OpenFile {
            handle: Handle::File(ino),
            position: 0,
            flags: request.fdflags,
            base: request.base & usable,
            inheriting: if directory_opened { request.inheriting } else { Rights::NONE },
            preopened: None,
        };
        let fd = self.table.insert(file)?;
        if !is_lower(ino) {
            self.own_mut(ino)?.opens += 1;
        }
        Ok(fd)
    }

    fn create_to_open(&mut self, found: &Found, request: &OpenRequest<'_>) -> Result<Ino, Errno> {
        if !request.has(OFLAG_CREATE) {
            return Err(Errno::Noent);
        }
        let Last::Name(name) = &found.last else { return Err(Errno::Noent) };
        self.create_file(found.parent, name)
    }

    /// Whether a file that is there can be opened so, and which rights mean something for it. Truncates it.
    fn check_openable(&mut self, found: &Found, node: Ino, request: &OpenRequest<'_>) -> Result<Rights, Errno> {
        let writes = request.base.contains(Rights::FD_WRITE) || request.has(OFLAG_TRUNCATE);
        match self.file_type(node)? {
            FileType::Directory if writes || request.has(OFLAG_CREATE) => Err(Errno::Isdir),
            FileType::Directory => Ok(Rights::DIRECTORY),
            FileType::SymbolicLink if request.has(OFLAG_DIRECTORY) => Err(Errno::Notdir),
            FileType::SymbolicLink => Err(Errno::Loop),
            _ if request.has(OFLAG_DIRECTORY) || found.wants_directory => Err(Errno::Notdir),
            _ if is_lower(node) && writes => Err(Errno::Rofs),
            _ if is_lower(node) => Ok(Rights::READ_ONLY_FILE),
            _ => {
                if request.has(OFLAG_TRUNCATE) {
                    self.set_len(node, 0)?;
                }
                Ok(Rights::FILE)
            }
        }
    }

    /// Closes a file. One that no name and no other descriptor refers to is gone.
    pub fn close(&mut self, fd: Fd) -> Result<(), Errno> {
        let file = self.table.remove(fd)?;
        self.closed(&file);
        Ok(())
    }

    /// Moves an open file to the number of another open file, which is closed.
    pub fn renumber(&mut self, from: Fd, to: Fd) -> Result<(), Errno> {
        let file = *self.table.get(from)?;
        self.table.get(to)?;
        if from == to {
            return Ok(());
        }
        let replaced = self.table.replace(to, file)?;
        self.table.remove(from)?;
        self.closed(&replaced);
        Ok(())
    }

    fn closed(&mut self, file: &OpenFile) {
        let Handle::File(ino) = file.handle else { return };
        if let Ok(inode) = self.own_mut(ino) {
            inode.opens = inode.opens.saturating_sub(1);
            self.release(ino);
        }
    }

    /// The directory that is open as `fd`, for operations that need these rights.
    pub(super) fn directory_of(&self, fd: Fd, needed: Rights) -> Result<Ino, Errno> {
        let file = self.table.get(fd)?;
        let Handle::File(ino) = file.handle else { return Err(Errno::Notdir) };
        if self.file_type(ino)? != FileType::Directory {
            return Err(Errno::Notdir);
        }
        if !file.base.contains(needed) {
            return Err(Errno::Notcapable);
        }
        Ok(ino)
    }
}
