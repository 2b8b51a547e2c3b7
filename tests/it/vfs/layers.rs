//! Read-only layers.

use std::path::Path;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use pymd::backend::wasm::vfs::{
    CapFile, Errno, FileType, Fs, LowerFile, LowerTree, OFLAG_CREATE, OFLAG_TRUNCATE, Rights, SetTime,
};

use super::guest::{at, empty, make_file, open, open_directory, open_read, open_with, put_file, read, text};

fn tree(roots: &[&Path]) -> Arc<LowerTree> {
    let dirs = roots.iter().map(|root| Dir::open_ambient_dir(root, ambient_authority()).unwrap()).collect();
    Arc::new(LowerTree::from_dirs(dirs).unwrap())
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Two merged trees at `/lib`.
fn layered() -> (tempfile::TempDir, Fs) {
    let temp = tempfile::tempdir().unwrap();
    let (one, two) = (temp.path().join("one"), temp.path().join("two"));
    write(&one, "package/__init__.py", "first");
    write(&one, "package/only_one.py", "1");
    write(&one, "thing", "a file here");
    write(&two, "package/__init__.py", "second");
    write(&two, "package/deep/er/only_two.py", "22");
    write(&two, "thing/inside", "a directory there");
    write(&two, "zz", "last");
    std::os::unix::fs::symlink("package/only_one.py", one.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", one.join("escape")).unwrap();
    let mut fs = empty();
    fs.mount_dir("/usr/lib", tree(&[&one, &two])).unwrap();
    (temp, fs)
}

#[test]
fn trees_merge_and_the_first_wins() {
    let (_temp, mut fs) = layered();
    assert_eq!(text(&fs, "/usr/lib/package/__init__.py"), "first");
    assert_eq!(text(&fs, "/usr/lib/package/only_one.py"), "1");
    assert_eq!(text(&fs, "/usr/lib/package/deep/er/only_two.py"), "22");
    assert_eq!(text(&fs, "/usr/lib/thing"), "a file here");
    assert_eq!(text(&fs, "/usr/lib/link"), "1");
    assert_eq!(fs.list_names("/usr/lib"), Ok(["escape", "link", "package", "thing", "zz"].map(String::from).into()));
    assert_eq!(fs.list_names("/usr/lib/package").unwrap(), ["__init__.py", "deep", "only_one.py"]);
    assert_eq!(fs.read_file("/usr/lib/escape"), Err(Errno::Noent), "an absolute link starts at the guest's root");
    let stat = fs.path_stat(at("usr/lib/package"), true).unwrap();
    assert_eq!((stat.file_type, stat.links), (FileType::Directory, 3));
    assert_eq!(fs.path_stat(at("usr/lib/package/.."), true), fs.path_stat(at("usr/lib"), true));
    assert_eq!(fs.path_stat(at("usr/lib/.."), true), fs.path_stat(at("usr"), true));
    assert_eq!(fs.path_stat(at("usr"), true).unwrap().links, 3);
    assert_eq!(fs.usage().inodes, 2, "layers count for nothing");
    assert_eq!(fs.recount(), fs.usage());
}

#[test]
fn layers_are_read_only() {
    let (_temp, mut fs) = layered();
    put_file(&mut fs, "/f", "");
    let lib = "usr/lib";
    let file = "usr/lib/zz";
    for refused in [
        fs.make_directory(at("usr/lib/new")),
        fs.unlink(at(file)),
        fs.remove_directory(at("usr/lib/package")),
        fs.remove_directory(at(lib)),
        fs.rename(at(file), at("usr/lib/new")),
        fs.rename(at(lib), at("lib")),
        fs.symlink("x", at("usr/lib/new")),
        fs.link(at("f"), false, at("usr/lib/new")),
        fs.set_path_times(at(file), true, SetTime::Now, SetTime::Now),
        open(&mut fs, file, 0).map(|_| ()),
        open(&mut fs, "usr/lib/new", OFLAG_CREATE).map(|_| ()),
        open_with(&mut fs, file, OFLAG_TRUNCATE, Rights::FD_READ, 0).map(|_| ()),
        fs.write_file("/usr/lib/zz", b"x"),
    ] {
        assert_eq!(refused, Err(Errno::Rofs));
    }
    assert_eq!(fs.rename(at("f"), at("usr/lib/new")), Err(Errno::Xdev));
    assert_eq!(fs.rename(at(file), at("new")), Err(Errno::Xdev));
    assert_eq!(fs.link(at(file), false, at("new")), Err(Errno::Xdev));
    assert_eq!(fs.make_directory(at("usr/lib/package")), Err(Errno::Exist));
    assert_eq!(open(&mut fs, "usr/lib/package", OFLAG_CREATE), Err(Errno::Isdir));
    // What lies above a layer is the guest's own.
    fs.rename(at("usr"), at("moved")).unwrap();
    assert_eq!(text(&fs, "/moved/lib/zz"), "last");
    assert_eq!(fs.path_stat(at("moved/lib/package/../../.."), true), fs.path_stat(at("."), true));
    put_file(&mut fs, "/moved/own", "x");
    assert_eq!(fs.recount(), fs.usage());
}

#[test]
fn files_of_layers_are_read_through_descriptors() {
    let (_temp, mut fs) = layered();
    let fd = open_read(&mut fs, "usr/lib/package/__init__.py").unwrap();
    assert_eq!(read(&mut fs, fd, 3).unwrap(), b"fir");
    let mut checkpoint = fs.clone();
    assert_eq!(read(&mut fs, fd, 9).unwrap(), b"st");
    assert_eq!(read(&mut fs, fd, 9).unwrap(), b"");
    assert_eq!(read(&mut checkpoint, fd, 9).unwrap(), b"st");
    assert_eq!(fs.fd_stat(fd).unwrap().base, Rights::READ_ONLY_FILE);
    assert_eq!(fs.write(fd, b"x"), Err(Errno::Badf));
    assert_eq!(fs.set_times(fd, SetTime::Now, SetTime::Now), Err(Errno::Rofs));
    fs.sync(fd, Rights::FD_SYNC).unwrap();
    fs.close(fd).unwrap();
    let directory = open_directory(&mut fs, "usr/lib/package").unwrap();
    let (mut pages, mut cookie) = (Vec::new(), 0);
    loop {
        let before = cookie;
        fs.read_directory(directory, cookie, |entry| {
            pages.push(entry.name.to_owned());
            cookie = entry.next;
            false
        })
        .unwrap();
        if cookie == before {
            break;
        }
    }
    assert_eq!(pages, [".", "..", "__init__.py", "deep", "only_one.py"]);
}

#[test]
fn many_open_files_hold_few_of_the_hosts() {
    let temp = tempfile::tempdir().unwrap();
    for file in 0..500 {
        write(temp.path(), &format!("f{file}"), &file.to_string());
    }
    let host_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut fs = empty();
    let mut quota = fs.quota();
    quota.open_files = 1000;
    fs.set_quota(quota);
    fs.mount_dir("/lib", tree(&[temp.path()])).unwrap();
    let before = host_files();
    let fds: Vec<_> = (0..500).map(|file| open_read(&mut fs, &format!("lib/f{file}")).unwrap()).collect();
    for round in 0..2 {
        for (file, fd) in fds.iter().enumerate() {
            assert_eq!(
                read(&mut fs, *fd, 9).unwrap(),
                if round == 0 { file.to_string() } else { String::new() }.as_bytes()
            );
        }
    }
    // Other tests run in this process too.
    assert!(host_files() < before + 200, "{} host files more", host_files() - before);
    std::fs::remove_file(temp.path().join("f0")).unwrap();
    super::guest::rewind(&mut fs, fds[0]);
    assert_eq!(read(&mut fs, fds[0], 9), Err(Errno::Io), "a file that is gone from the host");
}

#[test]
fn single_files_are_mounted() {
    let temp = tempfile::tempdir().unwrap();
    write(temp.path(), "zip", "zip content");
    let host = cap_std::fs::File::from_std(std::fs::File::open(temp.path().join("zip")).unwrap());
    let mut fs = empty();
    fs.mount_file("/usr/local/lib/python315.zip", Arc::new(CapFile::new(host).unwrap())).unwrap();
    fs.mount_file("/given/data", Arc::new(b"static".as_slice())).unwrap();
    fs.mount_file("/given/both", Arc::new(Arc::<[u8]>::from(b"shared".as_slice()))).unwrap();
    assert_eq!(fs.mount_file("/given/data", Arc::new(b"again".as_slice())), Err(Errno::Exist));
    assert_eq!(fs.mount_file("/", Arc::new(b"root".as_slice())), Err(Errno::Exist));
    assert_eq!(text(&fs, "/usr/local/lib/python315.zip"), "zip content");
    assert_eq!(text(&fs, "/given/data"), "static");
    assert_eq!(text(&fs, "/given/both"), "shared");
    assert_eq!(fs.unlink(at("given/data")), Err(Errno::Rofs));
    assert_eq!(fs.rename(at("given/data"), at("x")), Err(Errno::Rofs));
    put_file(&mut fs, "/x", "");
    assert_eq!(fs.rename(at("x"), at("given/data")), Err(Errno::Rofs));
    assert_eq!(fs.path_stat(at("given/data/x"), true), Err(Errno::Notdir));
    let numbers: std::collections::BTreeSet<_> =
        ["given/data", "given/both", "given", "x", "."].map(|path| fs.path_stat(at(path), true).unwrap().ino).into();
    assert_eq!(numbers.len(), 5);
    make_file(&mut fs, "given/own");
}

#[test]
fn mounts_replace_empty_directories_only() {
    let temp = tempfile::tempdir().unwrap();
    write(temp.path(), "f", "text");
    let mut fs = empty();
    fs.create_dir_all("/site").unwrap();
    fs.create_dir_all("/full/x").unwrap();
    let layer = tree(&[temp.path()]);
    fs.mount_dir("/site", Arc::clone(&layer)).unwrap();
    assert_eq!(fs.mount_dir("/full", Arc::clone(&layer)), Err(Errno::Exist));
    assert_eq!(fs.mount_dir("/site", Arc::clone(&layer)), Err(Errno::Exist));
    assert_eq!(fs.mount_dir("/site/inner", Arc::clone(&layer)), Err(Errno::Rofs));
    assert_eq!(text(&fs, "/site/f"), "text");
    assert_eq!(fs.path_stat(at("."), true).unwrap().links, 4);
    assert_eq!(fs.recount(), fs.usage());
}

/// A file whose host went away in the middle.
struct Broken;

impl LowerFile for Broken {
    fn len(&self) -> u64 {
        100
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        if offset >= 10 {
            return Err(std::io::Error::other("gone"));
        }
        let read = buf.len().min(5);
        buf[..read].fill(b'x');
        Ok(read)
    }
}

#[test]
fn faults_of_the_host_are_input_output_errors() {
    let mut fs = empty();
    fs.mount_file("/broken", Arc::new(Broken)).unwrap();
    let fd = open_read(&mut fs, "broken").unwrap();
    assert_eq!(read(&mut fs, fd, 50).unwrap(), b"xxxxxxxxxx");
    assert_eq!(read(&mut fs, fd, 50), Err(Errno::Io));
}
