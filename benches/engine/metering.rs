//! What fuel costs: the same interpreter compiled with and without it, under the same host functions.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cap_std::fs::File;
use futures::FutureExt as _;
use pymd::backend::wasm::memory::{Image, Slot, SlotCreator, with_slot};
use pymd::backend::wasm::runtime::{Engine, RuntimeFiles};
use pymd::backend::wasm::vfs::{CapFile, Fs, FsQuota};
use pymd::backend::wasm::wasi::{self, OutputSink, WasiCtx, WasiHost};
use pymd::domain::StreamName;
use wasmtime::{Collector, Config, Linker, Memory, Module, OptLevel, Store, TypedFunc};

use crate::machine;
use crate::report::{Result, Samples, Table, milliseconds, ratio};
use crate::world::{World, files};

const ROUNDS: usize = 15;
const TARGET: f64 = 1.4;
/// As the sandbox has it.
const SLICE_FUEL: u64 = 1_000_000;

/// Loops of some 0.2 s; `work()` is timed, what is around it is not.
const LOOPS: [(&str, &str); 3] = [
    ("integers", "def work():\n    t = 0\n    for i in range(1_000_000):\n        t += i * i & 255\n    return t\n"),
    ("calls", "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\ndef work():\n    return fib(24)\n"),
    (
        "objects",
        "def work():\n    d = {}\n    for i in range(150_000):\n        k = 'k%d' % (i % 1000)\n        \
         d[k] = d.get(k, ()) + (i,) if i % 7 else (i,)\n    return sorted(d)\n",
    ),
];

/// Compares metered with unmetered, in turns, so that whatever else the machine does falls on both.
pub fn run(world: &World, table: &mut Table) -> Result<()> {
    let unmetered_engine = unmetered_engine()?;
    let unmetered_files = files(&unmetered_engine, "unmetered")?;
    let mut metered = Interpreter::new(&world.engine, &world.files, true)?;
    let mut unmetered = Interpreter::new(&unmetered_engine, &unmetered_files, false)?;
    let python = machine::python();
    let mut product = 1.0;
    for (name, source) in LOOPS {
        metered.run(world, source)?;
        unmetered.run(world, source)?;
        let mut pairs = Vec::new();
        for round in 0..=ROUNDS {
            let pair = (metered.run(world, "work()")?, unmetered.run(world, "work()")?);
            // The first one warms up.
            if round > 0 {
                pairs.push(pair);
            }
        }
        let (with, without): (Vec<Duration>, Vec<Duration>) = pairs.into_iter().unzip();
        let (with, without) = (Samples::from_iter(with), Samples::from_iter(without));
        let cost = ratio(with.median(), without.median());
        product *= cost;
        table.times(
            &format!("CPU-bound loop, unmetered ({name})"),
            &without,
            natively(python.as_deref(), source, &without),
            None,
        );
        let what = format!("CPU-bound loop, metered ({name})");
        let target = Some(("<= 1.4 x", cost <= TARGET));
        table.times(&what, &with, format!("{cost:.2} x the unmetered one"), target);
    }
    let mean = product.powf(1.0 / LOOPS.len() as f64);
    table.value("metered : unmetered, geometric mean", format!("{mean:.2}"), String::new(), None);
    Ok(())
}

/// The sandbox's engine but for the fuel.
fn unmetered_engine() -> Result<Engine> {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(8 << 20)
        .async_stack_size(10 << 20)
        .collector(Collector::DeferredReferenceCounting)
        .gc_heap_reservation(16 << 20)
        .gc_heap_guard_size(32 << 20)
        .memory_init_cow(false)
        .with_host_memory(Arc::new(SlotCreator));
    Ok(Engine::new(&config)?)
}

