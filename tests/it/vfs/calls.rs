//! System calls as the guest makes them: memory, errors, charges.

use pymd::backend::wasm::vfs::{Errno, Rights, Whence};
use pymd::backend::wasm::wasi::{Exit, tariff};
use pymd::domain::StreamName;
use wasmtime::Trap;

use super::guest::{FUEL, Guest, at, empty, make_file, put_file, text};

const OK: u16 = 0;
/// Past the end of memory.
const FAR: i64 = u32::MAX as i64 - 7;

async fn guest() -> Guest {
    let mut fs = empty();
    fs.create_dir_all("/home").unwrap();
    put_file(&mut fs, "/home/f", "0123456789");
    Guest::new(fs).await
}

/// Opens a file whose path lies at 0 and returns its descriptor.
async fn opened(guest: &mut Guest, path: &str, oflags: i64) -> i64 {
    guest.put(0, path.as_bytes());
    let rights = Rights::FILE.bits() as i64;
    let len = path.len() as i64;
    assert_eq!(guest.call("path_open", &[3, 1, 0, len, oflags, rights, 0, 0, 512]).await, OK);
    i64::from(guest.u32(512))
}

#[tokio::test]
async fn arguments_and_environment() {
    let mut guest = guest().await;
    assert_eq!(guest.call("args_sizes_get", &[0, 4]).await, OK);
    assert_eq!((guest.u32(0), guest.u32(4)), (2, 9));
    assert_eq!(guest.call("args_get", &[16, 64]).await, OK);
    assert_eq!((guest.u32(16), guest.u32(20)), (64, 70));
    assert_eq!(guest.bytes(64, 9), "guest\0é\0".as_bytes());
    assert_eq!(guest.call("environ_sizes_get", &[0, 4]).await, OK);
    assert_eq!((guest.u32(0), guest.u32(4)), (2, 18));
    assert_eq!(guest.call("environ_get", &[16, 64]).await, OK);
    assert_eq!(guest.bytes(64, 18), b"HOME=/home\0EMPTY=\0");
    assert_eq!(guest.call("environ_get", &[16, FAR]).await, Errno::Fault.code());
    assert_eq!(guest.call("args_get", &[FAR + 6, 64]).await, Errno::Fault.code());
}

#[tokio::test]
async fn clocks() {
    let mut guest = guest().await;
    for clock in 0..4 {
        assert_eq!(guest.call("clock_res_get", &[clock, 0]).await, OK);
        assert!(guest.u64(0) > 0);
        assert_eq!(guest.call("clock_time_get", &[clock, 0, 0]).await, OK);
        let first = guest.u64(0);
        assert_eq!(guest.call("clock_time_get", &[clock, 0, 8]).await, OK);
        assert!(guest.u64(8) >= first, "clock {clock}");
    }
    assert_eq!(guest.call("clock_time_get", &[0, 0, 0]).await, OK);
    assert!(guest.u64(0) > 1_700_000_000_000_000_000);
    assert_eq!(guest.call("clock_time_get", &[4, 0, 0]).await, Errno::Inval.code());
    assert_eq!(guest.call("clock_time_get", &[0, 0, FAR]).await, Errno::Fault.code());
}

#[tokio::test]
async fn the_root_is_preopened() {
    let mut guest = guest().await;
    assert_eq!(guest.call("fd_prestat_get", &[3, 0]).await, OK);
    assert_eq!((guest.u32(0), guest.u32(4)), (0, 1));
    assert_eq!(guest.call("fd_prestat_dir_name", &[3, 0, 1]).await, OK);
    assert_eq!(guest.bytes(0, 1), b"/");
    assert_eq!(guest.call("fd_prestat_dir_name", &[3, 0, 0]).await, Errno::Nametoolong.code());
    for fd in [0, 1, 2, 4, -1] {
        assert_eq!(guest.call("fd_prestat_get", &[fd, 0]).await, Errno::Badf.code());
    }
}

