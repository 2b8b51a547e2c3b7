//! Reports of cells as bytes. Their own JSON would lose the last digit of some numbers, and what is shown again must be
//! the same to the byte.

use std::io::Read as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::domain::{CellReport, MimeBundle, Outcome, Output, StreamName};

/// What the bytes begin with.
const KIND: &[u8; 8] = b"PYMDRP1\n";
/// Text shrinks well at this level, and quickly.
const LEVEL: i32 = 1;
/// No reports are longer.
const MAX_BYTES: u64 = 1 << 30;

#[derive(Serialize, Deserialize)]
struct Saved {
    /// The exception that ended the cell, if one did: its name, text and traceback.
    error: Option<(String, String, Vec<String>)>,
    outputs: Vec<SavedOutput>,
    fuel_used: u64,
    wall_ms: f64,
    peak_memory_bytes: u64,
    output_bytes: u64,
}

#[derive(Serialize, Deserialize)]
enum SavedOutput {
    Stream(bool, String),
    Display(Bundle, Bundle, Option<String>),
    Result(u64, Bundle, Bundle),
    Error(String, String, Vec<String>),
}

type Bundle = Vec<(String, SavedValue)>;

#[derive(Serialize, Deserialize)]
enum SavedValue {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// The reports as bytes. None where one is of a cell that is not to be kept, or all are too long.
pub(super) fn pack<'a>(reports: impl Iterator<Item = &'a CellReport>) -> Option<Vec<u8>> {
    let saved = reports.map(save).collect::<Option<Vec<_>>>()?;
    let plain = postcard::to_allocvec(&saved).ok().filter(|plain| plain.len() as u64 <= MAX_BYTES)?;
    let mut bytes = KIND.to_vec();
    zstd::stream::copy_encode(plain.as_slice(), &mut bytes, LEVEL).ok()?;
    Some(bytes)
}

/// The reports that were packed; none where the bytes are something else.
pub(super) fn unpack(bytes: &[u8]) -> Option<Vec<CellReport>> {
    let mut plain = Vec::new();
    let packed = zstd::Decoder::with_buffer(bytes.strip_prefix(KIND)?).ok()?;
    packed.take(MAX_BYTES).read_to_end(&mut plain).ok()?;
    let saved: Vec<Saved> = postcard::from_bytes(&plain).ok()?;
    saved.into_iter().map(restore).collect()
}

fn save(report: &CellReport) -> Option<Saved> {
    let error = match &report.outcome {
        Outcome::Completed => None,
        Outcome::PythonError { ename, evalue, traceback } => Some((ename.clone(), evalue.clone(), traceback.clone())),
        _ => return None,
    };
    Some(Saved {
        error,
        outputs: report.outputs.iter().map(save_output).collect(),
        fuel_used: report.fuel_used,
        wall_ms: report.wall_ms,
        peak_memory_bytes: report.peak_memory_bytes,
        output_bytes: report.output_bytes,
    })
}

fn save_output(output: &Output) -> SavedOutput {
    match output {
        Output::Stream { name, text } => SavedOutput::Stream(*name == StreamName::Stderr, text.clone()),
        Output::DisplayData { data, metadata, display_id } => {
            SavedOutput::Display(save_bundle(data), save_bundle(metadata), display_id.clone())
        }
        Output::ExecuteResult { execution_count, data, metadata } => {
            SavedOutput::Result(*execution_count, save_bundle(data), save_bundle(metadata))
        }
        Output::Error { ename, evalue, traceback } => {
            SavedOutput::Error(ename.clone(), evalue.clone(), traceback.clone())
        }
    }
}

fn save_bundle(bundle: &MimeBundle) -> Bundle {
    bundle.iter().map(|(name, value)| (name.clone(), save_value(value))).collect()
}

fn save_value(value: &Value) -> SavedValue {
    match value {
        Value::Null => SavedValue::Null,
        Value::Bool(flag) => SavedValue::Bool(*flag),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), ..) => SavedValue::Unsigned(number),
            (_, Some(number), _) => SavedValue::Signed(number),
            (.., number) => number.map_or(SavedValue::Null, SavedValue::Float),
        },
        Value::String(text) => SavedValue::Text(text.clone()),
        Value::Array(values) => SavedValue::List(values.iter().map(save_value).collect()),
        Value::Object(object) => SavedValue::Object(save_bundle(object)),
    }
}

fn restore(saved: Saved) -> Option<CellReport> {
    let outcome = match saved.error {
        None => Outcome::Completed,
        Some((ename, evalue, traceback)) => Outcome::PythonError { ename, evalue, traceback },
    };
    Some(CellReport {
        outcome,
        outputs: saved.outputs.into_iter().map(restore_output).collect::<Option<_>>()?,
        fuel_used: saved.fuel_used,
        wall_ms: saved.wall_ms,
        peak_memory_bytes: saved.peak_memory_bytes,
        output_bytes: saved.output_bytes,
    })
}

fn restore_output(saved: SavedOutput) -> Option<Output> {
    Some(match saved {
        SavedOutput::Stream(is_stderr, text) => {
            let name = if is_stderr { StreamName::Stderr } else { StreamName::Stdout };
            Output::Stream { name, text }
        }
        SavedOutput::Display(data, metadata, display_id) => {
            Output::DisplayData { data: restore_bundle(data)?, metadata: restore_bundle(metadata)?, display_id }
        }
        SavedOutput::Result(execution_count, data, metadata) => {
            Output::ExecuteResult { execution_count, data: restore_bundle(data)?, metadata: restore_bundle(metadata)? }
        }
        SavedOutput::Error(ename, evalue, traceback) => Output::Error { ename, evalue, traceback },
    })
}

fn restore_bundle(saved: Bundle) -> Option<Map<String, Value>> {
    saved.into_iter().map(|(name, value)| Some((name, restore_value(value)?))).collect()
}

fn restore_value(saved: SavedValue) -> Option<Value> {
    Some(match saved {
        SavedValue::Null => Value::Null,
        SavedValue::Bool(flag) => Value::Bool(flag),
        SavedValue::Unsigned(number) => Value::Number(number.into()),
        SavedValue::Signed(number) => Value::Number(number.into()),
        SavedValue::Float(number) => Value::Number(Number::from_f64(number)?),
        SavedValue::Text(text) => Value::String(text),
        SavedValue::List(values) => Value::Array(values.into_iter().map(restore_value).collect::<Option<_>>()?),
        SavedValue::Object(object) => Value::Object(restore_bundle(object)?),
    })
}
