//! Generations that nobody names, and environments that are deleted.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use uuid::Uuid;

use super::{ENVIRONMENT, PYTHON, home, two};

const OTHER: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002);

#[test]
fn generations_that_are_not_live_go() {
    let home = home();
    let lockfile = home.lock(two());
    for (environment, generation) in [(ENVIRONMENT, 1), (ENVIRONMENT, 2), (OTHER, 1)] {
        home.environments.build(environment, generation, &lockfile, &home.cache).unwrap();
    }
    let foreign = home.dir.path().join("environments/notes");
    fs::create_dir(&foreign).unwrap();
    let odd = home.environments.path(ENVIRONMENT, 1).with_file_name("01");
    fs::create_dir(&odd).unwrap();
    let live = BTreeSet::from([(ENVIRONMENT, 2)]);
    let collected = home.environments.gc(&live, Duration::from_secs(3_600)).unwrap();
    assert_eq!(collected, Default::default(), "young ones may be about to be named");
    let collected = home.environments.gc(&live, Duration::ZERO).unwrap();
    assert_eq!(collected.generations, [(ENVIRONMENT, 1), (OTHER, 1)]);
    assert!(home.environments.path(ENVIRONMENT, 2).exists());
    assert!(!home.environments.path(OTHER, 1).parent().unwrap().exists());
    assert!(foreign.exists() && odd.exists(), "what is not ours stays");
    assert_eq!(home.environments.gc(&live, Duration::ZERO).unwrap(), Default::default());
}

#[test]
fn a_deleted_environment_goes_and_those_who_run_in_it_keep_it() {
    let home = home();
    let lockfile = home.lock(two());
    let built = home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap();
    home.environments.build(ENVIRONMENT, 2, &lockfile, &home.cache).unwrap();
    let loaded = super::load(&built.path, &home.cache, PYTHON).unwrap();
    home.environments.delete(ENVIRONMENT).unwrap();
    assert_eq!(home.generations(), Vec::<String>::new());
    for dir in loaded.site_packages("py").dirs {
        assert!(dir.exists());
    }
    home.environments.delete(ENVIRONMENT).unwrap();
    // The name is free again.
    home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap();
}
