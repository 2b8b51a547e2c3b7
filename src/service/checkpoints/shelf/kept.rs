//! Nodes that are kept beyond the memory: which they are, and those that come back from there.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Kept, Node, Shelf, State, bytes_beyond};
use crate::backend::wasm::Checkpoint;
use crate::document::CellKey;
use crate::domain::{CellReport, SegmentId};
use crate::service::checkpoints::{Link, Place};

impl Shelf {
    /// The nodes under these keys, up to the first that is not there.
    pub fn chain(&self, keys: &[CellKey]) -> Vec<Link> {
        let nodes = keys.iter().map_while(|key| Some((*key, self.nodes.get(key)?)));
        let link = |(key, node): (CellKey, &Node)| Link {
            place: Place { key, id: node.id },
            report: Arc::clone(&node.report),
            state: node.state.as_ref().map(|state| state.checkpoint.clone()),
            kept: node.kept,
        };
        nodes.map(link).collect()
    }

    /// Whether one of them is not kept, and the last that is.
    pub fn kept(&self, keys: &[CellKey]) -> (bool, Option<Kept>) {
        let mut last = None;
        for node in keys.iter().map_while(|key| self.nodes.get(key)) {
            if node.kept.is_none() {
                return (true, last);
            }
            last = node.kept;
        }
        (false, last)
    }

    /// Adds nodes without states below `above`, where that is still what it was. Others make room for them until there are
    /// `most`; those that have no room even so are left out.
    pub fn adopt(
        &mut self,
        above: Option<(CellKey, Kept)>,
        found: Vec<(CellKey, Kept, CellReport)>,
        most: usize,
        gone: &mut Vec<Checkpoint>,
    ) {
        let is_there = |(key, kept): &(CellKey, Kept)| self.nodes.get(key).is_some_and(|node| node.kept == Some(*kept));
        if !above.as_ref().is_none_or(is_there) {
            return;
        }
        let mut above = above.map(|(key, _)| key);
        self.make_places(found.len(), above, most, gone);
        for (key, kept, report) in found {
            match self.nodes.get(&key) {
                Some(node) if node.kept == Some(kept) => {}
                // It was run meanwhile.
                Some(_) => return,
                None if self.nodes.len() >= most => return,
                None => {
                    self.ids += 1;
                    let (id, used, report) = (self.ids, self.renders, Arc::new(report));
                    let node =
                        Node { id, parent: above, children: Vec::new(), report, state: None, kept: Some(kept), used };
                    self.bytes = self.bytes.saturating_add(node.bytes());
                    self.nodes.insert(key, node);
                    if let Some(parent) = above.and_then(|above| self.nodes.get_mut(&above)) {
                        parent.children.push(key);
                    }
                }
            }
            above = Some(key);
        }
    }

    /// Takes away the nodes that are missed least, but none that leads to `above`, until `count` more are `most`.
    fn make_places(&mut self, count: usize, above: Option<CellKey>, most: usize, gone: &mut Vec<Checkpoint>) {
        let left = most.saturating_sub(count);
        if self.nodes.len() <= left {
            return;
        }
        let mut needed = HashSet::new();
        let mut at = above;
        while let Some(key) = at {
            needed.insert(key);
            at = self.nodes.get(&key).and_then(|node| node.parent);
        }
        let mut others: Vec<_> = self.nodes.iter().filter(|(key, _)| !needed.contains(key)).collect();
        others.sort_unstable_by(|(_, one), (_, other)| one.cmp_missed(other));
        let others: Vec<CellKey> = others.into_iter().map(|(key, _)| *key).collect();
        for key in others {
            if self.nodes.len() <= left {
                return;
            }
            self.remove(key, gone);
        }
    }

    /// Gives nodes the states that they had.
    pub fn adopt_states(&mut self, found: Vec<(CellKey, Kept, Checkpoint)>) {
        for (key, kept, checkpoint) in found {
            let Some(node) = self.nodes.get(&key).filter(|node| node.kept == Some(kept) && node.state.is_none()) else {
                continue;
            };
            let bytes = bytes_beyond(&checkpoint, self.nearest(node.parent));
            if let Some(node) = self.nodes.get_mut(&key) {
                node.state = Some(State { checkpoint, bytes });
                self.bytes = self.bytes.saturating_add(bytes);
            }
            self.count_below(key);
        }
    }

    /// Notes where nodes are kept.
    pub fn mark(&mut self, kept: &[(Place, Kept)]) {
        for (place, kept) in kept {
            if let Some(node) = self.nodes.get_mut(&place.key).filter(|node| node.id == place.id) {
                node.kept = Some(*kept);
            }
        }
    }

    /// Notes that segments are gone.
    pub fn unmark(&mut self, gone: &[SegmentId]) {
        for node in self.nodes.values_mut() {
            if node.kept.is_some_and(|kept| gone.contains(&kept.segment)) {
                node.kept = None;
            }
        }
    }
}
