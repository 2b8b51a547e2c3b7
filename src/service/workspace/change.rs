//! Changes of what is in an environment: worked out aside, and switched to as a whole.

use std::collections::BTreeSet;

use jiff::Timestamp;
use pep508_rs::PackageName;
use serde_json::Value;

use super::Workspace;
use super::report::{After, There, there};
use crate::domain::{
    Environment, EnvironmentContents, EnvironmentId, FailedReport, InstallEvent, InstallReport, Lockfile,
    QuotaExceeded, QuotaKind, UserId, WarmReport,
};
use crate::jobs::JobContext;
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

/// Who hears of a change, and whose job it is.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    pub events: &'a InstallEvents<'a>,
    /// The job that the change ends: both happen in the same instant.
    pub job: Option<&'a JobContext>,
}

impl<'a> Watch<'a> {
    /// A change that somebody waits for.
    pub fn of(events: &'a InstallEvents<'a>) -> Self {
        Self { events, job: None }
    }
}

/// A change that needs nothing more than to be switched to.
struct Prepared {
    environment: Environment,
    /// The contents before.
    from: u64,
    generation: u64,
    lock: Lockfile,
    requested: Vec<String>,
    packages: Vec<InstalledPackage>,
    set: PackageSet,
    warm: Value,
    warnings: Vec<String>,
    at: Timestamp,
}

/// What came of preparing a change.
enum Preparation {
    /// It is like that already.
    Unchanged(Lockfile, Vec<String>),
    /// It is ready.
    Ready(Box<Prepared>),
}

