//! Code that takes the interpreter apart. The next cell of the same kernel runs all the same.

use pymd::domain::Outcome;

use super::{limits, outcomes, run, survive};
use crate::support::sandbox;

#[tokio::test]
async fn streams_hooks_and_builtins_that_are_replaced() {
    let programs = [
        "import sys; sys.stdout = None",
        "import sys; del sys.stdout, sys.stderr, sys.stdin",
        "import sys; sys.stdout.close()",
        "import sys; sys.displayhook = None",
        "import sys; sys.displayhook = sys.excepthook = lambda *args: None",
        "import builtins; builtins.print = builtins.len = builtins.__import__ = None; del builtins.print",
        "import builtins; builtins.__dict__.clear()",
        "import sys; sys.modules.clear()",
        "import sys; sys.path = sys.meta_path = sys.path_hooks = None",
        "globals().update({name: None for name in ('__name__', '__builtins__')})",
        "import sys; sys.settrace(lambda *args: 1 / 0)",
        "import os; os.chdir('/tmp'); os.environ.clear()",
        "import gc; gc.disable(); gc.set_threshold(1)",
        "import sys; sys.setrecursionlimit(50)",
        "import io, json, os; json.dumps = json.loads = os.write = io.TextIOWrapper = None",
        "class A:\n def __del__(self): raise SystemExit(3)\na = A()\ndel a",
        "import atexit; atexit.register(lambda: 1 / 0)",
        "import signal; signal.signal(2, lambda *args: 1 / 0)",
    ];
    for code in programs {
        let report = survive(code, &limits()).await;
        let ended = matches!(report.outcome, Outcome::Completed | Outcome::PythonError { .. });
        assert!(ended, "{code}: {:?}", report.outcome.kind());
    }
}

#[tokio::test]
async fn bytecode_that_the_interpreter_cannot_run_is_a_crash_of_the_guest() {
    let expected = [
        ("crashed", "def f(): pass\nf.__code__ = f.__code__.replace(co_code=b'\\0\\5' * 1000 + b'\\xff' * 1000)\nf()"),
        (
            "crashed",
            "c = (lambda: 0).__code__.replace(co_code=bytes([100, 255]) * 100, co_consts=(), co_stacksize=0)\neval(c)",
        ),
    ];
    outcomes(&limits(), &expected).await;
}

/// Who takes the cell runner itself apart, or closes the descriptors under it,
/// has broken a kernel of his own: every cell ends, and says that.
#[tokio::test]
async fn a_broken_runner_is_an_outcome_too() {
    let programs = [
        "import sys\nrunner = sys.modules['_pymd_runner']\nrunner._restore = runner._report = runner.tell = None\n1 / 0",
        "import sys\nfor name, module in list(sys.modules.items()):\n if 'pymd' in name: vars(module).clear()",
        "import gc\nfor thing in gc.get_objects():\n if isinstance(thing, dict) and 'tell' in thing: thing.clear()",
        "import _reactor\n_reactor.turn.__code__ = (lambda source, environ=None: 1 / 0).__code__",
        "import os; os.close(0); os.close(1); os.close(2)",
        "import _reactor\n_reactor.turn = None\n_reactor.__dict__.clear()",
    ];
    for code in programs {
        let (kernel, _) = run(sandbox().await.kernel().unwrap(), code, &limits()).await;
        let (_, report) = run(kernel, "print(1)", &limits()).await;
        assert!(report.wall_ms < 5_000.0, "{code}");
        // Another kernel knows nothing of it.
        let (_, report) = run(sandbox().await.kernel().unwrap(), "1", &limits()).await;
        assert_eq!(report.outcome, Outcome::Completed, "after {code}");
    }
}
