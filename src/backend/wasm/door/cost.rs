//! What JSON costs the host to hold, which is far more than its text where it is made of small pieces: a list of a
//! million `{"":0}` is 7 MB of text and 600 MB of maps.

use serde_json::Value;

use crate::domain::MimeBundle;

/// What a value in a list costs besides its text.
const ITEM_BYTES: usize = 32;
/// What an entry of an object costs besides its text, and the object itself.
const ENTRY_BYTES: usize = 64;
const OBJECT_BYTES: usize = 512;
/// Every frame has that many: itself, and its bundles.
const FRAME_OBJECTS: usize = 3;

/// What the pieces of a frame will cost, found before anything of it is built. Not JSON: any number.
pub fn structure_bytes(frame: &[u8]) -> usize {
    let (mut items, mut objects) = (0_usize, 0_usize);
    let mut rest = frame.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => skip_string(&mut rest),
            b',' => items += 1,
            b'{' => objects += 1,
            _ => (),
        }
    }
    items * ITEM_BYTES + objects.saturating_sub(FRAME_OBJECTS) * OBJECT_BYTES
}

/// Goes past the end of a string whose opening quote was read.
fn skip_string(rest: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(rest.next()),
            _ => (),
        }
    }
}

/// What a bundle costs.
pub fn bundle_bytes(bundle: &MimeBundle) -> usize {
    fn value_bytes(value: &Value) -> usize {
        match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(|item| value_bytes(item) + ITEM_BYTES).sum(),
            Value::Object(entries) => {
                let bytes = entries.iter().map(|(key, value)| key.len() + value_bytes(value) + ENTRY_BYTES);
                OBJECT_BYTES + bytes.sum::<usize>()
            }
            _ => 8,
        }
    }
    bundle.iter().map(|(mime, value)| mime.len() + value_bytes(value)).sum()
}
