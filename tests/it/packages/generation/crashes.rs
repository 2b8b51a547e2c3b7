//! Crashes and full disks while a generation is built.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use pymd::packages::cache::WheelCache;
use pymd::packages::disk::DiskError;
use pymd::packages::generation::{Environments, GenerationError, load};
use pymd::packages::wheel::WheelRules;

use super::super::cache::{copied_to, copies, full_at};
use super::super::wheel_builder::Wheel;
use super::{ENVIRONMENT, PYTHON, home, two};
use crate::packages::wheel::files_below;

#[test]
fn a_crash_at_any_step_leaves_the_old_or_the_new() {
    let home = home();
    let old = home.lock(two());
    let new = home.lock(vec![Wheel::new("alpha", "1.0"), Wheel::new("gamma", "3.0")]);
    let place = home.dir.path().join("environments");
    home.environments.build(ENVIRONMENT, 1, &old, &home.cache).unwrap();
    let snapshots = home.dir.path().join("snapshots");
    fs::create_dir(&snapshots).unwrap();
    let steps = copied_to(place.clone(), snapshots.clone());
    let watched = Environments::open_with_steps(&place, steps).unwrap();
    watched.build(ENVIRONMENT, 2, &new, &home.cache).unwrap();
    watched.delete(ENVIRONMENT).unwrap();

    let copies = copies(&snapshots);
    assert!(copies.len() >= 7, "begin, link twice, lockfile, sync, publish, sync, discard");
    let mut seen = 0;
    for copy in copies {
        let environments = Environments::open(&copy).unwrap();
        let there = environments.path(ENVIRONMENT, 2);
        // Without our cache, as after its loss: everything is in the directory.
        let dir = tempfile::tempdir().unwrap();
        let cache = WheelCache::open(dir.path(), WheelRules::default()).unwrap();
        assert_eq!(load(&environments.path(ENVIRONMENT, 1), &cache, PYTHON).unwrap().lockfile, old);
        if there.exists() {
            seen += 1;
            assert_eq!(load(&there, &cache, PYTHON).unwrap().lockfile, new);
        }
        // Nobody heard of the new one: it goes, with what was not finished.
        let collected = environments.gc(&BTreeSet::from([(ENVIRONMENT, 1)]), Duration::ZERO).unwrap();
        assert_eq!(collected.generations.len(), usize::from(!collected.generations.is_empty()));
        assert!(!there.exists());
        assert_eq!(files_below(&copy.join("staging")), ["lock"]);
        environments.build(ENVIRONMENT, 2, &new, &home.cache).unwrap();
        assert_eq!(load(&there, &home.cache, PYTHON).unwrap().lockfile, new);
    }
    assert!(seen >= 2, "the last steps come when it is there");
}

#[test]
fn a_disk_that_is_full_at_any_step_says_so_and_leaves_nothing_half_made() {
    let home = home();
    let lockfile = home.lock(two());
    for step in 0.. {
        let place = home.dir.path().join(format!("environments-{step}"));
        let (steps, count) = full_at(step);
        let environments = Environments::open_with_steps(&place, steps).unwrap();
        match environments.build(ENVIRONMENT, 1, &lockfile, &home.cache) {
            Err(GenerationError::Disk(DiskError::Full { .. })) => {
                assert!(!environments.path(ENVIRONMENT, 1).exists() || files_below(&place).len() == 4, "step {step}");
                assert!(files_below(&place.join("staging")).iter().all(|path| path == "lock"), "step {step}");
                environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap();
            }
            Err(other) => panic!("step {step}: {other}"),
            Ok(_) => {
                assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), step);
                assert!(step >= 6);
                return;
            }
        }
    }
}

#[test]
fn a_full_disk_while_a_wheel_is_taken_in_says_so_too() {
    let home = home();
    let dir = home.dir.path().join("wheels");
    fs::create_dir(&dir).unwrap();
    Wheel::new("alpha", "1.0").write(&dir);
    let (steps, _) = full_at(3);
    let cache = WheelCache::open_with_steps(&home.dir.path().join("other"), WheelRules::default(), steps).unwrap();
    let error = load(&dir, &cache, PYTHON).unwrap_err();
    assert!(matches!(error, GenerationError::Disk(DiskError::Full { .. })), "{error}");
    load(&dir, &cache, PYTHON).unwrap();
}
