//! The sandbox: one engine, one compiled module, the boot image, and the pool of memory slots.

use std::fs::File;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt;
use tokio::task::JoinHandle;
use wasmtime::{Engine, Global, InstancePre, Linker, Memory, Store, TypedFunc, Val, ValType};

use super::checkpoint::Checkpoint;
use super::engine::{SLICE_FUEL, load};
use super::executor::Executor;
use super::guest::Guest;
use super::kernel::Kernel;
use super::memory::{GlobalValue, Image, PageMap, Slot, collect, with_slot};
use super::recorder::{Recorder, SharedRecorder};
use super::runtime::RuntimeFiles;
use super::runtime::split::{GlobalInit, GlobalValue as InitialValue};
use super::wasi::{GuestClock, WasiCtx};
use super::{door, wasi};
use crate::domain::{Limits, Output};

mod guest_files;
mod start_files;

/// A slot that wrote more than this many pages is given back to the system: putting 8 MiB back costs more than
/// mapping anew.
const RECYCLED_PAGES: usize = 2048;
/// The boot turn: what every kernel has imported before its first cell.
const BOOT: &str = "import sys\n\
    sys.path.insert(0, '/usr/local/lib/pymd')\n\
    import _pymd_runner\n\
    __pymd_turn__ = _pymd_runner.install()\n";

/// How the sandbox uses the machine.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Executor threads. Default: one a core.
    pub threads: usize,
    /// Kernels kept ready to run, with their memory resident. Default: 8.
    pub ready_kernels: usize,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self { threads: std::thread::available_parallelism().map_or(2, usize::from), ready_kernels: 8 }
    }
}

/// A failure of the host. What a guest does is never one: that is an outcome.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The system refused memory, mappings, threads or files.
    #[error("the system refused: {0}")]
    Io(#[from] io::Error),
    /// wasmtime failed in a way that no guest can cause.
    #[error("wasmtime: {0:#}")]
    Wasmtime(wasmtime::Error),
    /// The interpreter did not come up.
    #[error("the interpreter did not start: {reason}")]
    Boot {
        /// What it said.
        reason: String,
    },
    /// A file can't be put into a kernel.
    #[error("the file {path:?} can't be put into the kernel: {reason}")]
    File {
        /// The path as given.
        path: String,
        /// Why not.
        reason: String,
    },
    /// A syntax check ran into a limit.
    #[error("the check ran into its limits")]
    Check,
    /// Something that holds by construction did not.
    #[error("broken invariant: {0}")]
    Broken(&'static str),
    /// The executor threads ended, or a task on them panicked.
    #[error("the task on the executor did not end: {0}")]
    Executor(String),
}

impl From<wasmtime::Error> for SandboxError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Wasmtime(error)
    }
}

/// What is alive, for metrics and for tests that look for leaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxStats {
    /// Kernels with memory.
    pub kernels: usize,
    /// Kernels that wait in the pool.
    pub ready: usize,
}

/// The sandbox. Cloning shares it.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

pub(super) struct Inner {
    engine: Engine,
    pre: InstancePre<Guest>,
    minimum_bytes: usize,
    environment: Environment,
    boot: Option<Checkpoint>,
    ready: Mutex<Vec<Ready>>,
    config: SandboxConfig,
    kernels: AtomicUsize,
    executor: Arc<Executor>,
    this: Weak<Inner>,
}

/// What every guest is started with.
struct Environment {
    args: Arc<[String]>,
    variables: Arc<[(String, String)]>,
}

/// A kernel of the boot image that nothing has run in.
struct Ready {
    slot: Arc<Slot>,
    live: Live,
}

/// A store over a slot.
pub(super) struct Live {
    pub store: Store<Guest>,
    pub memory: Memory,
    pub alloc: TypedFunc<u32, u32>,
    pub turn: TypedFunc<(u32, u32), u32>,
    pub globals: Vec<(String, Global)>,
}

