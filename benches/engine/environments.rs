//! Environments: what their kernels, their trees and their bytecode cost.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::Criterion;
use pymd::backend::wasm::vfs::LowerTree;
use pymd::backend::wasm::{EnvironmentBase, EnvironmentSpec, SandboxConfig, WarmLimits};
use pymd::domain::Limits;
use tokio_util::sync::CancellationToken;

use crate::report::{Result, Samples, Table, milliseconds};
use crate::world::{World, cell, completed, measure, settle};

const CODE: &str = "import pandas as pd\npd.DataFrame({\"a\": [1, 2]}).describe()";
const TARGET: Duration = Duration::from_millis(40);
/// Kernels ready for the environment.
const READY: usize = 2;
/// A large environment.
const PACKAGES: usize = 500;
const FILES_EACH: usize = 100;
/// A wheel that is all functions and classes.
const MODULES: usize = 100;

/// Measures environments.
pub fn run(criterion: &mut Criterion, world: &World, table: &mut Table) -> Result<()> {
    let temp = tempfile::tempdir()?;
    let wheel = temp.path().join("wheel");
    write_wheel(&wheel)?;
    kernels(criterion, world, &wheel, table)?;
    tree(criterion, temp.path(), table)?;
    bytecode(world, temp.path(), &wheel, table)
}

/// Fresh kernels of an environment to the result of [`CODE`].
fn kernels(criterion: &mut Criterion, world: &World, wheel: &Path, table: &mut Table) -> Result<()> {
    let config = SandboxConfig { environment_ready_kernels: READY, ..world.config() };
    let sandbox = world.sandbox_with(config)?;
    let spec = EnvironmentSpec {
        key: "bench".to_owned(),
        layers: vec![wheel.to_owned()],
        imports: ["pandas", "matplotlib.pyplot", "bench_0"].map(str::to_owned).to_vec(),
        limits: WarmLimits::default(),
    };
    let environment = world.tokio.block_on(sandbox.environment(&spec))?;
    if !environment.report().failed.is_empty() {
        return Err(format!("{:?}", environment.report()).into());
    }
    let mut once = |name: &str, ready: usize| {
        let mut inside = Vec::new();
        let samples = measure(criterion, name, Duration::from_secs(5), || {
            settle(&sandbox, 0, ready);
            let (took, wall_ms) = fresh(world, &sandbox, &environment)?;
            inside.push(Duration::from_secs_f64(wall_ms / 1e3));
            Ok(took)
        });
        (samples, inside.into_iter().collect::<Samples>())
    };
    let (samples, inside) = once("environment, fresh kernel", READY);
    let met = samples.median() <= TARGET;
    let name = "fresh kernel of an environment with pandas and matplotlib, to the result of `describe()`";
    table.times(name, &samples, String::new(), Some(("median <= 40 ms over HTTP", met)));
    table.times("  of this, on the executor thread", &inside, String::new(), None);
    let again = measure(criterion, "environment, second cell", Duration::from_secs(2), || {
        let request = cell(CODE);
        let report = world.tokio.block_on(async {
            let kernel = sandbox.kernel_for(Some(&environment), CODE, &request.limits).await?;
            let (kernel, _) = kernel.run(request.clone(), None, CancellationToken::new()).await?;
            kernel.run_once(request, None, CancellationToken::new()).await
        })?;
        completed(&report)?;
        Ok(Duration::from_secs_f64(report.wall_ms / 1e3))
    });
    table.times(
        "  the same cell once more in its kernel",
        &again,
        "hardly a page is touched for the first time".to_owned(),
        None,
    );
    let found = Instant::now();
    world.tokio.block_on(sandbox.environment(&spec))?;
    table.value("  finding the environment in memory", milliseconds(found.elapsed()), String::new(), None);
    let restarted = world.sandbox_with(world.config())?;
    let found = Instant::now();
    world.tokio.block_on(restarted.environment(&spec))?;
    table.value("  finding it on disk", milliseconds(found.elapsed()), "checked byte for byte".to_owned(), None);
    Ok(())
}

