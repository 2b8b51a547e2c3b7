//! What the numbers are compared with: processes and containers that do the same work, and the machine's memory.

use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::report::{Result, Samples, Table, milliseconds};

/// What everybody runs.
pub const CODE: &str = "print(1)";
/// The memory of a fresh kernel, roughly.
pub const MEMCPY_BYTES: usize = 40 << 20;

const DEFAULT_IMAGE: &str = "python:3-slim";
const CONTAINERS: usize = 5;

/// The machine's own `python3`: the interpreter itself, not a shell script that looks for it.
pub fn python() -> Option<PathBuf> {
    let answer = Command::new("python3").args(["-c", "import sys; print(sys.executable, end='')"]).output().ok()?;
    answer.status.success().then(|| String::from_utf8(answer.stdout).ok().map(PathBuf::from)).flatten()
}

/// One `python3 -c CODE`, from start to end.
pub fn process(python: &PathBuf) -> Result<Duration> {
    timed(Command::new(python).args(["-c", CODE]))
}

/// Some `docker run --network none IMAGE python3 -c CODE`.
///
/// # Errors
/// Why there are none: no engine answers, or the image is not there (it is not fetched: a benchmark downloads nothing).
pub fn containers() -> std::result::Result<Samples, String> {
    let image = std::env::var("PYMD_BENCH_IMAGE").unwrap_or_else(|_| DEFAULT_IMAGE.to_owned());
    let quiet = |args: &[&str]| {
        let status = Command::new("docker").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !quiet(&["version"]) {
        return Err("skipped: no docker engine answers".to_owned());
    }
    if !quiet(&["image", "inspect", &image]) {
        return Err(format!("skipped: `docker pull {image}` first, or set PYMD_BENCH_IMAGE"));
    }
    let mut run = Command::new("docker");
    run.args(["run", "--rm", "--network", "none", &image, "python3", "-c", CODE]);
    (0..CONTAINERS).map(|_| timed(&mut run).map_err(|error| format!("skipped: {error}"))).collect()
}

/// Two buffers of [`MEMCPY_BYTES`], whose pages are all there.
pub struct Memcpy(Vec<u8>, Vec<u8>);

impl Default for Memcpy {
    fn default() -> Self {
        Self(vec![1; MEMCPY_BYTES], vec![2; MEMCPY_BYTES])
    }
}

impl Memcpy {
    /// One copy.
    pub fn copy(&mut self) -> Duration {
        let start = Instant::now();
        self.1.copy_from_slice(black_box(&self.0));
        black_box(&mut self.1);
        start.elapsed()
    }
}

fn timed(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let took = start.elapsed();
    if output.status.success() && output.stdout == b"1\n" {
        Ok(took)
    } else {
        Err(format!("{command:?} did not print 1: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// The rows that both tables share: process, container, memory.
pub fn rows(
    table: &mut Table,
    python: Option<&Samples>,
    containers: &std::result::Result<Samples, String>,
    memcpy: &Samples,
) {
    match python {
        Some(samples) => table.times("python3 -c 'print(1)', a process", samples, String::new(), None),
        None => table.value("python3 -c 'print(1)', a process", "-".to_owned(), "skipped: no python3".to_owned(), None),
    }
    let name = "docker run --network none ... print(1)";
    match containers {
        Ok(samples) => table.times(name, samples, String::new(), None),
        Err(reason) => table.value(name, "-".to_owned(), reason.clone(), None),
    }
    let gib = MEMCPY_BYTES as f64 / (1 << 30) as f64 / memcpy.median().as_secs_f64().max(1e-9);
    table.times("memcpy of 40 MiB", memcpy, format!("{gib:.1} GiB/s"), None);
}

/// "12.3 times faster than a process (18.9 ms)".
pub fn against_process(time: Duration, python: Option<&Samples>) -> String {
    python.map_or_else(String::new, |python| {
        let process = python.median();
        format!("{:.1} x faster than the process ({})", super::report::ratio(process, time), milliseconds(process))
    })
}
