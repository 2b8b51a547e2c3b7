//! The guest's door: `host::call`, by which the cell runner gets its work and tells what happens.
//!
//! One request is one JSON object with an `op` (see `runtime/guest/README.md`). Everything in it is hostile: sizes
//! are bounded before bytes are looked at, addresses are checked by wasmtime's memory accessors, and whatever is not
//! understood is answered with [`FAULT`] and changes nothing.

use serde::Deserialize;
use serde_json::{Map, Value};
use wasmtime::{Caller, Extern, Linker, Memory, TypedFunc};

use super::guest::{CellProblem, Guest};
use super::recorder::OutputLimit;
use crate::domain::{MimeBundle, Output};
use cost::{bundle_bytes, structure_bytes};

mod cost;

/// The request could not be understood or answered.
const FAULT: i32 = -2;
/// What an output costs besides its content, in bytes.
const FRAME_BYTES: usize = 64;
/// Room that a frame needs around the outputs in it.
const FRAME_SLACK: u64 = 1 << 20;
/// Fuel for one call, and bytes a unit of fuel pays for: a frame is parsed at some 200 MB/s.
const CALL_FUEL: u64 = 20_000;
const FUEL_PER_BYTE: u64 = 16;
/// Every so many calls give the thread away, and each of that size does: both are some 0.2 ms of work.
const YIELD_CALLS: u64 = 16;
const YIELD_BYTES: u32 = 32 << 10;
/// Lines that a traceback may have.
const MAX_TRACEBACK_LINES: usize = 2_000;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Request {
    Cell,
    Display {
        data: MimeBundle,
        #[serde(default)]
        metadata: MimeBundle,
        #[serde(default)]
        display_id: Option<String>,
        #[serde(default)]
        update: bool,
    },
    Result {
        data: MimeBundle,
        #[serde(default)]
        metadata: MimeBundle,
    },
    Error {
        ename: String,
        evalue: String,
        traceback: Vec<String>,
    },
    Exit {
        code: i32,
    },
    Clear {
        #[serde(default)]
        wait: bool,
    },
    Problems {
        items: Vec<CellProblem>,
    },
}

/// Puts `host::call` into a linker.
///
/// # Errors
/// When the linker has one already.
pub fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async("host", "call", |mut caller: Caller<'_, Guest>, params: (u32, u32, u32, u32)| {
        Box::new(async move {
            let (at, len, out_at, out_len) = params;
            let answer = call(&mut caller, at, len, out_at, out_len).await?;
            give_way(&mut caller, len).await;
            Ok(answer)
        })
    })?;
    Ok(())
}

async fn call(caller: &mut Caller<'_, Guest>, at: u32, len: u32, out_at: u32, out_len: u32) -> wasmtime::Result<i32> {
    let (Some(memory), Some(alloc)) = exports(caller) else { return Ok(FAULT) };
    charge(caller, u64::from(len))?;
    let limit_bytes = caller.data().recorder.with(|recorder| recorder.limit_bytes());
    let most = limit_bytes.saturating_add(FRAME_SLACK);
    if u64::from(len) > most {
        return Err(OutputLimit { limit_bytes }.into());
    }
    let (bytes, guest) = memory.data_and_store_mut(&mut *caller);
    let Some(frame) = bytes.get(at as usize..).and_then(|rest| rest.get(..len as usize)) else { return Ok(FAULT) };
    if structure_bytes(frame) as u64 > most {
        return Err(OutputLimit { limit_bytes }.into());
    }
    let Ok(request) = serde_json::from_slice::<Request>(frame) else { return Ok(FAULT) };
    let answer = handle(guest, request, len as usize)?;
    let Ok(answer_len) = u32::try_from(answer.len()) else { return Ok(FAULT) };
    charge(caller, u64::from(answer_len))?;
    let room = alloc.call_async(&mut *caller, answer_len).await?;
    if room == 0
        || memory.write(&mut *caller, room as usize, &answer).is_err()
        || memory.write(&mut *caller, out_at as usize, &room.to_le_bytes()).is_err()
        || memory.write(&mut *caller, out_len as usize, &answer_len.to_le_bytes()).is_err()
    {
        return Ok(FAULT);
    }
    Ok(0)
}

/// `set_fuel` starts the engine's yield interval anew: a guest that does little but call would else never yield, and
/// not end at its deadline. That goes for calls that fail, too.
async fn give_way(caller: &mut Caller<'_, Guest>, bytes: u32) {
    let guest = caller.data_mut();
    guest.door_calls += 1;
    if bytes >= YIELD_BYTES || guest.door_calls.is_multiple_of(YIELD_CALLS) {
        tokio::task::yield_now().await;
    }
}

fn exports(caller: &mut Caller<'_, Guest>) -> (Option<Memory>, Option<TypedFunc<u32, u32>>) {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    let alloc = caller.get_export("host_alloc").and_then(Extern::into_func);
    let alloc = alloc.and_then(|alloc| alloc.typed(&*caller).ok());
    (memory, alloc)
}

fn charge(caller: &mut Caller<'_, Guest>, bytes: u64) -> wasmtime::Result<()> {
    let fuel = caller.get_fuel()?;
    caller.set_fuel(fuel.saturating_sub(CALL_FUEL + bytes * FUEL_PER_BYTE))
}

fn handle(guest: &mut Guest, request: Request, frame_bytes: usize) -> Result<Vec<u8>, OutputLimit> {
    let count = guest.count;
    let recorder = guest.recorder.clone();
    match request {
        Request::Cell => return Ok(work(guest)),
        Request::Problems { items } => guest.problems = items,
        Request::Exit { code } => recorder.with(|recorder| recorder.ending.exit = Some(code)),
        Request::Clear { wait } => recorder.with(|recorder| recorder.clear(wait, FRAME_BYTES))?,
        Request::Display { data, metadata, display_id: Some(id), update: true } => {
            let bytes = bundle_bytes(&data) + bundle_bytes(&metadata) + id.len() + FRAME_BYTES;
            recorder.with(|recorder| recorder.update(id, data, metadata, bytes))?;
        }
        Request::Display { data, metadata, display_id, .. } => {
            let id_bytes = display_id.as_ref().map_or(0, String::len);
            let bytes = bundle_bytes(&data) + bundle_bytes(&metadata) + id_bytes + FRAME_BYTES;
            recorder.with(|recorder| recorder.push(Output::DisplayData { data, metadata, display_id }, bytes))?;
        }
        Request::Result { data, metadata } => {
            let bytes = bundle_bytes(&data) + bundle_bytes(&metadata) + FRAME_BYTES;
            let output = Output::ExecuteResult { execution_count: count, data, metadata };
            recorder.with(|recorder| recorder.push(output, bytes))?;
        }
        Request::Error { ename, evalue, mut traceback } => {
            traceback.truncate(MAX_TRACEBACK_LINES);
            recorder.with(|recorder| {
                if recorder.ending.error.is_some() {
                    return Ok(());
                }
                recorder.ending.error = Some((ename.clone(), evalue.clone(), traceback.clone()));
                recorder.push(Output::Error { ename, evalue, traceback }, frame_bytes)
            })?;
        }
    }
    Ok(b"{}".to_vec())
}

/// The cell to run, handed out once.
fn work(guest: &mut Guest) -> Vec<u8> {
    let work = guest.work.take().and_then(|work| serde_json::to_vec(&work).ok());
    work.unwrap_or_else(|| serde_json::to_vec(&Value::Object(Map::new())).unwrap_or_default())
}
