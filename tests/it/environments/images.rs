//! Images of environments: kept on disk, found again, told apart, let go of.

use std::path::PathBuf;
use std::time::Duration;

use pymd::backend::wasm::runtime::cache::Evicted;
use pymd::backend::wasm::{EnvironmentSpec, Sandbox, SandboxConfig};

use super::{Wheels, kernel, prints, quick, spec};
use crate::support::sandbox::own_sandbox;

fn config() -> SandboxConfig {
    SandboxConfig { threads: 2, ready_kernels: 1, ..SandboxConfig::default() }
}

/// A module that says when it was imported, so that two images of it differ.
fn dated(wheels: &Wheels, name: &str) -> PathBuf {
    wheels.module(name, "import time\nWHEN = time.time_ns()\n")
}

async fn when(sandbox: &Sandbox, spec: &EnvironmentSpec, module: &str) -> String {
    let environment = sandbox.environment(spec).await.unwrap();
    assert_eq!(environment.report().failed, []);
    let code = format!("import sys\nprint(sys.modules[{module:?}].WHEN)");
    prints(kernel(sandbox, &environment).await, &code).await.1
}

#[tokio::test]
async fn an_image_is_found_again_after_a_restart() {
    let wheels = Wheels::new();
    let spec = spec(vec![dated(&wheels, "dated_a")], &["dated_a"]);
    let first = when(&own_sandbox(config()).await, &spec, "dated_a").await;
    let second = when(&own_sandbox(config()).await, &spec, "dated_a").await;
    assert_eq!(first, second, "the module was not imported again");
}

