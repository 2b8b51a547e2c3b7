//! A program's cells, and what they claim of themselves in lines `#! key: value`.

use pymd::domain::{CellReport, MimeBundle, Outcome, Output, StreamName};
use serde_json::Value;

/// A cell and its claims.
pub struct Cell {
    /// Its source, claims included: they are comments.
    pub code: String,
    claims: Vec<(String, String)>,
}

impl Cell {
    /// The cells of a program.
    pub fn all_of(text: &str) -> Vec<Self> {
        text.split("\n# %%\n").map(Self::new).collect()
    }

    fn new(code: &str) -> Self {
        let claims = code.lines().filter_map(|line| line.strip_prefix("#! ")).map(|claim| {
            let (key, value) = claim.split_once(": ").unwrap_or_else(|| panic!("no claim: {claim}"));
            (key.to_owned(), value.to_owned())
        });
        Self { code: code.to_owned(), claims: claims.collect() }
    }

    /// What the cell reads.
    pub fn stdin(&self) -> String {
        let given = self.claims.iter().find(|(key, _)| key == "stdin");
        given.map(|(_, value)| text_of(value)).unwrap_or_default()
    }

    /// The claims that do not hold.
    pub fn check(&self, report: &CellReport) -> Vec<String> {
        let mut broken = Vec::new();
        if !self.claims.iter().any(|(key, _)| key == "outcome") {
            broken.extend(outcome(report, "completed").err());
        }
        for (key, value) in &self.claims {
            broken.extend(holds(report, key, value).err().map(|actual| format!("{key}: {value}, but {actual}")));
        }
        broken
    }
}

/// Whether a claim holds, or what is there instead.
fn holds(report: &CellReport, key: &str, value: &str) -> Result<(), String> {
    match key {
        "stdin" => Ok(()),
        "outcome" => outcome(report, value),
        "stdout" => same(&report.text(StreamName::Stdout), &text_of(value)),
        "stderr" => same(&report.text(StreamName::Stderr), &text_of(value)),
        "stdout has" => has(&[report.text(StreamName::Stdout)], &text_of(value)),
        "stderr has" => has(&[report.text(StreamName::Stderr)], &text_of(value)),
        "result" if value == "null" => match report.result() {
            None => Ok(()),
            Some(_) => Err("there is one".to_owned()),
        },
        "result" => same(&plain_result(report), &text_of(value)),
        "result mimes" => same(&report.result().map_or(String::new(), |data| mimes(data, " ")), &text_of(value)),
        "result bytes" => at_most(plain_result(report).len(), value),
        "displays" => {
            let shown: Vec<_> = displays(report).map(|data| mimes(data, "+")).collect();
            same(&shown.join(" "), &text_of(value))
        }
        "display has" => {
            let texts = displays(report).flat_map(MimeBundle::values).filter_map(Value::as_str).map(str::to_owned);
            has(&texts.collect::<Vec<_>>(), &text_of(value))
        }
        "stream" => same(&stream(report), &text_of(value)),
        "traceback has" => has(&[traceback(report)?.join("\n")], &text_of(value)),
        "traceback lacks" => match has(&[traceback(report)?.join("\n")], &text_of(value)) {
            Ok(()) => Err("it is there".to_owned()),
            Err(_) => Ok(()),
        },
        "traceback lines" => at_most(traceback(report)?.len(), value),
        "traceback bytes" => at_most(traceback(report)?.iter().map(String::len).sum(), value),
        _ => Err("no such claim is known".to_owned()),
    }
}

fn outcome(report: &CellReport, claimed: &str) -> Result<(), String> {
    let actual = match &report.outcome {
        Outcome::PythonError { ename, .. } => format!("python_error {ename}"),
        Outcome::Exited { code } => format!("exited {code}"),
        // The host's word for the same thing.
        Outcome::OutOfMemory { .. } if claimed == "python_error MemoryError" => claimed.to_owned(),
        other => other.kind().to_owned(),
    };
    same(&actual, claimed).map_err(|actual| format!("the outcome is {actual}"))
}

fn same(actual: &str, claimed: &str) -> Result<(), String> {
    if actual == claimed { Ok(()) } else { Err(format!("{:?}", cut(actual))) }
}

fn has(texts: &[String], claimed: &str) -> Result<(), String> {
    let found = texts.iter().any(|text| text.contains(claimed));
    if found { Ok(()) } else { Err(format!("{:?}", cut(&texts.join("\n")))) }
}

fn at_most(actual: usize, claimed: &str) -> Result<(), String> {
    let within = (1..=claimed.parse().unwrap()).contains(&actual);
    if within { Ok(()) } else { Err(actual.to_string()) }
}

fn cut(text: &str) -> String {
    text.chars().take(2_000).collect()
}

fn text_of(value: &str) -> String {
    serde_json::from_str(value).unwrap_or_else(|error| panic!("{value} is no JSON string: {error}"))
}

fn mimes(data: &MimeBundle, separator: &str) -> String {
    let mut mimes: Vec<_> = data.keys().map(String::as_str).collect();
    mimes.sort_unstable();
    mimes.join(separator)
}

fn displays(report: &CellReport) -> impl Iterator<Item = &MimeBundle> {
    report.outputs.iter().filter_map(|output| match output {
        Output::DisplayData { data, .. } => Some(data),
        _ => None,
    })
}

fn plain_result(report: &CellReport) -> String {
    let text = report.result().and_then(|data| data.get("text/plain")).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn stream(report: &CellReport) -> String {
    let parts = report.outputs.iter().map(|output| match output {
        Output::Stream { name: StreamName::Stdout, text } => format!("stdout:{text}"),
        Output::Stream { name: StreamName::Stderr, text } => format!("stderr:{text}"),
        Output::DisplayData { .. } => "display_data".to_owned(),
        Output::ExecuteResult { .. } => "execute_result".to_owned(),
        Output::Error { .. } => "error".to_owned(),
    });
    parts.collect::<Vec<_>>().join(";")
}

fn traceback(report: &CellReport) -> Result<&[String], String> {
    match &report.outcome {
        Outcome::PythonError { traceback, .. } => Ok(traceback),
        other => Err(format!("the outcome is {}", other.kind())),
    }
}
