//! The names of members: plain relative paths, each once, none both file and directory.

use std::collections::HashSet;

use super::error::{WheelError, shown};
use super::limits::WheelLimits;

/// Longest name of a file on common file systems.
const NAME_BYTES: usize = 255;

/// A member's name as a path, and whether it is a directory's.
pub(super) fn checked(raw: &[u8], is_utf8: bool, limits: &WheelLimits) -> Result<(String, bool), WheelError> {
    let refused = |reason| Err(WheelError::Name { member: shown(raw), reason });
    if raw.len() > limits.path_bytes {
        return refused("it is too long");
    }
    let Ok(name) = std::str::from_utf8(raw) else { return refused("it is not UTF-8") };
    if !name.is_ascii() && !is_utf8 {
        return refused("it is not ASCII and not marked as UTF-8, so programs disagree about what it says");
    }
    if name.chars().any(char::is_control) {
        return refused("it has control characters");
    }
    if name.contains('\\') {
        return refused("it has a backslash");
    }
    if name.starts_with('/') {
        return refused("it is an absolute path");
    }
    if matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic()) {
        return refused("it begins with a drive letter");
    }
    let (path, is_dir) = name.strip_suffix('/').map_or((name, false), |path| (path, true));
    for (depth, part) in path.split('/').enumerate() {
        match part {
            ".." => return refused("it leads out of the wheel"),
            "" | "." => return refused("it has an empty part"),
            _ if part.len() > NAME_BYTES => return refused("a part of it is too long"),
            _ if depth >= limits.depth => return refused("it has too many parts"),
            _ => {}
        }
    }
    Ok((path.to_owned(), is_dir))
}

/// The files and directories so far. Names that differ in case or in Unicode's normal form are different files here,
/// as they are on the file systems that this runs on.
#[derive(Default)]
pub(super) struct Tree {
    files: HashSet<String>,
    dirs: HashSet<String>,
}

impl Tree {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.files.len() + self.dirs.len()
    }

    /// Adds a file and the directories above it.
    pub(super) fn add_file(&mut self, path: &str) -> Result<(), WheelError> {
        if self.dirs.contains(path) {
            return Err(WheelError::Clash { path: shown(path.as_bytes()) });
        }
        if !self.files.insert(path.to_owned()) {
            return Err(WheelError::Duplicate { path: shown(path.as_bytes()) });
        }
        path.rsplit_once('/').map_or(Ok(()), |(above, _)| self.add_dir(above))
    }

    /// Adds a directory and those above it.
    pub(super) fn add_dir(&mut self, path: &str) -> Result<(), WheelError> {
        let mut path = path;
        loop {
            if self.files.contains(path) {
                return Err(WheelError::Clash { path: shown(path.as_bytes()) });
            }
            // Whatever is above a known directory is known.
            if self.dirs.contains(path) {
                return Ok(());
            }
            self.dirs.insert(path.to_owned());
            match path.rsplit_once('/') {
                Some((above, _)) => path = above,
                None => return Ok(()),
            }
        }
    }
}