impl Sandbox {
    /// Loads the runtime and boots the interpreter once.
    ///
    /// # Errors
    /// When a file is not what it should be, or the interpreter does not come up.
    pub async fn open(engine: Engine, files: &RuntimeFiles, config: SandboxConfig) -> Result<Self, SandboxError> {
        // SAFETY: `RuntimeFiles` are made only by `runtime::ensure`: what this program compiled, in a directory that
        // only this user can write, with the digest that was taken when it was written.
        let module = unsafe { load(&engine, &files.module) }?;
        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker)?;
        door::add_to_linker(&mut linker)?;
        let pre = linker.instantiate_pre(&module)?;
        let globals = files.globals.iter().map(|global| GlobalValue { name: global.name.clone(), value: integer(global) });
        let minimum_bytes = usize::try_from(files.minimum_pages * 65_536).map_err(io::Error::other)?;
        let base = Arc::new(Image::read(&File::open(&files.base_image)?, minimum_bytes, globals.collect())?);
        let executor = Arc::new(Executor::new(config.threads)?);
        let fs = start_files::file_system(files)?;
        let make = |boot| {
            Arc::new_cyclic(|this| Inner {
                engine: engine.clone(),
                pre: pre.clone(),
                minimum_bytes,
                environment: Environment::new(),
                boot,
                ready: Mutex::default(),
                config: config.clone(),
                kernels: AtomicUsize::new(0),
                executor: Arc::clone(&executor),
                this: this.clone(),
            })
        };
        let booting = make(None);
        let boot = booting.boot(Checkpoint::of_image(base, fs)).await?;
        Ok(Self(make(Some(boot))))
    }

    /// A kernel that nothing has run in.
    ///
    /// # Errors
    /// When the system refuses memory.
    pub fn kernel(&self) -> Result<Kernel, SandboxError> {
        let boot = self.0.boot.clone().ok_or(SandboxError::Broken("a sandbox that never booted"))?;
        let ready = self.0.ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (slot, live) = match ready {
            Some(Ready { slot, live }) => (slot, Some(live)),
            None => (Arc::new(Slot::new(Arc::clone(&boot.state().image))?), None),
        };
        Ok(self.0.kernel(slot, live, boot, true))
    }

    /// A kernel in the state of a checkpoint: `fork` says that the kernel which left it goes on elsewhere, so that
    /// this one needs random numbers of its own.
    ///
    /// # Errors
    /// When the system refuses memory.
    pub fn restore(&self, checkpoint: &Checkpoint, fork: bool) -> Result<Kernel, SandboxError> {
        let state = checkpoint.for_restore()?;
        let mut slot = Slot::new(Arc::clone(&state.state().image))?;
        slot.restore(&state.state().delta, state.memory_bytes(), true)?;
        Ok(self.0.kernel(Arc::new(slot), None, state, fork))
    }

    /// Makes kernels ready until the pool is full.
    ///
    /// # Errors
    /// When the system refuses memory.
    pub fn fill_pool(&self) -> Result<(), SandboxError> {
        let boot = self.0.boot.as_ref().ok_or(SandboxError::Broken("a sandbox that never booted"))?;
        while self.stats().ready < self.0.config.ready_kernels {
            let slot = Arc::new(Slot::new(Arc::clone(&boot.state().image))?);
            let live = self.0.instantiate(&slot, boot)?;
            self.0.ready.lock().unwrap_or_else(PoisonError::into_inner).push(Ready { slot, live });
        }
        Ok(())
    }

    /// What is alive now.
    pub fn stats(&self) -> SandboxStats {
        SandboxStats {
            kernels: self.0.kernels.load(Ordering::Acquire),
            ready: self.0.ready.lock().unwrap_or_else(PoisonError::into_inner).len(),
        }
    }
}

