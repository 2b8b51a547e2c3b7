//! Read-only trees below the guest's own files: host directories, several merged into one, or a single file.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cap_std::fs::Dir;
use rustix::fs::FileType as HostFileType;

use super::inode::FileType;
use super::layer::{Layer, list, open_below};
use super::lower::{LowerFile, modified_ns, read_host};

/// Directories of a host tree may lie this deep: nothing real does, and a loop of bind mounts would.
const MAX_DEPTH: usize = 64;

/// A tree may have this many files and directories.
const MAX_NODES: usize = 4_000_000;

/// Host files that one tree holds open at once. Guests hold none: they have indices into the tree.
const OPEN_FILES: usize = 32;

/// Directories of a host tree that are merged of more than so many are opened by their paths.
const HELD_OPEN: usize = 4;

/// An immutable listing of read-only files, made once and shared by every file system that mounts it.
///
/// The names are read when it is made; lengths and times are asked for, and files opened, when somebody wants them. The
/// directories must stay in place and unchanged as long as the tree is used: a file that is gone reads as an
/// input/output error.
pub struct LowerTree {
    nodes: Vec<LowerNode>,
    layers: Vec<Layer>,
    open: Mutex<VecDeque<(u32, Arc<std::fs::File>)>>,
    shape: OnceLock<blake3::Hash>,
}

struct LowerNode {
    parent: u32,
    name: Arc<str>,
    /// Of a host file: the layer that it is in, at the path that the nodes' names make.
    layer: usize,
    kind: LowerKind,
    seen: OnceLock<Seen>,
}

enum LowerKind {
    /// Children in the order of their names.
    Directory(Vec<u32>),
    HostFile,
    /// A file of its own.
    File(Arc<dyn LowerFile>),
    Symlink(Arc<str>),
}

/// What a host file was when it was first looked at.
#[derive(Clone, Copy)]
struct Seen {
    len: u64,
    modified_ns: u64,
}

/// The names of a directory, in their order.
type Names = BTreeMap<Arc<str>, Found>;

/// What is known about one name while layers are merged.
struct Found {
    kind: HostFileType,
    /// The first layer that has it.
    layer: usize,
    /// Of a directory: the further layers that have it.
    others: Vec<usize>,
}

/// A directory that is still to be listed.
struct Pending {
    node: u32,
    layers: Vec<usize>,
    depth: usize,
    /// The directories that it lies in, one a layer; empty where it is to be opened by its path.
    above: Vec<Arc<OwnedFd>>,
}

impl LowerTree {
    /// Merges directories: a name is what the first directory that has it says, and directories of one name are merged
    /// in turn. Names that are not UTF-8, and what is neither file, directory nor symbolic link, are left out.
    pub fn from_dirs(layers: Vec<Dir>) -> io::Result<Self> {
        Self::merge(layers.into_iter().map(Layer::Open).collect())
    }

    /// As [`LowerTree::from_dirs`] for directories that are opened only while something is read from them, so that any
    /// number of layers costs no open file. They are the host's own choice: their paths are followed as they stand.
    pub fn from_paths(layers: Vec<PathBuf>) -> io::Result<Self> {
        Self::merge(layers.into_iter().map(Layer::At).collect())
    }

    fn merge(layers: Vec<Layer>) -> io::Result<Self> {
        let all = (0..layers.len()).collect();
        let root = LowerNode::new(0, "".into(), 0, LowerKind::Directory(Vec::new()));
        let mut tree = Self { nodes: vec![root], open: Mutex::default(), layers, shape: OnceLock::new() };
        let mut pending = vec![Pending { node: 0, layers: all, depth: 0, above: Vec::new() }];
        while let Some(Pending { node, layers, depth, above }) = pending.pop() {
            if depth > MAX_DEPTH {
                return Err(io::Error::other("directories are nested too deeply"));
            }
            let (names, dirs) = tree.list(node, &layers, &above)?;
            let mut children = Vec::with_capacity(names.len());
            for (name, found) in names {
                let child = u32::try_from(tree.nodes.len()).ok().filter(|_| tree.nodes.len() < MAX_NODES);
                let child = child.ok_or_else(|| io::Error::other("too many files"))?;
                let Found { kind, layer, others } = found;
                let kind = if kind.is_dir() {
                    let of: Vec<_> = std::iter::once(layer).chain(others).collect();
                    let at = |layer: &usize| layers.iter().position(|known| known == layer);
                    let above = of.iter().filter_map(|layer| dirs.get(at(layer)?).map(Arc::clone)).collect();
                    pending.push(Pending { node: child, layers: of, depth: depth + 1, above });
                    LowerKind::Directory(Vec::new())
                } else if kind.is_file() {
                    LowerKind::HostFile
                } else {
                    let path = join(&tree.path_of(node), &name);
                    let target = tree.layers[layer].dir()?.read_link_contents(path)?;
                    let Some(target) = target.to_str().filter(|target| !target.is_empty()) else { continue };
                    LowerKind::Symlink(target.into())
                };
                tree.nodes.push(LowerNode::new(node, name, layer, kind));
                children.push(child);
            }
            tree.nodes[node as usize].kind = LowerKind::Directory(children);
        }
        Ok(tree)
    }

    /// A tree that is one file.
    pub fn from_file(file: Arc<dyn LowerFile>) -> Self {
        let root = LowerNode::new(0, "".into(), 0, LowerKind::File(file));
        Self { nodes: vec![root], layers: Vec::new(), open: Mutex::default(), shape: OnceLock::new() }
    }

