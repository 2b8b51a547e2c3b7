//! A small guest that makes any system call with any arguments, and shortcuts for file system tests.

use std::sync::{Arc, Mutex};

use pymd::backend::wasm::vfs::{
    Errno, Fd, Fs, FsQuota, OFLAG_CREATE, OFLAG_DIRECTORY, OpenRequest, PathAt, Rights, Whence,
};
use pymd::backend::wasm::wasi::{OutputSink, WasiCtx, WasiHost, add_to_linker};
use pymd::domain::StreamName;
use wasmtime::{Config, Engine, Instance, Linker, Memory, Module, Store, Val};

/// Every function of preview 1: its name, its parameters (`i` and `I` for 32 and 64 bits), whether it has a result.
pub const FUNCTIONS: &[(&str, &str, bool)] = &[
    ("args_get", "ii", true),
    ("args_sizes_get", "ii", true),
    ("environ_get", "ii", true),
    ("environ_sizes_get", "ii", true),
    ("clock_res_get", "ii", true),
    ("clock_time_get", "iIi", true),
    ("fd_advise", "iIIi", true),
    ("fd_allocate", "iII", true),
    ("fd_close", "i", true),
    ("fd_datasync", "i", true),
    ("fd_fdstat_get", "ii", true),
    ("fd_fdstat_set_flags", "ii", true),
    ("fd_fdstat_set_rights", "iII", true),
    ("fd_filestat_get", "ii", true),
    ("fd_filestat_set_size", "iI", true),
    ("fd_filestat_set_times", "iIIi", true),
    ("fd_pread", "iiiIi", true),
    ("fd_prestat_get", "ii", true),
    ("fd_prestat_dir_name", "iii", true),
    ("fd_pwrite", "iiiIi", true),
    ("fd_read", "iiii", true),
    ("fd_readdir", "iiiIi", true),
    ("fd_renumber", "ii", true),
    ("fd_seek", "iIii", true),
    ("fd_sync", "i", true),
    ("fd_tell", "ii", true),
    ("fd_write", "iiii", true),
    ("path_create_directory", "iii", true),
    ("path_filestat_get", "iiiii", true),
    ("path_filestat_set_times", "iiiiIIi", true),
    ("path_link", "iiiiiii", true),
    ("path_open", "iiiiiIIii", true),
    ("path_readlink", "iiiiii", true),
    ("path_remove_directory", "iii", true),
    ("path_rename", "iiiiii", true),
    ("path_symlink", "iiiii", true),
    ("path_unlink_file", "iii", true),
    ("poll_oneoff", "iiii", true),
    ("proc_exit", "i", false),
    ("proc_raise", "i", true),
    ("random_get", "ii", true),
    ("sched_yield", "", true),
    ("sock_accept", "iii", true),
    ("sock_recv", "iiiiii", true),
    ("sock_send", "iiiii", true),
    ("sock_shutdown", "ii", true),
];

/// A module that exports a function for each system call, which only makes it, and `spin`, which asks for the time
/// until it traps.
fn module_text() -> String {
    let mut imports = String::new();
    let mut functions = String::new();
    for (name, parameters, has_result) in FUNCTIONS {
        let types: String = parameters.chars().map(|kind| if kind == 'i' { " i32" } else { " i64" }).collect();
        let result = if *has_result { "(result i32)" } else { "" };
        let arguments: String = (0..parameters.len()).map(|at| format!(" (local.get {at})")).collect();
        imports += &format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} (param{types}) {result}))\n");
        functions += &format!("(func (export \"{name}\") (param{types}) {result} (call ${name}{arguments}))\n");
    }
    format!(
        "(module {imports} (memory (export \"memory\") 2 1024) {functions}
           (func (export \"spin\") (loop $again
             (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 0))) (br $again))))"
    )
}

/// What the guest wrote.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Writes>>);

type Writes = Vec<(StreamName, Vec<u8>)>;

