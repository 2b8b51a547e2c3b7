//! Reading and writing.

use pymd::backend::wasm::vfs::{Errno, FDFLAG_APPEND, Rights, SetTime, Whence};

use super::guest::{at, empty, make_file, open, open_directory, open_with, put_file, read, rewind, text};

#[test]
fn positions_move() {
    let mut fs = empty();
    let fd = make_file(&mut fs, "f");
    assert_eq!(fs.write(fd, b"0123456789"), Ok(10));
    assert_eq!(fs.seek(fd, 0, Whence::Current), Ok(10));
    assert_eq!(fs.seek(fd, -3, Whence::End), Ok(7));
    assert_eq!(read(&mut fs, fd, 9).unwrap(), b"789");
    assert_eq!(read(&mut fs, fd, 9).unwrap(), b"");
    assert_eq!(fs.seek(fd, -8, Whence::Current), Ok(2));
    assert_eq!(fs.write(fd, b"XX"), Ok(2));
    assert_eq!(text(&fs, "/f"), "01XX456789");
    assert_eq!(fs.seek(fd, -1, Whence::Start), Err(Errno::Inval));
    assert_eq!(fs.seek(fd, i64::MIN, Whence::End), Err(Errno::Inval));
    assert_eq!(fs.seek(fd, i64::MAX, Whence::Start), Ok(i64::MAX as u64));
    assert_eq!(fs.seek(fd, i64::MAX, Whence::Current), Err(Errno::Inval));
    assert_eq!(read(&mut fs, fd, 9).unwrap(), b"");
    assert_eq!(fs.write(fd, b"x"), Err(Errno::Fbig));
    assert_eq!(fs.write(fd, b""), Ok(0));
    assert_eq!(fs.seek(0, 0, Whence::Current), Err(Errno::Spipe));
}

#[test]
fn appending_goes_to_the_end() {
    let mut fs = empty();
    put_file(&mut fs, "/f", "start");
    let fd = open_with(&mut fs, "f", 0, Rights::FILE, FDFLAG_APPEND).unwrap();
    let other = open(&mut fs, "f", 0).unwrap();
    fs.write(fd, b"-a").unwrap();
    fs.seek(other, 0, Whence::End).unwrap();
    fs.write(other, b"-b").unwrap();
    rewind(&mut fs, fd);
    fs.write(fd, b"-c").unwrap();
    assert_eq!(text(&fs, "/f"), "start-a-b-c");
    fs.set_flags(fd, 0).unwrap();
    rewind(&mut fs, fd);
    fs.write(fd, b"S").unwrap();
    assert_eq!(text(&fs, "/f"), "Start-a-b-c");
    assert_eq!(fs.set_flags(fd, 1 << 5), Err(Errno::Inval));
}

#[test]
fn holes_read_as_zeros() {
    let mut fs = empty();
    let fd = make_file(&mut fs, "f");
    let far = 10 << 20;
    assert_eq!(fs.write_at(fd, far, b"end"), Ok(3));
    assert_eq!(fs.file_stat(fd).unwrap().size, far + 3);
    assert_eq!(fs.usage().bytes, far + 3);
    let mut buf = vec![1; 200_000];
    assert_eq!(fs.reader(fd).unwrap().read_at(far - 199_997, &mut buf), Ok(200_000));
    assert!(buf[..199_997].iter().all(|byte| *byte == 0) && &buf[199_997..] == b"end");
    assert_eq!(fs.seek(fd, 0, Whence::Current), Ok(0), "pwrite leaves the position alone");
}

#[test]
fn cutting_and_growing() {
    let mut fs = empty();
    let fd = make_file(&mut fs, "f");
    fs.write(fd, &[b'x'; 150_000]).unwrap();
    fs.set_size(fd, 70_000).unwrap();
    assert_eq!(fs.usage().bytes, 70_000);
    fs.set_size(fd, 140_000).unwrap();
    let content = fs.read_file("/f").unwrap();
    assert_eq!(content.len(), 140_000);
    assert!(content[..70_000].iter().all(|byte| *byte == b'x') && content[70_000..].iter().all(|byte| *byte == 0));
    assert_eq!(fs.seek(fd, 0, Whence::Current), Ok(150_000), "the position stays");
    assert_eq!(read(&mut fs, fd, 9).unwrap(), b"");
    fs.write(fd, b"!").unwrap();
    assert_eq!(fs.file_stat(fd).unwrap().size, 150_001);
    fs.set_size(fd, 0).unwrap();
    assert_eq!((fs.usage().bytes, fs.read_file("/f")), (0, Ok(vec![])));
    assert_eq!(fs.set_size(fd, u64::MAX), Err(Errno::Inval));
    assert_eq!(fs.set_size(fd, i64::MAX as u64), Err(Errno::Nospc));
    assert_eq!(fs.recount(), fs.usage());
}

