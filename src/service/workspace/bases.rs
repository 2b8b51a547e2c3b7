//! The package sets of environments, kept at hand: a run starts without looking at the disk.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Workspace;
use super::change::names;
use crate::backend::wasm::EnvironmentBase;
use crate::domain::{Environment, EnvironmentContents, EnvironmentId, UserId};
use crate::packages::generation::load;
use crate::service::install::{InstallError, PackageSet};
use crate::service::{ServiceError, off_the_server_threads};

/// Sets that are kept at hand.
const KEPT: usize = 64;

/// Which contents of which environment.
#[derive(PartialEq, Eq)]
struct Key {
    id: EnvironmentId,
    generation: u64,
    warm_imports: Vec<String>,
}

impl Key {
    fn of(environment: &Environment) -> Self {
        let (id, generation) = (environment.id, environment.generation);
        Self { id, generation, warm_imports: environment.warm_imports.clone() }
    }
}

/// The sets used last, the latest at the end.
#[derive(Default)]
pub struct Bases(Mutex<Vec<(Key, PackageSet)>>);

impl Bases {
    fn get(&self, environment: &Environment) -> Option<PackageSet> {
        let key = Key::of(environment);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().rposition(|(other, _)| *other == key)?;
        let found = kept.remove(at);
        let set = found.1.clone();
        kept.push(found);
        Some(set)
    }

    /// Keeps the set of an environment's present contents. Earlier contents of it are let go.
    pub fn put(&self, environment: &Environment, set: PackageSet) {
        let key = Key::of(environment);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(other, _)| other.id != key.id);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((key, set));
    }
}

/// How long a default environment is taken for what it was: another server may have changed it.
const TRUSTED: Duration = Duration::from_secs(1);
/// Users whose default environment is remembered at once.
const REMEMBERED: usize = 10_000;

/// The default environments of users, for those many requests that name none: a look at the database is a third of
/// what a small cell costs otherwise.
#[derive(Default)]
pub struct Defaults(Mutex<HashMap<UserId, (Instant, Environment)>>);

impl Defaults {
    fn get(&self, user: UserId) -> Option<Environment> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&user).filter(|(since, _)| since.elapsed() < TRUSTED).map(|(_, environment)| environment.clone())
    }

    fn put(&self, environment: &Environment) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(environment.user_id, (Instant::now(), environment.clone()));
    }

    /// Call it when an environment of the user changes.
    pub fn forget(&self, user: UserId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&user);
    }
}

impl Workspace {
    /// The environment that every user has, as it was a moment ago.
    pub(super) async fn recent_default(&self, user: UserId) -> Result<Environment, ServiceError> {
        if let Some(known) = self.0.defaults.get(user) {
            return Ok(known);
        }
        let environment = self.default_environment(user).await?;
        self.0.defaults.put(&environment);
        Ok(environment)
    }

    /// What runs in the environment start from; nothing for one that has no more than the runtime.
    pub(super) async fn base(&self, environment: &Environment) -> Result<Option<EnvironmentBase>, ServiceError> {
        let Some(set) = self.set(environment).await? else { return Ok(None) };
        Ok(Some(self.0.service.sandbox()?.environment(set.spec()).await?))
    }

    /// The environment's packages on this machine.
    pub(super) async fn set(&self, environment: &Environment) -> Result<Option<PackageSet>, ServiceError> {
        if environment.generation == 0 && environment.warm_imports.is_empty() {
            return Ok(None);
        }
        if let Some(set) = self.0.bases.get(environment) {
            return Ok(Some(set));
        }
        let contents = self.0.database.environment_contents(environment.user_id, environment.id).await?;
        if contents.generation != environment.generation {
            return Err(ServiceError::Conflict {
                message: "the environment was changed at this moment; try again".to_owned(),
            });
        }
        let set = self.materialise(environment, contents).await?;
        self.0.bases.put(environment, set.clone());
        Ok(Some(set))
    }

    /// Brings the environment's contents to this machine: most often they are there.
    async fn materialise(
        &self,
        environment: &Environment,
        contents: EnvironmentContents,
    ) -> Result<PackageSet, ServiceError> {
        let Self(inner) = self;
        let (directories, cache) = (inner.directories.clone(), inner.installer.wheels().clone());
        let (id, generation) = (environment.id.uuid(), contents.generation);
        let python = environment.python_version.clone();
        let dir = directories.path(id, generation);
        let loaded = off_the_server_threads(move || dir.exists().then(|| load(&dir, &cache, &python))).await?;
        let mut lock = contents.lock;
        let wheels = match loaded {
            Some(Ok(loaded)) => loaded.wheels,
            Some(Err(error)) => return Err(InstallError::from(error).into()),
            // It was made by another server, or the directory was lost.
            None => {
                let wheels = inner.installer.fetch(&mut lock, &|_| {}).await?;
                let (cache, locked) = (inner.installer.wheels().clone(), lock.clone());
                let built = off_the_server_threads(move || directories.build(id, generation, &locked, &cache)).await?;
                built.map_err(InstallError::from)?;
                wheels
            }
        };
        inner.installer.compile(inner.service.sandbox()?, &wheels, &|_| {}).await?;
        let (names, runtime) = (names(&contents.requested), inner.installer.runtime_key());
        let owner = environment.user_id.to_string();
        Ok(PackageSet::new(&owner, &lock, wheels, (&names, &environment.warm_imports), runtime))
    }
}
