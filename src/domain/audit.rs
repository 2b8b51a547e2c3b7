//! What admins did, and what concerns who gets in.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::UserId;

/// An entry of the audit log. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// The id; ids sort by time.
    pub id: Uuid,
    /// When it was done.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who did it; nobody: the server itself, or who runs it. The user may be gone.
    pub actor_id: Option<UserId>,
    /// What was done, such as `tier.change`.
    pub act: String,
    /// To what: its kind and its id or name, such as `tier FREE`.
    pub subject: String,
    /// The request that asked for it, as in the server's log.
    pub request_id: Option<String>,
    /// What it was before.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    /// What it is since.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
}

/// Who does something that is written down, and by which request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// Who; nobody: the server itself, or who runs it.
    pub user: Option<UserId>,
    /// The request's id.
    pub request_id: Option<String>,
}

/// Which entries of the audit log are wanted: those that fit all that is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// What was done, or the beginning of it up to a dot: `tier`, `tier.change`.
    pub act: Option<String>,
    /// To what.
    pub subject: Option<String>,
    /// Who did it.
    pub actor: Option<UserId>,
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}
