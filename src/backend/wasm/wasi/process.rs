//! Arguments, environment, randomness.

use super::call::{Call, Fault};
use super::meter::tariff;
use crate::backend::wasm::vfs::Errno;

/// How many strings there are, and how many bytes with the NUL after each.
fn sizes<'a>(strings: impl Iterator<Item = (&'a str, &'a str)>) -> (u64, u64) {
    strings.fold((0, 0), |(count, bytes), (name, rest)| (count + 1, bytes + name.len() as u64 + rest.len() as u64 + 1))
}

fn write_sizes(call: &mut Call<'_>, (count, bytes): (u64, u64), out: (u32, u32)) -> Result<(), Fault> {
    call.memory.write_u32(out.0, u32::try_from(count).map_err(|_| Errno::Overflow)?)?;
    call.memory.write_u32(out.1, u32::try_from(bytes).map_err(|_| Errno::Overflow)?)?;
    Ok(())
}

/// Writes the strings one after the other to `buffer`, and their addresses to `pointers`.
fn write_strings<'a>(
    call: &mut Call<'_>,
    strings: impl Iterator<Item = (&'a str, &'a str)>,
    pointers: u32,
    buffer: u32,
) -> Result<(), Fault> {
    let (mut pointer, mut at) = (pointers, buffer);
    for (name, rest) in strings {
        call.memory.write_u32(pointer, at)?;
        pointer = pointer.checked_add(4).ok_or(Errno::Fault)?;
        for bytes in [name.as_bytes(), rest.as_bytes(), b"\0"] {
            call.memory.write(at, bytes)?;
            at = u32::try_from(bytes.len()).ok().and_then(|len| at.checked_add(len)).ok_or(Errno::Fault)?;
        }
    }
    call.work.bytes += u64::from(at - buffer);
    Ok(())
}

pub(super) fn args_sizes_get(call: &mut Call<'_>, count: u32, bytes: u32) -> Result<(), Fault> {
    let args = sizes(call.ctx.args.iter().map(|arg| (arg.as_str(), "")));
    write_sizes(call, args, (count, bytes))
}

pub(super) fn args_get(call: &mut Call<'_>, pointers: u32, buffer: u32) -> Result<(), Fault> {
    let args = call.ctx.args.clone();
    write_strings(call, args.iter().map(|arg| (arg.as_str(), "")), pointers, buffer)
}

pub(super) fn environ_sizes_get(call: &mut Call<'_>, count: u32, bytes: u32) -> Result<(), Fault> {
    let (count_, bytes_) = sizes(call.ctx.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    // An equals sign stands between the two.
    write_sizes(call, (count_, bytes_ + count_), (count, bytes))
}

pub(super) fn environ_get(call: &mut Call<'_>, pointers: u32, buffer: u32) -> Result<(), Fault> {
    let lines: Vec<String> = call.ctx.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    write_strings(call, lines.iter().map(|line| (line.as_str(), "")), pointers, buffer)
}

/// `EINVAL` for more than [`tariff::RANDOM_BYTES`]: wasi-libc asks for 256 bytes at a time.
pub(super) fn random_get(call: &mut Call<'_>, at: u32, len: u32) -> Result<(), Fault> {
    let buffer = call.memory.get_mut(at, len)?;
    if len > tariff::RANDOM_BYTES {
        return Err(Errno::Inval.into());
    }
    getrandom::fill(buffer).map_err(|_| Errno::Io)?;
    call.work.random = u64::from(len);
    Ok(())
}

/// There are no signals.
pub(super) fn proc_raise(_call: &mut Call<'_>, _signal: u32) -> Result<(), Fault> {
    Err(Errno::Nosys.into())
}
