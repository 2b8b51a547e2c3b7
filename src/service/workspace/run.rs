//! Runs in an environment: the one that is named, or the user's default one.

use super::Workspace;
use crate::backend::EventSender;
use crate::backend::wasm::EnvironmentBase;
use crate::document;
use crate::domain::{DocumentId, Environment, EnvironmentId, ExecuteReport, ExecutionKind, UserId};
use crate::service::{
    Allowance, ExecuteRequest, Origin, Recording, RenderContext, RenderReport, RenderRequest, RenderSender,
    ServiceError, ValidateReport, ValidateRequest, off_the_server_threads,
};

/// Where a document's cells run.
pub(super) struct Place {
    /// The environment; none where the document names packages of its own.
    pub environment: Option<EnvironmentId>,
    /// What they start from; nothing where it has no packages.
    pub base: Option<EnvironmentBase>,
}

impl Workspace {
    /// Runs code in a fresh kernel of an environment. Dropping the future ends the code.
    ///
    /// # Errors
    /// When the request can't be taken; what the code does is in the report.
    pub async fn execute(
        &self,
        user: UserId,
        request: ExecuteRequest,
        events: Option<EventSender>,
    ) -> Result<ExecuteReport, ServiceError> {
        let environment = self.chosen(user, request.environment_id).await?;
        let base = self.enter(&environment).await?;
        let id = Some(environment.id);
        let origin = Origin { user, kind: ExecutionKind::Execute, environment: id, document: None, kernel: None };
        let recording = self.0.executions.recording(origin);
        let allowance = self.allowance(user, id).await?;
        self.0.service.execute(request, base, events, Some(&recording), &allowance).await
    }

    /// Checks a document's fences, and its cells' syntax with the runtime's own compiler.
    ///
    /// # Errors
    /// When the runtime is not ready or the check runs into the limits.
    pub async fn validate(&self, user: UserId, request: ValidateRequest) -> Result<ValidateReport, ServiceError> {
        let allowance = self.allowance(user, None).await?;
        self.0.service.validate(request, &allowance).await
    }

    /// What a user may use at this moment, in an environment or in none.
    ///
    /// # Errors
    /// The database's.
    pub async fn allowance(&self, user: UserId, environment: Option<EnvironmentId>) -> Result<Allowance, ServiceError> {
        self.0.service.allowance_of(&self.0.database.grant(user, environment).await?)
    }

    /// Renders a document in an environment: the one that the request names, or else its front matter. A document that
    /// names packages gets an environment of its own, which is kept for the next time.
    ///
    /// # Errors
    /// When the request can't be taken; what the cells do is in the result.
    pub async fn render(
        &self,
        user: UserId,
        request: RenderRequest,
        watch: Option<RenderSender>,
    ) -> Result<RenderReport, ServiceError> {
        let Place { environment, base } = self.place_for(user, request.environment_id, &request.content).await?;
        let recording = Some(self.rendering(user, environment, None));
        let (owner, allowance) = (Some(user), Some(self.allowance(user, environment).await?));
        let context = RenderContext { environment: base, owner, attached: None, watch, recording, allowance };
        self.0.service.render(request, context).await
    }

    /// What the cells of a document start from: the environment of that id, or else what the document says.
    pub(super) async fn place_for(
        &self,
        user: UserId,
        id: Option<EnvironmentId>,
        content: &str,
    ) -> Result<Place, ServiceError> {
        match id {
            Some(id) => self.place_in(&self.chosen(user, Some(id)).await?).await,
            None => self.place_of_document(user, content).await,
        }
    }

    /// What writes the cells of a render down.
    pub(super) fn rendering(
        &self,
        user: UserId,
        environment: Option<EnvironmentId>,
        document: Option<DocumentId>,
    ) -> Recording {
        let origin = Origin { user, kind: ExecutionKind::Render, environment, document, kernel: None };
        self.0.executions.recording(origin)
    }

    /// What runs in an environment of the user start from, by its name or id; nothing for one without packages.
    ///
    /// # Errors
    /// There is no such environment, or its packages can't be had.
    pub async fn base_named(&self, user: UserId, name: &str) -> Result<Option<EnvironmentBase>, ServiceError> {
        self.enter(&self.environment_named(user, name).await?).await
    }

    async fn place_of_document(&self, user: UserId, content: &str) -> Result<Place, ServiceError> {
        let needs = if document::may_need(content) {
            let content = content.to_owned();
            let needs = off_the_server_threads(move || document::needs(&content)).await?;
            needs.map_err(|problem| ServiceError::Invalid {
                field: "content".to_owned(),
                message: format!("line {}: {}", problem.line, problem.message),
            })?
        } else {
            document::Needs::default()
        };
        if !needs.packages.is_empty() {
            let quotas = self.0.database.grant(user, None).await?.quotas;
            let base = self.0.scripts.base(&self.0.service, &user.to_string(), &needs, &quotas, &|_| {}).await?;
            return Ok(Place { environment: None, base: Some(base) });
        }
        let environment = match &needs.environment {
            Some(text) => self.environment_named(user, text).await.map_err(|error| match error {
                ServiceError::NotFound { .. } => ServiceError::Invalid {
                    field: "content".to_owned(),
                    message: format!("the front matter names the environment `{text}`, which you do not have"),
                },
                error => error,
            })?,
            None => self.chosen(user, None).await?,
        };
        self.place_in(&environment).await
    }

    async fn place_in(&self, environment: &Environment) -> Result<Place, ServiceError> {
        Ok(Place { environment: Some(environment.id), base: self.enter(environment).await? })
    }

    pub(super) async fn chosen(&self, user: UserId, id: Option<EnvironmentId>) -> Result<Environment, ServiceError> {
        match id {
            None => self.recent_default(user).await,
            Some(id) => self.environment(user, id).await.map_err(|error| match error {
                ServiceError::NotFound { .. } => ServiceError::Invalid {
                    field: "environment_id".to_owned(),
                    message: "there is no such environment".to_owned(),
                },
                error => error,
            }),
        }
    }

    pub(super) async fn enter(&self, environment: &Environment) -> Result<Option<EnvironmentBase>, ServiceError> {
        let base = self.base(environment).await.inspect_err(|_| self.0.defaults.forget(environment.user_id))?;
        if base.is_some() && self.0.database.touch_environment(environment).await? {
            self.0.defaults.forget(environment.user_id);
        }
        Ok(base)
    }
}