impl Workspace {
    /// Adds packages to an environment of the user; `failed` are those that are at fault already.
    pub(super) async fn add(
        &self,
        user: UserId,
        id: EnvironmentId,
        addition: Addition,
        failed: Vec<FailedReport>,
        watch: Watch<'_>,
    ) -> Result<InstallReport, ServiceError> {
        let _turn = self.0.turns.take(id).await;
        let mut attempts = 1;
        loop {
            match self.try_add(user, id, addition.clone(), failed.clone(), watch).await {
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
        watch: Watch<'_>,
    ) -> Result<InstallReport, Stopped> {
        let contents = self.0.database.environment_contents(user, id).await?;
        if addition.asked.is_empty() {
            return Ok(InstallReport::of_failures(failed));
        }
        (watch.events)(InstallEvent::Resolve);
        let new: BTreeSet<_> = addition.asked.iter().map(|asked| asked.name().clone()).collect();
        let kept: Vec<_> = requested(&contents).into_iter().filter(|asked| !new.contains(asked.name())).collect();
        let quotas = self.0.database.grant(user, None).await?.quotas;
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
        let there = there(&self.0.database.environment_packages(user, id).await?);
        let wanted = Wanted { lock, requested, warnings };
        let prepared = self.prepare((user, id), &contents, wanted, watch.events).await?;
        let asked: Vec<_> = addition.asked.iter().zip(roots.iter().skip(kept.len())).collect();
        match prepared {
            Preparation::Unchanged(lock, warnings) => {
                let after = After { before: &contents.lock, lock: &lock, there: &there, at: Timestamp::now() };
                Ok(after.report(&asked, failed, warnings))
            }
            Preparation::Ready(prepared) => {
                let there = prepared.there(&contents.lock, &there);
                let after = After { before: &contents.lock, lock: &prepared.lock, there: &there, at: prepared.at };
                let report = after.report(&asked, failed, prepared.warnings.clone());
                self.switch(*prepared, watch.job, Some(&report)).await?;
                Ok(report)
            }
        }
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

    /// Makes `wanted` the environment's contents.
    pub(super) async fn apply(
        &self,
        (user, id): (UserId, EnvironmentId),
        contents: &EnvironmentContents,
        wanted: Wanted,
    ) -> Result<Environment, Stopped> {
        match self.prepare((user, id), contents, wanted, &|_| {}).await? {
            Preparation::Unchanged(..) => Ok(self.0.database.environment(user, id).await?),
            Preparation::Ready(prepared) => self.switch(*prepared, None, None).await,
        }
    }

    /// Does all of a change that nobody sees: fetches what is missing, builds its directory, and warms it up.
    async fn prepare(
        &self,
        (user, id): (UserId, EnvironmentId),
        contents: &EnvironmentContents,
        wanted: Wanted,
        events: &InstallEvents<'_>,
    ) -> Result<Preparation, Stopped> {
        let Self(inner) = self;
        let Wanted { mut lock, requested, mut warnings } = wanted;
        let sandbox = inner.service.sandbox()?.clone();
        let wheels = inner.installer.fetch(&mut lock, events).await?;
        if contents.generation > 0 && lock == contents.lock && requested == contents.requested {
            return Ok(Preparation::Unchanged(lock, warnings));
        }
        let generation = inner.database.reserve_generation(id).await?;
        let (directories, cache, locked) = (inner.directories.clone(), inner.installer.wheels().clone(), lock.clone());
        let built = off_the_server_threads(move || directories.build(id.uuid(), generation, &locked, &cache)).await?;
        let built = built.map_err(InstallError::from)?;
        inner.installer.compile(&sandbox, &wheels, events).await?;
        warnings.extend(super::report::overlaps(&built.overlaps));
        warnings.extend(super::report::wheels(&wheels));
        let names = names(&requested);
        let packages = lock.packages.iter().zip(&wheels).map(|(package, wheel)| InstalledPackage {
            name: package.name.clone(),
            version: package.version.clone(),
            size_bytes: wheel.info().unpacked_bytes,
            requested: names.contains(&package.name),
        });
        let packages = packages.collect();
        let environment = inner.database.environment(user, id).await?;
        let (owner, runtime) = (user.to_string(), inner.installer.runtime_key());
        let set = PackageSet::new(&owner, &lock, wheels, (&names, &environment.warm_imports), runtime);
        let warm = self.warm(id, &set, events, &mut warnings).await?;
        // As exact as the database keeps it.
        let at = Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap_or_default();
        let from = contents.generation;
        let prepared = Prepared { environment, from, generation, lock, requested, packages, set, warm, warnings, at };
        Ok(Preparation::Ready(Box::new(prepared)))
    }

    /// Makes a change the environment's contents, and ends the job that it is for.
    async fn switch(
        &self,
        prepared: Prepared,
        job: Option<&JobContext>,
        report: Option<&InstallReport>,
    ) -> Result<Environment, Stopped> {
        let Self(inner) = self;
        if let Some(job) = job {
            // Nothing can be said of a job that is over.
            job.flush().await;
        }
        let completes = job.zip(report).map(|(job, report)| match serde_json::to_value(report) {
            Ok(result) => Ok((job.lease(), result)),
            Err(error) => Err(ServiceError::internal(&error)),
        });
        let switch = Switch {
            environment: prepared.environment.id,
            expected_generation: prepared.from,
            generation: prepared.generation,
            requested: &prepared.requested,
            lock: &prepared.lock,
            packages: &prepared.packages,
            warm: Some((&prepared.environment.warm_imports, &prepared.warm)),
            at: prepared.at,
            completes: completes.transpose()?,
        };
        let environment = inner.database.switch_generation(&switch).await?;
        inner.defaults.forget(environment.user_id);
        if environment.warm_imports == prepared.environment.warm_imports {
            inner.bases.put(&environment, prepared.set);
        }
        Ok(environment)
    }

    /// Imports a set's modules beforehand, and tells how that went. What does not work is a warning: the environment can
    /// be used without.
    pub(super) async fn warm(
        &self,
        id: EnvironmentId,
        set: &PackageSet,
        events: &InstallEvents<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Value, ServiceError> {
        let modules = u64::try_from(set.spec().imports.len()).unwrap_or(u64::MAX);
        events(InstallEvent::Warm { modules });
        let report = match self.0.service.sandbox()?.environment(set.spec()).await {
            Ok(base) => base.report().clone(),
            Err(error) => {
                tracing::warn!(environment = %id, %error, "there is no warm image");
                warnings.push(format!("the packages could not be imported beforehand: {error}"));
                WarmReport::default()
            }
        };
        for cold in &report.failed {
            warnings.push(format!("`{}` could not be imported beforehand: {}", cold.module, cold.error));
        }
        serde_json::to_value(&report).map_err(|error| ServiceError::internal(&error))
    }
}

impl Prepared {
    /// The packages as they will be; those that stay are there as long as they were.
    fn there(&self, before: &Lockfile, now: &There) -> There {
        let stays = |package: &InstalledPackage| {
            before.packages.iter().any(|old| old.name == package.name && old.version == package.version)
        };
        let since = |package: &InstalledPackage| match now.get(&package.name) {
            Some((_, since)) if stays(package) => *since,
            _ => self.at,
        };
        let packages = self.packages.iter();
        packages.map(|package| (package.name.clone(), (package.size_bytes, since(package)))).collect()
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
