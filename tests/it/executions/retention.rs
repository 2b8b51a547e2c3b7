//! How much history is kept, and for how long.

use std::time::Duration;

use jiff::Timestamp;
use pymd::domain::ExecutionPolicy;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{EXECUTIONS, list};
use crate::databases::TestDatabase;
use crate::support::TestApp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn started(config: ExecutionPolicy) -> TestApp {
    TestApp::builder().executions(config).start().await
}

async fn ran(app: &TestApp, code: &str) -> Value {
    let report = app.execute(code).await.json();
    app.get(&format!("{EXECUTIONS}/{}", report["execution_id"].as_str().unwrap())).await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_go_first_and_then_the_rest() {
    let app = started(ExecutionPolicy::default()).await;
    let shown = ran(&app, "print('text')").await;
    let path = format!("{EXECUTIONS}/{}", shown["id"].as_str().unwrap());
    let sweep = async |after: Duration| {
        app.workspace.executions().sweep(Timestamp::now() + after).await.unwrap();
    };
    sweep(7 * DAY - Duration::from_secs(60)).await;
    assert_eq!(app.get(&path).await.json()["stdout"], "text\n");
    sweep(7 * DAY + Duration::from_secs(60)).await;
    let left = app.get(&path).await.json();
    assert_eq!(
        (&left["outputs"], &left["stdout"], &left["fuel_used"]),
        (&Value::Null, &Value::Null, &shown["fuel_used"])
    );
    sweep(90 * DAY - Duration::from_secs(60)).await;
    app.get(&path).await.json();
    sweep(90 * DAY + Duration::from_secs(60)).await;
    app.get(&path).await.problem(404, "not_found");
    // All of it together, as the server does it.
    app.workspace.sweep().await.unwrap();
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_that_are_too_old_are_not_shown_before_they_are_swept_up() {
    let app = started(ExecutionPolicy { keep_outputs: Duration::from_nanos(1), ..ExecutionPolicy::default() }).await;
    let shown = ran(&app, "print('text')").await;
    assert_eq!((&shown["outputs"], &shown["outputs_truncated"]), (&Value::Null, &json!(false)));
    app.stop().await;
    let app = started(ExecutionPolicy { keep_outputs: Duration::ZERO, ..ExecutionPolicy::default() }).await;
    assert_eq!(ran(&app, "print('text')").await["outputs"], Value::Null);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_long_outputs_the_beginning_is_kept() {
    let app = started(ExecutionPolicy { output_bytes: 300, ..ExecutionPolicy::default() }).await;
    let shown = ran(&app, "print('\u{e9}\\0\"' * 1000)").await;
    let stdout = shown["stdout"].as_str().unwrap();
    assert!("\u{e9}\0\"".repeat(1000).starts_with(stdout) && (50..120).contains(&stdout.len()), "{shown}");
    assert_eq!(shown["outputs_truncated"], true);
    let code = "from IPython.display import display, HTML\nprint('first')\ndisplay(HTML('x' * 1000))\nprint('last')";
    let shown = ran(&app, code).await;
    let outputs = shown["outputs"].as_array().unwrap();
    assert_eq!(
        (outputs.len(), shown["stdout"].as_str(), &shown["outputs_truncated"]),
        (1, Some("first\n"), &json!(true))
    );
    let shown = ran(&app, "print('short')").await;
    assert_eq!((shown["stdout"].as_str(), &shown["outputs_truncated"]), (Some("short\n"), &json!(false)));
    let shown = ran(&app, "x = 1").await;
    assert_eq!((&shown["outputs"], &shown["stdout"]), (&json!([]), &json!("")));
    let shown = ran(&app, "raise type('E' * 100_000, (Exception,), {})('x' * 100_000)").await;
    assert_eq!(shown["outcome"]["ename"].as_str().unwrap().len(), 200);
    assert_eq!((&shown["outputs"], &shown["outputs_truncated"]), (&json!([]), &json!(true)));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_user_so_much_is_kept() {
    let config = ExecutionPolicy { user_rows: 5, user_output_bytes: 200, ..ExecutionPolicy::default() };
    let app = started(config).await;
    let mut ids = Vec::new();
    for number in 0..8 {
        let report = app.execute(&format!("print({number})")).await.json();
        ids.push(report["execution_id"].clone());
    }
    assert_eq!(list(&app, "").await.len(), 8);
    app.workspace.executions().sweep(Timestamp::now()).await.unwrap();
    let left: Vec<_> = list(&app, "sort_order=asc").await.into_iter().map(|one| one["id"].clone()).collect();
    assert_eq!(left, ids[3..]);
    let mut kept = Vec::new();
    for id in &left {
        let shown = app.get(&format!("{EXECUTIONS}/{}", id.as_str().unwrap())).await.json();
        kept.push(!shown["outputs"].is_null());
    }
    // Each takes 50 bytes.
    assert_eq!(kept, [false, true, true, true, true]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_runs_much_is_cut_to_size_without_the_sweeper_and_nobody_waits_for_it() {
    let database = TestDatabase::postgres().await;
    let config = ExecutionPolicy { user_rows: 100, ..ExecutionPolicy::default() };
    let app = TestApp::builder().database_url(database.url()).executions(config).start().await;
    let eldest = app.execute("'the eldest'").await.json();
    let flush = async || app.workspace.executions().flush(Duration::from_secs(20)).await;
    flush().await;
    // What is to go can't go yet.
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    let lock = "BEGIN; SELECT id FROM executions FOR UPDATE";
    other.execute(lock).await.unwrap();
    // Of a document of 1000 cells; the limit of a user is looked at after so many.
    let content = "```\n1\n```\n\n".repeat(1000);
    let report = app.post("/api/v1/render", &json!({"content": content, "limits": {"wall_ms": 20_000}})).await.json();
    assert_eq!(report["cells"].as_array().unwrap().len(), 1000);
    tokio::time::timeout(Duration::from_secs(15), flush()).await.unwrap();
    assert_eq!(app.get(EXECUTIONS).await.json()["total"], 1001);
    other.execute("ROLLBACK").await.unwrap();
    other.close().await.unwrap();
    // These are written when it is done.
    app.execute("print('the last')").await.json();
    flush().await;
    let list = app.get(EXECUTIONS).await.json();
    assert_eq!(list["total"], 101);
    assert_eq!(list["executions"][0]["code"], "print('the last')");
    app.get(&format!("{EXECUTIONS}/{}", eldest["execution_id"].as_str().unwrap())).await.problem(404, "not_found");
    app.stop().await;
}
