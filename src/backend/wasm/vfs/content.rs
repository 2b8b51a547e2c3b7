//! The bytes of one file: a map of shared chunks, with holes.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

/// Bytes of a full chunk.
pub(super) const CHUNK: usize = 64 << 10;

/// The bytes of one file. A clone shares every chunk; writing copies the chunks that it touches.
///
/// A chunk holds a prefix of its 64 KiB and reads as zeros past it, so that a small file costs little more than its
/// own length, and an absent chunk is a hole. No chunk holds bytes past the file's length.
#[derive(Clone, Default)]
pub(super) struct Content {
    len: u64,
    chunks: RedBlackTreeMapSync<u64, Arc<Vec<u8>>>,
}

/// The chunk of a file offset, and the place in it.
fn locate(offset: u64) -> (u64, usize) {
    (offset / CHUNK as u64, (offset % CHUNK as u64) as usize)
}

impl Content {
    /// The file's length in bytes, holes included.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// How many chunks are held.
    pub(super) fn chunks(&self) -> u64 {
        self.chunks.size() as u64
    }

    /// Bytes of the chunks that the other does not share.
    pub(super) fn bytes_beyond(&self, other: Option<&Self>) -> u64 {
        let own = self.chunks.iter().filter(|(index, chunk)| {
            !other.and_then(|other| other.chunks.get(*index)).is_some_and(|there| Arc::ptr_eq(there, chunk))
        });
        own.map(|(_, chunk)| chunk.capacity() as u64).fold(0, u64::saturating_add)
    }

    /// Reads from `offset` and returns how many bytes there were: fewer than asked for only at the file's end.
    pub(super) fn read_at(&self, offset: u64, buf: &mut [u8]) -> usize {
        let there = self.len.saturating_sub(offset);
        let wanted = usize::try_from(there).unwrap_or(usize::MAX).min(buf.len());
        let mut done = 0;
        while done < wanted {
            let (index, within) = locate(offset + done as u64);
            let piece = (CHUNK - within).min(wanted - done);
            let out = &mut buf[done..done + piece];
            let stored = self.chunks.get(&index).map_or(&[][..], |chunk| chunk.get(within..).unwrap_or(&[]));
            let copied = stored.len().min(piece);
            out[..copied].copy_from_slice(&stored[..copied]);
            out[copied..].fill(0);
            done += piece;
        }
        wanted
    }

    /// Writes all of `data` at `offset`, making the file longer where needed. The caller has checked the quota, and
    /// that the end is no larger than a file may be.
    pub(super) fn write_at(&mut self, offset: u64, data: &[u8]) {
        let mut done = 0;
        while done < data.len() {
            let (index, within) = locate(offset + done as u64);
            let piece = (CHUNK - within).min(data.len() - done);
            let bytes = &data[done..done + piece];
            match self.chunks.get_mut(&index) {
                Some(chunk) => write_chunk(chunk, within, bytes),
                None => {
                    let mut chunk = Vec::with_capacity(within + piece);
                    chunk.resize(within, 0);
                    chunk.extend_from_slice(bytes);
                    self.chunks.insert_mut(index, Arc::new(chunk));
                }
            }
            done += piece;
        }
        self.len = self.len.max(offset + data.len() as u64);
    }

    /// Cuts the file, or makes it longer by a hole.
    pub(super) fn set_len(&mut self, len: u64) {
        if len == 0 {
            self.chunks = RedBlackTreeMapSync::new_sync();
        } else if len < self.len {
            let (index, within) = locate(len);
            let first_gone = if within == 0 { index } else { index + 1 };
            let gone: Vec<u64> = self.chunks.range(first_gone..).map(|(index, _)| *index).collect();
            for index in gone {
                self.chunks.remove_mut(&index);
            }
            if within > 0 && self.chunks.get(&index).is_some_and(|chunk| chunk.len() > within) {
                self.cut_chunk(index, within);
            }
        }
        self.len = len;
    }

    /// The chunks that `before` does not share.
    pub(super) fn changed_since(&self, before: &Self) -> impl Iterator<Item = (u64, &[u8])> {
        let own = self
            .chunks
            .iter()
            .filter(|(index, chunk)| !before.chunks.get(*index).is_some_and(|there| Arc::ptr_eq(there, chunk)));
        own.map(|(index, chunk)| (*index, chunk.as_slice()))
    }

    /// The numbers of the chunks that only `before` has.
    pub(super) fn gone_since(&self, before: &Self) -> impl Iterator<Item = u64> {
        before.chunks.keys().filter(|index| !self.chunks.contains_key(*index)).copied()
    }

    /// Puts a chunk in, as it was when it was saved.
    pub(super) fn put_chunk(&mut self, index: u64, chunk: Vec<u8>) {
        self.chunks.insert_mut(index, Arc::new(chunk));
    }

    /// Takes a chunk out.
    pub(super) fn drop_chunk(&mut self, index: u64) {
        self.chunks.remove_mut(&index);
    }

    /// The length as it was when the chunks were saved.
    pub(super) fn declare_len(&mut self, len: u64) {
        self.len = len;
    }

    fn cut_chunk(&mut self, index: u64, len: usize) {
        if let Some(chunk) = self.chunks.get_mut(&index) {
            *chunk = Arc::new(chunk[..len].to_vec());
        }
    }

    /// The stored chunks in order, for a copy of the file elsewhere.
    #[cfg(test)]
    fn stored_bytes(&self) -> usize {
        self.chunks.values().map(|chunk| chunk.capacity()).sum()
    }
}

/// Writes into a chunk, copying it first where another file system shares it.
fn write_chunk(chunk: &mut Arc<Vec<u8>>, within: usize, bytes: &[u8]) {
    let end = within + bytes.len();
    if Arc::get_mut(chunk).is_none() {
        let mut copy = Vec::with_capacity(end.max(chunk.len()));
        copy.extend_from_slice(chunk);
        *chunk = Arc::new(copy);
    }
    // The branch above made it ours alone.
    let own = Arc::make_mut(chunk);
    if own.len() < end {
        // Doubling makes many small appends cheap; the bound keeps a chunk a chunk.
        if own.capacity() < end {
            let room = own.capacity().saturating_mul(2).clamp(end, CHUNK);
            own.reserve_exact(room - own.len());
        }
        own.resize(end, 0);
    }
    own[within..end].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_writes_cost_what_they_hold() {
        let mut content = Content::default();
        content.write_at(3, b"abc");
        assert!(content.stored_bytes() <= 64, "{}", content.stored_bytes());
        content.write_at(10 * CHUNK as u64 - 1, b"xy");
        assert!(content.stored_bytes() <= CHUNK + 64, "{}", content.stored_bytes());
        assert_eq!(content.len(), 10 * CHUNK as u64 + 1);
        let mut read = vec![1; 8];
        assert_eq!(content.read_at(0, &mut read), 8);
        assert_eq!(read, b"\0\0\0abc\0\0");
    }

    #[test]
    fn cutting_and_growing_again_shows_zeros() {
        let mut content = Content::default();
        content.write_at(0, &vec![7; 2 * CHUNK]);
        let before = content.clone();
        content.set_len(5);
        content.set_len(2 * CHUNK as u64);
        let mut read = vec![1; 2 * CHUNK + 9];
        assert_eq!(content.read_at(0, &mut read), 2 * CHUNK);
        assert!(read[..5].iter().all(|byte| *byte == 7) && read[5..2 * CHUNK].iter().all(|byte| *byte == 0));
        before.read_at(0, &mut read);
        assert!(read[..2 * CHUNK].iter().all(|byte| *byte == 7));
    }
}
