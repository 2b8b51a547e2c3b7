//! How a turn ended, from the way in which the guest came back.

use wasmtime::Trap;

use crate::backend::wasm::recorder::{Ending, OutputLimit};
use crate::backend::wasm::sandbox::SandboxError;
use crate::backend::wasm::wasi::Exit;
use crate::domain::{Limits, Outcome};

/// How the guest came back.
pub(super) enum Return {
    /// By itself.
    Status(u32),
    /// With a trap, an exit, or a limit of the host's.
    Failed(wasmtime::Error),
    /// Stopped at its deadline.
    Deadline,
    /// Stopped as it was cancelled.
    Cancelled,
}

/// What a cell that came back so amounts to.
///
/// # Errors
/// When it came back as no guest can make it.
pub(super) fn classify(
    returned: Return,
    ending: Ending,
    memory_refused: bool,
    limits: &Limits,
) -> Result<Outcome, SandboxError> {
    let out_of_memory = Outcome::OutOfMemory { limit_bytes: limits.memory_bytes };
    let error = match returned {
        Return::Deadline => return Ok(Outcome::DeadlineExceeded { limit_ms: limits.wall_ms }),
        Return::Cancelled => return Ok(Outcome::Cancelled),
        Return::Status(status) => {
            return Ok(match (ending.exit, ending.error) {
                (Some(code), _) => Outcome::Exited { code },
                (None, Some((ename, ..))) if ename == "MemoryError" && memory_refused => out_of_memory,
                (None, Some((ename, evalue, traceback))) => Outcome::PythonError { ename, evalue, traceback },
                (None, None) if status == 0 => Outcome::Completed,
                // The cell broke the runner itself: whatever it did, the next cell must find a working one.
                (None, None) => Outcome::Crashed { trap: "the cell runner failed".to_owned() },
            });
        }
        Return::Failed(error) => error,
    };
    if let Some(exit) = error.downcast_ref::<Exit>() {
        return Ok(Outcome::Exited { code: exit.code });
    }
    if let Some(limit) = error.downcast_ref::<OutputLimit>() {
        return Ok(Outcome::OutputLimitExceeded { limit_bytes: limit.limit_bytes });
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Ok(Outcome::OutOfFuel { limit: limits.fuel }),
        Some(_) if memory_refused => Ok(out_of_memory),
        Some(trap) => Ok(Outcome::Crashed { trap: trap.to_string() }),
        // A C++ exception or `longjmp` that nobody caught: the guest's own doing.
        None if error.is::<wasmtime::ThrownException>() => {
            Ok(Outcome::Crashed { trap: "uncaught exception".to_owned() })
        }
        None if error.is::<wasmtime::GcHeapOutOfMemory<()>>() => {
            Ok(Outcome::Crashed { trap: "too many exceptions in flight".to_owned() })
        }
        None => Err(SandboxError::Wasmtime(error)),
    }
}

/// Whether the state after a cell that came to its end is kept.
pub(super) fn keeps_state(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Completed | Outcome::PythonError { .. } | Outcome::Exited { .. })
}
