//! The browser's processes, which all end together.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, Command};

use super::directory::Directory;
use super::pipe::Pipe;
use super::{PrintError, PrinterConfig};

/// The user who owns nothing, on every Linux.
const NOBODY: u32 = 65_534;
/// Of what the browser says, so much is looked at: the last of it.
const MAX_WORDS_BYTES: usize = 64 << 10;
/// What killed processes may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Runs in the browser's place first: its pipes become descriptors 3 and 4, as Chromium wants them. It is the first to
/// go when the machine is out of memory, and leaves the processor to others. `$1` is its memory in KiB.
const START: &str = "ulimit -c 0; ulimit -d \"$1\"; shift; echo 1000 2>/dev/null >/proc/self/oom_score_adj; \
                     exec nice -n 10 \"$@\" 3<&0 4>&1 </dev/null >/dev/null";

/// Nothing that a page needs, nothing that leaves the machine, nothing that stays.
const FLAGS: [&str; 25] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-startup-window",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-client-side-phishing-detection",
    "--disable-domain-reliability",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-dev-shm-usage",
    // What is said to a page over the pipe is not said to frames in processes of their own: so there are none, and no
    // frame runs a script, wherever it is.
    "--disable-features=IsolateSandboxedIframes,Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider",
    "--blink-settings=scriptEnabled=false",
    "--metrics-recording-only",
    "--mute-audio",
    "--password-store=basic",
];

/// Whom the browser runs as instead of root.
pub fn nobody() -> Option<u32> {
    geteuid().is_root().then_some(NOBODY)
}

/// A browser that runs. Dropped, it is killed, with all its processes.
pub struct Process {
    child: Child,
    group: Option<Pid>,
    pipe: Pipe,
    words: Words,
}

/// What a browser says for people to read.
pub struct Words {
    pipe: Option<ChildStderr>,
    said: Vec<u8>,
}

impl Words {
    /// Listens until nobody is left who could say something: all the browser's processes hold this pipe, and none must
    /// ever wait for a reader of it.
    pub async fn listen(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut piece).await {
            self.said.extend_from_slice(&piece[..read]);
            if self.said.len() > 2 * MAX_WORDS_BYTES {
                self.said.drain(..self.said.len() - MAX_WORDS_BYTES);
            }
        }
        self.pipe = None;
    }
}

impl Process {
    /// Starts a browser whose files are in `directory`.
    pub fn start(config: &PrinterConfig, program: &Path, directory: &Directory) -> Result<Self, PrintError> {
        let error = |source| PrintError::Io { action: "start Chromium", source };
        let home = directory.path();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", START, "sh", &(config.memory_bytes >> 10).to_string()]).arg(program).args(FLAGS);
        let mut profile = std::ffi::OsString::from("--user-data-dir=");
        profile.push(home.join("profile"));
        command.arg(profile);
        if !config.has_sandbox {
            command.arg("--no-sandbox");
        }
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8");
        command.env("HOME", home).env("TMPDIR", home).current_dir(home);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        if let Some(id) = nobody() {
            command.uid(id).gid(id);
        }
        let mut child = command.spawn().map_err(error)?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(error(std::io::Error::other("it has no pipes")));
        };
        let words = Words { pipe: child.stderr.take(), said: Vec::new() };
        Ok(Self { child, group, pipe: Pipe::new(input, output), words })
    }

    /// Where it is spoken to, and what it says besides.
    pub fn talk(&mut self) -> (&mut Pipe, &mut Words) {
        (&mut self.pipe, &mut self.words)
    }

    /// Kills all its processes, waits until they are gone, and tells what they said.
    pub async fn end(mut self) -> String {
        self.kill();
        let _ = tokio::time::timeout(GONE_WITHIN, self.words.listen()).await;
        let _ = tokio::time::timeout(GONE_WITHIN, self.child.wait()).await;
        String::from_utf8_lossy(&self.words.said).into_owned()
    }

    /// Once only: later, the number may be another's.
    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
