//! Which of a document's cells need not run again: each has a key that says all that its result can depend on.

use crate::domain::Limits;

use super::CellRef;

/// What the result of a cell depends on: where the document starts from, the limits, and the cells up to it. Prose is not
/// in it, nor how the document is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CellKey([u8; 32]);

impl CellKey {
    /// What it is made of.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The keys of cells that run one after another. `start` names what the first one finds: the runtime, what is imported, the
/// files.
pub fn keys<'a>(cells: impl IntoIterator<Item = CellRef<'a>>, start: &str, limits: &Limits) -> Vec<CellKey> {
    let mut key = root(start, limits);
    cells
        .into_iter()
        .map(|cell| {
            let mut hasher = blake3::Hasher::new_keyed(&key);
            // Tracebacks name the cell by its number, which those have a part in that do not run.
            hasher.update(&(cell.index as u64).to_le_bytes());
            hasher.update(cell.code.as_bytes());
            key = *hasher.finalize().as_bytes();
            CellKey(key)
        })
        .collect()
}

/// Stands for what the results of a document's cells can depend on besides its text, in hex.
pub fn inputs_key(start: &str, limits: &Limits) -> String {
    blake3::Hash::from_bytes(root(start, limits)).to_hex().to_string()
}

fn root(start: &str, limits: &Limits) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("pymd document 1");
    // Whole, so that no new limit is forgotten here.
    let Limits { fuel, memory_bytes, wall_ms, output_bytes, cpu_share, open_files, disk_bytes } = limits;
    for number in
        [*fuel, *memory_bytes, *wall_ms, *output_bytes, cpu_share.to_bits(), u64::from(*open_files), *disk_bytes]
    {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(start.as_bytes());
    *hasher.finalize().as_bytes()
}
