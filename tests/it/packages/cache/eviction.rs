//! What leaves the cache.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use pymd::packages::cache::{CacheRoom, CachedWheel};

use super::super::wheel_builder::Wheel;
use super::{Home, home, open};

const DAY: Duration = Duration::from_secs(86_400);
const FOREVER: Duration = Duration::MAX;

/// Puts three wheels in, last used 1, 2 and 3 days ago.
fn three(home: &Home) -> Vec<String> {
    let insert = |(days, name): (u32, &str)| {
        let wheel = Wheel::new(name, "1.0");
        let filename = wheel.filename();
        let sha256 = home.cache.insert(&filename, None, wheel.build().as_slice()).unwrap().sha256().to_owned();
        let lock = File::open(home.entry(&sha256).join("lock")).unwrap();
        lock.set_modified(SystemTime::now() - DAY * days).unwrap();
        sha256
    };
    [(1, "one"), (2, "two"), (3, "six")].map(insert).to_vec()
}

fn there(home: &Home, wheels: &[String]) -> Vec<bool> {
    wheels.iter().map(|sha256| home.entry(sha256).exists()).collect()
}

fn bytes(home: &Home) -> u64 {
    home.cache.gc(CacheRoom { max_bytes: u64::MAX, max_age: FOREVER }, &BTreeSet::new()).unwrap().kept_bytes
}

#[test]
fn wheels_that_were_not_used_for_long_go() {
    let home = home();
    let wheels = three(&home);
    let room = CacheRoom { max_bytes: u64::MAX, max_age: DAY * 5 / 2 };
    let evicted = home.cache.gc(room, &BTreeSet::new()).unwrap();
    assert_eq!((evicted.wheels, evicted.kept_wheels), (1, 2));
    assert!(evicted.bytes > 0 && evicted.kept_bytes > 0);
    assert_eq!(there(&home, &wheels), [true, true, false]);
    assert!(home.cache.get(&wheels[2]).unwrap().is_none());
}

#[test]
fn the_longest_unused_go_when_there_are_too_many_bytes() {
    let home = home();
    let wheels = three(&home);
    let all = bytes(&home);
    let room = CacheRoom { max_bytes: all * 2 / 3 + 1, max_age: FOREVER };
    let evicted = home.cache.gc(room, &BTreeSet::new()).unwrap();
    assert_eq!((evicted.wheels, evicted.bytes + evicted.kept_bytes), (1, all));
    assert_eq!(there(&home, &wheels), [true, true, false]);
    // A use makes it young.
    drop(home.cache.get(&wheels[1]).unwrap());
    let room = CacheRoom { max_bytes: all / 3 + 1, max_age: FOREVER };
    home.cache.gc(room, &BTreeSet::new()).unwrap();
    assert_eq!(there(&home, &wheels), [false, true, false]);
    home.cache.gc(CacheRoom { max_bytes: 0, max_age: FOREVER }, &BTreeSet::new()).unwrap();
    assert_eq!(there(&home, &wheels), [false; 3]);
}

#[test]
fn wheels_in_use_stay() {
    let home = home();
    let wheels = three(&home);
    let nothing = CacheRoom { max_bytes: 0, max_age: Duration::ZERO };
    // One is named, one is held by another process.
    let other = open(&home.path());
    let held: CachedWheel = other.get(&wheels[1]).unwrap().unwrap();
    let clone = held.clone();
    drop(held);
    let evicted = home.cache.gc(nothing, &BTreeSet::from([wheels[0].clone()])).unwrap();
    assert_eq!((evicted.wheels, evicted.kept_wheels), (1, 2));
    assert_eq!(there(&home, &wheels), [true, true, false]);
    assert!(clone.archive().exists());
    drop(clone);
    home.cache.gc(nothing, &BTreeSet::new()).unwrap();
    assert_eq!(there(&home, &wheels), [false; 3]);
}

#[test]
fn bytecode_counts_and_goes_with_its_wheel() {
    let home = home();
    let wheels = three(&home);
    let before = bytes(&home);
    let wheel = home.cache.get(&wheels[0]).unwrap().unwrap();
    let stored = wheel.store_bytecode("py", |dir| {
        fs::create_dir(dir.join("__pycache__")).unwrap();
        fs::write(dir.join("__pycache__/a.pyc"), [0; 1_000]).unwrap();
        Ok::<(), pymd::packages::cache::CacheError>(())
    });
    assert!(stored.unwrap().exists());
    assert_eq!(bytes(&home), before + 1_000);
    drop(wheel);
    home.cache.gc(CacheRoom { max_bytes: 0, max_age: FOREVER }, &BTreeSet::new()).unwrap();
    assert_eq!(there(&home, &wheels), [false; 3]);
}

#[test]
fn unfinished_things_go_when_their_maker_is_dead() {
    let home = home();
    let dead = home.path().join("staging/dead");
    fs::create_dir_all(dead.join("files/demo")).unwrap();
    fs::write(dead.join("files/demo/a.py"), "a").unwrap();
    let mut alive = home.cache.receive(super::NAME, None).unwrap();
    alive.write(&super::demo()).unwrap();
    let room = CacheRoom { max_bytes: u64::MAX, max_age: FOREVER };
    assert_eq!(open(&home.path()).gc(room, &BTreeSet::new()).unwrap().unfinished, 1);
    assert!(!dead.exists());
    super::assert_whole(&alive.finish().unwrap());
}

#[test]
fn damaged_entries_go_and_what_is_not_ours_stays() {
    let home = home();
    let wheels = three(&home);
    fs::remove_file(home.entry(&wheels[0]).join("wheel.json")).unwrap();
    let foreign = home.path().join("wheels/notes/readme.txt");
    fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    fs::write(&foreign, "hello").unwrap();
    let room = CacheRoom { max_bytes: u64::MAX, max_age: FOREVER };
    assert_eq!(home.cache.gc(room, &BTreeSet::new()).unwrap().wheels, 1);
    assert_eq!(there(&home, &wheels), [false, true, true]);
    assert!(foreign.exists());
}
