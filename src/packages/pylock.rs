//! Lockfiles as text: `pylock.toml` (PEP 751), and `requirements.txt`.
//!
//! What the standard has no place for stands in its `[tool.pymd]` tables: the exact Python, and dependencies that are
//! linked into the runtime, which no installer could find.

mod error;
mod read;
mod write;

pub use error::PylockError;
pub use read::read;
pub use write::{requirements_txt, write};

/// The file's name in an environment's directory.
pub const FILE_NAME: &str = "pylock.toml";

/// Bytes that a file may have.
pub const MAX_BYTES: usize = 4 << 20;
/// Packages that a file may list.
pub const MAX_PACKAGES: usize = 2_000;
