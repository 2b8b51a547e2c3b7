//! Two states of a file system are told apart.

use pymd::backend::wasm::vfs::{Fs, SetTime};

use super::guest::{at, empty, make_file, open_read, put_file};

fn start() -> Fs {
    let mut fs = empty();
    fs.create_dir_all("/tmp/inner").unwrap();
    put_file(&mut fs, "/tmp/file", "text");
    fs.symlink("file", at("tmp/link")).unwrap();
    fs.mount_file("/lib/given", std::sync::Arc::new(b"given".as_slice())).unwrap();
    fs
}

/// What differs after some changes.
fn after(change: impl FnOnce(&mut Fs)) -> Option<String> {
    let before = start();
    let mut fs = before.clone();
    change(&mut fs);
    fs.difference(&before)
}

#[test]
fn what_was_changed_is_named() {
    let cases = [
        (after(|fs| put_file(fs, "/tmp/inner/new", "")), "/tmp/inner/new was made"),
        (after(|fs| fs.make_directory(at("tmp/dir")).unwrap()), "/tmp/dir was made"),
        (after(|fs| fs.unlink(at("tmp/file")).unwrap()), "/tmp/file was removed"),
        (after(|fs| fs.remove_directory(at("tmp/inner")).unwrap()), "/tmp/inner was removed"),
        (after(|fs| fs.rename(at("tmp/file"), at("tmp/other")).unwrap()), "/tmp was changed"),
        (after(|fs| fs.rename(at("tmp"), at("moved")).unwrap()), "/ was changed"),
        (after(|fs| put_file(fs, "/tmp/file", "TEXT")), "/tmp/file was changed"),
        (after(|fs| put_file(fs, "/tmp/file", "text and more")), "/tmp/file was changed"),
        (after(|fs| assert!(open_read(fs, "tmp/file").is_ok())), "/tmp/file was left open"),
        (after(|fs| fs.close(1).unwrap()), "a descriptor was closed"),
    ];
    for (found, expected) in cases {
        assert_eq!(found.as_deref(), Some(expected));
    }
    let unlinked = after(|fs| {
        make_file(fs, "tmp/new");
        fs.unlink(at("tmp/new")).unwrap();
    });
    assert_eq!(unlinked.as_deref(), Some("a file without a name was made"));
    assert!(after(|fs| assert!(open_read(fs, "lib/given").is_ok())).unwrap().contains("left open"));
}

#[test]
fn what_is_as_it_was_does_not_differ() {
    let same = after(|fs| {
        let fd = make_file(fs, "tmp/new");
        fs.close(fd).unwrap();
        fs.unlink(at("tmp/new")).unwrap();
        let fd = open_read(fs, "lib/given").unwrap();
        fs.close(fd).unwrap();
        fs.rename(at("tmp/file"), at("file")).unwrap();
        fs.rename(at("file"), at("tmp/file")).unwrap();
        fs.set_path_times(at("tmp/file"), true, SetTime::To(1), SetTime::To(1)).unwrap();
        put_file(fs, "/tmp/file", "text");
    });
    assert_eq!(same, None);
}
