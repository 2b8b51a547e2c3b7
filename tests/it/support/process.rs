//! The program itself, as a process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::cache_dir;

/// The program with this environment, and no other `PYMD_` variable than the cache directory's.
pub fn pymd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pymd"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PYMD_") {
            command.env_remove(name);
        }
    }
    command.env("PYMD_CACHE_DIR", cache_dir()).stdin(Stdio::null());
    command
}

/// A running `pymd serve`; killed when dropped.
pub struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it says to standard error: read all the time, so that it never waits for a reader.
    log: JoinHandle<String>,
    /// The line it printed.
    pub line: String,
}

impl Server {
    /// Starts a server with its data in `data_dir`, on a port that it picks, and waits for its line.
    pub fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        Self::start_as(pymd(), data_dir, arguments)
    }

    /// The same, with an environment of the caller's choice.
    pub fn start_as(mut command: Command, data_dir: &Path, arguments: &[&str]) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut log = Vec::new();
            stderr.read_to_end(&mut log).unwrap();
            String::from_utf8_lossy(&log).into_owned()
        });
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on http://127.0.0.1:"), "{line}");
        Self { child, stdout, log, line }
    }

    /// The URL before the query, and the token.
    pub fn address(&self) -> (&str, &str) {
        let url = self.line.trim_end().strip_prefix("listening on ").unwrap();
        url.split_once("/?token=").unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; the result is how it ended, and what it printed after its line and to standard error.
    pub async fn wait(mut self) -> (ExitStatus, String, String) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("the server does not end"),
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        let log = std::mem::replace(&mut self.log, std::thread::spawn(String::new)).join().unwrap();
        (status, rest, log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already, most likely.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
