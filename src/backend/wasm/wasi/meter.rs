//! What system calls cost, in fuel.

use wasmtime::{Caller, Trap};

use super::WasiHost;

/// Prices in fuel, and bounds of one call.
pub mod tariff {
    /// Every call.
    pub const CALL: u64 = 1_000;
    /// That many bytes copied cost one unit.
    pub const BYTES_PER_UNIT: u64 = 8;
    /// One step of the file system's work: a name looked up, a chunk dropped, an entry listed.
    pub const STEP: u64 = 200;
    /// One byte of randomness.
    pub const RANDOM_BYTE: u64 = 4;
    /// Bytes that one read, write or listing moves at most; the guest asks again for more.
    pub const TRANSFER_BYTES: usize = 4 << 20;
    /// Bytes that one `random_get` may ask for.
    pub const RANDOM_BYTES: u32 = 1 << 20;
    /// Vectors that one read or write may have.
    pub const VECTORS: u32 = 1024;
    /// Subscriptions that one `poll_oneoff` may have.
    pub const SUBSCRIPTIONS: u32 = 1024;
    /// After that much fuel between two calls that gave way, the next one does: about 0.2 ms of a busy guest.
    pub const SLICE: u64 = 1_000_000;
}

/// The work that a call caused.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Work {
    /// Bytes copied.
    pub(super) bytes: u64,
    /// Bytes of randomness.
    pub(super) random: u64,
    /// Steps of the file system.
    pub(super) steps: u64,
}

impl Work {
    fn price(self) -> u64 {
        tariff::CALL
            .saturating_add(self.bytes / tariff::BYTES_PER_UNIT)
            .saturating_add(self.random.saturating_mul(tariff::RANDOM_BYTE))
            .saturating_add(self.steps.saturating_mul(tariff::STEP))
    }
}

/// What a guest has burnt since it last gave way.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Fuel charged for calls so far.
    pub(super) charged: u64,
    /// Fuel burnt since a call gave way last.
    slice: u64,
    /// Fuel there was after the call before.
    seen: Option<u64>,
}

/// Refuses a call that the guest cannot pay the fixed price of.
pub(super) fn admit<T: WasiHost>(caller: &mut Caller<'_, T>) -> wasmtime::Result<()> {
    match caller.get_fuel() {
        Ok(fuel) if fuel < tariff::CALL => exhaust(caller),
        // An engine without fuel charges nothing.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Takes the price of a call, and says whether it is time to give way. A guest that cannot pay traps.
pub(super) fn charge<T: WasiHost>(caller: &mut Caller<'_, T>, work: Work) -> wasmtime::Result<bool> {
    let price = work.price();
    let before = caller.get_fuel().ok();
    let meter = &mut caller.data_mut().wasi().meter;
    meter.charged = meter.charged.saturating_add(price);
    let burnt_between = match (meter.seen, before) {
        (Some(seen), Some(before)) => seen.saturating_sub(before),
        _ => 0,
    };
    meter.slice = meter.slice.saturating_add(price).saturating_add(burnt_between);
    let gives_way = meter.slice >= tariff::SLICE;
    if gives_way {
        meter.slice = 0;
    }
    let Some(before) = before else { return Ok(gives_way) };
    let Some(left) = before.checked_sub(price) else { return exhaust(caller).map(|()| gives_way) };
    caller.data_mut().wasi().meter.seen = Some(left);
    caller.set_fuel(left)?;
    Ok(gives_way)
}

fn exhaust<T>(caller: &mut Caller<'_, T>) -> wasmtime::Result<()> {
    caller.set_fuel(0)?;
    Err(Trap::OutOfFuel.into())
}
