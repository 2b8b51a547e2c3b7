//! Kernels: cells as transactions, checkpoints, forks, files, what is restored and what is left behind.

use std::time::Duration;

use pymd::backend::wasm::{Checkpoint, Kernel, Sandbox};
use pymd::domain::{CellReport, CellRequest, InputFile, Limits, Outcome, StreamName};
use tokio_util::sync::CancellationToken;

use crate::support::sandbox;

pub fn limits() -> Limits {
    Limits { wall_ms: 20_000, ..Limits::default() }
}

pub fn cell(code: &str, limits: Limits) -> CellRequest {
    CellRequest { code: code.to_owned(), name: "cell 1".to_owned(), stdin: Vec::new(), limits }
}

async fn run_with(kernel: Kernel, code: &str, limits: Limits) -> (Kernel, CellReport) {
    kernel.run(cell(code, limits), None, CancellationToken::new()).await.unwrap()
}

async fn run(kernel: Kernel, code: &str) -> (Kernel, CellReport) {
    run_with(kernel, code, limits()).await
}

/// Runs code that must complete, and answers what it printed.
async fn prints(kernel: Kernel, code: &str) -> (Kernel, String) {
    let (kernel, report) = run(kernel, code).await;
    assert_eq!(report.outcome, Outcome::Completed, "{code}: {report:?}");
    (kernel, report.text(StreamName::Stdout))
}

async fn fork(sandbox: &Sandbox, checkpoint: &Checkpoint) -> Kernel {
    sandbox.restore(checkpoint, true).unwrap()
}

#[tokio::test]
async fn state_stays_from_cell_to_cell() {
    let sandbox = sandbox().await;
    let kernel = sandbox.kernel().unwrap();
    let (kernel, _) = prints(kernel, "x = [1]\ndef f():\n    return x\ng = (i for i in range(9))").await;
    let (kernel, _) = prints(kernel, "x.append(2); next(g); next(g)").await;
    let (_, text) = prints(kernel, "print(f(), next(g))").await;
    assert_eq!(text, "[1, 2] 2\n");
}

#[tokio::test]
async fn a_python_error_keeps_what_was_done_before_it() {
    let sandbox = sandbox().await;
    let (kernel, report) = run(sandbox.kernel().unwrap(), "x = 1\n1/0\nx = 2").await;
    let Outcome::PythonError { ename, evalue, traceback } = &report.outcome else { panic!("{report:?}") };
    assert_eq!((ename.as_str(), evalue.as_str()), ("ZeroDivisionError", "division by zero"));
    let traceback = traceback.join("\n");
    assert!(traceback.contains("line 2") && traceback.contains("1/0"), "{traceback}");
    assert!(!traceback.contains("_pymd"), "no frames of ours: {traceback}");
    let (_, text) = prints(kernel, "print(x)").await;
    assert_eq!(text, "1\n");
}

/// Every way for a cell to be undone, and what was there before it.
#[tokio::test]
async fn a_cell_that_hits_a_limit_is_undone_and_the_kernel_goes_on() {
    let sandbox = sandbox().await;
    let short = Limits { wall_ms: 300, ..limits() };
    let mut cases = vec![
        ("x = 2; open('f', 'w').write('two'); f.seek(0)\nwhile True: pass", Limits { fuel: 200_000_000, ..limits() }),
        ("x = 2; open('f', 'w').write('two'); f.read()\nwhile True: pass", short.clone()),
        ("x = 2; open('g', 'w').write('new')\nimport time; time.sleep(10**6)", short),
        ("x = 2; f.close()\nwhile True: print('x' * 1000)", Limits { output_bytes: 100_000, ..limits() }),
        ("x = 2; f.close()\ns = 'x'\nwhile True: s += s", Limits { memory_bytes: 128 << 20, ..limits() }),
        ("x = 2; f.close()\nimport os; os.abort()", limits()),
        ("x = 2; f.close()\nimport os; os._exit(3)", limits()),
    ];
    let mut kernel = sandbox.kernel().unwrap();
    (kernel, _) = prints(kernel, "x = 1; open('f', 'w').write('one'); f = open('f'); f.read(1); import os").await;
    let mut kinds = Vec::new();
    // Twice over, as a rollback must leave a kernel that can be rolled back.
    cases.extend(cases.clone());
    for (code, limits) in cases {
        let report;
        (kernel, report) = run_with(kernel, code, limits).await;
        kinds.push(report.outcome.kind());
        let text;
        (kernel, text) = prints(kernel, "print(x, open('f').read(), f.tell(), f.closed, sorted(os.listdir()))").await;
        assert_eq!(text, "1 one 1 False ['f']\n", "after {code}: {:?}", report.outcome);
    }
    let expected = [
        "out_of_fuel",
        "deadline_exceeded",
        "deadline_exceeded",
        "output_limit_exceeded",
        "out_of_memory",
        "crashed",
        "exited",
    ];
    assert_eq!(kinds, [expected, expected].concat());
}

