//! Bytecode that is compiled once for a wheel.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pymd::backend::wasm::{Bytecode, WarmLimits};
use pymd::domain::Limits;

use super::{Wheels, environment, shows};
use crate::support::sandbox;

async fn compile(source: &Path, target: &Path, limits: &Limits) -> Bytecode {
    std::fs::create_dir_all(target).unwrap();
    sandbox().await.compile_bytecode(source, target, limits).await.unwrap()
}

fn limits() -> Limits {
    WarmLimits::default().each
}

#[tokio::test]
async fn bytecode_is_what_the_importer_loads() {
    let wheels = Wheels::new();
    let source = wheels.file("pkg", "pkg/__init__.py", "X = 'compiled'\ndef f(): raise KeyError('here')\n");
    wheels.file("pkg", "pkg/deep/er.py", "Y = 1\n");
    wheels.file("pkg", "single.py", "Z = 2\n");
    let bytecode = wheels.dir("pkg-bytecode");
    let done = compile(&source, &bytecode, &limits()).await;
    assert_eq!((done.compiled, done.skipped.as_slice()), (3, &[][..]));
    for file in ["pkg/__pycache__/__init__", "pkg/deep/__pycache__/er", "__pycache__/single"] {
        assert!(bytecode.join(format!("{file}.cpython-315.pyc")).is_file(), "{file}");
    }
    // The source says something else by now: whoever compiled it would see that.
    wheels.file("pkg", "pkg/__init__.py", "X = 'from source'\ndef f(): raise KeyError('here')\n");
    let environment = environment(vec![source, bytecode], &[]).await;
    let code = "\
import pkg, single, traceback, os
print(pkg.X, single.Z, os.path.exists(pkg.__spec__.cached), pkg.__spec__.cached)
try:
    pkg.f()
except KeyError as error:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    print(frame.filename, frame.lineno, frame.line)";
    let expected = "compiled 2 True /usr/local/lib/python3.15/site-packages/pkg/__pycache__/__init__.cpython-315.pyc\n\
        /usr/local/lib/python3.15/site-packages/pkg/__init__.py 2 def f(): raise KeyError('here')\n";
    assert_eq!(shows(&environment, code).await, expected);
}

#[tokio::test]
async fn files_that_do_not_compile_are_named_and_nothing_is_run() {
    let wheels = Wheels::new();
    let deep = format!("x = {}1{}\n", "(".repeat(10_000), ")".repeat(10_000));
    let chain = format!("x = {}1\n", "1 + ".repeat(200_000));
    for (name, code) in [
        ("a_good.py", "X = 1\n"),
        ("b_python2.py", "print 'x'\n"),
        ("c_runs.py", "import os\nos._exit(1)\nopen('/bytecode/0.pyc', 'w')\n"),
        ("d_null.py", "x = 1\0\n"),
        ("e_deep.py", deep.as_str()),
        ("f_chain.py", chain.as_str()),
        ("g_coding.py", "# coding: no-such-codec\n"),
        ("h_latin.py", "# coding: latin-1\nx = 'é'\n"),
        ("i_warns.py", "x = '\\d'\nassert (x, 'always')\n"),
        ("j_empty.py", ""),
        ("k_good.py", "Y = 1\n"),
        ("__pycache__/old.py", "stale"),
        ("data.txt", "no module"),
    ] {
        wheels.file("bad", name, code);
    }
    let target = wheels.dir("bytecode");
    let done = compile(&wheels.dir("bad"), &target, &limits()).await;
    let skipped: Vec<_> = done.skipped.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(skipped, ["b_python2.py", "d_null.py", "e_deep.py", "f_chain.py", "g_coding.py"], "{done:?}");
    assert!(done.skipped[0].reason.contains("SyntaxError"), "{done:?}");
    let mut made: Vec<_> =
        std::fs::read_dir(target.join("__pycache__")).unwrap().map(|f| f.unwrap().file_name()).collect();
    made.sort();
    let names = ["a_good", "c_runs", "h_latin", "i_warns", "j_empty", "k_good"];
    assert_eq!(made, names.map(|name| std::ffi::OsString::from(format!("{name}.cpython-315.pyc"))));
}

#[tokio::test]
async fn a_piece_that_runs_out_of_fuel_is_gone_on_with() {
    let wheels = Wheels::new();
    let body = "def f(x):\n    return [x + 1, {x: x}, (x, x)]\n".repeat(300);
    for index in 0..12 {
        wheels.file("many", &format!("m{index}.py"), &body);
    }
    let one = wheels.file("one", "m.py", &body);
    let fuel = 40_000_000_000;
    let done = compile(&one, &wheels.dir("b1"), &Limits { fuel, ..limits() }).await;
    assert_eq!(done.compiled, 1);
    let tight = Limits { fuel: 400_000_000, ..limits() };
    let done = compile(&wheels.dir("many"), &wheels.dir("b2"), &tight).await;
    assert_eq!((done.compiled, done.skipped.len()), (12, 0), "{done:?}");
    let none = Limits { fuel: 1_000_000, ..limits() };
    let done = compile(&wheels.dir("many"), &wheels.dir("b3"), &none).await;
    assert_eq!((done.compiled, done.skipped.len()), (0, 12), "{done:?}");
}

#[tokio::test]
async fn bytecode_serves_where_the_source_cannot_be_read() {
    let wheels = Wheels::new();
    let source = wheels.module("closed", "X = 'still here'\n");
    let bytecode = wheels.dir("bytecode");
    assert_eq!(compile(&source, &bytecode, &limits()).await.compiled, 1);
    // The layer is listed, then the file goes: reading it is an error from now on.
    let environment = environment(vec![source.clone(), bytecode], &[]).await;
    std::fs::set_permissions(source.join("closed.py"), std::fs::Permissions::from_mode(0o000)).unwrap();
    std::fs::remove_file(source.join("closed.py")).unwrap();
    let code = "import closed; print(closed.X)\ntry:\n    open(closed.__file__).read()\nexcept OSError as error:\n    print(error.strerror)";
    assert_eq!(shows(&environment, code).await, "still here\nI/O error\n");
}
