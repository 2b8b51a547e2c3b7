//! Crashes, power cuts and full disks at every step.

use std::fs;
use std::path::Path;
use std::time::Duration;

use pymd::packages::cache::{CacheError, CacheRoom, WheelCache};
use pymd::packages::disk::DiskError;
use pymd::packages::wheel::WheelRules;

use super::super::wheel_builder::sha256;
use super::{NAME, assert_whole, copied_to, copies, demo, full_at, home, insert, open, reboot, truncate};
use crate::packages::wheel::files_below;

const ALL: CacheRoom = CacheRoom { max_bytes: u64::MAX, max_age: Duration::MAX };

#[test]
fn a_crash_at_any_step_leaves_the_wheel_whole_or_absent() {
    let dir = tempfile::tempdir().unwrap();
    let (place, snapshots) = (dir.path().join("cache"), dir.path().join("snapshots"));
    fs::create_dir(&snapshots).unwrap();
    let steps = copied_to(place.clone(), snapshots.clone());
    let bytes = demo();
    insert(&WheelCache::open_with_steps(&place, WheelRules::default(), steps).unwrap(), &bytes);
    let whole = files_below(&place.join("wheels"));

    let copies = copies(&snapshots);
    assert!(copies.len() >= 10, "begin, write, each file, sync, receipt, publish: {}", copies.len());
    for copy in copies {
        let cache = open(&copy);
        if let Some(wheel) = cache.get(&sha256(&bytes)).unwrap() {
            assert_whole(&wheel);
        }
        cache.gc(ALL, &Default::default()).unwrap();
        assert_eq!(files_below(&copy.join("staging")), ["lock"], "what died is swept");
        assert_whole(&insert(&cache, &bytes));
        assert_eq!(files_below(&copy.join("wheels")), whole);
    }
}

#[test]
fn a_disk_that_is_full_at_any_step_says_so_and_leaves_nothing() {
    for step in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let (steps, count) = full_at(step);
        let cache = WheelCache::open_with_steps(dir.path(), WheelRules::default(), steps).unwrap();
        match cache.insert(NAME, None, demo().as_slice()) {
            Err(CacheError::Disk(DiskError::Full { .. })) => {
                assert!(files_below(dir.path()).iter().all(|path| path == "staging/lock"), "step {step}");
                // With room again it goes on.
                assert_whole(&insert(&cache, &demo()));
            }
            Err(other) => panic!("step {step}: {other}"),
            Ok(_) => {
                assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), step, "each step failed once");
                assert!(step >= 10);
                return;
            }
        }
    }
}

#[test]
fn an_entry_that_a_power_cut_damaged_is_made_anew() {
    let damages: [fn(&Path); 9] = [
        |entry| truncate(&entry.join("wheel.json")),
        |entry| fs::remove_file(entry.join("wheel.json")).unwrap(),
        |entry| fs::write(entry.join("wheel.json"), "{\"schema\": 99}").unwrap(),
        |entry| fs::remove_file(entry.join("lock")).unwrap(),
        |entry| truncate(&entry.join("archive.whl")),
        |entry| fs::remove_dir_all(entry.join("files")).unwrap(),
        |entry| {
            truncate(&entry.join("files/demo/a.py"));
            reboot(entry);
        },
        |entry| {
            fs::remove_file(entry.join("files/demo/a.py")).unwrap();
            reboot(entry);
        },
        |entry| {
            truncate(&entry.join("files/demo/a.py"));
            truncate(&entry.join("unsynced"));
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let home = home();
        let bytes = demo();
        drop(insert(&home.cache, &bytes));
        damage(&home.entry(&sha256(&bytes)));
        assert!(open(&home.path()).get(&sha256(&bytes)).unwrap().is_none(), "damage {number}");
        assert!(!home.entry(&sha256(&bytes)).exists());
        assert_whole(&insert(&home.cache, &bytes));
        // Damaged again: an insertion finds its place taken, and takes it.
        damage(&home.entry(&sha256(&bytes)));
        assert_whole(&insert(&open(&home.path()), &bytes));
        assert_eq!(home.staged(), Vec::<String>::new());
    }
}

#[test]
fn an_entry_is_checked_once_after_a_restart_of_the_machine() {
    let home = home();
    let bytes = demo();
    drop(insert(&home.cache, &bytes));
    let entry = home.entry(&sha256(&bytes));
    assert!(entry.join("unsynced").exists());
    drop(home.cache.get(&sha256(&bytes)).unwrap().unwrap());
    assert!(entry.join("unsynced").exists(), "the bytes may not be on the disk yet");
    reboot(&entry);
    assert_whole(&home.cache.get(&sha256(&bytes)).unwrap().unwrap());
    assert!(!entry.join("unsynced").exists());
    assert_whole(&home.cache.get(&sha256(&bytes)).unwrap().unwrap());
}
