//! What an execution may use.

use serde::Deserialize;

use super::settings::layered;
use super::{ConfigError, within};
use crate::domain::Limits;

/// What an execution may use. A request may ask for less.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Limits of an execution")]
pub struct LimitSettings {
    /// Fuel of a cell, some 6 x 10^9 a second [default: 180000000000]
    #[arg(id = "limits_fuel", long = "limits-fuel", value_name = "UNITS", env = "PYMD_LIMITS_FUEL")]
    pub fuel: Option<u64>,
    /// Memory of a kernel in bytes, at least 67108864 [default: 536870912]
    #[arg(
        id = "limits_memory_bytes",
        long = "limits-memory-bytes",
        value_name = "BYTES",
        env = "PYMD_LIMITS_MEMORY_BYTES"
    )]
    pub memory_bytes: Option<u64>,
    /// Wall-clock time of a cell in milliseconds [default: 30000]
    #[arg(id = "limits_wall_ms", long = "limits-wall-ms", value_name = "MS", env = "PYMD_LIMITS_WALL_MS")]
    pub wall_ms: Option<u64>,
    /// Output of a cell in bytes [default: 16777216]
    #[arg(
        id = "limits_output_bytes",
        long = "limits-output-bytes",
        value_name = "BYTES",
        env = "PYMD_LIMITS_OUTPUT_BYTES"
    )]
    pub output_bytes: Option<u64>,
    /// Share of one core that a kernel has in the long run [default: 1.0]
    #[arg(id = "limits_cpu_share", long = "limits-cpu-share", value_name = "CORES", env = "PYMD_LIMITS_CPU_SHARE")]
    pub cpu_share: Option<f64>,
    /// Open files of a kernel [default: 256]
    #[arg(id = "limits_open_files", long = "limits-open-files", value_name = "N", env = "PYMD_LIMITS_OPEN_FILES")]
    pub open_files: Option<u32>,
    /// Bytes of files in a kernel [default: 268435456]
    #[arg(id = "limits_disk_bytes", long = "limits-disk-bytes", value_name = "BYTES", env = "PYMD_LIMITS_DISK_BYTES")]
    pub disk_bytes: Option<u64>,
}

layered!(LimitSettings { fuel, memory_bytes, wall_ms, output_bytes, cpu_share, open_files, disk_bytes });

/// Less memory starts no interpreter.
const MIN_MEMORY_BYTES: u64 = 64 << 20;
/// A 32-bit address reaches no further.
const MAX_MEMORY_BYTES: u64 = 4 << 30;
/// wasmtime counts fuel in an `i64`.
const MAX_FUEL: u64 = i64::MAX as u64;
/// A day, in milliseconds.
const MAX_WALL_MS: u64 = 86_400_000;
/// Output is kept in memory.
const MAX_OUTPUT_BYTES: u64 = 1 << 30;

impl LimitSettings {
    pub(super) fn resolve(self) -> Result<Limits, ConfigError> {
        let default = Limits::default();
        Ok(Limits {
            fuel: within("limits.fuel", self.fuel.unwrap_or(default.fuel), 1, MAX_FUEL)?,
            memory_bytes: within(
                "limits.memory_bytes",
                self.memory_bytes.unwrap_or(default.memory_bytes),
                MIN_MEMORY_BYTES,
                MAX_MEMORY_BYTES,
            )?,
            wall_ms: within("limits.wall_ms", self.wall_ms.unwrap_or(default.wall_ms), 1, MAX_WALL_MS)?,
            output_bytes: within(
                "limits.output_bytes",
                self.output_bytes.unwrap_or(default.output_bytes),
                1,
                MAX_OUTPUT_BYTES,
            )?,
            cpu_share: within("limits.cpu_share", self.cpu_share.unwrap_or(default.cpu_share), 0.01, 1.0)?,
            open_files: within("limits.open_files", self.open_files.unwrap_or(default.open_files), 8, 65_536)?,
            disk_bytes: within("limits.disk_bytes", self.disk_bytes.unwrap_or(default.disk_bytes), 0, u64::MAX >> 1)?,
        })
    }
}
