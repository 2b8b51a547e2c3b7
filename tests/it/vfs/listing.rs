//! Listing directories.

use std::collections::BTreeSet;

use pymd::backend::wasm::vfs::{Errno, Fd, FileType, Fs};

use super::guest::{at, empty, make_file, open_directory, put_file};

/// Up to `count` entries from a cookie on: names, and the cookie that the listing goes on with.
fn page(fs: &mut Fs, fd: Fd, cookie: u64, count: usize) -> (Vec<String>, u64) {
    let (mut names, mut next) = (Vec::new(), cookie);
    if count > 0 {
        fs.read_directory(fd, cookie, |entry| {
            names.push(entry.name.to_owned());
            next = entry.next;
            names.len() < count
        })
        .unwrap();
    }
    (names, next)
}

#[test]
fn entries_come_in_pages() {
    let mut fs = empty();
    fs.create_dir_all("/d/sub").unwrap();
    put_file(&mut fs, "/d/f", "");
    fs.symlink("f", at("d/l")).unwrap();
    let fd = open_directory(&mut fs, "d").unwrap();
    let mut all = Vec::new();
    fs.read_directory(fd, 0, |entry| {
        all.push((entry.name.to_owned(), entry.file_type, entry.ino));
        true
    })
    .unwrap();
    let types: Vec<_> = all.iter().map(|(name, file_type, _)| (name.as_str(), *file_type)).collect();
    assert_eq!(
        types,
        [
            (".", FileType::Directory),
            ("..", FileType::Directory),
            ("sub", FileType::Directory),
            ("f", FileType::RegularFile),
            ("l", FileType::SymbolicLink)
        ]
    );
    assert_eq!(all[0].2, fs.path_stat(at("d"), true).unwrap().ino);
    assert_eq!(all[1].2, fs.path_stat(at("."), true).unwrap().ino);
    assert_eq!(all[3].2, fs.path_stat(at("d/f"), true).unwrap().ino);
    for size in 1..6 {
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let (more, next) = page(&mut fs, fd, cookie, size);
            if more.is_empty() {
                break;
            }
            names.extend(more);
            cookie = next;
        }
        assert_eq!(names, [".", "..", "sub", "f", "l"], "{size} at a time");
    }
    assert_eq!(page(&mut fs, fd, u64::MAX, 9).0, [""; 0]);
}

#[test]
fn removing_while_listing_misses_nothing() {
    let mut fs = empty();
    fs.create_dir_all("/d").unwrap();
    let names: BTreeSet<String> = (0..300).map(|at| format!("f{}", at * 7 % 300)).collect();
    for name in &names {
        put_file(&mut fs, &format!("/d/{name}"), "");
    }
    let fd = open_directory(&mut fs, "d").unwrap();
    let (mut seen, mut cookie) = (BTreeSet::new(), 2);
    loop {
        let (page, next) = page(&mut fs, fd, cookie, 7);
        if page.is_empty() {
            break;
        }
        for name in page {
            fs.unlink(at(&format!("d/{name}"))).unwrap();
            assert!(seen.insert(name));
        }
        cookie = next;
    }
    assert_eq!(seen, names);
    fs.remove_directory(at("d")).unwrap();
}

#[test]
fn changes_while_listing_show_nothing_twice() {
    let mut fs = empty();
    fs.create_dir_all("/d").unwrap();
    for name in ["a", "b", "c"] {
        put_file(&mut fs, &format!("/d/{name}"), "");
    }
    let fd = open_directory(&mut fs, "d").unwrap();
    let (first, cookie) = page(&mut fs, fd, 2, 2);
    assert_eq!(first, ["a", "b"]);
    fs.unlink(at("d/b")).unwrap();
    put_file(&mut fs, "/d/new", "");
    put_file(&mut fs, "/x", "");
    fs.rename(at("x"), at("d/a")).unwrap();
    assert_eq!(page(&mut fs, fd, cookie, 9).0, ["c", "new"]);
    assert_eq!(page(&mut fs, fd, 2, 9).0, ["a", "c", "new"]);
}

#[test]
fn only_directories_are_listed() {
    let mut fs = empty();
    let file = make_file(&mut fs, "f");
    assert_eq!(fs.read_directory(file, 0, |_| true), Err(Errno::Notdir));
    assert_eq!(fs.read_directory(0, 0, |_| true), Err(Errno::Notdir));
    assert_eq!(fs.read_directory(50, 0, |_| true), Err(Errno::Badf));
}

#[test]
fn a_removed_directory_lists_itself_only() {
    let mut fs = empty();
    fs.create_dir_all("/d").unwrap();
    let fd = open_directory(&mut fs, "d").unwrap();
    fs.remove_directory(at("d")).unwrap();
    assert_eq!(page(&mut fs, fd, 0, 9).0, [".", ".."]);
}