/// Undone by mapping the memory anew, instead of page by page.
#[tokio::test]
async fn a_cell_that_wrote_hundreds_of_megabytes_is_undone() {
    let sandbox = sandbox().await;
    let (mut kernel, _) = prints(sandbox.kernel().unwrap(), "x = [1]; f = open('f', 'w'); f.write('kept')").await;
    for round in 2..4 {
        let code = "x.append(9); big = [bytearray(1 << 20) for _ in range(200)]; f.write('lost')\nwhile True: pass";
        let report;
        (kernel, report) = run_with(kernel, code, Limits { wall_ms: 1_500, ..limits() }).await;
        assert_eq!(report.outcome.kind(), "deadline_exceeded");
        let text;
        let code = format!("x.append({round}); f.flush(); print(x, open('f').read(), 'big' in globals())");
        (kernel, text) = prints(kernel, &code).await;
        assert_eq!(text, if round == 2 { "[1, 2] kept False\n" } else { "[1, 2, 3] kept False\n" });
    }
}

#[tokio::test]
async fn closed_standard_streams_are_open_again_in_the_next_cell() {
    let sandbox = sandbox().await;
    let (kernel, _) = run(sandbox.kernel().unwrap(), "import os\nfor fd in range(3): os.close(fd)").await;
    let (kernel, text) = prints(kernel, "print('heard')").await;
    assert_eq!(text, "heard\n");
    let (_, report) = run(kernel, "import sys; print('loud', file=sys.stderr)").await;
    assert_eq!(report.text(StreamName::Stderr), "loud\n");
}

/// A kernel whose heap is full takes the cell that frees it.
#[tokio::test]
async fn a_full_heap_can_be_emptied_by_the_next_cell() {
    let sandbox = sandbox().await;
    let small = Limits { memory_bytes: 64 << 20, ..limits() };
    let code = "L = []\nfor size in (1 << 20, 1 << 12, 1 << 7):\n    try:\n        \
        while True: L.append(bytes(size))\n    except MemoryError: pass";
    let (kernel, report) = run_with(sandbox.kernel().unwrap(), code, small.clone()).await;
    assert_eq!(report.outcome, Outcome::Completed, "{report:?}");
    assert_eq!(report.peak_memory_bytes, 64 << 20, "it is full");
    let (kernel, report) = run_with(kernel, "n = len(L); L = None", small.clone()).await;
    assert_eq!(report.outcome, Outcome::Completed, "{report:?}");
    let (_, report) = run_with(kernel, "print(n > 20, len([0] * 10**6))", small).await;
    assert_eq!(report.text(StreamName::Stdout), "True 1000000\n", "{report:?}");
}

#[tokio::test]
async fn cancelling_undoes_the_cell_and_keeps_the_kernel() {
    let sandbox = sandbox().await;
    let (kernel, _) = prints(sandbox.kernel().unwrap(), "x = 1").await;
    let cancel = CancellationToken::new();
    let (events, mut seen) = pymd::backend::event_channel();
    let request = cell("x = 2\nprint('started')\nwhile True: pass", limits());
    let running = tokio::spawn(kernel.run(request, Some(events), cancel.clone()));
    assert!(seen.next().await.is_some(), "it runs");
    cancel.cancel();
    let (kernel, report) = running.await.unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Cancelled);
    assert_eq!(report.text(StreamName::Stdout), "started\n");
    assert_eq!(prints(kernel, "print(x)").await.1, "1\n");
}

#[tokio::test]
async fn dropping_the_future_ends_the_cell_and_frees_the_kernel() {
    let sandbox = sandbox().await;
    let (events, mut seen) = pymd::backend::event_channel();
    let request = cell("print('started')\nwhile True: pass", limits());
    let running = tokio::spawn(sandbox.kernel().unwrap().run(request, Some(events), CancellationToken::new()));
    assert!(seen.next().await.is_some());
    running.abort();
    // The events end when the store is gone.
    let ended = tokio::time::timeout(Duration::from_secs(10), async { while seen.next().await.is_some() {} }).await;
    assert!(ended.is_ok(), "the guest was stopped");
}

