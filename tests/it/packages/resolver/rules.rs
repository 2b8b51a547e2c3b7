//! Which version is taken.

use pymd::packages::requirements::parse_requirement;
use pymd::packages::resolver::{ResolveError, ResolvedRoot, Upgrade};

use super::world::{hash, locked, package, request, target, version, warnings, world};

#[test]
fn the_newest_versions_are_taken_with_all_that_they_need() {
    let world =
        world("a 1.0\n a 2.0: b>=1 | c<2; python_version > '3.8'\n b 1.0\n b 1.10: c\n b 1.9\n c 1.5\n c 2.0\n d 1.0");
    let resolution = world.resolve(&request(["a"])).unwrap();
    assert_eq!(locked(&resolution), "a 2.0, b 1.10, c 1.5");
    assert_eq!(resolution.lockfile.python_version, "3.15.0");
    let a = &resolution.lockfile.packages[0];
    assert_eq!(a.dependencies, ["b", "c"]);
    assert_eq!(a.wheel.filename, "a-2.0-py3-none-any.whl");
    assert_eq!(a.wheel.url, "https://files.test/a-2.0-py3-none-any.whl");
    assert_eq!(a.wheel.sha256, Some(hash("a-2.0-py3-none-any.whl")));
    assert_eq!(resolution.roots, [ResolvedRoot::Locked { name: package("a"), version: version("2.0") }]);
    assert_eq!(warnings(&resolution), [""; 0]);
}

#[test]
fn an_older_version_is_taken_where_the_newest_does_not_go_with_the_rest() {
    let world = world("a 1.0: c<2\n a 2.0: c<2\n b 1.0: c\n b 2.0: c>=2\n c 1.0\n c 2.0");
    assert_eq!(world.locks(["a", "b"]), "a 2.0, b 1.0, c 1.0");
}

#[test]
fn a_cycle_is_no_trouble() {
    let world = world("a 1.0: b\n b 1.0: c==1.0\n c 1.0: a>=1 | b");
    assert_eq!(world.locks(["a"]), "a 1.0, b 1.0, c 1.0");
}

#[test]
fn markers_are_those_of_the_sandbox() {
    let world = world(
        "a 1.0: b; sys_platform == 'wasi' | c; sys_platform == 'linux' | d; platform_machine == 'wasm32' \
         | e; os_name == 'nt' | f; implementation_name == 'cpython' and python_version >= '3.15' \
         | g; platform_system == 'Windows' | h; python_full_version < '3.15.0'\n b 1\n d 1\n f 1",
    );
    assert_eq!(world.locks(["a"]), "a 1.0, b 1, d 1, f 1");
}

#[test]
fn a_requirement_for_another_platform_is_left_out_and_told() {
    let resolution = world("a 1.0").resolve(&request(["a", "b>1; sys_platform == 'win32'"])).unwrap();
    assert_eq!(locked(&resolution), "a 1.0");
    assert_eq!(resolution.roots[1], ResolvedRoot::NotForTarget);
    assert_eq!(warnings(&resolution), ["`b>1` is not for this platform and is left out"]);
}

#[test]
fn installed_versions_are_kept_unless_something_says_otherwise() {
    let world = world("a 1.0: b\n a 2.0: b\n b 1.0\n b 1.5\n b 2.0\n c 1.0: b>=1.5");
    let mut asked = request(["a", "b"]);
    asked.preferred = [(package("a"), version("1.0")), (package("b"), version("1.0"))].into();
    assert_eq!(locked(&world.resolve(&asked).unwrap()), "a 1.0, b 1.0");
    asked.upgrade = Upgrade::Only([package("a")].into());
    assert_eq!(locked(&world.resolve(&asked).unwrap()), "a 2.0, b 1.0");
    asked.upgrade = Upgrade::All;
    assert_eq!(locked(&world.resolve(&asked).unwrap()), "a 2.0, b 2.0");
    asked.upgrade = Upgrade::None;
    asked.roots.extend(request(["c"]).roots);
    assert_eq!(locked(&world.resolve(&asked).unwrap()), "a 1.0, b 2.0, c 1.0");
}

