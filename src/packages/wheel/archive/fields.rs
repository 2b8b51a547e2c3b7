//! Little-endian fields, and the extra fields of zip's headers.

use super::super::error::WheelError;
use super::unsound;

const ZIP64: u16 = 0x0001;
const UNICODE_PATH: u16 = 0x7075;

/// Bytes that are read from the front.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `count` bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], WheelError> {
        let (bytes, rest) =
            self.0.split_at_checked(count).ok_or_else(|| unsound("a header is cut short".to_owned()))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WheelError> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| unsound("a header is cut short".to_owned()))
    }

    pub(super) fn u16(&mut self) -> Result<u16, WheelError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WheelError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WheelError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The signature that must come next.
    pub(super) fn signature(&mut self, expected: u32, what: &str) -> Result<(), WheelError> {
        let found = self.u32()?;
        if found == expected { Ok(()) } else { Err(unsound(format!("there is no {what} where one should be"))) }
    }
}

/// The 64-bit values among a header's extra fields.
pub(super) fn zip64(extra: &[u8]) -> Result<Option<&[u8]>, WheelError> {
    let mut fields = Fields(extra);
    let mut found = None;
    while !fields.0.is_empty() {
        let id = fields.u16()?;
        let len = fields.u16()?;
        let data = fields.bytes(usize::from(len))?;
        match id {
            ZIP64 if found.is_some() => return Err(unsound("a header has two sets of 64-bit values".to_owned())),
            ZIP64 => found = Some(data),
            UNICODE_PATH => return Err(unsound("a header has a second name".to_owned())),
            _ => {}
        }
    }
    Ok(found)
}
