//! The guest's memory, every access checked.

use super::meter::tariff;
use crate::backend::wasm::vfs::Errno;

/// Bytes that a path may have.
const PATH_BYTES: u32 = 4096;

/// The guest's memory during one call.
pub(super) struct GuestMemory<'a>(pub(super) &'a mut [u8]);

impl GuestMemory<'_> {
    /// A piece of memory, or `EFAULT`.
    pub(super) fn get(&self, at: u32, len: u32) -> Result<&[u8], Errno> {
        let end = (at as usize).checked_add(len as usize).ok_or(Errno::Fault)?;
        self.0.get(at as usize..end).ok_or(Errno::Fault)
    }

    /// A piece of memory to write to, or `EFAULT`.
    pub(super) fn get_mut(&mut self, at: u32, len: u32) -> Result<&mut [u8], Errno> {
        let end = (at as usize).checked_add(len as usize).ok_or(Errno::Fault)?;
        self.0.get_mut(at as usize..end).ok_or(Errno::Fault)
    }

    /// A piece of memory, cut off at `most` bytes; the whole of it must be there.
    pub(super) fn get_mut_at_most(&mut self, at: u32, len: u32, most: usize) -> Result<&mut [u8], Errno> {
        let piece = self.get_mut(at, len)?;
        let len = piece.len().min(most);
        Ok(&mut piece[..len])
    }

    pub(super) fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Errno> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::Fault)?;
        self.get_mut(at, len)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn write_u32(&mut self, at: u32, value: u32) -> Result<(), Errno> {
        self.write(at, &value.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, at: u32, value: u64) -> Result<(), Errno> {
        self.write(at, &value.to_le_bytes())
    }

    /// A path: `ENAMETOOLONG` where it is too long, `EILSEQ` where it is not UTF-8, `EINVAL` with a NUL in it.
    pub(super) fn path(&self, at: u32, len: u32) -> Result<&str, Errno> {
        let bytes = self.get(at, len)?;
        if len > PATH_BYTES {
            return Err(Errno::Nametoolong);
        }
        let path = std::str::from_utf8(bytes).map_err(|_| Errno::Ilseq)?;
        if path.contains('\0') { Err(Errno::Inval) } else { Ok(path) }
    }

    /// The vectors of a read or write: `EINVAL` for too many of them, or more bytes than a length can say; `EFAULT`
    /// where one of them is not all in memory. Those past what one call moves are left out, the last one is cut.
    pub(super) fn vectors(&self, at: u32, count: u32) -> Result<Vec<Vector>, Errno> {
        if count > tariff::VECTORS {
            return Err(Errno::Inval);
        }
        let array = self.get(at, count * Vector::BYTES)?;
        let mut vectors = Vec::with_capacity(count as usize);
        let (mut total, mut left) = (0_u32, tariff::TRANSFER_BYTES as u32);
        for raw in array.chunks_exact(Vector::BYTES as usize) {
            let (at, len) = (u32_at(raw, 0), u32_at(raw, 4));
            self.get(at, len)?;
            total = total.checked_add(len).ok_or(Errno::Inval)?;
            let len = len.min(left);
            left -= len;
            if len > 0 {
                vectors.push(Vector { at, len });
            }
        }
        Ok(vectors)
    }
}

/// A piece of memory that is read to or written from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vector {
    pub(super) at: u32,
    pub(super) len: u32,
}

impl Vector {
    const BYTES: u32 = 8;
}

/// The little-endian number at `at`; 0 past the end, where no caller asks.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |raw| u32::from_le_bytes(*raw))
}

/// As [`u32_at`].
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |raw| u64::from_le_bytes(*raw))
}
