//! Environments of documents that name packages of their own: made once for a set of requirements, and kept in the
//! cache. The directories belong to nobody: what is in one follows from the requirements alone. The images that kernels
//! start from are each user's own.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pep440_rs::VersionSpecifiers;
use uuid::Uuid;

use super::install::{InstallError, InstallEvents, Installer, PackageSet, check_count, check_packed, check_unpacked};
use super::turns::Turns;
use super::{Service, ServiceError, off_the_server_threads};
use crate::backend::wasm::EnvironmentBase;
use crate::document::Needs;
use crate::domain::{InstallEvent, Lockfile, Quotas};
use crate::packages::cache::CachedWheel;
use crate::packages::generation::{Environments, GenerationError, load};
use crate::packages::requirements::{Requirement, parse_requirement};
use crate::packages::resolver::{Request, Resolution};

/// The directory of a set of requirements is never built anew: another set is another directory.
const GENERATION: u64 = 1;
/// Sets that are kept at hand.
const KEPT: usize = 32;
/// A directory is not kept longer.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The environments of documents. Cloning shares them.
#[derive(Clone)]
pub struct Scripts(Arc<Inner>);

struct Inner {
    installer: Installer,
    directories: Environments,
    kept: Mutex<Vec<((String, Uuid), PackageSet)>>,
    /// Two documents that open together often want the same.
    turns: Turns<Uuid>,
}

impl Scripts {
    /// Environments in the cache directory.
    ///
    /// # Errors
    /// The directory can't be used.
    pub fn open(cache_dir: &Path, installer: Installer) -> Result<Self, InstallError> {
        let directories = Environments::open(&cache_dir.join("scripts"))?;
        Ok(Self(Arc::new(Inner { installer, directories, kept: Mutex::default(), turns: Turns::default() })))
    }

    /// What the cells of a document of `owner` with these needs start from; as an environment, it may have so many
    /// packages and bytes as `quotas` say.
    ///
    /// # Errors
    /// A requirement is none, the packages can't be had, or they are too many or too large.
    pub async fn base(
        &self,
        service: &Service,
        owner: &str,
        needs: &Needs,
        quotas: &Quotas,
        events: &InstallEvents<'_>,
    ) -> Result<EnvironmentBase, ServiceError> {
        let sandbox = service.sandbox()?;
        let requirements = self.read(needs)?;
        let key = (owner.to_owned(), self.id(&requirements));
        let set = match self.kept(&key) {
            Some(set) => set,
            None => {
                let _turn = self.0.turns.take(key.1).await;
                match self.kept(&key) {
                    Some(set) => set,
                    None => self.make(service, key, requirements, quotas, events).await?,
                }
            }
        };
        // Whoever had it made may be allowed more.
        check_count(set.wheels().len(), quotas.packages_per_environment)?;
        check_unpacked(set.wheels(), 0, quotas.environment_bytes)?;
        events(InstallEvent::Warm { modules: u64::try_from(set.spec().imports.len()).unwrap_or(u64::MAX) });
        Ok(sandbox.environment(set.spec()).await?)
    }

    /// Removes the directories that were made long ago: a document that still wants one makes it again. Blocks.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sweep(&self) -> Result<(), InstallError> {
        self.0.directories.gc(&BTreeSet::new(), MAX_AGE)?;
        Ok(())
    }

    fn read(&self, needs: &Needs) -> Result<Vec<Requirement>, ServiceError> {
        let invalid = |message: String| ServiceError::Invalid { field: "content".to_owned(), message };
        if let Some(text) = &needs.requires_python {
            let wanted = VersionSpecifiers::from_str(text)
                .map_err(|error| invalid(format!("`requires-python` is `{text}`: {error}")))?;
            if !self.0.installer.target().supports(Some(&wanted)) {
                let python = self.0.installer.python_version();
                return Err(invalid(format!("the document wants Python {text}, and the sandbox has {python}")));
            }
        }
        let mut requirements = Vec::with_capacity(needs.packages.len());
        for text in &needs.packages {
            requirements.push(parse_requirement(text).map_err(|error| invalid(format!("`{text}`: {error}")))?);
        }
        requirements.sort_by_key(ToString::to_string);
        requirements.dedup();
        Ok(requirements)
    }

    fn id(&self, requirements: &[Requirement]) -> Uuid {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.0.installer.runtime_key().as_bytes());
        for requirement in requirements {
            hasher.update(b"\n");
            hasher.update(requirement.to_string().as_bytes());
        }
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    fn kept(&self, key: &(String, Uuid)) -> Option<PackageSet> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(other, _)| other == key).map(|(_, set)| set.clone())
    }

    /// What is in the directory, if it is there.
    async fn load(&self, id: Uuid) -> Result<Option<(Lockfile, Vec<CachedWheel>)>, ServiceError> {
        let dir = self.0.directories.path(id, GENERATION);
        let installer = &self.0.installer;
        let (cache, python) = (installer.wheels().clone(), installer.python_version().to_owned());
        let loaded = off_the_server_threads(move || dir.exists().then(|| load(&dir, &cache, &python))).await?;
        let loaded = loaded.transpose().map_err(InstallError::from)?;
        Ok(loaded.map(|loaded| (loaded.lockfile, loaded.wheels)))
    }

    async fn make(
        &self,
        service: &Service,
        (owner, id): (String, Uuid),
        requirements: Vec<Requirement>,
        quotas: &Quotas,
        events: &InstallEvents<'_>,
    ) -> Result<PackageSet, ServiceError> {
        let installer = &self.0.installer;
        let names: Vec<_> = requirements.iter().map(|requirement| requirement.name.to_string()).collect();
        let (lock, wheels) = match self.load(id).await? {
            Some(there) => there,
            None => {
                events(InstallEvent::Resolve);
                let max_packages = usize::try_from(quotas.packages_per_environment).unwrap_or(usize::MAX);
                let request = Request { max_packages, ..Request::new(installer.target().clone(), requirements) };
                let Resolution { mut lockfile, .. } = installer.resolve(request).await.map_err(InstallError::from)?;
                check_packed(&lockfile, 0, quotas.environment_bytes)?;
                let wheels = installer.fetch(&mut lockfile, events).await?;
                check_unpacked(&wheels, 0, quotas.environment_bytes)?;
                let (inner, locked) = (Arc::clone(&self.0), lockfile.clone());
                let build = move || inner.directories.build(id, GENERATION, &locked, inner.installer.wheels());
                match off_the_server_threads(build).await? {
                    Ok(_) => (lockfile, wheels),
                    // Another process was faster, with what the index had said a moment before.
                    Err(error @ GenerationError::Exists { .. }) => {
                        self.load(id).await?.ok_or_else(|| InstallError::from(error))?
                    }
                    Err(error) => return Err(InstallError::from(error).into()),
                }
            }
        };
        installer.compile(service.sandbox()?, &wheels, events).await?;
        let set = PackageSet::new(&owner, &lock, wheels, (&names, &[]), installer.runtime_key());
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(((owner, id), set.clone()));
        Ok(set)
    }
}
