//! Environments: made, looked at, renamed, emptied, copied, deleted.

use serde::{Deserialize, Serialize};

use super::change::{Addition, Asked, Stopped, Wanted, Watch};
use super::{Workspace, templates};
use crate::domain::{
    BackendKind, Environment, EnvironmentId, EnvironmentName, EnvironmentStats, EnvironmentStatus, FailedReport,
    Lockfile, Page, PageRequest, UserId,
};
use crate::packages::pylock;
use crate::packages::requirements::parse_requirement;
use crate::service::ServiceError;
use crate::service::install::{InstallEvents, is_module};
use crate::store::NewEnvironment;

/// Modules that can be named to be imported beforehand.
const MAX_WARM_IMPORTS: usize = 32;

/// An environment to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEnvironment {
    /// Its name: 1 to 100 of letters, digits, `-` and `_`, unique among the user's.
    pub name: EnvironmentName,
    /// The Python: the runtime's own version (`3.15`, `3.15.0`), which is also the default.
    #[serde(default)]
    pub python_version: Option<String>,
    /// What to begin with: the name of a template.
    #[serde(default)]
    pub template: Option<String>,
}

/// What to change of an environment; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateEnvironment {
    /// Another name.
    #[serde(default)]
    pub name: Option<EnvironmentName>,
    /// The modules to import beforehand beside those of the packages asked for, at most 32.
    #[serde(default)]
    pub warm_imports: Option<Vec<String>>,
}

/// A copy to be made of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloneEnvironment {
    /// The copy's name.
    pub name: EnvironmentName,
}

