//! Read-only trees below the guest's own files: host directories, several merged into one, or a single file.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use cap_std::fs::{Dir, FileType as HostFileType};

use super::inode::FileType;
use super::lower::{LowerFile, modified_ns, read_host};

/// Directories of a host tree may lie this deep: nothing real does, and a loop of bind mounts would.
const MAX_DEPTH: usize = 64;

/// A tree may have this many files and directories.
const MAX_NODES: usize = 4_000_000;

/// Host files that one tree holds open at once. Guests hold none: they have indices into the tree.
const OPEN_FILES: usize = 32;

/// An immutable listing of read-only files, made once and shared by every file system that mounts it.
///
/// The listing is read when it is made; the files are opened when they are read. The directories must stay in place
/// as long as the tree is used: a file that is gone reads as an input/output error.
pub struct LowerTree {
    nodes: Vec<LowerNode>,
    layers: Vec<Dir>,
    open: Mutex<VecDeque<(u32, Arc<std::fs::File>)>>,
}

struct LowerNode {
    parent: u32,
    name: Arc<str>,
    modified_ns: u64,
    kind: LowerKind,
}

enum LowerKind {
    /// Children in the order of their names.
    Directory(Vec<u32>),
    /// A file of that layer, at the path that the nodes' names make.
    HostFile {
        layer: usize,
        len: u64,
    },
    /// A file of its own.
    File(Arc<dyn LowerFile>),
    Symlink(Arc<str>),
}

/// What is known about one name while layers are merged.
struct Found {
    kind: HostFileType,
    layers: Vec<usize>,
    len: u64,
    modified_ns: u64,
}

impl LowerTree {
    /// Merges directories: a name is what the first directory that has it says, and directories of one name are merged
    /// in turn. Names that are not UTF-8, and what is neither file, directory nor symbolic link, are left out.
    pub fn from_dirs(layers: Vec<Dir>) -> io::Result<Self> {
        let root = LowerNode { parent: 0, name: "".into(), modified_ns: 0, kind: LowerKind::Directory(Vec::new()) };
        let mut tree = Self { nodes: vec![root], open: Mutex::default(), layers };
        if let Some(first) = tree.layers.first() {
            tree.nodes[0].modified_ns = modified_ns(&first.dir_metadata()?);
        }
        let mut pending = vec![(0_u32, (0..tree.layers.len()).collect::<Vec<_>>(), 0_usize)];
        while let Some((node, layers, depth)) = pending.pop() {
            if depth > MAX_DEPTH {
                return Err(io::Error::other("directories are nested too deeply"));
            }
            let path = tree.path_of(node);
            let mut children = Vec::new();
            for (name, found) in tree.list(&path, &layers)? {
                let child = u32::try_from(tree.nodes.len()).ok().filter(|_| tree.nodes.len() < MAX_NODES);
                let child = child.ok_or_else(|| io::Error::other("too many files"))?;
                let layer = found.layers[0];
                let kind = if found.kind.is_dir() {
                    pending.push((child, found.layers, depth + 1));
                    LowerKind::Directory(Vec::new())
                } else if found.kind.is_file() {
                    LowerKind::HostFile { layer, len: found.len }
                } else {
                    let target = tree.layers[layer].read_link_contents(join(&path, &name))?;
                    let Some(target) = target.to_str().filter(|target| !target.is_empty()) else { continue };
                    LowerKind::Symlink(target.into())
                };
                tree.nodes.push(LowerNode { parent: node, name, modified_ns: found.modified_ns, kind });
                children.push(child);
            }
            tree.nodes[node as usize].kind = LowerKind::Directory(children);
        }
        Ok(tree)
    }

    /// A tree that is one file.
    pub fn from_file(file: Arc<dyn LowerFile>) -> Self {
        let modified_ns = file.modified_ns();
        let root = LowerNode { parent: 0, name: "".into(), modified_ns, kind: LowerKind::File(file) };
        Self { nodes: vec![root], layers: Vec::new(), open: Mutex::default() }
    }

    /// How many files and directories it has.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The sum of all file lengths in bytes.
    pub fn total_bytes(&self) -> u64 {
        (0..self.nodes.len()).fold(0_u64, |sum, node| sum.saturating_add(self.len_of(node as u32)))
    }

