//! A set of wheels that is on this machine, and what the sandbox makes an environment of.

use std::sync::Arc;

use crate::backend::wasm::{EnvironmentSpec, WarmLimits};
use crate::domain::Lockfile;
use crate::packages::cache::CachedWheel;
use crate::packages::generation::SitePackages;

/// Modules that are imported beforehand at most.
const MAX_IMPORTS: usize = 64;

/// Distributions that are linked into the runtime, and the module that each is imported by, where the names differ.
const LINKED: [(&str, &str); 5] = [
    ("beautifulsoup4", "bs4"),
    ("pillow", "PIL"),
    ("python-dateutil", "dateutil"),
    ("pyyaml", "yaml"),
    ("scikit-learn", "sklearn"),
];

/// Wheels in use, and the modules to import beforehand. As long as it lives, the wheels stay.
#[derive(Debug, Clone)]
pub struct PackageSet {
    wheels: Arc<[CachedWheel]>,
    spec: EnvironmentSpec,
}

impl PackageSet {
    /// The wheels of `lock`, in its order. The modules of the packages in `requested` (normalised names) are imported
    /// beforehand, and `extra` ones. `runtime` is the key of the bytecode. An `owner` shares images with nobody: what a
    /// module has drawn or computed at its import is in them.
    pub fn new(
        owner: &str,
        lock: &Lockfile,
        wheels: Vec<CachedWheel>,
        (requested, extra): (&[String], &[String]),
        runtime: &str,
    ) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(owner.as_bytes());
        hasher.update(b"\0");
        hasher.update(runtime.as_bytes());
        for wheel in &wheels {
            hasher.update(wheel.sha256().as_bytes());
        }
        let mut imports: Vec<String> = Vec::new();
        let own = requested.iter().flat_map(|name| modules(lock, &wheels, name));
        for module in extra.iter().cloned().chain(own).filter(|module| is_module(module)) {
            if !imports.contains(&module) && imports.len() < MAX_IMPORTS {
                imports.push(module);
            }
        }
        let spec = EnvironmentSpec {
            key: hasher.finalize().to_hex().to_string(),
            layers: SitePackages::of(&wheels, runtime).dirs,
            imports,
            limits: WarmLimits::default(),
        };
        Self { wheels: wheels.into(), spec }
    }

    /// What the sandbox makes an environment of.
    pub fn spec(&self) -> &EnvironmentSpec {
        &self.spec
    }

    /// The wheels.
    pub fn wheels(&self) -> &[CachedWheel] {
        &self.wheels
    }
}

/// The modules of a package: of its wheel, or of what is linked into the runtime.
fn modules(lock: &Lockfile, wheels: &[CachedWheel], name: &str) -> Vec<String> {
    let wheel = lock.packages.iter().zip(wheels).find(|(package, _)| package.name == name);
    match wheel {
        Some((_, wheel)) => wheel.info().modules.iter().filter(|module| !module.starts_with('_')).cloned().collect(),
        None => {
            let linked = LINKED.iter().find(|(distribution, _)| *distribution == name).map(|(_, module)| *module);
            vec![linked.map_or_else(|| name.replace('-', "_"), str::to_owned)]
        }
    }
}

/// Whether text can stand behind `import`.
pub fn is_module(text: &str) -> bool {
    let is_name = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c == '_' || c.is_alphabetic()) && chars.all(|c| c == '_' || c.is_alphanumeric())
    };
    text.len() <= 200 && text.split('.').all(is_name)
}
