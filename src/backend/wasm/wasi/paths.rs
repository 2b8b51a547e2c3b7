//! The `path_*` functions.

use super::call::{Call, Fault};
use super::descriptors::{set_times, write_stat};
use super::guest::GuestMemory;
use crate::backend::wasm::vfs::{Errno, Fd, OpenRequest, PathAt, Rights};

/// A path in the guest's memory: the directory that it starts at, its address and length.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawPath(pub(super) Fd, pub(super) u32, pub(super) u32);

impl RawPath {
    fn read<'a>(self, memory: &'a GuestMemory<'_>) -> Result<PathAt<'a>, Errno> {
        let Self(directory, at, len) = self;
        Ok(PathAt { directory, path: memory.path(at, len)? })
    }
}

/// Whether a symbolic link at the path's end is followed.
fn follows(lookup_flags: u32) -> Result<bool, Errno> {
    match lookup_flags {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::Inval),
    }
}

pub(super) fn path_create_directory(call: &mut Call<'_>, raw: RawPath) -> Result<(), Fault> {
    let path = raw.read(&call.memory)?;
    Ok(call.ctx.fs.make_directory(path)?)
}

pub(super) fn path_filestat_get(call: &mut Call<'_>, flags: u32, raw: RawPath, out: u32) -> Result<(), Fault> {
    let path = raw.read(&call.memory)?;
    let stat = call.ctx.fs.path_stat(path, follows(flags)?)?;
    write_stat(call, out, &stat)
}

pub(super) fn path_filestat_set_times(
    call: &mut Call<'_>,
    flags: u32,
    raw: RawPath,
    times: (u64, u64),
    time_flags: u32,
) -> Result<(), Fault> {
    let (accessed, modified) = set_times(times.0, times.1, time_flags)?;
    let path = raw.read(&call.memory)?;
    Ok(call.ctx.fs.set_path_times(path, follows(flags)?, accessed, modified)?)
}

pub(super) fn path_link(call: &mut Call<'_>, from: RawPath, flags: u32, to: RawPath) -> Result<(), Fault> {
    let (from, to) = (from.read(&call.memory)?, to.read(&call.memory)?);
    Ok(call.ctx.fs.link(from, follows(flags)?, to)?)
}

/// What `path_open` is asked for, as it comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawOpen {
    pub(super) lookup_flags: u32,
    pub(super) oflags: u32,
    pub(super) base: u64,
    pub(super) inheriting: u64,
    pub(super) fdflags: u32,
}

pub(super) fn path_open(call: &mut Call<'_>, raw: RawPath, open: RawOpen, out: u32) -> Result<(), Fault> {
    // Before the file is opened: the guest could not close one whose number it never learnt.
    call.memory.get(out, 4)?;
    let PathAt { directory, path } = raw.read(&call.memory)?;
    let request = OpenRequest {
        path,
        follow: follows(open.lookup_flags)?,
        oflags: u16::try_from(open.oflags).map_err(|_| Errno::Inval)?,
        base: Rights::from_bits(open.base),
        inheriting: Rights::from_bits(open.inheriting),
        fdflags: u16::try_from(open.fdflags).map_err(|_| Errno::Inval)?,
    };
    let fd = call.ctx.fs.open(directory, &request)?;
    Ok(call.memory.write_u32(out, fd)?)
}

pub(super) fn path_readlink(call: &mut Call<'_>, raw: RawPath, (at, len): (u32, u32), out: u32) -> Result<(), Fault> {
    let path = raw.read(&call.memory)?;
    let target = call.ctx.fs.read_link(path)?;
    // A buffer that is too small gets the start.
    let buffer = call.memory.get_mut_at_most(at, len, target.len())?;
    buffer.copy_from_slice(&target.as_bytes()[..buffer.len()]);
    let written = buffer.len() as u32;
    Ok(call.memory.write_u32(out, written)?)
}

pub(super) fn path_remove_directory(call: &mut Call<'_>, raw: RawPath) -> Result<(), Fault> {
    let path = raw.read(&call.memory)?;
    Ok(call.ctx.fs.remove_directory(path)?)
}

pub(super) fn path_rename(call: &mut Call<'_>, from: RawPath, to: RawPath) -> Result<(), Fault> {
    let (from, to) = (from.read(&call.memory)?, to.read(&call.memory)?);
    Ok(call.ctx.fs.rename(from, to)?)
}

pub(super) fn path_symlink(call: &mut Call<'_>, target: (u32, u32), raw: RawPath) -> Result<(), Fault> {
    let target = call.memory.path(target.0, target.1)?;
    let path = raw.read(&call.memory)?;
    Ok(call.ctx.fs.symlink(target, path)?)
}

pub(super) fn path_unlink_file(call: &mut Call<'_>, raw: RawPath) -> Result<(), Fault> {
    let path = raw.read(&call.memory)?;
    Ok(call.ctx.fs.unlink(path)?)
}
