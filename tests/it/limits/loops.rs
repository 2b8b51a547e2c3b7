//! Code that takes its time, burns it or waits.

use pymd::domain::{Limits, Outcome, StreamName};

use super::{limits, outcome, outcomes, survive, within_ms};

#[tokio::test]
async fn an_endless_loop_ends_at_its_fuel_or_at_its_deadline() {
    let little = Limits { fuel: 200_000_000, ..limits() };
    let report = survive("while True: pass", &little).await;
    assert_eq!(report.outcome, Outcome::OutOfFuel { limit: 200_000_000 });
    assert_eq!(report.fuel_used, 200_000_000);
    let report = survive("while True: pass", &within_ms(200)).await;
    assert_eq!(report.outcome, Outcome::DeadlineExceeded { limit_ms: 200 });
    assert!(report.wall_ms >= 200.0);
}

/// No exception handler of the guest's sees the end.
#[tokio::test]
async fn no_handler_catches_the_end() {
    let code = "while True:\n try:\n  while True: pass\n except BaseException: pass\n finally: continue";
    assert_eq!(outcome(code, &within_ms(200)).await, "deadline_exceeded");
    assert_eq!(outcome(code, &Limits { fuel: 100_000_000, ..limits() }).await, "out_of_fuel");
}

/// Loops inside one instruction of Python's, and such as call the host all the time.
#[tokio::test]
async fn loops_in_c_and_in_the_host_end_at_the_deadline() {
    let programs = [
        "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
        "10 ** 10 ** 8",
        "sum(iter(int, 1))",
        "import itertools; list(zip(itertools.repeat(1), iter(int, 1), strict=True)) if all(itertools.repeat(1)) else 0",
        "x = 'x' * (20 << 20)\nwhile True: x.find('y')",
        "x = b'x' * (50 << 20)\nwhile True: bytearray(x)",
        "import os\nwhile True: os.write(1, b'')",
        "import os\nwhile True: os.urandom(1 << 20)",
        "import time\nwhile True: time.sleep(0)",
        "import time\nwhile True: time.time()",
        "import os\nwhile True: os.stat('/tmp')",
        "f = open('f', 'w+b')\nwhile True: f.seek(0); f.write(b'x' * (1 << 20)); f.flush()",
        "import _host\nwhile True: _host.call(b'{\"op\":\"cell\"}')",
        "import _host\nwhile True: _host.call(b'{\"op\":\"error\",\"ename\":\"\",\"evalue\":\"\",\"traceback\":[]}')",
        "import _host\nrequest = b'x' * (1 << 20)\nwhile True:\n try: _host.call(request)\n except OSError: pass",
        "import asyncio\nasync def f():\n while True: await asyncio.sleep(0)\nawait f()",
    ];
    outcomes(&within_ms(300), &programs.map(|code| ("deadline_exceeded", code))).await;
}

#[tokio::test]
async fn waiting_ends_at_the_deadline_and_burns_nothing() {
    let programs = [
        "import time; time.sleep(10**6)",
        "import time; time.sleep(2**62 / 10**9)",
        "import asyncio; await asyncio.sleep(10**6)",
        "import select; select.select([], [], [], 10**6)",
    ];
    for code in programs {
        let report = survive(code, &within_ms(200)).await;
        assert_eq!(report.outcome, Outcome::DeadlineExceeded { limit_ms: 200 }, "{code}");
        assert!(report.fuel_used < 100_000_000, "{code} burnt {}", report.fuel_used);
    }
}

/// There are no threads, so nobody can release a lock that is held: the runtime aborts where it would wait for ever.
#[tokio::test]
async fn waiting_for_a_lock_ends_too() {
    let programs = [
        "import threading; threading.Event().wait(10**6)",
        "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
        "import queue; queue.Queue().get()",
    ];
    for code in programs {
        let kind = outcome(code, &within_ms(200)).await;
        assert!(["crashed", "deadline_exceeded", "RuntimeError"].contains(&kind.as_str()), "{code}: {kind}");
    }
}

#[tokio::test]
async fn reading_where_nothing_is_to_be_read_does_not_wait() {
    let expected = [("EOFError", "input()"), ("EOFError", "while True: input('more? ')")];
    outcomes(&limits(), &expected).await;
    let code =
        "import os, sys\nprint(repr(sys.stdin.read()), sys.stdin.buffer.read(9), os.read(0, 9), list(sys.stdin))";
    assert_eq!(survive(code, &limits()).await.text(StreamName::Stdout), "'' b'' b'' []\n");
}

#[tokio::test]
async fn the_ways_to_end_a_process_end_the_cell() {
    let expected = [
        ("exited 7", "import sys; sys.exit(7)"),
        ("exited 3", "import os; os._exit(3)"),
        ("crashed", "import os; os.abort()"),
        ("crashed", "import faulthandler; faulthandler._sigsegv()"),
    ];
    outcomes(&limits(), &expected).await;
    for code in ["import os; os.kill(os.getpid(), 9)", "import os; os.fork()", "import signal; signal.raise_signal(9)"]
    {
        let kind = outcome(code, &limits()).await;
        assert!(["AttributeError", "OSError", "ValueError", "crashed"].contains(&kind.as_str()), "{code}: {kind}");
    }
}
