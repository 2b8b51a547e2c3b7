//! The wasmtime engine: what is compiled in, and the artifact that is loaded.

use std::path::Path;
use std::sync::Arc;

use wasmtime::{Collector, Config, Engine, Module, OptLevel};

use super::memory::{SlotCreator, Stacks};

/// Wasm stack that CPython gets; it checks its own recursion against it.
const WASM_STACK_BYTES: usize = 8 << 20;
/// The whole fiber: what is left over is for host calls.
const FIBER_STACK_BYTES: usize = 10 << 20;
/// Heap for exceptions in flight (C++ `throw`, `longjmp`): a few at a time, each some bytes.
const EXCEPTION_HEAP_BYTES: u64 = 16 << 20;
/// Fuel after which a guest gives its thread back: 0.2 ms.
pub(super) const SLICE_FUEL: u64 = 1_000_000;

/// An engine for metered guests on slots.
///
/// # Errors
/// When this machine lacks what the settings need.
pub fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .collector(Collector::DeferredReferenceCounting)
        .gc_heap_reservation(EXCEPTION_HEAP_BYTES)
        .gc_heap_guard_size(32 << 20)
        // Images are ours: wasmtime's own would want its own kind of memory.
        .memory_init_cow(false)
        .with_host_memory(Arc::new(SlotCreator))
        .with_host_stack(Arc::new(Stacks::default()));
    Engine::new(&config)
}

/// Loads the compiled module at `path`.
///
/// # Errors
/// When the file is not an artifact of this engine.
///
/// # Safety
/// The file is native code: it must be what this program compiled, in a place where nobody else can write.
pub unsafe fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Module> {
    // SAFETY: the caller vouches for the file.
    unsafe { Module::deserialize_file(engine, path) }
}
