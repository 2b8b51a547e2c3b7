//! Bad input: each kind gets a typed outcome within its limits, the others are served meanwhile, nothing is left.

mod alone;
mod door;
mod files;
pub mod hogs;
mod http;
mod leaks;
mod loops;
mod memory;
mod output;
mod recursion;
mod tampering;

use pymd::backend::wasm::Kernel;
use pymd::domain::{CellReport, CellRequest, Limits, Outcome, StreamName};
use tokio_util::sync::CancellationToken;

use crate::support::sandbox;

/// What a cell may take beyond its deadline, on a machine that has other things to do.
const SLACK_MS: f64 = 1_500.0;

/// Limits that no test is to reach by accident.
pub fn limits() -> Limits {
    Limits { wall_ms: 20_000, ..Limits::default() }
}

/// Limits with that deadline.
pub fn within_ms(wall_ms: u64) -> Limits {
    Limits { wall_ms, ..Limits::default() }
}

/// A cell without input.
pub fn cell(code: impl Into<String>, limits: &Limits) -> CellRequest {
    CellRequest { code: code.into(), name: "cell 1".to_owned(), stdin: Vec::new(), limits: limits.clone() }
}

/// Runs a cell to its end.
pub async fn run(kernel: Kernel, code: &str, limits: &Limits) -> (Kernel, CellReport) {
    kernel.run(cell(code, limits), None, CancellationToken::new()).await.unwrap()
}

/// Runs hostile code in a kernel that has a past. Afterwards that past is still there, unless the code ran to an end
/// of its own, and the kernel runs what comes next.
pub async fn survive(code: &str, limits: &Limits) -> CellReport {
    let (kernel, past) = run(sandbox().await.kernel().unwrap(), "before = 41", limits).await;
    assert_eq!(past.outcome, Outcome::Completed);
    let (kernel, report) = run(kernel, code, limits).await;
    let shown = title(code);
    assert!(report.wall_ms < limits.wall_ms as f64 + SLACK_MS, "{shown}: {} ms", report.wall_ms);
    assert!(report.output_bytes <= limits.output_bytes, "{shown}: {} bytes", report.output_bytes);
    assert!(report.peak_memory_bytes <= limits.memory_bytes, "{shown}: {} bytes", report.peak_memory_bytes);
    let (_, after) = run(kernel, "print(before + 1)", &self::limits()).await;
    assert_eq!(after.outcome, Outcome::Completed, "after {shown}, which {:?}", report.outcome.kind());
    assert_eq!(after.text(StreamName::Stdout), "42\n", "after {shown}");
    report
}

/// [`survive`], and the kind of the outcome; of a Python error, its name.
pub async fn outcome(code: &str, limits: &Limits) -> String {
    let report = survive(code, limits).await;
    match report.outcome {
        Outcome::PythonError { ename, .. } => ename,
        Outcome::Exited { code } => format!("exited {code}"),
        other => other.kind().to_owned(),
    }
}

/// Each of the programs ends as is written beside it.
pub async fn outcomes(limits: &Limits, expected: &[(&str, &str)]) {
    for (kind, code) in expected {
        assert_eq!(outcome(code, limits).await, *kind, "{}", title(code));
    }
}

/// As much of some code as a message can take.
pub fn title(code: &str) -> String {
    code.chars().take(200).collect()
}
