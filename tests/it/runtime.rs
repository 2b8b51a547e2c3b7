//! Getting the runtime: indexes that lie, caches that are damaged, and many starting at once. With a small fake wheel.

mod fetching;
mod index;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use pymd::backend::wasm::runtime::cache::{CacheError, Damage, ensure_file};
use pymd::backend::wasm::runtime::fetch::{FetchError, Retry};
use pymd::backend::wasm::runtime::manifest::{AbiMismatch, Manifest};
use pymd::backend::wasm::runtime::wheel::WheelError;
use pymd::backend::wasm::runtime::{
    Engine, EnsureRequest, Progress, RuntimeError, RuntimeFiles, Silent, Source, Stage, ensure, installed, verify,
};
use pymd::cli::progress::LineProgress;
use pymd::cli::runtime::{RuntimeArgs, RuntimeCliError, RuntimeContext, run};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use index::{Answer, Index};

const MODULE: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (import "host" "call" (func (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2) (global (mut i32) (i32.const 65536))
    (func (export "turn") (param i32 i32) (result i32) (i32.const 0))
    (func (export "host_alloc") (param i32) (result i32) (i32.const 8))
    (func (export "shutdown")) (data (i32.const 16) "a small interpreter"))"#;
const FILES: [&str; 4] = ["module.cwasm", "base.image", "python-stdlib.zip", "receipt.json"];

fn engine() -> Engine {
    let mut config = wasmtime::Config::new();
    config.consume_fuel(true).memory_init_cow(false);
    Engine::new(&config).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn fake_wheel(module: &str) -> Vec<u8> {
    let noise: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    zip(&[("f/m.wasm", &wat::parse_str(module).unwrap()), ("f/s.zip", b"not really a zip"), ("f/noise", &noise)])
}

/// A manifest for `wheel`, which holds `module`.
fn manifest(wheel: &[u8], module: &str) -> Manifest {
    let module = wat::parse_str(module).unwrap();
    let text = format!(
        r#"schema = 1
        runtime = {{ name = "fake", python_version = "3.15.0", license = "Apache-2.0" }}
        artifact = {{ package = "fake-python", version = "1.0", wheel = "fake_python-1.0-py3-none-any.whl",
                      sha256 = "{}", size_bytes = {} }}
        module = {{ path = "f/m.wasm", sha256 = "{}", size_bytes = {} }}
        stdlib = {{ path = "f/s.zip", sha256 = "{}", size_bytes = 16, guest_path = "/lib.zip" }}
        abi = {{ exports = ["turn", "memory"], imports = ["wasi_snapshot_preview1", "host::call"] }}
        distributions = {{ numpy = "2.5.2" }}"#,
        sha256(wheel),
        wheel.len(),
        sha256(&module),
        module.len(),
        sha256(b"not really a zip"),
    );
    Manifest::parse(&text).unwrap()
}

struct Fixture {
    dir: TempDir,
    wheel: Vec<u8>,
    request: EnsureRequest,
}

impl Fixture {
    /// A cache directory that is not there yet, and a wheel file.
    fn new() -> Self {
        Self::with(fake_wheel(MODULE), |_| {})
    }

    fn with(wheel: Vec<u8>, edit: impl FnOnce(&mut Manifest)) -> Self {
        let mut manifest = manifest(&wheel, MODULE);
        edit(&mut manifest);
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("local.whl");
        fs::write(&path, &wheel).unwrap();
        let request = EnsureRequest {
            manifest: Box::leak(Box::new(manifest)),
            cache_dir: dir.path().join("cache"),
            source: Source::Wheel { path },
            extra_key: String::new(),
            retry: Retry { attempts: 3, first_wait_ms: 1 },
        };
        Self { dir, wheel, request }
    }

    fn from_index(answer: Answer) -> (Self, Index) {
        let mut fixture = Self::new();
        let index = Index::start(fixture.wheel.clone(), answer);
        fixture.request.source = Source::Index { url: index.url.clone() };
        (fixture, index)
    }

    fn ensure(&self) -> Result<RuntimeFiles, RuntimeError> {
        ensure(&self.request, &engine(), &Silent)
    }

    fn ensure_fetch_error(&self) -> FetchError {
        match self.ensure() {
            Err(RuntimeError::Fetch(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}

/// Remembers the stages it heard of.
#[derive(Default)]
struct Heard(Mutex<BTreeSet<String>>);

impl Progress for Heard {
    fn stage(&self, stage: Stage, done: u64, total: Option<u64>) {
        assert!(total.is_none_or(|total| done <= total), "{stage:?} {done} {total:?}");
        self.0.lock().unwrap().insert(format!("{stage:?}"));
    }
}

impl Heard {
    fn stages(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().cloned().collect()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_embedded_manifest_is_valid_and_unknown_keys_are_refused() {
    let manifest = Manifest::embedded().unwrap();
    assert_eq!(manifest.runtime.python_version, "3.15.0");
    assert_eq!(manifest.stdlib.guest_path, "/usr/local/lib/python315.zip");
    assert!(manifest.distributions.contains_key("numpy") && manifest.distributions.len() > 50);
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/runtime/manifest.toml"));
    for (from, to) in [
        ("[artifact]\n", "[artifact]\nmirror = 1\n"),
        ("schema = 1", "schema = 2"),
        ("wheel = \"wasi", "wheel = \"../wasi"),
        ("guest_path = \"/", "guest_path = \""),
        ("sha256 = \"3b", "sha256 = \"3B"),
    ] {
        assert!(text.contains(from), "{from}");
        Manifest::parse(&text.replacen(from, to, 1)).unwrap_err();
    }
}

#[test]
fn a_local_wheel_is_installed_once_and_privately() {
    let fixture = Fixture::new();
    let heard = Heard::default();
    let files = ensure(&fixture.request, &engine(), &heard).unwrap();
    assert_eq!(heard.stages(), ["Compile", "Extract", "Split", "Store", "Verify"]);
    assert_eq!(fs::read(&files.stdlib).unwrap(), b"not really a zip");
    let image = fs::read(&files.base_image).unwrap();
    assert_eq!((image.len(), &image[16..23]), (65536, b"a small".as_slice()));
    assert_eq!((files.minimum_pages, files.globals.len()), (2, 1));
    assert_eq!(files.dir, fixture.request.cache_dir.join("runtimes").join(&files.digest));
    for dir in [&fixture.request.cache_dir, &files.dir] {
        assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700);
    }
    for name in FILES {
        assert_eq!(fs::metadata(files.dir.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }

    fs::remove_file(fixture.dir.path().join("local.whl")).unwrap();
    let again = Heard::default();
    assert_eq!(ensure(&fixture.request, &engine(), &again).unwrap().digest, files.digest);
    assert!(again.stages().is_empty());
    let listed = installed(&fixture.request.cache_dir).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].state.as_ref().unwrap().1.python_version, "3.15.0");
}

#[test]
fn other_settings_have_other_keys() {
    let mut fixture = Fixture::new();
    let key = fixture.ensure().unwrap().digest;
    fixture.request.extra_key = "x".to_owned();
    assert_ne!(fixture.ensure().unwrap().digest, key);
    let files = ensure(&fixture.request, &Engine::default(), &Silent).unwrap();
    assert_ne!(files.digest, key);
    assert_eq!(installed(&fixture.request.cache_dir).unwrap().len(), 3);
}

#[test]
fn a_damaged_cache_is_noticed_and_rebuilt() {
    let fixture = Fixture::new();
    let files = fixture.ensure().unwrap();
    let edit = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(files.dir.join(name)).unwrap();
        change(&mut bytes);
        fs::write(files.dir.join(name), bytes).unwrap();
    };
    for name in FILES {
        let path = files.dir.join(name);
        let damages: [&dyn Fn(); 5] = [
            &|| fs::remove_file(&path).unwrap(),
            &|| edit(name, &|bytes| bytes.truncate(bytes.len() / 2)),
            &|| edit(name, &Vec::clear),
            &|| edit(name, &|bytes| bytes[5] ^= 4),
            &|| {
                fs::rename(&path, fixture.dir.path().join("elsewhere")).unwrap();
                std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
            },
        ];
        for (number, damage) in damages.iter().enumerate() {
            damage();
            assert!(verify(&files.dir).is_err(), "{name} {number}");
            assert_eq!(fixture.ensure().unwrap().digest, files.digest);
            verify(&files.dir).unwrap_or_else(|damage| panic!("{name} {number}: {damage}"));
        }
    }
    fs::remove_dir_all(&files.dir).unwrap();
    fs::write(&files.dir, "no directory").unwrap();
    fixture.ensure().unwrap();
    fs::set_permissions(files.dir.join(FILES[0]), fs::Permissions::from_mode(0o620)).unwrap();
    assert!(matches!(verify(&files.dir), Err(Damage::Permissions { file }) if file == FILES[0]));
    assert_eq!(names(files.dir.parent().unwrap()), [format!(".{}.lock", files.digest), files.digest.clone()]);
}

#[test]
fn a_cache_that_others_can_write_is_refused() {
    let fixture = Fixture::new();
    fixture.ensure().unwrap();
    for path in [fixture.request.cache_dir.clone(), fixture.request.cache_dir.join("runtimes")] {
        for mode in [0o770, 0o707, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = fixture.ensure().unwrap_err();
            assert!(error.to_string().contains("can be written by others"), "{error}");
            assert!(error.hint().unwrap().contains("chmod go-w"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fixture.ensure().unwrap();
    }
}

#[test]
fn what_a_crash_left_behind_is_removed_and_what_lives_is_kept() {
    let fixture = Fixture::new();
    let parent = fixture.request.cache_dir.join("runtimes");
    let key = fixture.ensure().unwrap().digest;
    fs::remove_dir_all(parent.join(&key)).unwrap();
    let lock = File::create(parent.join(".alive.lock")).unwrap();
    lock.lock().unwrap();
    for name in [&key, "dead", "alive"] {
        let staging = parent.join(format!(".staging.{name}.999999-0"));
        fs::create_dir(&staging).unwrap();
        fs::write(staging.join("module.cwasm"), "half of it").unwrap();
    }
    fixture.ensure().unwrap();
    let staging: Vec<_> = names(&parent).into_iter().filter(|name| name.starts_with(".staging")).collect();
    assert_eq!(staging, [".staging.alive.999999-0"]);
}

#[test]
fn a_failed_build_leaves_nothing() {
    let fixture = Fixture::with(fake_wheel(MODULE), |manifest| manifest.abi.exports.push("_initialize".to_owned()));
    let error = fixture.ensure().unwrap_err();
    assert!(matches!(error, RuntimeError::Abi(AbiMismatch::MissingExport { name }) if name == "_initialize"));
    assert!(installed(&fixture.request.cache_dir).unwrap().is_empty());
    assert!(names(&fixture.request.cache_dir.join("runtimes")).iter().all(|name| name.ends_with(".lock")));

    let fixture = Fixture::with(fake_wheel(MODULE), |manifest| manifest.abi.imports = vec!["host::other".to_owned()]);
    assert!(matches!(fixture.ensure().unwrap_err(), RuntimeError::Abi(AbiMismatch::ForeignImport { .. })));
}

#[test]
fn only_the_pinned_wheel_and_files_are_taken() {
    let mut other = fake_wheel(MODULE);
    *other.last_mut().unwrap() ^= 1;
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("local.whl");
    fs::write(&path, &other).unwrap();
    assert!(matches!(fixture.ensure().unwrap_err(), RuntimeError::Wheel(WheelError::Sha256 { .. })));
    fs::write(&path, &other[1..]).unwrap();
    assert!(matches!(fixture.ensure().unwrap_err(), RuntimeError::Wheel(WheelError::Size { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(fixture.ensure().unwrap_err(), RuntimeError::Wheel(WheelError::Io { .. })));

    let inner = |edit: fn(&mut Manifest)| Fixture::with(fake_wheel(MODULE), edit).ensure().unwrap_err();
    let error = inner(|manifest| manifest.stdlib.sha256 = sha256(b"another"));
    assert!(matches!(error, RuntimeError::Wheel(WheelError::Sha256 { file, .. }) if file == "f/s.zip"));
    for (size, found) in [(15, 16), (17, 16), (3, 4), (0, 1)] {
        let fixture = Fixture::with(fake_wheel(MODULE), |manifest| manifest.stdlib.size_bytes = size);
        let error = fixture.ensure().unwrap_err();
        assert!(matches!(error, RuntimeError::Wheel(WheelError::Size { found: f, .. }) if f == found), "{size}");
    }
    let error = inner(|manifest| manifest.module.path = "f/none.wasm".to_owned());
    assert!(matches!(error, RuntimeError::Wheel(WheelError::Archive { .. })));
    let fixture = Fixture::with(b"PK\x03\x04 is no archive".to_vec(), |_| {});
    assert!(matches!(fixture.ensure().unwrap_err(), RuntimeError::Wheel(WheelError::Archive { .. })));
}

#[test]
fn derived_files_are_built_once_and_again_after_damage() {
    let dir = TempDir::new().unwrap();
    let parent = dir.path().join("derived");
    let make = |text: &'static str| {
        ensure_file::<CacheError>(&parent, "boot.image", |path| {
            fs::write(path, text).unwrap();
            Ok(())
        })
    };
    let path = make("first").unwrap();
    assert_eq!(make("second").unwrap(), path);
    assert_eq!(fs::read(&path).unwrap(), b"first");
    fs::write(&path, "fIrst").unwrap();
    assert_eq!(fs::read(make("third").unwrap()).unwrap(), b"third");
    for name in ["", ".", "..", "a/b", ".hidden", "a b"] {
        let result = ensure_file::<CacheError>(&parent, name, |_| Ok(()));
        assert!(matches!(result, Err(CacheError::BadName { .. })), "{name}");
    }
    let nested = ensure_file::<CacheError>(&parent, "nested", |path| {
        fs::create_dir(path).unwrap();
        Ok(())
    });
    assert!(matches!(nested, Err(CacheError::NotSealable { .. })));
    assert_eq!(names(&parent), [".boot.image.lock", ".nested.lock", "boot.image"]);
}

#[test]
fn progress_lines_are_few_and_plain() {
    let mut text = Vec::new();
    let progress = LineProgress::new(&mut text);
    for done in 0..=1000 {
        progress.stage(Stage::Download, done, Some(1000));
    }
    progress.stage(Stage::Retry, 1, Some(3));
    progress.stage(Stage::Compile, 10, None);
    progress.stage(Stage::Compile, 20, None);
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), 13, "{text}");
    assert!(text.contains("downloading: 50%\n") && text.ends_with("compiling (estimated) ...\n"), "{text}");
}

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: RuntimeArgs,
}

#[test]
fn the_commands_install_list_and_verify() {
    <Cli as clap::CommandFactory>::command().debug_assert();
    let fixture = Fixture::new();
    let engine = engine();
    let context = RuntimeContext {
        cache_dir: &fixture.request.cache_dir,
        index_url: "http://127.0.0.1:9/simple",
        engine: &engine,
        extra_key: "",
        progress: &Silent,
    };
    let command = |args: &[&str]| {
        let cli = <Cli as clap::Parser>::try_parse_from([&["pymd"], args].concat()).unwrap();
        let mut out = Vec::new();
        let result = run(&cli.args, &context, &mut out);
        (result, String::from_utf8(out).unwrap())
    };
    assert!(command(&["list"]).1.starts_with("no runtimes in "));
    let files = fixture.ensure().unwrap();
    let (listed, text) = command(&["list"]);
    listed.unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(&files.digest) && text.contains("Python 3.15.0 (fake-python 1.0)"), "{text}");
    assert!(command(&["verify"]).1.ends_with("  ok\n"));
    fs::write(&files.base_image, "torn").unwrap();
    let (result, text) = command(&["verify"]);
    assert!(text.contains("damaged: `base.image` has 4 bytes"), "{text}");
    assert!(matches!(result, Err(RuntimeCliError::Damaged { damaged: 1, checked: 1 })));
    // The embedded manifest pins another wheel than this one.
    let path = fixture.dir.path().join("local.whl");
    let (result, _) = command(&["install", "--wheel", path.to_str().unwrap()]);
    assert!(matches!(result, Err(RuntimeCliError::Runtime(RuntimeError::Wheel(WheelError::Size { .. })))));
}
