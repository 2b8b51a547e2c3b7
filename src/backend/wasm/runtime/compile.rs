//! Compiles a module, and guesses how long that will take.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::Engine;

use super::{Progress, RuntimeError, Stage};

/// Bytes of code that one core compiles in a second, roughly: for estimates only.
const COMPILED_BYTES_PER_CORE_SECOND: u64 = 330_000;

/// How often the estimate of the compilation is renewed.
const COMPILE_TICK: Duration = Duration::from_millis(250);

/// Compiles `module` on all cores. The compiler does not say how far it is: what is reported is the time that passed
/// and a guess of the whole.
pub(super) fn compile(
    engine: &Engine,
    module: &[u8],
    code_bytes: u64,
    progress: &dyn Progress,
) -> Result<Vec<u8>, RuntimeError> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let per_second = COMPILED_BYTES_PER_CORE_SECOND.saturating_mul(cores);
    let expected_ms = code_bytes.saturating_mul(1000) / per_second.max(1);
    let start = Instant::now();
    let (finished, ticks) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                let done = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                progress.stage(Stage::Compile, done, (done < expected_ms).then_some(expected_ms));
                if ticks.recv_timeout(COMPILE_TICK) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
        });
        let compiled = engine.precompile_module(module);
        drop(finished);
        compiled.map_err(|error| RuntimeError::Compile { reason: format!("{error:#}") })
    })
}
