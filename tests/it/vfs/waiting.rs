//! Waiting, giving way, being stopped.

use std::time::{Duration, Instant};

use pymd::backend::wasm::vfs::Errno;
use pymd::backend::wasm::wasi::{ClockReading, GuestClock};
use wasmtime::Trap;

use super::guest::{Guest, empty, put_file};

const OK: u16 = 0;
/// Where events are written to.
const EVENTS: i64 = 4096;

/// A subscription to a clock.
fn alarm(userdata: u64, clock: u32, timeout: u64, flags: u16) -> Vec<u8> {
    let mut raw = vec![0; 48];
    raw[..8].copy_from_slice(&userdata.to_le_bytes());
    raw[16..20].copy_from_slice(&clock.to_le_bytes());
    raw[24..32].copy_from_slice(&timeout.to_le_bytes());
    raw[40..42].copy_from_slice(&flags.to_le_bytes());
    raw
}

/// A subscription to a descriptor: 1 for reading, 2 for writing.
fn descriptor(userdata: u64, kind: u8, fd: u32) -> Vec<u8> {
    let mut raw = vec![0; 48];
    raw[..8].copy_from_slice(&userdata.to_le_bytes());
    raw[8] = kind;
    raw[16..20].copy_from_slice(&fd.to_le_bytes());
    raw
}

/// Waits; the events' user data, errors, types, byte counts and flags.
async fn poll(guest: &mut Guest, subscriptions: &[Vec<u8>]) -> Vec<(u64, u16, u8, u64, u8)> {
    guest.put(0, &subscriptions.concat());
    assert_eq!(guest.call("poll_oneoff", &[0, EVENTS, subscriptions.len() as i64, 65_000]).await, OK);
    let event = |guest: &Guest, at: usize| {
        let raw = guest.bytes(at, 25);
        let errno = u16::from_le_bytes([raw[8], raw[9]]);
        (guest.u64(at), errno, raw[10], guest.u64(at + 16), raw[24])
    };
    (0..guest.u32(65_000) as usize).map(|number| event(guest, EVENTS as usize + 32 * number)).collect()
}

