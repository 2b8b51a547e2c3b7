//! Published documents: pages that everybody can read who has their links.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is known of the render of a document that came last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LastRender {
    /// The document's version then.
    pub version: u64,
    /// When its cells had run.
    #[schema(value_type = String, format = DateTime)]
    pub rendered_at: Timestamp,
    /// How many cells the document had.
    pub cell_count: u64,
    /// How many of them did not end as they should, or were left out as the document took too long.
    pub failed_count: u64,
    /// Bytes of the page.
    pub size_bytes: u64,
    /// Whether the page is kept. One that is too large, or for which there was no room, is not: there is nothing to show.
    pub is_kept: bool,
}

/// A published document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Publication {
    /// Where on this server everybody can read it who knows the path. Nothing where the object store has lost what the
    /// path is made from: it still works, and can't be told again.
    pub path: Option<String>,
    /// When it was published.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// What the page shows; nothing where the document was not rendered yet.
    pub last_render: Option<LastRender>,
}

/// What opens a published page: 43 characters of base64 as in URLs, for 256 bits that nobody can guess.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicToken(String);

/// Text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no published page has such a link")]
pub struct BadPublicToken;

impl PublicToken {
    const CHARS: usize = 43;

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PublicToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicToken(..)")
    }
}

impl FromStr for PublicToken {
    type Err = BadPublicToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.len() == Self::CHARS && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadPublicToken)
        }
    }
}

impl<'de> Deserialize<'de> for PublicToken {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