#[tokio::test]
async fn a_checkpoint_holds_everything_and_restores_as_often_as_wanted() {
    let sandbox = sandbox().await;
    let code = "import numpy as np, random\nrandom.seed(7); a = np.arange(5)\n\
        f = open('t', 'w+'); f.write('hello'); f.flush()\nit = iter([1, 2, 3]); next(it)";
    let (kernel, _) = prints(sandbox.kernel().unwrap(), code).await;
    let before = kernel.checkpoint();
    let (kernel, first) = prints(kernel, "f.seek(1); print(f.read(), a.sum(), next(it), random.random())").await;
    assert!(first.starts_with("ello 10 2 0."), "{first}");
    // Resumed, not forked: the same stream of random numbers goes on.
    for _ in 0..3 {
        let again = sandbox.restore(&before, false).unwrap();
        let (_, second) = prints(again, "f.seek(1); print(f.read(), a.sum(), next(it), random.random())").await;
        assert_eq!(first, second);
    }
    // What the later cell did is not in the earlier checkpoint, and the other way round.
    let after = kernel.checkpoint();
    assert!(after.delta_pages() >= before.delta_pages());
    let (_, text) = prints(sandbox.restore(&after, false).unwrap(), "print(next(it))").await;
    assert_eq!(text, "3\n");
}

#[tokio::test]
async fn forks_go_their_own_ways_with_their_own_random_numbers() {
    let sandbox = sandbox().await;
    let (kernel, _) = prints(sandbox.kernel().unwrap(), "import random, uuid, tempfile; x = []; random.random()").await;
    let checkpoint = kernel.checkpoint();
    let mut seen = std::collections::HashSet::new();
    for index in 0..5 {
        let forked = fork(sandbox, &checkpoint).await;
        let code = format!("x.append({index}); print(x); print(random.random(), uuid.uuid4(), tempfile.mktemp())");
        let (_, text) = prints(forked, &code).await;
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(first, format!("[{index}]"));
        assert!(seen.insert(rest.to_owned()), "a fork repeated {rest}");
    }
    assert_eq!(prints(kernel, "print(x)").await.1, "[]\n");
}

#[tokio::test]
async fn files_given_are_there_and_bad_paths_are_refused() {
    let sandbox = sandbox().await;
    let mut kernel = sandbox.kernel().unwrap();
    let file = |path: &str| InputFile { path: path.to_owned(), content: b"data".to_vec() };
    kernel.put_files(&[file("a.txt"), file("d/e/b.txt")], &limits()).unwrap();
    for path in ["", "/etc/x", "../x", "a/../../x", "a//b", "./a", "nul\0"] {
        assert!(kernel.put_files(&[file(path)], &limits()).is_err(), "{path:?}");
    }
    let small = Limits { disk_bytes: 10, ..limits() };
    let big = InputFile { path: "big".to_owned(), content: vec![0; 1000] };
    assert!(kernel.put_files(&[big], &small).is_err());
    let code = "import os\nprint(open('a.txt').read(), open('d/e/b.txt').read(), os.getcwd(), sorted(os.listdir()))";
    assert_eq!(prints(kernel, code).await.1, "data data /work ['a.txt', 'd']\n");
}

/// What a hostile program leaves in a slot is not there for the next one: the memories are the same to the byte.
#[tokio::test]
async fn a_recycled_kernel_is_a_new_kernel_to_the_byte() {
    let sandbox = sandbox().await;
    let programs = [
        "x = b'secret' * 10_000",
        "import ctypes", /* there is none: an error */
        "s = [bytearray(b'secret') for _ in range(1000)]\nwhile True: pass",
        "import gc, sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
        "import os; os.abort()",
    ];
    let fresh = sandbox.kernel().unwrap().memory_image().unwrap();
    for program in programs {
        let quick = Limits { wall_ms: 500, ..limits() };
        for _ in 0..12 {
            let request = cell(program, quick.clone());
            if program.contains("while") || program.contains("f()") {
                drop(sandbox.kernel().unwrap().run_once(request, None, CancellationToken::new()).await.unwrap());
                break;
            }
            sandbox.kernel().unwrap().run_once(request, None, CancellationToken::new()).await.unwrap();
        }
        // As many kernels as the pool can hold, so that each recycled one is seen.
        let mut kernels: Vec<_> = (0..17).map(|_| sandbox.kernel().unwrap()).collect();
        for kernel in &mut kernels {
            let memory = kernel.memory_image().unwrap();
            let differs = memory.iter().zip(&fresh).position(|(now, then)| now != then);
            assert_eq!((memory.len(), differs), (fresh.len(), None), "after {program:?}");
        }
    }
}

#[tokio::test]
async fn fresh_kernels_never_repeat_random_numbers() {
    let sandbox = sandbox().await;
    let mut seen = std::collections::HashSet::new();
    let code = "import os, random, uuid\nprint(os.urandom(8).hex(), random.random(), uuid.uuid4())";
    for _ in 0..10_000 {
        let request = cell(code, limits());
        let report = sandbox.kernel().unwrap().run_once(request, None, CancellationToken::new()).await.unwrap();
        let text = report.text(StreamName::Stdout);
        let parts: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        assert_eq!(parts.len(), 3, "{report:?}");
        for part in parts {
            assert!(seen.insert(part.clone()), "{part} came twice");
        }
    }
}