#[test]
fn constraints_hold_for_what_is_needed_and_ask_for_nothing() {
    let world = world("a 1.0: b\n b 1.0\n b 2.0\n c 1.0");
    let mut asked = request(["a"]);
    asked.constraints =
        ["b<2", "c==9", "a<1; sys_platform == 'win32'"].map(|text| parse_requirement(text).unwrap()).into();
    assert_eq!(locked(&world.resolve(&asked).unwrap()), "a 1.0, b 1.0");
}

#[test]
fn pre_releases_are_taken_only_where_they_are_asked_for() {
    let world = world(
        "a 1.0\n a 2.0b1\n only 1.0a1\n only 1.0a2\n mild 1.0: a>=0.9b1\n strict 1.0: a>=2.0b1\n loose 1.0: a>1.5",
    );
    assert_eq!(world.locks(["a"]), "a 1.0");
    assert_eq!(world.locks(["a>=2.0b1"]), "a 2.0b1");
    assert_eq!(world.locks(["a>=1.0b1"]), "a 2.0b1");
    assert_eq!(world.locks(["a!=2.0b2"]), "a 1.0");
    assert_eq!(world.locks(["only"]), "only 1.0a2");
    // A dependency's mention lets them in where nothing else will do.
    assert_eq!(world.locks(["mild"]), "a 1.0, mild 1.0");
    assert_eq!(world.locks(["strict"]), "a 2.0b1, strict 1.0");
    assert_eq!(world.locks(["loose", "strict"]), "a 2.0b1, loose 1.0, strict 1.0");
    assert_eq!(
        world.fails(["loose"]).to_string(),
        "`a>1.5` (needed by loose) can't be used: there are only pre-releases: ask for one by its version, or allow them"
    );
    let mut asked = request(["a"]);
    asked.allow_pre = true;
    assert_eq!(locked(&world.resolve(&asked).unwrap()), "a 2.0b1");
    let mut asked = request(["a"]);
    asked.preferred = [(package("a"), version("2.0b1"))].into();
    assert_eq!(locked(&world.resolve(&asked).unwrap()), "a 2.0b1");
}

#[test]
fn a_yanked_version_is_taken_only_where_it_is_pinned() {
    let world = world("a 1.0\n a 2.0 {yanked broken build}\n b 1.0: a==2.0\n c 1.0: a>=1\n d 1.0: a>=2");
    assert_eq!(world.locks(["a"]), "a 1.0");
    let resolution = world.resolve(&request(["a==2"])).unwrap();
    assert_eq!(locked(&resolution), "a 2.0");
    assert_eq!(warnings(&resolution), ["a 2.0 has been withdrawn by its authors: broken build"]);
    assert_eq!(world.locks(["c", "b"]), "a 2.0, b 1.0, c 1.0");
    assert_eq!(
        world.fails(["d"]).to_string(),
        "`a>=2` (needed by d) can't be used: it has been withdrawn by its authors (broken build): only `==` with its \
         version takes it"
    );
}

#[test]
fn files_for_other_pythons_are_passed_over() {
    let world = world("a 1.0\n a 2.0 {python <3.10}\n b 2.0 {python >=3.16}");
    assert_eq!(world.locks(["a"]), "a 1.0");
    assert_eq!(world.fails(["b"]).to_string(), "`b` can't be used: it is for Python >=3.16, and this is 3.15.0");
}

#[test]
fn what_only_the_metadata_says_of_pythons_holds_too() {
    let mut world = world("a 1.0\n a 2.0\n b 1.0");
    for (name, at) in [("a", "2.0"), ("b", "1.0")] {
        let metadata = world.metadata.get_mut(&(package(name), version(at))).unwrap();
        std::sync::Arc::make_mut(metadata).requires_python = Some("<3".parse().unwrap());
    }
    assert_eq!(world.locks(["a"]), "a 1.0");
    assert_eq!(world.fails(["b"]).to_string(), "`b` can't be used: b 1.0 needs Python <3");
}

#[test]
fn local_versions_are_equal_to_what_names_none() {
    let world = world("a 1.0\n a 1.0+cpu\n a 1.1+cpu\n b 1.0: a==1.0");
    assert_eq!(world.locks(["a==1.0"]), "a 1.0+cpu");
    assert_eq!(world.locks(["b"]), "a 1.0+cpu, b 1.0");
    assert_eq!(world.locks(["a<=1.1"]), "a 1.1+cpu");
    assert_eq!(world.locks(["a!=1.1"]), "a 1.0+cpu");
    assert_eq!(world.locks(["a==1.0+cpu"]), "a 1.0+cpu");
}

