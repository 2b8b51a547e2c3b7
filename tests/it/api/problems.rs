//! What a caller is told about a bad request.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use reqwest::{Method, header};
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{Answer, TestApp};

const EXECUTE: &str = "/api/v1/execute";
const JSON: &str = "application/json";

#[tokio::test]
async fn unreadable_bodies_are_problems() {
    let app = TestApp::builder().body_limit_bytes(4096).start().await;
    let long = format!(r#"{{"code":"{}"}}"#, "#".repeat(5000));
    let deep = format!(r#"{{"code":{}1{}}}"#, "[".repeat(500), "]".repeat(500));
    let cases: [(&str, &str, &[u8], u16, &str); 14] = [
        (EXECUTE, JSON, b"", 400, "bad_json"),
        (EXECUTE, JSON, b"{", 400, "bad_json"),
        (EXECUTE, JSON, b"{\"code\": \"1\"} x", 400, "bad_json"),
        (EXECUTE, JSON, b"\xff\xfe", 400, "bad_json"),
        (EXECUTE, JSON, b"{\"code\": \"\xff\"}", 400, "bad_json"),
        (EXECUTE, JSON, deep.as_bytes(), 422, "invalid_request"),
        (EXECUTE, JSON, b"[]", 422, "invalid_request"),
        (EXECUTE, JSON, b"{}", 422, "invalid_request"),
        (EXECUTE, JSON, b"{\"code\": 1}", 422, "invalid_request"),
        (EXECUTE, JSON, b"{\"code\": \"\", \"cod\": 1}", 422, "invalid_request"),
        (EXECUTE, "text/plain", b"{\"code\": \"\"}", 415, "unsupported_media_type"),
        (EXECUTE, "", b"{\"code\": \"\"}", 415, "unsupported_media_type"),
        (EXECUTE, JSON, long.as_bytes(), 413, "too_large"),
        ("/api/v1/render", JSON, b"{\"content\": \"\", \"format\": \"pdf\"}", 422, "invalid_request"),
    ];
    for (path, media_type, body, status, code) in cases {
        let mut request = app.request(Method::POST, path).body(body.to_vec());
        if !media_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        Answer::of(request.send().await.unwrap()).await.problem(status, code);
    }
    app.stop().await;
}

#[tokio::test]
async fn unknown_fields_and_impossible_values_are_named() {
    let app = TestApp::start().await;
    let answer = app.post(EXECUTE, &json!({"code": "1", "limit": {}})).await;
    let detail = answer.problem(422, "invalid_request")["detail"].to_string();
    assert!(detail.contains("`limit`") && detail.contains("`limits`"), "{detail}");

    for (field, value) in [("fuel", 0), ("fuel", u64::MAX), ("memory_bytes", 1), ("wall_ms", 0), ("output_bytes", 0)] {
        let answer = app.post(EXECUTE, &json!({"code": "1", "limits": {field: value}})).await;
        assert_eq!(answer.problem(422, "invalid_request")["field"], format!("limits.{field}"));
    }
    let file = json!({"path": "a", "content": "x", "content_base64": "eA=="});
    let answer = app.post(EXECUTE, &json!({"code": "1", "files": [file]})).await;
    assert_eq!(answer.problem(422, "invalid_request")["field"], "files");
    app.stop().await;
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let app = TestApp::start().await;
    for path in ["/nothing", "/api/v1", "/api/v2/execute", "/health/", "//", "/assets", "/assets/../health"] {
        let answer = Answer::of(app.anonymous(Method::GET, path).send().await.unwrap()).await;
        // The last one is `/health` by the time the client sends it.
        if path.starts_with("/assets/") {
            answer.json()
        } else {
            answer.problem(404, "not_found")
        };
    }
    app.get("/assets/nothing.css").await.problem(404, "not_found");

    for (method, path, allow) in [
        (Method::DELETE, "/health", "GET,HEAD"),
        (Method::GET, EXECUTE, "POST"),
        (Method::PUT, EXECUTE, "POST"),
        (Method::OPTIONS, "/api/v1/render", "POST"),
    ] {
        let answer = Answer::of(app.request(method, path).send().await.unwrap()).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), allow, "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn without_a_runtime_code_cannot_run_yet() {
    let app = TestApp::builder().preparing().start().await;
    app.service.set_readiness("compile", 3, Some(9));
    let health = app.get("/health").await.json();
    assert_eq!(health["status"], "preparing");
    let check = json!({"status": "preparing", "stage": "compile", "done": 3, "total": 9});
    assert_eq!(health["checks"]["runtime"], check);
    for (path, body) in [
        (EXECUTE, json!({"code": "1"})),
        ("/api/v1/render", json!({"content": "1"})),
        ("/api/v1/render/preview", json!({"content": "1"})),
        ("/api/v1/render/validate", json!({"content": "1"})),
    ] {
        let answer = app.post(path, &body).await;
        assert!(answer.problem(503, "preparing")["detail"].to_string().contains("compile"));
        assert!(!answer.header("retry-after").is_empty());
    }
    // A stream that has not begun is an answer like any other.
    let request = app.request(Method::POST, EXECUTE).header(header::ACCEPT, "text/event-stream");
    let response = request.json(&json!({"code": "1"})).send().await.unwrap();
    Answer::of(response).await.problem(503, "preparing");

    app.service.set_failed("no network".to_owned());
    assert_eq!(app.get("/health").await.json()["status"], "degraded");
    let answer = app.execute("1").await;
    assert!(answer.problem(503, "unavailable")["detail"].to_string().contains("no network"));
    app.stop().await;
}

#[tokio::test]
async fn more_than_may_wait_is_refused() {
    let app = TestApp::builder().queue(1, 0).start().await;
    let endless = app.request(Method::POST, EXECUTE).json(&json!({"code": "while True: pass"}));
    let endless = tokio::spawn(endless.send());
    app.until_running(1).await;
    let answer = app.execute("1").await;
    answer.problem(429, "busy");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    endless.abort();
    app.until_running(0).await;
    assert_eq!(app.execute("print(1)").await.json()["stdout"], "1\n");
    app.stop().await;
}

#[tokio::test]
async fn a_request_keeps_the_id_that_it_came_with_if_it_is_one() {
    let app = TestApp::start().await;
    for (given, kept) in [("abc-1.2_3", true), ("a b", false), ("", false), (&"a".repeat(65), false)] {
        let request = app.anonymous(Method::GET, "/nothing").header("x-request-id", given);
        let answer = Answer::of(request.send().await.unwrap()).await;
        answer.problem(404, "not_found");
        assert_eq!(answer.header("x-request-id") == given, kept, "{given}");
    }
    app.stop().await;
}

/// A bug of ours: the caller hears that it is one, and the server goes on.
#[tokio::test]
async fn a_panic_is_an_internal_error() {
    async fn bug() {
        panic!("a bug of the test's own");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/bug", listener.local_addr().unwrap());
    let routes = pymd::api::around(Router::new().route("/bug", get(bug)));
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    for _ in 0..2 {
        let response = crate::support::client().get(&url).send().await.unwrap();
        let answer = Answer::of(response).await;
        let detail = answer.problem(500, "internal_error")["detail"].to_string();
        assert!(detail.contains("internal error") && !detail.contains("test's own"), "{detail}");
    }
    server.abort();
}

#[tokio::test]
async fn every_answer_forbids_what_it_does_not_need() {
    let app = TestApp::start().await;
    for path in ["/health", "/nothing", "/openapi.json", "/", "/docs", "/assets/style.css"] {
        let answer = app.get(path).await;
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert!(answer.header("access-control-allow-origin").is_empty());
    }
    app.stop().await;
}

/// A body that stops in the middle holds nobody up, and its end is noticed.
#[tokio::test]
async fn a_body_that_breaks_off_ends_its_request() {
    use tokio::io::AsyncWriteExt as _;

    let app = TestApp::start().await;
    let mut connection = tokio::net::TcpStream::connect(&app.host).await.unwrap();
    let head = format!(
        "POST {EXECUTE} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: {JSON}\r\n\
         content-length: 100\r\n\r\n{{\"code\":",
        app.host,
        app.token()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(connection);
    assert_eq!(app.execute("print(1)").await.json()["stdout"], "1\n");
    app.stop().await;
}
