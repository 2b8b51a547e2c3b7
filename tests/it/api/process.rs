//! The program as scripts see it: lines, signals, exit codes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::browser::{can_make_user_namespaces, pdf_text, processes};
use crate::support::{Server, client, pymd, sandbox};

async fn until_ready(address: &str) {
    for _ in 0..600 {
        let health: Value = client().get(format!("{address}/health")).send().await.unwrap().json().await.unwrap();
        match health["status"].as_str() {
            Some("ok") => return,
            Some("preparing") => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => panic!("{health}"),
        }
    }
    panic!("the server does not become ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_prints_one_line_and_drains_on_a_signal() {
    sandbox().await;
    let data = TempDir::new().unwrap();
    let server = Server::start(data.path(), &[]);
    let (address, token) = server.address();
    let (address, token) = (address.to_owned(), token.to_owned());
    assert_eq!(fs::read_to_string(data.path().join("admin-token")).unwrap().trim_end(), token);
    until_ready(&address).await;

    let body = json!({"code": "import time; time.sleep(1); print('end')"});
    let request = client().post(format!("{address}/api/v1/execute")).bearer_auth(&token).json(&body);
    let running = tokio::spawn(request.send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.signal(Signal::TERM);
    let report: Value = running.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(report["stdout"], "end\n");
    let (status, rest, log) = server.wait().await;
    assert_eq!((status.code(), rest.as_str()), (Some(0), ""), "{log}");
    assert!(!log.contains(&token), "the log has no token");

    let again = Server::start(data.path(), &[]);
    assert_eq!(again.address().1, token, "the token stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    sandbox().await;
    let data = TempDir::new().unwrap();
    let server = Server::start(data.path(), &["--http-shutdown-grace-ms", "60000"]);
    let (address, token) = server.address();
    until_ready(address).await;
    let request = client().post(format!("{address}/api/v1/execute")).bearer_auth(token);
    let running = tokio::spawn(request.json(&json!({"code": "while True: pass"})).send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    server.signal(Signal::INT);
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal(Signal::INT);
    let (status, ..) = server.wait().await;
    assert_eq!(status.code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(running.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_answers_while_its_runtime_cannot_be_had() {
    let (data, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let cache = cache.path().to_str().unwrap();
    let server = Server::start(data.path(), &["--cache-dir", cache, "--index-url", "http://127.0.0.1:1/simple"]);
    let url = format!("{}/health", server.address().0);
    let health: Value = client().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(health["status"], "preparing");
    server.signal(Signal::TERM);
    let (status, ..) = server.wait().await;
    assert_eq!(status.code(), Some(0), "a preparation holds nothing back");
}

fn run(arguments: &[&str]) -> Output {
    pymd().arg("run").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_ends_with_the_codes_own_exit_code() {
    sandbox().await;
    for (arguments, code, stdout, stderr) in [
        (vec!["-c", "print(6*7)"], 0, "42\n", ""),
        (vec!["-c", "6*7"], 0, "42\n", ""),
        (vec!["-c", "-1"], 0, "-1\n", ""),
        (vec!["-c", "1/0"], 1, "", "ZeroDivisionError: division by zero"),
        (vec!["-c", "import sys; sys.exit(7)"], 7, "", ""),
        (vec!["-c", "import sys; sys.exit()"], 0, "", ""),
        (vec!["-c", "import os; os._exit(9)"], 9, "", ""),
        (vec!["-c", "import os; os.abort()"], 1, "", "crashed"),
        (vec!["-c", "while True: pass", "--fuel", "100_000_000"], 3, "", "fuel"),
        (vec!["-c", "import time; time.sleep(9)", "--timeout", "200ms"], 3, "", "200 ms"),
        (vec!["-c", "s = 'x'\nwhile True: s += s", "--memory", "100MB"], 3, "", "memory"),
        (vec!["-c", "while True: print(1)", "--output", "1KiB"], 3, "1\n1\n", "1024 bytes"),
        (vec!["-c", "1", "--memory", "1KiB"], 2, "", "limits.memory_bytes"),
        (vec!["-c", "1", "--memory", "much"], 2, "", "MiB"),
        (vec!["/no/such/file"], 2, "", "/no/such/file"),
        (vec![], 2, "", "Usage"),
        (vec!["-c", "1", "file"], 2, "", "cannot be used with"),
    ] {
        let output = run(&arguments);
        let shown = format!("{arguments:?}: {output:?}");
        assert_eq!(output.status.code(), Some(code), "{shown}");
        assert!(text(&output.stdout).starts_with(stdout) && (output.stdout.is_empty() == stdout.is_empty()), "{shown}");
        assert!(text(&output.stderr).contains(stderr) && (output.stderr.is_empty() == stderr.is_empty()), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_takes_files_standard_input_and_answers_json() {
    sandbox().await;
    let directory = TempDir::new().unwrap();
    let (code, input) = (directory.path().join("code.py"), directory.path().join("input.txt"));
    fs::write(&code, "print(input() * 2)\n6 * 7\n").unwrap();
    fs::write(&input, "ab\n").unwrap();
    let (code, input) = (code.to_str().unwrap(), input.to_str().unwrap());
    let output = run(&[code, "--stdin", input]);
    assert_eq!(text(&output.stdout), "abab\n", "a file is a script: its last value is not shown");

    let output = run(&["--json", code, "--stdin", input]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["stdout"], &report["result"]["text/plain"]), (&json!("abab\n"), &json!("42")));
    assert_eq!(text(&output.stdout).lines().count(), 1);

    let mut child = pymd().args(["run", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"print('from stdin')").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), "from stdin\n");

    let mut child = pymd().args(["run", "-c", "while True: print(1)"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let started = Instant::now();
    assert!(!child.wait().unwrap().success() && started.elapsed() < Duration::from_secs(5), "nobody listens: it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn render_writes_the_document_and_lists_what_failed() {
    sandbox().await;
    let directory = TempDir::new().unwrap();
    let (file, out) = (directory.path().join("a.md"), directory.path().join("a.html"));
    fs::write(&file, "# T\n\n```\nprint('**b**')\n```\n\n```\n1/0\n```\n\n```\nprint('after')\n```\n").unwrap();
    let (name, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let render = |arguments: &[&str]| pymd().arg("render").args(arguments).output().unwrap();

    let output = render(&[name, "-o", out]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert!(text(&output.stderr).starts_with(&format!("{name}:8: ZeroDivisionError")), "{output:?}");
    let page = fs::read_to_string(out).unwrap();
    assert!(page.contains("<html") && page.contains("<strong>b</strong>") && page.contains("after"));

    let output = render(&[name, "--fragment", "--stop-on-error"]);
    assert!(!text(&output.stdout).contains("<html") && !text(&output.stdout).contains("after"));
    assert!(!text(&output.stderr).contains("were not run"), "{output:?}");

    fs::write(&file, "```\nwhile True: pass\n```\n").unwrap();
    let output = render(&[name, "--format", "json", "--fuel", "50000000"]);
    assert_eq!(output.status.code(), Some(3));
    serde_json::from_slice::<Value>(&output.stdout).unwrap();

    fs::write(&file, "# T\n\n```\nprint('printed')\n```\n").unwrap();
    let to_pdf = |(variable, value): (&str, &str)| {
        pymd().env(variable, value).args(["render", name, "--format", "pdf", "-o", out]).output().unwrap()
    };
    let output = to_pdf(("PYMD_PDF_SANDBOX", if can_make_user_namespaces() { "true" } else { "false" }));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(pdf_text(&fs::read(out).unwrap()).contains("printed"));
    let output = to_pdf(("PYMD_PDF_CHROMIUM", "/no/such/program"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("PDF needs Chromium"), "{output:?}");

    fs::write(&file, b"\xff").unwrap();
    assert_eq!(render(&[name]).status.code(), Some(2));
    fs::write(&file, "only text").unwrap();
    assert_eq!(render(&[name, "-o", "/no/such/directory/x"]).status.code(), Some(2));
    assert_eq!(render(&[name]).status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_interrupts_a_render_to_pdf_finds_nothing_of_the_browser() {
    sandbox().await;
    let directory = TempDir::new().unwrap();
    let (temporary, program) = (directory.path().join("tmp"), directory.path().join("browser"));
    let file = directory.path().join("a.md");
    fs::create_dir(&temporary).unwrap();
    // The browser does not run as root.
    for path in [directory.path(), &temporary] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(&program, "#!/bin/sh\ntouch started\nexec sleep 1000\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&file, "text\n").unwrap();
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = pymd();
        command.args(["render", file.to_str().unwrap(), "--format", "pdf", "-o", "/dev/null"]);
        command.env("TMPDIR", &temporary).env("PYMD_PDF_CHROMIUM", &program).env("PYMD_PDF_SANDBOX", "false");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let has_started =
            || fs::read_dir(&temporary).unwrap().any(|entry| entry.unwrap().path().join("started").exists());
        for _ in 0..2000 {
            if has_started() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(has_started(), "the browser was not started");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(128 + signal.as_raw()), "{output:?}");
        assert_eq!((processes(&temporary), fs::read_dir(&temporary).unwrap().count()), (Vec::new(), 0));
        assert!(text(&output.stderr).contains("Chromium runs without its own sandbox"), "{output:?}");
    }
}
