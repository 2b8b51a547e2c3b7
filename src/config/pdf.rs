//! How documents are printed.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::settings::layered;
use super::{ConfigError, within};

/// How documents are printed.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "PDF")]
pub struct PdfSettings {
    /// Chromium's program [default: chromium, chromium-browser or google-chrome in PATH; without it there is no PDF]
    #[arg(id = "pdf_chromium", long = "pdf-chromium", value_name = "FILE", env = "PYMD_PDF_CHROMIUM")]
    pub chromium: Option<PathBuf>,
    /// Milliseconds that printing a document may take [default: 30000]
    #[arg(id = "pdf_timeout_ms", long = "pdf-timeout-ms", value_name = "MS", env = "PYMD_PDF_TIMEOUT_MS")]
    pub timeout_ms: Option<u64>,
    /// Whether Chromium's own sandbox is on. It needs user namespaces, which containers may not have [default: true]
    #[arg(id = "pdf_sandbox", long = "pdf-sandbox", value_name = "BOOL", env = "PYMD_PDF_SANDBOX")]
    pub sandbox: Option<bool>,
}

layered!(PdfSettings { chromium, timeout_ms, sandbox });

/// How documents are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PdfConfig {
    /// Chromium's program; absent: the one in `PATH`.
    pub chromium: Option<PathBuf>,
    /// What printing a document may take.
    pub timeout: Duration,
    /// Whether Chromium's own sandbox is on.
    pub sandbox: bool,
}

impl PdfSettings {
    pub(super) fn resolve(self) -> Result<PdfConfig, ConfigError> {
        let timeout_ms = within("pdf.timeout_ms", self.timeout_ms.unwrap_or(30_000), 1_000, 600_000)?;
        Ok(PdfConfig {
            chromium: self.chromium,
            timeout: Duration::from_millis(timeout_ms),
            sandbox: self.sandbox.unwrap_or(true),
        })
    }
}
