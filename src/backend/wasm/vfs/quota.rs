//! How much a file system may hold, and how much it holds.

use super::errno::Errno;

/// How much a guest's file system may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FsQuota {
    /// Bytes of all files by their lengths (holes count) and of the targets of symbolic links. Default: 256 MiB.
    pub bytes: u64,
    /// Files, directories and symbolic links, the root among them, and every further name of one. Default: 65,536.
    pub inodes: u64,
    /// Open descriptors, the three standard streams and the root among them. Default: 256.
    pub open_files: u64,
    /// How many directories may lie above a name. Default: 128.
    pub path_depth: u64,
    /// Bytes of one name. Default: 255.
    pub name_bytes: u64,
}

impl Default for FsQuota {
    fn default() -> Self {
        Self { bytes: 256 << 20, inodes: 1 << 16, open_files: 256, path_depth: 128, name_bytes: 255 }
    }
}

/// How much a guest's file system holds. Read-only layers count for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FsUsage {
    /// As [`FsQuota::bytes`].
    pub bytes: u64,
    /// As [`FsQuota::inodes`].
    pub inodes: u64,
    /// As [`FsQuota::open_files`].
    pub open_files: u64,
}

/// The quota and what is used of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    pub(super) quota: FsQuota,
    pub(super) bytes: u64,
    pub(super) inodes: u64,
}

impl Account {
    /// How many more bytes there may be.
    pub(super) fn bytes_left(&self) -> u64 {
        self.quota.bytes.saturating_sub(self.bytes)
    }

    /// Takes `bytes` more, or refuses and takes none.
    pub(super) fn take_bytes(&mut self, bytes: u64) -> Result<(), Errno> {
        if bytes > self.bytes_left() {
            return Err(Errno::Nospc);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    pub(super) fn give_bytes(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Takes one more inode, or refuses.
    pub(super) fn take_inode(&mut self) -> Result<(), Errno> {
        if self.inodes >= self.quota.inodes {
            return Err(Errno::Nospc);
        }
        self.inodes = self.inodes.saturating_add(1);
        Ok(())
    }

    pub(super) fn give_inodes(&mut self, inodes: u64) {
        self.inodes = self.inodes.saturating_sub(inodes);
    }
}
