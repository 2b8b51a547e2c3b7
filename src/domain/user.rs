//! Users, what they may do, and how much.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::text_enum::text_enum;
use super::{KeyId, Limits, UserId};

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

/// How much the users of a tier may have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tier {
    /// Its name: `FREE`, `PRO`, ...
    pub name: String,
    /// What may be kept.
    pub quotas: Quotas,
    /// What an execution may use.
    pub limits: Limits,
}

/// What a user may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// Environments, besides the default one.
    pub environments: u64,
    /// Packages of one environment, those that others need included.
    pub packages_per_environment: u64,
    /// Bytes of the packages of one environment.
    pub environment_bytes: u64,
    /// Documents, those in the bin left out.
    #[serde(default = "Quotas::usual_documents")]
    pub documents: u64,
    /// Bytes of the text of one document.
    #[serde(default = "Quotas::usual_document_bytes")]
    pub document_bytes: u64,
    /// Bytes of all files of all documents, those in the bin included.
    #[serde(default = "Quotas::usual_attached_bytes")]
    pub attached_bytes: u64,
    /// Kernels, those that hibernate included.
    #[serde(default = "Quotas::usual_kernels")]
    pub kernels: u64,
    /// Bytes of what is kept of all kernels.
    #[serde(default = "Quotas::usual_kernel_bytes")]
    pub kernel_bytes: u64,
    /// Kernels that are in memory at once: where there are more, the one used longest ago hibernates.
    #[serde(default = "Quotas::usual_live_kernels")]
    pub live_kernels: u64,
    /// Bytes of the pages of all documents as they were rendered last.
    #[serde(default = "Quotas::usual_rendered_bytes")]
    pub rendered_bytes: u64,
    /// Bytes of what is kept of documents' cells for renders to come; what was used longest ago goes first.
    #[serde(default = "Quotas::usual_checkpoint_bytes")]
    pub checkpoint_bytes: u64,
    /// Documents that are published, those in the bin included.
    #[serde(default = "Quotas::usual_publications")]
    pub publications: u64,
}

/// What the tier FREE has.
impl Default for Quotas {
    fn default() -> Self {
        Self {
            environments: 3,
            packages_per_environment: 50,
            environment_bytes: 1 << 30,
            documents: Self::usual_documents(),
            document_bytes: Self::usual_document_bytes(),
            attached_bytes: Self::usual_attached_bytes(),
            kernels: Self::usual_kernels(),
            kernel_bytes: Self::usual_kernel_bytes(),
            live_kernels: Self::usual_live_kernels(),
            rendered_bytes: Self::usual_rendered_bytes(),
            checkpoint_bytes: Self::usual_checkpoint_bytes(),
            publications: Self::usual_publications(),
        }
    }
}

impl Quotas {
    /// The quota of one kind.
    pub fn of(&self, what: QuotaKind) -> u64 {
        match what {
            QuotaKind::Environments => self.environments,
            QuotaKind::PackagesPerEnvironment => self.packages_per_environment,
            QuotaKind::EnvironmentBytes => self.environment_bytes,
            QuotaKind::Documents => self.documents,
            QuotaKind::DocumentBytes => self.document_bytes,
            QuotaKind::AttachedBytes => self.attached_bytes,
            QuotaKind::Kernels => self.kernels,
            QuotaKind::KernelBytes => self.kernel_bytes,
            QuotaKind::Publications => self.publications,
        }
    }

    // A tier that was stored before there were documents says nothing of them.

    fn usual_documents() -> u64 {
        200
    }

    fn usual_document_bytes() -> u64 {
        10 << 20
    }

    fn usual_attached_bytes() -> u64 {
        100 << 20
    }

    fn usual_kernels() -> u64 {
        200
    }

    fn usual_kernel_bytes() -> u64 {
        2 << 30
    }

    fn usual_live_kernels() -> u64 {
        20
    }

    fn usual_rendered_bytes() -> u64 {
        200 << 20
    }

    fn usual_checkpoint_bytes() -> u64 {
        1 << 30
    }

    fn usual_publications() -> u64 {
        20
    }
}

/// Which quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaKind {
    /// [`Quotas::environments`]
    Environments,
    /// [`Quotas::packages_per_environment`]
    PackagesPerEnvironment,
    /// [`Quotas::environment_bytes`]
    EnvironmentBytes,
    /// [`Quotas::documents`]
    Documents,
    /// [`Quotas::document_bytes`]
    DocumentBytes,
    /// [`Quotas::attached_bytes`]
    AttachedBytes,
    /// [`Quotas::kernels`]
    Kernels,
    /// [`Quotas::kernel_bytes`]
    KernelBytes,
    /// [`Quotas::publications`]
    Publications,
}

text_enum!(QuotaKind, "quota" {
    Environments => "environments",
    PackagesPerEnvironment => "packages_per_environment",
    EnvironmentBytes => "environment_bytes",
    Documents => "documents",
    DocumentBytes => "document_bytes",
    AttachedBytes => "attached_bytes",
    Kernels => "kernels",
    KernelBytes => "kernel_bytes",
    Publications => "publications",
});

/// More was wanted than the tier allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct QuotaExceeded {
    /// Of what.
    pub what: QuotaKind,
    /// How much there is.
    pub used: u64,
    /// How much there would be.
    pub wanted: u64,
    /// How much there may be.
    pub allowed: u64,
}

impl fmt::Display for QuotaExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, used, wanted, allowed } = self;
        match what {
            QuotaKind::Environments => write!(f, "{used} environments are there, and your tier allows {allowed}"),
            QuotaKind::PackagesPerEnvironment => {
                write!(f, "the environment would have {wanted} packages ({used} now), and your tier allows {allowed}")
            }
            QuotaKind::EnvironmentBytes => {
                write!(f, "the environment would take {wanted} bytes ({used} now), and your tier allows {allowed}")
            }
            QuotaKind::Documents => write!(f, "{used} documents are there, and your tier allows {allowed}"),
            QuotaKind::DocumentBytes => {
                write!(f, "the document would have {wanted} bytes, and your tier allows {allowed}")
            }
            QuotaKind::AttachedBytes => {
                write!(f, "all files would take {wanted} bytes ({used} now), and your tier allows {allowed}")
            }
            QuotaKind::Kernels => {
                write!(f, "{used} kernels are there, and your tier allows {allowed}; delete some first")
            }
            QuotaKind::KernelBytes => {
                write!(f, "your kernels take {used} bytes, and your tier allows {allowed}; delete some first")
            }
            QuotaKind::Publications => write!(f, "{used} documents are published, and your tier allows {allowed}"),
        }
    }
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
