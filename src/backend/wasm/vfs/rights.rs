//! Rights of preview 1: what may be done with a file descriptor, and with those opened through it.

use std::ops::{BitAnd, BitOr};

use serde::{Deserialize, Serialize};

/// A set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rights(u64);

macro_rules! rights {
    ($($name:ident = $bit:literal, $text:literal;)*) => {
        impl Rights {
            $(#[doc = $text] pub const $name: Self = Self(1 << $bit);)*
        }
    };
}

rights! {
    FD_DATASYNC = 0, "May call `fd_datasync`.";
    FD_READ = 1, "May read.";
    FD_SEEK = 2, "May move the position.";
    FD_FDSTAT_SET_FLAGS = 3, "May change the descriptor's flags.";
    FD_SYNC = 4, "May call `fd_sync`.";
    FD_TELL = 5, "May ask for the position.";
    FD_WRITE = 6, "May write.";
    FD_ADVISE = 7, "May call `fd_advise`.";
    FD_ALLOCATE = 8, "May call `fd_allocate`.";
    PATH_CREATE_DIRECTORY = 9, "May make directories.";
    PATH_CREATE_FILE = 10, "May make files.";
    PATH_LINK_SOURCE = 11, "May link files from here.";
    PATH_LINK_TARGET = 12, "May link files to here.";
    PATH_OPEN = 13, "May open files.";
    FD_READDIR = 14, "May list the directory.";
    PATH_READLINK = 15, "May read symbolic links.";
    PATH_RENAME_SOURCE = 16, "May rename files from here.";
    PATH_RENAME_TARGET = 17, "May rename files to here.";
    PATH_FILESTAT_GET = 18, "May ask for the attributes of files.";
    PATH_FILESTAT_SET_SIZE = 19, "May truncate files as they are opened.";
    PATH_FILESTAT_SET_TIMES = 20, "May set the times of files.";
    FD_FILESTAT_GET = 21, "May ask for the descriptor's attributes.";
    FD_FILESTAT_SET_SIZE = 22, "May set the file's length.";
    FD_FILESTAT_SET_TIMES = 23, "May set the file's times.";
    PATH_SYMLINK = 24, "May make symbolic links.";
    PATH_REMOVE_DIRECTORY = 25, "May remove directories.";
    PATH_UNLINK_FILE = 26, "May remove files.";
    POLL_FD_READWRITE = 27, "May be polled.";
}

impl Rights {
    /// No right.
    pub const NONE: Self = Self(0);

    /// What can be done with a regular file.
    pub const FILE: Self = Self(
        Self::FD_DATASYNC.0
            | Self::FD_READ.0
            | Self::FD_SEEK.0
            | Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_SYNC.0
            | Self::FD_TELL.0
            | Self::FD_WRITE.0
            | Self::FD_ADVISE.0
            | Self::FD_ALLOCATE.0
            | Self::FD_FILESTAT_GET.0
            | Self::FD_FILESTAT_SET_SIZE.0
            | Self::FD_FILESTAT_SET_TIMES.0
            | Self::POLL_FD_READWRITE.0,
    );

    /// What can be done with a file of a read-only layer.
    pub const READ_ONLY_FILE: Self = Self(
        Self::FILE.0
            & !(Self::FD_WRITE.0 | Self::FD_ALLOCATE.0 | Self::FD_FILESTAT_SET_SIZE.0 | Self::FD_FILESTAT_SET_TIMES.0),
    );

    /// What can be done with a directory.
    pub const DIRECTORY: Self = Self(
        Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_SYNC.0
            | Self::FD_DATASYNC.0
            | Self::FD_ADVISE.0
            | Self::PATH_CREATE_DIRECTORY.0
            | Self::PATH_CREATE_FILE.0
            | Self::PATH_LINK_SOURCE.0
            | Self::PATH_LINK_TARGET.0
            | Self::PATH_OPEN.0
            | Self::FD_READDIR.0
            | Self::PATH_READLINK.0
            | Self::PATH_RENAME_SOURCE.0
            | Self::PATH_RENAME_TARGET.0
            | Self::PATH_FILESTAT_GET.0
            | Self::PATH_FILESTAT_SET_SIZE.0
            | Self::PATH_FILESTAT_SET_TIMES.0
            | Self::FD_FILESTAT_GET.0
            | Self::FD_FILESTAT_SET_TIMES.0
            | Self::PATH_SYMLINK.0
            | Self::PATH_REMOVE_DIRECTORY.0
            | Self::PATH_UNLINK_FILE.0
            | Self::POLL_FD_READWRITE.0,
    );

    /// What can be opened through the root: files and directories with all of their rights.
    pub const INHERITING: Self = Self(Self::DIRECTORY.0 | Self::FILE.0);

    /// Standard input. `FD_SEEK` and `FD_TELL` are there although seeking answers `ESPIPE`: wasi-libc takes a character
    /// device without them for a terminal, and programs would then write colours and progress bars into documents.
    pub const STDIN: Self = Self(
        Self::FD_READ.0
            | Self::FD_SEEK.0
            | Self::FD_TELL.0
            | Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_FILESTAT_GET.0
            | Self::POLL_FD_READWRITE.0,
    );

    /// Standard output and standard error; see [`Rights::STDIN`].
    pub const STDOUT: Self = Self(
        Self::FD_WRITE.0
            | Self::FD_SEEK.0
            | Self::FD_TELL.0
            | Self::FD_SYNC.0
            | Self::FD_DATASYNC.0
            | Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_FILESTAT_GET.0
            | Self::POLL_FD_READWRITE.0,
    );

    /// The set with these bits of preview 1; unknown bits stay, so that asking for them is refused as not inherited.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits of preview 1.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether every right of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitAnd for Rights {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
