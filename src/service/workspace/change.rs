//! Changes of what is in an environment: worked out aside, and switched to as a whole.

use std::collections::BTreeSet;

use pep508_rs::PackageName;

use super::Workspace;
use crate::domain::{
    Environment, EnvironmentContents, EnvironmentId, FailedReport, InstallEvent, InstallReport, Lockfile,
    QuotaExceeded, QuotaKind, UserId, WarmReport,
};
use crate::packages::requirements::{Requirement, parse_requirement};
use crate::packages::resolver::{Request, Resolution, ResolveError, Root, Upgrade};
use crate::service::install::{InstallError, InstallEvents, Installer, PackageSet, check_packed};
use crate::service::{ServiceError, off_the_server_threads};
use crate::store::{EnvironmentError, InstalledPackage, StoreError, Switch};

/// How often a change is worked out anew when another server was faster.
const ATTEMPTS: usize = 4;

/// A requirement, as its user gave it and as the resolver takes it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub text: String,
    pub root: Root,
}

impl Asked {
    pub fn new(requirement: Requirement, hashes: Vec<String>) -> Self {
        Self { text: requirement.to_string(), root: Root { requirement, hashes } }
    }

    pub fn name(&self) -> &PackageName {
        &self.root.requirement.name
    }
}

/// Packages to be added.
#[derive(Debug, Clone, Default)]
pub(super) struct Addition {
    pub asked: Vec<Asked>,
    pub constraints: Vec<Requirement>,
    pub allow_pre: bool,
    pub hashes_required: bool,
    /// Whether those that are there already may move to newer versions.
    pub upgrade: bool,
    /// Whether all go in or none: else what can't be had is left out and reported.
    pub all_or_none: bool,
}

/// What an environment is to hold.
pub(super) struct Wanted {
    pub lock: Lockfile,
    /// The requirements that this comes from.
    pub requested: Vec<String>,
    pub warnings: Vec<String>,
}

/// What an environment comes to.
pub(super) struct Outcome {
    pub environment: Environment,
    pub lock: Lockfile,
    pub warnings: Vec<String>,
}

impl Workspace {
    /// Adds packages to an environment of the user; `failed` are those that are at fault already.
    pub(super) async fn add(
        &self,
        user: UserId,
        id: EnvironmentId,
        addition: Addition,
        failed: Vec<FailedReport>,
        events: &InstallEvents<'_>,
    ) -> Result<InstallReport, ServiceError> {
        let _turn = self.0.turns.take(id).await;
        let mut attempts = 1;
        loop {
            match self.try_add(user, id, addition.clone(), failed.clone(), events).await {
                Err(Stopped::Conflict) if attempts < ATTEMPTS => attempts += 1,
                other => return other.map_err(ServiceError::from),
            }
        }
    }

    async fn try_add(
        &self,
        user: UserId,
        id: EnvironmentId,
        mut addition: Addition,
        mut failed: Vec<FailedReport>,
        events: &InstallEvents<'_>,
    ) -> Result<InstallReport, Stopped> {
        let contents = self.0.database.environment_contents(user, id).await?;
        if addition.asked.is_empty() {
            return Ok(InstallReport::of_failures(failed));
        }
        events(InstallEvent::Resolve);
        let new: BTreeSet<_> = addition.asked.iter().map(|asked| asked.name().clone()).collect();
        let kept: Vec<_> = requested(&contents).into_iter().filter(|asked| !new.contains(asked.name())).collect();
        let quotas = self.0.database.tier_of(user).await?.quotas;
        let resolution = loop {
            let request = self.request(&contents, &kept, &addition, quotas.packages_per_environment);
            let error = match self.0.installer.resolve(request).await {
                Ok(resolution) => break resolution,
                Err(ResolveError::TooManyPackages { limit }) => {
                    let allowed = quotas.packages_per_environment;
                    let used = u64::try_from(contents.lock.packages.len()).unwrap_or(u64::MAX);
                    let wanted = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
                    let what = QuotaKind::PackagesPerEnvironment;
                    return Err(QuotaExceeded { what, used, wanted, allowed }.into());
                }
                Err(error) => error,
            };
            let at_fault: BTreeSet<usize> =
                error.roots().iter().filter_map(|index| index.checked_sub(kept.len())).collect();
            if at_fault.is_empty() || addition.all_or_none {
                return Err(InstallError::from(error).into());
            }
            let message = error.to_string();
            let mut index = 0;
            addition.asked.retain(|asked| {
                let is_at_fault = at_fault.contains(&index);
                index += 1;
                if is_at_fault {
                    failed.push(FailedReport { package: asked.text.clone(), error: message.clone() });
                }
                !is_at_fault
            });
            if addition.asked.is_empty() {
                return Ok(InstallReport::of_failures(failed));
            }
        };
        let requested = kept.iter().chain(&addition.asked).map(|asked| asked.text.clone()).collect();
        let Resolution { lockfile: lock, roots, warnings, .. } = resolution;
        let warnings = warnings.iter().map(ToString::to_string).collect();
        let used = self.0.database.environment(user, id).await?.total_size_bytes;
        check_packed(&lock, used, quotas.environment_bytes)?;
        let outcome = self.apply((user, id), &contents, Wanted { lock, requested, warnings }, events).await?;
        let asked: Vec<_> = addition.asked.iter().zip(roots.iter().skip(kept.len())).collect();
        Ok(self.report(user, &contents.lock, outcome, &asked, failed).await?)
    }

