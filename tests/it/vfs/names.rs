//! Making, removing and renaming.

use pymd::backend::wasm::vfs::{Errno, FileType, FsQuota, PathAt};

use super::guest::{at, empty, make_file, open, open_directory, put_file, read, rewind, text};

#[test]
fn directories_are_made_and_removed() {
    let mut fs = empty();
    fs.make_directory(at("a")).unwrap();
    fs.make_directory(at("a/b/")).unwrap();
    assert_eq!(fs.make_directory(at("a")), Err(Errno::Exist));
    assert_eq!(fs.make_directory(at(".")), Err(Errno::Exist));
    assert_eq!(fs.make_directory(at("x/y")), Err(Errno::Noent));
    put_file(&mut fs, "/a/f", "text");
    assert_eq!(fs.make_directory(at("a/f")), Err(Errno::Exist));
    assert_eq!(fs.make_directory(at("a/f/g")), Err(Errno::Notdir));
    assert_eq!(fs.remove_directory(at("a")), Err(Errno::Notempty));
    assert_eq!(fs.remove_directory(at("a/f")), Err(Errno::Notdir));
    assert_eq!(fs.remove_directory(at("a/.")), Err(Errno::Inval));
    assert_eq!(fs.remove_directory(at("a/b/..")), Err(Errno::Notempty));
    assert_eq!(fs.remove_directory(at("missing")), Err(Errno::Noent));
    fs.remove_directory(at("a/b")).unwrap();
    fs.unlink(at("a/f")).unwrap();
    fs.remove_directory(at("a/")).unwrap();
    assert_eq!(fs.list_names("/"), Ok(vec![]));
}

#[test]
fn links_of_directories_count_their_directories() {
    let mut fs = empty();
    fs.create_dir_all("/a/b").unwrap();
    fs.create_dir_all("/a/c").unwrap();
    put_file(&mut fs, "/a/f", "");
    let links = |fs: &mut pymd::backend::wasm::vfs::Fs, path: &str| fs.path_stat(at(path), true).unwrap().links;
    assert_eq!((links(&mut fs, "."), links(&mut fs, "a"), links(&mut fs, "a/b")), (3, 4, 2));
    fs.rename(at("a/c"), at("c")).unwrap();
    fs.remove_directory(at("a/b")).unwrap();
    assert_eq!((links(&mut fs, "."), links(&mut fs, "a")), (4, 2));
    fs.make_directory(at("d")).unwrap();
    fs.rename(at("c"), at("d")).unwrap();
    assert_eq!(links(&mut fs, "."), 4);
}

#[test]
fn the_root_is_its_own_parent() {
    let mut fs = empty();
    put_file(&mut fs, "/f", "here");
    fs.create_dir_all("/a/b").unwrap();
    for path in ["../f", "../../f", "a/../../f", "a/b/../../../f", "./f", "a//b/.././../f"] {
        assert_eq!(fs.path_stat(at(path), true).map(|stat| stat.size), Ok(4), "{path}");
    }
    let root = fs.path_stat(at("."), true).unwrap();
    assert_eq!(fs.path_stat(at(".."), true), Ok(root));
    let inside = open_directory(&mut fs, "a/b").unwrap();
    let stat = fs.path_stat(PathAt { directory: inside, path: "../../f" }, true).unwrap();
    assert_eq!(stat.size, 4);
    assert_eq!(fs.path_stat(at("/f"), true), Err(Errno::Perm), "preview 1 knows no absolute paths");
}

