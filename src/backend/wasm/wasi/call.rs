//! The frame of every system call: memory, charge, errors, giving way.

use wasmtime::{Caller, Extern};

use super::guest::GuestMemory;
use super::meter::{self, Work};
use super::{WasiCtx, WasiHost};
use crate::backend::wasm::vfs::Errno;

/// Why a call has no result.
pub(super) enum Fault {
    /// The guest is told.
    Errno(Errno),
    /// The guest ends.
    Trap(wasmtime::Error),
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// One call in progress.
pub(super) struct Call<'a> {
    pub(super) memory: GuestMemory<'a>,
    pub(super) ctx: &'a mut WasiCtx,
    pub(super) work: Work,
}

/// A call's answer to the guest: 0 or an error number.
pub(super) type Answer = wasmtime::Result<u32>;

/// Runs a call to its end, charges it, and gives way where it is time to.
pub(super) async fn run<T: WasiHost>(
    caller: &mut Caller<'_, T>,
    body: impl FnOnce(&mut Call<'_>) -> Result<(), Fault>,
) -> Answer {
    let (answer, gives_way) = enter(caller, body)?;
    if gives_way {
        tokio::task::yield_now().await;
    }
    Ok(answer)
}

/// Runs a call and charges it: the answer, and whether it is time to give way.
pub(super) fn enter<T: WasiHost>(
    caller: &mut Caller<'_, T>,
    body: impl FnOnce(&mut Call<'_>) -> Result<(), Fault>,
) -> wasmtime::Result<(u32, bool)> {
    meter::admit(caller)?;
    // Looked up each time: a store's memory is the calling instance's, and a lookup costs little.
    let memory = match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Some(memory),
        _ => None,
    };
    let (bytes, data) = match &memory {
        Some(memory) => memory.data_and_store_mut(&mut *caller),
        None => (&mut [][..], caller.data_mut()),
    };
    let ctx = data.wasi();
    // What the host did to the files since the last call is not the guest's to pay.
    ctx.fs.take_steps();
    let mut call = Call { memory: GuestMemory(bytes), ctx, work: Work::default() };
    let result = body(&mut call);
    let mut work = call.work;
    work.steps = work.steps.saturating_add(call.ctx.fs.take_steps());
    let answer = match result {
        Ok(()) => 0,
        Err(Fault::Errno(errno)) => u32::from(errno.code()),
        Err(Fault::Trap(error)) => return Err(error),
    };
    let gives_way = meter::charge(caller, work)?;
    Ok((answer, gives_way))
}
