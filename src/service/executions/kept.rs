//! What is kept of a cell's outputs: the first of them that fit, as JSON.

use std::io;

use crate::domain::Output;
use crate::store::NewOutputs;

/// What ends a list.
const END: &[u8] = b"]";

/// The beginning of the outputs, as JSON of at most `most` bytes. Of a text that does not fit its beginning is kept;
/// other outputs are whole or not there.
pub(super) fn kept(outputs: &[Output], most: usize) -> NewOutputs {
    let mut list = Bounded { bytes: Vec::new(), most: most.max(2) - END.len() };
    list.bytes.push(b'[');
    let mut is_truncated = false;
    for output in outputs {
        let before = list.bytes.len();
        if list.bytes.len() > 1 {
            list.bytes.push(b',');
        }
        if serde_json::to_writer(&mut list, output).is_ok() {
            continue;
        }
        is_truncated = true;
        list.bytes.truncate(before);
        // What comes behind a gap would be misread: this was the last one.
        if let Output::Stream { name, text } = output {
            let frame = serde_json::to_string(&Output::Stream { name: *name, text: String::new() });
            let room = list.most.saturating_sub(before + 1 + frame.map_or(0, |frame| frame.len()));
            let text = beginning(text, room);
            if !text.is_empty() {
                if before > 1 {
                    list.bytes.push(b',');
                }
                let output = Output::Stream { name: *name, text: text.to_owned() };
                if serde_json::to_writer(&mut list, &output).is_err() {
                    list.bytes.truncate(before);
                }
            }
        }
        break;
    }
    list.bytes.extend_from_slice(END);
    NewOutputs { json: String::from_utf8_lossy(&list.bytes).into_owned(), is_truncated }
}

/// So much of a text as takes `room` bytes in JSON.
fn beginning(text: &str, room: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, c)| {
        taken += match c {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..'\u{20}' => 6,
            c => c.len_utf8(),
        };
        taken > room
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// Takes bytes up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