impl Written {
    pub fn text(&self, wanted: StreamName) -> String {
        let all = self.0.lock().expect("no writer panics");
        let bytes: Vec<u8> =
            all.iter().filter(|(name, _)| *name == wanted).flat_map(|(_, bytes)| bytes.clone()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A sink that takes bytes up to a limit, then ends the guest.
struct LimitedSink {
    written: Written,
    left: usize,
}

impl OutputSink for LimitedSink {
    fn write(&mut self, stream: StreamName, bytes: &[u8]) -> Result<(), wasmtime::Error> {
        let fits = bytes.len().min(self.left);
        self.left -= fits;
        self.written.0.lock().expect("no writer panics").push((stream, bytes[..fits].to_vec()));
        if fits < bytes.len() { Err(wasmtime::Error::msg("output limit")) } else { Ok(()) }
    }
}

pub struct Host(pub WasiCtx);

impl WasiHost for Host {
    fn wasi(&mut self) -> &mut WasiCtx {
        &mut self.0
    }
}

/// A running guest. Arguments and results lie in its memory wherever a test puts them.
pub struct Guest {
    pub store: Store<Host>,
    pub written: Written,
    instance: Instance,
    memory: Memory,
}

/// Fuel that a guest starts with.
pub const FUEL: u64 = 1_000_000_000;

impl Guest {
    pub async fn new(fs: Fs) -> Self {
        let engine = Engine::new(Config::new().consume_fuel(true)).expect("the engine starts");
        let module = Module::new(&engine, wat::parse_str(module_text()).expect("valid text")).expect("valid module");
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker).expect("names are free");
        let written = Written::default();
        let sink = LimitedSink { written: written.clone(), left: 1 << 20 };
        let args = Arc::from(["guest".to_owned(), "é".to_owned()]);
        let env = Arc::from([("HOME".to_owned(), "/home".to_owned()), ("EMPTY".to_owned(), String::new())]);
        let mut store = Store::new(&engine, Host(WasiCtx::new(fs, args, env, Box::new(sink))));
        store.set_fuel(FUEL).expect("fuel is on");
        store.fuel_async_yield_interval(Some(1_000_000)).expect("fuel is on");
        let instance = linker.instantiate_async(&mut store, &module).await.expect("all imports are there");
        let memory = instance.get_memory(&mut store, "memory").expect("exported");
        Self { store, written, instance, memory }
    }

    /// Makes a system call and returns its error number.
    pub async fn call(&mut self, name: &str, arguments: &[i64]) -> u16 {
        self.try_call(name, arguments).await.unwrap_or_else(|error| panic!("{name} trapped: {error:?}"))
    }

    pub async fn try_call(&mut self, name: &str, arguments: &[i64]) -> wasmtime::Result<u16> {
        let (_, parameters, has_result) = FUNCTIONS.iter().find(|(known, ..)| *known == name).expect("a known name");
        assert_eq!(parameters.len(), arguments.len(), "{name}");
        let arguments: Vec<Val> = parameters
            .chars()
            .zip(arguments)
            .map(|(kind, value)| if kind == 'i' { Val::I32(*value as i32) } else { Val::I64(*value) })
            .collect();
        let function = self.instance.get_func(&mut self.store, name).expect("exported");
        let mut results = vec![Val::I32(-1); usize::from(*has_result)];
        function.call_async(&mut self.store, &arguments, &mut results).await?;
        Ok(results.first().and_then(Val::i32).map_or(0, |errno| u16::try_from(errno).expect("an error number")))
    }

    /// Asks for the time until the fuel is burnt.
    pub async fn spin(&mut self) -> wasmtime::Result<()> {
        let spin = self.instance.get_typed_func::<(), ()>(&mut self.store, "spin")?;
        spin.call_async(&mut self.store, ()).await
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        self.memory.data_mut(&mut self.store)[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub fn bytes(&self, at: usize, len: usize) -> Vec<u8> {
        self.memory.data(&self.store)[at..at + len].to_vec()
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at, 4).try_into().expect("four bytes"))
    }

    pub fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at, 8).try_into().expect("eight bytes"))
    }

    /// Puts a vector array at `at`.
    pub fn put_vectors(&mut self, at: usize, vectors: &[(u32, u32)]) {
        let raw: Vec<u8> =
            vectors.iter().flat_map(|(at, len)| [at.to_le_bytes(), len.to_le_bytes()].concat()).collect();
        self.put(at, &raw);
    }

    pub fn memory_bytes(&self) -> usize {
        self.memory.data_size(&self.store)
    }

    pub fn fuel(&self) -> u64 {
        self.store.get_fuel().expect("fuel is on")
    }

    pub fn fs(&mut self) -> &mut Fs {
        &mut self.store.data_mut().0.fs
    }
}

/// The root's descriptor.
pub const ROOT: Fd = 3;

/// A path from the root.
pub fn at(path: &str) -> PathAt<'_> {
    PathAt { directory: ROOT, path }
}

/// A file system with default quotas.
pub fn empty() -> Fs {
    Fs::new(FsQuota::default())
}

/// Opens with all rights that the root hands on to files, following symbolic links.
pub fn open(fs: &mut Fs, path: &str, oflags: u16) -> Result<Fd, Errno> {
    open_with(fs, path, oflags, Rights::FILE, 0)
}

/// Opens for reading.
pub fn open_read(fs: &mut Fs, path: &str) -> Result<Fd, Errno> {
    open_with(fs, path, 0, Rights::READ_ONLY_FILE, 0)
}

/// Opens a directory.
pub fn open_directory(fs: &mut Fs, path: &str) -> Result<Fd, Errno> {
    let request = OpenRequest {
        path,
        follow: true,
        oflags: OFLAG_DIRECTORY,
        base: Rights::DIRECTORY,
        inheriting: Rights::INHERITING,
        fdflags: 0,
    };
    fs.open(ROOT, &request)
}

pub fn open_with(fs: &mut Fs, path: &str, oflags: u16, base: Rights, fdflags: u16) -> Result<Fd, Errno> {
    fs.open(ROOT, &OpenRequest { path, follow: true, oflags, base, inheriting: Rights::NONE, fdflags })
}

/// Makes a file with this content.
pub fn put_file(fs: &mut Fs, path: &str, content: &str) {
    fs.write_file(path, content.as_bytes()).unwrap_or_else(|errno| panic!("{path}: {errno}"));
}

/// The text of a file.
pub fn text(fs: &Fs, path: &str) -> String {
    let bytes = fs.read_file(path).unwrap_or_else(|errno| panic!("{path}: {errno}"));
    String::from_utf8(bytes).expect("text")
}

/// Reads on from the position.
pub fn read(fs: &mut Fs, fd: Fd, len: usize) -> Result<Vec<u8>, Errno> {
    let mut buf = vec![0xee; len];
    let position = fs.file(fd)?.position;
    let read = fs.reader(fd)?.read_at(position, &mut buf)?;
    fs.advance(fd, read as u64)?;
    buf.truncate(read);
    Ok(buf)
}

pub fn rewind(fs: &mut Fs, fd: Fd) {
    fs.seek(fd, 0, Whence::Start).expect("a file has a position");
}

pub fn make_file(fs: &mut Fs, path: &str) -> Fd {
    open(fs, path, OFLAG_CREATE).unwrap_or_else(|errno| panic!("{path}: {errno}"))
}