    /// How many files and directories it has.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Stands for its names and what they are, and for the lengths of files of its own.
    pub fn shape(&self) -> &blake3::Hash {
        self.shape.get_or_init(|| {
            let mut hasher = blake3::Hasher::new();
            for LowerNode { parent, name, kind, .. } in &self.nodes {
                hasher.update(&parent.to_le_bytes()).update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
                match kind {
                    LowerKind::Directory(_) => hasher.update(b"d"),
                    LowerKind::HostFile => hasher.update(b"h"),
                    LowerKind::File(file) => hasher.update(b"f").update(&file.len().to_le_bytes()),
                    LowerKind::Symlink(target) => {
                        hasher.update(b"l").update(&(target.len() as u64).to_le_bytes()).update(target.as_bytes())
                    }
                };
            }
            hasher.finalize()
        })
    }

    /// The sum of all file lengths in bytes.
    pub fn total_bytes(&self) -> u64 {
        (0..self.nodes.len()).fold(0_u64, |sum, node| sum.saturating_add(self.len_of(node as u32)))
    }

    /// Bytes of memory that are kept for its files.
    pub fn memory_bytes(&self) -> u64 {
        let of = |node: &LowerNode| match &node.kind {
            LowerKind::File(file) => file.memory_bytes(),
            _ => 0,
        };
        // A file of its own is the whole tree: the others lie on disk.
        self.nodes.first().map_or(0, of)
    }

    /// The files: path below the root, and length in bytes.
    pub fn files(&self) -> impl Iterator<Item = (String, u64)> {
        let nodes = 0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let files = nodes.filter(|node| self.type_of(*node) == FileType::RegularFile);
        files.map(|node| (self.path_of(node), self.len_of(node)))
    }

    /// The names in a directory of these layers, and the directory itself in each of them, unless there are many.
    fn list(&self, node: u32, layers: &[usize], above: &[Arc<OwnedFd>]) -> io::Result<(Names, Vec<Arc<OwnedFd>>)> {
        let mut names = Names::new();
        let mut dirs = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let dir = match above.get(index) {
                Some(above) => open_below(above, &self.nodes[node as usize].name)?,
                None => {
                    let path = self.path_of(node);
                    let layer = self.layers[*layer].dir()?;
                    // What cap-std opens serves for opening others alone: `.` of it can be read.
                    if path.is_empty() { open_below(&*layer, ".")? } else { open_below(&layer.open_dir(path)?, ".")? }
                }
            };
            list(&dir, |name, kind| match names.get_mut(name) {
                None => {
                    names.insert(name.into(), Found { kind, layer: *layer, others: Vec::new() });
                }
                Some(first) if first.kind.is_dir() && kind.is_dir() => first.others.push(*layer),
                Some(_) => {}
            })?;
            if layers.len() <= HELD_OPEN {
                dirs.push(Arc::new(dir));
            }
        }
        Ok((names, dirs))
    }

    /// What a host file is, from the first time on that somebody asks.
    fn seen(&self, node: u32) -> io::Result<Seen> {
        let Some(known) = self.node(node) else { return Err(io::ErrorKind::NotFound.into()) };
        if let Some(seen) = known.seen.get() {
            return Ok(*seen);
        }
        let layer = self.layers.get(known.layer).ok_or_else(|| io::Error::other("no such layer"))?;
        let dir = layer.dir()?;
        let metadata = if node == 0 { dir.dir_metadata()? } else { dir.symlink_metadata(self.path_of(node))? };
        let seen = Seen { len: metadata.len(), modified_ns: modified_ns(&metadata) };
        Ok(*known.seen.get_or_init(|| seen))
    }

    fn node(&self, node: u32) -> Option<&LowerNode> {
        self.nodes.get(node as usize)
    }

    /// The path of a node below the root; the root's is empty.
    pub(super) fn path_of(&self, node: u32) -> String {
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
            Some(LowerKind::HostFile | LowerKind::File(_)) => FileType::RegularFile,
            None => FileType::Unknown,
        }
    }

    pub(super) fn len_of(&self, node: u32) -> u64 {
        match self.node(node).map(|node| &node.kind) {
            Some(LowerKind::HostFile) => self.seen(node).map_or(0, |seen| seen.len),
            Some(LowerKind::File(file)) => file.len(),
            Some(LowerKind::Symlink(target)) => target.len() as u64,
            Some(LowerKind::Directory(_)) | None => 0,
        }
    }

    pub(super) fn modified_ns_of(&self, node: u32) -> u64 {
        match self.node(node).map(|node| &node.kind) {
            Some(LowerKind::File(file)) => file.modified_ns(),
            _ => self.seen(node).map_or(0, |seen| seen.modified_ns),
        }
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
            Some(LowerKind::HostFile) => {
                let len = self.seen(node)?.len;
                read_host(&*self.host_file(node)?, len, offset, buf)
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// The host file of a node: one of those that are open, or opened now in place of the one unused for longest.
    fn host_file(&self, node: u32) -> io::Result<Arc<std::fs::File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = open.iter().position(|(open_node, _)| *open_node == node) {
            let entry = open.remove(at).ok_or_else(|| io::Error::other("no such entry"))?;
            let file = Arc::clone(&entry.1);
            open.push_back(entry);
            return Ok(file);
        }
        drop(open);
        let layer = self.node(node).and_then(|node| self.layers.get(node.layer));
        let layer = layer.ok_or_else(|| io::Error::other("no such layer"))?;
        let file = Arc::new(layer.dir()?.open(self.path_of(node))?.into_std());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while open.len() >= OPEN_FILES {
            open.pop_front();
        }
        open.push_back((node, Arc::clone(&file)));
        Ok(file)
    }
}

impl LowerNode {
    fn new(parent: u32, name: Arc<str>, layer: usize, kind: LowerKind) -> Self {
        Self { parent, name, layer, kind, seen: OnceLock::new() }
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}