/// The same loop in the machine's own Python.
fn natively(python: Option<&Path>, source: &str, without: &Samples) -> String {
    let timing = "import time\ntimes = []\nfor _ in range(6):\n    start = time.perf_counter()\n    work()\n    \
                  times.append(time.perf_counter() - start)\nimport sys\n\
                  print('.'.join(map(str, sys.version_info[:2])), sorted(times[1:])[2])";
    let answer =
        python.and_then(|python| Command::new(python).args(["-c", &format!("{source}{timing}")]).output().ok());
    let text = answer.and_then(|answer| String::from_utf8(answer.stdout).ok()).unwrap_or_default();
    let Some((version, seconds)) = text.trim().split_once(' ') else { return String::new() };
    let Ok(native) = seconds.parse().map(Duration::from_secs_f64) else { return String::new() };
    let slower = ratio(without.median(), native);
    format!("{slower:.1} x the machine's CPython {version} ({})", milliseconds(native))
}

struct Host(WasiCtx);

impl WasiHost for Host {
    fn wasi(&mut self) -> &mut WasiCtx {
        &mut self.0
    }
}

struct Discard;

impl OutputSink for Discard {
    fn write(&mut self, _: StreamName, _: &[u8]) -> std::result::Result<(), wasmtime::Error> {
        Ok(())
    }
}

/// An interpreter on a slot, without the sandbox around it.
struct Interpreter {
    store: Store<Host>,
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    turn: TypedFunc<(u32, u32), u32>,
}

impl Interpreter {
    fn new(engine: &Engine, files: &RuntimeFiles, metered: bool) -> Result<Self> {
        // SAFETY: `RuntimeFiles` are made only by `runtime::ensure`: what this program compiled, in a directory that
        // only this user can write, with the digest that was taken when it was written.
        let module = unsafe { Module::deserialize_file(engine, &files.module) }?;
        let mut linker = Linker::new(engine);
        wasi::add_to_linker::<Host>(&mut linker)?;
        // -1: there is no host behind the door.
        linker.func_wrap("host", "call", |_: u32, _: u32, _: u32, _: u32| -1_i32)?;
        let mut fs = Fs::new(FsQuota::default());
        let stdlib = CapFile::new(File::from_std(std::fs::File::open(&files.stdlib)?))?;
        fs.mount_file(&files.manifest.stdlib.guest_path, Arc::new(stdlib)).map_err(|error| error.to_string())?;
        let wasi = WasiCtx::new(fs, Arc::from(["python".to_owned()]), Arc::from([]), Box::new(Discard));
        let mut store = Store::new(engine, Host(wasi));
        if metered {
            store.set_fuel(u64::MAX >> 1)?;
            store.fuel_async_yield_interval(Some(SLICE_FUEL))?;
        }
        let minimum = usize::try_from(files.minimum_pages * 65_536)?;
        let image = Image::read(&std::fs::File::open(&files.base_image)?, minimum, Vec::new())?;
        let slot = Arc::new(Slot::new(Arc::new(image))?);
        let making = || linker.instantiate_async(&mut store, &module).now_or_never();
        let instance = with_slot(&slot, minimum, making).ok_or("instantiation waited")??;
        let memory = instance.get_memory(&mut store, "memory").ok_or("the runtime exports no memory")?;
        let alloc = instance.get_typed_func(&mut store, "host_alloc")?;
        let turn = instance.get_typed_func(&mut store, "turn")?;
        Ok(Self { store, memory, alloc, turn })
    }

    /// Runs `source` in the interpreter's one namespace: the time of the turn.
    fn run(&mut self, world: &World, source: &str) -> Result<Duration> {
        let Self { store, memory, alloc, turn } = self;
        world.tokio.block_on(async {
            let len = u32::try_from(source.len())?;
            let at = alloc.call_async(&mut *store, len).await?;
            memory.write(&mut *store, at as usize, source.as_bytes())?;
            let start = Instant::now();
            let status = turn.call_async(&mut *store, (at, len)).await?;
            let took = start.elapsed();
            if status == 0 { Ok(took) } else { Err(format!("an exception in {source:?}").into()) }
        })
    }
}
