//! Made-up indexes.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, PackageName};
use pymd::packages::project::{CoreMetadata, DistFile, MetadataFile, Project};
use pymd::packages::requirements::{parse_dependency, parse_requirement};
use pymd::packages::resolver::{Facts, Need, Request, Resolution, ResolveError, Step, solve};
use pymd::packages::target::Target;

/// An index.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub projects: BTreeMap<PackageName, Arc<Project>>,
    pub metadata: BTreeMap<(PackageName, Version), Arc<CoreMetadata>>,
}

/// An index from text, a version a line: `name version {flags}: dependency | dependency`. The flags, between `;`:
/// `native`, `source`, `yanked reason`, `python <3.10`, `extras a b`, `no-hash`, `wheel py2.py3-none-any`.
pub fn world(text: &str) -> World {
    let mut world = World::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (head, dependencies) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        let (head, flags) = head.split_once('{').unwrap_or((head, ""));
        let flags: Vec<&str> = flags.trim_end_matches(['}', ' ']).split(';').map(str::trim).collect();
        let flag = |name: &str| flags.iter().find_map(|flag| flag.strip_prefix(name).map(str::trim));
        let (name, version) = head.trim().split_once(' ').expect("a name and a version");
        let dependencies: Vec<&str> = dependencies.split('|').map(str::trim).filter(|text| !text.is_empty()).collect();
        let python = flag("python").map(|text| VersionSpecifiers::from_str(text).expect("specifiers"));
        let name = package(name);
        let file_name = name.as_dist_info_name().into_owned();
        let filename = match (flag("native"), flag("source"), flag("wheel")) {
            (Some(_), ..) => format!("{file_name}-{version}-cp315-cp315-manylinux_2_28_x86_64.whl"),
            (_, Some(_), _) => format!("{file_name}-{version}.tar.gz"),
            (.., Some(tags)) => format!("{file_name}-{version}-{tags}.whl"),
            _ => format!("{file_name}-{version}-py3-none-any.whl"),
        };
        let file = DistFile {
            url: format!("https://user:secret@files.test/{filename}").parse().expect("an address"),
            sha256: flag("no-hash").is_none().then(|| hash(&filename)),
            size_bytes: Some(1_000),
            requires_python: python.clone(),
            yanked: flag("yanked").map(str::to_owned),
            metadata: MetadataFile::Beside { sha256: None },
            filename,
        };
        let metadata = CoreMetadata {
            name: name.clone(),
            version: self::version(version),
            requires_dist: dependencies.iter().map(|text| parse_dependency(text).expect("a dependency")).collect(),
            requires_python: python,
            provides_extra: flag("extras")
                .unwrap_or_default()
                .split_whitespace()
                .map(|extra| ExtraName::from_str(extra).expect("an extra"))
                .collect(),
            summary: None,
        };
        world.metadata.insert((name.clone(), self::version(version)), Arc::new(metadata));
        let project =
            world.projects.entry(name.clone()).or_insert_with(|| Arc::new(Project { name, files: Vec::new() }));
        Arc::make_mut(project).files.push(file);
    }
    world
}

/// The hash that a made-up file has.
pub fn hash(filename: &str) -> String {
    let sum = filename.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("{sum:064x}")
}

pub fn package(name: &str) -> PackageName {
    PackageName::from_str(name).expect("a name")
}

pub fn version(text: &str) -> Version {
    Version::from_str(text).expect("a version")
}

/// The sandbox with a few distributions linked in.
pub fn target() -> Target {
    Target::sandbox("3.15.0", [("numpy", "2.5.2"), ("jinja2", "3.1.6"), ("tqdm", "4.70.1")]).expect("a target")
}

pub fn request<'a>(roots: impl IntoIterator<Item = &'a str>) -> Request {
    let requirements = roots.into_iter().map(|root| parse_requirement(root).expect("a requirement"));
    Request::new(target(), requirements.collect::<Vec<_>>())
}

impl World {
    /// Tells the solver what it needs until it has an answer, one fact after the other.
    pub fn resolve(&self, request: &Request) -> Result<Resolution, ResolveError> {
        let mut facts = Facts::new(request.target.clone());
        loop {
            match solve(request, &facts) {
                Step::Solved(resolution) => return Ok(*resolution),
                Step::Failed(error) => return Err(error),
                Step::Needs(needs) => {
                    assert!(!needs.is_empty());
                    let before = facts.count();
                    self.tell(&mut facts, &needs[0]);
                    assert!(facts.count() > before);
                }
            }
        }
    }

    /// Tells all that there is before asking.
    pub fn resolve_knowing_all(&self, request: &Request) -> Result<Resolution, ResolveError> {
        let mut facts = Facts::new(request.target.clone());
        self.projects.values().for_each(|project| facts.add_project(Arc::clone(project)));
        for ((name, version), metadata) in &self.metadata {
            facts.add_metadata(name, version, Arc::clone(metadata));
        }
        loop {
            match solve(request, &facts) {
                Step::Solved(resolution) => return Ok(*resolution),
                Step::Failed(error) => return Err(error),
                Step::Needs(needs) => needs.iter().for_each(|need| self.tell(&mut facts, need)),
            }
        }
    }

    pub fn tell(&self, facts: &mut Facts, need: &Need) {
        match need {
            Need::Project { name } => match self.projects.get(name) {
                Some(project) => facts.add_project(Arc::clone(project)),
                None => facts.add_missing_project(name.clone()),
            },
            Need::Metadata { name, version, file } => {
                assert!(self.projects[name].files.iter().any(|known| known.filename == file.filename));
                match self.metadata.get(&(name.clone(), version.clone())) {
                    Some(metadata) => facts.add_metadata(name, version, Arc::clone(metadata)),
                    None => facts.add_broken_metadata(name, version, "it is missing".to_owned()),
                }
            }
        }
    }

    /// What is locked for these requirements: `a 1.0, b 2.0`.
    pub fn locks<'a>(&self, roots: impl IntoIterator<Item = &'a str>) -> String {
        locked(&self.resolve(&request(roots)).expect("a resolution"))
    }

    /// Why these requirements can't be met.
    pub fn fails<'a>(&self, roots: impl IntoIterator<Item = &'a str>) -> ResolveError {
        self.resolve(&request(roots)).expect_err("no resolution")
    }
}

pub fn locked(resolution: &Resolution) -> String {
    let packages = resolution.lockfile.packages.iter().map(|package| format!("{} {}", package.name, package.version));
    packages.collect::<Vec<_>>().join(", ")
}

pub fn warnings(resolution: &Resolution) -> Vec<String> {
    resolution.warnings.iter().map(ToString::to_string).collect()
}
