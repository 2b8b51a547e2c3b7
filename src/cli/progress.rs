//! Shows how far the installation of a runtime is: a bar on a terminal, plain lines elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::backend::wasm::runtime::{Progress, Stage};

/// How often a spinner turns.
const SPIN: Duration = Duration::from_millis(120);

/// A plain line is written each time another tenth is done.
const STEPS: u64 = 10;

/// The right progress for standard error: a bar if that is a terminal, lines if not.
pub fn for_stderr() -> Box<dyn Progress> {
    let stderr = io::stderr();
    if stderr.is_terminal() { Box::new(BarProgress::default()) } else { Box::new(LineProgress::new(stderr)) }
}

/// What a stage is called.
fn label(stage: Stage) -> &'static str {
    match stage {
        Stage::Waiting => "waiting for another process that installs the runtime",
        Stage::Download => "downloading",
        Stage::Retry => "trying again",
        Stage::Verify => "checking the wheel",
        Stage::Extract => "unpacking",
        Stage::Split => "splitting the module",
        Stage::Compile => "compiling (estimated)",
        Stage::Store => "storing",
    }
}

/// Whether `done` and `total` of a stage are bytes.
fn counts_bytes(stage: Stage) -> bool {
    matches!(stage, Stage::Download | Stage::Extract)
}

/// A bar, or a spinner where the end is not known, on standard error.
#[derive(Debug, Default)]
pub struct BarProgress {
    shown: Mutex<Option<(Stage, ProgressBar)>>,
}

impl BarProgress {
    fn bar(stage: Stage, total: Option<u64>) -> ProgressBar {
        let template = match (total, counts_bytes(stage)) {
            (Some(_), true) => "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}",
            (Some(_), false) => "{msg} [{bar:30}] {percent}%, {elapsed}",
            (None, _) => "{spinner} {msg} {elapsed}",
        };
        // The templates are constant; the plain style is a fallback that cannot happen.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total.unwrap_or_default()).with_style(style).with_message(label(stage));
        bar.enable_steady_tick(SPIN);
        bar
    }
}

impl Progress for BarProgress {
    fn stage(&self, stage: Stage, done: u64, total: Option<u64>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = match shown.take() {
            Some((current, bar)) if current == stage && (bar.length() > Some(0)) == total.is_some() => bar,
            other => {
                if let Some((_, bar)) = other {
                    bar.finish_and_clear();
                }
                Self::bar(stage, total)
            }
        };
        bar.set_position(done);
        *shown = Some((stage, bar));
    }
}

impl Drop for BarProgress {
    fn drop(&mut self) {
        if let Some((_, bar)) = self.shown.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

/// Lines of text: one when a stage begins, and one each time another tenth of it is done.
#[derive(Debug)]
pub struct LineProgress<W> {
    state: Mutex<LineState<W>>,
}

#[derive(Debug)]
struct LineState<W> {
    out: W,
    last: Option<(Stage, u64)>,
}

impl<W: Write> LineProgress<W> {
    /// Lines go to `out`; that it cannot be written is ignored.
    pub fn new(out: W) -> Self {
        Self { state: Mutex::new(LineState { out, last: None }) }
    }
}

impl<W: Write + Send> Progress for LineProgress<W> {
    fn stage(&self, stage: Stage, done: u64, total: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let step = match (stage, total) {
            (Stage::Retry, _) => done,
            (_, Some(total)) if total > 0 => done.min(total).saturating_mul(STEPS) / total,
            _ => 0,
        };
        let news = match state.last {
            Some((last, last_step)) if last == stage => step > last_step,
            _ => true,
        };
        if !news {
            return;
        }
        state.last = Some((stage, step));
        let name = label(stage);
        // Progress is a courtesy: nobody fails because it cannot be shown.
        let _ = match (stage, total) {
            (Stage::Retry, Some(total)) => writeln!(state.out, "{name}: {done} of {total} attempts failed"),
            (_, Some(_)) if step > 0 => writeln!(state.out, "{name}: {}%", step.saturating_mul(100) / STEPS),
            _ => writeln!(state.out, "{name} ..."),
        };
    }
}
