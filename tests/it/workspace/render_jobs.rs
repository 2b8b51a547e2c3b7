//! Renders as jobs, over REST.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use pymd::domain::JobPolicy;
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::stored;
use crate::databases::TestDatabase;
use crate::support::{Answer, Server, TestApp, client};

const CHAIN: &str = "```\nx = 20\nprint('first')\n```\n\ntext\n\n```\nprint('sum', x + 1)\n```\n";

/// A job's path.
fn path(job: &Value) -> String {
    format!("/api/v1/jobs/{}", job["id"].as_str().unwrap())
}

async fn later(app: &TestApp, method: Method, path: &str, body: Option<Value>) -> Value {
    let mut request = app.request(method, path).header("prefer", "respond-async");
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = Answer::of(request.send().await.unwrap()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(answer.header("preference-applied"), "respond-async");
    let job: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!((answer.header("location"), job["kind"].as_str()), (self::path(&job).as_str(), Some("render")));
    job
}

/// The events of a job, as its stream tells them to the end.
async fn told(app: &TestApp, job: &Value) -> Vec<Value> {
    let stream = app.request(Method::GET, &format!("{}/events", path(job))).send().await.unwrap();
    let text = stream.text().await.unwrap();
    assert!(text.contains("event: done"), "{text}");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let told: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    told.into_iter().filter_map(|told| told.get("event").cloned()).collect()
}

/// Reads the events of a job until one has this in it.
async fn until(app: &TestApp, job: &Value, words: &str) {
    let stream = app.request(Method::GET, &format!("{}/events", path(job))).send().await.unwrap();
    let (mut stream, mut text) = (stream.bytes_stream(), String::new());
    while !text.contains(words) {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
}

/// How many objects jobs have.
fn objects(app: &TestApp) -> usize {
    let Ok(users) = std::fs::read_dir(app.data_dir.path().join("objects/jobs")) else { return 0 };
    users.map(|user| std::fs::read_dir(user.unwrap().path()).unwrap().count()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_render_as_a_job_tells_of_its_cells_and_has_the_same_result() {
    let app = TestApp::start().await;
    let request = json!({"content": CHAIN, "format": "markdown"});
    let job = later(&app, Method::POST, "/api/v1/render", Some(request.clone())).await;
    let events = told(&app, &job).await;
    let names: Vec<_> = events.iter().map(|event| (event["event"].as_str().unwrap(), event["cell"].as_u64())).collect();
    let expected = [
        ("begin", None),
        ("cell_started", Some(0)),
        ("output", Some(0)),
        ("cell", Some(0)),
        ("cell_started", Some(1)),
        ("output", Some(1)),
        ("cell", Some(1)),
    ];
    assert_eq!(names, expected, "{events:?}");
    assert_eq!(events[5]["output"], json!({"type": "stream", "name": "stdout", "text": "sum 21\n"}));
    assert_eq!((&events[6]["outcome"]["kind"], &events[6]["status"]), (&json!("completed"), &json!("executed")));

    let done = app.get(&path(&job)).await.json();
    assert_eq!(done["state"], "succeeded", "{done}");
    let result = app.get(&format!("{}/result", path(&job))).await.json();
    assert_eq!(result, done["result"]);
    let direct = app.post("/api/v1/render", &request).await.json();
    assert_eq!((&result["rendered"], &result["cell_count"]), (&direct["rendered"], &direct["cell_count"]));
    assert_eq!(direct["cached"], true, "the job has kept what it found out");
    let again = later(&app, Method::POST, "/api/v1/render", Some(request)).await;
    let events = told(&app, &again).await;
    assert!(!events.iter().any(|event| event["event"] == "cell_started"), "{events:?}");
    assert_eq!(events.iter().filter(|event| event["status"] == "cached").count(), 2);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_texts_and_results_are_kept_beside_the_rows() {
    let app = TestApp::start().await;
    let prose = "word ".repeat(20_000);
    let content = format!("{prose}\n\n```\nprint('x' * 200_000)\n```\n");
    let job = later(&app, Method::POST, "/api/v1/render", Some(json!({"content": content}))).await;
    assert_eq!(job["request"]["text"]["content"], "", "it is an object");
    let events = told(&app, &job).await;
    assert!(events.iter().any(|event| event["event"] == "left_out" && event["cell"] == 0), "{events:?}");
    let done = app.get(&path(&job)).await.json();
    assert_eq!(done["result"]["href"], format!("{}/result", path(&job)), "{done}");
    assert_eq!(done["result"]["rendered"], Value::Null);
    let answer = app.get(&format!("{}/result", path(&job))).await;
    assert_eq!(answer.text.len() as u64, done["result"]["size_bytes"].as_u64().unwrap());
    let rendered = answer.json()["rendered"].as_str().unwrap().to_owned();
    assert!(rendered.contains(&"x".repeat(1000)) && rendered.contains("word word"));

    // What it was to render is let go; what came of it is held.
    assert_eq!(objects(&app), 2);
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    app.workspace.sweep_documents(later).await.unwrap();
    assert_eq!(objects(&app), 1);
    assert_eq!(app.get(&format!("{}/result", path(&job))).await.text, answer.text);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_are_refused_or_cancelled_leave_no_objects() {
    // Nobody takes them out of the queue.
    let app = TestApp::builder().preparing().start().await;
    let long = json!({"content": "word ".repeat(5_000)});
    let mut jobs = Vec::new();
    for _ in 0..30 {
        jobs.push(later(&app, Method::POST, "/api/v1/render", Some(long.clone())).await);
    }
    assert_eq!(objects(&app), 30);
    // Some pass the first look together.
    let ask = || app.request(Method::POST, "/api/v1/render").header("prefer", "respond-async").json(&long).send();
    let answers = futures::future::join_all((0..8).map(|_| ask())).await;
    let accepted = answers.into_iter().filter(|answer| answer.as_ref().unwrap().status() == StatusCode::ACCEPTED);
    assert_eq!((accepted.count(), objects(&app)), (2, 32));
    Answer::of(ask().await.unwrap()).await.problem(429, "too_many");
    assert_eq!(objects(&app), 32);
    for (number, job) in jobs.iter().enumerate() {
        let cancelled = app.ask(Method::POST, &format!("{}/cancel", path(job)), None).await.json();
        assert_eq!((cancelled["state"].as_str(), objects(&app)), (Some("cancelled"), 31 - number));
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_document_is_rendered_as_it_was_when_the_job_was_made() {
    let app = TestApp::builder().jobs(JobPolicy { renders: 1, ..JobPolicy::default() }).start().await;
    let id = stored(&app, "Files", "```\nprint(open('a.csv').read())\n```\n").await;
    let file = format!("/api/v1/documents/{id}/files/a.csv");
    let put = async |content: &'static str| app.request(Method::PUT, &file).body(content).send().await.unwrap();
    assert_eq!(put("old file").await.status(), StatusCode::OK);
    // The only room is taken: the job waits.
    let busy = json!({"content": "```\nprint('runs', flush=True)\nwhile True: pass\n```\n"});
    let busy = later(&app, Method::POST, "/api/v1/render", Some(busy)).await;
    until(&app, &busy, "runs").await;
    let document = format!("/api/v1/render/documents/{id}?fresh=true");
    let job = later(&app, Method::GET, &document, None).await;
    assert_eq!(job["state"], "queued");
    app.get(&format!("{}/result", path(&job))).await.problem(409, "conflict");
    let change = json!({"content": "```\nprint('new text')\n```\n"});
    app.ask(Method::PATCH, &format!("/api/v1/documents/{id}"), Some(change)).await.json();
    assert_eq!(app.ask(Method::DELETE, &file, None).await.status, StatusCode::NO_CONTENT);
    let hours = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    app.workspace.sweep_documents(hours).await.unwrap();
    // One that is deleted by then can't be rendered.
    let gone = stored(&app, "Gone", "text").await;
    let lost = later(&app, Method::GET, &format!("/api/v1/render/documents/{gone}"), None).await;
    app.ask(Method::DELETE, &format!("/api/v1/documents/{gone}?permanently=true"), None).await;
    app.ask(Method::POST, &format!("{}/cancel", path(&busy)), None).await.json();
    told(&app, &lost).await;
    let lost = app.get(&path(&lost)).await.json();
    assert_eq!((&lost["state"], &lost["error"]), (&json!("failed"), &json!("there is no such document")));
    told(&app, &job).await;
    let result = app.get(&format!("{}/result", path(&job))).await.json();
    assert!(result["rendered"].as_str().unwrap().contains("old file"), "{result}");
    assert_eq!(app.get(&path(&busy)).await.json()["state"], "cancelled");
    app.get(&format!("{}/result", path(&busy))).await.problem(409, "conflict");
    app.workspace.sweep_documents(hours).await.unwrap();
    assert!(
        !app.data_dir.path().join("objects/files").exists() || {
            let users = std::fs::read_dir(app.data_dir.path().join("objects/files")).unwrap();
            users.flat_map(|user| std::fs::read_dir(user.unwrap().path()).unwrap()).count() == 0
        }
    );
    // By `POST`, too; and of nothing nothing.
    let job = later(&app, Method::POST, &format!("/api/v1/render/documents/{id}"), None).await;
    told(&app, &job).await;
    assert!(app.get(&path(&job)).await.json()["result"]["rendered"].as_str().unwrap().contains("new text"));
    let nobodys = "/api/v1/render/documents/01890a5d-ac96-774b-bcce-b302099a8057";
    let answer = app.request(Method::POST, nobodys).header("prefer", "respond-async").send().await.unwrap();
    Answer::of(answer).await.problem(404, "not_found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_without_a_database_throws_no_finished_render_away() {
    let at = TestDatabase::postgres().await;
    let app = TestApp::builder().database_url(at.url()).start().await;
    let mut other = PgConnection::connect(at.url()).await.unwrap();
    // Sequences go on though the transaction does not.
    for (table, condition) in [("job_events", "NEW.seq = 1"), ("job_objects", "NEW.role = 'result'")] {
        let spoil = format!(
            "CREATE SEQUENCE tries_{table};
            CREATE FUNCTION spoil_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF {condition} AND nextval('tries_{table}') <= 3 THEN
                    RAISE EXCEPTION 'not now' USING ERRCODE = '57P03';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER spoil BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION spoil_{table}();"
        );
        other.execute(sqlx::AssertSqlSafe(spoil)).await.unwrap();
    }
    let content = "```\nprint('x' * 200_000)\n```\n";
    let job = later(&app, Method::POST, "/api/v1/render", Some(json!({"content": content}))).await;
    let events = told(&app, &job).await;
    assert_eq!(events.iter().filter(|event| event["event"] == "begin").count(), 1, "{events:?}");
    let done = app.get(&path(&job)).await.json();
    assert_eq!(done["state"], "succeeded", "{done}");
    let rendered = app.get(&format!("{}/result", path(&job))).await.json()["rendered"].as_str().unwrap().to_owned();
    assert!(rendered.contains(&"x".repeat(1000)));
    for table in ["job_events", "job_objects"] {
        let tries = sqlx::AssertSqlSafe(format!("SELECT last_value FROM tries_{table}"));
        assert!(sqlx::query_scalar::<_, i64>(tries).fetch_one(&mut other).await.unwrap() > 3, "{table}");
    }
    other.close().await.unwrap();
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_render_ends_its_cell() {
    let app = TestApp::start().await;
    let content = "```\nprint('runs', flush=True)\nwhile True: pass\n```\n";
    let job = later(&app, Method::POST, "/api/v1/render", Some(json!({"content": content}))).await;
    until(&app, &job, "runs").await;
    let asked = app.ask(Method::POST, &format!("{}/cancel", path(&job)), None).await.json();
    assert_eq!(asked["cancel_requested"], true);
    told(&app, &job).await;
    assert_eq!(app.get(&path(&job)).await.json()["state"], "cancelled");
    app.until_running(0).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tells_much_is_cut_short_and_ends_all_the_same() {
    let app = TestApp::start().await;
    let cells = (0..40).map(|n| format!("```\nfor i in range(30): print('{n}', 'x' * 800)\n```\n\n"));
    let content: String = cells.collect();
    let job = later(&app, Method::POST, "/api/v1/render", Some(json!({"content": content}))).await;
    let events = told(&app, &job).await;
    let bytes: usize = events.iter().map(|event| event.to_string().len()).sum();
    assert!(bytes < 400 << 10, "{bytes}");
    assert!(events.iter().any(|event| event["event"] == "left_out"), "{}", events.len());
    assert_eq!(events.last().unwrap()["event"], "cell", "its last word is the end of a cell");
    assert_eq!(app.get(&path(&job)).await.json()["state"], "succeeded");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_seen_to_be_wrong_becomes_no_render() {
    let app = TestApp::start().await;
    for body in [
        json!({"content": "x", "limits": {"memory_bytes": 1}}),
        json!({"content": "x", "environment_id": "01890a5d-ac96-774b-bcce-b302099a8057"}),
        json!({"text": "x"}),
    ] {
        let request = app.request(Method::POST, "/api/v1/render").header("prefer", "respond-async").json(&body);
        Answer::of(request.send().await.unwrap()).await.problem(422, "invalid_request");
    }
    // What shows only when it runs is the job's failure.
    let job =
        later(&app, Method::POST, "/api/v1/render", Some(json!({"content": "---\nenvironment: none\n---\n"}))).await;
    told(&app, &job).await;
    let failed = app.get(&path(&job)).await.json();
    assert_eq!(failed["state"], "failed");
    assert!(failed["error"].as_str().unwrap().contains("`none`"), "{failed}");
    app.get(&format!("{}/result", path(&job))).await.problem(409, "conflict");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_hears_of_renders() {
    let app = TestApp::start().await;
    let job = later(&app, Method::POST, "/api/v1/render", Some(json!({"content": CHAIN}))).await;
    let mut request = format!("ws://{}/api/v1/ws", app.host).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", app.token()).parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let subscribe = json!({"type": "subscribe", "job_id": job["id"]});
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    let mut names = Vec::new();
    let done = loop {
        let message = socket.next().await.unwrap().unwrap();
        let told: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        match told["type"].as_str().unwrap() {
            "job_event" => names.push(told["event"]["event"]["event"].as_str().unwrap().to_owned()),
            other => break (other.to_owned(), told),
        }
    };
    assert_eq!(names, ["begin", "cell_started", "output", "cell", "cell_started", "output", "cell"]);
    assert_eq!((done.0.as_str(), &done.1["job"]["state"]), ("job_done", &json!("succeeded")));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_render_whose_server_is_killed_is_done_by_another_one() {
    // Compiled and cached by then.
    crate::support::sandbox().await;
    let directory = tempfile::tempdir().unwrap();
    let first = Server::start(directory.path(), &["--jobs-lease-ms", "1000"]);
    let client = client();
    let ask = |server: &Server, method: Method, path: &str| {
        let (address, token) = server.address();
        client.request(method, format!("{address}{path}")).bearer_auth(token)
    };
    let content = "```\nprint('begun', flush=True)\nimport time\ntime.sleep(1)\nprint('over')\n```\n";
    let body = json!({"content": content});
    let answer = ask(&first, Method::POST, "/api/v1/render").header("prefer", "respond-async").json(&body);
    let job: Value = answer.send().await.unwrap().json().await.unwrap();
    let events = format!("{}/events", path(&job));
    let stream = ask(&first, Method::GET, &events).send().await.unwrap();
    let (mut stream, mut text) = (stream.bytes_stream(), String::new());
    while !text.contains("begun") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    first.signal(Signal::KILL);
    first.wait().await;

    let second = Server::start(directory.path(), &["--jobs-lease-ms", "1000"]);
    let text = ask(&second, Method::GET, &events).send().await.unwrap().text().await.unwrap();
    assert_eq!(text.matches("\"event\":\"begin\"").count(), 2, "{text}");
    assert_eq!(text.matches("\"event\":\"cell\"").count(), 1, "it came to its end once: {text}");
    let result = ask(&second, Method::GET, &format!("{}/result", path(&job))).send().await.unwrap();
    let result: Value = result.json().await.unwrap();
    assert!(result["rendered"].as_str().unwrap().contains("over"), "{result}");
    second.signal(Signal::TERM);
    let (status, _, log) = tokio::time::timeout(Duration::from_secs(20), second.wait()).await.unwrap();
    assert!(status.success(), "{log}");
}
