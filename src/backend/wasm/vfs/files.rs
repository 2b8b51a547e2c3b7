//! What is done with open files: reading, writing, positions, attributes, listings.

use super::content::{CHUNK, Content};
use super::errno::Errno;
use super::inode::{FileType, Ino, Kind, Stat, Times};
use super::rights::Rights;
use super::table::{FDFLAG_APPEND, FDFLAGS_ALL, Fd, Handle, OpenFile, Stdio};
use super::tree::LowerTree;
use super::{Fs, MAX_FILE_BYTES, Node, is_lower, now_ns};

/// The attributes of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdStat {
    /// What is open.
    pub file_type: FileType,
    /// The descriptor's flags.
    pub flags: u16,
    /// What may be done with it.
    pub base: Rights,
    /// What may be done with files that are opened through it.
    pub inheriting: Rights,
}

/// What a position is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence {
    /// The file's start.
    Start,
    /// The position now.
    Current,
    /// The file's end.
    End,
}

/// What becomes of one of a file's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTime {
    /// It stays.
    Keep,
    /// It becomes now.
    Now,
    /// It becomes this, in nanoseconds since 1970.
    To(u64),
}

/// The bytes of a file that is open for reading.
pub struct FileReader<'a>(Bytes<'a>);

enum Bytes<'a> {
    Own(&'a Content),
    Lower(&'a LowerTree, u32),
}

impl FileReader<'_> {
    /// The file's length in bytes.
    pub fn size(&self) -> u64 {
        match &self.0 {
            Bytes::Own(content) => content.len(),
            Bytes::Lower(tree, node) => tree.len_of(*node),
        }
    }

    /// Reads from `offset`, and returns how many bytes there were: fewer than asked for only at the file's end.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Errno> {
        let (tree, node) = match &self.0 {
            Bytes::Own(content) => return Ok(content.read_at(offset, buf)),
            Bytes::Lower(tree, node) => (tree, *node),
        };
        let mut done = 0;
        while done < buf.len() {
            let at = offset.checked_add(done as u64).ok_or(Errno::Inval)?;
            match tree.read_at(node, at, &mut buf[done..]) {
                Ok(0) => break,
                Ok(read) => done += read,
                // What was read before the fault is an answer of its own.
                Err(_) if done > 0 => break,
                Err(_) => return Err(Errno::Io),
            }
        }
        Ok(done)
    }
}

impl Fs {
    /// An open file.
    pub fn file(&self, fd: Fd) -> Result<&OpenFile, Errno> {
        self.table.get(fd)
    }

    /// The standard stream behind a descriptor, where it is one and may be used so. `EBADF` where it may not.
    pub fn stdio(&self, fd: Fd, needed: Rights) -> Result<Option<Stdio>, Errno> {
        let file = self.table.get(fd)?;
        match file.handle {
            Handle::Stdio(_) if !file.base.contains(needed) => Err(Errno::Badf),
            Handle::Stdio(stdio) => Ok(Some(stdio)),
            Handle::File(_) => Ok(None),
        }
    }

    /// The regular file behind a descriptor: `EISDIR` for a directory, `ESPIPE` for a standard stream, and `denied`
    /// where a right is missing.
    fn regular(&self, fd: Fd, needed: Rights, denied: Errno) -> Result<Ino, Errno> {
        let file = self.table.get(fd)?;
        let Handle::File(ino) = file.handle else { return Err(Errno::Spipe) };
        if self.file_type(ino)? == FileType::Directory {
            return Err(Errno::Isdir);
        }
        if file.base.contains(needed) { Ok(ino) } else { Err(denied) }
    }

