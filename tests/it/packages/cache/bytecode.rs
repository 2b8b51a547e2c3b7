//! Bytecode beside a wheel's files.

use std::fs;
use std::path::Path;

use pymd::packages::cache::{CacheError, CachedWheel, WheelCache};
use pymd::packages::disk::DiskError;
use pymd::packages::wheel::WheelRules;

use super::super::wheel_builder::sha256;
use super::{copied_to, copies, demo, full_at, home, insert, open, reboot, truncate};

const PYC: &str = "demo/__pycache__/a.cpython-315.pyc";

fn compile(dir: &Path) -> Result<(), CacheError> {
    put(dir, PYC, "code")
}

fn put(dir: &Path, path: &str, content: &str) -> Result<(), CacheError> {
    fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
    fs::write(dir.join(path), content).unwrap();
    Ok(())
}

fn stored(wheel: &CachedWheel, key: &str) -> Option<String> {
    wheel.bytecode_dir(key).map(|dir| fs::read_to_string(dir.join(PYC)).unwrap())
}

#[test]
fn bytecode_is_stored_for_each_runtime() {
    let home = home();
    let wheel = insert(&home.cache, &demo());
    assert_eq!(stored(&wheel, "py-3.15.0"), None);
    let dir = wheel.store_bytecode("py-3.15.0", compile).unwrap();
    assert_eq!(Some(dir), wheel.bytecode_dir("py-3.15.0"));
    assert_eq!(stored(&wheel, "py-3.15.0").as_deref(), Some("code"));
    assert_eq!(stored(&wheel, "py-3.15.1"), None);
    // The first stays.
    wheel.store_bytecode("py-3.15.0", |dir| put(dir, PYC, "other")).unwrap();
    assert_eq!(stored(&wheel, "py-3.15.0").as_deref(), Some("code"));
    assert_eq!(home.staged(), Vec::<String>::new());
}

#[test]
fn nothing_to_compile_is_bytecode_too() {
    let home = home();
    let wheel = insert(&home.cache, &demo());
    wheel.store_bytecode("py", |_| Ok::<(), CacheError>(())).unwrap();
    assert!(wheel.bytecode_dir("py").is_some());
}

#[test]
fn a_compiler_that_fails_leaves_nothing() {
    #[derive(Debug)]
    enum Failure {
        Compiler,
        Cache,
    }
    impl From<CacheError> for Failure {
        fn from(_: CacheError) -> Self {
            Self::Cache
        }
    }
    let home = home();
    let wheel = insert(&home.cache, &demo());
    let failed = wheel.store_bytecode("py", |dir| {
        compile(dir)?;
        Err(Failure::Compiler)
    });
    assert!(matches!(failed, Err(Failure::Compiler)));
    assert!(matches!(wheel.store_bytecode("../py", |_| Err(Failure::Compiler)), Err(Failure::Cache)));
    assert_eq!(stored(&wheel, "py"), None);
    assert_eq!(home.staged(), Vec::<String>::new());
}

#[test]
fn only_bytecode_files_are_bytecode() {
    let home = home();
    let wheel = insert(&home.cache, &demo());
    for path in ["demo/a.py", "a.pyc", "demo/a.pyc", "__pycache__/a.py", "__pycache__/x/a.pyc"] {
        let error = wheel.store_bytecode("py", |dir| put(dir, path, "")).unwrap_err();
        assert!(matches!(&error, CacheError::NotBytecode { path: found } if found == path), "{error}");
    }
    let link = wheel.store_bytecode("py", |dir| {
        fs::create_dir(dir.join("__pycache__")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("__pycache__/a.pyc")).unwrap();
        Ok::<(), CacheError>(())
    });
    assert!(matches!(link, Err(CacheError::Disk(DiskError::Io { .. }))));
    assert_eq!(stored(&wheel, "py"), None);
}

#[test]
fn keys_are_names() {
    let home = home();
    let wheel = insert(&home.cache, &demo());
    for key in ["", ".", "..", "a/b", ".hidden", "a b", &"k".repeat(129)] {
        assert!(matches!(wheel.store_bytecode(key, compile), Err(CacheError::BadKey { .. })), "{key}");
        assert_eq!(wheel.bytecode_dir(key), None);
    }
}

#[test]
fn damaged_bytecode_is_not_used_and_is_stored_again() {
    let home = home();
    let wheel = insert(&home.cache, &demo());
    let dir = wheel.store_bytecode("py", compile).unwrap();
    let entry = dir.parent().unwrap().to_owned();
    reboot(&entry);
    assert_eq!(stored(&wheel, "py").as_deref(), Some("code"));
    assert!(!entry.join("unsynced").exists(), "it is known to be on the disk");
    truncate(&dir.join(PYC));
    reboot(&entry);
    assert_eq!(wheel.bytecode_dir("py"), None);
    wheel.store_bytecode("py", compile).unwrap();
    assert_eq!(stored(&wheel, "py").as_deref(), Some("code"));
    truncate(&entry.join("seal.json"));
    assert_eq!(wheel.bytecode_dir("py"), None);
    wheel.store_bytecode("py", compile).unwrap();
    assert_eq!(stored(&wheel, "py").as_deref(), Some("code"));
    assert_eq!(home.staged(), Vec::<String>::new());
}

#[test]
fn a_crash_or_a_full_disk_leaves_all_of_it_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (place, snapshots) = (dir.path().join("cache"), dir.path().join("snapshots"));
    fs::create_dir(&snapshots).unwrap();
    let sha256 = sha256(&demo());
    drop(insert(&open(&place), &demo()));
    let steps = copied_to(place.clone(), snapshots.clone());
    let cache = WheelCache::open_with_steps(&place, WheelRules::default(), steps).unwrap();
    cache.get(&sha256).unwrap().unwrap().store_bytecode("py", compile).unwrap();
    let copies = copies(&snapshots);
    assert!(copies.len() >= 2);
    for copy in copies {
        let wheel = open(&copy).get(&sha256).unwrap().unwrap();
        assert_eq!(stored(&wheel, "py"), None);
        wheel.store_bytecode("py", compile).unwrap();
        assert_eq!(stored(&wheel, "py").as_deref(), Some("code"));
    }
    for step in 0..2 {
        let (steps, _) = full_at(step);
        let cache = WheelCache::open_with_steps(&place, WheelRules::default(), steps).unwrap();
        let wheel = cache.get(&sha256).unwrap().unwrap();
        let error = wheel.store_bytecode("full", compile).unwrap_err();
        assert!(matches!(error, CacheError::Disk(DiskError::Full { .. })));
        assert_eq!(stored(&wheel, "full"), None);
    }
}