#[tokio::test]
async fn standard_streams() {
    let mut guest = guest().await;
    guest.store.data_mut().0.set_stdin(b"input".to_vec());
    guest.put(100, b"out\xff");
    guest.put_vectors(0, &[(100, 3), (0, 0), (103, 1)]);
    assert_eq!(guest.call("fd_write", &[1, 0, 3, 64]).await, OK);
    assert_eq!(guest.u32(64), 4);
    assert_eq!(guest.call("fd_write", &[2, 0, 1, 64]).await, OK);
    assert_eq!(
        (guest.written.text(StreamName::Stdout).as_str(), guest.written.text(StreamName::Stderr).as_str()),
        ("out\u{fffd}", "out")
    );
    assert_eq!(guest.call("fd_write", &[0, 0, 1, 64]).await, Errno::Badf.code());
    assert_eq!(guest.call("fd_read", &[1, 0, 1, 64]).await, Errno::Badf.code());
    guest.put_vectors(0, &[(200, 2), (300, 100)]);
    assert_eq!(guest.call("fd_read", &[0, 0, 2, 64]).await, OK);
    assert_eq!((guest.u32(64), guest.bytes(200, 2), guest.bytes(300, 3)), (5, b"in".to_vec(), b"put".to_vec()));
    assert_eq!(guest.call("fd_read", &[0, 0, 2, 64]).await, OK);
    assert_eq!(guest.u32(64), 0, "the end of the input");
    assert_eq!(guest.call("fd_pread", &[0, 0, 2, 0, 64]).await, Errno::Spipe.code());
    assert_eq!(guest.call("fd_seek", &[1, 0, 0, 64]).await, Errno::Spipe.code());
    for fd in 0..3 {
        assert_eq!(guest.call("fd_fdstat_get", &[fd, 0]).await, OK);
        assert_eq!(guest.bytes(0, 1), [2], "a character device");
        let seekable = (Rights::FD_SEEK | Rights::FD_TELL).bits();
        assert_eq!(guest.u64(8) & seekable, seekable, "which wasi-libc takes for no terminal");
        assert_eq!(guest.call("fd_filestat_get", &[fd, 0]).await, OK);
        assert_eq!((guest.u64(0), guest.u64(8), guest.bytes(16, 1)), (2, fd as u64 + 1, vec![2]));
    }
    assert_eq!(guest.call("fd_close", &[1]).await, OK);
    assert_eq!(guest.call("fd_write", &[1, 0, 1, 64]).await, Errno::Badf.code());
    assert_eq!(opened(&mut guest, "home/f", 0).await, 1);
}

#[tokio::test]
async fn a_full_sink_ends_the_guest() {
    let mut guest = guest().await;
    guest.put_vectors(0, &[(1024, 100_000)]);
    for _ in 0..10 {
        assert_eq!(guest.call("fd_write", &[1, 0, 1, 64]).await, OK);
    }
    let error = guest.try_call("fd_write", &[1, 0, 1, 64]).await.unwrap_err();
    assert!(format!("{error:?}").contains("output limit"));
    assert_eq!(guest.written.text(StreamName::Stdout).len(), 1 << 20);
}

