//! From a path to a file.

use std::sync::Arc;

use super::errno::Errno;
use super::inode::{FileType, Ino, Kind};
use super::{Fs, Node, ROOT, lower_ino, split_lower};

/// Symbolic links that one path may lead through.
const MAX_LINKS: u32 = 40;

/// Bytes of a path, and of a symbolic link's target.
pub(super) const MAX_PATH_BYTES: usize = 4096;

/// What becomes of a symbolic link at a path's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follow {
    /// It is followed.
    Yes,
    /// It is followed where a slash comes after it: what is asked for is what it leads to.
    WithSlash,
    /// It is what the operation is about: names are made, removed and renamed so.
    Never,
}

impl From<bool> for Follow {
    fn from(follow: bool) -> Self {
        if follow { Self::Yes } else { Self::WithSlash }
    }
}

/// How a path ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Last {
    Name(Arc<str>),
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// The path was `/`, or a symbolic link to it.
    Root,
}

/// Where a path leads.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The directory that the last name lies in, or, where the path ends in no name, the directory itself.
    pub(super) parent: Ino,
    pub(super) last: Last,
    /// The file, where there is one.
    pub(super) node: Option<Ino>,
    /// The path says that it is a directory: it ends in a slash.
    pub(super) wants_directory: bool,
}

impl Found {
    /// The file, or `ENOENT`; `ENOTDIR` where the path ends in a slash and the file is no directory.
    pub(super) fn existing(&self, fs: &Fs) -> Result<Ino, Errno> {
        let node = self.node.ok_or(Errno::Noent)?;
        if self.wants_directory && fs.file_type(node)? != FileType::Directory {
            return Err(Errno::Notdir);
        }
        Ok(node)
    }
}

impl Fs {
    /// Follows a guest's path from a directory. `EPERM` for an absolute path: preview 1 knows none.
    pub(super) fn resolve(&mut self, directory: Ino, path: &str, follow: Follow) -> Result<Found, Errno> {
        if path.starts_with('/') {
            return Err(Errno::Perm);
        }
        let mut walk = Walk::new(self, directory);
        let found = walk.run(path, follow);
        let steps = walk.steps;
        self.step(steps);
        found
    }

    /// Follows a path of the host's from the root, with or without a slash at its start.
    pub(super) fn resolve_host(&self, path: &str, follow: Follow) -> Result<Found, Errno> {
        Walk::new(self, ROOT).run(if path.is_empty() { "/" } else { path }, follow)
    }

    pub(super) fn lookup(&self, directory: Ino, name: &str) -> Result<Option<Ino>, Errno> {
        match self.node(directory)? {
            Node::Own(inode) => match &inode.kind {
                Kind::Directory(entries) => Ok(entries.get(name)),
                _ => Err(Errno::Notdir),
            },
            Node::Lower(tree, node) => {
                let mount = split_lower(directory).ok_or(Errno::Noent)?.0;
                Ok(tree.find(node, name).map(|found| lower_ino(mount, found)))
            }
        }
    }

    pub(super) fn link_target(&self, ino: Ino) -> Result<Option<Arc<str>>, Errno> {
        Ok(match self.node(ino)? {
            Node::Own(inode) => match &inode.kind {
                Kind::Symlink(target) => Some(Arc::clone(target)),
                _ => None,
            },
            Node::Lower(tree, node) => tree.link_target(node).cloned(),
        })
    }

    /// How many directories lie above a name in `directory`: `ENAMETOOLONG` where that is more than may be.
    pub(super) fn depth(&mut self, directory: Ino) -> Result<u64, Errno> {
        let limit = self.account.quota.path_depth;
        let mut depth = 1;
        let mut at = directory;
        while at != ROOT {
            at = self.parent_of(at)?;
            depth += 1;
            if depth > limit {
                self.step(depth);
                return Err(Errno::Nametoolong);
            }
        }
        self.step(depth);
        Ok(depth)
    }
}

