//! Waiting: `poll_oneoff` and `sched_yield`, the only calls that take time.

use std::time::{Duration, Instant};

use wasmtime::Caller;

use super::WasiHost;
use super::call::{self, Answer, Call, Fault};
use super::clock::{ClockId, GuestClock};
use super::guest::{u32_at, u64_at};
use super::meter::tariff;
use crate::backend::wasm::vfs::{Errno, Fs, Handle, Rights, Stdio};

/// Bytes of a subscription.
const SUBSCRIPTION_BYTES: u32 = 48;
/// Bytes of an event.
const EVENT_BYTES: u32 = 32;
/// The deadline is a time, not a duration.
const ABSOLUTE: u32 = 1;

const CLOCK: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;

/// Something that happened, or an error of the subscription to it.
#[derive(Debug, Clone, Copy)]
struct Event {
    userdata: u64,
    errno: u16,
    kind: u8,
    bytes: u64,
    hang_up: bool,
}

/// A subscription to a clock.
#[derive(Debug, Clone, Copy)]
struct Alarm {
    userdata: u64,
    after: Duration,
}

/// What a call waits for: alarms only, when nothing is ready.
#[derive(Debug, Default)]
struct Plan {
    ready: Vec<Event>,
    alarms: Vec<Alarm>,
}

impl Plan {
    /// How long to wait; nothing where something is ready.
    fn wait(&self) -> Duration {
        let first = self.alarms.iter().map(|alarm| alarm.after).min().unwrap_or_default();
        if self.ready.is_empty() { first } else { Duration::ZERO }
    }
}

/// Waits until one subscription is due. A sleep ends with the call's future; it burns no fuel.
pub(super) async fn poll_oneoff<T: WasiHost>(
    caller: &mut Caller<'_, T>,
    subscriptions: u32,
    events: u32,
    count: u32,
    out: u32,
) -> Answer {
    let mut plan = Plan::default();
    let (answer, _) = call::enter(caller, |call| {
        plan = make_plan(call, subscriptions, events, count, out)?;
        Ok(())
    })?;
    if answer != 0 {
        return Ok(answer);
    }
    let wait = plan.wait();
    let started = Instant::now();
    if wait.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(wait).await;
    }
    let slept = started.elapsed();
    call::run(caller, |call| {
        call.ctx.clock.add_slept(slept);
        let due = plan.alarms.iter().filter(|alarm| alarm.after <= slept.max(wait)).map(|alarm| Event {
            userdata: alarm.userdata,
            errno: 0,
            kind: CLOCK,
            bytes: 0,
            hang_up: false,
        });
        write_events(call, plan.ready.iter().copied().chain(due), events, out)
    })
    .await
}

fn make_plan(call: &mut Call<'_>, subscriptions: u32, events: u32, count: u32, out: u32) -> Result<Plan, Fault> {
    if count == 0 || count > tariff::SUBSCRIPTIONS {
        return Err(Errno::Inval.into());
    }
    call.memory.get(events, count * EVENT_BYTES)?;
    call.memory.get(out, 4)?;
    call.work.steps += u64::from(count);
    let mut plan = Plan::default();
    let raw = call.memory.get(subscriptions, count * SUBSCRIPTION_BYTES)?;
    for raw in raw.chunks_exact(SUBSCRIPTION_BYTES as usize) {
        let userdata = u64_at(raw, 0);
        let kind = raw[8];
        let failed = |errno: Errno| Event { userdata, errno: errno.code(), kind, bytes: 0, hang_up: false };
        match kind {
            CLOCK => match alarm_after(raw, &call.ctx.clock) {
                Ok(after) => plan.alarms.push(Alarm { userdata, after }),
                Err(errno) => plan.ready.push(failed(errno)),
            },
            READ | WRITE => {
                let ready = readiness(&call.ctx.fs, call.ctx.stdin.rest().len() as u64, u32_at(raw, 16), kind);
                plan.ready.push(match ready {
                    Ok((bytes, hang_up)) => Event { userdata, errno: 0, kind, bytes, hang_up },
                    Err(errno) => failed(errno),
                });
            }
            _ => return Err(Errno::Inval.into()),
        }
    }
    Ok(plan)
}

/// How long it is to a clock subscription's deadline.
fn alarm_after(raw: &[u8], clock: &GuestClock) -> Result<Duration, Errno> {
    let id = ClockId::from_raw(u32_at(raw, 16))?;
    if id == ClockId::Cpu {
        return Err(Errno::Notsup);
    }
    let timeout = u64_at(raw, 24);
    let flags = u32_at(raw, 40) & 0xffff;
    let left = if flags & ABSOLUTE == 0 { timeout } else { timeout.saturating_sub(id.now_ns(clock)) };
    Ok(Duration::from_nanos(left))
}

/// How many bytes can be read or written at once, and whether no more will come: no file ever blocks.
fn readiness(fs: &Fs, stdin_left: u64, fd: u32, kind: u8) -> Result<(u64, bool), Errno> {
    let file = fs.file(fd)?;
    let needed = if kind == READ { Rights::FD_READ } else { Rights::FD_WRITE };
    if !file.base.contains(needed | Rights::POLL_FD_READWRITE) {
        return Err(if matches!(file.handle, Handle::Stdio(_)) { Errno::Badf } else { Errno::Notcapable });
    }
    Ok(match (file.handle, kind) {
        (Handle::Stdio(Stdio::Stdin), _) => (stdin_left, stdin_left == 0),
        (Handle::File(_), READ) => (fs.reader(fd)?.size().saturating_sub(file.position), false),
        _ => (1, false),
    })
}

fn write_events(
    call: &mut Call<'_>,
    happened: impl Iterator<Item = Event>,
    events: u32,
    out: u32,
) -> Result<(), Fault> {
    let mut at = events;
    let mut count = 0;
    for event in happened {
        let mut raw = [0; EVENT_BYTES as usize];
        raw[..8].copy_from_slice(&event.userdata.to_le_bytes());
        raw[8..10].copy_from_slice(&event.errno.to_le_bytes());
        raw[10] = event.kind;
        raw[16..24].copy_from_slice(&event.bytes.to_le_bytes());
        raw[24] = u8::from(event.hang_up);
        call.memory.write(at, &raw)?;
        at = at.checked_add(EVENT_BYTES).ok_or(Errno::Fault)?;
        count += 1;
    }
    Ok(call.memory.write_u32(out, count)?)
}

/// Gives way to other tasks.
pub(super) async fn sched_yield<T: WasiHost>(caller: &mut Caller<'_, T>) -> Answer {
    let (answer, _) = call::enter(caller, |_| Ok(()))?;
    tokio::task::yield_now().await;
    Ok(answer)
}
