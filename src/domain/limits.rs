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
const MIN_MEMORY_BYTES: u64 = 64 << 20;

/// A requested limit that lies outside what the caller may ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limits.{field} must be between {min} and {max}, not {asked}")]
pub struct LimitError {
    /// The field's name.
    pub field: &'static str,
    /// The least value that can be asked for.
    pub min: u64,
    /// The caller's own limit.
    pub max: u64,
    /// What was asked for.
    pub asked: u64,
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
            Some(asked) if (min..=max).contains(&asked) => Ok(asked),
            Some(asked) => Err(LimitError { field, min, max, asked }),
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
