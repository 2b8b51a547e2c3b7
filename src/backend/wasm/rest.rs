//! States of kernels at rest: bytes to keep in a file or an object store, for this server or another one.
//!
//! ```text
//! states:  "PYMDST2\n" | zstd( length of head, u32 | head | for each state: its pages, its pieces of files )
//! image:   "PYMDIM1\n" | zstd( length of head, u32 | head | the pages that are not zero )
//! ```
//!
//! All numbers are little-endian, heads are postcard. A state is what has changed since the one before it, and the first
//! since the image that all of them began in: pages that states share are there once. A page that has changed in less than
//! half of its bytes is there as the difference, which is mostly zeros: an interpreter counts references all over its heap. The image itself is not among them:
//! it is named by its digest, and kept once for all kernels that began in it.
//!
//! Whoever keeps such bytes keeps their [`Digest`] elsewhere and hands it in: what is not what was written is refused
//! before it is looked at.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, State};
use super::memory::{GlobalValue, Image, PAGE_BYTES, Page, PageMap};
use super::vfs::{BadFs, Fs, SavedFs};
use super::wasi::ClockReading;

const STATES: &[u8; 8] = b"PYMDST2\n";
const IMAGE: &[u8; 8] = b"PYMDIM1\n";
/// Higher levels make what is mostly numbers and pointers a few percent smaller, and take several times as long.
pub(super) const LEVEL: i32 = 1;
/// For what is replaced soon.
pub(super) const QUICK_LEVEL: i32 = -4;
/// No head is longer.
const MAX_HEAD_BYTES: u32 = 256 << 20;
/// A memory has no more pages.
const MAX_PAGES: u64 = (4 << 30) / PAGE_BYTES as u64;

/// Stands for bytes at rest, or for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(blake3::Hash);

impl Digest {
    /// That of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes))
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(hash)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

impl FromStr for Digest {
    type Err = blake3::HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(text).map(Self)
    }
}

/// Something at rest.
#[derive(Debug, Clone)]
pub struct AtRest {
    /// What it is told by.
    pub digest: Digest,
    /// What is to be kept.
    pub bytes: Vec<u8>,
}

/// Why something at rest can't be woken.
#[derive(Debug, thiserror::Error)]
pub enum WakeError {
    /// It is not what was written.
    #[error("its digest is {computed}, not {expected}")]
    Digest {
        /// What was written.
        expected: Digest,
        /// What was read.
        computed: Digest,
    },
    /// It was written by another version, or is something else.
    #[error("it is not of a kind that this version reads")]
    Kind,
    /// It began in another image.
    #[error("it began in another image")]
    Image,
    /// Its files can't be had.
    #[error("its files: {0}")]
    Files(#[from] BadFs),
    /// It contradicts itself.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// Reading it failed, or the system refused memory.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What states at rest lie over: where kernels of the same beginning begin today.
#[derive(Clone)]
pub struct Ground {
    pub(super) image: Arc<Image>,
    pub(super) fs: Fs,
}

#[derive(Serialize, Deserialize)]
struct Head {
    image: [u8; 32],
    states: Vec<SavedState>,
}

#[derive(Serialize, Deserialize)]
struct SavedState {
    memory_bytes: u64,
    globals: Vec<GlobalValue>,
    clock: ClockReading,
    count: u64,
    born: bool,
    /// Pages that are the image's again.
    gone: Runs,
    /// Pages that are others than before.
    pages: Runs,
    /// Those of them that are there as the difference from what was there before.
    differences: Runs,
    fs: SavedFs,
}

/// What stands behind a head.
enum Piece<'a> {
    Bytes(&'a [u8]),
    /// A page, and what it was before.
    Difference(&'a [u8], &'a [u8]),
}

/// The pages in which two states differ.
#[derive(Default)]
struct Changes<'a> {
    gone: Runs,
    pages: Runs,
    differences: Runs,
    pieces: Vec<Piece<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ImageHead {
    bytes: u64,
    globals: Vec<GlobalValue>,
    pages: Runs,
}

/// Numbers in ascending order, as how many are left out and how many there are.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Runs {
    runs: Vec<(u32, u32)>,
    #[serde(skip)]
    end: usize,
}

impl Runs {
    fn push(&mut self, number: usize) {
        let skipped = u32::try_from(number - self.end).unwrap_or(u32::MAX);
        match self.runs.last_mut() {
            Some((_, count)) if skipped == 0 => *count += 1,
            _ => self.runs.push((skipped, 1)),
        }
        self.end = number + 1;
    }