impl Workspace {
    /// The user's environments; the default one is made if it is not there yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn environments(&self, user: UserId, page: PageRequest) -> Result<Page<Environment>, ServiceError> {
        self.default_environment(user).await?;
        Ok(self.0.database.environments(user, page).await?)
    }

    /// The environment that every user has.
    ///
    /// # Errors
    /// The database's.
    pub async fn default_environment(&self, user: UserId) -> Result<Environment, ServiceError> {
        Ok(self.0.database.default_environment(user, self.0.installer.python_version()).await?)
    }

    /// An environment of the user.
    ///
    /// # Errors
    /// There is none.
    pub async fn environment(&self, user: UserId, id: EnvironmentId) -> Result<Environment, ServiceError> {
        Ok(self.0.database.environment(user, id).await?)
    }

    /// An environment of the user by its name, or by its id.
    ///
    /// # Errors
    /// There is none.
    pub async fn environment_named(&self, user: UserId, text: &str) -> Result<Environment, ServiceError> {
        if let Ok(id) = text.parse() {
            return self.environment(user, id).await;
        }
        let name: EnvironmentName = text.parse().map_err(|_| ServiceError::NotFound { what: "environment" })?;
        if name.as_str() == EnvironmentName::DEFAULT {
            return self.default_environment(user).await;
        }
        Ok(self.0.database.environment_named(user, &name).await?)
    }

    /// What all environments of the user are together.
    ///
    /// # Errors
    /// The database's.
    pub async fn environment_stats(&self, user: UserId) -> Result<EnvironmentStats, ServiceError> {
        Ok(self.0.database.environment_stats(user).await?)
    }

    /// Makes an environment. With a template, its packages are installed: where that fails, nothing is left of it.
    ///
    /// # Errors
    /// The name is taken, the tier allows no more, there is no such template or Python, or its packages can't be had.
    pub async fn create_environment(
        &self,
        user: UserId,
        request: CreateEnvironment,
        events: &InstallEvents<'_>,
    ) -> Result<Environment, ServiceError> {
        let python = self.0.installer.python_version();
        if let Some(wanted) = &request.python_version
            && wanted != python
            && !python.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('.'))
        {
            let message = format!("the sandbox has Python {python}, not {wanted}");
            return Err(ServiceError::Invalid { field: "python_version".to_owned(), message });
        }
        let template = match &request.template {
            None => None,
            Some(name) => Some(templates::find(name).ok_or_else(|| {
                let known: Vec<_> = templates::TEMPLATES.iter().map(|template| template.name).collect();
                let message = format!("there is no template `{name}`, but {}", known.join(", "));
                ServiceError::Invalid { field: "template".to_owned(), message }
            })?),
        };
        let template = template.filter(|template| !template.packages.is_empty());
        let new = NewEnvironment {
            name: request.name,
            python_version: python.to_owned(),
            backend: BackendKind::Wasm,
            status: if template.is_some() { EnvironmentStatus::Creating } else { EnvironmentStatus::Active },
        };
        let _share = template.map(|_| self.change(user)).transpose()?;
        let environment = self.0.database.create_environment(user, &new).await?;
        let Some(template) = template else { return Ok(environment) };
        let unfinished = Unfinished::new(self, user, environment.id);
        let made = async {
            self.fill(user, environment.id, template, events).await?;
            self.environment(user, environment.id).await
        };
        unfinished.end(made.await).await
    }

    async fn fill(
        &self,
        user: UserId,
        id: EnvironmentId,
        template: &templates::Template,
        events: &InstallEvents<'_>,
    ) -> Result<(), ServiceError> {
        let warm: Vec<_> = template.warm_imports.iter().map(|&module| module.to_owned()).collect();
        if !warm.is_empty() {
            self.0.database.set_warm_imports(user, id, &warm).await?;
        }
        let asked = template.packages.iter().filter_map(|text| parse_requirement(text).ok());
        let asked = asked.map(|requirement| Asked::new(requirement, Vec::new())).collect();
        let addition = Addition { asked, all_or_none: true, ..Addition::default() };
        self.add(user, id, addition, Vec::<FailedReport>::new(), Watch::of(events)).await.map(drop)
    }

    /// Renames an environment, or changes what is imported beforehand.
    ///
    /// # Errors
    /// There is none, the name is taken, or a module's name is none.
    pub async fn update_environment(
        &self,
        user: UserId,
        id: EnvironmentId,
        request: UpdateEnvironment,
    ) -> Result<Environment, ServiceError> {
        if let Some(imports) = &request.warm_imports {
            let invalid = |message: String| ServiceError::Invalid { field: "warm_imports".to_owned(), message };
            if imports.len() > MAX_WARM_IMPORTS {
                return Err(invalid(format!("at most {MAX_WARM_IMPORTS} modules can be named")));
            }
            if let Some(bad) = imports.iter().find(|module| !is_module(module)) {
                return Err(invalid(format!("`{bad}` is not the name of a module, such as `matplotlib.pyplot`")));
            }
        }
        let _share = request.warm_imports.as_ref().map(|_| self.change(user)).transpose()?;
        let mut environment = match &request.name {
            Some(name) => self.0.database.rename_environment(user, id, name).await?,
            None => self.environment(user, id).await?,
        };
        if let Some(imports) = &request.warm_imports {
            environment = self.0.database.set_warm_imports(user, id, imports).await?;
            self.0.defaults.forget(user);
            if let Some(set) = self.set(&environment).await? {
                let warm = self.warm(id, &set, &|_| {}, &mut Vec::new()).await?;
                self.0.database.set_warm(id, environment.generation, Some(&warm)).await?;
                environment.warm = Some(warm);
            }
        }
        Ok(environment)
    }

    /// Takes everything out of an environment.
    ///
    /// # Errors
    /// There is none.
    pub async fn reset_environment(&self, user: UserId, id: EnvironmentId) -> Result<Environment, ServiceError> {
        let _share = self.change(user)?;
        let _turn = self.0.turns.take(id).await;
        loop {
            let contents = self.0.database.environment_contents(user, id).await?;
            let lock = Lockfile { python_version: self.0.installer.python_version().to_owned(), packages: Vec::new() };
            let wanted = Wanted { lock, requested: Vec::new(), warnings: Vec::new() };
            match self.apply((user, id), &contents, wanted).await {
                // Whoever was faster: nothing is to be left of that, too.
                Err(Stopped::Conflict) => {}
                Err(Stopped::Service(error)) => return Err(error),
                Ok(environment) => return Ok(environment),
            }
        }
    }

    /// Makes an environment with the same packages, byte for byte.
    ///
    /// # Errors
    /// There is none to copy, the name is taken, or the tier allows no more.
    pub async fn clone_environment(
        &self,
        user: UserId,
        id: EnvironmentId,
        request: CloneEnvironment,
    ) -> Result<Environment, ServiceError> {
        let _share = self.change(user)?;
        let source = self.environment(user, id).await?;
        let contents = self.0.database.environment_contents(user, id).await?;
        let status = EnvironmentStatus::Creating;
        let Environment { python_version, backend, warm_imports, .. } = source;
        let new = NewEnvironment { name: request.name, python_version, backend, status };
        let copy = self.0.database.create_environment(user, &new).await?;
        let unfinished = Unfinished::new(self, user, copy.id);
        let _turn = self.0.turns.take(copy.id).await;
        let made = async {
            if !warm_imports.is_empty() {
                self.0.database.set_warm_imports(user, copy.id, &warm_imports).await?;
            }
            let empty = self.0.database.environment_contents(user, copy.id).await?;
            let wanted = Wanted { lock: contents.lock, requested: contents.requested, warnings: Vec::new() };
            self.apply((user, copy.id), &empty, wanted).await
        };
        unfinished.end(made.await.map_err(ServiceError::from)).await
    }

    /// Deletes an environment. Code that runs in it comes to its end.
    ///
    /// # Errors
    /// There is none, or it is the default one.
    pub async fn delete_environment(&self, user: UserId, id: EnvironmentId) -> Result<(), ServiceError> {
        Ok(self.0.database.delete_environment(user, id).await?)
    }

    /// The exact contents of an environment as `pylock.toml` (PEP 751).
    ///
    /// # Errors
    /// There is no such environment.
    pub async fn lockfile(&self, user: UserId, id: EnvironmentId) -> Result<String, ServiceError> {
        let contents = self.0.database.environment_contents(user, id).await?;
        pylock::write(&contents.lock).map_err(|error| ServiceError::internal(&error))
    }

    /// The exact contents of an environment as `requirements.txt`, with hashes.
    ///
    /// # Errors
    /// There is no such environment.
    pub async fn requirements_txt(&self, user: UserId, id: EnvironmentId) -> Result<String, ServiceError> {
        let contents = self.0.database.environment_contents(user, id).await?;
        Ok(pylock::requirements_txt(&contents.lock))
    }
}

/// An environment that is being made. Nothing is left of one whose maker fails, or goes away meanwhile.
struct Unfinished(Option<(Workspace, UserId, EnvironmentId)>);

impl Unfinished {
    fn new(workspace: &Workspace, user: UserId, id: EnvironmentId) -> Self {
        Self(Some((workspace.clone(), user, id)))
    }

    /// Keeps it where it was made, and deletes it at once where that failed.
    async fn end(mut self, made: Result<Environment, ServiceError>) -> Result<Environment, ServiceError> {
        if let (Some((workspace, user, id)), Err(_)) = (&self.0, &made) {
            abandon(workspace, *user, *id).await;
        }
        self.0 = None;
        made
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some((workspace, user, id)) = self.0.take() {
            tokio::spawn(async move { abandon(&workspace, user, id).await });
        }
    }
}

/// Best effort: what stays is swept up later.
async fn abandon(workspace: &Workspace, user: UserId, id: EnvironmentId) {
    if let Err(error) = workspace.0.database.delete_environment(user, id).await {
        tracing::warn!(environment = %id, %error, "an unfinished environment stays");
    }
}
