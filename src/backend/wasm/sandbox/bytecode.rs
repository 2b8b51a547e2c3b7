//! Compiling a wheel's modules to bytecode, once per wheel and runtime, in kernels that run nothing of it.
//!
//! A kernel sees the wheel's files alone, compiles a piece of them and ends; the host takes the results out of its file
//! system, by names of its own. So nothing that a hostile source does to the compiler reaches another wheel's bytecode.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::environment::with_packages;
use super::{SITE_PACKAGES, Sandbox, SandboxError};
use crate::backend::wasm::guest::Work;
use crate::backend::wasm::kernel::Keep;
use crate::backend::wasm::vfs::{Errno, Fs, LowerTree};
use crate::domain::{Limits, Outcome};

/// Where a kernel puts its results.
const OUT_DIR: &str = "/bytecode";
/// Bytes of source that one kernel compiles, more or less: about a second's work.
const PIECE_BYTES: u64 = 512 << 10;
/// And so many files at most.
const PIECE_FILES: usize = 256;
/// A longer file is not compiled.
const MAX_SOURCE_BYTES: u64 = 8 << 20;
/// Modules of one piece that a kernel may fail at; what is left of the piece then is not compiled.
const MAX_FAILED_KERNELS: usize = 8;
/// Where the importer looks for bytecode.
const CACHE_DIR: &str = "__pycache__";

/// What became of a wheel's modules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytecode {
    /// Modules that were compiled.
    pub compiled: usize,
    /// Bytes of their bytecode.
    pub bytes: u64,
    /// Modules that were not; their source is there all the same.
    pub skipped: Vec<SkippedFile>,
}

/// A module that was not compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFile {
    /// Its path in the wheel.
    pub path: String,
    /// Why not: for most, a syntax error.
    pub reason: String,
}

/// The modules that one kernel compiles, and the bytecode that they became.
#[derive(Default)]
struct Piece {
    files: Vec<String>,
    bytes: u64,
}

/// A module and its bytecode, or why there is none.
type Compiled = (String, Result<Vec<u8>, String>);

impl Sandbox {
    /// Compiles every module below `source`, the unpacked files of one wheel, and writes the bytecode below `target`, an
    /// empty directory, where the importer looks for it when both are layers of one environment. The source's times do
    /// not matter to that bytecode: it is for files that don't change. `limits` are those of about 512 KiB of source.
    ///
    /// # Errors
    /// `source` can't be read or `target` not be written, or a failure of the host. A module that can't be compiled is
    /// none: the answer names it.
    pub async fn compile_bytecode(
        &self,
        source: &Path,
        target: &Path,
        limits: &Limits,
    ) -> Result<Bytecode, SandboxError> {
        let source = source.to_owned();
        let (tree, files) = blocking(move || {
            let tree = LowerTree::from_paths(vec![source])?;
            let files: Vec<_> = tree.files().filter(|(path, _)| is_module(path)).collect();
            Ok((Arc::new(tree), files))
        })
        .await?;
        let mut done = Bytecode::default();
        let (files, too_long): (Vec<_>, Vec<_>) = files.into_iter().partition(|(_, len)| *len <= MAX_SOURCE_BYTES);
        let reason = format!("it has more than {MAX_SOURCE_BYTES} bytes");
        done.skipped.extend(too_long.into_iter().map(|(path, _)| SkippedFile { path, reason: reason.clone() }));
        let fs = with_packages(&self.0.boot.checkpoint.state().fs, &tree)?;
        let pieces =
            futures::stream::iter(pieces(files).into_iter().map(|piece| self.compile_piece(&fs, piece, limits)));
        let mut compiled = pieces.buffer_unordered(self.0.config.threads.max(1));
        let tag = cache_tag(&self.0.files.manifest.runtime.python_version);
        while let Some(modules) = compiled.try_next().await? {
            let (target, tag) = (target.to_owned(), tag.clone());
            let (count, bytes, skipped) = blocking(move || write_all(&target, &tag, modules)).await?;
            done.compiled += count;
            done.bytes = done.bytes.saturating_add(bytes);
            done.skipped.extend(skipped);
        }
        done.skipped.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(done)
    }

