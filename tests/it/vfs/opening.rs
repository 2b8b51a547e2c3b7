//! Opening, rights, renumbering.

use pymd::backend::wasm::vfs::{
    Errno, FDFLAG_APPEND, Fs, FsQuota, OFLAG_CREATE, OFLAG_DIRECTORY, OFLAG_EXCLUSIVE, OFLAG_TRUNCATE, OpenRequest,
    PathAt, Rights, SetTime, Stdio, Whence,
};

use super::guest::{ROOT, at, empty, make_file, open, open_directory, open_read, open_with, put_file, read, text};

#[test]
fn flags_of_opening() {
    let mut fs = empty();
    assert_eq!(open(&mut fs, "f", 0), Err(Errno::Noent));
    assert_eq!(open(&mut fs, "f", OFLAG_CREATE), Ok(4));
    assert_eq!(open(&mut fs, "f", OFLAG_CREATE | OFLAG_EXCLUSIVE), Err(Errno::Exist));
    assert_eq!(open(&mut fs, "g", OFLAG_CREATE | OFLAG_EXCLUSIVE), Ok(5));
    assert_eq!(open(&mut fs, "h", OFLAG_CREATE | OFLAG_DIRECTORY), Err(Errno::Inval));
    assert_eq!(open(&mut fs, "h/", OFLAG_CREATE), Err(Errno::Isdir));
    assert_eq!(open(&mut fs, "h", 1 << 4), Err(Errno::Inval));
    assert_eq!(open(&mut fs, "f", OFLAG_DIRECTORY), Err(Errno::Notdir));
    assert_eq!(open(&mut fs, "f/", 0), Err(Errno::Notdir));
    fs.create_dir_all("/d").unwrap();
    assert_eq!(open(&mut fs, "d", 0), Err(Errno::Isdir), "for writing");
    assert_eq!(open(&mut fs, "d", OFLAG_CREATE), Err(Errno::Isdir));
    assert_eq!(open_with(&mut fs, "d", OFLAG_TRUNCATE, Rights::FD_READ, 0), Err(Errno::Isdir));
    assert_eq!(open_read(&mut fs, "d"), Ok(6));
    assert_eq!(open_directory(&mut fs, "d"), Ok(7));
    assert_eq!(open(&mut fs, ".", OFLAG_CREATE | OFLAG_EXCLUSIVE), Err(Errno::Exist));
    put_file(&mut fs, "/f", "text");
    open(&mut fs, "f", OFLAG_TRUNCATE).unwrap();
    assert_eq!((text(&fs, "/f").as_str(), fs.usage().bytes), ("", 0));
}

#[test]
fn descriptors_are_the_lowest_free() {
    let mut fs = Fs::new(FsQuota { open_files: 8, ..FsQuota::default() });
    let fds: Vec<_> = ["a", "b", "c", "d"].map(|path| make_file(&mut fs, path)).into();
    assert_eq!(fds, [4, 5, 6, 7]);
    assert_eq!(open(&mut fs, "e", OFLAG_CREATE), Err(Errno::Mfile));
    assert_eq!(fs.path_stat(at("e"), true), Err(Errno::Noent), "a file that cannot be opened is not made");
    fs.close(6).unwrap();
    fs.close(0).unwrap();
    assert_eq!(fs.usage().open_files, 6);
    assert_eq!(open(&mut fs, "a", 0), Ok(0));
    assert_eq!(open(&mut fs, "a", 0), Ok(6));
    assert_eq!(fs.close(9), Err(Errno::Badf));
    assert_eq!(fs.stdio(0, Rights::FD_READ), Ok(None));
    assert_eq!(fs.stdio(1, Rights::FD_WRITE), Ok(Some(Stdio::Stdout)));
    assert_eq!(fs.stdio(1, Rights::FD_READ), Err(Errno::Badf));
}

#[test]
fn renumbering_moves() {
    let mut fs = empty();
    put_file(&mut fs, "/a", "aaa");
    put_file(&mut fs, "/b", "bbb");
    let (a, b) = (open(&mut fs, "a", 0).unwrap(), open(&mut fs, "b", 0).unwrap());
    read(&mut fs, a, 1).unwrap();
    fs.unlink(at("b")).unwrap();
    assert_eq!(fs.renumber(a, 40), Err(Errno::Badf));
    assert_eq!(fs.renumber(40, a), Err(Errno::Badf));
    fs.renumber(a, a).unwrap();
    fs.renumber(a, b).unwrap();
    assert_eq!(fs.file(a).err(), Some(Errno::Badf));
    assert_eq!(read(&mut fs, b, 9).unwrap(), b"aa");
    assert_eq!(fs.usage().bytes, 3, "the file that was replaced is gone");
    fs.renumber(b, 1).unwrap();
    assert_eq!(fs.stdio(1, Rights::FD_WRITE), Ok(None), "standard output goes to the file now");
    fs.renumber(2, 1).unwrap();
    assert_eq!(fs.stdio(1, Rights::FD_WRITE), Ok(Some(Stdio::Stderr)));
    assert_eq!(fs.recount(), fs.usage());
}