#[test]
fn bad_paths_are_refused() {
    let mut fs = empty();
    put_file(&mut fs, "/f", "");
    assert_eq!(fs.path_stat(at(""), true), Err(Errno::Noent));
    assert_eq!(fs.path_stat(at("f/"), true), Err(Errno::Notdir));
    assert_eq!(fs.path_stat(at("f/."), true), Err(Errno::Notdir));
    assert_eq!(fs.path_stat(at("f/.."), true), Err(Errno::Notdir));
    assert_eq!(fs.path_stat(at("a\0b"), true), Err(Errno::Inval));
    assert_eq!(fs.path_stat(at(&"n".repeat(256)), true), Err(Errno::Nametoolong));
    assert_eq!(fs.path_stat(at(&"n".repeat(255)), true), Err(Errno::Noent));
    assert_eq!(fs.path_stat(at(&"a/".repeat(3000)), true), Err(Errno::Nametoolong));
    assert_eq!(fs.path_stat(PathAt { directory: 0, path: "f" }, true), Err(Errno::Notdir));
    assert_eq!(fs.path_stat(PathAt { directory: 9, path: "f" }, true), Err(Errno::Badf));
    let file = open(&mut fs, "f", 0).unwrap();
    assert_eq!(fs.path_stat(PathAt { directory: file, path: "f" }, true), Err(Errno::Notdir));
}

#[test]
fn unlinked_files_live_until_they_are_closed() {
    let mut fs = empty();
    put_file(&mut fs, "/f", "content");
    let before = fs.usage();
    let fd = open(&mut fs, "f", 0).unwrap();
    fs.unlink(at("f")).unwrap();
    assert_eq!(fs.path_stat(at("f"), true), Err(Errno::Noent));
    assert_eq!(read(&mut fs, fd, 100).unwrap(), b"content");
    assert_eq!(fs.file_stat(fd).unwrap().links, 0);
    fs.write(fd, b"!").unwrap();
    assert_eq!(fs.usage().bytes, 8);
    assert_eq!(fs.usage().inodes, before.inodes);
    put_file(&mut fs, "/f", "other");
    rewind(&mut fs, fd);
    assert_eq!(read(&mut fs, fd, 100).unwrap(), b"content!");
    fs.close(fd).unwrap();
    assert_eq!(fs.usage().bytes, 5);
    assert_eq!(fs.recount(), fs.usage());
}

#[test]
fn removed_directories_hold_nothing_new() {
    let mut fs = empty();
    fs.create_dir_all("/a/b").unwrap();
    let fd = open_directory(&mut fs, "a/b").unwrap();
    fs.remove_directory(at("a/b")).unwrap();
    let inside = |path| PathAt { directory: fd, path };
    assert_eq!(fs.make_directory(inside("c")), Err(Errno::Noent));
    assert_eq!(fs.symlink("x", inside("c")), Err(Errno::Noent));
    put_file(&mut fs, "/f", "");
    assert_eq!(fs.rename(at("f"), inside("f")), Err(Errno::Noent));
    assert_eq!(fs.path_stat(inside("."), true).unwrap().links, 0);
    fs.remove_directory(at("a")).unwrap();
    assert_eq!(fs.path_stat(inside("../f"), true), Err(Errno::Noent));
    fs.close(fd).unwrap();
    assert_eq!(fs.usage().inodes, 2);
    assert_eq!(fs.recount(), fs.usage());
}

#[test]
fn renaming_replaces() {
    let mut fs = empty();
    put_file(&mut fs, "/a", "a");
    put_file(&mut fs, "/b", "bb");
    let old = open(&mut fs, "b", 0).unwrap();
    fs.rename(at("a"), at("b")).unwrap();
    assert_eq!(text(&fs, "/b"), "a");
    assert_eq!(fs.path_stat(at("a"), true), Err(Errno::Noent));
    assert_eq!(read(&mut fs, old, 9).unwrap(), b"bb");
    assert_eq!(fs.usage().bytes, 3);
    fs.close(old).unwrap();
    assert_eq!(fs.usage().bytes, 1);
    fs.rename(at("b"), at("b")).unwrap();
    assert_eq!(text(&fs, "/b"), "a");
}

