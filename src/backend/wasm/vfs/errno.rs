//! Error numbers of WASI preview 1.

macro_rules! errnos {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        /// Why a file operation failed, with the numbers of preview 1.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
        #[repr(u16)]
        pub enum Errno {
            $(#[doc = $text] #[error($text)] $name = $code,)*
        }
    };
}

errnos! {
    Again = 6, "resource temporarily unavailable";
    Badf = 8, "bad file descriptor";
    Busy = 10, "resource busy";
    Exist = 20, "file exists";
    Fault = 21, "bad address";
    Fbig = 22, "file too large";
    Ilseq = 25, "illegal byte sequence";
    Inval = 28, "invalid argument";
    Io = 29, "input/output error";
    Isdir = 31, "is a directory";
    Loop = 32, "too many levels of symbolic links";
    Mfile = 33, "too many open files";
    Mlink = 34, "too many links";
    Nametoolong = 37, "file name too long";
    Noent = 44, "no such file or directory";
    Nospc = 51, "no space left on device";
    Nosys = 52, "function not implemented";
    Notdir = 54, "not a directory";
    Notempty = 55, "directory not empty";
    Notsock = 57, "not a socket";
    Notsup = 58, "not supported";
    Overflow = 61, "value too large";
    Perm = 63, "operation not permitted";
    Range = 68, "result too large";
    Rofs = 69, "read-only file system";
    Spipe = 70, "illegal seek";
    Xdev = 75, "cross-device link";
    Notcapable = 76, "capabilities insufficient";
}

impl Errno {
    /// The number that the guest sees.
    pub fn code(self) -> u16 {
        self as u16
    }
}
