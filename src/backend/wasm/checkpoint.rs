//! Everything that a guest can see the next time it runs: memory, globals, files, open files.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::memory::{GlobalValue, Image, PAGE_BYTES, PageMap};
use super::vfs::Fs;
use super::wasi::ClockReading;

/// Restoring this many pages one by one costs about as much as the restore itself; with more, the first restore makes
/// an image of the whole, which all later ones map.
const FLATTEN_PAGES: usize = 64;

/// The state of a kernel between two cells. Cloning shares everything.
#[derive(Clone)]
pub struct Checkpoint(Arc<Inner>);

struct Inner {
    state: State,
    flat: Arc<Flat>,
}

/// The same memory as an image of its own.
#[derive(Default)]
struct Flat {
    /// Once somebody restored it.
    kept: OnceLock<Arc<Image>>,
    /// As long as somebody goes on from it.
    passing: Mutex<Weak<Image>>,
}

/// What a checkpoint is made of.
#[derive(Clone)]
pub(super) struct State {
    /// What the memory is compared with.
    pub image: Arc<Image>,
    /// The pages that differ from it.
    pub delta: PageMap,
    /// The memory's size.
    pub memory_bytes: usize,
    /// The mutable globals.
    pub globals: Vec<GlobalValue>,
    /// Files and open files.
    pub fs: Fs,
    /// What the clocks show: they never go back.
    pub clock: ClockReading,
    /// Cells run so far.
    pub count: u64,
    /// Whether whoever goes on from here needs random numbers of its own: the generators are still those of the image,
    /// or of the kernel that this one was forked from.
    pub born: bool,
}

impl Checkpoint {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Inner { state, flat: Arc::default() }))
    }

    /// The state of an image that nothing has run on.
    pub(super) fn of_image(image: Arc<Image>, fs: Fs) -> Self {
        let (memory_bytes, globals) = (image.byte_len(), image.globals.clone());
        let (delta, clock) = (PageMap::default(), ClockReading::default());
        Self::new(State { image, delta, memory_bytes, globals, fs, clock, count: 0, born: true })
    }

    pub(super) fn state(&self) -> &State {
        &self.0.state
    }

    /// Whether it is the very same checkpoint.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The same state for a fork: whoever goes on from it gets random numbers of its own.
    pub fn forked(&self) -> Self {
        self.like(State { born: true, ..self.0.state.clone() })
    }

    /// The same state with other files.
    pub(super) fn with_fs(&self, fs: Fs) -> Self {
        self.like(State { fs, ..self.0.state.clone() })
    }

    /// Another state of the same memory.
    fn like(&self, state: State) -> Self {
        Self(Arc::new(Inner { state, flat: Arc::clone(&self.0.flat) }))
    }

    /// Cells run so far.
    pub fn count(&self) -> u64 {
        self.0.state.count
    }

    /// Bytes of linear memory.
    pub fn memory_bytes(&self) -> usize {
        self.0.state.memory_bytes
    }

    /// Pages in which the memory differs from its image: what the checkpoint costs.
    pub fn delta_pages(&self) -> usize {
        self.0.state.delta.len()
    }

    /// Bytes of memory that this state takes beside its image and `other`, with which it may share pages and pieces of
    /// files.
    pub fn bytes_beyond(&self, other: Option<&Self>) -> u64 {
        let state = self.state();
        let other = other.map(Self::state).filter(|other| Arc::ptr_eq(&other.image, &state.image));
        let empty = PageMap::default();
        let pages = state.delta.difference(other.map_or(&empty, |other| &other.delta));
        let pages = pages.filter(|number| state.delta.get(*number).is_some()).count();
        let files = state.fs.bytes_beyond(other.map(|other| &other.fs));
        (pages.saturating_mul(PAGE_BYTES) as u64).saturating_add(files)
    }

    /// The image that this state lies over, where that was made of a kernel's state: what tells it from others, and its
    /// bytes. It lives as long as any state over it.
    pub fn derived_image(&self) -> Option<(usize, u64)> {
        let image = &self.state().image;
        image.is_derived().then(|| (Arc::as_ptr(image) as usize, image.byte_len() as u64))
    }

    /// How many pages a kernel in the state `other` has to change to come to this one; none where they are of different
    /// images.
    pub fn distance(&self, other: &Self) -> Option<usize> {
        let (state, other) = (self.state(), other.state());
        Arc::ptr_eq(&state.image, &other.image).then(|| state.delta.difference(&other.delta).count())
    }

    /// The same state in the form that is fastest to restore into another slot, again and again: the image that is made
    /// for it is kept as long as the checkpoint.
    ///
    /// # Errors
    /// What the system says when memory for an image runs out.
    pub(super) fn for_restore(&self) -> io::Result<Self> {
        if self.delta_pages() <= FLATTEN_PAGES {
            return Ok(self.clone());
        }
        let kept = &self.0.flat.kept;
        let image = match kept.get() {
            Some(image) => Arc::clone(image),
            None => {
                let image = self.flatten()?;
                // Two at once make two images of the same bytes; the first stays.
                Arc::clone(kept.get_or_init(|| image))
            }
        };
        Ok(self.over(image))
    }

    /// The same, where the image is kept only as long as somebody goes on from it: else many checkpoints of a large kernel
    /// would each hold all of its memory.
    ///
    /// # Errors
    /// What the system says when memory for an image runs out.
    pub(super) fn for_resume(&self) -> io::Result<Self> {
        if self.delta_pages() <= FLATTEN_PAGES {
            return Ok(self.clone());
        }
        // Others wait: they go on from the same image.
        let mut passing = self.0.flat.passing.lock().unwrap_or_else(PoisonError::into_inner);
        let image = match self.0.flat.kept.get().cloned().or_else(|| passing.upgrade()) {
            Some(image) => image,
            None => self.flatten()?,
        };
        *passing = Arc::downgrade(&image);
        drop(passing);
        Ok(self.over(image))
    }

    fn flatten(&self) -> io::Result<Arc<Image>> {
        let State { image, delta, memory_bytes, globals, .. } = self.state();
        Ok(Arc::new(Image::flatten(image, delta, *memory_bytes, globals.clone())?.derived_from(image)))
    }

    /// The same state over an image of its memory.
    fn over(&self, image: Arc<Image>) -> Self {
        Self::new(State { image, delta: PageMap::default(), ..self.state().clone() })
    }
}
