//! `cargo bench --bench packages`: what installing packages costs, beside uv and pip on the same index.
//! README.md says what each number means.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program for people who wait, that prints what it measures"
)]

#[path = "support/machine.rs"]
#[expect(dead_code, reason = "shared with the other benchmarks")]
mod machine;
#[path = "support/report.rs"]
mod report;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pymd::config::{Config, Settings};
use pymd::packages::generation::Environments;
use pymd::packages::requirements::parse_requirement;
use pymd::packages::resolver::Request;
use pymd::service::install::{InstallConfig, Installer};
use report::{Result, Samples, Table, milliseconds, ratio};
use uuid::Uuid;

/// Runs of a kind; what is cold asks the network each time.
const COLD_RUNS: usize = 5;
const WARM_RUNS: usize = 15;
const PIP_RUNS: usize = 2;
const WARM_TARGET: Duration = Duration::from_millis(150);
const COLD_RATIO: f64 = 1.5;

/// Pure packages, none of which is linked into the runtime, that need nothing besides each other.
const PACKAGES: [&str; 40] = [
    "click",
    "rich",
    "markdown-it-py",
    "mdurl",
    "pygments",
    "humanize",
    "colorama",
    "idna",
    "certifi",
    "urllib3",
    "h11",
    "httpcore",
    "httpx",
    "anyio",
    "itsdangerous",
    "blinker",
    "docutils",
    "pytz",
    "pluggy",
    "iniconfig",
    "pathspec",
    "platformdirs",
    "filelock",
    "distlib",
    "termcolor",
    "ply",
    "pycparser",
    "pyasn1",
    "rsa",
    "oauthlib",
    "chardet",
    "toml",
    "tomlkit",
    "zipp",
    "sortedcontainers",
    "schema",
    "boltons",
    "cachetools",
    "decorator",
    "wcwidth",
];

/// Who installs.
#[derive(Clone, Copy, PartialEq)]
enum Peer {
    Uv,
    Pip,
}

fn main() -> Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` starts benchmarks, too: there is nothing to test.
        return Ok(());
    }
    let config = Config::load(None, Settings::from_environment()?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut table = Table::new("Packages", machine::busy());
    for count in [1, 10, PACKAGES.len()] {
        let names = &PACKAGES[..count];
        let (mut ours, mut uv, mut pip) = (Vec::new(), Vec::new(), Vec::new());
        // In turns: whatever the network does, it does to all.
        for run in 0..COLD_RUNS {
            let cache = tempfile::tempdir()?;
            ours.push(runtime.block_on(install(&config, names, cache.path()))?);
            let cache = tempfile::tempdir()?;
            uv.extend(install_with(Peer::Uv, names, cache.path())?);
            if run < PIP_RUNS {
                pip.extend(install_with(Peer::Pip, names, cache.path())?);
            }
        }
        let (ours, uv, pip) = (samples(ours), samples(uv), samples(pip));
        let met = ratio(ours.median(), uv.median()) <= COLD_RATIO;
        let target = (uv.len() > 0).then_some(("<= 1.5 x uv", met));
        table.times(&format!("{count} packages, cold"), &ours, compared(&ours, &uv, &pip), target);

        let (mut ours, mut uv) = (Vec::new(), Vec::new());
        let (our_cache, uv_cache) = (tempfile::tempdir()?, tempfile::tempdir()?);
        for run in 0..=WARM_RUNS {
            let own = runtime.block_on(install(&config, names, our_cache.path()))?;
            let peer = install_with(Peer::Uv, names, uv_cache.path())?;
            // The first one fills the cache.
            if run > 0 {
                ours.push(own);
                uv.extend(peer);
            }
        }
        let (ours, uv) = (samples(ours), samples(uv));
        let target = (count == PACKAGES.len()).then_some(("<= 150 ms", ours.median() <= WARM_TARGET));
        table.times(
            &format!("{count} packages, warm cache"),
            &ours,
            compared(&ours, &uv, &samples(Vec::new())),
            target,
        );
    }
    table.print()?;
    Ok(())
}

fn samples(times: Vec<Duration>) -> Samples {
    times.into_iter().collect()
}

fn compared(ours: &Samples, uv: &Samples, pip: &Samples) -> String {
    let one = |name: &str, peer: &Samples| {
        (peer.len() > 0).then(|| {
            format!(
                "{name} {}: this takes {:.2} x that",
                milliseconds(peer.median()),
                ratio(ours.median(), peer.median())
            )
        })
    };
    let all: Vec<_> = [one("uv", uv), one("pip", pip)].into_iter().flatten().collect();
    if all.is_empty() { "skipped: there is neither uv nor pip".to_owned() } else { all.join("; ") }
}

/// Resolves, downloads, checks, unpacks and links, with nothing in memory: what a process of its own would have to do.
async fn install(config: &Config, names: &[&str], cache: &Path) -> Result<Duration> {
    let started = Instant::now();
    let installer = Installer::open(InstallConfig {
        index_urls: config.index_urls.clone(),
        trusted_hosts: config.index_trusted_hosts.clone(),
        cache_dir: cache.to_owned(),
    })?;
    let requirements = names.iter().map(|name| parse_requirement(name)).collect::<std::result::Result<Vec<_>, _>>()?;
    let resolution = installer.resolve(Request::new(installer.target().clone(), requirements)).await?;
    let mut lock = resolution.lockfile;
    let wheels = installer.fetch(&mut lock, &|_| {}).await?;
    let environments = Environments::open(&cache.join("environments"))?;
    let built = environments.build(Uuid::now_v7(), 1, &lock, installer.wheels())?;
    let took = started.elapsed();
    if wheels.len() < names.len() || built.wheels.len() != wheels.len() {
        return Err(format!("{} wheels for {} packages", wheels.len(), names.len()).into());
    }
    Ok(took)
}

/// Has the peer install the same into a directory; nothing where it is not on the machine.
fn install_with(peer: Peer, names: &[&str], cache: &Path) -> Result<Option<Duration>> {
    let target = tempfile::tempdir()?;
    let mut command = match peer {
        Peer::Uv => {
            let mut command = Command::new(std::env::var_os("PYMD_BENCH_UV").unwrap_or_else(|| "uv".into()));
            command.args(["pip", "install", "--quiet", "--cache-dir"]).arg(cache);
            // Named, so that it does not have to look for one.
            if let Some(python) = machine::python() {
                command.arg("--python").arg(python);
            }
            command
        }
        Peer::Pip => {
            let mut command = Command::new("python3");
            command.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-compile",
                "--disable-pip-version-check",
                "--cache-dir",
            ]);
            command.arg(cache.join("pip"));
            command
        }
    };
    command.arg("--target").arg(target.path()).args(names).stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let Ok(output) = command.stderr(Stdio::piped()).spawn().and_then(std::process::Child::wait_with_output) else {
        return Ok(None);
    };
    let took = started.elapsed();
    if !output.status.success() {
        if peer == Peer::Pip {
            return Ok(None);
        }
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(Some(took))
}
