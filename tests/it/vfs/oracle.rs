//! The same random operations here and on a real directory of the host: the same results and the same tree.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use pymd::backend::wasm::vfs::{
    Errno, FDFLAG_APPEND, FileType, Fs, OFLAG_CREATE, OFLAG_EXCLUSIVE, OFLAG_TRUNCATE, Rights,
};

use super::guest::{at, empty, open_with};

/// A small generator of numbers: the test is the same each time.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn path(&mut self) -> String {
        const NAMES: [&str; 4] = ["a", "b", "c", "d"];
        let mut path = String::new();
        for _ in 0..self.below(3) {
            path += NAMES[self.below(4) as usize];
            path += ["/", "/", "/", "//", "/./", "/../"][self.below(6) as usize];
        }
        path + NAMES[self.below(4) as usize]
    }
}

#[derive(Debug)]
enum Operation {
    MakeDirectory(String),
    RemoveDirectory(String),
    Unlink(String),
    Rename(String, String),
    Link(String, String),
    Symlink(&'static str, String),
    Write { path: String, create: bool, exclusive: bool, truncate: bool, append: bool, byte: u8, len: usize },
    SetLen(String, u64),
    Stat(String, bool),
}

fn operation(random: &mut Random) -> Operation {
    const TARGETS: [&str; 6] = ["a", "b", "a/b", "./c", "d/", "c/d"];
    let slash = |random: &mut Random, path: String| if random.below(8) == 0 { path + "/" } else { path };
    match random.below(16) {
        0..=2 => {
            let path = random.path();
            Operation::MakeDirectory(slash(random, path))
        }
        3 => {
            let path = random.path();
            Operation::RemoveDirectory(slash(random, path))
        }
        4 => {
            let path = random.path();
            Operation::Unlink(slash(random, path))
        }
        5..=6 => {
            let (from, to) = (random.path(), random.path());
            Operation::Rename(slash(random, from), slash(random, to))
        }
        7 => {
            let (from, to) = (random.path(), random.path());
            Operation::Link(slash(random, from), slash(random, to))
        }
        8 => {
            let path = random.path();
            Operation::Symlink(TARGETS[random.below(6) as usize], slash(random, path))
        }
        9..=12 => {
            let path = random.path();
            let len = [0, 1, 10, 70_000][random.below(4) as usize];
            let byte = random.below(256) as u8;
            Operation::Write {
                path: slash(random, path),
                create: random.below(2) == 0,
                exclusive: random.below(4) == 0,
                truncate: random.below(4) == 0,
                append: random.below(2) == 0,
                byte,
                len,
            }
        }
        13 => Operation::SetLen(random.path(), random.below(100_000)),
        _ => {
            let path = random.path();
            Operation::Stat(slash(random, path), random.below(2) == 0)
        }
    }
}

fn here(fs: &mut Fs, operation: &Operation) -> Result<u64, Errno> {
    match operation {
        Operation::MakeDirectory(path) => fs.make_directory(at(path)).map(|()| 0),
        Operation::RemoveDirectory(path) => fs.remove_directory(at(path)).map(|()| 0),
        Operation::Unlink(path) => fs.unlink(at(path)).map(|()| 0),
        Operation::Rename(from, to) => fs.rename(at(from), at(to)).map(|()| 0),
        Operation::Link(from, to) => fs.link(at(from), false, at(to)).map(|()| 0),
        Operation::Symlink(target, path) => fs.symlink(target, at(path)).map(|()| 0),
        Operation::Write { path, create, exclusive, truncate, append, byte, len } => {
            let mut oflags = if *truncate { OFLAG_TRUNCATE } else { 0 };
            if *create {
                oflags |= if *exclusive { OFLAG_CREATE | OFLAG_EXCLUSIVE } else { OFLAG_CREATE };
            }
            let fd = open_with(fs, path, oflags, Rights::FILE, if *append { FDFLAG_APPEND } else { 0 })?;
            let written = fs.write(fd, &vec![*byte; *len]);
            fs.close(fd)?;
            written.map(|written| written as u64)
        }
        Operation::SetLen(path, len) => {
            let fd = open_with(fs, path, 0, Rights::FILE, 0)?;
            let set = fs.set_size(fd, *len);
            fs.close(fd)?;
            set.map(|()| 0)
        }
        Operation::Stat(path, follow) => {
            fs.path_stat(at(path), *follow).map(|stat| if is_directory(stat.file_type) { 0 } else { stat.size })
        }
    }
}

fn is_directory(file_type: FileType) -> bool {
    file_type == FileType::Directory
}

fn there(root: &Path, operation: &Operation) -> io::Result<u64> {
    let place = |path: &str| format!("{}/{path}", root.display());
    match operation {
        Operation::MakeDirectory(path) => std::fs::create_dir(place(path)).map(|()| 0),
        Operation::RemoveDirectory(path) => std::fs::remove_dir(place(path)).map(|()| 0),
        Operation::Unlink(path) => std::fs::remove_file(place(path)).map(|()| 0),
        Operation::Rename(from, to) => std::fs::rename(place(from), place(to)).map(|()| 0),
        Operation::Link(from, to) => std::fs::hard_link(place(from), place(to)).map(|()| 0),
        Operation::Symlink(target, path) => symlink(target, place(path)).map(|()| 0),
        Operation::Write { path, create, exclusive, truncate, append, byte, len } => {
            let mut options = OpenOptions::new();
            options.read(true).write(true).append(*append);
            // Rust itself refuses to truncate while appending: flags are given as they are.
            let mut flags = if *truncate { rustix::fs::OFlags::TRUNC } else { rustix::fs::OFlags::empty() };
            if *create {
                flags |= rustix::fs::OFlags::CREATE;
                flags.set(rustix::fs::OFlags::EXCL, *exclusive);
            }
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits() as i32);
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(place(path))?;
            file.write_all(&vec![*byte; *len]).map(|()| *len as u64)
        }
        Operation::SetLen(path, len) => {
            OpenOptions::new().read(true).write(true).open(place(path))?.set_len(*len).map(|()| 0)
        }
        Operation::Stat(path, follow) => {
            let path = place(path);
            let metadata = if *follow { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) }?;
            Ok(if metadata.is_dir() { 0 } else { metadata.len() })
        }
    }
}

