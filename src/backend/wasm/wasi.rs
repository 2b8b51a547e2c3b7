//! The guest's system calls: every function of `wasi_snapshot_preview1`, over [`Fs`].
//!
//! Nothing here blocks the thread, and nothing allocates more than a path. Every call is charged fuel, a fixed price
//! and one for the bytes and steps of work it causes ([`tariff`]), and gives way to other tasks once it has burnt a
//! slice: `get_fuel`/`set_fuel` start the engine's own yield interval anew, so that a guest which does little but call
//! would else never yield, and could not be stopped at its deadline.

use std::sync::Arc;

use wasmtime::Linker;

use crate::domain::StreamName;

use super::vfs::Fs;

mod call;
mod clock;
mod descriptors;
mod guest;
mod link;
mod meter;
mod paths;
mod poll;
mod process;
mod sockets;

pub use clock::{ClockReading, GuestClock};
pub use meter::tariff;

/// The module that guests import these functions from.
pub const MODULE: &str = "wasi_snapshot_preview1";

/// The data of a store whose guest may make system calls.
pub trait WasiHost: Send + 'static {
    /// What the calls work on.
    fn wasi(&mut self) -> &mut WasiCtx;
}

/// Where the guest's standard output and error go.
pub trait OutputSink: Send {
    /// Takes bytes that the guest wrote, in order, never more than [`tariff::TRANSFER_BYTES`] at once; they need not
    /// be whole characters. An error ends the guest and comes out of the call into it.
    fn write(&mut self, stream: StreamName, bytes: &[u8]) -> Result<(), wasmtime::Error>;
}

/// The guest's standard input: bytes, then the end of the file.
#[derive(Debug, Clone, Default)]
pub struct Stdin {
    bytes: Arc<[u8]>,
    position: usize,
}

impl Stdin {
    /// Input that has not been read yet.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { bytes: bytes.into(), position: 0 }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.position..).unwrap_or(&[])
    }

    /// Reads into `buf` and returns how many bytes there were.
    fn read(&mut self, buf: &mut [u8]) -> usize {
        let rest = self.rest();
        let read = rest.len().min(buf.len());
        buf[..read].copy_from_slice(&rest[..read]);
        self.position += read;
        read
    }
}

/// What the guest's system calls work on.
///
/// A checkpoint is a clone of `fs`, and of `clock.reading()`; all else belongs to the cell that runs.
pub struct WasiCtx {
    /// Files and open files.
    pub fs: Fs,
    /// Command line arguments, the program's name first.
    pub args: Arc<[String]>,
    /// Environment variables.
    pub env: Arc<[(String, String)]>,
    /// Standard input.
    pub stdin: Stdin,
    /// Standard output and error.
    pub sink: Box<dyn OutputSink>,
    /// Clocks.
    pub clock: GuestClock,
    meter: meter::Meter,
}

impl WasiCtx {
    /// A context without input, whose clock starts now.
    pub fn new(fs: Fs, args: Arc<[String]>, env: Arc<[(String, String)]>, sink: Box<dyn OutputSink>) -> Self {
        Self {
            fs,
            args,
            env,
            stdin: Stdin::default(),
            sink,
            clock: GuestClock::default(),
            meter: meter::Meter::default(),
        }
    }

    /// Gives the guest another standard input, in the place of what is left of the one before.
    pub fn set_stdin(&mut self, bytes: impl Into<Arc<[u8]>>) {
        self.stdin = Stdin::new(bytes);
    }

    /// Sets how many bytes of files and how many open files there may be.
    pub fn set_disk_limits(&mut self, bytes: u64, open_files: u32) {
        self.fs.set_quota_limits(bytes, open_files);
    }

    /// Fuel that system calls were charged so far.
    pub fn charged_fuel(&self) -> u64 {
        self.meter.charged
    }
}

/// The guest ended itself with `proc_exit`: found in the error of a call with `downcast_ref`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the guest exited with code {code}")]
pub struct Exit {
    /// The exit code.
    pub code: i32,
}

/// Defines all functions of preview 1. They need an engine with async support, and calls on fibers (`call_async`);
/// sleeping needs a Tokio runtime with its time driver.
pub fn add_to_linker<T: WasiHost>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    link::descriptors(linker)?;
    link::paths(linker)?;
    link::process(linker)
}
