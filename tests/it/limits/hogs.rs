//! Others are served while hogs run on every executor thread.

use pymd::backend::event_channel;
use pymd::backend::wasm::{Pace, Sandbox, SandboxConfig, SandboxError};
use pymd::domain::{CellReport, Limits, Outcome, StreamName};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{cell, limits, title};
use crate::support::sandbox::own_sandbox;

const THREADS: usize = 2;

/// What holds on to a thread, each in its own way, for as long as it may.
const HOGS: [&str; 10] = [
    "while True: pass",
    "x = 'x' * (20 << 20)\nwhile True: x.find('y')",
    "x = b'x' * (20 << 20)\nwhile True: bytearray(x)",
    "import os\nwhile True: os.write(1, b'')",
    "import os\nwhile True: os.urandom(1 << 20)",
    "import time\nwhile True: time.sleep(0)",
    "import _host\nwhile True: _host.call(b'{\"op\":\"cell\"}')",
    "import _host\nrequest = b'{\"op\":\"display\",\"data\":{\"a\":\"' + b'x' * (10 << 20)\n\
        while True:\n try: _host.call(request)\n except OSError: pass",
    "import os\nfor i in range(1000): open(f'/tmp/{i}', 'w').close()\nwhile True: os.listdir('/tmp')",
    "import re\nre.match('(a+)+$', 'a' * 50 + 'b')",
];

/// A cell that runs, and the way to end it.
pub struct Running {
    cancel: CancellationToken,
    task: JoinHandle<Result<CellReport, SandboxError>>,
}

impl Running {
    /// Starts a cell, and waits until it says so.
    pub async fn start(sandbox: &Sandbox, code: &str, limits: &Limits) -> Self {
        Self::start_at(sandbox, code, limits, Pace::default()).await
    }

    /// The same, at a pace.
    pub async fn start_at(sandbox: &Sandbox, code: &str, limits: &Limits, pace: Pace) -> Self {
        let cancel = CancellationToken::new();
        let (sender, mut events) = event_channel();
        let code = format!("print('started', flush=True)\n{code}");
        let mut kernel = sandbox.kernel().unwrap();
        kernel.set_pace(pace);
        let task = tokio::spawn(kernel.run_once(cell(code, limits), Some(sender), cancel.clone()));
        assert!(events.next().await.is_some(), "it starts");
        Self { cancel, task }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends it.
    pub async fn cancel(self) -> CellReport {
        self.cancel.cancel();
        self.end().await
    }

    /// Waits for its end.
    pub async fn end(self) -> CellReport {
        self.task.await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn small_cells_are_answered_while_hogs_hold_every_thread() {
    let sandbox = own_sandbox(SandboxConfig { threads: THREADS, ready_kernels: 2, ..SandboxConfig::default() }).await;
    for code in HOGS {
        // One more than threads, so that there is no thread without one.
        let mut hogs = Vec::new();
        for _ in 0..=THREADS {
            hogs.push(Running::start(&sandbox, code, &limits()).await);
        }
        for number in 0..10 {
            let small = cell(format!("print({number})"), &limits());
            let report = sandbox.kernel().unwrap().run_once(small, None, CancellationToken::new()).await.unwrap();
            assert_eq!(report.text(StreamName::Stdout), format!("{number}\n"));
        }
        let ended = hogs.iter().filter(|hog| hog.has_ended()).count();
        assert_eq!(ended, 0, "small cells wait until these have ended: {}", title(code));
        for hog in hogs {
            assert_eq!(hog.cancel().await.outcome, Outcome::Cancelled, "{}", title(code));
        }
    }
}

/// Sleeping takes no thread.
#[tokio::test]
async fn a_hundred_sleepers_are_nobodys_burden() {
    let sandbox = own_sandbox(SandboxConfig { threads: THREADS, ready_kernels: 2, ..SandboxConfig::default() }).await;
    let mut sleepers = Vec::new();
    for _ in 0..100 {
        sleepers.push(Running::start(&sandbox, "import time; time.sleep(10**6)", &limits()).await);
    }
    let small = cell("print(1)", &limits());
    let report = sandbox.kernel().unwrap().run_once(small, None, CancellationToken::new()).await.unwrap();
    assert_eq!(report.text(StreamName::Stdout), "1\n");
    for sleeper in sleepers {
        assert!(!sleeper.has_ended());
        assert_eq!(sleeper.cancel().await.outcome, Outcome::Cancelled);
    }
}
