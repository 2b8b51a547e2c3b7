//! Sandboxes besides the shared one.

use pymd::backend::wasm::runtime::fetch::Retry;
use pymd::backend::wasm::runtime::manifest::Manifest;
use pymd::backend::wasm::runtime::{EnsureRequest, Silent, Source, ensure};
use pymd::backend::wasm::{Sandbox, SandboxConfig, engine};
use pymd::service::prepare::EXTRA_KEY;

use super::config;

/// A sandbox that nobody else uses, for tests that count what is alive or watch how the processor is shared.
pub async fn own_sandbox(sandbox: SandboxConfig) -> Sandbox {
    let config = config();
    let request = EnsureRequest {
        manifest: Manifest::embedded().unwrap(),
        cache_dir: config.cache_dir.clone(),
        source: Source::Index { url: config.index_url() },
        extra_key: EXTRA_KEY.to_owned(),
        retry: Retry::default(),
    };
    let engine = engine().unwrap();
    let compiler = engine.clone();
    let files = tokio::task::spawn_blocking(move || ensure(&request, &compiler, &Silent).unwrap()).await.unwrap();
    Sandbox::open(engine, &files, sandbox).await.unwrap()
}