fn now_ns() -> u64 {
    u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

#[tokio::test]
async fn sleeping() {
    let mut guest = Guest::new(empty()).await;
    let started = Instant::now();
    let ms = 1_000_000;
    assert_eq!(poll(&mut guest, &[alarm(7, 1, 50 * ms, 0)]).await, [(7, 0, 0, 0, 0)]);
    assert!(started.elapsed() >= Duration::from_millis(50));
    assert_eq!(poll(&mut guest, &[alarm(1, 1, 20 * ms, 0), alarm(2, 0, u64::MAX, 0)]).await, [(1, 0, 0, 0, 0)]);
    assert_eq!(poll(&mut guest, &[alarm(3, 0, now_ns() + 30 * ms, 1)]).await, [(3, 0, 0, 0, 0)]);
    assert!(started.elapsed() >= Duration::from_millis(95));
    let started = Instant::now();
    assert_eq!(poll(&mut guest, &[alarm(4, 0, 5, 1), alarm(5, 1, 0, 0)]).await.len(), 2, "both are past");
    assert!(started.elapsed() < Duration::from_millis(500));
    let before = guest.store.data().0.clock.reading();
    assert_eq!(poll(&mut guest, &[alarm(1, 1, 50 * ms, 0)]).await.len(), 1);
    let after = guest.store.data().0.clock.reading();
    let (monotonic, busy) = (after.monotonic - before.monotonic, after.busy - before.busy);
    assert!(monotonic >= busy + Duration::from_millis(50), "sleeping takes no CPU time");
}

#[tokio::test]
async fn clocks_go_on_where_a_kernel_does() {
    let mut first = Guest::new(empty()).await;
    assert_eq!(first.call("clock_time_get", &[1, 0, 0]).await, OK);
    let reading = first.store.data().0.clock.reading();
    let mut second = Guest::new(empty()).await;
    assert_eq!(second.call("clock_time_get", &[1, 0, 0]).await, OK);
    assert!(second.u64(0) > first.u64(0), "without being told");
    let ahead = ClockReading { monotonic: reading.monotonic * 2, busy: Duration::from_secs(9) };
    second.store.data_mut().0.clock = GuestClock::resumed(ahead);
    assert_eq!(second.call("clock_time_get", &[1, 0, 0]).await, OK);
    assert_eq!(second.call("clock_time_get", &[3, 0, 8]).await, OK);
    assert!(u128::from(second.u64(0)) >= ahead.monotonic.as_nanos() && second.u64(8) >= 9_000_000_000);
}

#[tokio::test]
async fn descriptors_are_ready_at_once() {
    let mut fs = empty();
    put_file(&mut fs, "/f", "content");
    let fd = super::guest::open(&mut fs, "f", 0).unwrap();
    let mut guest = Guest::new(fs).await;
    guest.store.data_mut().0.set_stdin(b"in".to_vec());
    let far = alarm(1, 1, u64::MAX, 0);
    let events = poll(
        &mut guest,
        &[
            far,
            descriptor(2, 1, fd),
            descriptor(3, 2, fd),
            descriptor(4, 1, 0),
            descriptor(5, 2, 1),
            descriptor(6, 1, 99),
        ],
    )
    .await;
    let badf = Errno::Badf.code();
    assert_eq!(events, [(2, 0, 1, 7, 0), (3, 0, 2, 1, 0), (4, 0, 1, 2, 0), (5, 0, 2, 1, 0), (6, badf, 1, 0, 0)]);
    guest.store.data_mut().0.set_stdin(Vec::new());
    assert_eq!(poll(&mut guest, &[descriptor(1, 1, 0)]).await, [(1, 0, 1, 0, 1)], "the end of the input");
    assert_eq!(poll(&mut guest, &[descriptor(1, 2, 0)]).await, [(1, badf, 2, 0, 0)]);
    assert_eq!(poll(&mut guest, &[descriptor(1, 1, 3)]).await, [(1, Errno::Notcapable.code(), 1, 0, 0)]);
}

#[tokio::test]
async fn bad_subscriptions_are_refused() {
    let mut guest = Guest::new(empty()).await;
    assert_eq!(guest.call("poll_oneoff", &[0, EVENTS, 0, 65_000]).await, Errno::Inval.code());
    assert_eq!(guest.call("poll_oneoff", &[0, EVENTS, 1025, 65_000]).await, Errno::Inval.code());
    assert_eq!(guest.call("poll_oneoff", &[0, EVENTS, -1, 65_000]).await, Errno::Inval.code());
    guest.put(0, &descriptor(0, 3, 0));
    assert_eq!(guest.call("poll_oneoff", &[0, EVENTS, 1, 65_000]).await, Errno::Inval.code());
    let refused = poll(&mut guest, &[alarm(1, 2, 5, 0), alarm(2, 9, 5, 0)]).await;
    assert_eq!(refused, [(1, Errno::Notsup.code(), 0, 0, 0), (2, Errno::Inval.code(), 0, 0, 0)]);
}

#[tokio::test]
async fn a_sleeping_guest_ends_with_its_future() {
    let mut guest = Guest::new(empty()).await;
    guest.put(0, &alarm(1, 1, u64::MAX, 0));
    let started = Instant::now();
    let slept = guest.call("poll_oneoff", &[0, EVENTS, 1, 65_000]);
    assert!(tokio::time::timeout(Duration::from_millis(50), slept).await.is_err());
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_guest_that_only_calls_gives_way_and_runs_out_of_fuel() {
    let mut guest = Guest::new(empty()).await;
    guest.store.set_fuel(u64::MAX).unwrap();
    let started = Instant::now();
    assert!(tokio::time::timeout(Duration::from_millis(50), guest.spin()).await.is_err());
    assert!(started.elapsed() < Duration::from_secs(5), "it was stopped between two calls");
    let mut guest = Guest::new(empty()).await;
    let error = guest.spin().await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::OutOfFuel));
}

#[tokio::test]
async fn yielding() {
    let mut guest = Guest::new(empty()).await;
    assert_eq!(guest.call("sched_yield", &[]).await, OK);
}