#[test]
fn rights_only_shrink() {
    let mut fs = empty();
    put_file(&mut fs, "/f", "text");
    let fd = open(&mut fs, "f", 0).unwrap();
    let lesser = Rights::FD_READ | Rights::FD_FILESTAT_GET;
    fs.set_rights(fd, lesser, Rights::NONE).unwrap();
    assert_eq!(fs.set_rights(fd, Rights::FD_READ | Rights::FD_WRITE, Rights::NONE), Err(Errno::Notcapable));
    assert_eq!(fs.set_rights(fd, lesser, Rights::FD_READ), Err(Errno::Notcapable));
    assert_eq!(fs.fd_stat(fd).unwrap().base, lesser);
    assert_eq!(fs.write(fd, b"x"), Err(Errno::Badf));
    assert_eq!(fs.set_size(fd, 0), Err(Errno::Inval));
    assert_eq!(fs.allocate(fd, 0, 1), Err(Errno::Badf));
    assert_eq!(fs.seek(fd, 1, Whence::Start), Err(Errno::Notcapable));
    assert_eq!(fs.set_flags(fd, 0), Err(Errno::Notcapable));
    assert_eq!(fs.set_times(fd, SetTime::Now, SetTime::Keep), Err(Errno::Notcapable));
    assert_eq!(fs.sync(fd, Rights::FD_SYNC), Err(Errno::Notcapable));
    assert_eq!(fs.advise(fd), Err(Errno::Notcapable));
    fs.file_stat(fd).unwrap();
    fs.set_rights(fd, Rights::NONE, Rights::NONE).unwrap();
    assert_eq!(fs.file_stat(fd), Err(Errno::Notcapable));
    assert_eq!(fs.reader(fd).err(), Some(Errno::Badf));
}

#[test]
fn directories_hand_on_no_more_than_they_may() {
    let mut fs = empty();
    fs.create_dir_all("/d").unwrap();
    put_file(&mut fs, "/d/f", "text");
    let request = |path, base, inheriting| OpenRequest { path, follow: true, oflags: 0, base, inheriting, fdflags: 0 };
    let readable = Rights::FD_READ | Rights::FD_SEEK;
    let directory = fs.open(ROOT, &request("d", Rights::PATH_OPEN, readable)).unwrap();
    assert_eq!(fs.open(directory, &request("f", Rights::FD_WRITE, Rights::NONE)), Err(Errno::Notcapable));
    assert_eq!(fs.open(directory, &request("f", Rights::FD_READ, Rights::FD_WRITE)), Err(Errno::Notcapable));
    let file = fs.open(directory, &request("f", Rights::FD_READ, readable)).unwrap();
    let stat = fs.fd_stat(file).unwrap();
    assert_eq!((stat.base, stat.inheriting), (Rights::FD_READ, Rights::NONE));
    let inside = |path| PathAt { directory, path };
    for refused in [
        fs.make_directory(inside("x")),
        fs.remove_directory(inside("x")),
        fs.unlink(inside("f")),
        fs.symlink("f", inside("l")),
        fs.rename(inside("f"), at("g")),
        fs.rename(at("d"), inside("g")),
        fs.link(inside("f"), false, at("g")),
        fs.link(at("d/f"), false, inside("g")),
        fs.path_stat(inside("f"), true).map(|_| ()),
        fs.read_link(inside("f")).map(|_| ()),
        fs.set_path_times(inside("f"), true, SetTime::Now, SetTime::Now),
        fs.read_directory(directory, 0, |_| true),
    ] {
        assert_eq!(refused, Err(Errno::Notcapable));
    }
    let create = OpenRequest { oflags: OFLAG_CREATE, ..request("new", Rights::FD_READ, Rights::NONE) };
    assert_eq!(fs.open(directory, &create), Err(Errno::Notcapable));
    let truncate = OpenRequest { oflags: OFLAG_TRUNCATE, ..request("f", Rights::FD_READ, Rights::NONE) };
    assert_eq!(fs.open(directory, &truncate), Err(Errno::Notcapable));
    fs.set_rights(directory, Rights::NONE, Rights::NONE).unwrap();
    assert_eq!(fs.open(directory, &request("f", Rights::NONE, Rights::NONE)), Err(Errno::Notcapable));
    assert_eq!(text(&fs, "/d/f"), "text");
}

#[test]
fn a_file_has_no_use_for_rights_of_directories() {
    let mut fs = empty();
    put_file(&mut fs, "/f", "");
    let all = OpenRequest {
        path: "f",
        follow: true,
        oflags: 0,
        base: Rights::INHERITING,
        inheriting: Rights::INHERITING,
        fdflags: FDFLAG_APPEND,
    };
    let fd = fs.open(ROOT, &all).unwrap();
    let stat = fs.fd_stat(fd).unwrap();
    assert_eq!((stat.base, stat.inheriting, stat.flags), (Rights::FILE, Rights::NONE, FDFLAG_APPEND));
    assert_eq!(fs.open(ROOT, &OpenRequest { fdflags: 1 << 5, ..all }), Err(Errno::Inval));
    assert_eq!(fs.open(ROOT, &OpenRequest { base: Rights::from_bits(1 << 40), ..all }), Err(Errno::Notcapable));
    assert_eq!(fs.open(fd, &all), Err(Errno::Notdir));
    assert_eq!(fs.open(0, &all), Err(Errno::Notdir));
}