impl Environment {
    fn new() -> Self {
        let variables = [
            ("HOME", "/work"),
            ("TMPDIR", "/tmp"),
            ("PYTHONTZPATH", ""),
            ("MPLBACKEND", "module://_pymd_mpl"),
            ("MPLCONFIGDIR", "/tmp/matplotlib"),
            ("LANG", "C.UTF-8"),
        ];
        Self {
            args: Arc::from(["python".to_owned()]),
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        }
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

impl Inner {
    fn kernel(&self, slot: Arc<Slot>, live: Option<Live>, state: Checkpoint, born: bool) -> Kernel {
        self.kernels.fetch_add(1, Ordering::AcqRel);
        let inner = self.this.upgrade().expect("`self` is borrowed from the `Arc` that this points to");
        Kernel::new(inner, slot, live, state, born)
    }

    /// Runs `work` on an executor thread; dropping the future ends it.
    pub(super) async fn on_executor<T: Send + 'static>(
        &self,
        cpu_share: f64,
        work: impl Future<Output = Result<T, SandboxError>> + Send + 'static,
    ) -> Result<T, SandboxError> {
        let mut task = AbortOnDrop(self.executor.handle().spawn(self.executor.share(work, cpu_share)));
        match (&mut task.0).await {
            Ok(done) => done,
            Err(error) => Err(SandboxError::Executor(error.to_string())),
        }
    }

    /// A store over `slot`, whose memory is in `state`.
    pub(super) fn instantiate(&self, slot: &Arc<Slot>, state: &Checkpoint) -> Result<Live, SandboxError> {
        let recorder = SharedRecorder::default();
        let state = state.state();
        let (args, env) = (Arc::clone(&self.environment.args), Arc::clone(&self.environment.variables));
        let mut wasi = WasiCtx::new(state.fs.clone(), args, env, Box::new(recorder.clone()));
        wasi.clock = GuestClock::resumed(state.clock);
        let mut store = Store::new(&self.engine, Guest::new(wasi, recorder));
        store.limiter(|guest| &mut guest.memory);
        store.set_fuel(u64::MAX >> 1)?;
        store.fuel_async_yield_interval(Some(SLICE_FUEL))?;
        // Nothing in it waits: the module has no start function and the limiter is synchronous. So one poll does it,
        // on this thread, as `with_slot` wants.
        let instance = with_slot(slot, self.minimum_bytes, || self.pre.instantiate_async(&mut store).now_or_never())
            .ok_or(SandboxError::Broken("instantiation waited"))??;
        let memory = instance
            .get_memory(&mut store, "memory")
            .ok_or(SandboxError::Broken("the runtime exports no memory"))?;
        let alloc = instance.get_typed_func(&mut store, "host_alloc")?;
        let turn = instance.get_typed_func(&mut store, "turn")?;
        let mut globals = Vec::with_capacity(state.globals.len());
        for GlobalValue { name, value } in &state.globals {
            let global =
                instance.get_global(&mut store, name).ok_or(SandboxError::Broken("a global of the image is gone"))?;
            let value = match global.ty(&store).content() {
                ValType::I64 => Val::I64(*value),
                #[expect(clippy::cast_possible_truncation, reason = "sign-extended from 32 bits when it was read")]
                _ => Val::I32(*value as i32),
            };
            global.set(&mut store, value)?;
            globals.push((name.clone(), global));
        }
        Ok(Live { store, memory, alloc, turn, globals })
    }

    /// Starts the interpreter on the runtime's own data and takes the image that all kernels start from.
    async fn boot(self: Arc<Self>, base: Checkpoint) -> Result<Checkpoint, SandboxError> {
        let inner = Arc::clone(&self);
        self.on_executor(1.0, async move {
            let slot = Arc::new(Slot::new(Arc::clone(&base.state().image))?);
            let mut live = inner.instantiate(&slot, &base)?;
            let limits = Limits::default();
            live.store.data_mut().set_limits(&limits);
            live.store.data().recorder.with(|recorder| *recorder = Recorder::new(limits.output_bytes, None));
            let status = live.turn(BOOT).await?;
            let printed = live.store.data().recorder.with(Recorder::finish);
            if status != 0 || !printed.is_empty() {
                let text = printed.into_iter().filter_map(|output| match output {
                    Output::Stream { text, .. } => Some(text),
                    _ => None,
                });
                return Err(SandboxError::Boot { reason: text.collect() });
            }
            let mut delta = PageMap::default();
            let changed = slot.scan()?;
            collect(&mut delta, slot.image(), live.memory.data(&live.store), changed);
            let globals = live.read_globals();
            let fs = live.store.data().wasi.fs.clone();
            let len = live.memory.data_size(&live.store);
            let image = Image::flatten(slot.image(), &delta, len, globals)?;
            Ok(Checkpoint::of_image(Arc::new(image), fs))
        })
        .await
    }

    /// Takes a kernel's memory back: puts it in order and keeps it, when it is of the boot image and little was
    /// written, and gives it to the system otherwise.
    pub(super) fn recycle(self: &Arc<Self>, slot: Arc<Slot>) {
        let inner = Arc::clone(self);
        // Not on the caller's thread: the answer to the client does not wait for it.
        self.executor.handle().spawn(async move {
            let ready = inner.refresh(slot);
            if let Ok(Some(ready)) = ready {
                let mut pool = inner.ready.lock().unwrap_or_else(PoisonError::into_inner);
                if pool.len() < inner.config.ready_kernels {
                    pool.push(ready);
                }
            }
            inner.kernels.fetch_sub(1, Ordering::AcqRel);
        });
    }

    fn refresh(&self, mut slot: Arc<Slot>) -> Result<Option<Ready>, SandboxError> {
        let Some(boot) = &self.boot else { return Ok(None) };
        let full = self.ready.lock().unwrap_or_else(PoisonError::into_inner).len() >= self.config.ready_kernels;
        if full || !Arc::ptr_eq(slot.image(), &boot.state().image) || slot.private_pages()? > RECYCLED_PAGES {
            return Ok(None);
        }
        let Some(exclusive) = Arc::get_mut(&mut slot) else { return Ok(None) };
        exclusive.restore(&PageMap::default(), boot.state().image.byte_len(), true)?;
        let live = self.instantiate(&slot, boot)?;
        Ok(Some(Ready { slot, live }))
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
