//! Extras.

use super::world::{locked, package, request, version, warnings, world};

#[test]
fn an_extra_brings_what_it_needs() {
    let world = world("a 1.0 {extras x y}: b | c; extra == 'x' | d>=2; extra == 'y'\n b 1\n c 1\n d 1\n d 2");
    assert_eq!(world.locks(["a"]), "a 1.0, b 1");
    assert_eq!(world.locks(["a[x]"]), "a 1.0, b 1, c 1");
    assert_eq!(world.locks(["a[x,y]"]), "a 1.0, b 1, c 1, d 2");
    assert_eq!(world.locks(["a[X]", "a[y]"]), "a 1.0, b 1, c 1, d 2");
}

#[test]
fn extras_may_need_each_other_and_themselves() {
    let world = world(
        "a 1.0 {extras all x y}: a[x,y]; extra == 'all' | b; extra == 'x' | c; extra == 'y' | a[all]; extra == 'y'\n b 1\n c 1",
    );
    assert_eq!(world.locks(["a[all]"]), "a 1.0, b 1, c 1");
    let resolution = world.resolve(&request(["a[y]"])).unwrap();
    assert_eq!(locked(&resolution), "a 1.0, b 1, c 1");
    assert_eq!(resolution.lockfile.packages[0].dependencies, ["b", "c"]);
}

#[test]
fn an_extra_and_its_package_have_one_version() {
    let world = world(
        "a 1.0 {extras x}: c; extra == 'x'\n a 2.0 {extras x}: c>=2; extra == 'x'\n b 1.0: a[x]\n c 1.0\n d 1.0: a<2\n e 1.0: c<2",
    );
    assert_eq!(world.locks(["b"]), "a 1.0, b 1.0, c 1.0");
    assert_eq!(world.locks(["d", "b"]), "a 1.0, b 1.0, c 1.0, d 1.0");
    assert_eq!(world.locks(["a", "b", "e"]), "a 1.0, b 1.0, c 1.0, e 1.0");
}

#[test]
fn an_extra_that_is_found_late_follows_its_package() {
    let world =
        world("a 1.0 {extras x}: z; extra == 'x'\n a 2.0 {extras x}: z; extra == 'x'\n b 1.0: c\n c 1.0: a[x]\n z 1");
    let mut asked = request(["a", "b"]);
    asked.preferred = [(package("a"), version("1.0"))].into();
    assert_eq!(locked(&world.resolve(&asked).unwrap()), "a 1.0, b 1.0, c 1.0, z 1");
}

#[test]
fn an_extra_that_does_not_exist_is_told() {
    let resolution = world("a 1.0 {extras x}: b; extra == 'x'").resolve(&request(["a[nope]"])).unwrap();
    assert_eq!(locked(&resolution), "a 1.0");
    assert_eq!(warnings(&resolution), ["a 1.0 has no extra `nope`"]);
}

#[test]
fn extras_of_what_is_linked_in_are_those_of_its_version_on_the_index() {
    let world = world("tqdm 4.70.1 {native; extras slack}: slack-sdk; extra == 'slack' | gone\n slack-sdk 3.0");
    let resolution = world.resolve(&request(["tqdm[slack]"])).unwrap();
    assert_eq!(locked(&resolution), "slack-sdk 3.0");
    assert_eq!(resolution.built_in.len(), 1);
    // Of a version that the index does not have, nothing is known.
    let resolution = world.resolve(&request(["jinja2[i18n]"])).unwrap();
    assert_eq!(locked(&resolution), "");
}
