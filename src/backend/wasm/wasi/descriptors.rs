//! The `fd_*` functions.

use super::WasiCtx;
use super::call::{Call, Fault};
use super::meter::tariff;
use crate::backend::wasm::vfs::{Errno, Fd, FdStat, Rights, SetTime, Stat, Stdio, Whence};
use crate::domain::StreamName;

/// Bytes of an entry's head in a listing.
const DIRENT_BYTES: usize = 24;

pub(super) fn fd_advise(call: &mut Call<'_>, fd: Fd, _offset: u64, _len: u64, advice: u32) -> Result<(), Fault> {
    if advice > 5 {
        return Err(Errno::Inval.into());
    }
    Ok(call.ctx.fs.advise(fd)?)
}

pub(super) fn fd_allocate(call: &mut Call<'_>, fd: Fd, offset: u64, len: u64) -> Result<(), Fault> {
    Ok(call.ctx.fs.allocate(fd, offset, len)?)
}

pub(super) fn fd_close(call: &mut Call<'_>, fd: Fd) -> Result<(), Fault> {
    Ok(call.ctx.fs.close(fd)?)
}

pub(super) fn fd_datasync(call: &mut Call<'_>, fd: Fd) -> Result<(), Fault> {
    Ok(call.ctx.fs.sync(fd, Rights::FD_DATASYNC)?)
}

pub(super) fn fd_sync(call: &mut Call<'_>, fd: Fd) -> Result<(), Fault> {
    Ok(call.ctx.fs.sync(fd, Rights::FD_SYNC)?)
}

pub(super) fn fd_fdstat_get(call: &mut Call<'_>, fd: Fd, out: u32) -> Result<(), Fault> {
    let FdStat { file_type, flags, base, inheriting } = call.ctx.fs.fd_stat(fd)?;
    let mut raw = [0; 24];
    raw[0] = file_type as u8;
    raw[2..4].copy_from_slice(&flags.to_le_bytes());
    raw[8..16].copy_from_slice(&base.bits().to_le_bytes());
    raw[16..].copy_from_slice(&inheriting.bits().to_le_bytes());
    Ok(call.memory.write(out, &raw)?)
}

pub(super) fn fd_fdstat_set_flags(call: &mut Call<'_>, fd: Fd, flags: u32) -> Result<(), Fault> {
    let flags = u16::try_from(flags).map_err(|_| Errno::Inval)?;
    Ok(call.ctx.fs.set_flags(fd, flags)?)
}

pub(super) fn fd_fdstat_set_rights(call: &mut Call<'_>, fd: Fd, base: u64, inheriting: u64) -> Result<(), Fault> {
    Ok(call.ctx.fs.set_rights(fd, Rights::from_bits(base), Rights::from_bits(inheriting))?)
}

pub(super) fn fd_filestat_get(call: &mut Call<'_>, fd: Fd, out: u32) -> Result<(), Fault> {
    let stat = call.ctx.fs.file_stat(fd)?;
    write_stat(call, out, &stat)
}

/// Writes a `filestat`.
pub(super) fn write_stat(call: &mut Call<'_>, out: u32, stat: &Stat) -> Result<(), Fault> {
    let mut raw = [0; 64];
    let type_and_padding = u64::from(stat.file_type as u8);
    let times = stat.times;
    let fields =
        [stat.device, stat.ino, type_and_padding, stat.links, stat.size, times.accessed, times.modified, times.changed];
    for (place, field) in raw.chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    Ok(call.memory.write(out, &raw)?)
}

pub(super) fn fd_filestat_set_size(call: &mut Call<'_>, fd: Fd, size: u64) -> Result<(), Fault> {
    Ok(call.ctx.fs.set_size(fd, size)?)
}

pub(super) fn fd_filestat_set_times(
    call: &mut Call<'_>,
    fd: Fd,
    accessed: u64,
    modified: u64,
    flags: u32,
) -> Result<(), Fault> {
    let (accessed, modified) = set_times(accessed, modified, flags)?;
    Ok(call.ctx.fs.set_times(fd, accessed, modified)?)
}

