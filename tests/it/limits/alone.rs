//! Tests that count what the whole process holds: each runs in a process of its own.

use std::process::Command;

/// Set in the process that a test has to itself.
const VARIABLE: &str = "PYMD_TEST_ALONE";

/// Whether this process belongs to the test alone. If not, one that does has been started and has passed.
pub fn alone(test: &str) -> bool {
    if std::env::var_os(VARIABLE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(VARIABLE, "1");
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4_000)..]).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    assert!(stdout.contains("1 passed"), "there is no test `{test}`: {stdout}");
    false
}
