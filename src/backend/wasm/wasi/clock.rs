//! Clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::call::{Call, Fault};
use crate::backend::wasm::vfs::Errno;

/// The guest's monotonic and CPU-time clocks.
///
/// The monotonic clock counts from 1970 as the host's clock stood when this one was made: whatever store a kernel goes
/// on in, on whatever host, it goes on later, and so does its clock. The CPU-time clocks count from the kernel's birth
/// where they are handed on ([`GuestClock::resumed`]), and stand still while the guest sleeps.
#[derive(Debug, Clone)]
pub struct GuestClock {
    started: Instant,
    monotonic_before: Duration,
    busy_before: Duration,
    slept: Duration,
}

/// What the clocks show, to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClockReading {
    /// The monotonic clock.
    pub monotonic: Duration,
    /// The CPU-time clocks.
    pub busy: Duration,
}

impl Default for GuestClock {
    fn default() -> Self {
        Self::resumed(ClockReading::default())
    }
}

impl GuestClock {
    /// Clocks that go on from a reading.
    pub fn resumed(reading: ClockReading) -> Self {
        Self {
            started: Instant::now(),
            monotonic_before: since_epoch().max(reading.monotonic),
            busy_before: reading.busy,
            slept: Duration::ZERO,
        }
    }

    /// What the clocks show.
    pub fn reading(&self) -> ClockReading {
        let elapsed = self.started.elapsed();
        ClockReading {
            monotonic: self.monotonic_before.saturating_add(elapsed),
            busy: self.busy_before.saturating_add(elapsed.saturating_sub(self.slept)),
        }
    }

    pub(super) fn add_slept(&mut self, slept: Duration) {
        self.slept = self.slept.saturating_add(slept);
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A clock of preview 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClockId {
    Realtime,
    Monotonic,
    Cpu,
}

impl ClockId {
    pub(super) fn from_raw(raw: u32) -> Result<Self, Errno> {
        match raw {
            0 => Ok(Self::Realtime),
            1 => Ok(Self::Monotonic),
            2 | 3 => Ok(Self::Cpu),
            _ => Err(Errno::Inval),
        }
    }

    /// What the clock shows, in nanoseconds.
    pub(super) fn now_ns(self, clock: &GuestClock) -> u64 {
        let reading = match self {
            Self::Realtime => since_epoch(),
            Self::Monotonic => clock.reading().monotonic,
            Self::Cpu => clock.reading().busy,
        };
        u64::try_from(reading.as_nanos()).unwrap_or(u64::MAX)
    }
}

pub(super) fn clock_res_get(call: &mut Call<'_>, id: u32, out: u32) -> Result<(), Fault> {
    ClockId::from_raw(id)?;
    Ok(call.memory.write_u64(out, 1)?)
}

pub(super) fn clock_time_get(call: &mut Call<'_>, id: u32, _precision: u64, out: u32) -> Result<(), Fault> {
    let now = ClockId::from_raw(id)?.now_ns(&call.ctx.clock);
    Ok(call.memory.write_u64(out, now)?)
}
