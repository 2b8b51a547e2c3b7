//! What the numbers are compared with: processes and containers that do the same work, and the machine's memory.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::report::{Result, Samples, Table, ratio};

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

/// One `python3 -c CODE`, from start to end; `bare` without anything but the interpreter (`-I -S`).
pub fn process(python: &Path, bare: bool) -> Result<Duration> {
    let flags: &[&str] = if bare { &["-I", "-S"] } else { &[] };
    timed(Command::new(python).args(flags).args(["-c", CODE]))
}

/// How busy the machine was in the second before, by others than this process: numbers from a busy machine are worth
/// little.
pub fn busy() -> String {
    let jiffies = || {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default().to_owned();
        line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect::<Vec<u64>>()
    };
    let before = jiffies();
    std::thread::sleep(Duration::from_secs(1));
    let spent: Vec<u64> = jiffies().iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect();
    // user nice system idle iowait irq softirq steal
    let all: u64 = spent.iter().take(8).sum();
    let idle: u64 = spent.iter().skip(3).take(2).sum();
    let percent = (all.saturating_sub(idle) * 100).checked_div(all).unwrap_or(0);
    let warning = if percent > 10 { ": do not trust these numbers" } else { "" };
    format!("Before the run the machine was {percent} % busy{warning}.")
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

/// What the same work takes without us.
pub struct References {
    /// `python3 -c`; none without a `python3`.
    pub process: Option<Samples>,
    /// The same with `-I -S`.
    pub bare_process: Option<Samples>,
    /// `docker run`, or why there is none.
    pub containers: std::result::Result<Samples, String>,
    /// A copy of [`MEMCPY_BYTES`].
    pub memcpy: Samples,
}

impl References {
    /// Writes them into a table.
    pub fn rows(&self, table: &mut Table) {
        let skipped = || "skipped: no python3".to_owned();
        for (name, samples) in [
            ("python3 -c 'print(1)', a process", &self.process),
            ("python3 -I -S -c 'print(1)', as bare as it gets", &self.bare_process),
        ] {
            match samples {
                Some(samples) => table.times(name, samples, String::new(), None),
                None => table.value(name, "-".to_owned(), skipped(), None),
            }
        }
        let name = "docker run --network none ... print(1)";
        match &self.containers {
            Ok(samples) => table.times(name, samples, String::new(), None),
            Err(reason) => table.value(name, "-".to_owned(), reason.clone(), None),
        }
        let gib = MEMCPY_BYTES as f64 / f64::from(1 << 30) / self.memcpy.median().as_secs_f64().max(1e-9);
        table.times("memcpy of 40 MiB", &self.memcpy, format!("{gib:.1} GiB/s"), None);
    }

    /// A row that compares a time with the processes.
    pub fn compare(&self, table: &mut Table, what: &str, time: Duration) {
        let (Some(process), Some(bare)) = (&self.process, &self.bare_process) else { return };
        if time.is_zero() || process.len() == 0 || bare.len() == 0 {
            // Filtered out on the command line.
            return;
        }
        let (process, bare) = (ratio(process.median(), time), ratio(bare.median(), time));
        let value = format!("{bare:.1} x");
        let remark = format!("{process:.1} x faster than the process with its site-packages");
        table.value(
            &format!("  {what} is faster than the bare process"),
            value,
            remark,
            Some((">= 10 x", bare >= 10.0)),
        );
    }
}
