//! Wheels (PEP 427), read as what they are: an archive that a stranger made.
//!
//! ```text
//! archive (is it one sound zip, with nothing hidden?) -> layout (what goes where?) -> RECORD (is all listed, all there?)
//!   -> unpack (every byte counted and hashed on its way to the disk)
//! ```
//! Nothing of a wheel is ever executed. Of `.data`, `purelib` and `platlib` go into `site-packages`; `scripts`, `headers`
//! and `data` are checked like the rest and then left in the archive: a sandbox has no place for them.

mod archive;
mod contents;
mod entry_points;
mod error;
mod headers;
mod layout;
mod limits;
mod names;
mod record;
mod unpack;

pub use contents::WheelInfo;
pub use entry_points::EntryPoints;
pub use error::WheelError;
pub use limits::{WheelLimits, WheelRules};
pub(super) use record::{Recorded, parse as parse_record};
pub use unpack::{UnpackedFile, UnpackedWheel, unpack};
