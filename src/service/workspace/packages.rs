//! Packages of an environment: installed, listed, uninstalled.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Workspace;
use super::change::{Addition, Asked, Stopped, Wanted, Watch, names};
use crate::domain::{
    EnvironmentContents, EnvironmentId, EnvironmentPackage, FailedReport, InstallReport, Lockfile, UserId,
};
use crate::packages::requirements::{parse_requirement, parse_requirements};
use crate::service::ServiceError;
use crate::service::install::InstallEvents;

/// Packages of one request.
const MAX_PACKAGES: usize = 10;

/// Packages to be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddPackages {
    /// 1 to 10 requirements (PEP 508): `rich`, `rich==14.0`, `httpx[http2]>=0.27,<1`.
    #[schema(min_items = 1, max_items = 10)]
    pub packages: Vec<String>,
    /// Whether those that are there already move to the newest version that fits.
    #[serde(default)]
    pub upgrade: bool,
}

/// A list of requirements to be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportRequirements {
    /// The text of a `requirements.txt`.
    pub requirements: String,
}

impl AddPackages {
    /// What is to be added, and what is refused at first sight.
    pub(super) fn check(&self) -> Result<(Addition, Vec<FailedReport>), ServiceError> {
        if self.packages.is_empty() || self.packages.len() > MAX_PACKAGES {
            let message = format!("must have 1 to {MAX_PACKAGES} entries, not {}", self.packages.len());
            return Err(ServiceError::Invalid { field: "packages".to_owned(), message });
        }
        let (mut asked, mut failed) = (Vec::<Asked>::new(), Vec::new());
        for text in &self.packages {
            match parse_requirement(text) {
                Ok(requirement) => asked.push(Asked::new(requirement, Vec::new())),
                Err(error) => {
                    let package = text.chars().take(200).collect();
                    failed.push(FailedReport { package, error: error.to_string() });
                }
            }
        }
        Ok((Addition { asked, upgrade: self.upgrade, ..Addition::default() }, failed))
    }
}

impl ImportRequirements {
    /// What is to be added.
    pub(super) fn check(&self) -> Result<Addition, ServiceError> {
        let found = parse_requirements(&self.requirements).map_err(|errors| {
            let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
            ServiceError::Invalid { field: "requirements".to_owned(), message: lines.join("; ") }
        })?;
        let asked = found.requirements.into_iter().map(|listed| Asked::new(listed.requirement, listed.hashes));
        Ok(Addition {
            asked: asked.collect(),
            constraints: found.constraints,
            allow_pre: found.allow_pre,
            hashes_required: found.hashes_required,
            upgrade: false,
            all_or_none: true,
        })
    }
}

/// The packages of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PackageList {
    /// The packages, by name.
    pub packages: Vec<EnvironmentPackage>,
    /// How many they are.
    pub total: u64,
    /// Bytes of all of them.
    pub total_size_bytes: u64,
}

impl Workspace {
    /// The packages of an environment.
    ///
    /// # Errors
    /// There is no such environment.
    pub async fn packages(&self, user: UserId, id: EnvironmentId) -> Result<PackageList, ServiceError> {
        let packages = self.0.database.environment_packages(user, id).await?;
        let total_size_bytes = packages.iter().map(|package| package.size_bytes).fold(0, u64::saturating_add);
        Ok(PackageList { total: super::report::count(packages.len()), packages, total_size_bytes })
    }

    /// A package of an environment.
    ///
    /// # Errors
    /// There is none.
    pub async fn package(
        &self,
        user: UserId,
        id: EnvironmentId,
        name: &str,
    ) -> Result<EnvironmentPackage, ServiceError> {
        let name = normalised(name)?;
        let packages = self.0.database.environment_packages(user, id).await?;
        packages.into_iter().find(|package| package.name == name).ok_or(ServiceError::NotFound { what: "package" })
    }

    /// Installs packages. Those that can't be had are left out and reported, the others go in together.
    ///
    /// # Errors
    /// There is no such environment, the tier allows no more, or the index does not answer: nothing has changed then.
    pub async fn install(
        &self,
        user: UserId,
        id: EnvironmentId,
        request: AddPackages,
        events: &InstallEvents<'_>,
    ) -> Result<InstallReport, ServiceError> {
        let _share = self.change(user)?;
        let (addition, failed) = request.check()?;
        self.add(user, id, addition, failed, Watch::of(events)).await
    }

    /// Installs what a `requirements.txt` asks for: all of it or nothing.
    ///
    /// # Errors
    /// A line is refused, or as [`Workspace::install`]; also when a package can't be had.
    pub async fn import_requirements(
        &self,
        user: UserId,
        id: EnvironmentId,
        request: ImportRequirements,
        events: &InstallEvents<'_>,
    ) -> Result<InstallReport, ServiceError> {
        let _share = self.change(user)?;
        self.add(user, id, request.check()?, Vec::new(), Watch::of(events)).await
    }

    /// Takes a package out of an environment, and what only it needed.
    ///
    /// # Errors
    /// It is not there, or another package needs it.
    pub async fn uninstall(&self, user: UserId, id: EnvironmentId, name: &str) -> Result<(), ServiceError> {
        let name = normalised(name)?;
        let _share = self.change(user)?;
        let _turn = self.0.turns.take(id).await;
        loop {
            let contents = self.0.database.environment_contents(user, id).await?;
            let (lock, requested) = without(&contents, &name)?;
            let wanted = Wanted { lock, requested, warnings: Vec::new() };
            match self.apply((user, id), &contents, wanted).await {
                Err(Stopped::Conflict) => {}
                Err(Stopped::Service(error)) => return Err(error),
                Ok(_) => return Ok(()),
            }
        }
    }
}

fn normalised(name: &str) -> Result<String, ServiceError> {
    let name = name.parse::<pep508_rs::PackageName>();
    name.map(|name| name.to_string()).map_err(|_| ServiceError::NotFound { what: "package" })
}

/// The contents without a package and what only it needed.
fn without(contents: &EnvironmentContents, name: &str) -> Result<(Lockfile, Vec<String>), ServiceError> {
    let asked = contents.requested.iter().zip(contents.requested.iter().map(|text| names(std::slice::from_ref(text))));
    let (kept, dropped): (Vec<_>, Vec<_>) = asked.partition(|(_, names)| !names.iter().any(|other| other == name));
    let packages = &contents.lock.packages;
    if dropped.is_empty() && !packages.iter().any(|package| package.name == name) {
        return Err(ServiceError::NotFound { what: "package" });
    }
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = kept.iter().flat_map(|(_, names)| names).map(String::as_str).collect();
    while let Some(next) = open.pop() {
        if reached.insert(next)
            && let Some(package) = packages.iter().find(|package| package.name == next)
        {
            open.extend(package.dependencies.iter().map(String::as_str));
        }
    }
    if reached.contains(name) {
        let users = packages.iter().filter(|package| {
            reached.contains(package.name.as_str()) && package.dependencies.iter().any(|other| other == name)
        });
        let users: Vec<_> = users.map(|package| package.name.as_str()).collect();
        let message = format!("`{name}` stays: {} needs it, so uninstall that first", users.join(" and "));
        return Err(ServiceError::Conflict { message });
    }
    let left = packages.iter().filter(|package| reached.contains(package.name.as_str())).cloned().collect();
    let lock = Lockfile { python_version: contents.lock.python_version.clone(), packages: left };
    Ok((lock, kept.into_iter().map(|(text, _)| text.clone()).collect()))
}
