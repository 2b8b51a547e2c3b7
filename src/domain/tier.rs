//! Tiers: how much their users may have, run and ask for, and what is different for some.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text_enum::text_enum;
use super::{LimitError, Limits, LimitsPatch, UserId};

/// How much the users of a tier may have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Its name: `FREE`, `PRO`, ...
    pub name: String,
    /// What may be kept.
    pub quotas: Quotas,
    /// What an execution may use.
    pub limits: Limits,
    /// How much may be asked for at once.
    #[serde(default)]
    pub traffic: Traffic,
}

/// A tier, and what there is to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TierInUse {
    /// The tier.
    pub tier: Tier,
    /// Counts its changes.
    pub version: u64,
    /// How many users have it.
    pub users: u64,
}

/// How much a user may ask for at once, and who comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Traffic {
    /// Where more wants to run than can: the tier's share of it, against the other tiers'. 1 to 100.
    pub weight: u32,
    /// Executions of one user that run at once; more wait. 1 to 1,000.
    pub running: u32,
    /// Executions of one user that wait for their turn; more are refused with 429. 0 to 10,000.
    pub waiting: u32,
    /// How long an execution waits for its turn, in milliseconds; then it is refused with 429. 0 to 600,000.
    pub wait_ms: u64,
    /// Requests of one user a second, in the long run; more are refused with 429. 1 to 100,000.
    pub requests_per_second: u32,
    /// Requests that may come at once after a pause. 1 to 1,000,000.
    pub burst: u32,
}

/// What the tier FREE has.
impl Default for Traffic {
    fn default() -> Self {
        Self { weight: 1, running: 4, waiting: 32, wait_ms: 30_000, requests_per_second: 50, burst: 500 }
    }
}

/// What is different for one user than for the others of the tier. What is absent is the tier's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    /// What an execution may use.
    #[serde(skip_serializing_if = "LimitsPatch::is_empty")]
    pub limits: LimitsPatch,
    /// What may be kept: some of the fields of [`Quotas`].
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub quotas: serde_json::Map<String, serde_json::Value>,
}

/// What a user may do at this moment: the tier's, with what is different for the user and the environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// The user.
    pub user: UserId,
    /// Whether they are shut out: then nothing of theirs runs.
    pub is_suspended: bool,
    /// The tier's name.
    pub tier: String,
    /// What may be kept.
    pub quotas: Quotas,
    /// What an execution may use.
    pub limits: Limits,
    /// How much may be asked for at once.
    pub traffic: Traffic,
}

/// A tier that can't be, or something different that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TierError {
    /// The name is none.
    #[error("name must have 1 to 50 of letters, digits, `-` and `_`")]
    Name,
    /// A limit lies outside of what can be.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A number lies outside of what can be.
    #[error("{field} must be between {min} and {max}, not {asked}")]
    Range {
        /// The field.
        field: &'static str,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// What was asked for.
        asked: u64,
    },
    /// There is no such quota, or it is no number.
    #[error("quotas: {reason}")]
    Quota {
        /// What is wrong.
        reason: String,
    },
}

impl Tier {
    /// Whether there can be such a tier.
    ///
    /// # Errors
    /// There can't.
    pub fn check(&self) -> Result<(), TierError> {
        let is_sign = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_');
        if self.name.is_empty() || self.name.len() > 50 || !self.name.chars().all(is_sign) {
            return Err(TierError::Name);
        }
        self.limits.check()?;
        self.quotas.check()?;
        self.traffic.check()
    }
}

impl Traffic {
    fn check(&self) -> Result<(), TierError> {
        within("traffic.weight", self.weight.into(), 1, 100)?;
        within("traffic.running", self.running.into(), 1, 1_000)?;
        within("traffic.waiting", self.waiting.into(), 0, 10_000)?;
        within("traffic.wait_ms", self.wait_ms, 0, 600_000)?;
        within("traffic.requests_per_second", self.requests_per_second.into(), 1, 100_000)?;
        within("traffic.burst", self.burst.into(), 1, 1_000_000)
    }
}

impl Overrides {
    /// Whether there can be such.
    ///
    /// # Errors
    /// There can't.
    pub fn check(&self) -> Result<(), TierError> {
        self.limits.check()?;
        Quotas::default().with(&self.quotas).map(drop)
    }
}

fn within(field: &'static str, asked: u64, min: u64, max: u64) -> Result<(), TierError> {
    if (min..=max).contains(&asked) { Ok(()) } else { Err(TierError::Range { field, min, max, asked }) }
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
    /// The most that a quota can be: databases count no further.
    const MOST: u64 = i64::MAX as u64;

    /// These, with some that are different.
    ///
    /// # Errors
    /// There is no such quota, or it is no number.
    pub fn with(&self, different: &serde_json::Map<String, serde_json::Value>) -> Result<Self, TierError> {
        if different.is_empty() {
            return Ok(*self);
        }
        let bad = |error: serde_json::Error| TierError::Quota { reason: error.to_string() };
        let serde_json::Value::Object(mut all) = serde_json::to_value(self).map_err(bad)? else {
            return Ok(*self);
        };
        all.extend(different.clone());
        let quotas: Self = serde_json::from_value(all.into()).map_err(bad)?;
        quotas.check()?;
        Ok(quotas)
    }

    fn check(&self) -> Result<(), TierError> {
        let Self {
            environments,
            packages_per_environment,
            environment_bytes,
            documents,
            document_bytes,
            attached_bytes,
            kernels,
            kernel_bytes,
            live_kernels,
            rendered_bytes,
            checkpoint_bytes,
            publications,
        } = *self;
        within("quotas.environments", environments, 0, Self::MOST)?;
        within("quotas.packages_per_environment", packages_per_environment, 0, Self::MOST)?;
        within("quotas.environment_bytes", environment_bytes, 0, Self::MOST)?;
        within("quotas.documents", documents, 0, Self::MOST)?;
        within("quotas.document_bytes", document_bytes, 0, Self::MOST)?;
        within("quotas.attached_bytes", attached_bytes, 0, Self::MOST)?;
        within("quotas.kernels", kernels, 0, Self::MOST)?;
        within("quotas.kernel_bytes", kernel_bytes, 0, Self::MOST)?;
        within("quotas.live_kernels", live_kernels, 1, Self::MOST)?;
        within("quotas.rendered_bytes", rendered_bytes, 0, Self::MOST)?;
        within("quotas.checkpoint_bytes", checkpoint_bytes, 0, Self::MOST)?;
        within("quotas.publications", publications, 0, Self::MOST)
    }

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
