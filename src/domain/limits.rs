//! What one run may use. A value that is passed in, never a global.

use serde::{Deserialize, Serialize};

/// The limits of one cell (fuel, time, output) and of the kernel it runs in (memory, files).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Fuel a cell may burn. One unit is about one WebAssembly instruction. Default: 180 x 10^9, some 30 s.
    pub fuel: u64,
    /// Bytes of linear memory: the interpreter, its heap and all objects. Default: 512 MiB.
    pub memory_bytes: u64,
    /// Wall-clock milliseconds a cell may take, sleeping included. Default: 30,000.
    pub wall_ms: u64,
    /// Bytes of output a cell may produce, text and rich displays together. Default: 16 MiB.
    pub output_bytes: u64,
    /// Share of one core that a kernel may use in the long run; short cells are not held back. Default: 1.0.
    pub cpu_share: f64,
    /// Files and directories that a kernel may have open at once. Default: 256.
    pub open_files: u32,
    /// Bytes of files that a kernel may keep in its private file system. Default: 256 MiB.
    pub disk_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 180_000_000_000,
            memory_bytes: 512 << 20,
            wall_ms: 30_000,
            output_bytes: 16 << 20,
            cpu_share: 1.0,
            open_files: 256,
            disk_bytes: 256 << 20,
        }
    }
}

/// The limits that a request may lower: what is absent stays at the caller's own limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsRequest {
    /// Fuel a cell may burn, at least 1.
    pub fuel: Option<u64>,
    /// Bytes of linear memory, at least 64 MiB: the interpreter itself needs about 40 MiB.
    pub memory_bytes: Option<u64>,
    /// Wall-clock milliseconds, at least 1.
    pub wall_ms: Option<u64>,
    /// Bytes of output, at least 1.
    pub output_bytes: Option<u64>,
}

/// Less memory than this starts no interpreter.
pub const MIN_MEMORY_BYTES: u64 = 64 << 20;
/// A 32-bit address reaches no further.
pub const MAX_MEMORY_BYTES: u64 = 4 << 30;
/// wasmtime counts fuel in an `i64`.
pub const MAX_FUEL: u64 = i64::MAX as u64;
/// A day, in milliseconds.
pub const MAX_WALL_MS: u64 = 86_400_000;
/// Output is kept in memory.
pub const MAX_OUTPUT_BYTES: u64 = 1 << 30;
/// So many files a kernel needs to begin, and so many can be.
pub const OPEN_FILES: std::ops::RangeInclusive<u32> = 8..=65_536;
/// Databases count no further.
pub const MAX_DISK_BYTES: u64 = u64::MAX >> 1;
/// Less is hardly any progress; a kernel has one thread. (A tier may say more: other backends have more threads.)
pub const CPU_SHARE: std::ops::RangeInclusive<f64> = 0.01..=64.0;

/// Limits some of which are said: for those that are different than others'.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsPatch {
    /// [`Limits::fuel`]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// [`Limits::memory_bytes`]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// [`Limits::wall_ms`]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
    /// [`Limits::output_bytes`]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// [`Limits::cpu_share`]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_share: Option<f64>,
    /// [`Limits::open_files`]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u32>,
    /// [`Limits::disk_bytes`]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
}

impl LimitsPatch {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether there can be such limits.
    ///
    /// # Errors
    /// The first that can't.
    pub fn check(&self) -> Result<(), LimitError> {
        Limits::default().with(self).check()
    }
}

impl Limits {
    /// These, with what is different.
    #[must_use]
    pub fn with(&self, different: &LimitsPatch) -> Self {
        Self {
            fuel: different.fuel.unwrap_or(self.fuel),
            memory_bytes: different.memory_bytes.unwrap_or(self.memory_bytes),
            wall_ms: different.wall_ms.unwrap_or(self.wall_ms),
            output_bytes: different.output_bytes.unwrap_or(self.output_bytes),
            cpu_share: different.cpu_share.unwrap_or(self.cpu_share),
            open_files: different.open_files.unwrap_or(self.open_files),
            disk_bytes: different.disk_bytes.unwrap_or(self.disk_bytes),
        }
    }

