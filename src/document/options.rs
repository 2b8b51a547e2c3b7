//! Options of a cell: the lines `#| key: value` that it begins with, as Quarto has them. They are comments of its code
//! and stay in it, so that its lines keep their numbers; only where code is shown they are left out.

use serde::{Deserialize, Serialize};

use crate::domain::{Output, StreamName};

use super::entries::{self, Entry};

const MARK: &str = "#|";
/// Lines of options after these are not read.
const MAX_LINES: usize = 100;
/// Longer labels are none.
const MAX_LABEL_CHARS: usize = 120;
/// Longer timeouts are none: a day.
const MAX_TIMEOUT_S: f64 = 86_400.0;

/// The keys, as messages name them.
const KEYS: &str = "echo, eval, output, warning, label, fig-cap, cache and timeout";

/// What a cell says about itself; what it does not say is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CellOptions {
    /// `echo`: whether its code is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo: Option<bool>,
    /// `eval`: whether it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval: Option<bool>,
    /// `output`: whether what it shows is shown. Errors always are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<bool>,
    /// `warning`: whether what it writes to standard error is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<bool>,
    /// `label`: the name that links in the document know it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// `fig-cap`: the captions of its figures, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fig_cap: Vec<String>,
    /// `cache`: whether its result may be kept and used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<bool>,
    /// `timeout`: the wall-clock milliseconds it may take (in the document, seconds).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

impl CellOptions {
    /// Whether the cell is to run.
    pub fn runs(&self) -> bool {
        self.eval != Some(false)
    }

    /// Whether one of its outputs is to be shown.
    pub(super) fn shows(&self, output: &Output) -> bool {
        match output {
            Output::Error { .. } => true,
            Output::Stream { name: StreamName::Stderr, .. } if self.warning == Some(false) => false,
            _ => self.output != Some(false),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// An option that is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Index of its line.
    pub index: usize,
    /// A sentence for a person.
    pub message: String,
}

/// A cell's code without the options that it begins with.
pub(super) fn without(code: &str) -> &str {
    let options: usize = code.split_inclusive('\n').take_while(|line| line.starts_with(MARK)).map(str::len).sum();
    &code[options..]
}

/// The options of a cell, and what is wrong with the others.
pub(super) fn read(code: &str) -> (CellOptions, Vec<Wrong>) {
    let (mut options, mut wrong) = (CellOptions::default(), Vec::new());
    let lines = code.lines().map_while(|line| line.strip_prefix(MARK));
    if lines.clone().nth(MAX_LINES).is_some() {
        wrong.push(Wrong { index: MAX_LINES, message: format!("a cell has at most {MAX_LINES} lines of options") });
    }
    let mut seen = Vec::new();
    for entry in entries::split(lines.take(MAX_LINES).map(|line| line.strip_prefix(' ').unwrap_or(line))) {
        let result = if seen.contains(&entry.key) {
            Err(format!("`{}` stands here twice: the first one counts", shortened(entry.key)))
        } else {
            set(&mut options, &entry)
        };
        match result {
            Ok(()) => seen.push(entry.key),
            Err(message) => wrong.push(Wrong { index: entry.index, message }),
        }
    }
    wrong.sort_by_key(|wrong| wrong.index);
    (options, wrong)
}

fn set(options: &mut CellOptions, entry: &Entry<'_>) -> Result<(), String> {
    match entry.key {
        "echo" => options.echo = Some(truth(entry)?),
        "eval" => options.eval = Some(truth(entry)?),
        "output" => options.output = Some(truth(entry)?),
        "warning" => options.warning = Some(truth(entry)?),
        "cache" => options.cache = Some(truth(entry)?),
        "label" => {
            let label = entry.read::<String>().map(|label| label.trim().to_owned());
            let label = label.filter(|label| (1..=MAX_LABEL_CHARS).contains(&label.chars().count()));
            options.label =
                Some(label.ok_or(format!("`label` must be a text of at most {MAX_LABEL_CHARS} characters"))?);
        }
        "fig-cap" => {
            options.fig_cap = match entry.read() {
                Some(OneOrMore::One(caption)) => vec![caption],
                Some(OneOrMore::More(captions)) => captions,
                None => return Err("`fig-cap` must be a text or a list of texts".to_owned()),
            };
        }
        "timeout" => {
            let seconds = entry.read::<f64>().filter(|seconds| *seconds > 0.0 && *seconds <= MAX_TIMEOUT_S);
            let seconds =
                seconds.ok_or(format!("`timeout` must be seconds: a number above 0, at most {MAX_TIMEOUT_S}"))?;
            options.timeout_ms = Some((seconds * 1e3).ceil() as u64);
        }
        "" => return Err("this is no option: write `#| key: value`".to_owned()),
        key => return Err(format!("`{}` is no option of a cell: these are {KEYS}", shortened(key))),
    }
    Ok(())
}

/// `true` or `false`.
fn truth(entry: &Entry<'_>) -> Result<bool, String> {
    entry.read().ok_or_else(|| format!("`{}` must be true or false", entry.key))
}

fn shortened(key: &str) -> String {
    key.chars().take(40).collect()
}