#[test]
fn allocating_grows_and_never_cuts() {
    let mut fs = empty();
    let fd = make_file(&mut fs, "f");
    fs.write(fd, b"text").unwrap();
    fs.allocate(fd, 0, 2).unwrap();
    assert_eq!(text(&fs, "/f"), "text");
    fs.allocate(fd, 4, 2).unwrap();
    assert_eq!((text(&fs, "/f").as_str(), fs.usage().bytes), ("text\0\0", 6));
    assert_eq!(fs.allocate(fd, 0, 0), Err(Errno::Inval));
    assert_eq!(fs.allocate(fd, i64::MAX as u64, 1), Err(Errno::Fbig));
    assert_eq!(fs.allocate(fd, u64::MAX, 1), Err(Errno::Inval));
    assert_eq!(fs.allocate(fd, 0, 1 << 40), Err(Errno::Nospc));
}

#[test]
fn directories_are_no_files() {
    let mut fs = empty();
    fs.create_dir_all("/d").unwrap();
    let fd = open_directory(&mut fs, "d").unwrap();
    assert_eq!(fs.reader(fd).err(), Some(Errno::Isdir));
    assert_eq!(fs.write(fd, b"x"), Err(Errno::Isdir));
    assert_eq!(fs.set_size(fd, 0), Err(Errno::Inval));
    assert_eq!(fs.seek(fd, 0, Whence::Start), Err(Errno::Badf));
    fs.sync(fd, Rights::FD_SYNC).unwrap();
}

#[test]
fn times_are_kept() {
    let mut fs = empty();
    put_file(&mut fs, "/f", "text");
    let made = fs.path_stat(at("f"), true).unwrap().times;
    assert!(made.accessed > 1_700_000_000_000_000_000 && made.accessed <= made.modified);
    fs.set_path_times(at("f"), true, SetTime::To(5), SetTime::To(7)).unwrap();
    let fd = open(&mut fs, "f", 0).unwrap();
    let set = fs.file_stat(fd).unwrap().times;
    assert_eq!((set.accessed, set.modified), (5, 7));
    assert!(set.changed >= made.changed);
    fs.set_times(fd, SetTime::Keep, SetTime::Now).unwrap();
    let now = fs.file_stat(fd).unwrap().times;
    assert_eq!(now.accessed, 5);
    assert!(now.modified >= made.modified);
    fs.set_times(fd, SetTime::Keep, SetTime::To(1)).unwrap();
    fs.write(fd, b"x").unwrap();
    assert!(fs.file_stat(fd).unwrap().times.modified >= now.modified, "writing sets the time of change");
    fs.symlink("f", at("l")).unwrap();
    fs.set_path_times(at("l"), false, SetTime::To(9), SetTime::To(9)).unwrap();
    assert_eq!(fs.path_stat(at("l"), false).unwrap().times.modified, 9);
    assert_ne!(fs.path_stat(at("l"), true).unwrap().times.modified, 9);
    assert_eq!(fs.set_times(1, SetTime::Now, SetTime::Now), Err(Errno::Inval));
}

#[test]
fn many_small_writes_after_a_clone_change_only_one_side() {
    let mut fs = empty();
    let fd = make_file(&mut fs, "f");
    let mut expected = Vec::new();
    let mut checkpoints = Vec::new();
    for step in 0..2_000_u32 {
        let bytes = step.to_le_bytes().repeat(25);
        fs.write(fd, &bytes).unwrap();
        expected.extend_from_slice(&bytes);
        if step % 500 == 0 {
            checkpoints.push((expected.clone(), fs.clone()));
        }
    }
    checkpoints.push((expected, fs));
    for (expected, fs) in checkpoints {
        assert!(fs.read_file("/f").unwrap() == expected);
        assert_eq!(fs.recount(), fs.usage());
    }
}
