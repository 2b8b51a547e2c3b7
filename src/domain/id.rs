//! Ids: UUIDs of version 7, so that they sort by the time they were made. Each kind is a type of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id is a UUID, like `01890a5d-ac96-774b-bcce-b302099a8057`")]
pub struct BadId;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new one, later than all that this process made before.
            #[expect(clippy::new_without_default, reason = "a default that differs each time would surprise")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id as what it is made of.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.as_hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self).map_err(|_| BadId)
            }
        }
    )+};
}

ids! {
    /// A user.
    UserId,
    /// An API key.
    KeyId,
    /// An environment.
    EnvironmentId,
    /// A job.
    JobId,
    /// A kernel.
    KernelId,
    /// A state of a kernel.
    CheckpointId,
    /// A document.
    DocumentId,
    /// A cell that ran.
    ExecutionId,
    /// A schedule of a document.
    ScheduleId,
    /// Results of cells, kept for renders to come.
    SegmentId,
}

impl ExecutionId {
    /// Not later than any that is made at that time or after it.
    pub fn earliest_at(time: jiff::Timestamp) -> Self {
        let millis = u64::try_from(time.as_millisecond()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid())
    }
}
