//! Kernels that stay between cells: how much memory they take, and when they are saved.

use serde::Deserialize;

use super::settings::layered;
use super::{ConfigError, within};
use crate::domain::KernelPolicy;

/// Kernels that stay between cells.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Kernels")]
pub struct KernelSettings {
    /// Bytes of memory of all kernels; where there is no room, those used longest ago hibernate [default: 4 GiB]
    #[arg(id = "kernels_bytes", long = "kernels-bytes", value_name = "BYTES", env = "PYMD_KERNELS_BYTES")]
    pub bytes: Option<u64>,
    /// Bytes of one kernel's checkpoints; the eldest go first [default: 512 MiB]
    #[arg(
        id = "kernels_kernel_bytes",
        long = "kernels-kernel-bytes",
        value_name = "BYTES",
        env = "PYMD_KERNELS_KERNEL_BYTES"
    )]
    pub kernel_bytes: Option<u64>,
    /// Milliseconds after which a kernel that runs nothing gives its own memory back [default: 60000]
    #[arg(id = "kernels_idle_ms", long = "kernels-idle-ms", value_name = "MS", env = "PYMD_KERNELS_IDLE_MS")]
    pub idle_ms: Option<u64>,
    /// Milliseconds after a cell in which what the kernel knows is saved [default: 250]
    #[arg(
        id = "kernels_save_after_ms",
        long = "kernels-save-after-ms",
        value_name = "MS",
        env = "PYMD_KERNELS_SAVE_AFTER_MS"
    )]
    pub save_after_ms: Option<u64>,
    /// Milliseconds after which a kernel that runs nothing hibernates [default: 600000]
    #[arg(
        id = "kernels_hibernate_after_ms",
        long = "kernels-hibernate-after-ms",
        value_name = "MS",
        env = "PYMD_KERNELS_HIBERNATE_AFTER_MS"
    )]
    pub hibernate_after_ms: Option<u64>,
    /// Days after which a kernel that was not used is deleted [default: 90]
    #[arg(id = "kernels_keep_days", long = "kernels-keep-days", value_name = "DAYS", env = "PYMD_KERNELS_KEEP_DAYS")]
    pub keep_days: Option<u64>,
    /// Milliseconds after which a server of a PostgreSQL database that was not heard of is taken for dead [default: 20000]
    #[arg(id = "kernels_lease_ms", long = "kernels-lease-ms", value_name = "MS", env = "PYMD_KERNELS_LEASE_MS")]
    pub lease_ms: Option<u64>,
}

layered!(KernelSettings { bytes, kernel_bytes, idle_ms, save_after_ms, hibernate_after_ms, keep_days, lease_ms });

impl KernelSettings {
    pub(super) fn resolve(self) -> Result<KernelPolicy, ConfigError> {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        let usual = KernelPolicy::default();
        let or = |key, given: Option<u64>, usual: u64, least, most| within(key, given.unwrap_or(usual), least, most);
        Ok(KernelPolicy {
            bytes: or("kernels.bytes", self.bytes, usual.bytes, 64 << 20, 1 << 50)?,
            kernel_bytes: or("kernels.kernel_bytes", self.kernel_bytes, usual.kernel_bytes, 1 << 20, 1 << 50)?,
            idle_ms: or("kernels.idle_ms", self.idle_ms, usual.idle_ms, 0, 365 * DAY_MS)?,
            save_after_ms: or("kernels.save_after_ms", self.save_after_ms, usual.save_after_ms, 0, DAY_MS)?,
            hibernate_after_ms: or(
                "kernels.hibernate_after_ms",
                self.hibernate_after_ms,
                usual.hibernate_after_ms,
                0,
                365 * DAY_MS,
            )?,
            keep_days: or("kernels.keep_days", self.keep_days, usual.keep_days, 1, 36_500)?,
            lease_ms: or("kernels.lease_ms", self.lease_ms, usual.lease_ms, 500, DAY_MS)?,
        })
    }
}
