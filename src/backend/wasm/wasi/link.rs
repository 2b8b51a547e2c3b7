//! The functions by name, with the types of preview 1.

use wasmtime::{Caller, Linker};

use super::paths::{RawOpen, RawPath};
use super::{Exit, MODULE, WasiHost, call, clock, descriptors as fds, paths, poll, process, sockets};

/// Defines functions whose bodies run at once. Each is an async host function all the same: the frame around the body
/// gives way when the guest has burnt a slice.
macro_rules! define {
    ($linker:ident, $($name:ident($($arg:ident: $type:ty),*) => $body:expr;)*) => {
        $($linker.func_wrap_async(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, T>, ($($arg,)*): ($($type,)*)| {
                Box::new(async move { call::run(&mut caller, |call| ($body)(call)).await })
            },
        )?;)*
    };
}

/// The `fd_*` functions.
pub(super) fn descriptors<T: WasiHost>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    define! { linker,
        fd_advise(fd: u32, offset: u64, len: u64, advice: u32) => |c| fds::fd_advise(c, fd, offset, len, advice);
        fd_allocate(fd: u32, offset: u64, len: u64) => |c| fds::fd_allocate(c, fd, offset, len);
        fd_close(fd: u32) => |c| fds::fd_close(c, fd);
        fd_datasync(fd: u32) => |c| fds::fd_datasync(c, fd);
        fd_fdstat_get(fd: u32, out: u32) => |c| fds::fd_fdstat_get(c, fd, out);
        fd_fdstat_set_flags(fd: u32, flags: u32) => |c| fds::fd_fdstat_set_flags(c, fd, flags);
        fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64) =>
            |c| fds::fd_fdstat_set_rights(c, fd, base, inheriting);
        fd_filestat_get(fd: u32, out: u32) => |c| fds::fd_filestat_get(c, fd, out);
        fd_filestat_set_size(fd: u32, size: u64) => |c| fds::fd_filestat_set_size(c, fd, size);
        fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32) =>
            |c| fds::fd_filestat_set_times(c, fd, accessed, modified, flags);
        fd_pread(fd: u32, vectors: u32, count: u32, offset: u64, out: u32) =>
            |c| fds::fd_pread(c, fd, vectors, count, offset, out);
        fd_prestat_get(fd: u32, out: u32) => |c| fds::fd_prestat_get(c, fd, out);
        fd_prestat_dir_name(fd: u32, out: u32, len: u32) => |c| fds::fd_prestat_dir_name(c, fd, out, len);
        fd_pwrite(fd: u32, vectors: u32, count: u32, offset: u64, out: u32) =>
            |c| fds::fd_pwrite(c, fd, vectors, count, offset, out);
        fd_read(fd: u32, vectors: u32, count: u32, out: u32) => |c| fds::fd_read(c, fd, vectors, count, out);
        fd_readdir(fd: u32, at: u32, len: u32, cookie: u64, out: u32) =>
            |c| fds::fd_readdir(c, fd, at, len, cookie, out);
        fd_renumber(from: u32, to: u32) => |c| fds::fd_renumber(c, from, to);
        fd_seek(fd: u32, offset: i64, whence: u32, out: u32) => |c| fds::fd_seek(c, fd, offset, whence, out);
        fd_sync(fd: u32) => |c| fds::fd_sync(c, fd);
        fd_tell(fd: u32, out: u32) => |c| fds::fd_tell(c, fd, out);
        fd_write(fd: u32, vectors: u32, count: u32, out: u32) => |c| fds::fd_write(c, fd, vectors, count, out);
    }
    Ok(())
}

