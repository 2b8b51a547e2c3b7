//! Wheels: what is taken, how it is unpacked, and above all what is refused.

mod archive;
mod contents;
mod names;
mod parts;

use std::fs;
use std::path::Path;

use pymd::packages::cache::{CacheError, WheelCache};
use pymd::packages::disk::Steps;
use pymd::packages::wheel::{UnpackedWheel, WheelError, WheelLimits, WheelRules, unpack};
use tempfile::TempDir;

use super::wheel_builder::Wheel;

const NAME: &str = "demo-1.0-py3-none-any.whl";

fn rules() -> WheelRules {
    let forbidden_top_levels = ["json", "typing", "pymd", "_pymd*", "IPython"].map(str::to_owned).to_vec();
    WheelRules { limits: WheelLimits::default(), forbidden_top_levels }
}

/// An unpacked wheel and where it lies.
struct Unpacked {
    wheel: UnpackedWheel,
    dir: TempDir,
}

impl Unpacked {
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join("files").join(path)).unwrap()
    }

    fn paths(&self) -> Vec<&str> {
        self.wheel.files.iter().map(|file| file.path.as_str()).collect()
    }
}

fn unpack_with(bytes: &[u8], filename: &str, rules: &WheelRules) -> Result<Unpacked, WheelError> {
    let dir = tempfile::tempdir().unwrap();
    let (archive, files) = (dir.path().join("archive.whl"), dir.path().join("files"));
    fs::write(&archive, bytes).unwrap();
    fs::create_dir(&files).unwrap();
    let wheel = unpack(&archive, filename, rules, &files, &Steps::default())?;
    Ok(Unpacked { wheel, dir })
}

fn taken(bytes: &[u8]) -> Unpacked {
    unpack_with(bytes, NAME, &rules()).unwrap()
}

/// Why a wheel is refused; nothing of it may be left in a cache.
fn refused_with(bytes: &[u8], filename: &str, rules: WheelRules) -> WheelError {
    let dir = tempfile::tempdir().unwrap();
    let cache = WheelCache::open(&dir.path().join("cache"), rules).unwrap();
    match cache.insert(filename, None, bytes) {
        Err(CacheError::Refused { source, .. }) => {
            let left = files_below(dir.path());
            assert!(left.iter().all(|path| path == "cache/staging/lock"), "nothing is left: {left:?}");
            *source
        }
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it is taken"),
    }
}

fn refused(bytes: &[u8]) -> WheelError {
    refused_with(bytes, NAME, rules())
}

fn demo() -> Wheel {
    Wheel::new("demo", "1.0")
}

/// Paths of all files below a directory, sorted.
pub fn files_below(dir: &Path) -> Vec<String> {
    fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(dir, dir, &mut found);
    found.sort();
    found
}
