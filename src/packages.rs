//! Packages: where they come from, which go together, and how they come to lie on the disk.
//!
//! ```text
//! requirements -> resolver (asks index) -> lockfile -> cache (download, verify, unpack once) -> generation (a directory of wheels)
//! ```

pub mod project;
pub mod wheel_name;
