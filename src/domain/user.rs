//! Users, what they may do, and how much.

use jiff::Timestamp;
use serde::Serialize;

use super::text_enum::text_enum;
use super::{KeyId, Overrides, Scopes, UserId};

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Role {
    /// Use the system.
    User,
    /// Run it, too.
    Admin,
}

text_enum!(Role, "role" { User => "user", Admin => "admin" });

/// Somebody with things of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// What they are called; not unique.
    pub name: String,
    /// Where mail reaches them; not checked.
    pub email: Option<String>,
    /// The URL of a picture of them; not checked.
    pub picture: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Name of the tier, which says how much they may have.
    pub tier: String,
    /// When they were made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Since when they are shut out.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub suspended_at: Option<Timestamp>,
}

/// Which users are wanted: those that fit all that is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// What is in the name or the address, whatever its case.
    pub search: Option<String>,
    /// The tier's name.
    pub tier: Option<String>,
    /// What they may do.
    pub role: Option<Role>,
    /// Whether they are shut out.
    pub is_suspended: Option<bool>,
}

/// A user as admins see them.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct UserAs {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// What is different for them than for others of the tier.
    pub overrides: Overrides,
}

/// What is known of an API key. Its text is nowhere: only its owner has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ApiKey {
    /// The id.
    pub id: KeyId,
    /// What its owner calls it.
    pub name: String,
    /// The text's beginning, to know it by.
    pub prefix: String,
    /// What it may be used for, as far as its owner's role allows it.
    #[schema(value_type = Vec<super::Scope>)]
    pub scopes: Scopes,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was used last, give or take a minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// From when on it is not accepted.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}
