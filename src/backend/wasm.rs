//! CPython compiled to WASI, run by wasmtime: images, kernels, checkpoints.
//!
//! ```text
//! runtime (fetch, verify, split, compile) -> machine (engine, module, threads) -> sandbox (images, pools)
//!                                                                                    |
//!          memory: slots and images      guest: WASI over vfs, the door      kernel (cells, checkpoints)
//!          executor: threads and shares  recorder: outputs
//! ```

mod checkpoint;
mod door;
mod engine;
mod executor;
mod guest;
mod kernel;
mod machine;
pub mod memory;
mod recorder;
mod rest;
pub mod runtime;
mod sandbox;
pub mod vfs;
pub mod wasi;

pub use checkpoint::Checkpoint;
pub use engine::engine;
pub use executor::Pace;
pub use guest::CellProblem;
pub use kernel::Kernel;
pub use rest::{AtRest, Digest, Ground, WakeError};
pub use sandbox::{
    Bytecode, EnvironmentBase, EnvironmentSpec, SITE_PACKAGES, Sandbox, SandboxConfig, SandboxError, SandboxStats,
    SkippedFile, StartPoint, Warm, WarmLimits,
};
