//! The wheel cache: whole entries or none, whatever dies; shared by processes; emptied with care.

mod bytecode;
mod crashes;
mod eviction;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pymd::packages::cache::{CacheError, CachedWheel, WheelCache};
use pymd::packages::disk::{DiskError, Steps};
use pymd::packages::wheel::{WheelError, WheelRules};
use tempfile::TempDir;

use super::wheel::files_below;
use super::wheel_builder::{Wheel, sha256};

const NAME: &str = "demo-1.0-py3-none-any.whl";
const MARKER: &str = "unsynced";

struct Home {
    dir: TempDir,
    cache: WheelCache,
}

fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&dir.path().join("cache"));
    Home { dir, cache }
}

fn open(dir: &Path) -> WheelCache {
    WheelCache::open(dir, WheelRules::default()).unwrap()
}

fn demo() -> Vec<u8> {
    Wheel::new("demo", "1.0").file("demo/a.py", "a").file("demo/sub/b.py", "b").build()
}

fn insert(cache: &WheelCache, bytes: &[u8]) -> CachedWheel {
    cache.insert(NAME, Some(&sha256(bytes)), bytes).unwrap()
}

impl Home {
    fn path(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// The directory of an entry.
    fn entry(&self, sha256: &str) -> PathBuf {
        self.path().join("wheels").join(&sha256[..2]).join(sha256)
    }

    fn staged(&self) -> Vec<String> {
        files_below(&self.path().join("staging")).into_iter().filter(|path| path != "lock").collect()
    }
}

/// What any whole `demo` has.
fn assert_whole(wheel: &CachedWheel) {
    assert_eq!(fs::read(wheel.archive()).unwrap(), demo());
    let files = files_below(&wheel.files());
    assert_eq!(files.len(), 6, "{files:?}");
    assert_eq!(fs::read_to_string(wheel.files().join("demo/sub/b.py")).unwrap(), "b");
    assert_eq!(wheel.info().name, "demo");
}

/// Steps of which the given one, from 0, fails as on a full disk; and how many there were.
pub fn full_at(step: usize) -> (Steps, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let steps = Steps::watched(move |_| match seen.fetch_add(1, Ordering::Relaxed) == step {
        true => Err(io::ErrorKind::StorageFull.into()),
        false => Ok(()),
    });
    (steps, count)
}

/// Steps before each of which `dir` is copied to a numbered directory in `copies`: what a crash there would leave.
pub fn copied_to(dir: PathBuf, copies: PathBuf) -> Steps {
    let count = AtomicUsize::new(0);
    Steps::watched(move |_| {
        copy_tree(&dir, &copies.join(count.fetch_add(1, Ordering::Relaxed).to_string()));
        Ok(())
    })
}

pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The numbered copies, in order.
pub fn copies(dir: &Path) -> Vec<PathBuf> {
    let count = fs::read_dir(dir).unwrap().count();
    (0..count).map(|number| dir.join(number.to_string())).collect()
}

#[test]
fn a_wheel_is_taken_in_once_and_found_by_its_digest() {
    let home = home();
    let bytes = demo();
    assert!(home.cache.get(&sha256(&bytes)).unwrap().is_none());
    let wheel = insert(&home.cache, &bytes);
    assert_eq!(wheel.sha256(), sha256(&bytes));
    assert_whole(&wheel);
    assert_whole(&home.cache.get(&sha256(&bytes)).unwrap().unwrap());
    // Another process, and one that comes later.
    assert_whole(&open(&home.path()).get(&sha256(&bytes)).unwrap().unwrap());
    drop(wheel);
    assert_whole(&open(&home.path()).get(&sha256(&bytes)).unwrap().unwrap());
    assert_whole(&insert(&home.cache, &bytes));
    assert_eq!(home.staged(), Vec::<String>::new());
}

#[test]
fn a_wheel_comes_in_pieces_or_from_a_file() {
    let home = home();
    let bytes = demo();
    let mut incoming = home.cache.receive(NAME, None).unwrap();
    for piece in bytes.chunks(7) {
        incoming.write(piece).unwrap();
    }
    assert_eq!(incoming.received_bytes(), bytes.len() as u64);
    assert_whole(&incoming.finish().unwrap());

    let path = Wheel::new("other", "2.0").write(home.dir.path());
    let wheel = home.cache.insert_file(&path, None).unwrap();
    assert_eq!((wheel.info().name.as_str(), wheel.info().filename.as_str()), ("other", "other-2.0-py3-none-any.whl"));
    assert!(path.exists());
    let again = home.cache.insert_file(&path, None).unwrap();
    assert_eq!(again.archive(), wheel.archive());
    let renamed = home.dir.path().join("third-2.0-py3-none-any.whl");
    fs::copy(&path, &renamed).unwrap();
    assert!(matches!(home.cache.insert_file(&renamed, None), Err(CacheError::OtherName { .. })));
    // What was given up leaves nothing.
    let mut incoming = home.cache.receive(NAME, None).unwrap();
    incoming.write(b"PK").unwrap();
    drop(incoming);
    assert_eq!(home.staged(), Vec::<String>::new());
}

#[test]
fn another_wheel_than_the_expected_one_is_refused() {
    let home = home();
    let bytes = demo();
    let expected = sha256(b"something else");
    match home.cache.insert(NAME, Some(&expected), bytes.as_slice()) {
        Err(CacheError::Digest { filename, computed, .. }) => {
            assert_eq!((filename.as_str(), computed), (NAME, sha256(&bytes)));
        }
        other => panic!("{other:?}"),
    }
    assert!(home.cache.get(&sha256(&bytes)).unwrap().is_none());
    assert_eq!(home.staged(), Vec::<String>::new());
}

#[test]
fn what_is_no_digest_is_refused() {
    let home = home();
    let upper = sha256(b"").to_uppercase();
    for text in ["", "..", "../../etc", "abc", &upper, &"g".repeat(64), &"a".repeat(65)] {
        assert!(matches!(home.cache.get(text), Err(CacheError::BadDigest { .. })), "{text}");
        assert!(matches!(home.cache.receive(NAME, Some(text)), Err(CacheError::BadDigest { .. })), "{text}");
    }
}

#[test]
fn the_same_bytes_under_another_name_must_be_the_same_project() {
    let home = home();
    let bytes = demo();
    insert(&home.cache, &bytes);
    let again = home.cache.insert("Demo-1.0.0-1build-py3-none-any.whl", None, bytes.as_slice()).unwrap();
    assert_eq!(again.info().filename, NAME);
    match home.cache.insert("other-1.0-py3-none-any.whl", None, bytes.as_slice()) {
        Err(CacheError::OtherName { name, version, .. }) => {
            assert_eq!((name.as_str(), version.as_str()), ("demo", "1.0"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wheel_of_looser_rules_is_not_given_out_under_stricter_ones() {
    let home = home();
    let bytes = demo();
    insert(&home.cache, &bytes);
    let strict = WheelRules { forbidden_top_levels: vec!["demo".to_owned()], ..WheelRules::default() };
    let strict = WheelCache::open(&home.path(), strict).unwrap();
    match strict.get(&sha256(&bytes)) {
        Err(CacheError::Refused { source, .. }) => assert!(matches!(*source, WheelError::Forbidden { .. })),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_we_can_read_the_cache() {
    use std::os::unix::fs::PermissionsExt;
    fn check(path: &Path) {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| check(&entry.unwrap().path()));
        }
    }
    let home = home();
    insert(&home.cache, &demo());
    check(&home.path());
}

#[test]
fn many_threads_and_processes_may_bring_the_same_wheel() {
    let home = home();
    let bytes = demo();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let own = open(&home.path());
                for _ in 0..5 {
                    assert_whole(&insert(&home.cache, &bytes));
                    assert_whole(&insert(&own, &bytes));
                }
            });
        }
    });
    assert_eq!(home.staged(), Vec::<String>::new());
    assert_eq!(fs::read_dir(home.path().join("wheels")).unwrap().count(), 1);
}

#[test]
fn bringing_and_evicting_at_once_never_takes_a_wheel_from_its_user() {
    use pymd::packages::cache::CacheRoom;
    let home = home();
    let bytes = demo();
    let nothing = CacheRoom { max_bytes: 0, max_age: std::time::Duration::ZERO };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let own = open(&home.path());
                for _ in 0..20 {
                    // Under such pressure it may be gone before it is held.
                    match own.insert(NAME, None, bytes.as_slice()) {
                        Ok(wheel) => assert_whole(&wheel),
                        Err(error) => assert!(matches!(error, CacheError::Contended { .. }), "{error}"),
                    }
                }
            });
        }
        scope.spawn(|| {
            let own = open(&home.path());
            for _ in 0..60 {
                own.gc(nothing, &Default::default()).unwrap();
            }
        });
    });
    assert_eq!(home.staged(), Vec::<String>::new());
}

#[test]
fn an_unreadable_source_is_an_error_of_the_disk() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let home = home();
    let error = home.cache.insert(NAME, None, Broken).unwrap_err();
    assert!(matches!(error, CacheError::Disk(DiskError::Io { .. })), "{error}");
    let absent = home.cache.insert_file(Path::new("/nowhere").join(NAME).as_path(), None).unwrap_err();
    assert!(matches!(absent, CacheError::Disk(DiskError::Io { .. })), "{absent}");
    assert_eq!(home.staged(), Vec::<String>::new());
}

/// As if the machine had been started anew since the entry was made.
fn reboot(entry: &Path) {
    fs::write(entry.join(MARKER), "another boot").unwrap();
}

fn truncate(path: &Path) {
    File::options().write(true).open(path).unwrap().set_len(0).unwrap();
}
