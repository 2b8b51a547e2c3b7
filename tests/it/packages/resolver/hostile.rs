//! What an index may say, and worse.

use std::fmt::Write as _;
use std::sync::Arc;

use pymd::packages::requirements::parse_dependency;
use pymd::packages::resolver::{Facts, ResolveError, Step, solve};

use super::world::{World, locked, package, request, version, world};

fn with_dependency(world: &mut World, name: &str, at: &str, dependency: &str) {
    let metadata = world.metadata.get_mut(&(package(name), version(at))).expect("a version");
    let dependency = pep508_rs::Requirement::<pep508_rs::VerbatimUrl> {
        version_or_url: Some(pep508_rs::VersionOrUrl::VersionSpecifier(dependency.parse().expect("specifiers"))),
        ..parse_dependency("b").expect("a dependency")
    };
    Arc::make_mut(metadata).requires_dist.push(dependency);
}

#[test]
fn numbers_at_the_end_of_64_bits_make_a_version_unusable() {
    for specifier in [
        "~=18446744073709551615.18446744073709551615",
        "==18446744073709551615.*",
        "!=18446744073709551615.*",
        ">1.post18446744073709551615",
        ">1.dev18446744073709551615",
    ] {
        let mut world = world("a 1.0\n a 1.1\n b 1.0");
        with_dependency(&mut world, "a", "1.1", specifier);
        assert_eq!(world.locks(["a"]), "a 1.0", "{specifier}");
    }
}

#[test]
fn files_of_other_projects_and_without_sense_are_left_out() {
    let mut world = world("a 1.0");
    let project = Arc::make_mut(world.projects.get_mut(&package("a")).unwrap());
    let names = [
        "b-9.0-py3-none-any.whl",
        "a-9.0.whl",
        "a-nonsense-py3-none-any.whl",
        "a-9.0-py3-none-any.whl.exe",
        "",
        "-",
        ".whl",
        "a-9.0-x-py3-none-any.whl",
        "a--py3-none-any.whl",
        "a-9.0-1-2-py3-none-any.whl",
        "a.tar.gz",
        "a-.tar.gz",
        "é-9.0.zip",
    ];
    for name in
        names.map(str::to_owned).into_iter().chain(["9".repeat(100_000), format!("a-{}.zip", "9.".repeat(1_000))])
    {
        let mut file = project.files[0].clone();
        file.filename = name;
        project.files.insert(0, file);
    }
    assert_eq!(world.locks(["a"]), "a 1.0");
    assert_eq!(world.locks(["a"]), world.locks(["A==1"]));
}

#[test]
fn metadata_of_something_else_makes_a_version_unusable() {
    let mut world = world("a 1.0\n a 1.1\n a 1.2\n b 1.0");
    let other = Arc::clone(&world.metadata[&(package("b"), version("1.0"))]);
    world.metadata.insert((package("a"), version("1.2")), other);
    world.metadata.remove(&(package("a"), version("1.1")));
    assert_eq!(world.locks(["a"]), "a 1.0");
    assert_eq!(
        world.fails(["a>1"]).to_string(),
        "`a>1` can't be used: a 1.2 can't be used: its metadata is that of b 1.0"
    );
}

#[test]
fn a_dependency_on_an_address_makes_a_version_unusable() {
    let world =
        world("a 1.0\n a 1.1: b @ https://evil.test/b-1.0-py3-none-any.whl\n c 1.0: b @ git+https://evil.test/b");
    assert_eq!(world.locks(["a"]), "a 1.0");
    assert_eq!(
        world.fails(["c"]).to_string(),
        "`c` can't be used: c 1.0 needs b from an address, not from the package index"
    );
}

#[test]
fn a_version_that_needs_another_of_itself_is_unusable() {
    let world = world("a 1.0: a\n a 1.1: a<1.1\n b 1.0 {extras x}: b[x]>5");
    assert_eq!(world.locks(["a"]), "a 1.0");
    assert_eq!(world.fails(["b"]).to_string(), "`b` can't be used: b 1.0 needs another version of itself");
}

#[test]
fn a_list_of_another_project_and_a_broken_one_are_told() {
    let asked = request(["a"]);
    let mut facts = Facts::new(asked.target.clone());
    facts.add_broken_project(package("a"), "it is not JSON".to_owned());
    let Step::Failed(error) = solve(&asked, &facts) else { panic!() };
    assert_eq!(error.to_string(), "`a` can't be used: it is not JSON");
    assert_eq!(error.roots(), [0]);
}

#[test]
fn a_maze_of_conflicts_ends() {
    // Every version of a package wants a different version of all the others: no two go together.
    let mut text = String::new();
    for name in 0..12 {
        for number in 1..12 {
            write!(text, "p{name} {number}: ").unwrap();
            for other in (0..12).filter(|other| *other != name) {
                write!(text, "p{other}=={} | ", 1 + (number * 7 + name * 3 + other * 5) % 11).unwrap();
            }
            text.push('\n');
        }
    }
    let asked: Vec<String> = (0..12).map(|name| format!("p{name}")).collect();
    let error = world(&text).resolve_knowing_all(&request(asked.iter().map(String::as_str))).unwrap_err();
    assert!(matches!(error, ResolveError::Conflict { .. } | ResolveError::TooComplex), "{error}");
    assert!(error.to_string().lines().count() <= 11);
}

#[test]
fn a_long_chain_of_rejected_versions_ends() {
    let mut text = "z 1.0\n".to_owned();
    for number in 0..1_500 {
        writeln!(text, "a 1.{number}: b==1.{number}\n b 1.{number}: z>=2").unwrap();
    }
    let error = world(&text).resolve_knowing_all(&request(["a", "z"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "300 versions of `a` were tried and none goes with the rest: ask for an exact version of it (`a==...`)"
    );
    assert_eq!(error.roots(), [0]);
}

#[test]
fn an_endless_index_is_cut_off() {
    // Whatever is asked for exists, and needs two more.
    let asked = request(["p1"]);
    let mut facts = Facts::new(asked.target.clone());
    let error = loop {
        match solve(&asked, &facts) {
            Step::Solved(resolution) => panic!("{}", locked(&resolution)),
            Step::Failed(error) => break error,
            Step::Needs(needs) => {
                for need in needs {
                    let (name, _) = need.key();
                    let number: u64 = name.as_ref()[1..].parse().unwrap();
                    let (left, right) = (number * 2, number * 2 + 1);
                    world(&format!("p{number} 1.0: p{left} | p{right}")).tell(&mut facts, &need);
                }
            }
        }
    };
    assert_eq!(error, ResolveError::TooManyPackages { limit: 500 });
}
