//! Making the images that kernels start from, once per runtime: they are kept in the cache beside it.

use std::path::Path;
use std::sync::Arc;

use super::SandboxError;
use super::stored::{entry_name, stored};
use crate::backend::wasm::checkpoint::Checkpoint;
use crate::backend::wasm::executor::Pace;
use crate::backend::wasm::guest::Work;
use crate::backend::wasm::machine::{Live, Machine};
use crate::backend::wasm::memory::{Image, PageMap, Slot, collect};
use crate::backend::wasm::recorder::Recorder;
use crate::domain::{CellRequest, Limits, Output};

/// The boot turn: what every kernel has imported before its first cell.
pub(super) const BOOT: &str = "import sys\n\
    sys.path.insert(0, '/usr/local/lib/pymd')\n\
    import _pymd_runner\n\
    __pymd_turn__ = _pymd_runner.install()\n";

/// What the warm image has imported, and used once so that what loads late is there, too. It leaves no names behind
/// but those of modules: the guest's `__main__` is emptied at the end.
pub(super) const WARM: &str = include_str!("../../../../runtime/guest/warm.py");

/// The imports for which a kernel of the warm image is worth its memory.
const WARM_PACKAGES: [&str; 4] = ["numpy", "pandas", "matplotlib", "seaborn"];

/// Which image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recipe {
    /// The interpreter with the cell runner.
    Boot,
    /// The same with the data packages.
    Warm,
}

impl Recipe {
    /// Name and digest of all that the image depends on besides the runtime.
    fn entry(self) -> String {
        match self {
            Self::Boot => entry_name("boot", [""]),
            Self::Warm => entry_name("warm", [WARM]),
        }
    }
}

/// The packages that the warm image is worth its memory for.
pub(super) fn is_data_package(module: &str) -> bool {
    module.split('.').next().is_some_and(|top| WARM_PACKAGES.contains(&top))
}

/// Whether code looks as if it imported what the warm image has. A guess: either answer is right, one is slower.
pub(super) fn wants_warm(code: &str) -> bool {
    code.lines().any(|line| {
        let mut words = line.trim_start().split([' ', ',', '.', ';']).filter(|word| !word.is_empty());
        matches!(words.next(), Some("import" | "from")) && words.any(|word| WARM_PACKAGES.contains(&word))
    })
}

/// The image of `recipe` on top of `start`, from the cache below `dir` or made now.
pub(super) async fn image(
    machine: &Arc<Machine>,
    dir: &Path,
    recipe: Recipe,
    start: Checkpoint,
) -> Result<Checkpoint, SandboxError> {
    let (machine, fs) = (Arc::clone(machine), start.state().fs.clone());
    let made = stored(dir.to_owned(), recipe.entry(), move |runtime| {
        Ok((runtime.block_on(make(&machine, recipe, start.clone()))?, ()))
    });
    Ok(Checkpoint::of_image(Arc::new(made.await?.0), fs))
}

/// Runs the recipe in a kernel and takes its memory.
async fn make(machine: &Arc<Machine>, recipe: Recipe, start: Checkpoint) -> Result<Image, SandboxError> {
    let inner = Arc::clone(machine);
    let work = async move {
        let slot = Arc::new(Slot::new(Arc::clone(&start.state().image))?);
        let mut live = inner.instantiate(&slot, &start)?;
        match recipe {
            Recipe::Boot => step(&mut live, None, BOOT).await?,
            Recipe::Warm => {
                step(&mut live, Some(warm_cell()), "").await?;
                step(&mut live, Some(Work::Freeze), "").await?;
            }
        }
        let (before, after) = (start.state().fs.usage(), live.store.data().wasi.fs.usage());
        if before != after {
            // Only the memory is kept: what the image's kernels see of files is what they start with.
            return Err(SandboxError::Boot { reason: format!("files were left behind: {before:?}, {after:?}") });
        }
        let mut delta = PageMap::default();
        let changed = slot.scan()?;
        collect(&mut delta, slot.image(), live.memory.data(&live.store), changed);
        let globals = live.read_globals();
        Ok(Image::flatten(slot.image(), &delta, live.memory.data_size(&live.store), globals)?)
    };
    machine.on_executor(1.0, Pace::default(), work).await
}

fn warm_cell() -> Work {
    Work::Run { code: WARM.to_owned(), name: "warm".to_owned(), count: 0, born: false, figure_format: "png" }
}

/// One turn that must succeed and print nothing.
async fn step(live: &mut Live, work: Option<Work>, source: &str) -> Result<(), SandboxError> {
    let limits = Limits { memory_bytes: 1 << 30, ..Limits::default() };
    let recorder = Recorder::new(limits.output_bytes, None);
    let cell = CellRequest { code: String::new(), name: String::new(), stdin: Vec::new(), limits };
    let memory_bytes = live.memory.data_size(&live.store);
    live.store.data_mut().prepare(&cell, work, recorder, memory_bytes);
    let status = live.turn(source).await?;
    let (outputs, ending) =
        live.store.data().recorder.with(|recorder| (recorder.finish(), std::mem::take(&mut recorder.ending)));
    if status == 0 && outputs.is_empty() && ending.error.is_none() && ending.exit.is_none() {
        return Ok(());
    }
    let said = outputs.into_iter().map(|output| match output {
        Output::Stream { text, .. } => text,
        Output::Error { traceback, .. } => traceback.join("\n"),
        _ => String::new(),
    });
    Err(SandboxError::Boot { reason: said.collect() })
}
