//! The solver against brute force on small indexes made by chance.

use std::collections::BTreeMap;

use pep440_rs::{Version, VersionSpecifiers};
use pymd::packages::requirements::Requirement;

use super::world::{World, package, request, version, world};

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn some_requirement(chance: &mut Chance) -> String {
    let name = NAMES[usize::try_from(chance.below(5)).expect("small")];
    let number = 1 + chance.below(4);
    match chance.below(7) {
        0 | 1 => name.to_owned(),
        2 => format!("{name}>={number}"),
        3 => format!("{name}<{number}"),
        4 => format!("{name}=={number}"),
        5 => format!("{name}!={number}"),
        _ => format!("{name}[x]>={number}"),
    }
}

fn some_index(chance: &mut Chance) -> String {
    let mut text = String::new();
    for name in NAMES {
        let newest = if chance.below(8) == 0 { 0 } else { 1 + chance.below(4) };
        for number in 1..=newest {
            let native = if chance.below(12) == 0 { "native; " } else { "" };
            text.push_str(&format!("{name} {number} {{{native}extras x}}: "));
            for _ in 0..chance.below(3) {
                let marker = if chance.below(4) == 0 { "; extra == 'x'" } else { "" };
                text.push_str(&format!("{}{marker} | ", some_requirement(chance)));
            }
            text.push('\n');
        }
    }
    text
}

/// What of each package is taken: nothing, or a version and whether with its extra.
type Choice = BTreeMap<&'static str, (Version, bool)>;

fn holds(choice: &Choice, requirement: &Requirement) -> bool {
    let specifiers = match &requirement.version_or_url {
        Some(pep508_rs::VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.clone(),
        _ => VersionSpecifiers::empty(),
    };
    choice
        .get(requirement.name.as_ref())
        .is_some_and(|(version, extra)| specifiers.contains(version) && (*extra || requirement.extras.is_empty()))
}

fn is_solution(world: &World, roots: &[Requirement], choice: &Choice) -> bool {
    let markers = super::world::target();
    roots.iter().all(|root| holds(choice, root))
        && choice.iter().all(|(name, (version, extra))| {
            let metadata = &world.metadata[&(package(name), version.clone())];
            let extras = if *extra { metadata.provides_extra.clone() } else { Vec::new() };
            let mut needed =
                metadata.requires_dist.iter().filter(|dep| dep.evaluate_markers(markers.markers(), &extras));
            needed.all(|dep| holds(choice, dep))
        })
}

fn has_solution(world: &World, roots: &[Requirement], choice: &mut Choice, names: &[&'static str]) -> bool {
    let Some((name, others)) = names.split_first() else { return is_solution(world, roots, choice) };
    if has_solution(world, roots, choice, others) {
        return true;
    }
    let versions: Vec<Version> = world
        .projects
        .get(&package(name))
        .map(|project| project.files.iter().filter(|file| file.filename.ends_with("none-any.whl")))
        .into_iter()
        .flatten()
        .map(|file| version(file.filename.split('-').nth(1).expect("a version")))
        .collect();
    for version in versions {
        for extra in [false, true] {
            choice.insert(name, (version.clone(), extra));
            if has_solution(world, roots, choice, others) {
                return true;
            }
        }
    }
    choice.remove(name);
    false
}

#[test]
fn what_is_solved_holds_and_what_is_not_has_no_solution() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut solved, mut failed) = (0, 0);
    for _ in 0..400 {
        let text = some_index(&mut chance);
        let world = world(&text);
        let roots: Vec<String> = (0..1 + chance.below(3)).map(|_| some_requirement(&mut chance)).collect();
        let asked = request(roots.iter().map(String::as_str));
        let requirements: Vec<Requirement> = asked.roots.iter().map(|root| root.requirement.clone()).collect();
        let result = world.resolve(&asked);
        assert_eq!(result, world.resolve_knowing_all(&asked), "{roots:?}\n{text}");
        let possible = has_solution(&world, &requirements, &mut Choice::new(), &NAMES);
        match result {
            Ok(resolution) => {
                solved += 1;
                assert!(possible);
                // Which extras are taken is not said: with more of them than needed there is more to hold.
                let packages = &resolution.lockfile.packages;
                let holds = (0..1_u32 << packages.len()).any(|extras| {
                    let choice = packages.iter().enumerate().map(|(at, locked)| {
                        let name = NAMES.into_iter().find(|name| *name == locked.name).unwrap();
                        (name, (version(&locked.version), extras & (1 << at) != 0))
                    });
                    is_solution(&world, &requirements, &choice.collect())
                });
                assert!(holds, "{roots:?}\n{text}\n{packages:?}");
            }
            // What fell back too far for native wheels would be possible.
            Err(pymd::packages::resolver::ResolveError::NoPureWheel { .. }) => {}
            Err(error) => {
                failed += 1;
                assert!(!possible, "{roots:?}\n{text}\n{error}");
                assert!(!error.roots().is_empty(), "{error}");
                assert!(error.to_string().lines().count() <= 11, "{error}");
            }
        }
    }
    assert!(solved > 80 && failed > 80, "{solved} {failed}");
}