/// What `fstflags` say about the two times.
pub(super) fn set_times(accessed: u64, modified: u64, flags: u32) -> Result<(SetTime, SetTime), Errno> {
    let one = |to: u64, flags: u32| match flags & 0b11 {
        0b00 => Ok(SetTime::Keep),
        0b01 => Ok(SetTime::To(to)),
        0b10 => Ok(SetTime::Now),
        _ => Err(Errno::Inval),
    };
    if flags > 0b1111 {
        return Err(Errno::Inval);
    }
    Ok((one(accessed, flags)?, one(modified, flags >> 2)?))
}

pub(super) fn fd_read(call: &mut Call<'_>, fd: Fd, vectors: u32, count: u32, out: u32) -> Result<(), Fault> {
    call.memory.get(out, 4)?;
    let read = match call.ctx.fs.stdio(fd, Rights::FD_READ)? {
        Some(Stdio::Stdin) => read_stdin(call, vectors, count)?,
        Some(Stdio::Stdout | Stdio::Stderr) => return Err(Errno::Badf.into()),
        None => {
            let start = call.ctx.fs.file(fd)?.position;
            let read = read_file(call, fd, start, vectors, count)?;
            call.ctx.fs.advance(fd, read)?;
            read
        }
    };
    finish_transfer(call, read, out)
}

pub(super) fn fd_pread(
    call: &mut Call<'_>,
    fd: Fd,
    vectors: u32,
    count: u32,
    offset: u64,
    out: u32,
) -> Result<(), Fault> {
    call.memory.get(out, 4)?;
    let read = read_file(call, fd, offset, vectors, count)?;
    finish_transfer(call, read, out)
}

fn read_stdin(call: &mut Call<'_>, vectors: u32, count: u32) -> Result<u64, Fault> {
    let mut done = 0;
    for vector in call.memory.vectors(vectors, count)? {
        done += call.ctx.stdin.read(call.memory.get_mut(vector.at, vector.len)?) as u64;
    }
    Ok(done)
}

/// Reads straight into the guest's memory.
fn read_file(call: &mut Call<'_>, fd: Fd, start: u64, vectors: u32, count: u32) -> Result<u64, Fault> {
    let reader = call.ctx.fs.reader(fd)?;
    let mut done = 0_u64;
    for vector in call.memory.vectors(vectors, count)? {
        let Some(offset) = start.checked_add(done) else { break };
        let buffer = call.memory.get_mut(vector.at, vector.len)?;
        let read = match reader.read_at(offset, buffer) {
            Ok(read) => read as u64,
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno.into()),
        };
        done += read;
        if read < u64::from(vector.len) {
            break;
        }
    }
    Ok(done)
}

/// Charges a transfer and tells the guest how long it was; one call moves less than 4 GiB.
fn finish_transfer(call: &mut Call<'_>, bytes: u64, out: u32) -> Result<(), Fault> {
    call.work.bytes = bytes;
    call.memory.write_u32(out, u32::try_from(bytes).map_err(|_| Errno::Overflow)?)?;
    Ok(())
}

pub(super) fn fd_write(call: &mut Call<'_>, fd: Fd, vectors: u32, count: u32, out: u32) -> Result<(), Fault> {
    call.memory.get(out, 4)?;
    let stream = match call.ctx.fs.stdio(fd, Rights::FD_WRITE)? {
        None => None,
        Some(Stdio::Stdin) => return Err(Errno::Badf.into()),
        Some(Stdio::Stdout) => Some(StreamName::Stdout),
        Some(Stdio::Stderr) => Some(StreamName::Stderr),
    };
    let written = write_vectors(call, vectors, count, |ctx, bytes, _| match stream {
        Some(stream) => ctx.sink.write(stream, bytes).map(|()| bytes.len()).map_err(Fault::Trap),
        None => Ok(ctx.fs.write(fd, bytes)?),
    })?;
    finish_transfer(call, written, out)
}

pub(super) fn fd_pwrite(
    call: &mut Call<'_>,
    fd: Fd,
    vectors: u32,
    count: u32,
    offset: u64,
    out: u32,
) -> Result<(), Fault> {
    call.memory.get(out, 4)?;
    let written = write_vectors(call, vectors, count, |ctx, bytes, done| {
        let at = offset.checked_add(done).ok_or(Errno::Fbig)?;
        Ok(ctx.fs.write_at(fd, at, bytes)?)
    })?;
    finish_transfer(call, written, out)
}