#[tokio::test]
async fn files_are_read_and_written_in_vectors() {
    let mut guest = guest().await;
    let fd = opened(&mut guest, "home/f", 0).await;
    guest.put_vectors(0, &[(100, 4), (200, 0), (300, 4), (400, 50)]);
    assert_eq!(guest.call("fd_read", &[fd, 0, 4, 64]).await, OK);
    assert_eq!(
        (guest.u32(64), guest.bytes(100, 4), guest.bytes(300, 4), guest.bytes(400, 3)),
        (10, b"0123".to_vec(), b"4567".to_vec(), b"89\0".to_vec())
    );
    assert_eq!(guest.call("fd_tell", &[fd, 64]).await, OK);
    assert_eq!(guest.u64(64), 10);
    assert_eq!(guest.call("fd_write", &[fd, 0, 1, 64]).await, OK);
    assert_eq!(guest.call("fd_pwrite", &[fd, 0, 1, 2, 64]).await, OK);
    assert_eq!(text(guest.fs(), "/home/f"), "01012367890123");
    assert_eq!(guest.call("fd_pread", &[fd, 0, 3, 12, 64]).await, OK);
    assert_eq!((guest.u32(64), guest.bytes(100, 4)), (2, b"2323".to_vec()));
    assert_eq!(guest.call("fd_seek", &[fd, -4, 2, 64]).await, OK);
    assert_eq!(guest.u64(64), 10);
    assert_eq!(guest.call("fd_seek", &[fd, 0, 3, 64]).await, Errno::Inval.code());
    assert_eq!(guest.call("fd_filestat_set_size", &[fd, 3]).await, OK);
    assert_eq!(guest.call("fd_filestat_set_times", &[fd, 5, 6, 0b0101]).await, OK);
    assert_eq!(guest.call("fd_filestat_set_times", &[fd, 5, 6, 0b0011]).await, Errno::Inval.code());
    assert_eq!(guest.call("fd_filestat_get", &[fd, 0]).await, OK);
    let stat: Vec<u64> = (0..7).map(|field| guest.u64(field * 8)).collect();
    assert_eq!((stat[0], stat[2], stat[3], stat[4], stat[5], stat[6]), (1, 4, 1, 3, 5, 6));
    assert_eq!(guest.call("fd_advise", &[fd, 0, 0, 5]).await, OK);
    assert_eq!(guest.call("fd_advise", &[fd, 0, 0, 6]).await, Errno::Inval.code());
    assert_eq!(guest.call("fd_allocate", &[fd, 0, 20]).await, OK);
    assert_eq!(guest.call("fd_sync", &[fd]).await, OK);
    assert_eq!(guest.call("fd_datasync", &[fd]).await, OK);
    assert_eq!(guest.call("fd_fdstat_set_flags", &[fd, 1]).await, OK);
    assert_eq!(guest.call("fd_fdstat_set_rights", &[fd, 0, 0]).await, OK);
    assert_eq!(guest.call("fd_renumber", &[fd, 0]).await, OK);
    assert_eq!(guest.call("fd_close", &[fd]).await, Errno::Badf.code());
}

#[tokio::test]
async fn bad_pointers_change_nothing() {
    let mut guest = guest().await;
    let fd = opened(&mut guest, "home/f", 0).await;
    let fault = Errno::Fault.code();
    guest.put_vectors(0, &[(100, 4), (0xffff_fff0, 0x20)]);
    assert_eq!(guest.call("fd_write", &[fd, 0, 2, 64]).await, fault);
    assert_eq!(guest.call("fd_read", &[fd, 0, 2, 64]).await, fault);
    assert_eq!(guest.call("fd_write", &[fd, FAR, 1, 64]).await, fault);
    assert_eq!(guest.call("fd_write", &[fd, 0, 1, FAR + 4]).await, fault);
    assert_eq!(guest.call("fd_read", &[fd, 0, 1025, 64]).await, Errno::Inval.code());
    assert_eq!(guest.call("fd_read", &[fd, 0, -1, 64]).await, Errno::Inval.code());
    assert_eq!(guest.fs().seek(fd as u32, 0, Whence::Current), Ok(0));
    assert_eq!(text(guest.fs(), "/home/f"), "0123456789");
    guest.put(0, b"new");
    let open_files = guest.fs().usage().open_files;
    assert_eq!(guest.call("path_open", &[3, 0, 0, 3, 1, 0, 0, 0, FAR + 4]).await, fault);
    assert_eq!(guest.call("path_open", &[3, 0, FAR, 100, 1, 0, 0, 0, 64]).await, fault);
    assert_eq!(guest.fs().usage().open_files, open_files);
    assert_eq!(guest.fs().path_stat(at("new"), true), Err(Errno::Noent));
    assert_eq!(guest.call("fd_readdir", &[3, FAR, 100, 0, 64]).await, fault);
    assert_eq!(guest.call("random_get", &[FAR, 100]).await, fault);
    assert_eq!(guest.call("fd_filestat_get", &[3, FAR]).await, fault);
    assert_eq!(guest.call("poll_oneoff", &[0, FAR, 1, 64]).await, fault);
    assert_eq!(guest.call("poll_oneoff", &[FAR, 0, 1, 64]).await, fault);
}

