//! Environments: packages that kernels find imported, from directories that the tests make by hand.

mod bytecode;
mod images;
mod imports;
mod kernels;
mod packages;

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use pymd::backend::wasm::{EnvironmentBase, EnvironmentSpec, Kernel, Sandbox, WarmLimits};
use pymd::domain::{CellReport, Limits, Outcome, StreamName};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::kernel::{cell, limits};
use crate::support::sandbox;

/// Unpacked wheels in a temporary directory.
pub struct Wheels {
    root: TempDir,
}

impl Wheels {
    pub fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// Puts a file into a wheel, and answers the wheel's directory.
    pub fn file(&self, wheel: &str, path: &str, content: &str) -> PathBuf {
        let dir = self.dir(wheel);
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        dir
    }

    pub fn dir(&self, wheel: &str) -> PathBuf {
        self.root.path().join(wheel)
    }

    /// A wheel of one module.
    pub fn module(&self, name: &str, code: &str) -> PathBuf {
        self.file(name, &format!("{name}.py"), code)
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }
}

/// An environment of these layers, whose key is no other test's.
pub fn spec(layers: Vec<PathBuf>, imports: &[&str]) -> EnvironmentSpec {
    // Temporary directories have names that come once.
    let key = layers.iter().map(|layer| layer.display().to_string()).collect::<Vec<_>>().join(":");
    EnvironmentSpec {
        key: if key.is_empty() { "empty".to_owned() } else { key },
        layers,
        imports: imports.iter().map(|name| (*name).to_owned()).collect(),
        limits: quick(),
    }
}

/// Enough for what the tests import, and little enough for what never ends.
pub fn quick() -> WarmLimits {
    let limits = WarmLimits::default();
    WarmLimits { each: Limits { fuel: 3_000_000_000, memory_bytes: 256 << 20, ..limits.each.clone() }, ..limits }
}

pub async fn environment(layers: Vec<PathBuf>, imports: &[&str]) -> EnvironmentBase {
    // Each run leaves images that no later one finds again.
    static TIDIED: Once = Once::new();
    let sandbox = sandbox().await;
    TIDIED.call_once(|| {
        sandbox.evict_images(1 << 30, Duration::from_secs(3_600)).unwrap();
    });
    sandbox.environment(&spec(layers, imports)).await.unwrap()
}

pub async fn kernel(sandbox: &Sandbox, environment: &EnvironmentBase) -> Kernel {
    sandbox.kernel_for(Some(environment), "", &limits()).await.unwrap()
}

pub async fn run(kernel: Kernel, code: &str) -> (Kernel, CellReport) {
    kernel.run(cell(code, limits()), None, CancellationToken::new()).await.unwrap()
}

/// Runs code that must complete, and answers what it printed.
pub async fn prints(kernel: Kernel, code: &str) -> (Kernel, String) {
    let (kernel, report) = run(kernel, code).await;
    assert_eq!(report.outcome, Outcome::Completed, "{code}: {report:?}");
    (kernel, report.text(StreamName::Stdout))
}

/// What code prints in a fresh kernel.
pub async fn shows(environment: &EnvironmentBase, code: &str) -> String {
    prints(kernel(sandbox().await, environment).await, code).await.1
}
