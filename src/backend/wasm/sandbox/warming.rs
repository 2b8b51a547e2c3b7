//! Making an environment's image: its modules are imported one after another, each a transaction.

use std::collections::HashSet;
use std::time::Instant;

use super::environment::{EnterError, EnvironmentSpec, WarmLimits, Warmed, enter};
use super::{Sandbox, SandboxError, make};
use crate::backend::wasm::checkpoint::Checkpoint;
use crate::backend::wasm::guest::Work;
use crate::backend::wasm::kernel::{Keep, Kernel};
use crate::backend::wasm::memory::Image;
use crate::backend::wasm::vfs::Fs;
use crate::domain::{CellReport, ColdModule, Limits, Outcome, WarmReport};

/// Characters of a module's error.
const ERROR_CHARACTERS: usize = 500;

/// What is left for the imports that are still to come.
struct Budget {
    limits: WarmLimits,
    fuel: u64,
    started: Instant,
}

impl Budget {
    fn new(limits: &WarmLimits) -> Self {
        Self { limits: limits.clone(), fuel: limits.total_fuel, started: Instant::now() }
    }

    /// The limits of the next import; none where there is nothing left.
    fn next(&self) -> Option<Limits> {
        let spent_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let wall_ms = self.limits.total_wall_ms.saturating_sub(spent_ms).min(self.limits.each.wall_ms);
        let fuel = self.fuel.min(self.limits.each.fuel);
        (wall_ms > 0 && fuel > 0).then(|| Limits { fuel, wall_ms, ..self.limits.each.clone() })
    }
}

/// The image of an environment whose kernels start with the files `fs`, and what is imported in it. Takes long: the
/// caller has a turn for work in the background.
pub(super) async fn image(sandbox: &Sandbox, spec: &EnvironmentSpec, fs: &Fs) -> Result<Warmed, SandboxError> {
    let mut kernel = entered(sandbox, spec, fs).await?;
    let mut budget = Budget::new(&spec.limits);
    let mut report = WarmReport::default();
    let mut seen = HashSet::new();
    for module in spec.imports.iter().filter(|module| seen.insert(module.as_str())) {
        let error;
        (kernel, error) = match budget.next() {
            Some(limits) => import(sandbox, kernel, module, limits, &mut budget).await?,
            None => (kernel, Some("the imports before it have used up what all of them may use".to_owned())),
        };
        match error {
            None => report.imported.push(module.clone()),
            Some(error) => report.failed.push(ColdModule { module: module.clone(), error }),
        }
    }
    let limits = Limits { memory_bytes: spec.limits.each.memory_bytes, ..Limits::default() };
    let (kernel, frozen) = kernel.do_work(Work::Freeze, limits, Keep::Setup).await?;
    if let Some(reason) = frozen.outcome.sentence() {
        return Err(SandboxError::Boot { reason });
    }
    let checkpoint = kernel.checkpoint();
    let state = checkpoint.state();
    let image = Image::flatten(&state.image, &state.delta, state.memory_bytes, state.globals.clone())?;
    Ok((image, report))
}

/// A kernel with the packages on its path: of the warm image where that has what is to be imported, and nothing that
/// the environment has another version of.
async fn entered(sandbox: &Sandbox, spec: &EnvironmentSpec, fs: &Fs) -> Result<Kernel, SandboxError> {
    let limits = spec.limits.each.clone();
    if spec.imports.iter().any(|module| make::is_data_package(module))
        && let Some(warm) = sandbox.warm().await
        && warm.checkpoint.memory_bytes() as u64 <= limits.memory_bytes
    {
        match enter(sandbox.start_with(warm, fs.clone())?, limits.clone()).await {
            Ok(kernel) => return Ok(kernel),
            Err(EnterError::Outcome(outcome)) => {
                tracing::debug!(?outcome, "an environment does not go with the warm image");
            }
            Err(EnterError::Sandbox(error)) => return Err(error),
        }
    }
    Ok(enter(sandbox.start_with(&sandbox.0.boot, fs.clone())?, limits).await?)
}

/// Imports a module, or leaves the kernel as it was and says why.
async fn import(
    sandbox: &Sandbox,
    kernel: Kernel,
    module: &str,
    limits: Limits,
    budget: &mut Budget,
) -> Result<(Kernel, Option<String>), SandboxError> {
    let before = kernel.checkpoint();
    let work = Work::Import { module: module.to_owned() };
    let (mut kernel, mut report) = kernel.do_work(work, limits.clone(), Keep::Setup).await?;
    let mut fuel_used = report.fuel_used;
    if report.outcome == Outcome::Completed && files_left(&kernel.checkpoint(), &before).is_some() {
        (kernel, report) = kernel.do_work(Work::Collect, limits, Keep::Setup).await?;
        fuel_used = fuel_used.saturating_add(report.fuel_used);
    }
    budget.fuel = budget.fuel.saturating_sub(fuel_used);
    if report.outcome != Outcome::Completed {
        return Ok((restored(sandbox, kernel, &before)?, Some(words(&report))));
    }
    // An image holds memory alone: what its kernels see of files is what they start with.
    match files_left(&kernel.checkpoint(), &before) {
        Some(difference) => {
            let error = format!("importing it leaves files behind, which an image can't hold: {difference}");
            Ok((restored(sandbox, kernel, &before)?, Some(error)))
        }
        None => Ok((kernel, None)),
    }
}

fn files_left(now: &Checkpoint, before: &Checkpoint) -> Option<String> {
    now.state().fs.difference(&before.state().fs)
}

/// The kernel in the state `before`.
fn restored(sandbox: &Sandbox, kernel: Kernel, before: &Checkpoint) -> Result<Kernel, SandboxError> {
    if kernel.checkpoint().is(before) {
        // It was rolled back already.
        return Ok(kernel);
    }
    drop(kernel);
    sandbox.restore(before, false)
}

/// Why the import failed, in words.
fn words(report: &CellReport) -> String {
    let text = match &report.outcome {
        Outcome::OutOfFuel { limit } => format!("importing it burnt all of its fuel ({limit} units)"),
        Outcome::OutOfMemory { limit_bytes } => format!("importing it needs more memory than {limit_bytes} bytes"),
        Outcome::DeadlineExceeded { limit_ms } => format!("importing it takes longer than {limit_ms} ms"),
        Outcome::OutputLimitExceeded { limit_bytes } => format!("importing it prints more than {limit_bytes} bytes"),
        Outcome::Exited { code } => format!("importing it ends the interpreter with exit code {code}"),
        Outcome::Crashed { trap } => format!("importing it crashes the interpreter ({trap})"),
        outcome => outcome.sentence().unwrap_or_default(),
    };
    match text.char_indices().nth(ERROR_CHARACTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
