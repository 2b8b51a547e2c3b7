//! Running and rendering over REST.

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, TestApp};

#[tokio::test]
async fn execute_answers_with_the_whole_outcome() {
    let app = TestApp::start().await;
    let body = json!({
        "code": "import sys\nprint(input(), open('data/a.txt').read())\nprint('e', file=sys.stderr)\n6*7",
        "stdin": "typed\n",
        "files": [{"path": "data/a.txt", "content": "text"}],
        "limits": {"wall_ms": 10_000},
    });
    let report = app.post("/api/v1/execute", &body).await.json();
    assert_eq!(report["outcome"], json!({"kind": "completed"}));
    assert_eq!((&report["stdout"], &report["stderr"]), (&json!("typed text\n"), &json!("e\n")));
    assert_eq!(report["result"]["text/plain"], "42");
    assert_eq!(report["outputs"][0], json!({"type": "stream", "name": "stdout", "text": "typed text\n"}));
    for measure in ["fuel_used", "wall_ms", "peak_memory_bytes", "output_bytes"] {
        assert!(report[measure].as_f64().unwrap() > 0.0, "{measure}: {report}");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_the_code_does_is_no_error_of_the_request() {
    let app = TestApp::start().await;
    for (code, limits, kind) in [
        ("1/0", json!({}), "python_error"),
        ("while True: pass", json!({"fuel": 100_000_000}), "out_of_fuel"),
        ("import time; time.sleep(60)", json!({"wall_ms": 100}), "deadline_exceeded"),
        ("while True: print('x' * 1000)", json!({"output_bytes": 10_000}), "output_limit_exceeded"),
        ("s = 'x'\nwhile True: s += s", json!({"memory_bytes": 100_000_000}), "out_of_memory"),
        ("import sys; sys.exit(3)", json!({}), "exited"),
        ("import os; os.abort()", json!({}), "crashed"),
    ] {
        let report = app.post("/api/v1/execute", &json!({"code": code, "limits": limits})).await.json();
        assert_eq!(report["outcome"]["kind"], kind, "{code}: {report}");
    }
    app.stop().await;
}

#[tokio::test]
async fn render_answers_in_each_format() {
    let app = TestApp::start().await;
    let content = "# Title\n\n```\nprint('**bold**')\n```\n";
    for (format, wanted) in [("html", "<strong>bold</strong>"), ("markdown", "**bold**"), ("json", "**bold**")] {
        let body = json!({"content": content, "format": format, "fresh": true});
        for path in ["/api/v1/render", "/api/v1/render/preview"] {
            let report = app.post(path, &body).await.json();
            assert!(report["rendered"].as_str().unwrap().contains(wanted), "{report}");
            assert_eq!((&report["format"], &report["cached"]), (&json!(format), &json!(false)));
            assert_eq!(report["cells"][0]["outcome"]["kind"], "completed");
        }
    }
    let whole = json!({"content": content, "standalone": true});
    let page = app.post("/api/v1/render", &whole).await.json();
    assert!(page["rendered"].as_str().unwrap().contains("<html"));
    let preview = app.post("/api/v1/render/preview", &whole).await.json();
    assert!(!preview["rendered"].as_str().unwrap().contains("<html"), "a preview is a fragment");
    app.stop().await;
}

#[tokio::test]
async fn validate_finds_what_is_wrong_without_running_it() {
    let app = TestApp::start().await;
    let good = app.post("/api/v1/render/validate", &json!({"content": "# a\n\n```\n1/0\n```\n"})).await.json();
    assert_eq!(good, json!({"valid": true, "errors": []}));
    let bad = app.post("/api/v1/render/validate", &json!({"content": "text\n\n```\nx = (\n```\n"})).await.json();
    assert_eq!(bad["valid"], false);
    assert_eq!(bad["errors"][0]["line"], 4);
    assert_eq!(bad["errors"][0]["severity"], "error");
    for name in ["column", "message"] {
        assert!(!bad["errors"][0][name].is_null(), "{bad}");
    }
    app.stop().await;
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_cells_by_outcome() {
    let app = TestApp::start().await;
    app.execute("print(1)").await.json();
    app.get("/nothing/at/all").await.problem(404, "not_found");
    let strange = Method::from_bytes(b"MADEUP").unwrap();
    let answer = Answer::of(app.request(strange, "/health").send().await.unwrap()).await;
    answer.problem(405, "method_not_allowed");
    let answer = app.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain"));
    for line in [
        r#"pymd_http_requests_total{route="/api/v1/execute",method="POST",status="200"}"#,
        r#"pymd_http_requests_total{route="unmatched",method="GET",status="404"}"#,
        r#"pymd_http_requests_total{route="/health",method="other",status="405"}"#,
        r#"pymd_http_request_duration_seconds_bucket{route="/api/v1/execute",method="POST",le="0.01"}"#,
        r#"pymd_executions_total{outcome="completed"}"#,
        "pymd_fuel_used_total ",
        "pymd_kernels_alive ",
        "pymd_kernels_ready ",
    ] {
        assert!(answer.text.contains(line), "{line} in\n{}", answer.text);
    }
    app.stop().await;
}
