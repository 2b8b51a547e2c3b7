//! Files that two wheels own.

use std::fs;

use pymd::packages::generation::{Overlap, Overlaps, SitePackages};

use super::super::wheel_builder::Wheel;
use super::{ENVIRONMENT, home};

fn overlaps(wheels: Vec<Wheel>) -> Overlaps {
    let home = home();
    let lockfile = home.lock(wheels);
    home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap().overlaps
}

fn overlap(path: &str, first: &str, second: &str, is_identical: bool) -> Overlap {
    Overlap { path: path.to_owned(), first: first.to_owned(), second: second.to_owned(), is_identical }
}

#[test]
fn files_of_two_wheels_are_reported_with_whether_it_matters() {
    let found = overlaps(vec![
        Wheel::new("alpha", "1.0").file("space/__init__.py", "same").file("tests/test_all.py", "alpha"),
        Wheel::new("beta", "1.0").file("space/__init__.py", "same").file("tests/test_all.py", "beta"),
        Wheel::new("gamma", "1.0").file("space/gamma.py", "").file("tests/test_gamma.py", ""),
    ]);
    assert_eq!((found.different, found.identical), (1, 1));
    assert_eq!(
        found.named,
        [overlap("tests/test_all.py", "alpha", "beta", false), overlap("space/__init__.py", "alpha", "beta", true)]
    );
}

#[test]
fn namespace_packages_do_not_overlap() {
    let found = overlaps(vec![
        Wheel::empty("alpha", "1.0").file("space/a/__init__.py", ""),
        Wheel::empty("beta", "1.0").file("space/b/__init__.py", ""),
    ]);
    assert_eq!(found, Overlaps::default());
}

#[test]
fn a_file_of_one_that_is_a_directory_of_another_is_reported() {
    let directory = || Wheel::empty("beta", "1.0").file("thing/x/y.py", "");
    let found = overlaps(vec![Wheel::empty("alpha", "1.0").file("thing", ""), directory()]);
    assert_eq!(found.named, [overlap("thing/x/y.py", "alpha", "beta", false)]);
    let found = overlaps(vec![directory(), Wheel::empty("gamma", "1.0").file("thing/x", "")]);
    assert_eq!(found.named, [overlap("thing/x", "beta", "gamma", false)]);
}

#[test]
fn files_that_data_directories_bring_overlap_too() {
    let found = overlaps(vec![
        Wheel::empty("alpha", "1.0").file("alpha-1.0.data/purelib/tool.py", "1"),
        Wheel::empty("beta", "1.0").file("tool.py", "2"),
    ]);
    assert_eq!(found.named, [overlap("tool.py", "alpha", "beta", false)]);
}

#[test]
fn very_many_are_counted_and_some_are_named() {
    let wheel = |name: &str| {
        (0..150)
            .fold(Wheel::empty(name, "1.0"), |wheel, i| wheel.file(&format!("many/{i}.py"), format!("{name}{}", i % 2)))
    };
    let found = overlaps(vec![wheel("alpha"), wheel("beta")]);
    assert_eq!((found.different, found.identical, found.named.len()), (150, 0, 100));
}

#[test]
fn the_first_wheel_is_seen_in_a_linked_tree() {
    let home = home();
    let lockfile = home.lock(vec![
        Wheel::empty("alpha", "1.0").file("same.py", "alpha").file("clash", "file").file("other/x", "dir"),
        Wheel::empty("beta", "1.0").file("same.py", "beta").file("clash/x", "dir").file("other", "file"),
    ]);
    let built = home.environments.build(ENVIRONMENT, 1, &lockfile, &home.cache).unwrap();
    let tree = home.dir.path().join("tree");
    SitePackages::of(&built.wheels, "py").link_tree(&tree).unwrap();
    assert_eq!(fs::read_to_string(tree.join("same.py")).unwrap(), "alpha");
    assert_eq!(fs::read_to_string(tree.join("clash")).unwrap(), "file");
    assert_eq!(fs::read_to_string(tree.join("other/x")).unwrap(), "dir");
}
