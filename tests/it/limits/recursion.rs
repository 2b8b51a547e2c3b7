//! Depth: of calls, of data, of source. The stack of the process never sees it.

use super::{Limits, limits, outcome, outcomes, survive};
use pymd::domain::{Outcome, StreamName};

const NESTED: &str = "a = []\nfor _ in range(10**6): a = [a]\n";

fn roomy() -> Limits {
    Limits { memory_bytes: 256 << 20, ..limits() }
}

#[tokio::test]
async fn a_million_calls_deep_in_python() {
    let expected = [
        ("RecursionError", "def f(n): return f(n + 1) if n < 10**6 else n\nf(0)"),
        ("RecursionError", "class A:\n def __getattr__(self, name): return getattr(self, name)\nA().x"),
        ("RecursionError", "f = lambda: sorted([1], key=lambda _: f())\nf()"),
    ];
    outcomes(&limits(), &expected).await;
}

/// Without Python's own limit it is the memory that ends, or the stack of the sandbox.
#[tokio::test]
async fn a_million_calls_deep_without_a_recursion_limit() {
    let unlimited = "import sys\nsys.setrecursionlimit(10**9)\n";
    let small = Limits { memory_bytes: 128 << 20, ..limits() };
    let expected = [
        ("out_of_memory", "def f(n): return f(n + 1)\nf(0)"),
        ("RecursionError", "class A:\n def __getattr__(self, name): return getattr(self, name)\nA().x"),
        ("RecursionError", "f = lambda: sorted([1], key=lambda _: f())\nf()"),
    ];
    for (kind, code) in expected {
        assert_eq!(outcome(&format!("{unlimited}{code}"), &small).await, kind, "{code}");
    }
}

#[tokio::test]
async fn data_a_million_deep_through_c() {
    let caught = "import copy, json\nb = []\nfor _ in range(10**6): b = [b]\n\
        for work in (repr, json.dumps, b.__eq__, copy.deepcopy, str):\n try: work(a)\n \
        except RecursionError: print(work.__name__)\nrepr(a)";
    let report = survive(&format!("{NESTED}{caught}"), &roomy()).await;
    assert_eq!(report.text(StreamName::Stdout), "repr\ndumps\n__eq__\ndeepcopy\nstr\n");
    let Outcome::PythonError { ename, .. } = &report.outcome else { panic!("{}", report.outcome.kind()) };
    assert_eq!(ename, "RecursionError");
    let expected = [
        ("RecursionError", "import json; json.loads('[' * 10**6)"),
        ("RecursionError", "import json; json.loads('{\"a\":' * 10**6)"),
        ("RecursionError", "import re; re.compile('(' * 10**6 + ')' * 10**6)"),
    ];
    outcomes(&roomy(), &expected).await;
}

/// Where CPython itself does not count, WebAssembly's stack ends: a crash of the guest, not of the process.
#[tokio::test]
async fn depth_that_cpython_does_not_count_is_a_crash_of_the_guest() {
    let programs = [
        "a = ()\nfor _ in range(10**6): a = (a,)\nhash(a)",
        "import pickle; pickle.loads(b'(' * 10**6 + b't' * 10**6 + b'.')",
        "eval('1+' * 100_000 + '1')",
        "import ast; ast.parse('x' + '.a' * 100_000)",
    ];
    for code in programs {
        let report = survive(code, &roomy()).await;
        let Outcome::Crashed { trap } = &report.outcome else { panic!("{code}: {}", report.outcome.kind()) };
        assert!(trap.contains("call stack exhausted"), "{trap}");
    }
}

#[tokio::test]
async fn source_that_is_too_deep_or_too_long_in_the_cell_itself() {
    let cases = [
        ("SyntaxError", format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000))),
        ("SyntaxError", format!("{}1", "-".repeat(100_000))),
        ("crashed", format!("{}1", "1+".repeat(100_000))),
        ("SyntaxError", format!("if 0: pass\n{}", "elif 0: pass\n".repeat(100_000))),
        ("completed", "x = 1\n".repeat(50_000)),
        ("completed", format!("#{}", "x".repeat(10 << 20))),
    ];
    for (kind, code) in cases {
        assert_eq!(outcome(&code, &limits()).await, kind, "{}", super::title(&code));
    }
}