fn fresh(
    world: &World,
    sandbox: &pymd::backend::wasm::Sandbox,
    environment: &EnvironmentBase,
) -> Result<(Duration, f64)> {
    let request = cell(CODE);
    let start = Instant::now();
    let report = world.tokio.block_on(async {
        let kernel = sandbox.kernel_for(Some(environment), CODE, &request.limits).await?;
        kernel.run_once(request, None, CancellationToken::new()).await
    })?;
    let took = start.elapsed();
    completed(&report)?;
    if report.result().is_none() {
        return Err("there is no result".into());
    }
    Ok((took, report.wall_ms))
}

/// Merging the directories of a large environment.
fn tree(criterion: &mut Criterion, temp: &Path, table: &mut Table) -> Result<()> {
    let mut layers = Vec::new();
    for package in 0..PACKAGES {
        let layer = temp.join(format!("large/{package}"));
        for file in 0..FILES_EACH {
            let dir = layer.join(format!("package_{package}/part_{}", file % 10));
            fs::create_dir_all(&dir)?;
            fs::write(dir.join(format!("module_{file}.py")), "")?;
        }
        layers.push(layer);
    }
    let samples = measure(criterion, "environment, tree of 50,000 files", Duration::from_secs(3), || {
        let layers = layers.clone();
        let start = Instant::now();
        let tree = LowerTree::from_paths(layers)?;
        let took = start.elapsed();
        if tree.files().count() != PACKAGES * FILES_EACH {
            return Err("files are missing".into());
        }
        Ok(took)
    });
    let name = format!("merging {PACKAGES} packages of {FILES_EACH} files and 11 directories each");
    table.times(&name, &samples, "once per environment and process".to_owned(), None);
    Ok(())
}

/// Compiling a wheel, and importing it with and without that.
fn bytecode(world: &World, temp: &Path, wheel: &Path, table: &mut Table) -> Result<()> {
    let target = temp.join("bytecode");
    fs::create_dir(&target)?;
    let start = Instant::now();
    let done = world.tokio.block_on(world.sandbox.compile_bytecode(wheel, &target, &Limits::default()))?;
    let took = start.elapsed();
    let source: u64 = LowerTree::from_paths(vec![wheel.to_owned()])?.total_bytes();
    let name = format!("compiling {} modules of {} KiB in all to bytecode", done.compiled, source >> 10);
    table.value(&name, milliseconds(took), format!("{} KiB of bytecode", done.bytes >> 10), None);
    let code = format!("for i in range({MODULES}): __import__(f'bench_{{i}}')");
    for (name, layers) in [
        ("importing these modules from source", vec![wheel.to_owned()]),
        ("importing these modules from bytecode", vec![target, wheel.to_owned()]),
    ] {
        let spec = EnvironmentSpec { key: name.to_owned(), layers, ..EnvironmentSpec::default() };
        let environment = world.tokio.block_on(world.sandbox.environment(&spec))?;
        let request = cell(&code);
        let report = world.tokio.block_on(async {
            let kernel = world.sandbox.kernel_for(Some(&environment), "", &request.limits).await?;
            kernel.run_once(request, None, CancellationToken::new()).await
        })?;
        completed(&report)?;
        table.value(name, milliseconds(Duration::from_secs_f64(report.wall_ms / 1e3)), String::new(), None);
    }
    Ok(())
}

fn write_wheel(wheel: &Path) -> Result<()> {
    fs::create_dir_all(wheel)?;
    for module in 0..MODULES {
        let mut text = String::from("import collections, functools\n\n");
        for part in 0..40 {
            text.push_str(&format!(
                "class Thing{part}:\n    \"\"\"A thing of some kind.\"\"\"\n\n    def __init__(self, first, second=None, *rest, \
                 **named):\n        self.first, self.second = first, second\n        self.all = [value for value in rest if \
                 value is not None] or {{key: named[key] for key in sorted(named)}}\n\n    @functools.lru_cache\n    def \
                 measure(self, scale: float = 1.0) -> float:\n        if self.second is None:\n            return scale * \
                 len(self.first)\n        return sum(scale * value ** {part} for value in self.second)\n\n"
            ));
        }
        fs::write(wheel.join(format!("bench_{module}.py")), text)?;
    }
    Ok(())
}
