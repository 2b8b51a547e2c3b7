//! What all kernels run on: the engine, the compiled module, the executor threads.

use std::fs::File;
use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use wasmtime::{Engine, Global, InstancePre, Linker, Memory, Store, Trap, TypedFunc, Val, ValType};

use super::checkpoint::Checkpoint;
use super::engine::{SLICE_FUEL, load};
use super::executor::{Executor, Pace};
use super::guest::Guest;
use super::memory::{GlobalValue, Image, Slot, with_slot};
use super::recorder::SharedRecorder;
use super::runtime::RuntimeFiles;
use super::runtime::split::{GlobalInit, GlobalValue as InitialValue};
use super::sandbox::SandboxError;
use super::wasi::{GuestClock, WasiCtx};
use super::{door, wasi};

/// Bytes of a WebAssembly page.
const WASM_PAGE_BYTES: u64 = 65_536;
/// The guest's environment variables.
pub(super) const VARIABLES: [(&str, &str); 6] = [
    ("HOME", "/work"),
    ("TMPDIR", "/tmp"),
    ("PYTHONTZPATH", ""),
    ("MPLBACKEND", "module://_pymd_mpl"),
    ("MPLCONFIGDIR", "/var/cache/matplotlib"),
    ("LANG", "C.UTF-8"),
];

/// The engine, the module and the threads.
pub struct Machine {
    engine: Engine,
    pre: InstancePre<Guest>,
    minimum_bytes: usize,
    args: Arc<[String]>,
    variables: Arc<[(String, String)]>,
    executor: Executor,
}

/// A store over a slot.
pub struct Live {
    pub store: Store<Guest>,
    pub memory: Memory,
    alloc: TypedFunc<u32, u32>,
    turn: TypedFunc<(u32, u32), u32>,
    globals: Vec<(String, Global)>,
}

impl Machine {
    /// Loads the module, and the memory that it starts from.
    ///
    /// # Errors
    /// When a file is not what it should be, or the system refuses memory or threads.
    pub fn new(engine: Engine, files: &RuntimeFiles, threads: usize) -> Result<(Self, Image), SandboxError> {
        // SAFETY: `RuntimeFiles` are made only by `runtime::ensure`: what this program compiled, in a directory that
        // only this user can write, with the digest that was taken when it was written.
        let module = unsafe { load(&engine, &files.module) }?;
        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker)?;
        door::add_to_linker(&mut linker)?;
        let pre = linker.instantiate_pre(&module)?;
        let minimum_bytes = files.minimum_pages.checked_mul(WASM_PAGE_BYTES).and_then(|bytes| bytes.try_into().ok());
        let minimum_bytes = minimum_bytes.ok_or(SandboxError::Broken("the runtime's memory is too large"))?;
        let globals = files.globals.iter().map(|init| GlobalValue { name: init.name.clone(), value: integer(init) });
        let base = Image::read(&File::open(&files.base_image)?, minimum_bytes, globals.collect())?;
        let variables = VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let machine = Self {
            engine,
            pre,
            minimum_bytes,
            args: Arc::from(["python".to_owned()]),
            variables: variables.into(),
            executor: Executor::new(threads)?,
        };
        Ok((machine, base))
    }

    /// Runs `work` on an executor thread; dropping the future ends it.
    pub async fn on_executor<T: Send + 'static>(
        &self,
        cpu_share: f64,
        pace: Pace,
        work: impl Future<Output = Result<T, SandboxError>> + Send + 'static,
    ) -> Result<T, SandboxError> {
        match self.executor.run(work, cpu_share, pace).await {
            Ok(done) => done,
            Err(error) => Err(SandboxError::Executor(error.to_string())),
        }
    }

    /// Does `work` on an executor thread some time; nobody waits for it.
    pub fn later(&self, work: impl FnOnce() + Send + 'static) {
        self.executor.later(work);
    }

    /// A store over `slot`, whose memory is in the state of `checkpoint`.
    pub fn instantiate(&self, slot: &Arc<Slot>, checkpoint: &Checkpoint) -> Result<Live, SandboxError> {
        let state = checkpoint.state();
        let mut store = Store::new(&self.engine, self.guest(checkpoint));
        store.limiter(|guest| &mut guest.memory);
        store.set_fuel(u64::MAX >> 1)?;
        store.fuel_async_yield_interval(Some(SLICE_FUEL))?;
        // Nothing in it waits: the module has no start function and the limiter is synchronous. So one poll does it,
        // on this thread, as `with_slot` wants.
        let instance = with_slot(slot, self.minimum_bytes, || self.pre.instantiate_async(&mut store).now_or_never())
            .ok_or(SandboxError::Broken("instantiation waited"))??;
        let memory =
            instance.get_memory(&mut store, "memory").ok_or(SandboxError::Broken("the runtime exports no memory"))?;
        let alloc = instance.get_typed_func(&mut store, "host_alloc")?;
        let turn = instance.get_typed_func(&mut store, "turn")?;
        let mut globals = Vec::with_capacity(state.globals.len());
        for GlobalValue { name, value } in &state.globals {
            let global =
                instance.get_global(&mut store, name).ok_or(SandboxError::Broken("a global of the image is gone"))?;
            set_global(&mut store, global, *value)?;
            globals.push((name.clone(), global));
        }
        Ok(Live { store, memory, alloc, turn, globals })
    }

    /// What a store holds for a guest in the state of `checkpoint`.
    fn guest(&self, checkpoint: &Checkpoint) -> Guest {
        let state = checkpoint.state();
        let recorder = SharedRecorder::default();
        let (args, variables) = (Arc::clone(&self.args), Arc::clone(&self.variables));
        let mut wasi = WasiCtx::new(state.fs.clone(), args, variables, Box::new(recorder.clone()));
        wasi.clock = GuestClock::resumed(state.clock);
        Guest::new(wasi, recorder)
    }

    /// Brings a store whose guest came back from its last turn to the state of `checkpoint`, but for its memory.
    ///
    /// Nothing else in it can have changed: the split module has no instruction that writes its table or drops its
    /// segments ([`super::runtime::split`] refuses one that has), and exceptions do not outlive a turn.
    pub fn reset(&self, live: &mut Live, checkpoint: &Checkpoint) -> Result<(), SandboxError> {
        *live.store.data_mut() = self.guest(checkpoint);
        for ((_, global), GlobalValue { value, .. }) in live.globals.iter().zip(&checkpoint.state().globals) {
            set_global(&mut live.store, *global, *value)?;
        }
        Ok(())
    }
}

