//! What a batch of hostile programs leaves behind in the process: nothing.

use std::time::Duration;

use pymd::backend::event_channel;
use pymd::backend::wasm::{Sandbox, SandboxConfig};
use pymd::domain::Limits;
use tokio_util::sync::CancellationToken;

use super::alone::alone;
use super::{cell, limits, run};
use crate::support::sandbox::own_sandbox;

const PROGRAMS: [&str; 14] = [
    "print(1)",
    "1 / 0",
    "import sys; sys.exit(3)",
    "import os; os._exit(3)",
    "import os; os.abort()",
    "s = 'x'\nwhile True: s += s",
    "while True: pass",
    "while True: print('x' * 1000)",
    "import time; time.sleep(10**6)",
    "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
    "eval('1+' * 100_000 + '1')",
    "files = [open(f'/tmp/{i}', 'w') for i in range(10**6)]",
    "open('f', 'wb').write(b'x' * (20 << 20))",
    "import _host\nwhile True: _host.call(b'{\"op\":\"display\",\"data\":{\"a\":\"' + b'x' * 10**6 + b'\"}}')",
];

/// What a process holds.
#[derive(Debug)]
struct Held {
    files: usize,
    mappings: usize,
    threads: usize,
    private_kib: usize,
}

impl Held {
    fn now() -> Self {
        let count = |directory: &str| std::fs::read_dir(directory).unwrap().count();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let private = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        Self {
            files: count("/proc/self/fd"),
            mappings: std::fs::read_to_string("/proc/self/maps").unwrap().lines().count(),
            threads: count("/proc/self/task"),
            private_kib: private.trim().trim_end_matches(" kB").parse().unwrap(),
        }
    }
}

async fn batch(sandbox: &Sandbox) {
    let limits = Limits { wall_ms: 100, memory_bytes: 100 << 20, output_bytes: 2 << 20, ..limits() };
    for code in PROGRAMS {
        // A kernel for one cell; one that goes on; a checkpoint, restored after its kernel is gone.
        let once = sandbox.kernel().unwrap().run_once(cell(code, &limits), None, CancellationToken::new());
        once.await.unwrap();
        let (kernel, _) = run(sandbox.kernel().unwrap(), code, &limits).await;
        let (kernel, _) = run(kernel, code, &limits).await;
        let checkpoint = kernel.checkpoint();
        drop(kernel);
        run(sandbox.restore(&checkpoint, true).unwrap(), "x = 1", &limits).await;
    }
    for _ in 0..20 {
        let (sender, mut events) = event_channel();
        let request = cell("print('started', flush=True)\nwhile True: pass", &limits);
        let cancel = CancellationToken::new();
        let gone = tokio::spawn(sandbox.kernel().unwrap().run_once(request, Some(sender), cancel));
        events.next().await;
        gone.abort();
    }
    until_idle(sandbox).await;
}

/// Waits until no kernel is alive but those in the pool.
async fn until_idle(sandbox: &Sandbox) {
    let idle = async {
        while sandbox.stats().kernels > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), idle).await;
    assert!(waited.is_ok(), "{:?} long after the last cell", sandbox.stats());
}

#[tokio::test]
async fn a_batch_of_hostile_programs_leaves_nothing_behind() {
    if !alone("limits::leaks::a_batch_of_hostile_programs_leaves_nothing_behind") {
        return;
    }
    let sandbox = own_sandbox(SandboxConfig { threads: 2, ready_kernels: 4, ..SandboxConfig::default() }).await;
    batch(&sandbox).await;
    let before = Held::now();
    for _ in 0..2 {
        batch(&sandbox).await;
    }
    let after = Held::now();
    let compared = format!("before {before:?}, after {after:?}");
    assert!(after.files <= before.files + 2, "{compared}");
    assert!(after.mappings <= before.mappings + 20, "{compared}");
    assert!(after.threads <= before.threads + 1, "{compared}");
    // The allocator keeps some; a kernel left of each program would be more than this.
    assert!(after.private_kib <= before.private_kib + (120 << 10), "{compared}");
    // The pool is no fuller than it may be, and the sandbox itself gives everything back.
    assert!(sandbox.stats().ready <= 4);
    drop(sandbox);
}