    /// The numbers, all of them below `pages`.
    fn numbers(&self, pages: u64) -> Result<impl Iterator<Item = usize>, WakeError> {
        let sum = self.runs.iter().fold(0_u64, |sum, (skipped, count)| sum + u64::from(*skipped) + u64::from(*count));
        if sum > pages {
            return Err(WakeError::Damaged("a page lies outside of the memory"));
        }
        let mut at = 0;
        let runs = self.runs.iter().map(move |(skipped, count)| {
            let start = at + *skipped as usize;
            at = start + *count as usize;
            start..at
        });
        Ok(runs.flatten())
    }
}

/// Brings states of one kernel to rest, as what comes after `before`. Takes time in proportion to what they hold.
///
/// # Errors
/// They did not begin in one image.
pub(super) fn save(states: &[Checkpoint], before: Option<&Checkpoint>, level: i32) -> io::Result<AtRest> {
    let Some(first) = states.first() else { return Err(io::Error::other("there is no state to keep")) };
    let root = first.state().image.root();
    if !states.iter().chain(before).all(|state| Arc::ptr_eq(state.state().image.root(), root)) {
        return Err(io::Error::other("the states began in different images"));
    }
    let mut pieces = Vec::new();
    let mut saved = Vec::with_capacity(states.len());
    let mut before = before;
    for checkpoint in states {
        let state = checkpoint.state();
        let Changes { gone, pages, differences, pieces: changed } = changes(state, before.map(Checkpoint::state), root);
        pieces.extend(changed);
        let mut files = Vec::new();
        saved.push(SavedState {
            memory_bytes: state.memory_bytes as u64,
            globals: state.globals.clone(),
            clock: state.clock,
            count: state.count,
            born: state.born,
            gone,
            pages,
            differences,
            fs: state.fs.save(before.map(|before| &before.state().fs), &mut files),
        });
        pieces.extend(files.into_iter().map(Piece::Bytes));
        before = Some(checkpoint);
    }
    write(STATES, &Head { image: *root.digest().as_bytes(), states: saved }, &pieces, level)
}

/// The pages that are the image's again in `state`, and those that are others than in `before`.
fn changes<'a>(state: &'a State, before: Option<&'a State>, root: &'a Image) -> Changes<'a> {
    let mut changes = Changes::default();
    let mut look = |number: usize| {
        let (now, old) = (own_page(state, number), before.and_then(|before| own_page(before, number)));
        match (now, old) {
            (None, None) => {}
            (None, Some(_)) => changes.gone.push(number),
            (Some(now), Some(old)) if std::ptr::eq(now, old) || now == old => {}
            // An image of its own has all pages, also those that are the first image's.
            (Some(now), old) if state.image.is_derived() && now == root.page(number) => {
                if old.is_some() {
                    changes.gone.push(number);
                }
            }
            (Some(now), old) => {
                let old = old.unwrap_or_else(|| root.page(number));
                changes.pages.push(number);
                let changed = now.iter().zip(old).filter(|(now, old)| now != old).count();
                if changed < PAGE_BYTES / 2 {
                    changes.differences.push(number);
                    changes.pieces.push(Piece::Difference(now, old));
                } else {
                    changes.pieces.push(Piece::Bytes(now));
                }
            }
        }
    };
    let empty = PageMap::default();
    match before {
        Some(before) if Arc::ptr_eq(&before.image, &state.image) => {
            state.delta.difference(&before.delta).for_each(&mut look);
        }
        None if !state.image.is_derived() => state.delta.difference(&empty).for_each(&mut look),
        _ => {
            let bytes = state.memory_bytes.max(before.map_or(0, |before| before.memory_bytes));
            (0..bytes.div_ceil(PAGE_BYTES)).for_each(&mut look);
        }
    }
    changes
}