    fn list(&self, path: &str, layers: &[usize]) -> io::Result<BTreeMap<Arc<str>, Found>> {
        let mut names: BTreeMap<Arc<str>, Found> = BTreeMap::new();
        for layer in layers {
            let root = &self.layers[*layer];
            let entries = if path.is_empty() { root.entries()? } else { root.read_dir(path)? };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                let metadata = entry.metadata()?;
                let kind = metadata.file_type();
                if !(kind.is_dir() || kind.is_file() || kind.is_symlink()) {
                    continue;
                }
                match names.get_mut(name) {
                    None => {
                        let (len, modified_ns) = (metadata.len(), modified_ns(&metadata));
                        names.insert(name.into(), Found { kind, layers: vec![*layer], len, modified_ns });
                    }
                    Some(first) if first.kind.is_dir() && kind.is_dir() => first.layers.push(*layer),
                    Some(_) => {}
                }
            }
        }
        Ok(names)
    }

    fn node(&self, node: u32) -> Option<&LowerNode> {
        self.nodes.get(node as usize)
    }

    /// The path of a node below the root; the root's is empty.
    fn path_of(&self, node: u32) -> String {
        let mut names = Vec::new();
        let mut at = node;
        while at != 0 {
            let Some(step) = self.node(at) else { break };
            names.push(&*step.name);
            at = step.parent;
        }
        names.reverse();
        names.join("/")
    }

    pub(super) fn parent_of(&self, node: u32) -> u32 {
        self.node(node).map_or(0, |node| node.parent)
    }

    pub(super) fn type_of(&self, node: u32) -> FileType {
        match self.node(node).map(|node| &node.kind) {
            Some(LowerKind::Directory(_)) => FileType::Directory,
            Some(LowerKind::Symlink(_)) => FileType::SymbolicLink,
            Some(LowerKind::HostFile { .. } | LowerKind::File(_)) => FileType::RegularFile,
            None => FileType::Unknown,
        }
    }

    pub(super) fn len_of(&self, node: u32) -> u64 {
        match self.node(node).map(|node| &node.kind) {
            Some(LowerKind::HostFile { len, .. }) => *len,
            Some(LowerKind::File(file)) => file.len(),
            Some(LowerKind::Symlink(target)) => target.len() as u64,
            Some(LowerKind::Directory(_)) | None => 0,
        }
    }

    pub(super) fn modified_ns_of(&self, node: u32) -> u64 {
        self.node(node).map_or(0, |node| node.modified_ns)
    }

    /// The children of a directory in the order of their names; nothing for what is no directory.
    pub(super) fn children(&self, node: u32) -> &[u32] {
        match self.node(node).map(|node| &node.kind) {
            Some(LowerKind::Directory(children)) => children,
            _ => &[],
        }
    }

    /// How many of the children are directories.
    pub(super) fn subdirectories(&self, node: u32) -> u64 {
        self.children(node).iter().filter(|child| self.type_of(**child) == FileType::Directory).count() as u64
    }

    pub(super) fn name_of(&self, node: u32) -> &str {
        self.node(node).map_or("", |node| &node.name)
    }

    pub(super) fn find(&self, directory: u32, name: &str) -> Option<u32> {
        let children = self.children(directory);
        let at = children.binary_search_by(|child| self.name_of(*child).cmp(name)).ok()?;
        children.get(at).copied()
    }

    pub(super) fn link_target(&self, node: u32) -> Option<&Arc<str>> {
        match self.node(node).map(|node| &node.kind) {
            Some(LowerKind::Symlink(target)) => Some(target),
            _ => None,
        }
    }

    pub(super) fn read_at(&self, node: u32, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match self.node(node).map(|node| &node.kind) {
            Some(LowerKind::File(file)) => file.read_at(offset, buf),
            Some(LowerKind::HostFile { layer, len }) => {
                let file = self.host_file(node, *layer)?;
                read_host(&file, *len, offset, buf)
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// The host file of a node: one of those that are open, or opened now in place of the one unused for longest.
    fn host_file(&self, node: u32, layer: usize) -> io::Result<Arc<std::fs::File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = open.iter().position(|(open_node, _)| *open_node == node) {
            let entry = open.remove(at).ok_or_else(|| io::Error::other("no such entry"))?;
            let file = Arc::clone(&entry.1);
            open.push_back(entry);
            return Ok(file);
        }
        drop(open);
        let layer = self.layers.get(layer).ok_or_else(|| io::Error::other("no such layer"))?;
        let file = Arc::new(layer.open(self.path_of(node))?.into_std());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while open.len() >= OPEN_FILES {
            open.pop_front();
        }
        open.push_back((node, Arc::clone(&file)));
        Ok(file)
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}