#[tokio::test]
async fn bad_paths_are_told_apart() {
    let mut guest = guest().await;
    for (path, errno) in [
        (&b"a\xff"[..], Errno::Ilseq),
        (b"a\0b", Errno::Inval),
        (b"", Errno::Noent),
        (b"/home", Errno::Perm),
        (b"home/f/x", Errno::Notdir),
    ] {
        guest.put(0, path);
        let len = path.len() as i64;
        assert_eq!(guest.call("path_filestat_get", &[3, 1, 0, len, 64]).await, errno.code(), "{path:?}");
        assert_eq!(guest.call("path_open", &[3, 1, 0, len, 0, 0, 0, 0, 64]).await, errno.code(), "{path:?}");
    }
    guest.put(0, &[b'a'; 5000]);
    assert_eq!(guest.call("path_filestat_get", &[3, 1, 0, 5000, 8000]).await, Errno::Nametoolong.code());
    guest.put(0, b"home");
    assert_eq!(guest.call("path_filestat_get", &[3, 2, 0, 4, 64]).await, Errno::Inval.code());
    assert_eq!(guest.call("path_open", &[3, 1, 0, 4, 1 << 16, 0, 0, 0, 64]).await, Errno::Inval.code());
    assert_eq!(guest.call("path_open", &[3, 1, 0, 4, 0, 0, 0, 1 << 16, 64]).await, Errno::Inval.code());
}

#[tokio::test]
async fn paths_are_changed() {
    let mut guest = guest().await;
    guest.put(0, b"home/f");
    guest.put(16, b"home/g");
    guest.put(32, b"dir");
    guest.put(48, b"link");
    assert_eq!(guest.call("path_create_directory", &[3, 32, 3]).await, OK);
    assert_eq!(guest.call("path_link", &[3, 0, 0, 6, 3, 16, 6]).await, OK);
    assert_eq!(guest.call("path_unlink_file", &[3, 0, 6]).await, OK);
    assert_eq!(guest.call("path_rename", &[3, 16, 6, 3, 0, 6]).await, OK);
    assert_eq!(guest.call("path_symlink", &[0, 6, 3, 48, 4]).await, OK);
    assert_eq!(guest.call("path_readlink", &[3, 48, 4, 100, 4, 64]).await, OK);
    assert_eq!((guest.u32(64), guest.bytes(100, 6)), (4, b"home\0\0".to_vec()), "cut to the buffer");
    assert_eq!(guest.call("path_filestat_set_times", &[3, 1, 48, 4, 7, 8, 0b0101]).await, OK);
    assert_eq!(guest.fs().path_stat(at("home/f"), false).unwrap().times.modified, 8);
    assert_eq!(guest.call("path_remove_directory", &[3, 32, 3]).await, OK);
    assert_eq!(guest.call("path_remove_directory", &[3, 32, 3]).await, Errno::Noent.code());
    assert_eq!(guest.fs().list_names("/").unwrap(), ["home", "link"]);
    assert_eq!(text(guest.fs(), "/link"), "0123456789");
}

#[tokio::test]
async fn listings_fill_the_buffer() {
    let mut guest = guest().await;
    put_file(guest.fs(), "/home/second", "");
    let directory = guest.fs().path_stat(at("home"), true).unwrap().ino;
    guest.put(0, b"home");
    let rights = Rights::FD_READDIR.bits() as i64;
    assert_eq!(guest.call("path_open", &[3, 0, 0, 4, 2, rights, 0, 0, 64]).await, OK);
    let fd = i64::from(guest.u32(64));
    assert_eq!(guest.call("fd_readdir", &[fd, 1000, 1000, 0, 64]).await, OK);
    assert_eq!(guest.u32(64), 4 * 24 + 1 + 2 + 1 + 6, "less than the buffer: the end");
    assert_eq!(
        (guest.u64(1000), guest.u64(1008), guest.u32(1016), guest.bytes(1020, 5)),
        (1, directory, 1, b"\x03\0\0\0.".to_vec())
    );
    let whole = guest.bytes(1000, 106);
    guest.put(1000, &[0; 106]);
    assert_eq!(guest.call("fd_readdir", &[fd, 1000, 60, 0, 64]).await, OK);
    assert_eq!((guest.u32(64), guest.bytes(1000, 60)), (60, whole[..60].to_vec()), "the last entry is cut");
    assert_eq!(guest.call("fd_readdir", &[fd, 1000, 1000, 2, 64]).await, OK);
    assert_eq!(guest.bytes(1000, 55), whole[51..106]);
    assert_eq!(guest.call("fd_readdir", &[fd, 1000, 0, 0, 64]).await, OK);
    assert_eq!(guest.u32(64), 0);
}

