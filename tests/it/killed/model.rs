//! What clients know of what they were told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Numbers that are the same for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit.max(1)
    }

    pub fn of<T: Clone>(&mut self, things: &[T]) -> Option<T> {
        things.get(self.below(things.len())).cloned()
    }
}

/// A server that can be asked.
pub struct Running {
    pub address: String,
}

impl Running {
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned() }
    }
}

/// A kernel, whose cells each append their number to a list.
#[derive(Default)]
pub struct Kernel {
    parent: Option<String>,
    /// What it must know whatever happens; nothing of one that is not saved yet.
    pub floor: Option<Vec<u64>>,
    /// Counts the times from which on it may know less or other things: kills, and ways back.
    epoch: u64,
    /// What its cells have printed in this epoch.
    acked: Vec<Vec<u64>>,
}

/// A document.
#[derive(Default)]
pub struct Document {
    /// The versions that were acknowledged, and their texts.
    pub versions: Vec<(u64, String)>,
    /// Also those of which nothing was heard.
    pub sent: Vec<String>,
    pub files: Vec<(String, String)>,
}

#[derive(Default)]
pub struct Known {
    pub servers: Vec<Arc<Running>>,
    pub kernels: HashMap<String, Kernel>,
    pub gone: Vec<String>,
    pub documents: HashMap<String, Document>,
    /// Jobs, and what their results must say.
    pub jobs: Vec<(String, String)>,
    /// Of each cell's number the kernel it was sent to, and what came before it, once that is known.
    cells: HashMap<u64, (String, Option<(usize, u64)>)>,
    wrongs: Vec<String>,
    figures: HashMap<&'static str, u64>,
}

#[derive(Default)]
pub struct Model {
    known: Mutex<Known>,
    numbers: AtomicU64,
}

/// What a request to a kernel was sent in.
#[derive(Clone)]
pub struct Sent {
    pub server: Arc<Running>,
    epoch: u64,
}

