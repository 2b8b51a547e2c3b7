//! Environments as directories of wheels.

mod crashes;
mod gc;
mod loading;
mod overlaps;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use pymd::domain::{LockedPackage, LockedWheel, Lockfile};
use pymd::packages::cache::WheelCache;
use pymd::packages::generation::{Environments, GenerationError, load};
use pymd::packages::wheel::WheelRules;
use tempfile::TempDir;
use uuid::Uuid;

use super::wheel::files_below;
use super::wheel_builder::{Wheel, sha256};

const PYTHON: &str = "3.15.0";
const ENVIRONMENT: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

struct Home {
    dir: TempDir,
    cache: WheelCache,
    environments: Environments,
}

fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let cache = WheelCache::open(&dir.path().join("cache"), WheelRules::default()).unwrap();
    let environments = Environments::open(&dir.path().join("environments")).unwrap();
    Home { dir, cache, environments }
}

impl Home {
    /// Puts wheels into the cache and locks them.
    fn lock(&self, wheels: Vec<Wheel>) -> Lockfile {
        lock(&self.cache, wheels)
    }

    fn generations(&self) -> Vec<String> {
        let files = files_below(&self.dir.path().join("environments"));
        files.into_iter().filter(|path| path != "staging/lock").collect()
    }
}

fn lock(cache: &WheelCache, wheels: Vec<Wheel>) -> Lockfile {
    let packages = wheels.into_iter().map(|wheel| {
        let filename = wheel.filename();
        let bytes = wheel.build();
        let cached = cache.insert(&filename, None, bytes.as_slice()).unwrap();
        LockedPackage {
            name: cached.info().name.clone(),
            version: cached.info().version.clone(),
            requires_python: None,
            dependencies: Vec::new(),
            wheel: LockedWheel {
                url: format!("https://index.example/{filename}"),
                filename,
                size_bytes: Some(bytes.len() as u64),
                sha256: Some(sha256(&bytes)),
            },
        }
    });
    let mut packages: Vec<_> = packages.collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Lockfile { python_version: PYTHON.to_owned(), packages }
}

fn two() -> Vec<Wheel> {
    vec![Wheel::new("alpha", "1.0"), Wheel::new("beta", "2.0").file("beta/b.py", "b")]
}

#[test]
fn a_generation_is_a_directory_of_wheels_with_a_lockfile() {
    let home = home();
    let lockfile = home.lock(two());
    let built = home.environments.build(ENVIRONMENT, 7, &lockfile, &home.cache).unwrap();
    assert_eq!(built.path, home.environments.path(ENVIRONMENT, 7));
    assert!(built.path.ends_with(format!("environments/{ENVIRONMENT}/7")));
    assert_eq!(files_below(&built.path), ["alpha-1.0-py3-none-any.whl", "beta-2.0-py3-none-any.whl", "pylock.toml"]);
    // Nothing is copied.
    let wheel = fs::metadata(built.path.join("alpha-1.0-py3-none-any.whl")).unwrap();
    assert_eq!(wheel.ino(), fs::metadata(built.wheels[0].archive()).unwrap().ino());
    assert_eq!(built.unpacked_bytes(), built.wheels.iter().map(|w| w.info().unpacked_bytes).sum::<u64>());
    assert_eq!(built.overlaps, Default::default());

    let loaded = load(&built.path, &home.cache, PYTHON).unwrap();
    assert_eq!(loaded.lockfile, lockfile);
    assert_eq!(loaded.wheels.len(), 2);
}

#[test]
fn a_version_may_be_written_in_two_ways() {
    let home = home();
    let mut lockfile = home.lock(two());
    lockfile.packages[0].version = "1.0.0".to_owned();
    let built = home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap();
    assert_eq!(load(&built.path, &home.cache, PYTHON).unwrap().lockfile, lockfile);
}

#[test]
fn an_empty_environment_is_an_environment() {
    let home = home();
    let lockfile = home.lock(Vec::new());
    let built = home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap();
    let loaded = load(&built.path, &home.cache, PYTHON).unwrap();
    assert_eq!(loaded.lockfile, lockfile);
    assert!(loaded.site_packages("py").dirs.is_empty());
}

#[test]
fn building_the_same_again_is_no_change_and_another_is_refused() {
    let home = home();
    let lockfile = home.lock(two());
    let first = home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap();
    let inode = fs::metadata(&first.path).unwrap().ino();
    let again = home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap();
    assert_eq!(fs::metadata(again.path).unwrap().ino(), inode);
    let other = home.lock(vec![Wheel::new("gamma", "1.0")]);
    match home.environments.build(ENVIRONMENT, 1, &other, &home.cache) {
        Err(GenerationError::Exists { path }) => assert_eq!(path, first.path),
        other => panic!("{other:?}"),
    }
    assert_eq!(load(&first.path, &home.cache, PYTHON).unwrap().lockfile, lockfile);
}