#[tokio::test]
async fn randomness_is_bounded() {
    let mut guest = guest().await;
    assert_eq!(guest.call("random_get", &[0, 100]).await, OK);
    let first = guest.bytes(0, 100);
    assert_eq!(guest.call("random_get", &[0, 100]).await, OK);
    assert_ne!(first, guest.bytes(0, 100));
    let fuel = guest.fuel();
    assert_eq!(guest.call("random_get", &[0, 0x1_0000]).await, OK);
    assert!(fuel - guest.fuel() > 0x1_0000);
    assert_eq!(guest.memory_bytes(), 0x2_0000);
    assert_eq!(guest.call("random_get", &[0, 64 << 20]).await, Errno::Fault.code());
}

#[tokio::test]
async fn there_are_no_sockets_and_no_signals() {
    let mut guest = guest().await;
    assert_eq!(guest.call("sock_accept", &[3, 0, 0]).await, Errno::Notsock.code());
    assert_eq!(guest.call("sock_recv", &[3, 0, 0, 0, 0, 0]).await, Errno::Notsock.code());
    assert_eq!(guest.call("sock_send", &[1, 0, 0, 0, 0]).await, Errno::Notsock.code());
    assert_eq!(guest.call("sock_shutdown", &[9, 0]).await, Errno::Badf.code());
    assert_eq!(guest.call("proc_raise", &[6]).await, Errno::Nosys.code());
}

#[tokio::test]
async fn exiting_is_a_typed_error() {
    let mut guest = guest().await;
    let error = guest.try_call("proc_exit", &[-3]).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Exit { code: -3 }));
}

#[tokio::test]
async fn calls_are_charged() {
    let mut guest = guest().await;
    let fd = make_file(guest.fs(), "big");
    guest.fs().set_size(fd, 200 << 20).unwrap();
    guest.put_vectors(0, &[(1000, 80_000)]);
    let before = guest.fuel();
    assert_eq!(guest.call("fd_read", &[i64::from(fd), 0, 1, 64]).await, OK);
    let burnt = before - guest.fuel();
    assert!((tariff::CALL + 10_000..tariff::CALL + 11_000).contains(&burnt), "{burnt}");
    assert!(guest.store.data().0.charged_fuel() <= burnt);
    guest.store.set_fuel(tariff::CALL + 10).unwrap();
    let error = guest.try_call("fd_read", &[i64::from(fd), 0, 1, 64]).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::OutOfFuel));
    guest.store.set_fuel(tariff::CALL / 2).unwrap();
    let error = guest.try_call("path_unlink_file", &[3, 0, 0]).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::OutOfFuel));
    assert_eq!(guest.fuel(), 0);
}

#[tokio::test]
async fn one_call_moves_a_bounded_number_of_bytes() {
    let mut guest = guest().await;
    let fd = make_file(guest.fs(), "big");
    guest.fs().set_size(fd, 200 << 20).unwrap();
    let vectors = vec![(8192, 100_000); 1024];
    guest.put_vectors(0, &vectors);
    let before = guest.fuel();
    assert_eq!(guest.call("fd_read", &[i64::from(fd), 0, 1024, 120_000]).await, OK);
    assert_eq!(guest.u32(120_000) as usize, tariff::TRANSFER_BYTES);
    assert!(before - guest.fuel() > tariff::TRANSFER_BYTES as u64 / 8);
    guest.put_vectors(0, &vectors);
    assert_eq!(guest.call("fd_write", &[i64::from(fd), 0, 1024, 120_000]).await, OK);
    assert_eq!(guest.u32(120_000) as usize, tariff::TRANSFER_BYTES);
    assert!(FUEL > guest.fuel());
}
