//! Code that wants more memory than there is for it.

use super::{Limits, limits, outcome, outcomes, survive};
use pymd::domain::Outcome;

fn small() -> Limits {
    Limits { memory_bytes: 128 << 20, ..limits() }
}

#[tokio::test]
async fn growing_until_nothing_is_left() {
    let report = survive("s = 'x'\nwhile True: s += s", &small()).await;
    assert_eq!(report.outcome, Outcome::OutOfMemory { limit_bytes: 128 << 20 });
    let expected = [
        ("out_of_memory", "a = []\nwhile True: a.append(bytearray(1 << 20))"),
        ("out_of_memory", "a = []\nwhile True: a.append(a[:])  or a.extend(a)"),
        ("out_of_memory", "d = {}\nfor i in range(10**9): d[i] = 'x' * 1000"),
    ];
    outcomes(&small(), &expected).await;
}

/// Asking for a lot at once costs nothing: it is refused before it is made.
#[tokio::test]
async fn asking_for_everything_at_once() {
    let programs = [
        "b'x' * 10**9",
        "bytearray(10**9)",
        "import os; os.urandom(10**9)",
        "'x'.ljust(10**9)",
        "open('f', 'wb').write(b'x' * 10**9)",
        "import zlib; zlib.decompress(zlib.compress(bytes(10**7)), bufsize=10**9)",
        "import numpy; numpy.ones(10**8)",
    ];
    for code in programs {
        let report = survive(code, &small()).await;
        assert_eq!(report.outcome, Outcome::OutOfMemory { limit_bytes: 128 << 20 }, "{code}");
        assert!(report.fuel_used < 2_000_000_000, "{code} burnt {}", report.fuel_used);
    }
    // More than an address can say is Python's own to refuse.
    for code in ["b'x' * 10**10", "list(range(10**9))", "[0] * 10**18", "bytearray(2**62)"] {
        let kind = outcome(code, &small()).await;
        assert!(["MemoryError", "OverflowError", "out_of_memory"].contains(&kind.as_str()), "{code}: {kind}");
    }
}

/// A program that copes with a refusal goes on, and is not undone.
#[tokio::test]
async fn a_memory_error_that_is_caught_is_none() {
    let code = "try: b'x' * 10**9\nexcept MemoryError: print('caught')";
    assert_eq!(outcome(code, &small()).await, "completed");
}