/// The host's error number as ours.
fn translated(error: &io::Error) -> Errno {
    match error.raw_os_error() {
        Some(1) => Errno::Perm,
        Some(2) => Errno::Noent,
        Some(16) => Errno::Busy,
        Some(17) => Errno::Exist,
        Some(20) => Errno::Notdir,
        Some(21) => Errno::Isdir,
        Some(22) => Errno::Inval,
        Some(39) => Errno::Notempty,
        Some(40) => Errno::Loop,
        _ => panic!("{error}"),
    }
}

/// What there is at each path: type, links, and content or target.
type Tree = BTreeMap<String, (char, u64, Vec<u8>)>;

fn tree_here(fs: &Fs, directory: &str, tree: &mut Tree) {
    for name in fs.list_names(directory).unwrap() {
        let path = format!("{directory}/{name}");
        let stat = fs.stat(&path).unwrap();
        let what = match stat.file_type {
            FileType::Directory => ('d', stat.links, vec![]),
            FileType::SymbolicLink => {
                let target = fs.clone().read_link(at(path.trim_start_matches('/'))).unwrap();
                ('l', stat.links, target.as_bytes().to_vec())
            }
            _ => ('f', stat.links, fs.read_file(&path).unwrap()),
        };
        tree.insert(path.clone(), what);
        if stat.file_type == FileType::Directory {
            tree_here(fs, &path, tree);
        }
    }
}

fn tree_there(root: &Path, directory: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(format!("{}{directory}", root.display())).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let path = format!("{directory}/{}", entry.file_name().to_str().unwrap());
        let what = if metadata.is_dir() {
            ('d', 2 + subdirectories(&entry.path()), vec![])
        } else if metadata.is_symlink() {
            let target = std::fs::read_link(entry.path()).unwrap();
            ('l', metadata.nlink(), target.to_str().unwrap().as_bytes().to_vec())
        } else {
            ('f', metadata.nlink(), std::fs::read(entry.path()).unwrap())
        };
        tree.insert(path.clone(), what);
        if metadata.is_dir() {
            tree_there(root, &path, tree);
        }
    }
}

/// Some file systems count no links of directories.
fn subdirectories(path: &Path) -> u64 {
    std::fs::read_dir(path).unwrap().filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir()).count()
        as u64
}

#[test]
fn random_operations_do_what_linux_does() {
    for seed in 1..=100 {
        let temp = tempfile::tempdir().unwrap();
        let (mut fs, mut random) = (empty(), Random(seed));
        let mut checkpoint: Option<(Fs, Tree)> = None;
        for step in 0..600 {
            let operation = operation(&mut random);
            let ours = here(&mut fs, &operation);
            let theirs = there(temp.path(), &operation).map_err(|error| translated(&error));
            // Of a link to `name/` in a loop, Linux sees the slash before the loop when it would make a file.
            let slash_in_a_loop = (ours, theirs) == (Err(Errno::Loop), Err(Errno::Isdir));
            assert!(
                ours == theirs || slash_in_a_loop,
                "{ours:?}, not {theirs:?}: seed {seed}, step {step}: {operation:?}"
            );
            assert_eq!(fs.recount(), fs.usage(), "seed {seed}, step {step}: {operation:?}");
            if step % 100 == 99 {
                let (mut ours, mut theirs) = (Tree::new(), Tree::new());
                tree_here(&fs, "", &mut ours);
                tree_there(temp.path(), "", &mut theirs);
                assert!(ours == theirs, "seed {seed}, step {step}: the trees differ");
                if let Some((before, tree)) = checkpoint.replace((fs.clone(), ours)) {
                    let mut now = Tree::new();
                    tree_here(&before, "", &mut now);
                    assert!(now == tree, "seed {seed}, step {step}: a checkpoint has changed");
                }
            }
        }
    }
}
