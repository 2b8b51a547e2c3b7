//! Symbolic and hard links.

use pymd::backend::wasm::vfs::{Errno, FileType, Fs, OFLAG_CREATE, OFLAG_DIRECTORY, OpenRequest, Rights};

use super::guest::{ROOT, at, empty, open, open_directory, put_file, text};

#[test]
fn symbolic_links_lead_on() {
    let mut fs = empty();
    fs.create_dir_all("/a/b").unwrap();
    put_file(&mut fs, "/a/b/f", "text");
    for (target, path, through) in [
        ("b", "a/relative", "a/relative/f"),
        ("/a/b", "absolute", "absolute/f"),
        ("../a/b/", "a/up", "a/up/f"),
        ("absolute/f", "chain", "chain"),
        ("/", "root", "root/a/b/f"),
    ] {
        fs.symlink(target, at(path)).unwrap();
        assert_eq!(text(&fs, &format!("/{through}")), "text", "{path} -> {target}");
        assert_eq!(fs.read_link(at(path)).as_deref(), Ok(target));
    }
    assert_eq!(fs.path_stat(at("chain"), false).unwrap().file_type, FileType::SymbolicLink);
    assert_eq!(fs.path_stat(at("chain"), false).unwrap().size, 10);
    assert_eq!(fs.path_stat(at("chain"), true).unwrap().file_type, FileType::RegularFile);
    assert_eq!(fs.path_stat(at("a/relative/"), false).unwrap().file_type, FileType::Directory);
    assert_eq!(fs.path_stat(at("chain/"), false), Err(Errno::Notdir));
    assert_eq!(fs.path_stat(at("root/.."), true), fs.path_stat(at("."), true));
    assert_eq!(fs.read_link(at("a")), Err(Errno::Inval));
    assert_eq!(fs.read_link(at("missing")), Err(Errno::Noent));
}

#[test]
fn loops_end() {
    let mut fs = empty();
    fs.symlink("b", at("a")).unwrap();
    fs.symlink("a", at("b")).unwrap();
    fs.symlink("self/x", at("self")).unwrap();
    for path in ["a", "a/x", "b", "self", "self/y"] {
        assert_eq!(fs.path_stat(at(path), true), Err(Errno::Loop), "{path}");
    }
    assert_eq!(fs.path_stat(at("a"), false).unwrap().file_type, FileType::SymbolicLink);
    put_file(&mut fs, "/l0", "end");
    for link in 1..=41 {
        fs.symlink(&format!("l{}", link - 1), at(&format!("l{link}"))).unwrap();
    }
    assert_eq!(fs.path_stat(at("l40"), true).map(|stat| stat.size), Ok(3));
    assert_eq!(fs.path_stat(at("l41"), true), Err(Errno::Loop));
}

#[test]
fn long_chains_of_links_cost_little() {
    let mut fs = empty();
    let target = format!("{}l", "./".repeat(2000));
    fs.symlink(&target, at("l")).unwrap();
    let started = std::time::Instant::now();
    assert_eq!(fs.path_stat(at("l"), true), Err(Errno::Loop));
    assert!(fs.take_steps() > 40 * 2000, "the guest is charged for every step");
    assert!(started.elapsed().as_millis() < 1000);
}

#[test]
fn opening_follows_links_where_it_is_told_to() {
    let mut fs = empty();
    put_file(&mut fs, "/f", "text");
    fs.symlink("f", at("link")).unwrap();
    fs.symlink("new", at("dangling")).unwrap();
    let nofollow = |fs: &mut Fs, oflags| {
        let request = OpenRequest {
            path: "link",
            follow: false,
            oflags,
            base: Rights::FD_READ,
            inheriting: Rights::NONE,
            fdflags: 0,
        };
        fs.open(ROOT, &request)
    };
    assert_eq!(nofollow(&mut fs, 0), Err(Errno::Loop));
    assert_eq!(nofollow(&mut fs, OFLAG_DIRECTORY), Err(Errno::Notdir));
    assert_eq!(open(&mut fs, "dangling", 0), Err(Errno::Noent));
    open(&mut fs, "dangling", OFLAG_CREATE).unwrap();
    assert_eq!(fs.path_stat(at("new"), false).unwrap().size, 0);
    open(&mut fs, "link", 0).unwrap();
}