/// A page of a state that may be another than the first image's.
fn own_page(state: &State, number: usize) -> Option<&[u8]> {
    if number >= state.memory_bytes / PAGE_BYTES {
        return None;
    }
    let changed = state.delta.get(number).map(|page| &page[..]);
    changed.or_else(|| state.image.is_derived().then(|| state.image.page(number)))
}

/// The states that were saved after `before`: those that are wanted, by their number, and nothing in place of the others.
///
/// # Errors
/// The bytes are not what was written, or the states began elsewhere.
pub(super) fn wake(
    bytes: &[u8],
    digest: Digest,
    ground: &Ground,
    before: Option<&Checkpoint>,
    is_wanted: impl Fn(usize) -> bool,
) -> Result<Vec<Option<Checkpoint>>, WakeError> {
    let (head, mut pieces) = open::<Head>(STATES, bytes, digest)?;
    if head.image != *ground.image.digest().as_bytes() {
        return Err(WakeError::Image);
    }
    // Without what came before, they would be something else.
    if before.is_some_and(|before| !Arc::ptr_eq(&before.state().image, &ground.image)) {
        return Err(WakeError::Image);
    }
    let mut states = Vec::with_capacity(head.states.len());
    let (mut delta, mut before_fs) = match before.map(Checkpoint::state) {
        Some(before) => (before.delta.clone(), Some(before.fs.clone())),
        None => Default::default(),
    };
    for saved in head.states {
        let memory_bytes = usize::try_from(saved.memory_bytes).unwrap_or(usize::MAX);
        let pages = saved.memory_bytes / PAGE_BYTES as u64;
        if pages > MAX_PAGES || memory_bytes < ground.image.byte_len() || !memory_bytes.is_multiple_of(PAGE_BYTES) {
            return Err(WakeError::Damaged("the memory's size can't be"));
        }
        for number in saved.gone.numbers(MAX_PAGES)? {
            delta.remove(number);
        }
        let mut page: Page = [0; PAGE_BYTES];
        let mut differences = saved.differences.numbers(pages)?.peekable();
        for number in saved.pages.numbers(pages)? {
            pieces.read_exact(&mut page)?;
            if differences.next_if_eq(&number).is_some() {
                // (A page that is gone is no page that has changed.)
                let old = delta.get(number).map(|page| &page[..]);
                apply(&mut page, old.unwrap_or_else(|| ground.image.page(number)));
            }
            delta.insert(number, &page);
        }
        let fs = Fs::restored(saved.fs, before_fs.as_ref(), &ground.fs, &mut pieces)?;
        before_fs = Some(fs.clone());
        // What nobody wants is changed in place: of pages that many states have changed, one is made.
        states.push(is_wanted(states.len()).then(|| {
            Checkpoint::new(State {
                image: Arc::clone(&ground.image),
                delta: delta.clone(),
                memory_bytes,
                globals: saved.globals,
                fs,
                clock: saved.clock,
                count: saved.count,
                born: saved.born,
            })
        }));
    }
    Ok(states)
}

