//! Packages: the index client, the resolver, wheels, their cache, environments' directories.

mod cache;
pub mod fake_index;
mod generation;
mod index;
mod pylock;
mod requirements;
mod resolver;
mod wheel;
pub mod wheel_builder;
mod wheel_name;