#[test]
fn links_are_removed_and_renamed_themselves() {
    let mut fs = empty();
    put_file(&mut fs, "/f", "text");
    fs.symlink("f", at("link")).unwrap();
    assert_eq!(fs.usage().bytes, 5);
    fs.rename(at("link"), at("moved")).unwrap();
    assert_eq!(fs.read_link(at("moved")).as_deref(), Ok("f"));
    fs.unlink(at("moved")).unwrap();
    assert_eq!(text(&fs, "/f"), "text");
    assert_eq!(fs.usage().bytes, 4);
}

#[test]
fn bad_links_are_refused() {
    let mut fs = empty();
    put_file(&mut fs, "/f", "");
    assert_eq!(fs.symlink("", at("l")), Err(Errno::Noent));
    assert_eq!(fs.symlink("f", at("f")), Err(Errno::Exist));
    assert_eq!(fs.symlink("f", at("l/")), Err(Errno::Noent));
    assert_eq!(fs.symlink(&"x".repeat(4097), at("l")), Err(Errno::Nametoolong));
    assert_eq!(fs.symlink("a\0b", at("l")), Err(Errno::Inval));
    assert_eq!(fs.recount(), fs.usage());
}

#[test]
fn hard_links_share_a_file() {
    let mut fs = empty();
    fs.create_dir_all("/d").unwrap();
    put_file(&mut fs, "/f", "text");
    fs.link(at("f"), false, at("d/g")).unwrap();
    assert_eq!((fs.usage().bytes, fs.usage().inodes), (4, 4));
    let (one, other) = (fs.path_stat(at("f"), true).unwrap(), fs.path_stat(at("d/g"), true).unwrap());
    assert_eq!((one, one.links), (other, 2));
    put_file(&mut fs, "/f", "longer text");
    assert_eq!(text(&fs, "/d/g"), "longer text");
    fs.rename(at("f"), at("d/g")).unwrap();
    assert_eq!(fs.path_stat(at("f"), true).unwrap().links, 2, "both names are of one file: nothing happens");
    fs.unlink(at("f")).unwrap();
    assert_eq!((fs.path_stat(at("d/g"), true).unwrap().links, fs.usage().inodes), (1, 3));
    assert_eq!(fs.recount(), fs.usage());
}

#[test]
fn bad_hard_links_are_refused() {
    let mut fs = empty();
    fs.create_dir_all("/d").unwrap();
    put_file(&mut fs, "/f", "text");
    fs.symlink("f", at("l")).unwrap();
    assert_eq!(fs.link(at("d"), false, at("e")), Err(Errno::Perm));
    assert_eq!(fs.link(at("f"), false, at("d")), Err(Errno::Exist));
    assert_eq!(fs.link(at("f"), false, at("x/y")), Err(Errno::Noent));
    assert_eq!(fs.link(at("f"), false, at("x/")), Err(Errno::Noent));
    assert_eq!(fs.link(at("missing"), false, at("x")), Err(Errno::Noent));
    fs.link(at("l"), false, at("l2")).unwrap();
    assert_eq!(fs.path_stat(at("l2"), false).unwrap().file_type, FileType::SymbolicLink);
    fs.link(at("l"), true, at("f2")).unwrap();
    assert_eq!(fs.path_stat(at("f2"), false).unwrap().file_type, FileType::RegularFile);
    let directory = open_directory(&mut fs, "d").unwrap();
    assert_eq!(fs.file_stat(directory).unwrap().links, 2);
    assert_eq!(fs.recount(), fs.usage());
}
