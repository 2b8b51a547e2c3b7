//! Documents: texts of Markdown and Python that are kept, with their versions and files.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::text_enum::text_enum;
use super::{DocumentId, EnvironmentId, UserId};

/// Text of a kind of its own: it can only be made by `FromStr`, which refuses what it can't be.
macro_rules! checked_text {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A document's title: 1 to 255 characters, not all of them blank, and none that control a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, min_length = 1, max_length = 255)]
pub struct DocumentTitle(String);

/// Text that is no title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a title is 1 to 255 characters on one line, and not only blanks")]
pub struct BadDocumentTitle;

impl DocumentTitle {
    const MAX_CHARS: usize = 255;

    /// The title of a document's copy.
    #[must_use]
    pub fn of_copy(&self) -> Self {
        const SUFFIX: &str = " (copy)";
        let kept: String = self.0.chars().take(Self::MAX_CHARS - SUFFIX.len()).collect();
        Self(kept + SUFFIX)
    }
}

checked_text!(DocumentTitle);

impl FromStr for DocumentTitle {
    type Err = BadDocumentTitle;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = !text.trim().is_empty() && text.chars().count() <= Self::MAX_CHARS;
        if fits && !text.contains(char::is_control) { Ok(Self(text.to_owned())) } else { Err(BadDocumentTitle) }
    }
}

/// A word to find documents by: 1 to 50 characters without a comma, and without blanks around.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, min_length = 1, max_length = 50)]
pub struct Tag(String);

/// Text that is no tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tag is 1 to 50 characters on one line, without commas, and without blanks around")]
pub struct BadTag;

impl Tag {
    /// A document has no more.
    pub const MAX: usize = 20;
    const MAX_CHARS: usize = 50;
}

checked_text!(Tag);

impl FromStr for Tag {
    type Err = BadTag;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=Self::MAX_CHARS).contains(&text.chars().count()) && text.trim() == text;
        let plain = !text.contains(|c: char| c == ',' || c.is_control());
        if fits && plain { Ok(Self(text.to_owned())) } else { Err(BadTag) }
    }
}

/// Where an attached file lies beside its document: `data/2024/sales.csv`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, min_length = 1, max_length = 255)]
pub struct FilePath(String);

/// Text that is no path of an attached file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a file's path is relative, of at most 255 bytes and 8 parts; no part is empty, `.` or `..`, and none has a `\\` \
     or a control character"
)]
pub struct BadFilePath;

impl FilePath {
    const MAX_BYTES: usize = 255;
    const MAX_PARTS: usize = 8;

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Whether one of the two would have to be a directory for the other to lie in it.
    pub fn is_above_or_below(&self, other: &Self) -> bool {
        let below = |path: &str, above: &str| path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'));
        below(&self.0, &other.0) || below(&other.0, &self.0)
    }
}

checked_text!(FilePath);

impl FromStr for FilePath {
    type Err = BadFilePath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain =
            |part: &str| !matches!(part, "" | "." | "..") && !part.contains(|c: char| c == '\\' || c.is_control());
        let fits = text.len() <= Self::MAX_BYTES && text.split('/').count() <= Self::MAX_PARTS;
        if fits && text.split('/').all(plain) { Ok(Self(text.to_owned())) } else { Err(BadFilePath) }
    }
}

/// What a document is shown as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum DocumentFormat {
    /// HTML.
    #[default]
    Html,
    /// Markdown.
    Markdown,
}

text_enum!(DocumentFormat, "format" { Html => "html", Markdown => "markdown" });

/// What is known of a document without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DocumentSummary {
    /// The id.
    pub id: DocumentId,
    /// Whose it is.
    #[serde(skip)]
    #[schema(ignore)]
    pub user_id: UserId,
    /// Its title.
    pub title: DocumentTitle,
    /// What it is shown as.
    pub render_format: DocumentFormat,
    /// Where its code is to run, unless that environment is gone; the default one, or that of its front matter, where
    /// none is named.
    pub environment_id: Option<EnvironmentId>,
    /// Its tags, in order.
    pub tags: Vec<Tag>,
    /// A number that every change makes greater: the `ETag` is made of it.
    pub version: u64,
    /// Bytes of its text.
    pub size_bytes: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Since when it lies in the bin.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deleted_at: Option<Timestamp>,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Document {
    /// What is known of it.
    #[serde(flatten)]
    pub summary: DocumentSummary,
    /// Its text.
    pub content: String,
}

/// What is known of one of a document's texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct VersionSummary {
    /// The document's version when the text became this.
    pub version: u64,
    /// The title then.
    pub title: DocumentTitle,
    /// The format then.
    pub render_format: DocumentFormat,
    /// Bytes of the text.
    pub size_bytes: u64,
    /// When it was saved.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A document's text as it was once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DocumentVersion {
    /// What is known of it.
    #[serde(flatten)]
    pub summary: VersionSummary,
    /// The text.
    pub content: String,
}

/// A file beside a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AttachedFile {
    /// Where it lies.
    pub path: FilePath,
    /// Its bytes.
    pub size_bytes: u64,
    /// SHA-256 of its content, in lower-case hex.
    pub sha256: String,
    /// What it was said to be when it came.
    pub media_type: String,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A tag, and how many documents have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TagCount {
    /// The tag.
    pub tag: Tag,
    /// Documents with it, those in the bin left out.
    pub documents: u64,
}

/// What a list of documents is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum DocumentSort {
    /// The title, without regard to capitals.
    Title,
    /// When they were made.
    CreatedAt,
    /// When they were changed last.
    UpdatedAt,
}

text_enum!(DocumentSort, "order" { Title => "title", CreatedAt => "created_at", UpdatedAt => "updated_at" });

/// Which end of a list is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum SortOrder {
    /// The smallest, or the eldest.
    Asc,
    /// The greatest, or the latest.
    Desc,
}

text_enum!(SortOrder, "direction" { Asc => "asc", Desc => "desc" });

/// Which documents are wanted, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentQuery {
    /// Only those with all these words; the last one may be a word's beginning.
    pub search: Option<String>,
    /// Only those with all these tags.
    pub tags: Vec<Tag>,
    /// Those in the bin instead of the others.
    pub deleted: bool,
    /// What they are sorted by. Without it the latest change is first, in a search after those with the words in the
    /// title.
    pub sort_by: Option<DocumentSort>,
    /// Which end is first. Without it that is the latest, and of titles the smallest.
    pub sort_order: Option<SortOrder>,
}
