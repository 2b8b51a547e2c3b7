//! Wheels that can't run here.

use pymd::packages::resolver::ResolveError;

use super::world::{World, locked, request, warnings, world};

/// As pydantic is: each version pins a native core, and an old major version did without.
fn pinning_a_native_core() -> World {
    let mut lines = vec!["typing 4.0".to_owned(), "model 1.10.24: typing".to_owned()];
    for minor in 0..40 {
        lines.push(format!("model 2.{minor}: core==2.{minor}.1"));
        lines.push(format!("core 2.{minor}.1 {{native}}"));
    }
    lines.extend(["api 1.0: model>=1.7,<3".to_owned(), "old 1.0: model<2".to_owned()]);
    world(&lines.join("\n"))
}

#[test]
fn a_package_without_a_pure_wheel_is_named_with_who_needs_it() {
    let world = world("a 1.0: b\n b 2.0: c>=1\n c 1.0 {native}\n c 0.9");
    let error = world.fails(["z>1; sys_platform == 'win32'", "a"]);
    assert_eq!(
        error.to_string(),
        "c 1.0 (needed by b, which a needs) has no wheel that runs in the sandbox, only native ones \
         (cp315-cp315-manylinux_2_28_x86_64): an environment in a container can run it"
    );
    assert_eq!(error.roots(), [1]);
    let ResolveError::NoPureWheel { details } = error else { panic!("{error}") };
    assert_eq!(details.needed.package.as_ref(), "c");
    assert_eq!(details.needed.needed_by.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["b", "a"]);
    assert_eq!(details.wheels, ["cp315-cp315-manylinux_2_28_x86_64"]);
}

#[test]
fn source_distributions_are_never_taken() {
    let world = world("a 1.0\n a 1.1 {source}\n b 1.0 {source}");
    let resolution = world.resolve(&request(["a"])).unwrap();
    assert_eq!(locked(&resolution), "a 1.0");
    assert_eq!(warnings(&resolution), ["a 1.0 is used: newer ones up to 1.1 need native wheels"]);
    assert_eq!(
        world.fails(["b"]).to_string(),
        "b 1.0 has no wheel that runs in the sandbox, only source distributions, which are not built: an environment in a \
         container can run it"
    );
}

#[test]
fn an_older_version_of_the_same_major_one_will_do_with_a_warning() {
    let world = world("a 1.0\n a 1.4\n a 1.5 {native}\n a 1.6 {native}\n b 1.0: a");
    let resolution = world.resolve(&request(["b"])).unwrap();
    assert_eq!(locked(&resolution), "a 1.4, b 1.0");
    assert_eq!(warnings(&resolution), ["a 1.4 is used: newer ones up to 1.6 need native wheels"]);
}

#[test]
fn an_older_major_version_is_taken_only_if_it_is_asked_for() {
    let world = world("a 1.9\n a 2.0 {native}\n b 1.0: a\n c 1.0: a<2");
    let error = world.fails(["b"]);
    assert_eq!(
        error.to_string(),
        "a 2.0 (needed by b) has no wheel that runs in the sandbox, only native ones (cp315-cp315-manylinux_2_28_x86_64): an \
         environment in a container can run it; a 1.9 would run here, ask for `a==1.9` if that old one will do"
    );
    assert_eq!(error.roots(), [0]);
    assert_eq!(world.locks(["a<2"]), "a 1.9");
    assert_eq!(world.locks(["b", "c"]), "a 1.9, b 1.0, c 1.0");
    assert_eq!(world.locks(["b", "a==1.*"]), "a 1.9, b 1.0");
}

#[test]
fn a_native_dependency_of_every_new_version_is_the_answer() {
    let world = pinning_a_native_core();
    let error = world.fails(["model"]);
    assert_eq!(
        error.to_string(),
        "core 2.39.1 (needed by model) has no wheel that runs in the sandbox, only native ones \
         (cp315-cp315-manylinux_2_28_x86_64): an environment in a container can run it; model 1.10.24 would run here, ask \
         for `model==1.10.24` if that old one will do"
    );
    let error = world.fails(["typing", "api"]);
    assert!(error.to_string().starts_with("core 2.39.1 (needed by model, which api needs) has no wheel"), "{error}");
    assert_eq!(error.roots(), [1]);
    assert_eq!(world.locks(["model<2"]), "model 1.10.24, typing 4.0");
    assert_eq!(world.locks(["api", "old"]), "api 1.0, model 1.10.24, old 1.0, typing 4.0");
    let error = world.fails(["model>=2"]);
    assert!(error.to_string().starts_with("core 2.39.1 (needed by model) has no wheel"), "{error}");
}

#[test]
fn not_all_versions_are_looked_at_once_ten_need_native_wheels() {
    let world = pinning_a_native_core();
    let asked = request(["model"]);
    let mut facts = pymd::packages::resolver::Facts::new(asked.target.clone());
    let mut rounds = 0;
    while let pymd::packages::resolver::Step::Needs(needs) = pymd::packages::resolver::solve(&asked, &facts) {
        needs.iter().for_each(|need| world.tell(&mut facts, need));
        rounds += 1;
    }
    assert!(rounds <= 9, "{rounds} rounds");
    assert!(facts.count() <= 25, "{} facts", facts.count());
}

#[test]
fn an_extra_with_a_native_dependency_falls_back_within_its_major_version() {
    let world = world("a 1.0 {extras fast}\n a 1.1 {extras fast}: speedy; extra == 'fast'\n speedy 1.0 {native}");
    let resolution = world.resolve(&request(["a[fast]"])).unwrap();
    assert_eq!(locked(&resolution), "a 1.0");
    assert_eq!(warnings(&resolution), ["a 1.0 is used: newer ones up to 1.1 need native wheels"]);
}

#[test]
fn the_best_wheel_of_a_version_is_taken() {
    let names = |text: &str| world(text).resolve(&request(["a"])).unwrap().lockfile.packages[0].wheel.filename.clone();
    assert_eq!(names("a 1.0 {wheel py2.py3-none-any}\n a 1.0 {wheel py3-none-any}"), "a-1.0-py3-none-any.whl");
    assert_eq!(names("a 1.0 {native}\n a 1.0 {wheel py2.py3-none-any}"), "a-1.0-py2.py3-none-any.whl");
    assert_eq!(names("a 1.0 {wheel 2-py3-none-any}\n a 1.0 {wheel 10-py3-none-any}"), "a-1.0-10-py3-none-any.whl");
    assert_eq!(names("a 1.0 {wheel cp315-none-any}\n a 1.1 {wheel cp314-none-any}"), "a-1.0-cp315-none-any.whl");
    assert_eq!(names("a 1.0 {wheel py3-none-any}\n a 1.1 {wheel py2-none-any}"), "a-1.0-py3-none-any.whl");
    assert_eq!(names("a 1.0 {yanked}\n a 1.0 {wheel py2.py3-none-any}"), "a-1.0-py2.py3-none-any.whl");
}