#[tokio::test]
async fn another_key_or_other_imports_are_another_image() {
    let wheels = Wheels::new();
    let sandbox = crate::support::sandbox().await;
    let (one, two) = (dated(&wheels, "dated_b"), wheels.module("plain_b", ""));
    let first = spec(vec![one, two], &["dated_b"]);
    let mut seen = vec![when(sandbox, &first, "dated_b").await];
    seen.push(when(sandbox, &EnvironmentSpec { key: format!("{}x", first.key), ..first.clone() }, "dated_b").await);
    let imports = vec!["plain_b".to_owned(), "dated_b".to_owned()];
    seen.push(when(sandbox, &EnvironmentSpec { imports, ..first.clone() }, "dated_b").await);
    let mut limits = quick();
    limits.total_fuel -= 1;
    seen.push(when(sandbox, &EnvironmentSpec { limits, ..first.clone() }, "dated_b").await);
    assert_eq!(when(sandbox, &first, "dated_b").await, seen[0]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn many_that_want_one_environment_at_once_make_it_once() {
    let wheels = Wheels::new();
    let spec = spec(vec![dated(&wheels, "dated_c")], &["dated_c"]);
    // Two sandboxes stand for two processes: they share nothing but the cache directory.
    let sandboxes = [own_sandbox(config()).await, own_sandbox(config()).await];
    let all = (0..8).map(|index| when(&sandboxes[index % 2], &spec, "dated_c"));
    let mut seen = futures::future::join_all(all).await;
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[tokio::test]
async fn a_damaged_image_is_made_again() {
    let wheels = Wheels::new();
    let spec = spec(vec![dated(&wheels, "dated_d")], &["dated_d"]);
    let first = when(&own_sandbox(config()).await, &spec, "dated_d").await;
    let images = images();
    let image = newest(&images).join("memory.image");
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[100_000] ^= 1;
    std::fs::write(&image, bytes).unwrap();
    let second = when(&own_sandbox(config()).await, &spec, "dated_d").await;
    assert_ne!(first, second);
}

/// The directories of images, wherever the runtime is.
fn images() -> Vec<PathBuf> {
    let runtimes = std::fs::read_dir(crate::support::cache_dir().join("runtimes")).unwrap();
    let parents = runtimes.map(|runtime| runtime.unwrap().path().join("environments")).filter(|path| path.is_dir());
    let entries = parents.flat_map(|parent| std::fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()));
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("env-")).collect()
}

fn newest(images: &[PathBuf]) -> &PathBuf {
    images.iter().max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap()
}

#[tokio::test]
async fn environments_in_memory_are_bounded_and_live_kernels_go_on() {
    let wheels = Wheels::new();
    let sandbox =
        own_sandbox(SandboxConfig { environments: 2, environment_pools: 1, environment_ready_kernels: 1, ..config() })
            .await;
    let specs: Vec<_> =
        ["e1", "e2", "e3"].iter().map(|name| spec(vec![wheels.module(name, "X = 1\n")], &[name])).collect();
    let first = sandbox.environment(&specs[0]).await.unwrap();
    let (live, _) = prints(kernel(&sandbox, &first).await, "import e1; e1.X = 5").await;
    for spec in &specs {
        sandbox.environment(spec).await.unwrap();
    }
    assert_eq!(sandbox.stats().environments, 2);
    // The kernel, and the handle, of what was let go of.
    let (live, text) = prints(live, "import e1; e1.X += 1; print(e1.X)").await;
    assert_eq!(text, "6\n");
    let (_, text) = prints(kernel(&sandbox, &first).await, "import e1; print(e1.X)").await;
    assert_eq!(text, "1\n");
    drop(live);
    let again = sandbox.environment(&specs[0]).await.unwrap();
    assert_ne!(again, first);
    assert_eq!(sandbox.environment(&specs[0]).await.unwrap(), again);
    assert_eq!(sandbox.stats().environments, 2);
    let none = own_sandbox(SandboxConfig { environment_bytes: 0, ..config() }).await;
    for spec in &specs {
        let environment = none.environment(spec).await.unwrap();
        prints(kernel(&none, &environment).await, "print(1)").await;
        assert_eq!(none.stats().environments, 1, "the one used last stays");
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_an_error_and_no_environment() {
    let wheels = Wheels::new();
    let sandbox = own_sandbox(config()).await;
    let spec = spec(vec![wheels.path().join("missing")], &["x"]);
    assert!(sandbox.environment(&spec).await.is_err());
    assert_eq!(sandbox.stats().environments, 0);
    std::fs::create_dir(wheels.path().join("missing")).unwrap();
    let environment = sandbox.environment(&spec).await.unwrap();
    assert_eq!(environment.report().failed.len(), 1);
}

#[test]
fn images_that_are_old_or_too_many_are_evicted() {
    use pymd::backend::wasm::runtime::cache::{CacheError, ensure_dir, evict};
    let temp = tempfile::tempdir().unwrap();
    let parent = temp.path().join("images");
    assert_eq!(evict(&parent, 0, Duration::ZERO).unwrap(), Evicted::default());
    let make = |name: &str| {
        ensure_dir::<(), CacheError>(&parent, name, &|| (), |staging| {
            std::fs::write(staging.join("f"), vec![1; 1 << 20]).unwrap();
            Ok(())
        })
        .unwrap();
    };
    let age = |name: &str, seconds: u64| {
        let then = std::time::SystemTime::now() - Duration::from_secs(seconds);
        let times = std::fs::FileTimes::new().set_modified(then);
        std::fs::File::open(parent.join(name)).unwrap().set_times(times).unwrap();
    };
    for (name, seconds) in [("a", 4000), ("b", 300), ("c", 200), ("d", 100)] {
        make(name);
        age(name, seconds);
    }
    let there = || -> Vec<String> {
        let names = std::fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names.into_iter().filter(|name| !name.ends_with(".lock")).collect()
    };
    let done = evict(&parent, u64::MAX, Duration::from_secs(3600)).unwrap();
    assert_eq!((done.removed, done.left), (1, 3));
    assert_eq!(there(), ["b", "c", "d"]);
    let done = evict(&parent, (5 << 20) / 2, Duration::from_secs(3600)).unwrap();
    assert_eq!((done.removed, done.left), (1, 2), "{done:?}");
    assert_eq!(there(), ["c", "d"]);
    let done = evict(&parent, 0, Duration::from_secs(3600)).unwrap();
    assert_eq!((done.removed, done.left, done.left_bytes), (2, 0, 0));
    assert_eq!(there(), Vec::<String>::new());
    make("c");
    assert_eq!(there(), ["c"]);
}
