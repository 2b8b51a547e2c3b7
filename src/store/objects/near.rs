//! A copy of objects that never change, in a directory of this machine, before a store that is far away.
//!
//! A copy is nothing but quicker: one that is not there, can't be read or is damaged is fetched again. Names of files are
//! digests of the store's place and the key, so that several stores can share a directory; each file ends with the digest of
//! what it holds.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

/// Of what is in a file.
const DIGEST_BYTES: usize = blake3::OUT_LEN;
/// Where there is no room, so much of it is made at once.
const ROOM: u64 = 10;
/// Ends the names of files that are being written.
const PART: &str = ".part";
/// One that was not finished for so long never is.
const PART_AGE: Duration = Duration::from_secs(60 * 60);

/// Copies of objects in a directory.
pub(super) struct Near {
    directory: PathBuf,
    place: String,
    most_bytes: u64,
    index: Mutex<Index>,
}

/// What is there, and what was used longest ago.
#[derive(Default)]
struct Index {
    files: HashMap<String, (u64, u64)>,
    order: BTreeMap<u64, String>,
    next: u64,
    bytes: u64,
}

impl Index {
    fn touch(&mut self, name: &str) {
        let next = self.next;
        if let Some((_, used)) = self.files.get_mut(name) {
            self.order.remove(used);
            *used = next;
            self.order.insert(next, name.to_owned());
            self.next += 1;
        }
    }

    fn add(&mut self, name: &str, bytes: u64) {
        self.remove(name);
        self.files.insert(name.to_owned(), (bytes, self.next));
        self.order.insert(self.next, name.to_owned());
        self.next += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn remove(&mut self, name: &str) {
        if let Some((bytes, used)) = self.files.remove(name) {
            self.order.remove(&used);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// The names of those that have to go, the one used longest ago first.
    fn make_room(&mut self, most: u64) -> Vec<String> {
        let mut gone = Vec::new();
        if self.bytes <= most {
            return gone;
        }
        while self.bytes > most - most / ROOM {
            let Some((_, name)) = self.order.first_key_value() else { break };
            let name = name.clone();
            self.remove(&name);
            gone.push(name);
        }
        gone
    }
}

impl Near {
    /// Copies of what is in `place`, of at most `most_bytes`; what an earlier run has left counts.
    pub fn open(directory: PathBuf, place: String, most_bytes: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let mut found = Vec::new();
        for file in fs::read_dir(&directory)? {
            let file = file?;
            let (Ok(name), Ok(about)) = (file.file_name().into_string(), file.metadata()) else { continue };
            let modified_at = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if name.ends_with(PART) {
                // A young one is what another server is writing.
                if modified_at.elapsed().is_ok_and(|age| age > PART_AGE) {
                    let _ = fs::remove_file(file.path());
                }
                continue;
            }
            found.push((modified_at, name, about.len()));
        }
        found.sort();
        let mut index = Index::default();
        for (_, name, bytes) in found {
            index.add(&name, bytes);
        }
        Ok(Self { directory, place, most_bytes, index: Mutex::new(index) })
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, key: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.place.as_bytes()).update(b"\0").update(key.as_bytes());
        hasher.finalize().to_hex().to_string()
    }

    /// A copy, where there is a whole one of at most `max_bytes`. Reads a file.
    pub fn get(&self, key: &str, max_bytes: u64) -> Option<Vec<u8>> {
        let name = self.name(key);
        let path = self.directory.join(&name);
        let known = self.index().files.get(&name).copied();
        let found = match known {
            Some((bytes, _)) if bytes <= max_bytes.saturating_add(DIGEST_BYTES as u64) => read(&path),
            _ => return None,
        };
        let mut index = self.index();
        if found.is_some() {
            index.touch(&name);
        } else {
            index.remove(&name);
            drop(index);
            let _ = fs::remove_file(path);
        }
        found
    }

    /// Keeps a copy. Writes a file; where that fails, there is none.
    pub fn put(&self, key: &str, content: &[u8]) {
        let bytes = (content.len() + DIGEST_BYTES) as u64;
        if bytes > self.most_bytes / ROOM {
            return;
        }
        let name = self.name(key);
        if let Err(error) = write(&self.directory, &name, content) {
            return tracing::warn!(%error, "an object could not be copied to this machine");
        }
        let mut index = self.index();
        index.add(&name, bytes);
        let gone = index.make_room(self.most_bytes);
        drop(index);
        for name in gone {
            let _ = fs::remove_file(self.directory.join(name));
        }
    }

    /// Forgets a copy.
    pub fn remove(&self, key: &str) {
        let name = self.name(key);
        self.index().remove(&name);
        let _ = fs::remove_file(self.directory.join(name));
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut content = fs::read(path).ok()?;
    let digest = content.split_off(content.len().checked_sub(DIGEST_BYTES)?);
    (blake3::hash(&content).as_bytes()[..] == digest).then_some(content)
}

fn write(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let part = directory.join(format!("{}{PART}", Uuid::now_v7()));
    let written = || {
        let mut file = File::create_new(&part)?;
        file.write_all(content)?;
        file.write_all(blake3::hash(content).as_bytes())?;
        fs::rename(&part, directory.join(name))
    };
    written().inspect_err(|_| {
        let _ = fs::remove_file(&part);
    })
}
