//! Writes a flat memory image with holes where it is zero.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::split::WASM_PAGE_BYTES;

/// Zero runs are left as holes in aligned blocks of this.
const HOLE_BYTES: usize = 4096;

/// Places segments in a file that was empty; like the memory it stands for, all else in it is zero.
#[derive(Debug)]
pub(super) struct ImageWriter<'a> {
    file: &'a File,
    /// One past the last byte placed: from here on, the file is a hole.
    end: u64,
}

impl<'a> ImageWriter<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Self { file, end: 0 }
    }

    /// Places `data` at `offset`. As in a memory, a later segment wins over an earlier one.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset.saturating_add(data.len() as u64);
        // Zeros must be written only over what an earlier segment left there.
        let written = usize::try_from(self.end.saturating_sub(offset)).map_or(data.len(), |n| n.min(data.len()));
        let (over, fresh) = data.split_at(written);
        self.file.write_all_at(over, offset)?;
        let mut at = offset.saturating_add(written as u64);
        let mut rest = fresh;
        while !rest.is_empty() {
            let block = HOLE_BYTES - (at % HOLE_BYTES as u64) as usize;
            let (run, after) = rest.split_at(block.min(rest.len()));
            if run.iter().any(|byte| *byte != 0) {
                self.file.write_all_at(run, at)?;
            }
            at = at.saturating_add(run.len() as u64);
            rest = after;
        }
        self.end = self.end.max(end);
        Ok(())
    }

    /// Gives the file its final length, whole WebAssembly pages, and returns it in bytes.
    pub(super) fn finish(self) -> io::Result<u64> {
        let length = self.end.div_ceil(WASM_PAGE_BYTES).saturating_mul(WASM_PAGE_BYTES);
        self.file.set_len(length)?;
        Ok(length)
    }
}
