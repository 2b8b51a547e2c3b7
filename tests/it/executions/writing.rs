//! How the history is written down: nobody waits for it, and what was answered stays.

use std::time::{Duration, Instant};

use pymd::domain::ExecutionPolicy;
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use super::{EXECUTIONS, list};
use crate::databases::TestDatabase;
use crate::support::{Answer, Server, TestApp, client};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_holds_up_no_run_and_what_does_not_fit_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pymd.db");
    let app = TestApp::builder()
        .database_url(format!("sqlite://{}", path.display()))
        .executions(ExecutionPolicy { queued_rows: 5, ..ExecutionPolicy::default() })
        .start()
        .await;
    app.execute("1").await.json();
    assert_eq!(list(&app, "").await.len(), 1);
    let mut other = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let mut recorded = Vec::new();
    let mut longest = Duration::ZERO;
    for number in 0..30 {
        let began = Instant::now();
        let report = app.execute(&format!("print({number})")).await.json();
        longest = longest.max(began.elapsed());
        assert_eq!(report["stdout"], format!("{number}\n"));
        recorded.extend(report.get("execution_id").cloned());
    }
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    let stats = app.workspace.executions().recording_stats();
    assert_eq!(stats.dropped, 30 - recorded.len() as u64);
    assert!((5..=10).contains(&recorded.len()), "{recorded:?}");
    // Also those who read do not wait for long.
    assert_eq!(app.get(EXECUTIONS).await.json()["total"], 1);
    other.execute("ROLLBACK").await.unwrap();
    app.workspace.executions().flush(Duration::from_secs(20)).await;
    let ids: Vec<_> = list(&app, "sort_order=asc").await.into_iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids[1..], recorded);
    let metrics = app.get("/metrics").await.text;
    // All tests of a process are counted together: it is that of whoever dropped most.
    assert!(metrics.contains(&format!("pymd_executions_unrecorded_total {}\n", stats.dropped)), "{metrics}");
    other.close().await.unwrap();
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_the_same_on_postgresql_and_after_a_restart() {
    let database = TestDatabase::postgres().await;
    let start = async || TestApp::builder().database_url(database.url()).start().await;
    let app = start().await;
    let mut runs = Vec::new();
    for number in 0..20 {
        runs.push(app.execute(&format!("print({number})")).await.json()["execution_id"].clone());
    }
    let body = json!({"content": "```\nprint('\\0')\n```\n"});
    let report = app.post("/api/v1/render", &body).await.json();
    runs.push(report["cells"][0]["execution_id"].clone());
    // At once: the last ones are not written yet.
    app.stop().await;
    let app = start().await;
    let ids: Vec<_> = list(&app, "sort_order=asc").await.into_iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, runs);
    let shown = app.get(&format!("{EXECUTIONS}/{}", ids[20].as_str().unwrap())).await.json();
    assert_eq!(shown["stdout"], "\0\n");
    let stats = app.get(&format!("{EXECUTIONS}/stats?group_by=kind")).await.json();
    assert_eq!(stats["stats"][1]["executions"], 20);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_writes_down_what_ran_first() {
    let directory = tempfile::tempdir().unwrap();
    let ask = async |server: &Server, method: Method, path: &str, body: Value| {
        let (url, token) = server.address();
        let request = client().request(method, format!("{url}{path}")).bearer_auth(token);
        Answer::of(request.json(&body).send().await.unwrap()).await
    };
    // The runtime is there already, or this one brings it.
    crate::support::sandbox().await;
    let arguments = ["--executions-keep-outputs-hours", "0", "--http-shutdown-grace-ms", "300"];
    let server = Server::start(directory.path(), &arguments);
    let code = json!({"code": "print(1)"});
    let first = loop {
        let answer = ask(&server, Method::POST, "/api/v1/execute", code.clone()).await;
        if answer.status == StatusCode::OK {
            break answer.json();
        }
        answer.problem(503, "preparing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let endless = json!({"code": "while True: pass"});
    let (url, token) = server.address();
    let running = client().post(format!("{url}/api/v1/execute")).bearer_auth(token).json(&endless);
    let running = tokio::spawn(running.send());
    let busy =
        async || ask(&server, Method::GET, "/metrics", json!({})).await.text.contains("pymd_executions_running 1");
    while !busy().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.signal(Signal::TERM);
    let (status, _, log) = server.wait().await;
    assert_eq!(status.code(), Some(0), "{log}");
    running.await.unwrap().ok();
    let server = Server::start(directory.path(), &arguments);
    let list = ask(&server, Method::GET, EXECUTIONS, json!({})).await.json();
    assert_eq!(list["total"], 2, "{list}");
    assert_eq!(list["executions"][0]["outcome"]["kind"], "cancelled");
    assert_eq!(list["executions"][1]["id"], first["execution_id"]);
    let path = format!("{EXECUTIONS}/{}", first["execution_id"].as_str().unwrap());
    assert_eq!(ask(&server, Method::GET, &path, json!({})).await.json()["outputs"], Value::Null);
    server.signal(Signal::TERM);
    server.wait().await;
}