#[test]
fn hashes_choose_the_files() {
    let world = world("a 1.0\n a 2.0\n b 1.0\n c 1.0: b");
    let mut asked = request(["a", "c"]);
    asked.roots[0].hashes = vec![hash("a-1.0-py3-none-any.whl"), "0".repeat(64)];
    assert_eq!(locked(&world.resolve(&asked).unwrap()), "a 1.0, b 1.0, c 1.0");
    asked.roots[0].hashes = vec!["0".repeat(64)];
    assert_eq!(
        world.resolve(&asked).unwrap_err().to_string(),
        "`a` can't be used: none of its wheels has a hash that was given"
    );
    asked.roots[0].hashes = vec![hash("a-2.0-py3-none-any.whl")];
    asked.roots[1].hashes = vec![hash("c-1.0-py3-none-any.whl")];
    asked.hashes_required = true;
    let error = world.resolve(&asked).unwrap_err();
    assert_eq!(error.to_string(), "`b` (needed by c) can't be used: hashes are required, and none was given for it");
    assert_eq!(error.roots(), [1]);
}

#[test]
fn a_single_hash_is_locked_where_the_index_has_none() {
    let world = world("a 1.0 {no-hash}");
    let mut asked = request(["a"]);
    assert_eq!(world.resolve(&asked).unwrap().lockfile.packages[0].wheel.sha256, None);
    asked.roots[0].hashes = vec!["ab".repeat(32)];
    assert_eq!(world.resolve(&asked).unwrap().lockfile.packages[0].wheel.sha256, Some("ab".repeat(32)));
    // Which of two it is can't be known before the download, and nobody may forget to check.
    asked.roots[0].hashes.push("cd".repeat(32));
    assert!(matches!(world.resolve(&asked), Err(ResolveError::Unusable { .. })));
}

#[test]
fn what_is_linked_into_the_runtime_is_used_and_never_looked_up() {
    let world = world("a 1.0: numpy>=2 | jinja2\n jinja2 3.0.3\n jinja2 4.0");
    let resolution = world.resolve(&request(["a", "jinja2>3"])).unwrap();
    assert_eq!(locked(&resolution), "a 1.0");
    assert_eq!(resolution.lockfile.packages[0].dependencies, ["jinja2", "numpy"]);
    assert_eq!(
        resolution.built_in,
        [(package("jinja2"), version("3.1.6")), (package("numpy"), version("2.5.2"))].into()
    );
    assert_eq!(resolution.roots[1], ResolvedRoot::BuiltIn { name: package("jinja2"), version: version("3.1.6") });
}

#[test]
fn a_pure_wheel_takes_the_place_of_what_is_linked_in_where_that_will_not_do() {
    let world =
        world("jinja2 3.0.3: markupsafe\n jinja2 4.0\n markupsafe 1.0\n numpy 1.26.0 {native}\n numpy 3.0 {native}");
    let resolution = world.resolve(&request(["jinja2<3.1"])).unwrap();
    assert_eq!(locked(&resolution), "jinja2 3.0.3, markupsafe 1.0");
    assert_eq!(warnings(&resolution), ["jinja2 3.0.3 takes the place of 3.1.6, which the runtime has"]);
    for wanted in ["numpy<2", "numpy==2.0.7", "numpy>=3"] {
        let error = world.fails([wanted]);
        let told = format!(
            "numpy 2.5.2 is linked into the runtime, and no other version of it can run in the sandbox, but `{wanted}` is \
             wanted: an environment in a container can have it"
        );
        assert_eq!(error.to_string(), told);
        assert_eq!(error.roots(), [0]);
    }
}

#[test]
fn there_is_a_limit_for_packages() {
    let world = world("a 1.0: b | c | numpy\n b 1.0\n c 1.0");
    let mut asked = request(["a"]);
    asked.max_packages = 3;
    assert_eq!(locked(&world.resolve(&asked).unwrap()), "a 1.0, b 1.0, c 1.0");
    asked.max_packages = 2;
    assert_eq!(world.resolve(&asked), Err(ResolveError::TooManyPackages { limit: 2 }));
}

#[test]
fn nothing_asked_for_is_nothing_locked() {
    assert_eq!(locked(&world("").resolve(&request([])).unwrap()), "");
    assert_eq!(target().python_minor(), (3, 15));
}
