//! The history of what ran, over REST.

mod counting;
mod retention;
mod writing;

use std::time::Duration;

use futures::StreamExt as _;
use pymd::domain::{Execution, ExecutionId, ExecutionKind};
use pymd::store::NewExecution;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::support::{Answer, TestApp};

const EXECUTIONS: &str = "/api/v1/executions";

async fn list(app: &TestApp, query: &str) -> Vec<Value> {
    let list = app.get(&format!("{EXECUTIONS}?page_size=100&{query}")).await.json();
    let executions = list["executions"].as_array().unwrap().clone();
    assert_eq!(list["total"].as_u64(), Some(executions.len() as u64), "{list}");
    executions
}

fn kinds(executions: &[Value]) -> Vec<&str> {
    executions.iter().map(|execution| execution["outcome"]["kind"].as_str().unwrap()).collect()
}

async fn created(app: &TestApp, path: &str, body: Value) -> Value {
    let answer = app.post(path, &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_runs_is_in_the_history_when_it_is_answered() {
    let app = TestApp::start().await;
    let report = app.execute("import sys\nprint('out')\nprint('err', file=sys.stderr)\n6*7").await.json();
    let id = report["execution_id"].as_str().unwrap();
    let shown = app.get(&format!("{EXECUTIONS}/{id}")).await.json();
    assert_eq!((shown["kind"].as_str(), &shown["outcome"]), (Some("execute"), &json!({"kind": "completed"})));
    for same in ["stdout", "stderr", "outputs", "fuel_used", "wall_ms", "peak_memory_bytes", "output_bytes"] {
        assert_eq!(shown[same], report[same], "{same}");
    }
    assert_eq!((shown["outputs_truncated"].as_bool(), shown["backend"].as_str()), (Some(false), Some("wasm")));
    assert_eq!((&shown["document_id"], &shown["kernel_id"]), (&Value::Null, &Value::Null));
    assert!(shown["code"].as_str().unwrap().starts_with("import sys"));
    let environments = app.get("/api/v1/environments").await.json();
    assert_eq!(shown["environment_id"], environments["environments"][0]["id"]);
    assert!(shown["started_at"].as_str().unwrap() <= shown["completed_at"].as_str().unwrap());

    let failed = app.execute("1/0").await.json();
    let limited = json!({"code": "while True: pass", "limits": {"fuel": 100_000_000}});
    app.post("/api/v1/execute", &limited).await.json();
    app.post("/api/v1/execute", &json!({"code": "1", "limits": {"fuel": 0}})).await.problem(422, "invalid_request");
    let executions = list(&app, "").await;
    assert_eq!(kinds(&executions), ["out_of_fuel", "python_error", "completed"]);
    assert!(executions[0]["fuel_used"].as_u64().unwrap() >= 100_000_000, "{executions:?}");
    assert_eq!(executions[1]["id"], failed["execution_id"]);
    assert_eq!(executions[1]["outcome"]["ename"], "ZeroDivisionError");
    assert_eq!(executions[1].get("outputs"), None, "a list is without them");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_document_only_the_cells_that_ran_are() {
    let app = TestApp::start().await;
    let content =
        "```\n#| label: first\nx = 20\n```\n\n```\n#| eval: false\nx = 1\n```\n\n```\nprint('sum', x + 1)\n```\n";
    let made = created(&app, "/api/v1/documents", json!({"title": "t", "content": content})).await;
    let (id, path) = (made["id"].as_str().unwrap(), format!("/api/v1/documents/{}", made["id"].as_str().unwrap()));
    let render = async || app.get(&format!("/api/v1/render/documents/{id}")).await.json();
    let report = render().await;
    let of_document = format!("document_id={id}&sort_order=asc");
    let ran = list(&app, &of_document).await;
    let fields = |execution: &Value| {
        json!([execution["id"], execution["cell_index"], execution["cell_label"], execution["cell_name"]])
    };
    assert_eq!(fields(&ran[0]), json!([report["cells"][0]["execution_id"], 0, "first", "cell 1"]));
    assert_eq!(fields(&ran[1]), json!([report["cells"][2]["execution_id"], 2, null, "cell 3"]));
    assert_eq!((ran.len(), report["cells"][1].get("execution_id")), (2, None));
    assert!(ran.iter().all(|one| one["kind"] == "render" && one["environment_id"].is_string()), "{ran:?}");
    let shown = app.get(&format!("{EXECUTIONS}/{}", ran[1]["id"].as_str().unwrap())).await.json();
    assert_eq!(shown["stdout"], "sum 21\n");

    // Nothing runs; then one cell does, and with it a cell of which it is said when it ran.
    let again = render().await;
    assert!(again["cells"].as_array().unwrap().iter().all(|cell| cell.get("execution_id").is_none()), "{again}");
    assert_eq!(list(&app, &of_document).await.len(), 2);
    let edited = json!({"content": content.replace("x + 1", "x + 2")});
    app.ask(Method::PATCH, &path, Some(edited)).await.json();
    render().await;
    assert_eq!(list(&app, &of_document).await.len(), 3);
    // A document that is not stored.
    app.post("/api/v1/render", &json!({"content": "```\n1\n```\n"})).await.json();
    let all = list(&app, "kind=render").await;
    assert_eq!((all.len(), &all[0]["document_id"]), (4, &Value::Null));
    // It has outlived its document.
    app.ask(Method::DELETE, &format!("{path}?permanently=true"), None).await;
    assert_eq!(list(&app, &of_document).await.len(), 3);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cells_of_a_kernel_are_with_those_that_were_undone() {
    let app = TestApp::start().await;
    let kernel = created(&app, "/api/v1/kernels", json!({})).await;
    let id = kernel["id"].as_str().unwrap();
    let path = format!("/api/v1/kernels/{id}/execute");
    let first = app.post(&path, &json!({"code": "x = 1"})).await.json();
    let body = json!({"code": "while True: pass", "limits": {"wall_ms": 100}});
    app.post(&path, &body).await.json();
    let stream = async || {
        let request = app.request(Method::POST, &path).header(header::ACCEPT, "text/event-stream");
        let request = request.json(&json!({"code": "print('begun')\nwhile True: pass"}));
        let mut events = request.send().await.unwrap().bytes_stream();
        let mut text = String::new();
        while !text.contains("begun") {
            text.push_str(std::str::from_utf8(&events.next().await.unwrap().unwrap()).unwrap());
        }
        events
    };
    let mut events = stream().await;
    app.post(&format!("/api/v1/kernels/{id}/interrupt"), &json!({})).await.json();
    while events.next().await.is_some() {}
    // This one hangs up; the next cell waits until it has ended.
    drop(stream().await);
    app.post(&path, &json!({"code": "x"})).await.json();
    app.post(&format!("/api/v1/kernels/{id}/complete"), &json!({"code": "x", "cursor": 1})).await.json();
    let ran = list(&app, &format!("kernel_id={id}&sort_order=asc")).await;
    assert_eq!(kinds(&ran), ["completed", "deadline_exceeded", "cancelled", "cancelled", "completed"]);
    assert_eq!((&ran[0]["id"], &ran[0]["environment_id"]), (&first["execution_id"], &kernel["environment_id"]));
    let indices: Vec<_> = ran.iter().map(|one| one["cell_index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 1, 1, 1, 1], "those that were undone left no mark");
    let shown = app.get(&format!("{EXECUTIONS}/{}", ran[2]["id"].as_str().unwrap())).await.json();
    assert_eq!(shown["stdout"], "begun\n");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_nobody_waits_for_any_more_is_cancelled() {
    let app = TestApp::start().await;
    for path in ["/api/v1/execute", "/api/v1/render"] {
        let code = "print('begun', flush=True)\nwhile True: pass";
        let body = json!({"code": code});
        let body = if path.ends_with("render") { json!({"content": format!("```\n{code}\n```\n")}) } else { body };
        let mut events = app.stream(path, &body).await.bytes_stream();
        let mut text = String::new();
        while !text.contains("begun") {
            text.push_str(std::str::from_utf8(&events.next().await.unwrap().unwrap()).unwrap());
        }
        drop(events);
        app.until_running(0).await;
    }
    let ran = list(&app, "outcome=cancelled").await;
    assert_eq!((ran.len(), ran[0]["kind"].as_str(), ran[1]["kind"].as_str()), (2, Some("render"), Some("execute")));
    let shown = app.get(&format!("{EXECUTIONS}/{}", ran[0]["id"].as_str().unwrap())).await.json();
    assert_eq!((&shown["outputs"], &shown["stdout"]), (&Value::Null, &Value::Null));
    assert!(shown["wall_ms"].as_f64().unwrap() > 0.0, "{shown}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_in_pages_and_counted() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        app.execute("print(1)").await.json();
    }
    let since = jiff::Timestamp::now();
    app.execute("1/0").await.json();
    app.post("/api/v1/render", &json!({"content": "```\n1\n```\n\n```\n2\n```\n"})).await.json();
    for (query, count) in [
        ("kind=execute", 4),
        ("outcome=python_error", 1),
        ("kind=execute&outcome=completed", 3),
        (&*format!("since={since}"), 3),
        (&*format!("until={since}"), 3),
        ("kind=kernel", 0),
        ("environment_id=01890a5d-ac96-774b-bcce-b302099a8057", 0),
    ] {
        assert_eq!(list(&app, query).await.len(), count, "{query}");
    }
    let page = app.get(&format!("{EXECUTIONS}?page=2&page_size=4")).await.json();
    assert_eq!((page["total"].as_u64(), page["has_more"].as_bool()), (Some(6), Some(false)));
    assert_eq!(page["executions"].as_array().unwrap().len(), 2);
    let stats = app.get(&format!("{EXECUTIONS}/stats?group_by=kind")).await.json();
    assert_eq!((stats["group_by"].as_str(), stats["total"].as_u64()), (Some("kind"), Some(2)));
    assert_eq!((&stats["stats"][0]["group"], &stats["stats"][0]["executions"]), (&json!("render"), &json!(2)));
    assert_eq!(stats["stats"][1]["outcomes"], json!({"completed": 3, "python_error": 1}));
    for by in ["document", "environment", "day"] {
        let stats = app.get(&format!("{EXECUTIONS}/stats?group_by={by}&outcome=completed")).await.json();
        assert_eq!((stats["total"].as_u64(), stats["stats"][0]["executions"].as_u64()), (Some(1), Some(5)), "{by}");
        assert_eq!(stats["stats"][0]["group"].is_null(), by == "document");
    }
    for query in ["page=0", "page_size=101", "kind=job", "outcome=ok", "since=today", "environment=x", "kernel_id=1"] {
        app.get(&format!("{EXECUTIONS}?{query}")).await.problem(422, "invalid_request");
    }
    app.get(&format!("{EXECUTIONS}/stats?group_by=user")).await.problem(422, "invalid_request");
    app.get(&format!("{EXECUTIONS}/stats?sort_order=asc")).await.problem(422, "invalid_request");
    app.get(&format!("{EXECUTIONS}/nothing")).await.problem(404, "not_found");

    let gone = app.ask(Method::DELETE, &format!("{EXECUTIONS}?kind=render"), None).await.json();
    assert_eq!(gone, json!({"deleted": 2}));
    let id = list(&app, "").await[0]["id"].as_str().unwrap().to_owned();
    let path = format!("{EXECUTIONS}/{id}");
    assert_eq!(app.ask(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    app.ask(Method::DELETE, &path, None).await.problem(404, "not_found");
    app.ask(Method::DELETE, &format!("{EXECUTIONS}?kid=render"), None).await.problem(422, "invalid_request");
    assert_eq!(app.ask(Method::DELETE, EXECUTIONS, None).await.json(), json!({"deleted": 3}));
    assert_eq!(list(&app, "").await, Vec::<Value>::new());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_those_go_that_the_filter_lets_through() {
    let app = TestApp::start().await;
    app.execute("1").await.json();
    let id = list(&app, "").await[0]["id"].as_str().unwrap().parse().unwrap();
    let me = app.get("/api/v1/auth/me").await.json()["id"].as_str().unwrap().parse().unwrap();
    let (first, _) = app.workspace.database().execution(me, id).await.unwrap();
    let old = first.started_at - Duration::from_secs(60);
    let rows = (0..3_600_u64).map(|number| NewExecution {
        execution: Execution {
            id: ExecutionId::new(),
            kind: if number % 2 == 0 { ExecutionKind::Render } else { ExecutionKind::Kernel },
            // More than are looked at together began at one time.
            started_at: old + Duration::from_millis(if number < 2_400 { 0 } else { number }),
            ..first.clone()
        },
        outputs: None,
    });
    app.workspace.database().record_executions(&rows.collect::<Vec<_>>()).await.unwrap();
    let total = async |query: &str| app.get(&format!("{EXECUTIONS}?{query}")).await.json()["total"].clone();
    let deleted = app.ask(Method::DELETE, &format!("{EXECUTIONS}?kind=kernel"), None).await.json();
    assert_eq!((&deleted["deleted"], total("").await), (&json!(1_800), json!(1_801)));
    assert_eq!(total("kind=render").await, json!(1_800));
    let until = format!("{EXECUTIONS}?until={}", old + Duration::from_millis(3_000));
    assert_eq!(app.ask(Method::DELETE, &until, None).await.json()["deleted"], 1_500);
    assert_eq!(total("").await, json!(301));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_does_not_delete_all_the_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pymd.db");
    let app = TestApp::builder().database_url(format!("sqlite://{}", path.display())).start().await;
    app.execute("1").await.json();
    assert_eq!(list(&app, "").await.len(), 1);
    let mut other = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let ask = || Box::pin(app.ask(Method::DELETE, EXECUTIONS, None));
    let (refused, _, others) = futures::future::select_all([ask(), ask(), ask()]).await;
    refused.problem(429, "too_many");
    other.execute("ROLLBACK").await.unwrap();
    let others = futures::future::join_all(others).await;
    let deleted: Vec<_> = others.iter().map(|answer| answer.json()["deleted"].as_u64().unwrap()).collect();
    assert_eq!(deleted.iter().sum::<u64>(), 1, "{deleted:?}");
    app.ask(Method::DELETE, EXECUTIONS, None).await.json();
    other.close().await.unwrap();
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_finds_nothing_of_it() {
    let app = TestApp::start().await;
    let report = app.execute("secret = 1").await.json();
    let user = created(&app, "/api/v1/admin/users", json!({"name": "somebody"})).await;
    let ask = async |method: Method, path: &str| {
        let request = app.anonymous(method, path).bearer_auth(user["key"].as_str().unwrap());
        Answer::of(request.send().await.unwrap()).await
    };
    let path = format!("{EXECUTIONS}/{}", report["execution_id"].as_str().unwrap());
    ask(Method::GET, &path).await.problem(404, "not_found");
    ask(Method::DELETE, &path).await.problem(404, "not_found");
    assert_eq!(ask(Method::GET, EXECUTIONS).await.json()["total"], 0);
    assert_eq!(ask(Method::GET, &format!("{EXECUTIONS}/stats?group_by=day")).await.json()["total"], 0);
    assert_eq!(ask(Method::DELETE, EXECUTIONS).await.json()["deleted"], 0);
    for (method, path) in [(Method::GET, EXECUTIONS), (Method::GET, &*path), (Method::DELETE, EXECUTIONS)] {
        let answer = Answer::of(app.anonymous(method, path).send().await.unwrap()).await;
        answer.problem(401, "unauthorized");
    }
    app.get(&path).await.json();
    app.stop().await;
}
