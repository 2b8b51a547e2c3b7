//! Servers of other make that a test process needs: they end with it, however it ends.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};

/// A server that a shell script starts. The script ends it when its standard input does, which is when this process
/// is gone.
pub(crate) struct Watched {
    _child: Child,
    _until: ChildStdin,
}

impl Watched {
    /// Runs `script`, whose first lines tell that the server is there: `announced` finds in one what the test wants to
    /// know. Panics with all that was said where it is not.
    pub(crate) fn start(mut command: Command, announced: impl Fn(&str) -> Option<String>) -> (Self, String) {
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let until = child.stdin.take().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let found = loop {
            let start = said.len();
            if lines.read_line(&mut said).unwrap() == 0 {
                panic!("{command:?} ended: {said}");
            }
            if let Some(found) = announced(said[start..].trim_end()) {
                break found;
            }
        };
        // What else it says is of no interest, but it must be able to say it.
        std::thread::spawn(move || std::io::copy(&mut lines.by_ref(), &mut std::io::sink()));
        (Self { _child: child, _until: until }, found)
    }
}
