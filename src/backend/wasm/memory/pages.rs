//! A persistent map from page number to page: cloning is cheap, and a change copies only what it touches.

use std::sync::Arc;

use super::PAGE_BYTES;

/// The bytes of one page.
pub type Page = [u8; PAGE_BYTES];

/// Pages per chunk: a chunk spans 1 MiB of memory.
const CHUNK_PAGES: usize = 256;

type Chunk = [Option<Arc<Page>>; CHUNK_PAGES];

/// The pages in which a memory differs from its image.
#[derive(Clone, Default)]
pub struct PageMap {
    chunks: Vec<Option<Arc<Chunk>>>,
    len: usize,
}

impl PageMap {
    /// How many pages it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The page of that number, if it differs from the image.
    pub fn get(&self, number: usize) -> Option<&Page> {
        let chunk = self.chunks.get(number / CHUNK_PAGES)?.as_ref()?;
        chunk[number % CHUNK_PAGES].as_deref()
    }

    /// Puts a page in, sharing all others with earlier clones.
    pub fn insert(&mut self, number: usize, page: &Page) {
        let index = number / CHUNK_PAGES;
        if index >= self.chunks.len() {
            self.chunks.resize(index + 1, None);
        }
        let chunk = self.chunks[index].get_or_insert_with(|| Arc::new([const { None }; CHUNK_PAGES]));
        if Arc::make_mut(chunk)[number % CHUNK_PAGES].replace(Arc::new(*page)).is_none() {
            self.len += 1;
        }
    }

    /// All pages in ascending order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Page)> {
        self.chunks.iter().enumerate().flat_map(|(index, chunk)| {
            chunk.iter().flat_map(move |chunk| {
                chunk
                    .iter()
                    .enumerate()
                    .filter_map(move |(at, page)| Some((index * CHUNK_PAGES + at, &**page.as_ref()?)))
            })
        })
    }
}
