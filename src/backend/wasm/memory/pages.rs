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
        let place = &mut Arc::make_mut(chunk)[number % CHUNK_PAGES];
        if let Some(own) = place.as_mut().and_then(Arc::get_mut) {
            *own = *page;
        } else if place.replace(Arc::new(*page)).is_none() {
            self.len += 1;
        }
    }

    /// Takes a page out: the memory is there what the image says again.
    pub fn remove(&mut self, number: usize) {
        if self.get(number).is_none() {
            return;
        }
        if let Some(Some(chunk)) = self.chunks.get_mut(number / CHUNK_PAGES)
            && Arc::make_mut(chunk)[number % CHUNK_PAGES].take().is_some()
        {
            self.len -= 1;
        }
    }

    /// The numbers of the pages that are not one and the same in both, in ascending order. Costs little where both come
    /// from one map and most is shared.
    pub fn difference(&self, other: &Self) -> impl Iterator<Item = usize> {
        let count = self.chunks.len().max(other.chunks.len());
        (0..count).flat_map(move |index| {
            let (one, two) = (chunk_of(self, index), chunk_of(other, index));
            let same = match (one, two) {
                (Some(one), Some(two)) => Arc::ptr_eq(one, two),
                (one, two) => one.is_none() && two.is_none(),
            };
            let pages = if same { 0..0 } else { 0..CHUNK_PAGES };
            pages
                .filter(move |at| match (page_of(one, *at), page_of(two, *at)) {
                    (Some(one), Some(two)) => !Arc::ptr_eq(one, two),
                    (one, two) => one.is_some() || two.is_some(),
                })
                .map(move |at| index * CHUNK_PAGES + at)
        })
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

fn chunk_of(map: &PageMap, index: usize) -> Option<&Arc<Chunk>> {
    map.chunks.get(index)?.as_ref()
}

fn page_of(chunk: Option<&Arc<Chunk>>, at: usize) -> Option<&Arc<Page>> {
    chunk?[at].as_ref()
}
