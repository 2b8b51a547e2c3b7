//! The nodes of one user, and which of them go when there is no room.

mod kept;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::{Kept, Known, Place};
use crate::backend::wasm::Checkpoint;
use crate::document::CellKey;
use crate::domain::CellReport;

/// What a node costs beside what it holds, more or less.
const NODE_BYTES: u64 = 512;

struct Node {
    /// Tells it from others that had its key before.
    id: u64,
    /// The cell before; none before the first. It is always there.
    parent: Option<CellKey>,
    children: Vec<CellKey>,
    report: Arc<CellReport>,
    state: Option<State>,
    /// Where it is kept beyond the memory.
    kept: Option<Kept>,
    /// The render that used it last.
    used: u64,
}

struct State {
    checkpoint: Checkpoint,
    /// What it takes beside the state of the nearest node above that has one.
    bytes: u64,
}

impl Node {
    fn bytes(&self) -> u64 {
        let report = self.report.output_bytes.saturating_add(NODE_BYTES);
        report.saturating_add(self.state.as_ref().map_or(0, |state| state.bytes))
    }

    /// Which of two is missed less.
    fn cmp_missed(&self, other: &Self) -> Ordering {
        let rank = |node: &Self| (node.used, node.state.is_none());
        rank(self).cmp(&rank(other)).then(self.report.wall_ms.total_cmp(&other.report.wall_ms))
    }
}

/// The nodes of a user.
#[derive(Default)]
pub(super) struct Shelf {
    nodes: HashMap<CellKey, Node>,
    bytes: u64,
    renders: u64,
    ids: u64,
}

impl Shelf {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many cells are known, and how many checkpoints there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.nodes.len(), self.nodes.values().filter(|node| node.state.is_some()).count())
    }

    pub fn known(&mut self, keys: &[CellKey]) -> Known {
        self.renders += 1;
        let mut known = Known::default();
        for key in keys {
            let Some(node) = self.nodes.get_mut(key) else { break };
            node.used = self.renders;
            known.reports.push(Arc::clone(&node.report));
            if let Some(state) = &node.state {
                let place = Place { key: *key, id: node.id };
                known.resume = Some((known.reports.len(), state.checkpoint.clone(), place));
            }
        }
        known
    }

    /// Keeps a node below `parent`, unless that has gone or become another. What had to go is put into `gone`.
    pub fn keep(
        &mut self,
        parent: Option<Place>,
        key: CellKey,
        (report, checkpoint): (&Arc<CellReport>, &Checkpoint),
        gone: &mut Vec<Checkpoint>,
    ) -> Option<Place> {
        if let Some(parent) = parent
            && self.nodes.get(&parent.key).is_none_or(|node| node.id != parent.id)
        {
            return None;
        }
        // What came after an earlier run of the cell came after another state than this one.
        self.remove(key, gone);
        let above = parent.map(|parent| parent.key);
        let bytes = bytes_beyond(checkpoint, self.nearest(above));
        self.ids += 1;
        let (id, used) = (self.ids, self.renders);
        let (report, state) = (Arc::clone(report), Some(State { checkpoint: checkpoint.clone(), bytes }));
        let node = Node { id, parent: above, children: Vec::new(), report, state, kept: None, used };
        self.bytes = self.bytes.saturating_add(node.bytes());
        self.nodes.insert(key, node);
        if let Some(parent) = above.and_then(|above| self.nodes.get_mut(&above)) {
            parent.children.push(key);
        }
        Some(Place { key, id })
    }

    /// Takes away the nodes that are missed least until so many are left.
    pub fn keep_few(&mut self, most: usize, gone: &mut Vec<Checkpoint>) {
        while self.nodes.len() > most {
            let Some(key) = self.least() else { return };
            self.remove(key, gone);
        }
    }

    /// Takes away what is missed least: of the render that is longest ago, the checkpoint behind the cell that is run
    /// again soonest, or a node without one.
    pub fn make_room(&mut self, gone: &mut Vec<Checkpoint>) {
        let Some(key) = self.least() else { return };
        let Some(state) = self.nodes.get_mut(&key).and_then(|node| node.state.take()) else {
            return self.remove(key, gone);
        };
        self.bytes = self.bytes.saturating_sub(state.bytes);
        gone.push(state.checkpoint);
        self.count_below(key);
    }

    /// The node that is missed least.
    fn least(&self) -> Option<CellKey> {
        self.nodes.iter().min_by(|(_, one), (_, other)| one.cmp_missed(other)).map(|(key, _)| *key)
    }

    /// Removes a node and all that came after it.
    fn remove(&mut self, key: CellKey, gone: &mut Vec<Checkpoint>) {
        let above = self.nodes.get(&key).and_then(|node| node.parent);
        if let Some(parent) = above.and_then(|above| self.nodes.get_mut(&above)) {
            parent.children.retain(|child| *child != key);
        }
        let mut open = vec![key];
        while let Some(node) = open.pop().and_then(|key| self.nodes.remove(&key)) {
            self.bytes = self.bytes.saturating_sub(node.bytes());
            open.extend(node.children);
            gone.extend(node.state.map(|state| state.checkpoint));
        }
    }

    /// The state of this node, or else of the nearest one above that has one.
    fn nearest(&self, mut at: Option<CellKey>) -> Option<&Checkpoint> {
        while let Some(node) = at.and_then(|key| self.nodes.get(&key)) {
            if let Some(state) = &node.state {
                return Some(&state.checkpoint);
            }
            at = node.parent;
        }
        None
    }

    /// Counts anew what the next states after a node take: they share with the nearest one above now.
    fn count_below(&mut self, key: CellKey) {
        let base = self.nearest(Some(key)).cloned();
        let mut open = self.nodes.get(&key).map(|node| node.children.clone()).unwrap_or_default();
        while let Some(node) = open.pop().and_then(|key| self.nodes.get_mut(&key)) {
            let Some(state) = &mut node.state else {
                open.extend(&node.children);
                continue;
            };
            let bytes = bytes_beyond(&state.checkpoint, base.as_ref());
            self.bytes = self.bytes.saturating_sub(state.bytes).saturating_add(bytes);
            state.bytes = bytes;
        }
    }
}

/// What a state takes beside another, an image of its own included.
fn bytes_beyond(state: &Checkpoint, other: Option<&Checkpoint>) -> u64 {
    let image = state.derived_image().filter(|own| other.and_then(Checkpoint::derived_image) != Some(*own));
    state.bytes_beyond(other).saturating_add(image.map_or(0, |(_, bytes)| bytes))
}
