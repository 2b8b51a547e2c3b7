//! Events as they happen, and clients that go away.

use std::time::{Duration, Instant};

use pymd::domain::Limits;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::TestApp;

/// The next event, when the stream has one.
async fn next(response: &mut Response, rest: &mut String) -> Option<(String, Value)> {
    loop {
        if let Some((block, after)) = rest.split_once("\n\n") {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let event = field("event: ").zip(field("data: "));
            *rest = after.to_owned();
            match event {
                Some((name, data)) => return Some((name, serde_json::from_str(&data).unwrap())),
                None => continue,
            }
        }
        let chunk = response.chunk().await.unwrap()?;
        rest.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

/// All events. Texts come as they are written: neighbours of one stream are joined, as any reader has to.
async fn all(mut response: Response) -> Vec<(String, Value)> {
    let (mut events, mut rest) = (Vec::<(String, Value)>::new(), String::new());
    while let Some((name, data)) = next(&mut response, &mut rest).await {
        let text = data["output"]["text"].as_str().unwrap_or_default();
        match events.last_mut() {
            Some((_, last))
                if !text.is_empty()
                    && last["output"]["name"] == data["output"]["name"]
                    && last["cell"] == data["cell"] =>
            {
                last["output"]["text"] = json!(format!("{}{text}", last["output"]["text"].as_str().unwrap()));
            }
            _ => events.push((name, data)),
        }
    }
    events
}

#[tokio::test]
async fn execute_streams_outputs_in_order_and_the_report_at_last() {
    let app = TestApp::start().await;
    let code = "import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c')\n7";
    let events = all(app.stream("/api/v1/execute", &json!({"code": code})).await).await;
    let texts: Vec<&str> = events.iter().filter_map(|(_, data)| data["output"]["text"].as_str()).collect();
    assert_eq!(texts, ["a\n", "b\n", "c\n"]);
    let (name, report) = events.last().unwrap();
    assert_eq!((name.as_str(), &report["outcome"]["kind"]), ("done", &json!("completed")));
    assert_eq!((&report["stdout"], &report["stderr"]), (&json!("a\nc\n"), &json!("b\n")));
    assert!(events.iter().any(|(_, data)| data["output"]["type"] == "execute_result"));
    app.stop().await;
}

#[tokio::test]
async fn an_output_comes_when_it_is_made() {
    let app = TestApp::start().await;
    let code = "import time\nprint('now')\ntime.sleep(15)";
    for (path, body) in [
        ("/api/v1/execute", json!({"code": code})),
        ("/api/v1/render", json!({"content": format!("```\n{code}\n```\n")})),
    ] {
        let mut response = app.stream(path, &body).await;
        let (name, event) = next(&mut response, &mut String::new()).await.unwrap();
        assert_eq!(name, "output");
        assert!(event["output"]["text"].as_str().unwrap().starts_with("now"), "{event}");
        assert_eq!(app.service.stats().running, 1, "the code goes on");
        drop(response);
        app.until_running(0).await;
    }
    app.stop().await;
}

#[tokio::test]
async fn displays_that_change_are_events_of_their_own() {
    let app = TestApp::start().await;
    let code = "from IPython.display import display, clear_output\nh = display('one', display_id=True)\n\
                h.update('two')\nclear_output()\nprint('end')";
    let events = all(app.stream("/api/v1/execute", &json!({"code": code})).await).await;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["output", "update_display", "clear_output", "output", "done"]);
    for (name, data) in &events[..4] {
        assert_eq!(data["event"], *name);
    }
    app.stop().await;
}

#[tokio::test]
async fn render_streams_cell_by_cell() {
    let app = TestApp::start().await;
    let content = "```\nprint(1)\n```\n\ntext\n\n```\n1/0\n```\n";
    let events = all(app.stream("/api/v1/render", &json!({"content": content})).await).await;
    let shape: Vec<(&str, &Value)> = events.iter().map(|(name, data)| (name.as_str(), &data["cell"])).collect();
    let (zero, one, none) = (json!(0), json!(1), Value::Null);
    assert_eq!(shape, [("output", &zero), ("cell", &zero), ("output", &one), ("cell", &one), ("done", &none)]);
    assert_eq!(events[1].1["outcome"]["kind"], "completed");
    assert_eq!((&events[3].1["outcome"]["kind"], &events[3].1["line"]), (&json!("python_error"), &json!(8)));
    assert!(events[4].1["rendered"].as_str().unwrap().contains("ZeroDivisionError"));
    app.stop().await;
}

#[tokio::test]
async fn other_clients_get_json() {
    let app = TestApp::start().await;
    for accept in ["*/*", "application/json", "text/event-stream;q=0", "text/html, */*;q=0.1"] {
        let request = app.request(Method::POST, "/api/v1/execute").header("accept", accept);
        let response = request.json(&json!({"code": "1"})).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json", "{accept}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_code() {
    let app = TestApp::start().await;
    for code in ["while True: pass", "import time; time.sleep(60)", "while True: print('x' * 100)"] {
        for (path, body) in [
            ("/api/v1/execute", json!({"code": code})),
            ("/api/v1/render", json!({"content": format!("```\n{code}\n```\n")})),
        ] {
            let waiting = tokio::spawn(app.request(Method::POST, path).json(&body).send());
            app.until_running(1).await;
            waiting.abort();
            app.until_running(0).await;

            let response = app.stream(path, &body).await;
            app.until_running(1).await;
            drop(response);
            app.until_running(0).await;
        }
    }
    app.stop().await;
}

/// A client that asks for events and reads none must not keep a kernel beyond its deadline.
#[tokio::test]
async fn a_client_that_does_not_read_holds_nothing_back() {
    let limits = Limits { wall_ms: 1000, output_bytes: 64 << 20, ..Limits::default() };
    let app = TestApp::builder().limits(limits).start().await;
    let body = r#"{"code": "while True: print('x' * 1000)"}"#;
    let mut connection = tokio::net::TcpStream::connect(&app.host).await.unwrap();
    let request = format!(
        "POST /api/v1/execute HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\naccept: text/event-stream\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        app.host,
        app.token(),
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    app.until_running(1).await;
    let started = Instant::now();
    app.until_running(0).await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(app.execute("print(1)").await.json()["stdout"], "1\n");
    drop(connection);
    app.stop().await;
}