    /// The lower of each.
    #[must_use]
    pub fn at_most(&self, ceiling: &Self) -> Self {
        Self {
            fuel: self.fuel.min(ceiling.fuel),
            memory_bytes: self.memory_bytes.min(ceiling.memory_bytes),
            wall_ms: self.wall_ms.min(ceiling.wall_ms),
            output_bytes: self.output_bytes.min(ceiling.output_bytes),
            cpu_share: self.cpu_share.min(ceiling.cpu_share),
            open_files: self.open_files.min(ceiling.open_files),
            disk_bytes: self.disk_bytes.min(ceiling.disk_bytes),
        }
    }

    /// The highest that can be.
    pub fn highest() -> Self {
        Self {
            fuel: MAX_FUEL,
            memory_bytes: MAX_MEMORY_BYTES,
            wall_ms: MAX_WALL_MS,
            output_bytes: MAX_OUTPUT_BYTES,
            cpu_share: *CPU_SHARE.end(),
            open_files: *OPEN_FILES.end(),
            disk_bytes: MAX_DISK_BYTES,
        }
    }

    /// Whether there can be such limits.
    ///
    /// # Errors
    /// The first that can't.
    pub fn check(&self) -> Result<(), LimitError> {
        between("fuel", self.fuel, 1, MAX_FUEL)?;
        between("memory_bytes", self.memory_bytes, MIN_MEMORY_BYTES, MAX_MEMORY_BYTES)?;
        between("wall_ms", self.wall_ms, 1, MAX_WALL_MS)?;
        between("output_bytes", self.output_bytes, 1, MAX_OUTPUT_BYTES)?;
        between("open_files", self.open_files, *OPEN_FILES.start(), *OPEN_FILES.end())?;
        between("disk_bytes", self.disk_bytes, 0, MAX_DISK_BYTES)?;
        between("cpu_share", self.cpu_share, *CPU_SHARE.start(), *CPU_SHARE.end()).map(drop)
    }
}

/// A requested limit that lies outside what the caller may ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limits.{field} must be between {min} and {max}, not {asked}")]
pub struct LimitError {
    /// The field's name.
    pub field: &'static str,
    /// The least value that can be asked for.
    pub min: String,
    /// The most: the caller's own limit, or what can be at all.
    pub max: String,
    /// What was asked for.
    pub asked: String,
}

/// A limit between two others.
fn between<T: PartialOrd + ToString>(field: &'static str, asked: T, min: T, max: T) -> Result<T, LimitError> {
    if asked >= min && asked <= max {
        return Ok(asked);
    }
    Err(LimitError { field, min: min.to_string(), max: max.to_string(), asked: asked.to_string() })
}

impl LimitsRequest {
    /// These limits where they are below `ceiling`, and the ceiling elsewhere: what is asked for by somebody else than the
    /// caller is no mistake of the caller's.
    pub fn clamped(&self, ceiling: &Limits) -> Limits {
        let pick = |asked: Option<u64>, min: u64, max: u64| asked.map_or(max, |asked| asked.clamp(min.min(max), max));
        Limits {
            fuel: pick(self.fuel, 1, ceiling.fuel),
            memory_bytes: pick(self.memory_bytes, MIN_MEMORY_BYTES, ceiling.memory_bytes),
            wall_ms: pick(self.wall_ms, 1, ceiling.wall_ms),
            output_bytes: pick(self.output_bytes, 1, ceiling.output_bytes),
            ..ceiling.clone()
        }
    }

    /// These limits within `ceiling`, or the first field that lies outside it.
    pub fn within(&self, ceiling: &Limits) -> Result<Limits, LimitError> {
        let pick = |field, asked: Option<u64>, min, max| match asked {
            None => Ok(max),
            Some(asked) => between(field, asked, min, max),
        };
        Ok(Limits {
            fuel: pick("fuel", self.fuel, 1, ceiling.fuel)?,
            memory_bytes: pick(
                "memory_bytes",
                self.memory_bytes,
                MIN_MEMORY_BYTES.min(ceiling.memory_bytes),
                ceiling.memory_bytes,
            )?,
            wall_ms: pick("wall_ms", self.wall_ms, 1, ceiling.wall_ms)?,
            output_bytes: pick("output_bytes", self.output_bytes, 1, ceiling.output_bytes)?,
            ..ceiling.clone()
        })
    }
}
