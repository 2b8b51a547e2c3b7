//! Why a wheel is refused.

use super::super::disk::DiskError;
use super::super::wheel_name::WheelNameError;

/// A wheel that is not what it says, or not what a wheel may be. Names out of it are shown with their odd characters
/// escaped, and shortened.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// The disk, not the wheel.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Its file name.
    #[error(transparent)]
    FileName(#[from] WheelNameError),
    /// It is no zip archive, or one that different programs would read differently.
    #[error("it is not a sound zip archive: {reason}")]
    Archive {
        /// What is wrong.
        reason: String,
    },
    /// A member's two headers disagree.
    #[error("the two headers of `{member}` disagree about its {field}")]
    Mismatch {
        /// The member.
        member: String,
        /// What they disagree about.
        field: &'static str,
    },
    /// A member's name is no plain relative path.
    #[error("the name `{member}` is refused: {reason}")]
    Name {
        /// The name.
        member: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A member is a symbolic link, a device, or would run as somebody else.
    #[error("`{member}` is not a plain file (mode {mode:o})")]
    Special {
        /// The member.
        member: String,
        /// Its Unix mode.
        mode: u32,
    },
    /// Two members would be the same file.
    #[error("there are two files `{path}`")]
    Duplicate {
        /// The file.
        path: String,
    },
    /// A file would have to be a directory too.
    #[error("`{path}` is both a file and a directory")]
    Clash {
        /// The path.
        path: String,
    },
    /// A member is encrypted.
    #[error("`{member}` is encrypted")]
    Encrypted {
        /// The member.
        member: String,
    },
    /// A member is compressed in a way that wheels do not use.
    #[error("`{member}` is compressed with the unknown method {method}")]
    Method {
        /// The member.
        member: String,
        /// Number of the method.
        method: u16,
    },
    /// Too much of something.
    #[error("it has more than {limit} {what}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How much there may be.
        limit: u64,
    },
    /// A few bytes that come to very many.
    #[error(
        "{archive_bytes} bytes would unpack to {unpacked_bytes}, more than {limit_bytes}: this looks like a zip bomb"
    )]
    Bomb {
        /// Bytes of the archive.
        archive_bytes: u64,
        /// Bytes that it says it holds.
        unpacked_bytes: u64,
        /// What an archive of this size may hold.
        limit_bytes: u64,
    },
    /// A member's data cannot be unpacked, or are not what its header says.
    #[error("`{member}` is damaged: {reason}")]
    Damaged {
        /// The member.
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// Not exactly one `.dist-info` directory, or that of another package.
    #[error("{reason}")]
    DistInfo {
        /// What is wrong.
        reason: String,
    },
    /// Its `WHEEL` file.
    #[error("its WHEEL file is refused: {reason}")]
    Wheel {
        /// What is wrong.
        reason: String,
    },
    /// Its `METADATA` file.
    #[error("its METADATA file is refused: {reason}")]
    Metadata {
        /// What is wrong.
        reason: String,
    },
    /// It does not say what is in it.
    #[error("it has no RECORD of its files")]
    NoRecord,
    /// Its `RECORD` cannot be understood.
    #[error("line {line} of its RECORD is refused: {reason}")]
    Record {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A file that its `RECORD` does not know.
    #[error("`{path}` is not listed in its RECORD")]
    Unlisted {
        /// The file.
        path: String,
    },
    /// A file that only its `RECORD` knows.
    #[error("`{path}` is listed in its RECORD but is not in it")]
    Missing {
        /// The file.
        path: String,
    },
    /// A file with other contents than its `RECORD` says.
    #[error("`{path}` is not the file that its RECORD lists: its SHA-256 is {computed}, not {expected}")]
    Digest {
        /// The file.
        path: String,
        /// According to the `RECORD`, in lower-case hex.
        expected: String,
        /// Of the file.
        computed: String,
    },
    /// A file of another size than its `RECORD` says.
    #[error("`{path}` is not the file that its RECORD lists: it has {found} bytes, not {expected}")]
    Size {
        /// The file.
        path: String,
        /// Bytes according to the `RECORD`.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// A file of `.data` that belongs nowhere.
    #[error("`{path}` is in no known part of its .data directory")]
    DataScheme {
        /// The file.
        path: String,
    },
    /// It would stand in the way of a module that is there already.
    #[error("its `{path}` would be imported as `{top_level}`, a name of Python's standard library or of PyMD itself")]
    Forbidden {
        /// The file or directory.
        path: String,
        /// The name.
        top_level: String,
    },
}

/// A name out of a wheel as it can be shown: short, without anything that a terminal or a page would act on.
pub(super) fn shown(name: &[u8]) -> String {
    const MAX_CHARS: usize = 200;
    let name: String = String::from_utf8_lossy(name).chars().take(MAX_CHARS + 1).collect();
    let cut = name.chars().count() > MAX_CHARS;
    let mut shown: String = name.chars().take(MAX_CHARS).flat_map(escaped).collect();
    if cut {
        shown.push('…');
    }
    shown
}

/// Letters of any script as they are; invisible and steering characters by number.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let plain = c != '\\' && (c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ');
    let (kept, escape) = if plain { (Some(c), None) } else { (None, Some(c.escape_default())) };
    kept.into_iter().chain(escape.into_iter().flatten())
}
