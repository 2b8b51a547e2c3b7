//! What tests share: the runtime, started once, and servers in front of it.

mod app;
pub mod browser;
pub mod oidc;
mod process;
pub mod sandbox;

use std::path::PathBuf;

pub use app::{Answer, TestApp, client};
use pymd::backend::wasm::Sandbox;
use pymd::config::{Config, Settings};
use pymd::service::prepare::{PrepareRequest, prepare};
use pymd::service::{Service, ServiceConfig};
use tokio::sync::OnceCell;

pub use process::{Server, pymd};

/// The configuration that the environment gives: the cache directory and the index.
pub fn config() -> Config {
    Config::load(None, Settings::from_environment().unwrap()).unwrap()
}

/// The cache directory, with the runtime in it when one test has waited for it.
pub fn cache_dir() -> PathBuf {
    config().cache_dir
}

/// The sandbox of this process, over the real runtime; fetched and compiled where it is not cached.
pub async fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceCell<Sandbox> = OnceCell::const_new();
    SANDBOX
        .get_or_init(|| async {
            let config = config();
            let service = Service::new(ServiceConfig::default());
            let request = PrepareRequest {
                cache_dir: config.cache_dir.clone(),
                index_url: config.index_url(),
                sandbox: pymd::backend::wasm::SandboxConfig::default(),
            };
            prepare(&service, request, None).await.unwrap()
        })
        .await
}
