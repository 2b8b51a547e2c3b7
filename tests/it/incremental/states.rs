//! What a state holds: all that a cell can find.

use pymd::backend::wasm::Kernel;
use pymd::domain::{CellRequest, Outcome};
use tokio_util::sync::CancellationToken;

use super::{Editor, ran};
use crate::kernel::{cell, limits};
use crate::support::sandbox;

#[tokio::test]
async fn files_handles_and_generators_are_part_of_it() {
    let editor = Editor::new().await;
    let mut cells = [
        "import os\nopen('kept.txt', 'w').write('abc' * 1000)\nos.mkdir('d')",
        "f = open('kept.txt'); f.read(4)\ng = (i * i for i in range(100)); next(g); next(g)",
        "f2 = open('d/log', 'a'); f2.write('one\\n'); f2.flush()",
        "print(f.read(5), next(g), os.listdir('.'))",
        "f2.write('two\\n'); f2.close(); print(open('d/log').read(), next(g))",
    ];
    let first = editor.render(&cells).await;
    assert!(first.cells.iter().all(|cell| cell.outcome == Outcome::Completed), "{}", first.rendered);
    for (index, code, marks) in [
        (4, "f2.write('three\\n'); f2.close(); print(open('d/log').read(), next(g))", "....x"),
        (3, "print(f.read(2), next(g), sorted(os.listdir('.')))", "...xx"),
        (2, "os.remove('kept.txt'); f2 = open('d/log', 'a')", "..xxx"),
        (4, "print(os.listdir('d'), f.read(10))", "....x"),
    ] {
        cells[index] = code;
        let edited = editor.render(&cells).await;
        assert_eq!(ran(&edited), marks, "{code}");
        assert_eq!(edited.rendered, editor.scratch(&cells).await.rendered, "{code}");
    }
}

#[tokio::test]
async fn memory_that_grew_is_given_back_and_is_zero_when_it_comes_again() {
    let editor = Editor::new().await;
    let grow = "big = bytearray(b'secret' * 20_000_000)";
    let look = "fresh = bytes(100_000_000)\nprint(fresh.count(0), len(set(fresh)))";
    editor.render(&["x = 1", grow, "print(len(big))"]).await;
    let edited = editor.render(&["x = 1", look, "print('end')"]).await;
    assert_eq!(ran(&edited), ".xx");
    assert!(edited.rendered.contains("100000000 1"), "{}", edited.rendered);
    let back = editor.render(&["x = 1", grow, "print(len(big), big[:6], bytes(big[-6:]))"]).await;
    assert_eq!(ran(&back), "..x");
    assert!(back.rendered.contains("120000000"), "{}", back.rendered);
}

/// Kernels that are taken from state to state hold, byte for byte, what a kernel holds that was made for the state.
#[tokio::test]
async fn a_kernel_that_goes_to_another_state_is_there_to_the_byte() {
    let sandbox = sandbox().await;
    let run = async |kernel: Kernel, code: &str| {
        let request: CellRequest = cell(code, limits());
        kernel.run(request, None, CancellationToken::new()).await.unwrap()
    };
    let mut kernel = sandbox.kernel().unwrap();
    let mut states = vec![];
    for code in [
        "x = list(range(10_000))",
        "import json, re\ny = json.dumps(x)",
        "z = bytearray(30_000_000)\nfor i in range(0, len(z), 4096): z[i] = 7",
        "del z, y\nimport gc; gc.collect()",
        "w = [bytes([i % 256]) * 5000 for i in range(3000)]",
    ] {
        let report;
        (kernel, report) = run(kernel, code).await;
        assert_eq!(report.outcome, Outcome::Completed, "{code}: {report:?}");
        states.push(kernel.checkpoint());
    }
    for (step, index) in [0, 4, 2, 1, 3, 0, 0, 2, 4].into_iter().enumerate() {
        // What a cell left that was undone is in the memory, too.
        if step % 2 == 0 {
            let mut request = cell("q = [bytes(3000) for _ in range(2000)]\nwhile True: pass", limits());
            request.limits.fuel = 400_000_000;
            let report;
            (kernel, report) = kernel.run(request, None, CancellationToken::new()).await.unwrap();
            assert_eq!(report.outcome.kind(), "out_of_fuel");
        }
        assert!(kernel.go_to(&states[index]));
        let there = kernel.memory_image().unwrap();
        let resumed = sandbox.resume(&states[index]).unwrap().memory_image().unwrap();
        let restored = sandbox.restore(&states[index], false).unwrap().memory_image().unwrap();
        assert!(there == resumed && there == restored, "step {step}, state {index}");
        if index == 2 {
            (kernel, _) = run(kernel, "t = 1").await;
        }
    }
    let (_, report) = run(kernel, "print(len(w), len(x))").await;
    assert_eq!(report.text(pymd::domain::StreamName::Stdout), "3000 10000\n");
}