    /// Compiles a piece: in one kernel, and where that fails in others behind the module at which it failed.
    async fn compile_piece(&self, fs: &Fs, piece: Piece, limits: &Limits) -> Result<Vec<Compiled>, SandboxError> {
        let _turn = self.background_turn().await?;
        let mut left = piece.files.into_iter().enumerate().collect::<Vec<_>>();
        let mut done = Vec::with_capacity(left.len());
        let mut failed = 0;
        while !left.is_empty() {
            let (fs, outcome) = self.compile_some(fs.clone(), left.clone(), limits.clone()).await?;
            let before = left.len();
            let mut rest = left.into_iter();
            left = Vec::new();
            while let Some((number, path)) = rest.next() {
                match result(&fs, number)? {
                    Some(result) => done.push((path, result)),
                    None => {
                        left.push((number, path));
                        left.extend(rest.by_ref());
                    }
                }
            }
            // The module that a kernel stopped at gets one of its own, if it was not the first of all.
            if !left.is_empty() && left.len() == before {
                failed += 1;
                let reason = outcome.sentence().unwrap_or_else(|| "the compiler left no result".to_owned());
                let gone = if failed < MAX_FAILED_KERNELS { 1 } else { left.len() };
                done.extend(left.drain(..gone).map(|(_, path)| (path, Err(reason.clone()))));
            }
        }
        Ok(done)
    }

    async fn compile_some(
        &self,
        mut fs: Fs,
        files: Vec<(usize, String)>,
        limits: Limits,
    ) -> Result<(Fs, Outcome), SandboxError> {
        fs.create_dir_all(OUT_DIR).map_err(|_| SandboxError::Broken("there is no room for a directory"))?;
        let kernel = self.start_with(&self.0.boot, fs)?;
        let work = Work::Compile { root: SITE_PACKAGES, out: OUT_DIR, files };
        let (kernel, report) = kernel.do_work(work, limits, Keep::Nothing).await?;
        let fs = kernel.files().ok_or(SandboxError::Broken("a compilation without a store"))?;
        Ok((fs, report.outcome))
    }
}

/// What a kernel left for a module; none where it did not come so far.
fn result(fs: &Fs, number: usize) -> Result<Option<Result<Vec<u8>, String>>, SandboxError> {
    let read = |ending: &str| match fs.read_file(&format!("{OUT_DIR}/{number}.{ending}")) {
        Ok(bytes) if bytes.is_empty() => Ok(None),
        Ok(bytes) => Ok(Some(bytes)),
        Err(Errno::Noent) => Ok(None),
        Err(_) => Err(SandboxError::Broken("a kernel's file can't be read")),
    };
    if let Some(bytecode) = read("pyc")? {
        return Ok(Some(Ok(bytecode)));
    }
    Ok(read("error")?.map(|message| Err(String::from_utf8_lossy(&message).into_owned())))
}

/// Whether a file can be imported as a module, or run as one.
fn is_module(path: &str) -> bool {
    path.ends_with(".py") && !path.split('/').any(|part| part == CACHE_DIR)
}

fn pieces(files: Vec<(String, u64)>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (path, len) in files {
        let fits = |piece: &&mut Piece| piece.bytes + len <= PIECE_BYTES && piece.files.len() < PIECE_FILES;
        match pieces.last_mut().filter(fits) {
            Some(piece) => {
                piece.bytes += len;
                piece.files.push(path);
            }
            None => pieces.push(Piece { files: vec![path], bytes: len }),
        }
    }
    pieces
}

/// `cpython-315` for `3.15.0`.
fn cache_tag(python_version: &str) -> String {
    let numbers: String = python_version.split('.').take(2).collect();
    format!("cpython-{numbers}")
}

/// Writes bytecode to where the importer looks for it. Returns how many files and bytes, and what was skipped.
fn write_all(target: &Path, tag: &str, modules: Vec<Compiled>) -> Result<(usize, u64, Vec<SkippedFile>), SandboxError> {
    let target = Dir::open_ambient_dir(target, ambient_authority())?;
    let (mut count, mut bytes, mut skipped) = (0, 0_u64, Vec::new());
    let mut made = None;
    for (path, result) in modules {
        match result {
            Err(reason) => skipped.push(SkippedFile { path, reason }),
            Ok(bytecode) => {
                let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
                let directory = PathBuf::from(directory).join(CACHE_DIR);
                if made.as_ref() != Some(&directory) {
                    target.create_dir_all(&directory)?;
                }
                let name = name.strip_suffix(".py").unwrap_or(name);
                target.write(directory.join(format!("{name}.{tag}.pyc")), &bytecode)?;
                made = Some(directory);
                count += 1;
                bytes = bytes.saturating_add(bytecode.len() as u64);
            }
        }
    }
    Ok((count, bytes, skipped))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SandboxError::Executor(error.to_string()))?
}
