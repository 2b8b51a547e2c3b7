//! Packages: where they come from, which go together, and how they come to lie on the disk.
//!
//! ```text
//! requirements -> resolver (asks index) -> lockfile -> cache (download, verify, unpack once) -> generation (a directory of wheels)
//! ```

pub mod cache;
pub mod disk;
pub mod generation;
pub mod index;
pub mod metadata;
pub mod project;
mod provider;
pub mod pylock;
pub mod requirements;
pub mod resolver;
pub mod target;
pub mod wheel;
pub mod wheel_name;