#[test]
fn renaming_knows_files_from_directories() {
    let mut fs = empty();
    for path in ["/empty", "/full/inner", "/moved/deep"] {
        fs.create_dir_all(path).unwrap();
    }
    put_file(&mut fs, "/f", "");
    assert_eq!(fs.rename(at("f"), at("empty")), Err(Errno::Isdir));
    assert_eq!(fs.rename(at("moved"), at("f")), Err(Errno::Notdir));
    assert_eq!(fs.rename(at("moved"), at("full")), Err(Errno::Notempty));
    assert_eq!(fs.rename(at("f"), at("g/")), Err(Errno::Notdir));
    assert_eq!(fs.rename(at("f/"), at("g")), Err(Errno::Notdir));
    assert_eq!(fs.rename(at("missing"), at("g")), Err(Errno::Noent));
    assert_eq!(fs.rename(at("f"), at("missing/g")), Err(Errno::Noent));
    assert_eq!(fs.rename(at("moved"), at("moved/deep/x")), Err(Errno::Inval));
    assert_eq!(fs.rename(at("moved"), at("moved/x")), Err(Errno::Inval));
    assert_eq!(fs.rename(at("moved/."), at("x")), Err(Errno::Busy));
    assert_eq!(fs.rename(at("moved"), at("..")), Err(Errno::Busy));
    fs.rename(at("moved"), at("empty")).unwrap();
    assert_eq!(fs.list_names("/empty"), Ok(vec!["deep".to_owned()]));
    fs.rename(at("empty"), at("full/inner/new/")).unwrap();
    let parent = fs.path_stat(at("full/inner/new/deep/../.."), true).unwrap();
    assert_eq!(fs.path_stat(at("full/inner"), true), Ok(parent));
    assert_eq!(fs.recount(), fs.usage());
}

#[test]
fn depth_is_bounded_whatever_way_it_is_reached() {
    let mut fs = pymd::backend::wasm::vfs::Fs::new(FsQuota { path_depth: 4, ..FsQuota::default() });
    fs.create_dir_all("/a/b/c").unwrap();
    fs.make_directory(at("a/b/c/d")).unwrap();
    assert_eq!(fs.make_directory(at("a/b/c/d/e")), Err(Errno::Nametoolong));
    let deep = open_directory(&mut fs, "a/b/c/d").unwrap();
    assert_eq!(fs.make_directory(PathAt { directory: deep, path: "e" }), Err(Errno::Nametoolong));
    fs.create_dir_all("/x/y").unwrap();
    put_file(&mut fs, "/x/y/f", "");
    assert_eq!(fs.rename(at("x"), at("a/b/x")), Err(Errno::Nametoolong));
    fs.rename(at("x"), at("a/x")).unwrap();
    assert_eq!(fs.rename(at("a"), at("z")).map(|()| fs.list_names("/z/x/y")), Ok(Ok(vec!["f".to_owned()])));
}

#[test]
fn numbers_are_unique_and_stay() {
    let mut fs = empty();
    let first = make_file(&mut fs, "a");
    let number = fs.file_stat(first).unwrap().ino;
    fs.rename(at("a"), at("b")).unwrap();
    assert_eq!(fs.path_stat(at("b"), true).unwrap().ino, number);
    fs.close(first).unwrap();
    fs.unlink(at("b")).unwrap();
    let second = make_file(&mut fs, "a");
    assert_ne!(fs.file_stat(second).unwrap().ino, number);
    assert_eq!(fs.file_stat(second).unwrap().file_type, FileType::RegularFile);
}

#[test]
fn clones_are_independent() {
    let mut fs = empty();
    fs.create_dir_all("/d").unwrap();
    put_file(&mut fs, "/d/f", "before");
    let fd = open(&mut fs, "d/f", 0).unwrap();
    read(&mut fs, fd, 3).unwrap();
    let checkpoint = fs.clone();
    fs.write(fd, b"AFTER").unwrap();
    fs.rename(at("d"), at("e")).unwrap();
    fs.close(fd).unwrap();
    put_file(&mut fs, "/new", "new");
    let mut resumed = checkpoint.clone();
    assert_eq!(text(&resumed, "/d/f"), "before");
    assert_eq!(read(&mut resumed, fd, 9).unwrap(), b"ore");
    assert_eq!(resumed.path_stat(at("new"), true), Err(Errno::Noent));
    assert_eq!(text(&fs, "/e/f"), "befAFTER");
    for fs in [&fs, &checkpoint, &resumed] {
        assert_eq!(fs.recount(), fs.usage());
    }
}