/// Brings an image to rest. Its digest is that of the image, not of the bytes.
pub(super) fn save_image(image: &Image) -> io::Result<AtRest> {
    let mut pages = Runs::default();
    let mut pieces = Vec::new();
    for (number, page) in image.bytes().chunks(PAGE_BYTES).enumerate() {
        if page.iter().any(|byte| *byte != 0) {
            pages.push(number);
            pieces.push(Piece::Bytes(page));
        }
    }
    let head = ImageHead { bytes: image.byte_len() as u64, globals: image.globals.clone(), pages };
    Ok(AtRest { digest: Digest(image.digest()), bytes: write(IMAGE, &head, &pieces, LEVEL)?.bytes })
}

/// The image that was saved.
///
/// # Errors
/// It is another one.
pub(super) fn wake_image(bytes: &[u8], digest: Digest) -> Result<Image, WakeError> {
    let (head, mut pieces) = read::<ImageHead>(IMAGE, bytes)?;
    let len = usize::try_from(head.bytes).unwrap_or(usize::MAX);
    if len == 0 || head.bytes / PAGE_BYTES as u64 > MAX_PAGES || !len.is_multiple_of(PAGE_BYTES) {
        return Err(WakeError::Damaged("the image's size can't be"));
    }
    let numbers = head.pages.numbers(head.bytes / PAGE_BYTES as u64)?;
    let image = Image::build(len, head.globals, |file| {
        use std::os::unix::fs::FileExt as _;
        let mut page: Page = [0; PAGE_BYTES];
        for number in numbers {
            pieces.read_exact(&mut page)?;
            file.write_all_at(&page, (number * PAGE_BYTES) as u64)?;
        }
        Ok(())
    })?;
    let computed = Digest(image.digest());
    if computed == digest { Ok(image) } else { Err(WakeError::Digest { expected: digest, computed }) }
}

/// From a page to its difference from another, and back.
fn apply(page: &mut Page, other: &[u8]) {
    page.iter_mut().zip(other).for_each(|(byte, other)| *byte ^= other);
}

fn write(kind: &[u8; 8], head: &impl Serialize, pieces: &[Piece<'_>], level: i32) -> io::Result<AtRest> {
    let head = postcard::to_allocvec(head).map_err(io::Error::other)?;
    let mut bytes = kind.to_vec();
    let mut out = zstd::Encoder::new(&mut bytes, level)?;
    let head_bytes = u32::try_from(head.len()).ok().filter(|bytes| *bytes <= MAX_HEAD_BYTES);
    out.write_all(&head_bytes.ok_or_else(|| io::Error::other("the head is too long"))?.to_le_bytes())?;
    out.write_all(&head)?;
    let mut page: Page = [0; PAGE_BYTES];
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => out.write_all(bytes)?,
            Piece::Difference(now, old) => {
                page.copy_from_slice(now);
                apply(&mut page, old);
                out.write_all(&page)?;
            }
        }
    }
    out.finish()?;
    Ok(AtRest { digest: Digest::of(&bytes), bytes })
}

fn open<'a, T: for<'de> Deserialize<'de>>(
    kind: &[u8; 8],
    bytes: &'a [u8],
    digest: Digest,
) -> Result<(T, impl Read + use<'a, T>), WakeError> {
    let computed = Digest::of(bytes);
    if computed != digest {
        return Err(WakeError::Digest { expected: digest, computed });
    }
    read(kind, bytes)
}

fn read<'a, T: for<'de> Deserialize<'de>>(
    kind: &[u8; 8],
    bytes: &'a [u8],
) -> Result<(T, impl Read + use<'a, T>), WakeError> {
    let rest = bytes.strip_prefix(kind).ok_or(WakeError::Kind)?;
    let mut pieces = zstd::Decoder::with_buffer(rest)?;
    let mut length = [0; 4];
    pieces.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MAX_HEAD_BYTES {
        return Err(WakeError::Damaged("the head is too long"));
    }
    let mut head = Vec::new();
    (&mut pieces).take(length.into()).read_to_end(&mut head)?;
    Ok((postcard::from_bytes(&head).map_err(|_| WakeError::Damaged("the head can't be read"))?, pieces))
}
