//! Samples, and the table at the end of a run.

use std::io::{self, Write as _};
use std::time::Duration;

/// Whatever can go wrong while measuring ends the run.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long something took, each time.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The middle one; zero without samples.
    pub fn median(&self) -> Duration {
        self.quantile(50)
    }

    /// The one that 99 of 100 do not exceed; zero without samples.
    pub fn p99(&self) -> Duration {
        self.quantile(99)
    }

    fn quantile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(rank).copied().unwrap_or_default()
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

/// A table in Markdown, which is aligned enough to be read as it is.
pub struct Table {
    title: &'static str,
    rows: Vec<[String; 5]>,
    note: String,
}

impl Table {
    /// An empty table; `note` goes below it.
    pub fn new(title: &'static str, note: String) -> Self {
        Self { title, rows: Vec::new(), note }
    }

    /// A row of times. `remark` compares them with others of the same run; `target` holds the promise and whether it
    /// is kept.
    pub fn times(&mut self, what: &str, samples: &Samples, remark: String, target: Option<(&str, bool)>) {
        if samples.len() == 0 {
            // Filtered out on the command line.
            return;
        }
        let numbers = (milliseconds(samples.median()), milliseconds(samples.p99()));
        // A hundredth of fewer samples than this is just the slowest one.
        let p99 = if samples.len() >= 100 { numbers.1 } else { String::new() };
        self.row([what.to_owned(), numbers.0, p99, remark, verdict(target)]);
    }

    /// A row of one number that is no time.
    pub fn value(&mut self, what: &str, value: String, remark: String, target: Option<(&str, bool)>) {
        self.row([what.to_owned(), value, String::new(), remark, verdict(target)]);
    }

    fn row(&mut self, row: [String; 5]) {
        self.rows.push(row);
    }

    /// Writes it to standard output.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn print(&self) -> io::Result<()> {
        let head = ["what", "median", "p99", "compared", "target"].map(str::to_owned);
        let lines = || std::iter::once(&head).chain(&self.rows);
        let width = |column: usize| lines().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 5] = std::array::from_fn(width);
        let mut out = io::stdout().lock();
        writeln!(out, "\n## {}\n", self.title)?;
        for (number, row) in lines().enumerate() {
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                // Numbers to the right, words to the left.
                let number = matches!(column, 1 | 2);
                if number { write!(out, "| {cell:>width$} ")? } else { write!(out, "| {cell:<width$} ")? }
            }
            writeln!(out, "|")?;
            if number == 0 {
                let [a, b, c, d, e] = widths.map(|width| "-".repeat(width));
                writeln!(out, "| {a} | {}: | {}: | {d} | {e} |", &b[1..], &c[1..])?;
            }
        }
        writeln!(out, "\n{}", self.note)?;
        out.flush()
    }
}

fn verdict(target: Option<(&str, bool)>) -> String {
    match target {
        Some((promise, true)) => format!("{promise}: met"),
        Some((promise, false)) => format!("{promise}: MISSED"),
        None => String::new(),
    }
}

/// A time in milliseconds with three significant digits, more or less.
pub fn milliseconds(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        100.0.. => format!("{ms:.0} ms"),
        10.0.. => format!("{ms:.1} ms"),
        1.0.. => format!("{ms:.2} ms"),
        _ => format!("{ms:.3} ms"),
    }
}

/// How many times `other` goes into `time`.
pub fn ratio(time: Duration, other: Duration) -> f64 {
    time.as_secs_f64() / other.as_secs_f64().max(1e-9)
}
