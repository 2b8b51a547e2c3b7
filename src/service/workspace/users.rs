//! What a user says of themselves, has chosen, and takes along; and how they go.

use futures::Stream;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::Workspace;
use crate::domain::{
    Actor, DocumentQuery, DocumentSummary, ExecutionFilter, Page, PageRequest, SortOrder, User, UserId, UserSettings,
};
use crate::service::ServiceError;
use crate::store::{DocumentError, EnvironmentError};

/// A name is not longer.
const MAX_NAME_CHARS: usize = 200;
/// Things of one kind that are removed, or read, at a time.
const AT_ONCE: u32 = 100;
/// Lines of an export that wait to be sent: texts of documents may be among them.
const WAITING_LINES: usize = 4;

impl Workspace {
    /// Calls a user otherwise.
    ///
    /// # Errors
    /// It is no name.
    pub async fn rename_user(&self, user: UserId, name: &str) -> Result<User, ServiceError> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
            let message = format!("must have 1 to {MAX_NAME_CHARS} characters");
            return Err(ServiceError::Invalid { field: "name".to_owned(), message });
        }
        Ok(self.database().rename_user(user, name).await?)
    }

    /// What a user has chosen.
    ///
    /// # Errors
    /// The database's.
    pub async fn user_settings(&self, user: UserId) -> Result<UserSettings, ServiceError> {
        Ok(self.database().user_settings(user).await?)
    }

    /// Changes some of what a user has chosen; `null` is the default again (RFC 7396).
    ///
    /// # Errors
    /// There is no such setting, or it can't be so.
    pub async fn change_user_settings(
        &self,
        user: UserId,
        patch: Map<String, Value>,
    ) -> Result<UserSettings, ServiceError> {
        let change = |settings: UserSettings| {
            let invalid = |field: &str, message: String| ServiceError::Invalid { field: field.to_owned(), message };
            let mut value = serde_json::to_value(&settings).map_err(|error| ServiceError::internal(&error))?;
            merge(&mut value, patch).map_err(|name| invalid(&name, "must be an object".to_owned()))?;
            let settings: UserSettings =
                serde_json::from_value(value).map_err(|error| invalid("settings", error.to_string()))?;
            settings.check().map_err(|error| invalid(error.field, format!("must be {}", error.must)))
        };
        self.database().change_user_settings(user, change).await
    }

    /// Deletes a user with all that they have, if `confirm` is their name or address. Nobody gets in as them from the
    /// beginning of that on; should this server end meanwhile, the sweeper goes on.
    ///
    /// # Errors
    /// It is not confirmed, it is who runs the server, or the last admin.
    pub async fn delete_user(&self, user: &User, confirm: &str, request_id: String) -> Result<(), ServiceError> {
        let confirm = confirm.trim();
        if confirm != user.name.trim() && user.email.as_deref() != Some(confirm) {
            let message = "must be your name or your address, exactly as GET /api/v1/users/me has it".to_owned();
            return Err(ServiceError::Invalid { field: "confirm".to_owned(), message });
        }
        let actor = Actor { user: Some(user.id), request_id: Some(request_id) };
        self.database().begin_user_deletion(&actor, user.id).await?;
        tracing::info!(user = %user.id, "a user is deleted");
        // It goes on though whoever asked goes away.
        let (this, id) = (self.clone(), user.id);
        let removed = tokio::spawn(async move { this.remove_user(id).await }).await;
        removed.map_err(|stopped| ServiceError::internal(&stopped))?
    }

    /// Goes on with deletions that were begun.
    pub(super) async fn sweep_users(&self) -> Result<(), ServiceError> {
        for user in self.database().users_to_remove().await? {
            self.remove_user(user).await?;
        }
        Ok(())
    }

    /// Removes what a user has, piece by piece, so that nobody waits for the database long.
    async fn remove_user(&self, user: UserId) -> Result<(), ServiceError> {
        loop {
            let kernels = self.database().some_kernels(user, AT_ONCE).await?;
            for id in &kernels {
                match self.kernels().delete(user, *id).await {
                    // Another server was quicker.
                    Ok(()) | Err(ServiceError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            if kernels.is_empty() {
                break;
            }
        }
        self.executions().delete_all(user, &ExecutionFilter::default()).await?;
        loop {
            let documents = self.database().some_documents(user, AT_ONCE).await?;
            for id in &documents {
                match self.database().purge_document(user, *id, None).await {
                    Ok(()) | Err(DocumentError::NotFound) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if documents.is_empty() {
                break;
            }
        }
        Ok(self.database().remove_user(user).await?)
    }

    /// All that a user has, as lines of JSON: each says its `kind`, and the last is of the kind `end`. Contents of files
    /// are not in it, and of documents in the bin the texts are not.
    pub fn export_user(&self, user: User) -> impl Stream<Item = Vec<u8>> + Send + use<> {
        let (lines, receiver) = mpsc::channel(WAITING_LINES);
        let this = self.clone();
        tokio::spawn(async move {
            let export = Export { workspace: this, user: user.id, lines, count: 0 };
            export.all(&user).await;
        });
        futures::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) })
    }
}

/// Puts a patch into an object; or names the member that is to be an object, too, and is not.
fn merge(value: &mut Value, patch: Map<String, Value>) -> Result<(), String> {
    let Value::Object(members) = value else { return Ok(()) };
    for (name, new) in patch {
        match (members.get_mut(&name), new) {
            (_, Value::Null) => {
                members.remove(&name);
            }
            (Some(there @ Value::Object(_)), Value::Object(inner)) => merge(there, inner)?,
            // A list would pass for an object's members in their order.
            (Some(Value::Object(_)), _) => return Err(name),
            (_, new) => {
                members.insert(name, new);
            }
        }
    }
    Ok(())
}

/// An export on its way.
struct Export {
    workspace: Workspace,
    user: UserId,
    lines: mpsc::Sender<Vec<u8>>,
    count: u64,
}

/// Why an export ends early.
enum Broken {
    /// Nobody reads it any more.
    Left,
    /// We can't go on.
    Failed(ServiceError),
}

impl<E: Into<ServiceError>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Export {
    async fn all(mut self, user: &User) {
        let done = self.parts(user).await;
        let last = match done {
            Ok(()) => json!({"kind": "end", "lines": self.count}),
            Err(Broken::Left) => return,
            Err(Broken::Failed(error)) => json!({"kind": "error", "detail": error.to_string()}),
        };
        let _ = self.line(last).await;
    }

    async fn line(&mut self, line: Value) -> Result<(), Broken> {
        let mut bytes = line.to_string().into_bytes();
        bytes.push(b'\n');
        self.count = self.count.saturating_add(1);
        self.lines.send(bytes).await.map_err(|_| Broken::Left)
    }

    async fn item(&mut self, kind: &str, item: &impl Serialize) -> Result<(), Broken> {
        let item = serde_json::to_value(item).map_err(|error| ServiceError::internal(&error))?;
        self.line(json!({"kind": kind, kind: item})).await
    }

    async fn parts(&mut self, user: &User) -> Result<(), Broken> {
        let database = self.workspace.database().clone();
        self.item("user", user).await?;
        self.item("settings", &database.user_settings(self.user).await?).await?;
        for key in database.keys(self.user).await? {
            self.item("api_key", &key).await?;
        }
        let mut pages = Pages::new();
        while let Some(request) = pages.next() {
            let page = pages.read(database.environments(self.user, request).await?);
            for environment in page {
                self.item("environment", &environment).await?;
                match database.environment_contents(self.user, environment.id).await {
                    Ok(contents) => {
                        let line = json!({"kind": "lockfile", "environment_id": environment.id,
                            "requested": contents.requested, "lockfile": contents.lock});
                        self.line(line).await?;
                    }
                    Err(EnvironmentError::NotFound) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        for deleted in [false, true] {
            let mut pages = Pages::new();
            while let Some(request) = pages.next() {
                let query = DocumentQuery { deleted, ..DocumentQuery::default() };
                for document in pages.read(database.documents(self.user, &query, request).await?) {
                    self.item(if deleted { "deleted_document" } else { "document" }, &document).await?;
                    if !deleted {
                        self.document(&document).await?;
                    }
                }
            }
        }
        let mut pages = Pages::new();
        while let Some(request) = pages.next() {
            for schedule in pages.read(database.schedules(self.user, request).await?) {
                self.item("schedule", &schedule).await?;
            }
        }
        let mut pages = Pages::new();
        while let Some(request) = pages.next() {
            let filter = ExecutionFilter::default();
            for execution in pages.read(database.executions(self.user, &filter, SortOrder::Asc, request).await?) {
                self.item("execution", &execution).await?;
            }
        }
        Ok(())
    }

    /// The texts of a document, and the names of its files. It may be deleted meanwhile.
    async fn document(&mut self, document: &DocumentSummary) -> Result<(), Broken> {
        let database = self.workspace.database().clone();
        let mut pages = Pages::new();
        while let Some(request) = pages.next() {
            let page = match database.document_versions(self.user, document.id, request).await {
                Err(DocumentError::NotFound) => return Ok(()),
                page => page?,
            };
            for version in pages.read(page) {
                match database.document_version(self.user, document.id, version.version).await {
                    Ok(text) => {
                        let line = json!({"kind": "document_version", "document_id": document.id,
                            "document_version": text});
                        self.line(line).await?;
                    }
                    Err(DocumentError::NotFound | DocumentError::NoVersion) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        match database.attached_files(self.user, document.id).await {
            Ok(files) => {
                for file in files {
                    let line = json!({"kind": "file", "document_id": document.id, "file": file.file});
                    self.line(line).await?;
                }
                Ok(())
            }
            Err(DocumentError::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The pages of a list, one after another.
struct Pages(Option<u32>);

impl Pages {
    fn new() -> Self {
        Self(Some(1))
    }

    fn next(&self) -> Option<PageRequest> {
        PageRequest::new(self.0?, PageRequest::MAX_SIZE).ok()
    }

    fn read<T>(&mut self, page: Page<T>) -> Vec<T> {
        let read = page.request.offset().saturating_add(page.items.len() as u64);
        self.0 = self.0.and_then(|at| at.checked_add(1)).filter(|_| !page.items.is_empty() && read < page.total);
        page.items
    }
}
