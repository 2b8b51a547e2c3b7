//! What an execution may use, whoever asks for it.

use serde::Deserialize;

use super::settings::layered;
use super::{ConfigError, within};
use crate::domain::{
    LimitsPatch, MAX_DISK_BYTES, MAX_FUEL, MAX_MEMORY_BYTES, MAX_OUTPUT_BYTES, MAX_WALL_MS, MIN_MEMORY_BYTES,
    OPEN_FILES,
};

/// What an execution may use, whatever its user's tier says; what is absent is the tier's. A request may ask for less.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Limits of an execution")]
pub struct LimitSettings {
    /// Fuel of a cell, some 6 x 10^9 a second
    #[arg(id = "limits_fuel", long = "limits-fuel", value_name = "UNITS", env = "PYMD_LIMITS_FUEL")]
    pub fuel: Option<u64>,
    /// Memory of a kernel in bytes, at least 67108864
    #[arg(
        id = "limits_memory_bytes",
        long = "limits-memory-bytes",
        value_name = "BYTES",
        env = "PYMD_LIMITS_MEMORY_BYTES"
    )]
    pub memory_bytes: Option<u64>,
    /// Wall-clock time of a cell in milliseconds
    #[arg(id = "limits_wall_ms", long = "limits-wall-ms", value_name = "MS", env = "PYMD_LIMITS_WALL_MS")]
    pub wall_ms: Option<u64>,
    /// Output of a cell in bytes
    #[arg(
        id = "limits_output_bytes",
        long = "limits-output-bytes",
        value_name = "BYTES",
        env = "PYMD_LIMITS_OUTPUT_BYTES"
    )]
    pub output_bytes: Option<u64>,
    /// Share of one core that a kernel has in the long run
    #[arg(id = "limits_cpu_share", long = "limits-cpu-share", value_name = "CORES", env = "PYMD_LIMITS_CPU_SHARE")]
    pub cpu_share: Option<f64>,
    /// Open files of a kernel
    #[arg(id = "limits_open_files", long = "limits-open-files", value_name = "N", env = "PYMD_LIMITS_OPEN_FILES")]
    pub open_files: Option<u32>,
    /// Bytes of files in a kernel
    #[arg(id = "limits_disk_bytes", long = "limits-disk-bytes", value_name = "BYTES", env = "PYMD_LIMITS_DISK_BYTES")]
    pub disk_bytes: Option<u64>,
}

layered!(LimitSettings { fuel, memory_bytes, wall_ms, output_bytes, cpu_share, open_files, disk_bytes });

impl LimitSettings {
    /// What was said.
    pub(super) fn resolve(self) -> Result<LimitsPatch, ConfigError> {
        fn checked<T: PartialOrd + std::fmt::Display>(
            name: &'static str,
            value: Option<T>,
            min: T,
            max: T,
        ) -> Result<Option<T>, ConfigError> {
            value.map(|value| within(name, value, min, max)).transpose()
        }
        let memory_bytes = checked("limits.memory_bytes", self.memory_bytes, MIN_MEMORY_BYTES, MAX_MEMORY_BYTES)?;
        Ok(LimitsPatch {
            fuel: checked("limits.fuel", self.fuel, 1, MAX_FUEL)?,
            memory_bytes,
            wall_ms: checked("limits.wall_ms", self.wall_ms, 1, MAX_WALL_MS)?,
            output_bytes: checked("limits.output_bytes", self.output_bytes, 1, MAX_OUTPUT_BYTES)?,
            cpu_share: checked("limits.cpu_share", self.cpu_share, 0.01, 1.0)?,
            open_files: checked("limits.open_files", self.open_files, *OPEN_FILES.start(), *OPEN_FILES.end())?,
            disk_bytes: checked("limits.disk_bytes", self.disk_bytes, 0, MAX_DISK_BYTES)?,
        })
    }
}