    /// The bytes behind a descriptor that is open for reading.
    pub fn reader(&self, fd: Fd) -> Result<FileReader<'_>, Errno> {
        self.reader_of(self.regular(fd, Rights::FD_READ, Errno::Badf)?)
    }

    pub(super) fn reader_of(&self, ino: Ino) -> Result<FileReader<'_>, Errno> {
        match self.node(ino)? {
            Node::Lower(tree, node) if tree.type_of(node) == FileType::RegularFile => {
                Ok(FileReader(Bytes::Lower(tree, node)))
            }
            Node::Lower(..) => Err(Errno::Isdir),
            Node::Own(inode) => match &inode.kind {
                Kind::File(content) => Ok(FileReader(Bytes::Own(content))),
                Kind::Directory(_) => Err(Errno::Isdir),
                Kind::Symlink(_) => Err(Errno::Loop),
            },
        }
    }

    /// Moves the position on by what was read.
    pub fn advance(&mut self, fd: Fd, by: u64) -> Result<(), Errno> {
        let file = self.table.get_mut(fd)?;
        file.position = file.position.saturating_add(by);
        Ok(())
    }

    /// Writes at the position, or at the end of a file that is open for appending, and moves the position. Returns how
    /// many bytes found room under the quota; `ENOSPC` where none did.
    pub fn write(&mut self, fd: Fd, data: &[u8]) -> Result<usize, Errno> {
        let ino = self.regular(fd, Rights::FD_WRITE, Errno::Badf)?;
        let file = *self.table.get(fd)?;
        let appends = file.flags & FDFLAG_APPEND != 0;
        let offset = if appends { self.reader_of(ino)?.size() } else { file.position };
        let written = self.write_to(ino, offset, data)?;
        self.table.get_mut(fd)?.position = offset + written as u64;
        Ok(written)
    }

    /// Writes at `offset`, and leaves the position alone.
    pub fn write_at(&mut self, fd: Fd, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        let ino = self.regular(fd, Rights::FD_WRITE, Errno::Badf)?;
        self.write_to(ino, offset, data)
    }

    pub(super) fn write_to(&mut self, ino: Ino, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        if data.is_empty() {
            return Ok(0);
        }
        let now = now_ns();
        let mut account = self.account;
        let inode = self.own_mut(ino)?;
        let Kind::File(content) = &mut inode.kind else { return Err(Errno::Inval) };
        if offset >= MAX_FILE_BYTES {
            return Err(Errno::Fbig);
        }
        let end = content.len().saturating_add(account.bytes_left()).min(MAX_FILE_BYTES);
        let room = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let data = &data[..room.min(data.len())];
        if data.is_empty() {
            return Err(Errno::Nospc);
        }
        account.take_bytes((offset + data.len() as u64).saturating_sub(content.len()))?;
        content.write_at(offset, data);
        inode.times.touch(now);
        self.account = account;
        self.step(1 + (data.len() / CHUNK) as u64);
        Ok(data.len())
    }

    pub(super) fn set_len(&mut self, ino: Ino, len: u64) -> Result<(), Errno> {
        let now = now_ns();
        let mut account = self.account;
        let inode = self.own_mut(ino)?;
        let Kind::File(content) = &mut inode.kind else { return Err(Errno::Inval) };
        account.take_bytes(len.saturating_sub(content.len()))?;
        account.give_bytes(content.len().saturating_sub(len));
        let chunks = content.chunks();
        content.set_len(len);
        let dropped = chunks - content.chunks();
        inode.times.touch(now);
        self.account = account;
        self.step(1 + dropped);
        Ok(())
    }

    /// Cuts the file or makes it longer by a hole: `EINVAL` where it is not open for writing.
    pub fn set_size(&mut self, fd: Fd, len: u64) -> Result<(), Errno> {
        let ino = self.regular(fd, Rights::FD_FILESTAT_SET_SIZE, Errno::Inval).map_err(directory_is_invalid)?;
        if len > MAX_FILE_BYTES {
            return Err(Errno::Inval);
        }
        self.set_len(ino, len)
    }

    /// Makes the file at least `offset + len` bytes long.
    pub fn allocate(&mut self, fd: Fd, offset: u64, len: u64) -> Result<(), Errno> {
        let ino = self.regular(fd, Rights::FD_ALLOCATE, Errno::Badf)?;
        if len == 0 || offset > MAX_FILE_BYTES || len > MAX_FILE_BYTES {
            return Err(Errno::Inval);
        }
        let end = offset.checked_add(len).filter(|end| *end <= MAX_FILE_BYTES).ok_or(Errno::Fbig)?;
        if end > self.reader_of(ino)?.size() { self.set_len(ino, end) } else { Ok(()) }
    }

    /// Advice is checked and otherwise ignored.
    pub fn advise(&self, fd: Fd) -> Result<(), Errno> {
        self.regular(fd, Rights::FD_ADVISE, Errno::Notcapable).map(|_| ())
    }

    /// Moves the position and returns it.
    pub fn seek(&mut self, fd: Fd, offset: i64, whence: Whence) -> Result<u64, Errno> {
        // Asking for the position moves nothing, and needs the lesser right.
        let asks = offset == 0 && whence == Whence::Current;
        let needed = if asks { Rights::FD_TELL } else { Rights::FD_SEEK };
        let ino = self.regular(fd, needed, Errno::Notcapable).map_err(|errno| match errno {
            Errno::Isdir => Errno::Badf,
            other => other,
        })?;
        let start = match whence {
            Whence::Start => 0,
            Whence::Current => self.table.get(fd)?.position,
            Whence::End => self.reader_of(ino)?.size(),
        };
        let position = start.checked_add_signed(offset).filter(|position| *position <= MAX_FILE_BYTES);
        let position = position.ok_or(Errno::Inval)?;
        if !asks {
            self.table.get_mut(fd)?.position = position;
        }
        Ok(position)
    }

    /// Everything is always on "disk": checks the descriptor.
    pub fn sync(&self, fd: Fd, needed: Rights) -> Result<(), Errno> {
        let file = self.table.get(fd)?;
        match file.handle {
            Handle::Stdio(Stdio::Stdin) => Err(Errno::Inval),
            _ if file.base.contains(needed) => Ok(()),
            _ => Err(Errno::Notcapable),
        }
    }

    /// The attributes of a descriptor.
    pub fn fd_stat(&self, fd: Fd) -> Result<FdStat, Errno> {
        let file = self.table.get(fd)?;
        let file_type = match file.handle {
            Handle::Stdio(_) => FileType::CharacterDevice,
            Handle::File(ino) => self.file_type(ino)?,
        };
        Ok(FdStat { file_type, flags: file.flags, base: file.base, inheriting: file.inheriting })
    }

    /// Changes the flags of a descriptor.
    pub fn set_flags(&mut self, fd: Fd, flags: u16) -> Result<(), Errno> {
        let file = *self.table.get(fd)?;
        if flags & !FDFLAGS_ALL != 0 {
            return Err(Errno::Inval);
        }
        if !file.base.contains(Rights::FD_FDSTAT_SET_FLAGS) {
            return Err(Errno::Notcapable);
        }
        self.table.get_mut(fd)?.flags = flags;
        Ok(())
    }

    /// Gives rights of a descriptor away; they cannot be had back.
    pub fn set_rights(&mut self, fd: Fd, base: Rights, inheriting: Rights) -> Result<(), Errno> {
        let file = *self.table.get(fd)?;
        if !file.base.contains(base) || !file.inheriting.contains(inheriting) {
            return Err(Errno::Notcapable);
        }
        let file = self.table.get_mut(fd)?;
        file.base = base;
        file.inheriting = inheriting;
        Ok(())
    }

    /// The attributes of the file behind a descriptor.
    pub fn file_stat(&self, fd: Fd) -> Result<Stat, Errno> {
        let file = self.table.get(fd)?;
        if !file.base.contains(Rights::FD_FILESTAT_GET) {
            return Err(Errno::Notcapable);
        }
        match file.handle {
            Handle::File(ino) => self.stat_of(ino),
            Handle::Stdio(stdio) => Ok(Stat {
                device: 2,
                ino: stdio as u64 + 1,
                file_type: FileType::CharacterDevice,
                links: 1,
                size: 0,
                times: Times::default(),
            }),
        }
    }

    /// Sets the times of the file behind a descriptor.
    pub fn set_times(&mut self, fd: Fd, accessed: SetTime, modified: SetTime) -> Result<(), Errno> {
        let file = *self.table.get(fd)?;
        let Handle::File(ino) = file.handle else { return Err(Errno::Inval) };
        if !is_lower(ino) && !file.base.contains(Rights::FD_FILESTAT_SET_TIMES) {
            return Err(Errno::Notcapable);
        }
        self.set_times_of(ino, accessed, modified)
    }

    pub(super) fn set_times_of(&mut self, ino: Ino, accessed: SetTime, modified: SetTime) -> Result<(), Errno> {
        let now = now_ns();
        let times = &mut self.own_mut(ino)?.times;
        for (time, set) in [(&mut times.accessed, accessed), (&mut times.modified, modified)] {
            match set {
                SetTime::Keep => {}
                SetTime::Now => *time = now,
                SetTime::To(ns) => *time = ns,
            }
        }
        times.changed = now;
        Ok(())
    }
}

/// `ftruncate` on a directory is an invalid argument.
fn directory_is_invalid(errno: Errno) -> Errno {
    if errno == Errno::Isdir || errno == Errno::Spipe { Errno::Inval } else { errno }
}