impl Model {
    pub fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.known.lock().unwrap())
    }

    pub fn number(&self) -> u64 {
        1 + self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub fn add(&self, server: &Arc<Running>) {
        self.with(|known| known.servers.push(Arc::clone(server)));
    }

    /// The server is about to be ended: what it says from now on may not be true for long.
    pub fn remove(&self, server: &Arc<Running>) {
        self.with(|known| {
            known.servers.retain(|other| !Arc::ptr_eq(other, server));
            known.kernels.values_mut().for_each(Kernel::turn_the_page);
        });
    }

    pub fn wrong(&self, what: String) {
        self.with(|known| known.wrongs.push(what));
    }

    pub fn count(&self, what: &'static str) {
        self.with(|known| *known.figures.entry(what).or_default() += 1);
    }

    pub fn figures(&self) -> String {
        self.with(|known| {
            let mut figures: Vec<_> = known.figures.iter().map(|(what, count)| format!("{what} {count}")).collect();
            figures.sort();
            format!("{} ({} kernels, {} documents)", figures.join(", "), known.kernels.len(), known.documents.len())
        })
    }

    #[track_caller]
    pub fn assert_no_wrongs(&self) {
        let wrongs = self.with(|known| std::mem::take(&mut known.wrongs));
        assert!(wrongs.is_empty(), "{:#?}", wrongs);
    }

    /// A server for a request to a kernel; nothing where there is no such server or kernel any more.
    pub fn sent(&self, kernel: &str, random: &mut Random) -> Option<Sent> {
        self.with(|known| {
            let server = random.of(&known.servers)?;
            Some(Sent { server, epoch: known.kernels.get(kernel)?.epoch })
        })
    }

    /// A cell is on its way.
    pub fn cell(&self, kernel: &str) -> u64 {
        let number = self.number();
        self.with(|known| known.cells.insert(number, (kernel.to_owned(), None)));
        number
    }

    /// A cell has ended, and said this. Whatever it says must be one history, with that cell as its last.
    pub fn ran(&self, kernel: &str, sent: &Sent, number: u64, said: &str) {
        let said = match read(said) {
            Ok(list) if list.last() == Some(&number) => list,
            _ => return self.wrong(format!("{kernel}: cell {number} says {said:?}")),
        };
        self.with(|known| {
            let mut wrongs = known.check(kernel, &said);
            if let Some(state) = known.kernels.get_mut(kernel).filter(|state| state.epoch == sent.epoch) {
                if !said.starts_with(state.floor.as_deref().unwrap_or_default()) {
                    wrongs.push(format!("{kernel} has forgotten: it knew {:?}, and says {said:?}", state.floor));
                }
                for other in state.acked.iter().rev().take(8) {
                    if !said.starts_with(other) && !other.starts_with(&said) {
                        wrongs.push(format!("{kernel} has two histories: {other:?} and {said:?}"));
                    }
                }
                state.acked.push(said);
            }
            known.wrongs.extend(wrongs);
        });
    }

    /// It was shown as saved, after so many cells.
    pub fn saved(&self, kernel: &str, sent: &Sent, count: u64) {
        self.with(|known| {
            let Some(state) = known.kernels.get_mut(kernel).filter(|state| state.epoch == sent.epoch) else { return };
            let floor = state.acked.iter().find(|list| list.len() as u64 == count).cloned();
            if floor.as_ref().map(Vec::len) > state.floor.as_ref().map(Vec::len) {
                state.floor = floor;
                *known.figures.entry("seen saved").or_default() += 1;
            }
        });
    }

    /// It may be at any of its checkpoints from now on.
    pub fn goes_back(&self, kernel: &str) {
        self.with(|known| {
            let Some(state) = known.kernels.get_mut(kernel) else { return };
            state.turn_the_page();
            state.floor.as_mut().map(Vec::clear).unwrap_or_default();
        });
    }

    /// A kernel was made; a fork is not saved yet.
    pub fn made(&self, id: &str, parent: Option<&str>) {
        let floor = parent.is_none().then(Vec::new);
        let kernel = Kernel { parent: parent.map(str::to_owned), floor, ..Kernel::default() };
        self.with(|known| known.kernels.insert(id.to_owned(), kernel));
    }

    pub fn is_there(&self, kernel: &str) -> bool {
        self.with(|known| known.kernels.contains_key(kernel))
    }
}

impl Kernel {
    fn turn_the_page(&mut self) {
        self.epoch += 1;
        self.acked.clear();
    }
}

impl Known {
    /// Each cell has run after one and the same other, in the kernel that it was sent to, or before that was forked.
    fn check(&mut self, kernel: &str, said: &[u64]) -> Vec<String> {
        let mut ancestors = vec![kernel.to_owned()];
        while let Some(parent) = ancestors.last().and_then(|id| self.kernels.get(id)?.parent.clone()) {
            ancestors.push(parent);
        }
        // Of deleted ones nothing is known any more.
        let is_whole = ancestors.last().is_some_and(|eldest| self.kernels.contains_key(eldest));
        let (mut wrongs, mut before) = (Vec::new(), 0);
        for (at, number) in said.iter().enumerate() {
            match self.cells.get_mut(number) {
                None => wrongs.push(format!("{kernel} has run a cell {number} that nobody sent")),
                Some((to, _)) if is_whole && !ancestors.contains(to) => {
                    wrongs.push(format!("{kernel} has run cell {number} of {to}"));
                }
                Some((_, place @ None)) => *place = Some((at, before)),
                Some((_, Some(place))) if *place != (at, before) => {
                    wrongs.push(format!("cell {number} ran twice in {kernel}: after {place:?}, and in {said:?}"));
                }
                Some(_) => {}
            }
            before = *number;
        }
        wrongs
    }
}

/// What a cell has printed: the list, and the same from a file.
fn read(said: &str) -> Result<Vec<u64>, String> {
    let (list, file) = said.trim_end().split_once('|').ok_or("there is no file")?;
    let list: Vec<u64> = serde_json::from_str(list).map_err(|error| error.to_string())?;
    let file: Result<Vec<u64>, _> = file.split_whitespace().map(str::parse).collect();
    if file.as_ref() == Ok(&list) { Ok(list) } else { Err("the file says something else".to_owned()) }
}
