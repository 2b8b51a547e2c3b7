//! Documents: made, read, found, changed, copied, put into the bin and taken out.

use serde::{Deserialize, Deserializer, Serialize};

use super::Workspace;
use crate::domain::{
    Document, DocumentFormat, DocumentId, DocumentQuery, DocumentSummary, DocumentTitle, EnvironmentId, Page,
    PageRequest, Tag, TagCount, UserId,
};
use crate::service::ServiceError;
use crate::store::{DocumentChange, NewDocument};

/// A document to be made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDocument {
    /// Its title.
    pub title: DocumentTitle,
    /// Its text.
    #[serde(default)]
    pub content: String,
    /// What it is shown as.
    #[serde(default)]
    pub render_format: DocumentFormat,
    /// Where its code is to run. Without it, its front matter says so, or it is the default environment.
    #[serde(default)]
    pub environment_id: Option<EnvironmentId>,
    /// Its tags, at most 20.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// What to change of a document; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateDocument {
    /// Another title.
    #[serde(default)]
    pub title: Option<DocumentTitle>,
    /// Another text.
    #[serde(default)]
    pub content: Option<String>,
    /// Another format.
    #[serde(default)]
    pub render_format: Option<DocumentFormat>,
    /// Another environment; `null` for none.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<EnvironmentId>)]
    pub environment_id: Option<Option<EnvironmentId>>,
    /// Other tags instead of all those that are there, at most 20.
    #[serde(default)]
    pub tags: Option<Vec<Tag>>,
}

/// Tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TagList {
    /// Those of most documents first, at most 1000.
    pub tags: Vec<TagCount>,
}

/// A field that is there, `null` or not.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Workspace {
    /// Makes a document.
    ///
    /// # Errors
    /// The tier allows no more, a value is not possible, or there is no such environment.
    pub async fn create_document(&self, user: UserId, request: CreateDocument) -> Result<Document, ServiceError> {
        check_content(&request.content)?;
        check_tags(&request.tags)?;
        let CreateDocument { title, content, render_format, environment_id, tags } = request;
        let new = NewDocument { title, content, render_format, environment_id, tags };
        Ok(self.0.database.create_document(user, new).await?)
    }

    /// The user's documents that are asked for, without their texts.
    ///
    /// # Errors
    /// The database's.
    pub async fn documents(
        &self,
        user: UserId,
        query: &DocumentQuery,
        page: PageRequest,
    ) -> Result<Page<DocumentSummary>, ServiceError> {
        Ok(self.0.database.documents(user, query, page).await?)
    }

    /// The tags of the user's documents.
    ///
    /// # Errors
    /// The database's.
    pub async fn document_tags(&self, user: UserId) -> Result<TagList, ServiceError> {
        Ok(TagList { tags: self.0.database.document_tags(user).await? })
    }

    /// A document of the user.
    ///
    /// # Errors
    /// There is none.
    pub async fn document(&self, user: UserId, id: DocumentId) -> Result<Document, ServiceError> {
        Ok(self.0.database.document(user, id).await?)
    }

    /// A document of the user without its text.
    ///
    /// # Errors
    /// There is none.
    pub async fn document_summary(&self, user: UserId, id: DocumentId) -> Result<DocumentSummary, ServiceError> {
        Ok(self.0.database.document_summary(user, id).await?)
    }

    /// Changes a document, if it is at one of the versions that are expected; without any, whatever it is.
    ///
    /// # Errors
    /// There is none, it was changed meanwhile, a value is not possible, or the tier does not allow so much.
    pub async fn update_document(
        &self,
        user: UserId,
        id: DocumentId,
        request: UpdateDocument,
        expected: Option<&[u64]>,
    ) -> Result<Document, ServiceError> {
        check_content(request.content.as_deref().unwrap_or_default())?;
        check_tags(request.tags.as_deref().unwrap_or_default())?;
        let UpdateDocument { title, content, render_format, environment_id, tags } = request;
        let change = DocumentChange { title, content, render_format, environment_id, tags };
        let document = self.0.database.update_document(user, id, change, expected).await?;
        self.document_changed(id);
        Ok(document)
    }

    /// Puts a document into the bin.
    ///
    /// # Errors
    /// There is none, or it was changed meanwhile.
    pub async fn delete_document(
        &self,
        user: UserId,
        id: DocumentId,
        expected: Option<&[u64]>,
    ) -> Result<(), ServiceError> {
        self.0.database.delete_document(user, id, expected).await?;
        self.document_changed(id);
        Ok(())
    }

    /// Deletes a document for good, in the bin or not.
    ///
    /// # Errors
    /// There is none, or it was changed meanwhile.
    pub async fn purge_document(
        &self,
        user: UserId,
        id: DocumentId,
        expected: Option<&[u64]>,
    ) -> Result<(), ServiceError> {
        self.0.database.purge_document(user, id, expected).await?;
        self.document_changed(id);
        Ok(())
    }

    /// Takes a document out of the bin.
    ///
    /// # Errors
    /// It is not there, or the tier allows no more documents.
    pub async fn restore_document(&self, user: UserId, id: DocumentId) -> Result<Document, ServiceError> {
        let document = self.0.database.restore_document(user, id).await?;
        self.document_changed(id);
        Ok(document)
    }

    /// Makes a document with the same text, tags and files.
    ///
    /// # Errors
    /// There is none, or the tier allows no more.
    pub async fn duplicate_document(&self, user: UserId, id: DocumentId) -> Result<Document, ServiceError> {
        Ok(self.0.database.duplicate_document(user, id).await?)
    }
}

/// Refuses what no database keeps.
fn check_content(content: &str) -> Result<(), ServiceError> {
    match content.find('\0') {
        None => Ok(()),
        Some(at) => Err(ServiceError::Invalid {
            field: "content".to_owned(),
            message: format!("the text has a NUL character at byte {at}: it is no text"),
        }),
    }
}

fn check_tags(tags: &[Tag]) -> Result<(), ServiceError> {
    if tags.len() > Tag::MAX {
        let message = format!("a document has at most {} tags", Tag::MAX);
        return Err(ServiceError::Invalid { field: "tags".to_owned(), message });
    }
    Ok(())
}
