//! Kernels of environments: transactions, checkpoints, memory, what is left behind.

use std::sync::Arc;

use pymd::backend::wasm::SandboxConfig;
use pymd::backend::wasm::vfs::LowerTree;
use pymd::domain::{Limits, Outcome, StreamName};
use tokio_util::sync::CancellationToken;

use super::{Wheels, environment, kernel, prints, run, spec};
use crate::kernel::{cell, limits};
use crate::support::sandbox;
use crate::support::sandbox::own_sandbox;

fn counter(wheels: &Wheels) -> std::path::PathBuf {
    wheels.file("counter", "counter/late.py", "LATE = True\n");
    wheels.file("counter", "counter/__init__.py", "STATE = [0]\ndef up():\n    STATE[0] += 1\n    return STATE[0]\n")
}

#[tokio::test]
async fn cells_are_undone_and_restored_with_packages_mounted() {
    let wheels = Wheels::new();
    let sandbox = sandbox().await;
    let environment = environment(vec![counter(&wheels)], &["counter"]).await;
    let (kernel, text) = prints(kernel(sandbox, &environment).await, "import counter; print(counter.up())").await;
    assert_eq!(text, "1\n");
    let before = kernel.checkpoint();
    let short = Limits { wall_ms: 300, ..limits() };
    let code = "counter.up(); f = open(counter.__file__); import counter.late\nwhile True: pass";
    let (kernel, report) = kernel.run(cell(code, short), None, CancellationToken::new()).await.unwrap();
    assert_eq!(report.outcome.kind(), "deadline_exceeded");
    let (kernel, text) =
        prints(kernel, "import sys; print(counter.up(), 'f' in globals(), 'counter.late' in sys.modules)").await;
    assert_eq!(text, "2 False False\n");
    let (_, text) =
        prints(kernel, "f = open(counter.__file__); f.read(5); from counter import late; print(late.LATE)").await;
    assert_eq!(text, "True\n");
    for fork in [true, false] {
        let restored = sandbox.restore(&before, fork).unwrap();
        let (_, text) = prints(restored, "from counter import late; print(counter.up(), late.LATE)").await;
        assert_eq!(text, "2 True\n");
    }
    let (reading, _) = prints(sandbox.restore(&before, false).unwrap(), "f = open(counter.__file__); f.read(5)").await;
    let again = sandbox.restore(&reading.checkpoint(), true).unwrap();
    assert_eq!(prints(again, "print(f.read(5))").await.1, " = [0\n");
}

#[tokio::test]
async fn a_recycled_kernel_of_an_environment_is_a_new_one_to_the_byte() {
    let wheels = Wheels::new();
    let sandbox = own_sandbox(SandboxConfig { environment_ready_kernels: 4, ..SandboxConfig::default() }).await;
    let environment = sandbox.environment(&spec(vec![counter(&wheels)], &["counter"])).await.unwrap();
    let other = sandbox.environment(&spec(vec![wheels.module("other", "")], &["other"])).await.unwrap();
    let fresh = kernel(&sandbox, &environment).await.memory_image().unwrap();
    let programs = [
        "import counter; counter.STATE[:] = [b'secret'] * 10_000",
        "import counter.late; x = b'secret' * 1000; open('/tmp/left', 'w').write('secret')",
        "s = [bytearray(b'secret') for _ in range(1000)]\nwhile True: pass",
        "import os; os.abort()",
    ];
    for program in programs {
        for base in [&environment, &other] {
            let program = cell(program, Limits { wall_ms: 300, ..limits() });
            let kernel = kernel(&sandbox, base).await;
            kernel.run_once(program, None, CancellationToken::new()).await.unwrap();
        }
        let mut kernels = Vec::new();
        for _ in 0..6 {
            kernels.push(kernel(&sandbox, &environment).await);
        }
        for kernel in &mut kernels {
            let memory = kernel.memory_image().unwrap();
            let differs = memory.iter().zip(&fresh).position(|(now, then)| now != then);
            assert_eq!((memory.len(), differs), (fresh.len(), None), "after {program:?}");
        }
        for kernel in kernels {
            let (_, text) = prints(kernel, "import os, sys; print(os.listdir('/tmp'), 'other' in sys.modules)").await;
            assert_eq!(text, "[] False\n");
        }
    }
}

#[tokio::test]
async fn where_the_image_does_not_fit_the_packages_are_there_unimported() {
    let wheels = Wheels::new();
    let sandbox = sandbox().await;
    let layer = wheels.module("hoard", "X = bytearray(80 << 20)\nY = 1\n");
    let environment = environment(vec![layer, counter(&wheels)], &["hoard", "counter"]).await;
    assert_eq!(environment.report().failed, []);
    assert!(environment.image_bytes() > 100 << 20);
    let small = Limits { memory_bytes: 100 << 20, ..limits() };
    let code =
        "import sys, random\nprint('hoard' in sys.modules)\nimport counter\nprint(counter.up(), random.random())\n";
    let mut seen = Vec::new();
    for _ in 0..2 {
        let kernel = sandbox.kernel_for(Some(&environment), "", &small).await.unwrap();
        let (kernel, report) = kernel.run(cell(code, small.clone()), None, CancellationToken::new()).await.unwrap();
        assert_eq!(kernel.checkpoint().count(), 1);
        let text = report.text(StreamName::Stdout);
        assert!(text.starts_with("False\n1 "), "{report:?}");
        seen.push(text);
        let (_, report) =
            kernel.run(cell("import hoard", small.clone()), None, CancellationToken::new()).await.unwrap();
        assert!(matches!(report.outcome, Outcome::OutOfMemory { .. }), "{report:?}");
    }
    assert_ne!(seen[0], seen[1], "random numbers of their own");
}

#[tokio::test]
async fn files_are_read_lazily_through_few_descriptors() {
    let wheels = Wheels::new();
    let mut layers = Vec::new();
    for wheel in 0..300 {
        for file in 0..3 {
            wheels.file(&format!("w{wheel}"), &format!("p{wheel}/m{file}.py"), &format!("X = {file}\n"));
        }
        layers.push(wheels.dir(&format!("w{wheel}")));
    }
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let tree = Arc::new(LowerTree::from_paths(layers.clone()).unwrap());
    assert_eq!(tree.node_count(), 1 + 300 * 4);
    assert_eq!(tree.files().count(), 900);
    // Other tests open files at the same time.
    assert!(open() < before + 200, "{before} and now {}", open());
    let environment = environment(layers, &["p0.m1", "p299.m2"]).await;
    let code =
        "import importlib\nprint(sum(importlib.import_module(f'p{i}.m{j}').X for i in range(300) for j in range(3)))";
    let (_, text) = prints(kernel(sandbox().await, &environment).await, code).await;
    assert_eq!(text, "900\n");
    assert!(open() < before + 400, "{before} and now {}", open());
}

#[tokio::test]
async fn an_environment_without_packages_is_one_too() {
    let environment = environment(Vec::new(), &[]).await;
    let sandbox = sandbox().await;
    let code = "import os; print(os.listdir('/usr/local/lib/python3.15/site-packages')); import numpy";
    let (kernel, text) = prints(kernel(sandbox, &environment).await, code).await;
    assert_eq!(text, "[]\n");
    let (_, report) = run(kernel, "1/0").await;
    assert_eq!(report.outcome.kind(), "python_error");
}
