//! What is reported of a wheel, and how its files lie.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::super::wheel_builder::Wheel;
use super::{demo, taken};

#[test]
fn a_wheel_is_described() {
    let wheel = demo()
        .metadata("Summary: A thing")
        .metadata("Requires-Python: >=3.9")
        .metadata("Requires-Dist: rich (>=13)")
        .metadata("Requires-Dist: numpy; extra == 'fast'")
        .metadata("Provides-Extra: fast")
        .metadata("\nSummary: not this one")
        .entry_points(
            "[console_scripts]\n# a comment\ndemo = demo:main\nnonsense\n\n[demo.plugins]\na=demo.a:A [fast]\n",
        )
        .file("demo/data.txt", "12345");
    let bytes = wheel.build();
    let info = taken(&bytes).wheel.info;
    assert_eq!((info.name.as_str(), info.version.as_str()), ("demo", "1.0"));
    assert_eq!(info.filename, "demo-1.0-py3-none-any.whl");
    assert_eq!(info.archive_bytes, bytes.len() as u64);
    assert_eq!(info.file_count, 6);
    assert!(info.unpacked_bytes > 21);
    assert_eq!(info.summary.as_deref(), Some("A thing"));
    assert_eq!(info.requires_python.as_deref(), Some(">=3.9"));
    assert_eq!(info.requires_dist, ["rich (>=13)", "numpy; extra == 'fast'"]);
    assert_eq!(info.provides_extra, ["fast"]);
    assert_eq!(info.entry_points["console_scripts"]["demo"], "demo:main");
    assert_eq!(info.entry_points["demo.plugins"]["a"], "demo.a:A [fast]");
    assert_eq!(info.entry_points["console_scripts"].len(), 1);
}

#[test]
fn modules_are_what_one_would_import() {
    let wheel = Wheel::empty("demo", "1.0")
        .file("demo/__init__.py", "")
        .file("demo/sub/__init__.py", "")
        .file("demo/sub/mod.py", "")
        .file("single.py", "")
        .file("_private.py", "")
        .file("tests/__init__.py", "")
        .file("setup.py", "")
        .file("space/cloud/store/__init__.py", "")
        .file("space/cloud/store/deep.py", "")
        .file("space/tool.py", "")
        .file("space/cloud/tests/__init__.py", "")
        .file("not-a-name/__init__.py", "")
        .file("data/only.txt", "")
        .file("native.cpython-315-x86_64-linux-gnu.so", "")
        .file("a/b/c/d/e.py", "");
    let info = taken(&wheel.build()).wheel.info;
    assert_eq!(info.modules, ["demo", "single", "space.cloud.store", "space.tool"]);
    let roots = ["_private.py", "a", "data", "demo", "native.cpython-315-x86_64-linux-gnu.so", "not-a-name"];
    assert_eq!(info.roots[..6], roots);
    assert!(!info.roots.iter().any(|root| root.ends_with(".dist-info")));
}

#[test]
fn native_files_and_pth_files_are_reported_and_kept() {
    let wheel = demo()
        .file("demo/_speed.cpython-315-x86_64-linux-gnu.so", "\x7fELF")
        .file("demo/win.pyd", "MZ")
        .file("demo/lib/libfoo.so.1.2", "")
        .file("demo/lib/libbar.dylib", "")
        .file("demo/also.soft", "")
        .file("evil.pth", "import os; os.abort()\n")
        .file("demo/inner.pth", "");
    let unpacked = taken(&wheel.build());
    let native = [
        "demo/_speed.cpython-315-x86_64-linux-gnu.so",
        "demo/win.pyd",
        "demo/lib/libfoo.so.1.2",
        "demo/lib/libbar.dylib",
    ];
    assert_eq!(unpacked.wheel.info.native, native);
    assert_eq!(unpacked.wheel.info.pth, ["evil.pth"]);
    assert_eq!(unpacked.read("evil.pth"), "import os; os.abort()\n");
}

#[test]
fn bytecode_that_a_wheel_brings_is_left_out() {
    let wheel = demo()
        .file("demo/__pycache__/a.cpython-315.pyc", "evil")
        .file("other/__pycache__/core.CPYTHON-315.PYC", "evil")
        .file("demo-1.0.data/purelib/more/__pycache__/b.pyc", "evil")
        .file("demo/old.pyc", "a module without its source")
        .file("demo/__pycache__/notes.txt", "kept");
    let unpacked = taken(&wheel.build());
    let paths: Vec<&str> = unpacked.paths().into_iter().filter(|path| !path.contains("dist-info")).collect();
    assert_eq!(paths, ["demo/__init__.py", "demo/__pycache__/notes.txt", "demo/old.pyc"]);
    assert_eq!(unpacked.wheel.info.left_count, 3);
}

#[test]
fn files_are_private_and_of_one_age() {
    let bytes = demo().file("demo/run.sh", "#!/bin/sh\n").zip().with(|zip| {
        zip.member("demo/run.sh").mode(0o100_777);
    });
    let unpacked = taken(&bytes.build());
    let files = unpacked.dir.path().join("files");
    let mode = |path: &str| fs::metadata(files.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("demo"), mode("demo/run.sh"), mode("demo/__init__.py")), (0o700, 0o600, 0o600));
    let modified = fs::metadata(files.join("demo/run.sh")).unwrap().modified().unwrap();
    assert_eq!(modified, SystemTime::UNIX_EPOCH + Duration::from_secs(315_532_800));
}

#[test]
fn directories_come_with_their_files_only() {
    let unpacked = taken(&demo().file("empty/", "").file("demo/", "").build());
    assert!(!unpacked.dir.path().join("files/empty").exists());
    assert_eq!(unpacked.wheel.info.roots, ["demo"]);
}
