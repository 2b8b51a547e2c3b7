//! Installations that are killed: whatever they were doing, the next one finds nothing in its way.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use super::wheel;
use crate::packages::fake_index::{Beside, FakeIndex, File, Style};
use crate::support::{cache_dir, pymd, sandbox};

/// `pymd env` over an index, with a cache of its own but for the runtime.
fn env(directory: &Path, index: &FakeIndex, arguments: &[&str]) -> Command {
    let mut command = pymd();
    command.args(["env", "--index-url", index.url().as_str(), "--data-dir"]).arg(directory.join("data"));
    command.arg("--cache-dir").arg(directory.join("cache")).args(arguments);
    command
}

fn output(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_installation_leaves_the_old_or_the_new_and_can_be_repeated() {
    // Compiled and cached by then.
    sandbox().await;
    let index = FakeIndex::start().await;
    for (name, requires) in [("left", vec!["right"]), ("right", vec![])] {
        let built = wheel(name, "1.0", &requires);
        let file = File::new(&built.filename(), wheel(name, "1.0", &requires).build()).beside(Beside::Absent);
        index.publish(name, Style::Json, &[file]);
    }
    for stage in ["looking for", "2 packages", "downloading", "unpacking", "compiling to bytecode: 0", "importing"] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("cache")).unwrap();
        symlink(cache_dir().join("runtimes"), directory.path().join("cache/runtimes")).unwrap();
        output(env(directory.path(), &index, &["create", "e"]));
        let mut child = env(directory.path(), &index, &["install", "e", "left"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let reached = lines.map_while(Result::ok).any(|line| line.starts_with(stage));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(reached, "{stage}");

        let shown = output(env(directory.path(), &index, &["show", "e"]));
        let packages = shown.lines().filter(|line| line.contains("1.0 ")).count();
        assert!(packages == 0 || packages == 2, "{stage}: {shown}");
        output(env(directory.path(), &index, &["install", "e", "left"]));
        let shown = output(env(directory.path(), &index, &["show", "e"]));
        assert!(shown.contains("* left") && shown.contains("  right"), "{stage}: {shown}");
        assert!(shown.contains("imported beforehand: left"), "{stage}: {shown}");
    }
}