fn set_global(store: &mut Store<Guest>, global: Global, value: i64) -> wasmtime::Result<()> {
    let value = match global.ty(&*store).content() {
        ValType::I64 => Val::I64(value),
        #[expect(clippy::cast_possible_truncation, reason = "sign-extended from 32 bits when it was read")]
        _ => Val::I32(value as i32),
    };
    global.set(store, value)
}

impl Live {
    /// Hands `source` to the guest and runs it. 0 is success, 1 an exception that was shown.
    pub async fn turn(&mut self, source: &str) -> wasmtime::Result<u32> {
        let len = u32::try_from(source.len())?;
        let at = self.alloc.call_async(&mut self.store, len).await?;
        if at == 0 || self.memory.write(&mut self.store, at as usize, source.as_bytes()).is_err() {
            // The heap is full, or the guest's allocator is broken: its own doing, whatever the address.
            self.store.data_mut().memory.refused = true;
            return Err(Trap::MemoryOutOfBounds.into());
        }
        self.turn.call_async(&mut self.store, (at, len)).await
    }

    /// The mutable globals as they are now.
    pub fn read_globals(&mut self) -> Vec<GlobalValue> {
        let globals = self.globals.iter().map(|(name, global)| {
            let value = match global.get(&mut self.store) {
                Val::I32(value) => i64::from(value),
                Val::I64(value) => value,
                _ => 0,
            };
            GlobalValue { name: name.clone(), value }
        });
        globals.collect()
    }
}

/// The first value of a global of the runtime: addresses are integers.
fn integer(global: &GlobalInit) -> i64 {
    match global.value {
        InitialValue::I32(value) => i64::from(value),
        InitialValue::I64(value) => value,
        InitialValue::F32(_) | InitialValue::F64(_) => 0,
    }
}

impl From<wasmtime::Error> for SandboxError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Wasmtime(error)
    }
}
