//! What `/metrics` says of cells.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Answer, Server, client};

/// A server of its own process: metrics are a process's.
struct Counted(Server);

impl Counted {
    /// One that has run one cell.
    async fn start(directory: &Path) -> Self {
        crate::support::sandbox().await;
        let this = Self(Server::start(directory, &[]));
        let deadline = Instant::now() + Duration::from_secs(30);
        while this.ask(Method::POST, "/api/v1/execute", json!({"code": "1"})).await.status != StatusCode::OK {
            assert!(Instant::now() < deadline, "the server does not become ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        this
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Answer {
        let (url, token) = self.0.address();
        let request = client().request(method, format!("{url}{path}")).bearer_auth(token);
        Answer::of(request.header("prefer", "respond-async").json(&body).send().await.unwrap()).await
    }

    async fn counts(&self, name: &str) -> f64 {
        let metrics = self.ask(Method::GET, "/metrics", json!({})).await.text;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |count| count.parse().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cells_are_counted_wherever_they_run() {
    let directory = tempfile::tempdir().unwrap();
    let server = Counted::start(directory.path()).await;
    let completed = r#"pymd_executions_total{outcome="completed"}"#;
    assert_eq!(server.counts(completed).await, 1.0);
    let fuel = server.counts("pymd_fuel_used_total").await;

    // One that nobody waits for: of a known cell nothing is counted.
    let body = json!({"content": "```\nx = 1\n```\n\n```\n1/0\n```\n"});
    for _ in 0..2 {
        let job = server.ask(Method::POST, "/api/v1/render", body.clone()).await;
        assert_eq!(job.status, StatusCode::ACCEPTED, "{}", job.text);
        let job: Value = serde_json::from_str(&job.text).unwrap();
        let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
        server.ask(Method::GET, &format!("{path}/events"), json!({})).await;
        assert_eq!(server.ask(Method::GET, &path, json!({})).await.json()["state"], "succeeded");
        assert_eq!(server.counts(completed).await, 2.0);
        assert_eq!(server.counts(r#"pymd_executions_total{outcome="python_error"}"#).await, 1.0);
    }
    let kernel = server.ask(Method::POST, "/api/v1/kernels", json!({})).await;
    let kernel: Value = serde_json::from_str(&kernel.text).unwrap();
    let path = format!("/api/v1/kernels/{}/execute", kernel["id"].as_str().unwrap());
    server.ask(Method::POST, &path, json!({"code": "1"})).await.json();
    assert_eq!(server.counts(completed).await, 3.0);
    assert_eq!(server.counts("pymd_execution_duration_seconds_count").await, 4.0);
    assert!(server.counts("pymd_fuel_used_total").await > fuel);

    // What is no cell is none that was cancelled.
    server.ask(Method::POST, "/api/v1/render/validate", json!({"content": "x"})).await.json();
    assert_eq!(server.counts(r#"pymd_executions_total{outcome="cancelled"}"#).await, 0.0);
    server.0.signal(Signal::TERM);
    server.0.wait().await;
}
