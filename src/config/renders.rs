//! What is kept of renders: when, and for how long.

use serde::Deserialize;

use super::settings::layered;
use super::{ConfigError, within};
use crate::domain::RenderPolicy;

/// What is kept of renders, for those to come.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Renders")]
pub struct RenderSettings {
    /// Milliseconds after a document's last render in which what its cells came to is kept [default: 2000]
    #[arg(
        id = "renders_keep_after_ms",
        long = "renders-keep-after-ms",
        value_name = "MS",
        env = "PYMD_RENDERS_KEEP_AFTER_MS"
    )]
    pub keep_after_ms: Option<u64>,
    /// Milliseconds after a document's first render in which it is kept however often it is rendered [default: 15000]
    #[arg(
        id = "renders_keep_within_ms",
        long = "renders-keep-within-ms",
        value_name = "MS",
        env = "PYMD_RENDERS_KEEP_WITHIN_MS"
    )]
    pub keep_within_ms: Option<u64>,
    /// Days after which what no render has used is deleted [default: 30]
    #[arg(id = "renders_keep_days", long = "renders-keep-days", value_name = "DAYS", env = "PYMD_RENDERS_KEEP_DAYS")]
    pub keep_days: Option<u64>,
}

layered!(RenderSettings { keep_after_ms, keep_within_ms, keep_days });

impl RenderSettings {
    pub(super) fn resolve(self) -> Result<RenderPolicy, ConfigError> {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        let usual = RenderPolicy::default();
        let or = |key, given: Option<u64>, usual: u64, least, most| within(key, given.unwrap_or(usual), least, most);
        Ok(RenderPolicy {
            keep_after_ms: or("renders.keep_after_ms", self.keep_after_ms, usual.keep_after_ms, 0, DAY_MS)?,
            keep_within_ms: or("renders.keep_within_ms", self.keep_within_ms, usual.keep_within_ms, 0, DAY_MS)?,
            keep_days: or("renders.keep_days", self.keep_days, usual.keep_days, 1, 36_500)?,
        })
    }
}