/// Text that is still to be walked: the guest's path or the target of a symbolic link. There is always a name left.
struct Text<'p> {
    text: Source<'p>,
    at: usize,
    /// What follows this text is a slash.
    slash_after: bool,
}

enum Source<'p> {
    Path(&'p str),
    Link(Arc<str>),
}

impl Source<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Path(text) => text,
            Self::Link(text) => text,
        }
    }
}

/// The next part of a path.
struct Part {
    name: Arc<str>,
    last: bool,
    /// A slash follows it.
    slash: bool,
}

struct Walk<'f, 'p> {
    fs: &'f Fs,
    at: Ino,
    pending: Vec<Text<'p>>,
    links: u32,
    steps: u64,
}

impl<'f, 'p> Walk<'f, 'p> {
    fn new(fs: &'f Fs, at: Ino) -> Self {
        Self { fs, at, pending: Vec::new(), links: 0, steps: 0 }
    }

    fn run(&mut self, path: &'p str, follow: Follow) -> Result<Found, Errno> {
        if path.len() > MAX_PATH_BYTES {
            return Err(Errno::Nametoolong);
        }
        if path.contains('\0') {
            return Err(Errno::Inval);
        }
        self.push(Source::Path(path), false)?;
        // Absent parts mean that the path, or the link that ended it, was all slashes.
        let mut found = Found { parent: self.at, last: Last::Root, node: Some(self.at), wants_directory: true };
        while let Some(part) = self.next_part() {
            self.steps += 1;
            if self.fs.file_type(self.at)? != FileType::Directory {
                return Err(Errno::Notdir);
            }
            found = match &*part.name {
                "." => self.here(Last::Dot),
                ".." => {
                    self.at = self.fs.parent_of(self.at)?;
                    self.here(Last::DotDot)
                }
                _ => self.enter(part, follow)?,
            };
        }
        Ok(found)
    }

    fn here(&self, last: Last) -> Found {
        Found { parent: self.at, last, node: Some(self.at), wants_directory: true }
    }

    /// Looks a name up, and steps into what it is.
    fn enter(&mut self, part: Part, follow: Follow) -> Result<Found, Errno> {
        if part.name.len() as u64 > self.fs.account.quota.name_bytes {
            return Err(Errno::Nametoolong);
        }
        let directory = self.at;
        let Some(node) = self.fs.lookup(directory, &part.name)? else {
            if part.last {
                let last = Last::Name(part.name);
                return Ok(Found { parent: directory, last, node: None, wants_directory: part.slash });
            }
            return Err(Errno::Noent);
        };
        let followed = !part.last || follow == Follow::Yes || (follow == Follow::WithSlash && part.slash);
        if followed && let Some(target) = self.fs.link_target(node)? {
            self.links += 1;
            if self.links > MAX_LINKS {
                return Err(Errno::Loop);
            }
            self.push(Source::Link(target), part.slash)?;
            return Ok(self.here(Last::Root));
        }
        self.at = node;
        Ok(Found { parent: directory, last: Last::Name(part.name), node: Some(node), wants_directory: part.slash })
    }

    fn push(&mut self, text: Source<'p>, slash_after: bool) -> Result<(), Errno> {
        let start = text.text();
        if start.is_empty() {
            return Err(Errno::Noent);
        }
        if start.starts_with('/') {
            self.at = ROOT;
        }
        let at = start.len() - start.trim_start_matches('/').len();
        if at < start.len() {
            self.pending.push(Text { text, at, slash_after });
        }
        Ok(())
    }

    fn next_part(&mut self) -> Option<Part> {
        let top = self.pending.last_mut()?;
        let rest = &top.text.text()[top.at..];
        let end = rest.find('/').unwrap_or(rest.len());
        let name: Arc<str> = rest[..end].into();
        let after = rest[end..].trim_start_matches('/').len();
        let mut slash = end < rest.len();
        top.at = top.text.text().len() - after;
        if after == 0 {
            slash |= top.slash_after;
            self.pending.pop();
        }
        Some(Part { name, last: self.pending.is_empty(), slash })
    }
}