#[test]
fn the_order_of_a_lockfile_does_not_matter() {
    let home = home();
    let mut turned = home.lock(two());
    turned.packages.reverse();
    let built = home.environments.build(ENVIRONMENT, 1, &turned, &home.cache).unwrap();
    let names: Vec<_> = built.wheels.iter().map(|wheel| wheel.info().name.as_str()).collect();
    assert_eq!(names, ["alpha", "beta"]);
    let loaded = load(&built.path, &home.cache, PYTHON).unwrap();
    assert_eq!(loaded.site_packages("py"), pymd::packages::generation::SitePackages::of(&built.wheels, "py"));
}

#[test]
fn two_builds_at_once_make_one_generation() {
    let home = home();
    let lockfile = home.lock(two());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap());
        }
    });
    assert_eq!(home.generations().len(), 3);
}

#[test]
fn wheels_that_are_not_there_or_not_what_the_lockfile_says_are_refused() {
    let home = home();
    let good = home.lock(two());
    let refuse = |change: &dyn Fn(&mut LockedPackage)| {
        let mut lockfile = good.clone();
        change(&mut lockfile.packages[1]);
        home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap_err()
    };
    let alpha = good.packages[0].wheel.clone();
    let error = refuse(&|package| package.wheel.sha256 = Some(sha256(b"nowhere")));
    assert!(matches!(error, GenerationError::Absent { filename } if filename == "beta-2.0-py3-none-any.whl"));
    assert!(matches!(refuse(&|package| package.wheel.sha256 = None), GenerationError::Pylock(_)));
    assert!(matches!(refuse(&|p| p.wheel.sha256 = Some("..".to_owned())), GenerationError::Cache(_)));
    assert!(matches!(refuse(&|package| package.version = "2.1".to_owned()), GenerationError::OtherWheel { .. }));
    assert!(matches!(refuse(&|p| p.wheel.sha256.clone_from(&alpha.sha256)), GenerationError::OtherWheel { .. }));
    assert!(matches!(refuse(&|p| p.wheel.filename = "beta.whl".to_owned()), GenerationError::WheelName(_)));
    // A name that leads elsewhere, though it can be taken apart.
    let error = refuse(&|p| p.wheel.filename = "beta-2.0-py3-none-any/../../x.whl".to_owned());
    assert!(matches!(error, GenerationError::OtherWheel { .. }), "{error}");
    let error = refuse(&|package| package.name = "alpha".to_owned());
    assert!(matches!(error, GenerationError::OtherWheel { .. } | GenerationError::SameProject { .. }), "{error}");
    let mut twice = good.clone();
    twice.packages[1] = good.packages[0].clone();
    let error = home.environments.build(ENVIRONMENT, 1, &twice, &home.cache).unwrap_err();
    assert!(matches!(error, GenerationError::SameProject { project, .. } if project == "alpha"));
    assert_eq!(home.generations(), Vec::<String>::new());
}

#[test]
fn the_site_packages_are_the_wheels_files_with_their_bytecode() {
    let home = home();
    let lockfile = home.lock(two());
    let built = home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap();
    let bytecode: PathBuf = built.wheels[0]
        .store_bytecode("py", |dir| {
            fs::create_dir_all(dir.join("alpha/__pycache__")).unwrap();
            fs::write(dir.join("alpha/__pycache__/__init__.cpython-315.pyc"), "code").unwrap();
            Ok::<(), pymd::packages::cache::CacheError>(())
        })
        .unwrap();
    let site_packages = load(&built.path, &home.cache, PYTHON).unwrap().site_packages("py");
    assert_eq!(site_packages.dirs, [built.wheels[0].files(), bytecode, built.wheels[1].files()]);

    let target = home.dir.path().join("tree");
    assert_eq!(site_packages.link_tree(&target).unwrap(), 10);
    let files = files_below(&target);
    assert_eq!(files.len(), 10);
    assert!(files.contains(&"alpha/__pycache__/__init__.cpython-315.pyc".to_owned()));
    assert!(files.contains(&"beta-2.0.dist-info/RECORD".to_owned()));
    let linked = fs::metadata(target.join("beta/b.py")).unwrap();
    assert_eq!(linked.ino(), fs::metadata(built.wheels[1].files().join("beta/b.py")).unwrap().ino());
    site_packages.link_tree(&target).unwrap_err();
}