/// Writes one vector after the other until one finds too little room. What was written before an error counts.
fn write_vectors(
    call: &mut Call<'_>,
    vectors: u32,
    count: u32,
    mut write: impl FnMut(&mut WasiCtx, &[u8], u64) -> Result<usize, Fault>,
) -> Result<u64, Fault> {
    let vectors = call.memory.vectors(vectors, count)?;
    if vectors.is_empty() {
        // Nothing is written, and the descriptor is checked all the same.
        write(call.ctx, &[], 0)?;
    }
    let mut done = 0_u64;
    for vector in vectors {
        let bytes = call.memory.get(vector.at, vector.len)?;
        match write(call.ctx, bytes, done) {
            Ok(written) => {
                done += written as u64;
                if written < bytes.len() {
                    break;
                }
            }
            Err(Fault::Errno(_)) if done > 0 => break,
            Err(fault) => return Err(fault),
        }
    }
    Ok(done)
}

pub(super) fn fd_prestat_get(call: &mut Call<'_>, fd: Fd, out: u32) -> Result<(), Fault> {
    let name_bytes = u32::try_from(call.ctx.fs.preopened(fd)?.len()).map_err(|_| Errno::Overflow)?;
    // A tag of 0, a directory, then the length of its name.
    call.memory.write_u32(out, 0)?;
    let name_at = out.checked_add(4).ok_or(Errno::Fault)?;
    Ok(call.memory.write_u32(name_at, name_bytes)?)
}

pub(super) fn fd_prestat_dir_name(call: &mut Call<'_>, fd: Fd, out: u32, len: u32) -> Result<(), Fault> {
    let name = call.ctx.fs.preopened(fd)?.as_bytes();
    if (len as usize) < name.len() {
        return Err(Errno::Nametoolong.into());
    }
    Ok(call.memory.write(out, name)?)
}

/// A listing fills the buffer: an entry that does not fit is cut, and the guest asks for it again.
pub(super) fn fd_readdir(call: &mut Call<'_>, fd: Fd, at: u32, len: u32, cookie: u64, out: u32) -> Result<(), Fault> {
    call.memory.get(out, 4)?;
    let buffer = call.memory.get_mut_at_most(at, len, tariff::TRANSFER_BYTES)?;
    let mut filled = 0;
    let mut put = |bytes: &[u8]| {
        let rest = &mut buffer[filled..];
        let fits = bytes.len().min(rest.len());
        rest[..fits].copy_from_slice(&bytes[..fits]);
        filled += fits;
        fits == bytes.len()
    };
    call.ctx.fs.read_directory(fd, cookie, |entry| {
        let mut head = [0; DIRENT_BYTES];
        head[..8].copy_from_slice(&entry.next.to_le_bytes());
        head[8..16].copy_from_slice(&entry.ino.to_le_bytes());
        // Names are at most a path long.
        head[16..20].copy_from_slice(&(entry.name.len() as u32).to_le_bytes());
        head[20] = entry.file_type as u8;
        put(&head) && put(entry.name.as_bytes())
    })?;
    finish_transfer(call, filled as u64, out)
}

pub(super) fn fd_renumber(call: &mut Call<'_>, from: Fd, to: Fd) -> Result<(), Fault> {
    Ok(call.ctx.fs.renumber(from, to)?)
}

pub(super) fn fd_seek(call: &mut Call<'_>, fd: Fd, offset: i64, whence: u32, out: u32) -> Result<(), Fault> {
    let whence = match whence {
        0 => Whence::Start,
        1 => Whence::Current,
        2 => Whence::End,
        _ => return Err(Errno::Inval.into()),
    };
    call.memory.get(out, 8)?;
    let position = call.ctx.fs.seek(fd, offset, whence)?;
    Ok(call.memory.write_u64(out, position)?)
}

pub(super) fn fd_tell(call: &mut Call<'_>, fd: Fd, out: u32) -> Result<(), Fault> {
    let position = call.ctx.fs.seek(fd, 0, Whence::Current)?;
    Ok(call.memory.write_u64(out, position)?)
}
