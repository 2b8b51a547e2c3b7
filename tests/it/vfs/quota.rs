//! Quotas are exact, also after operations that fail.

use pymd::backend::wasm::vfs::{Errno, Fs, FsQuota, FsUsage, OFLAG_CREATE, OFLAG_TRUNCATE};

use super::guest::{at, make_file, open, put_file};

fn small() -> Fs {
    Fs::new(FsQuota { bytes: 100, inodes: 5, open_files: 6, ..FsQuota::default() })
}

fn used(fs: &Fs) -> (u64, u64, u64) {
    assert_eq!(fs.recount(), fs.usage());
    let FsUsage { bytes, inodes, open_files } = fs.usage();
    (bytes, inodes, open_files)
}

#[test]
fn bytes() {
    let mut fs = small();
    let fd = make_file(&mut fs, "f");
    assert_eq!(fs.write(fd, &[1; 60]), Ok(60));
    assert_eq!(fs.write(fd, &[2; 60]), Ok(40), "what fits");
    assert_eq!(fs.write(fd, &[3; 60]), Err(Errno::Nospc));
    assert_eq!(fs.write_at(fd, 90, &[4; 60]), Ok(10), "overwriting needs no room");
    assert_eq!(fs.write_at(fd, 100, &[5]), Err(Errno::Nospc));
    assert_eq!(fs.write_at(fd, 1 << 40, &[5]), Err(Errno::Nospc));
    assert_eq!(fs.set_size(fd, 101), Err(Errno::Nospc));
    assert_eq!(fs.set_size(fd, 1 << 40), Err(Errno::Nospc));
    assert_eq!(fs.symlink("x", at("l")), Err(Errno::Nospc));
    assert_eq!(used(&fs), (100, 2, 5));
    fs.set_size(fd, 50).unwrap();
    fs.symlink(&"x".repeat(50), at("l")).unwrap();
    assert_eq!(used(&fs), (100, 3, 5));
    fs.unlink(at("l")).unwrap();
    assert_eq!(fs.write_file("/g", &[0; 51]), Err(Errno::Nospc));
    assert_eq!(used(&fs), (50, 2, 5), "a file of the host's is there as a whole or not at all");
    open(&mut fs, "f", OFLAG_TRUNCATE).unwrap();
    assert_eq!(used(&fs), (0, 2, 6));
}

#[test]
fn inodes_and_names() {
    let mut fs = small();
    fs.make_directory(at("d")).unwrap();
    put_file(&mut fs, "/f", "");
    fs.link(at("f"), false, at("g")).unwrap();
    fs.symlink("f", at("l")).unwrap();
    assert_eq!(used(&fs), (1, 5, 4));
    assert_eq!(fs.make_directory(at("e")), Err(Errno::Nospc));
    assert_eq!(fs.symlink("f", at("e")), Err(Errno::Nospc));
    assert_eq!(fs.link(at("f"), false, at("e")), Err(Errno::Nospc));
    assert_eq!(open(&mut fs, "e", OFLAG_CREATE), Err(Errno::Nospc));
    assert_eq!(used(&fs), (1, 5, 4));
    fs.unlink(at("f")).unwrap();
    assert_eq!(used(&fs), (1, 4, 4));
    let fd = open(&mut fs, "g", 0).unwrap();
    fs.unlink(at("g")).unwrap();
    assert_eq!(used(&fs), (1, 4, 5), "an open file counts without a name");
    fs.close(fd).unwrap();
    fs.remove_directory(at("d")).unwrap();
    assert_eq!(used(&fs), (1, 2, 4));
    fs.symlink("ff", at("m")).unwrap();
    fs.rename(at("m"), at("l")).unwrap();
    assert_eq!(used(&fs), (2, 2, 4));
}

#[test]
fn open_files() {
    let mut fs = small();
    make_file(&mut fs, "f");
    open(&mut fs, "f", 0).unwrap();
    assert_eq!(open(&mut fs, "f", OFLAG_TRUNCATE), Err(Errno::Mfile));
    assert_eq!(used(&fs), (0, 2, 6));
}

#[test]
fn a_lower_quota_takes_nothing_away() {
    let mut fs = small();
    let fd = make_file(&mut fs, "f");
    fs.write(fd, &[1; 80]).unwrap();
    fs.set_quota_limits(40, 1);
    assert_eq!(fs.write(fd, &[1]), Err(Errno::Nospc));
    assert_eq!(fs.write_at(fd, 0, &[2; 80]), Ok(80));
    assert_eq!(open(&mut fs, "f", 0), Err(Errno::Mfile));
    fs.set_size(fd, 39).unwrap();
    assert_eq!(fs.write_at(fd, 39, &[2; 9]), Ok(1));
    assert_eq!(used(&fs), (40, 2, 5));
}
