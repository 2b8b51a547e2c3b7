//! What a running cell shows: collected in order, counted against its limit, streamed to who listens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::wasi::OutputSink;
use crate::backend::EventSender;
use crate::domain::{Event, MimeBundle, Output, StreamName};

/// More outputs than this are too many, however small each is, and also where the cell cleared them: whoever watches
/// may be slow to hear of any.
const MAX_OUTPUTS: usize = 50_000;

/// The cell wrote more than it may. Ends the cell.
#[derive(Debug, thiserror::Error)]
#[error("the output limit of {limit_bytes} bytes is reached")]
pub struct OutputLimit {
    /// The limit.
    pub limit_bytes: u64,
}

/// What the runner reported as the end of the cell.
#[derive(Debug, Default)]
pub struct Ending {
    /// An exception: class name, message, traceback.
    pub error: Option<(String, String, Vec<String>)>,
    /// `sys.exit`.
    pub exit: Option<i32>,
}

/// The outputs of one cell so far.
#[derive(Default)]
pub struct Recorder {
    outputs: Vec<Output>,
    /// Where the displays of an id are in `outputs`.
    displays: HashMap<String, Vec<usize>>,
    /// Bytes of a UTF-8 sequence that is still incomplete, for stdout and stderr.
    partial: [Vec<u8>; 2],
    clear_next: bool,
    /// Outputs made so far, cleared ones included.
    made: usize,
    used_bytes: u64,
    limit_bytes: u64,
    events: Option<EventSender>,
    /// How the runner says it ended.
    pub ending: Ending,
}

/// A recorder that the WASI side and the door write to.
#[derive(Clone, Default)]
pub struct SharedRecorder(Arc<Mutex<Recorder>>);

impl SharedRecorder {
    /// Runs `f` with the recorder.
    pub fn with<T>(&self, f: impl FnOnce(&mut Recorder) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl OutputSink for SharedRecorder {
    fn write(&mut self, stream: StreamName, bytes: &[u8]) -> Result<(), wasmtime::Error> {
        Ok(self.with(|recorder| recorder.write(stream, bytes))?)
    }
}

impl Recorder {
    /// A recorder for one cell.
    pub fn new(limit_bytes: u64, events: Option<EventSender>) -> Self {
        Self { limit_bytes, events, ..Self::default() }
    }

    /// The most bytes it takes.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Bytes shown so far.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// The outputs, taken out at the end of the cell.
    pub fn finish(&mut self) -> Vec<Output> {
        for stream in [StreamName::Stdout, StreamName::Stderr] {
            let rest = std::mem::take(self.partial_of(stream));
            if !rest.is_empty() {
                self.text(stream, &String::from_utf8_lossy(&rest));
            }
        }
        // The watcher's stream ends with the cell, not with the kernel.
        self.events = None;
        std::mem::take(&mut self.outputs)
    }

    fn partial_of(&mut self, stream: StreamName) -> &mut Vec<u8> {
        &mut self.partial[usize::from(stream == StreamName::Stderr)]
    }

    /// Takes what fits of `bytes`.
    fn charge(&mut self, bytes: usize) -> (usize, Result<(), OutputLimit>) {
        let left = self.limit_bytes.saturating_sub(self.used_bytes);
        let fits = usize::try_from(left).unwrap_or(usize::MAX).min(bytes);
        self.used_bytes += fits as u64;
        let full = fits < bytes || self.made >= MAX_OUTPUTS;
        (fits, if full { Err(OutputLimit { limit_bytes: self.limit_bytes }) } else { Ok(()) })
    }

    /// Text on one of the streams, in whatever pieces it comes.
    ///
    /// # Errors
    /// When it does not fit; what fits is kept.
    pub fn write(&mut self, stream: StreamName, bytes: &[u8]) -> Result<(), OutputLimit> {
        let (fits, charged) = self.charge(bytes.len());
        let mut pending = std::mem::take(self.partial_of(stream));
        pending.extend_from_slice(&bytes[..fits]);
        let (text, rest) = decode(&pending);
        if !text.is_empty() {
            self.text(stream, &text);
        }
        *self.partial_of(stream) = rest;
        charged
    }

    fn text(&mut self, stream: StreamName, text: &str) {
        self.apply_clear();
        match self.outputs.last_mut() {
            Some(Output::Stream { name, text: before }) if *name == stream => before.push_str(text),
            _ => {
                self.made += 1;
                self.outputs.push(Output::Stream { name: stream, text: text.to_owned() });
            }
        }
        self.send(|| Event::Output { output: Output::Stream { name: stream, text: text.to_owned() } });
    }

    /// A display, a result or an error; `bytes` is what it costs.
    ///
    /// # Errors
    /// When it does not fit; then it is left out.
    pub fn push(&mut self, output: Output, bytes: usize) -> Result<(), OutputLimit> {
        self.charge_whole(bytes)?;
        self.apply_clear();
        self.send(|| Event::Output { output: output.clone() });
        if let Output::DisplayData { display_id: Some(id), .. } = &output {
            self.displays.entry(id.clone()).or_default().push(self.outputs.len());
        }
        self.made += 1;
        self.outputs.push(output);
        Ok(())
    }

    fn charge_whole(&mut self, bytes: usize) -> Result<(), OutputLimit> {
        let before = self.used_bytes;
        let (_, charged) = self.charge(bytes);
        if charged.is_err() {
            self.used_bytes = before;
        }
        charged
    }

    /// `update_display`: replaces what every display of that id shows; each of them costs `bytes`.
    ///
    /// # Errors
    /// When it does not fit; then nothing changes.
    pub fn update(
        &mut self,
        id: String,
        data: MimeBundle,
        metadata: MimeBundle,
        bytes: usize,
    ) -> Result<(), OutputLimit> {
        let shown = self.displays.get(&id).map_or(0, Vec::len);
        self.charge_whole(bytes.saturating_mul(shown.max(1)))?;
        for place in self.displays.get(&id).into_iter().flatten() {
            if let Some(Output::DisplayData { data: shown, metadata: about, .. }) = self.outputs.get_mut(*place) {
                shown.clone_from(&data);
                about.clone_from(&metadata);
            }
        }
        self.send(|| Event::UpdateDisplay { display_id: id, data, metadata });
        Ok(())
    }

    /// `clear_output`; `bytes` is what it costs, as whoever watches may be slow to hear of it.
    ///
    /// # Errors
    /// When it does not fit; then nothing changes.
    pub fn clear(&mut self, wait: bool, bytes: usize) -> Result<(), OutputLimit> {
        self.charge_whole(bytes)?;
        self.clear_next = wait;
        if !wait {
            self.forget();
        }
        self.send(|| Event::ClearOutput { wait });
        Ok(())
    }

    fn apply_clear(&mut self) {
        if std::mem::take(&mut self.clear_next) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.outputs.clear();
        self.displays.clear();
    }

    fn send(&self, event: impl FnOnce() -> Event) {
        if let Some(events) = self.events.as_ref().filter(|events| events.is_heard()) {
            events.send(event());
        }
    }
}

/// The text in `bytes` with invalid sequences replaced, and the start of a sequence that is cut off at the end.
fn decode(bytes: &[u8]) -> (String, Vec<u8>) {
    let mut text = String::new();
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        text.push_str(chunk.valid());
        let invalid = chunk.invalid();
        if !invalid.is_empty() {
            let cut_off =
                chunks.peek().is_none() && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if cut_off {
                return (text, invalid.to_vec());
            }
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    (text, Vec::new())
}
