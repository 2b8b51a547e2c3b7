//! Sockets: there are none.

use super::call::{Call, Fault};
use crate::backend::wasm::vfs::Errno;

/// No open file is a socket.
fn no_socket(call: &Call<'_>, fd: u32) -> Result<(), Fault> {
    call.ctx.fs.file(fd)?;
    Err(Errno::Notsock.into())
}

pub(super) fn sock_accept(call: &mut Call<'_>, fd: u32, _flags: u32, _out: u32) -> Result<(), Fault> {
    no_socket(call, fd)
}

pub(super) fn sock_recv(
    call: &mut Call<'_>,
    fd: u32,
    _vectors: (u32, u32),
    _flags: u32,
    _out: (u32, u32),
) -> Result<(), Fault> {
    no_socket(call, fd)
}

pub(super) fn sock_send(
    call: &mut Call<'_>,
    fd: u32,
    _vectors: (u32, u32),
    _flags: u32,
    _out: u32,
) -> Result<(), Fault> {
    no_socket(call, fd)
}

pub(super) fn sock_shutdown(call: &mut Call<'_>, fd: u32, _how: u32) -> Result<(), Fault> {
    no_socket(call, fd)
}