    fn request(
        &self,
        contents: &EnvironmentContents,
        kept: &[Asked],
        addition: &Addition,
        max_packages: u64,
    ) -> Request {
        let installer = &self.0.installer;
        let names = addition.asked.iter().map(|asked| asked.name().clone());
        Request {
            roots: kept.iter().chain(&addition.asked).map(|asked| asked.root.clone()).collect(),
            constraints: addition.constraints.clone(),
            preferred: Installer::preferred(&contents.lock),
            upgrade: if addition.upgrade { Upgrade::Only(names.collect()) } else { Upgrade::None },
            allow_pre: addition.allow_pre,
            hashes_required: addition.hashes_required,
            max_packages: usize::try_from(max_packages).unwrap_or(usize::MAX),
            ..Request::new(installer.target().clone(), [])
        }
    }

    /// Makes `wanted` the environment's contents: fetches what is missing, builds its directory, switches, and warms up.
    pub(super) async fn apply(
        &self,
        (user, id): (UserId, EnvironmentId),
        contents: &EnvironmentContents,
        wanted: Wanted,
        events: &InstallEvents<'_>,
    ) -> Result<Outcome, Stopped> {
        let Self(inner) = self;
        let Wanted { mut lock, requested, mut warnings } = wanted;
        let sandbox = inner.service.sandbox()?.clone();
        let wheels = inner.installer.fetch(&mut lock, events).await?;
        if contents.generation > 0 && lock == contents.lock && requested == contents.requested {
            let mut environment = inner.database.environment(user, id).await?;
            // Whoever made it may have died before this.
            if environment.warm.is_none() {
                environment = self.warm(environment, events, &mut warnings).await?;
            }
            return Ok(Outcome { environment, lock, warnings });
        }
        let generation = inner.database.reserve_generation(id).await?;
        let (directories, cache, locked) = (inner.directories.clone(), inner.installer.wheels().clone(), lock.clone());
        let built = off_the_server_threads(move || directories.build(id.uuid(), generation, &locked, &cache)).await?;
        let built = built.map_err(InstallError::from)?;
        inner.installer.compile(&sandbox, &wheels, events).await?;
        let names = names(&requested);
        let packages: Vec<_> = lock
            .packages
            .iter()
            .zip(&wheels)
            .map(|(package, wheel)| InstalledPackage {
                name: package.name.clone(),
                version: package.version.clone(),
                size_bytes: wheel.info().unpacked_bytes,
                requested: names.contains(&package.name),
            })
            .collect();
        let switch = Switch {
            environment: id,
            expected_generation: contents.generation,
            generation,
            requested: &requested,
            lock: &lock,
            packages: &packages,
            completes: None,
        };
        let environment = inner.database.switch_generation(&switch).await?;
        inner.defaults.forget(user);
        warnings.extend(super::report::overlaps(&built.overlaps));
        warnings.extend(super::report::wheels(&wheels));
        let set = PackageSet::new(
            &user.to_string(),
            &lock,
            wheels.clone(),
            (&names, &environment.warm_imports),
            inner.installer.runtime_key(),
        );
        inner.bases.put(&environment, set);
        let environment = self.warm(environment, events, &mut warnings).await?;
        Ok(Outcome { environment, lock, warnings })
    }

    /// Imports the environment's modules beforehand, and notes how that went. What does not work is a warning: the
    /// environment can be used without.
    pub(super) async fn warm(
        &self,
        environment: Environment,
        events: &InstallEvents<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Environment, ServiceError> {
        let Some(set) = self.set(&environment).await? else { return Ok(environment) };
        let modules = u64::try_from(set.spec().imports.len()).unwrap_or(u64::MAX);
        events(InstallEvent::Warm { modules });
        let report = match self.0.service.sandbox()?.environment(set.spec()).await {
            Ok(base) => base.report().clone(),
            Err(error) => {
                tracing::warn!(environment = %environment.id, %error, "there is no warm image");
                warnings.push(format!("the packages could not be imported beforehand: {error}"));
                WarmReport::default()
            }
        };
        for cold in &report.failed {
            warnings.push(format!("`{}` could not be imported beforehand: {}", cold.module, cold.error));
        }
        let warm = serde_json::to_value(&report).map_err(|error| ServiceError::internal(&error))?;
        self.0.database.set_warm(environment.id, environment.generation, Some(&warm)).await?;
        Ok(Environment { warm: Some(warm), ..environment })
    }
}

/// What the user has asked for so far.
pub(super) fn requested(contents: &EnvironmentContents) -> Vec<Asked> {
    let known = |text: &String| {
        let requirement = parse_requirement(text).ok()?;
        Some(Asked { text: text.clone(), root: Root { requirement, hashes: Vec::new() } })
    };
    contents.requested.iter().filter_map(known).collect()
}

/// The normalised names of requirements.
pub(super) fn names(requested: &[String]) -> Vec<String> {
    requested.iter().filter_map(|text| parse_requirement(text).ok()).map(|found| found.name.to_string()).collect()
}

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Another server changed the environment meanwhile.
    Conflict,
    /// For good.
    Service(ServiceError),
}

impl From<Stopped> for ServiceError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Conflict => Self::Conflict {
                message: "the environment is being changed by others all the time; try again".to_owned(),
            },
            Stopped::Service(error) => error,
        }
    }
}

impl From<EnvironmentError> for Stopped {
    fn from(error: EnvironmentError) -> Self {
        match error {
            EnvironmentError::Conflict { .. } => Self::Conflict,
            error => Self::Service(error.into()),
        }
    }
}

macro_rules! for_good {
    ($($error:ty),+) => {$(
        impl From<$error> for Stopped {
            fn from(error: $error) -> Self {
                Self::Service(error.into())
            }
        }
    )+};
}
for_good!(ServiceError, InstallError, QuotaExceeded, StoreError);
