//! The real sandbox, over the compiled runtime in the cache directory. The first test process on a machine makes
//! that, which takes minutes.

use std::path::PathBuf;
use std::sync::OnceLock;

use pymd::backend::wasm::runtime::fetch::Retry;
use pymd::backend::wasm::runtime::manifest::Manifest;
use pymd::backend::wasm::runtime::{EnsureRequest, RuntimeFiles, Silent, Source, ensure};
use pymd::backend::wasm::{Sandbox, SandboxConfig, engine};
use pymd::service::prepare::EXTRA_KEY;
use tokio::runtime::{Builder, Runtime};
use wasmtime::Engine;

const DEFAULT_INDEX_URL: &str = "https://pypi.org/simple/";

/// The sandbox that most tests share.
pub async fn sandbox() -> &'static Sandbox {
    static SHARED: OnceLock<(Runtime, Sandbox)> = OnceLock::new();
    let make = || SHARED.get_or_init(|| open_on_its_own(SandboxConfig::default()));
    &tokio::task::spawn_blocking(make).await.unwrap().1
}

/// A sandbox that nobody else uses, for tests that count what is alive or how the processor is shared.
pub async fn own_sandbox(config: SandboxConfig) -> Sandbox {
    let (engine, files) = prepared().await;
    Sandbox::open(engine.clone(), files, config).await.unwrap()
}

/// The engine and the runtime's files, made once.
pub async fn prepared() -> &'static (Engine, RuntimeFiles) {
    tokio::task::spawn_blocking(prepare).await.unwrap()
}

/// The runtime under it lasts as long as the process, as each test has one of its own that ends with it.
fn open_on_its_own(config: SandboxConfig) -> (Runtime, Sandbox) {
    let (engine, files) = prepare();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let sandbox = runtime.block_on(Sandbox::open(engine.clone(), files, config)).unwrap();
    (runtime, sandbox)
}

fn prepare() -> &'static (Engine, RuntimeFiles) {
    static PREPARED: OnceLock<(Engine, RuntimeFiles)> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let engine = engine().unwrap();
        let request = EnsureRequest {
            manifest: Manifest::embedded().unwrap(),
            cache_dir: cache_dir(),
            source: Source::Index { url: std::env::var("PIP_INDEX_URL").unwrap_or(DEFAULT_INDEX_URL.to_owned()) },
            extra_key: EXTRA_KEY.to_owned(),
            retry: Retry::default(),
        };
        let files = ensure(&request, &engine, &Silent).unwrap();
        (engine, files)
    })
}

/// Where the program itself keeps the runtime.
pub fn cache_dir() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("PYMD_CACHE_DIR")
        .or_else(|| from("XDG_CACHE_HOME").map(|dir| dir.join("pymd")))
        .or_else(|| from("HOME").map(|dir| dir.join(".cache/pymd")))
        .expect("one of PYMD_CACHE_DIR, XDG_CACHE_HOME, HOME")
}
