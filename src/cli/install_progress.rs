//! Shows how far an installation is: bars on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::domain::InstallEvent;

/// How often a spinner turns.
const SPIN: Duration = Duration::from_millis(120);

/// Where the progress of an installation is shown.
pub enum InstallProgress {
    /// A terminal: a line for what is done, and a bar for each download.
    Bars(Bars),
    /// Anything else: a line for each stage.
    Lines(Mutex<Option<String>>),
}

/// The bars of a terminal.
pub struct Bars {
    all: MultiProgress,
    stage: ProgressBar,
    downloads: Mutex<HashMap<String, ProgressBar>>,
}

/// The right progress for standard error.
pub fn for_stderr() -> InstallProgress {
    if !io::stderr().is_terminal() {
        return InstallProgress::Lines(Mutex::default());
    }
    let all = MultiProgress::new();
    let stage = all.add(ProgressBar::new_spinner());
    InstallProgress::Bars(Bars { all, stage, downloads: Mutex::default() })
}

impl InstallProgress {
    /// Shows what happens.
    pub fn tell(&self, event: &InstallEvent) {
        match self {
            Self::Bars(bars) => bars.tell(event),
            Self::Lines(last) => {
                let text = sentence(event);
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.as_ref() != Some(&text) {
                    // Progress is a courtesy: nobody fails because it cannot be shown.
                    let _ = writeln!(io::stderr(), "{text}");
                    *last = Some(text);
                }
            }
        }
    }

    /// Removes what is shown from a terminal.
    pub fn clear(&self) {
        if let Self::Bars(bars) = self {
            bars.stage.finish_and_clear();
            for (_, bar) in bars.downloads.lock().unwrap_or_else(PoisonError::into_inner).drain() {
                bar.finish_and_clear();
            }
        }
    }
}

impl Drop for InstallProgress {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Bars {
    fn tell(&self, event: &InstallEvent) {
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            InstallEvent::Download { package, done_bytes, total_bytes } => {
                let bar = downloads.entry(package.clone()).or_insert_with(|| {
                    let template = "  {msg:30} [{bar:30}] {decimal_bytes}/{decimal_total_bytes}";
                    // The template is constant; the plain style is a fallback that cannot happen.
                    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
                    self.all
                        .add(ProgressBar::new(total_bytes.unwrap_or(0)).with_style(style).with_message(package.clone()))
                });
                bar.set_position(*done_bytes);
            }
            InstallEvent::Unpack { package } => {
                if let Some(bar) = downloads.remove(package) {
                    bar.finish_and_clear();
                }
            }
            event => {
                self.stage.enable_steady_tick(SPIN);
                self.stage.set_message(sentence(event));
            }
        }
    }
}

fn sentence(event: &InstallEvent) -> String {
    match event {
        InstallEvent::Resolve => "looking for versions that go together".to_owned(),
        InstallEvent::Resolved { packages, downloads } => format!("{packages} packages, {downloads} to download"),
        InstallEvent::Download { package, .. } => format!("downloading {package}"),
        InstallEvent::Unpack { package } => format!("unpacking {package}"),
        InstallEvent::Compile { done, total } => format!("compiling to bytecode: {done} of {total} packages"),
        InstallEvent::Warm { modules } => format!("importing {modules} modules beforehand"),
    }
}
