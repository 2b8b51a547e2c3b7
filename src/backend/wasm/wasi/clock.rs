//! Clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::call::{Call, Fault};
use crate::backend::wasm::vfs::Errno;

/// The guest's monotonic and CPU-time clocks. The CPU-time clocks stand still while the guest sleeps.
#[derive(Debug, Clone)]
pub struct GuestClock {
    started: Instant,
    elapsed_before: Duration,
    slept: Duration,
}

impl Default for GuestClock {
    fn default() -> Self {
        Self::resumed(Duration::ZERO)
    }
}

impl GuestClock {
    /// A clock that goes on from a reading of [`GuestClock::elapsed`], so that a kernel which wakes elsewhere never
    /// sees its monotonic clock go back.
    pub fn resumed(elapsed: Duration) -> Self {
        Self { started: Instant::now(), elapsed_before: elapsed, slept: Duration::ZERO }
    }

    /// The monotonic clock.
    pub fn elapsed(&self) -> Duration {
        self.elapsed_before.saturating_add(self.started.elapsed())
    }

    /// The time that was not slept.
    fn busy(&self) -> Duration {
        self.elapsed().saturating_sub(self.slept)
    }

    pub(super) fn add_slept(&mut self, slept: Duration) {
        self.slept = self.slept.saturating_add(slept);
    }
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
            Self::Realtime => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Self::Monotonic => clock.elapsed(),
            Self::Cpu => clock.busy(),
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