/// The `path_*` functions.
pub(super) fn paths<T: WasiHost>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    define! { linker,
        path_create_directory(fd: u32, at: u32, len: u32) => |c| paths::path_create_directory(c, RawPath(fd, at, len));
        path_filestat_get(fd: u32, flags: u32, at: u32, len: u32, out: u32) =>
            |c| paths::path_filestat_get(c, flags, RawPath(fd, at, len), out);
        path_filestat_set_times(
            fd: u32, flags: u32, at: u32, len: u32, accessed: u64, modified: u64, time_flags: u32
        ) => |c| {
            paths::path_filestat_set_times(c, flags, RawPath(fd, at, len), (accessed, modified), time_flags)
        };
        path_link(
            old_fd: u32, flags: u32, old_at: u32, old_len: u32, new_fd: u32, new_at: u32, new_len: u32
        ) => |c| {
            paths::path_link(c, RawPath(old_fd, old_at, old_len), flags, RawPath(new_fd, new_at, new_len))
        };
        path_open(
            fd: u32, lookup_flags: u32, at: u32, len: u32, oflags: u32, base: u64, inheriting: u64, fdflags: u32,
            out: u32
        ) => |c| {
            let open = RawOpen { lookup_flags, oflags, base, inheriting, fdflags };
            paths::path_open(c, RawPath(fd, at, len), open, out)
        };
        path_readlink(fd: u32, at: u32, len: u32, buffer: u32, buffer_len: u32, out: u32) =>
            |c| paths::path_readlink(c, RawPath(fd, at, len), (buffer, buffer_len), out);
        path_remove_directory(fd: u32, at: u32, len: u32) => |c| paths::path_remove_directory(c, RawPath(fd, at, len));
        path_rename(old_fd: u32, old_at: u32, old_len: u32, new_fd: u32, new_at: u32, new_len: u32) =>
            |c| paths::path_rename(c, RawPath(old_fd, old_at, old_len), RawPath(new_fd, new_at, new_len));
        path_symlink(target: u32, target_len: u32, fd: u32, at: u32, len: u32) =>
            |c| paths::path_symlink(c, (target, target_len), RawPath(fd, at, len));
        path_unlink_file(fd: u32, at: u32, len: u32) => |c| paths::path_unlink_file(c, RawPath(fd, at, len));
    }
    Ok(())
}

/// Everything else: arguments, environment, clocks, randomness, waiting, ending, sockets.
pub(super) fn process<T: WasiHost>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    define! { linker,
        args_get(pointers: u32, buffer: u32) => |c| process::args_get(c, pointers, buffer);
        args_sizes_get(count: u32, bytes: u32) => |c| process::args_sizes_get(c, count, bytes);
        environ_get(pointers: u32, buffer: u32) => |c| process::environ_get(c, pointers, buffer);
        environ_sizes_get(count: u32, bytes: u32) => |c| process::environ_sizes_get(c, count, bytes);
        clock_res_get(id: u32, out: u32) => |c| clock::clock_res_get(c, id, out);
        clock_time_get(id: u32, precision: u64, out: u32) => |c| clock::clock_time_get(c, id, precision, out);
        random_get(at: u32, len: u32) => |c| process::random_get(c, at, len);
        proc_raise(signal: u32) => |c| process::proc_raise(c, signal);
        sock_accept(fd: u32, flags: u32, out: u32) => |c| sockets::sock_accept(c, fd, flags, out);
        sock_recv(fd: u32, vectors: u32, count: u32, flags: u32, out_len: u32, out_flags: u32) =>
            |c| sockets::sock_recv(c, fd, (vectors, count), flags, (out_len, out_flags));
        sock_send(fd: u32, vectors: u32, count: u32, flags: u32, out: u32) =>
            |c| sockets::sock_send(c, fd, (vectors, count), flags, out);
        sock_shutdown(fd: u32, how: u32) => |c| sockets::sock_shutdown(c, fd, how);
    }
    linker.func_wrap_async(MODULE, "poll_oneoff", |mut caller: Caller<'_, T>, args: (u32, u32, u32, u32)| {
        Box::new(async move { poll::poll_oneoff(&mut caller, args.0, args.1, args.2, args.3).await })
    })?;
    linker.func_wrap_async(MODULE, "sched_yield", |mut caller: Caller<'_, T>, (): ()| {
        Box::new(async move { poll::sched_yield(&mut caller).await })
    })?;
    linker.func_wrap(MODULE, "proc_exit", |code: i32| -> wasmtime::Result<()> { Err(Exit { code }.into()) })?;
    Ok(())
}
