//! Directories of wheels, built or made by hand.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use pymd::packages::cache::{CacheError, CacheRoom};
use pymd::packages::generation::{GenerationError, load};

use super::super::wheel_builder::{Wheel, sha256};
use super::{ENVIRONMENT, Home, PYTHON, home, two};

fn by_hand(home: &Home, wheels: Vec<Wheel>) -> PathBuf {
    let dir = home.dir.path().join("by-hand");
    fs::create_dir(&dir).unwrap();
    wheels.into_iter().for_each(|wheel| drop(wheel.write(&dir)));
    dir
}

#[test]
fn a_directory_made_by_hand_needs_no_lockfile() {
    let home = home();
    let wheel =
        || Wheel::new("Beta_Thing", "2.0.0").metadata("Requires-Python: >=3.9").metadata("Requires-Dist: alpha");
    let dir = by_hand(&home, vec![wheel(), Wheel::new("alpha", "1.0")]);
    fs::write(dir.join("README.txt"), "hello").unwrap();
    let loaded = load(&dir, &home.cache, PYTHON).unwrap();
    assert_eq!(loaded.lockfile.python_version, PYTHON);
    let names: Vec<_> = loaded.lockfile.packages.iter().map(|p| (p.name.as_str(), p.version.as_str())).collect();
    assert_eq!(names, [("alpha", "1.0"), ("beta-thing", "2.0.0")]);
    let beta = &loaded.lockfile.packages[1];
    assert_eq!(beta.wheel.sha256, Some(sha256(&wheel().build())));
    assert_eq!(beta.wheel.filename, "Beta_Thing-2.0.0-py3-none-any.whl");
    assert_eq!((beta.wheel.url.as_str(), beta.requires_python.as_deref()), ("", Some(">=3.9")));
    assert_eq!(loaded.wheels[1].sha256(), sha256(&wheel().build()));
    // Its own lockfile leads back to it.
    fs::write(dir.join("pylock.toml"), pymd::packages::pylock::write(&loaded.lockfile).unwrap()).unwrap();
    assert_eq!(load(&dir, &home.cache, PYTHON).unwrap().lockfile, loaded.lockfile);
}

#[test]
fn a_directory_made_by_hand_is_not_trusted() {
    let home = home();
    let dir = by_hand(&home, two());
    let add = |name: &str, bytes: &[u8]| {
        fs::write(dir.join(name), bytes).unwrap();
        let error = load(&dir, &home.cache, PYTHON).unwrap_err();
        fs::remove_file(dir.join(name)).unwrap();
        error
    };
    let error = add("alpha-1.1-py3-none-any.whl", &Wheel::new("alpha", "1.1").build());
    assert!(matches!(error, GenerationError::SameProject { project, .. } if project == "alpha"));
    assert!(matches!(add("demo.whl", b""), GenerationError::WheelName(_)));
    let error = add("gamma-1.0-py3-none-any.whl", b"not a zip");
    assert!(matches!(error, GenerationError::Cache(CacheError::Refused { .. })), "{error}");
    let error = add("gamma-1.0-py3-none-any.whl", &Wheel::new("delta", "1.0").build());
    assert!(matches!(error, GenerationError::Cache(CacheError::Refused { .. })), "{error}");
    fs::create_dir(dir.join("gamma-1.0-py3-none-any.whl")).unwrap();
    assert!(matches!(load(&dir, &home.cache, PYTHON), Err(GenerationError::NotAFile { .. })));
    assert!(matches!(load(&dir.join("nowhere"), &home.cache, PYTHON), Err(GenerationError::Disk(_))));
}

#[test]
fn the_wheels_must_be_those_of_the_lockfile() {
    let home = home();
    let lockfile = home.lock(two());
    let built = home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap();
    let stranger = Wheel::new("gamma", "1.0").write(&built.path);
    let error = load(&built.path, &home.cache, PYTHON).unwrap_err();
    assert!(matches!(error, GenerationError::Unlocked { filename } if filename == "gamma-1.0-py3-none-any.whl"));
    fs::remove_file(stranger).unwrap();
    let alpha = built.path.join("alpha-1.0-py3-none-any.whl");
    fs::remove_file(&alpha).unwrap();
    let error = load(&built.path, &home.cache, PYTHON).unwrap_err();
    assert!(matches!(error, GenerationError::Absent { filename } if filename == "alpha-1.0-py3-none-any.whl"));
    fs::write(built.path.join("pylock.toml"), "lock-version = '9'").unwrap();
    assert!(matches!(load(&built.path, &home.cache, PYTHON), Err(GenerationError::Pylock(_))));
}

#[test]
fn a_generation_outlives_its_cache() {
    let home = home();
    let lockfile = home.lock(two());
    let path = home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap().path;
    let nothing = CacheRoom { max_bytes: 0, max_age: Duration::ZERO };
    assert_eq!(home.cache.gc(nothing, &BTreeSet::new()).unwrap().wheels, 2);
    let loaded = load(&path, &home.cache, PYTHON).unwrap();
    assert_eq!(loaded.lockfile, lockfile);
    assert_eq!(fs::read_to_string(loaded.wheels[1].files().join("beta/b.py")).unwrap(), "b");
    drop(loaded);
    // What was changed in the directory meanwhile is not taken in.
    home.cache.gc(nothing, &BTreeSet::new()).unwrap();
    fs::write(path.join("alpha-1.0-py3-none-any.whl"), Wheel::new("alpha", "1.0").file("x.py", "").build()).unwrap();
    let error = load(&path, &home.cache, PYTHON).unwrap_err();
    assert!(matches!(error, GenerationError::Cache(CacheError::Digest { .. })), "{error}");
}
