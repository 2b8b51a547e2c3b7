//! The words of the system as plain data: no I/O, and nothing of ours imported.
//!
//! Everything here is a serde type, because it is what crosses the boundary between `service` and `backend`, and
//! what the REST API shows.

mod audit;
mod cell;
mod document;
mod environment;
mod execution;
mod id;
mod identity;
mod install;
mod job;
mod kernel;
mod limits;
mod lockfile;
mod outcome;
mod output;
mod page;
mod publication;
mod render;
mod schedule;
mod settings;
mod text_enum;
mod tier;
mod user;
mod watch;

pub use audit::{Actor, AuditEntry, AuditFilter};
pub use cell::{CellReport, CellRequest, Event, ExecuteReport, InputFile};
pub use document::{
    AttachedFile, BadDocumentTitle, BadFilePath, BadTag, Document, DocumentFormat, DocumentQuery, DocumentSort,
    DocumentSummary, DocumentTitle, DocumentVersion, FilePath, SortOrder, Tag, TagCount, VersionSummary,
};
pub use environment::{
    BackendKind, BadEnvironmentName, Environment, EnvironmentContents, EnvironmentName, EnvironmentPackage,
    EnvironmentStats, EnvironmentStatus,
};
pub use execution::{
    Execution, ExecutionFilter, ExecutionGroup, ExecutionKind, ExecutionOutcome, ExecutionPolicy, ExecutionStats,
    KeptOutputs, OutcomeKind,
};
pub use id::{
    BadId, CheckpointId, DocumentId, EnvironmentId, ExecutionId, JobId, KernelId, KeyId, ScheduleId, SegmentId, UserId,
};
pub use identity::{AuthPolicy, Identity, Means, Principal, Profile, ProviderPolicy, Scope, Scopes, SigningAlgorithm};
pub use install::{ColdModule, FailedReport, InstallEvent, InstallReport, InstalledReport, WarmReport};
pub use job::{Job, JobEnd, JobEvent, JobPolicy, JobState};
pub use kernel::{
    CheckpointInfo, Completion, Inspection, KernelAtRest, KernelHistory, KernelInfo, KernelPackages, KernelPolicy,
    KernelSegment, KernelState,
};
pub use limits::{
    CPU_SHARE, LimitError, Limits, LimitsPatch, LimitsRequest, MAX_DISK_BYTES, MAX_FUEL, MAX_MEMORY_BYTES,
    MAX_OUTPUT_BYTES, MAX_WALL_MS, MIN_MEMORY_BYTES, OPEN_FILES,
};
pub use lockfile::{LockedPackage, LockedWheel, Lockfile};
pub use outcome::Outcome;
pub use output::{MimeBundle, Output, StreamName};
pub use page::{BadPage, Page, PageRequest};
pub use publication::{BadPublicToken, LastRender, PublicToken, Publication};
pub use render::{RenderPolicy, RenderSegment};
pub use schedule::{BadCronExpression, BadTimeZone, CronExpression, Schedule, TimeZoneName};
pub use settings::{BadSetting, EditorSettings, KeyMap, RenderSettings, Theme, UserSettings};
pub use text_enum::UnknownWord;
pub use tier::{Grant, Overrides, QuotaExceeded, QuotaKind, Quotas, Tier, TierError, TierInUse, Traffic};
pub use user::{ApiKey, Role, User, UserAs, UserFilter};
pub use watch::{DocumentEvent, DocumentStatus, KernelEvent, KernelStatus, RenderSummary, etag_of};
