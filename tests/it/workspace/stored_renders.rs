//! Stored documents, rendered, exported and imported, over REST.

use std::io::Read as _;

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::stored;
use crate::support::{Answer, TestApp};

const IMPORT: &str = "/api/v1/documents/import";

fn statuses(report: &Value) -> Vec<&str> {
    report["cells"].as_array().unwrap().iter().map(|cell| cell["status"].as_str().unwrap()).collect()
}

async fn import(app: &TestApp, name: &str, content: impl Into<Vec<u8>>) -> Answer {
    let request = app.request(Method::POST, &format!("{IMPORT}?filename={name}"));
    Answer::of(request.body(content.into()).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_document_is_rendered_and_only_what_changed_runs_again() {
    let app = TestApp::start().await;
    let content = "# Report\n\n```\nx = 20\n```\n\n```\nprint('sum', x + 1)\n```\n";
    let id = stored(&app, "Report", content).await;
    let path = format!("/api/v1/render/documents/{id}");
    let first = app.get(&path).await.json();
    assert!(first["rendered"].as_str().unwrap().contains("sum 21"), "{first}");
    assert_eq!(statuses(&first), ["executed", "executed"]);
    let again = app.get(&format!("{path}?format=markdown&show_code=true")).await.json();
    assert_eq!((again["cached"].as_bool(), again["format"].as_str()), (Some(true), Some("markdown")));
    assert_eq!(statuses(&app.get(&format!("{path}?fresh=true")).await.json()), ["executed", "executed"]);
    let edited = content.replace("x + 1", "x + 2");
    app.ask(Method::PATCH, &format!("/api/v1/documents/{id}"), Some(json!({"content": edited}))).await.json();
    let report = app.get(&path).await.json();
    assert_eq!(statuses(&report), ["cached", "executed"]);
    let stream = app.request(Method::GET, &path).header(header::ACCEPT, "text/event-stream").send().await.unwrap();
    let text = stream.text().await.unwrap();
    assert!(text.contains("sum 22") && text.contains("event: done"), "{text}");
    app.get("/api/v1/render/documents/01890a5d-ac96-774b-bcce-b302099a8057").await.problem(404, "not_found");
    app.get(&format!("{path}?format=pdf")).await.problem(422, "invalid_request");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_cells_find_its_files_and_cant_change_them() {
    let app = TestApp::start().await;
    let code = "import os\nprint(open('data/a.csv').read(), sorted(os.listdir('data')))\n\
        try:\n    open('data/a.csv', 'w')\nexcept OSError as error:\n    print(type(error).__name__)\n\
        open('own', 'w').write('x')";
    let id = stored(&app, "Files", &format!("```\n{code}\n```\n")).await;
    let put = async |path: &str, content: &str| {
        let request = app.request(Method::PUT, &format!("/api/v1/documents/{id}/files/{path}"));
        assert_eq!(request.body(content.to_owned()).send().await.unwrap().status(), StatusCode::OK);
    };
    put("data/a.csv", "one").await;
    let path = format!("/api/v1/render/documents/{id}");
    let report = app.get(&path).await.json();
    let shown = report["rendered"].as_str().unwrap();
    assert!(shown.contains("one ['a.csv']") && shown.contains("OSError"), "{shown}");
    assert_eq!(app.get(&path).await.json()["cached"], true);
    put("data/a.csv", "two").await;
    put("data/b.csv", "").await;
    let report = app.get(&path).await.json();
    assert!(report["rendered"].as_str().unwrap().contains("two ['a.csv', 'b.csv']"), "{report}");
    assert_eq!(statuses(&report), ["executed"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_environment_was_deleted_says_so() {
    let app = TestApp::start().await;
    let made = app.post("/api/v1/environments", &json!({"name": "short"})).await;
    let environment: Value = serde_json::from_str(&made.text).unwrap();
    let body = json!({"title": "t", "content": "```\nprint(1)\n```\n", "environment_id": environment["id"]});
    let document: Value = serde_json::from_str(&app.post("/api/v1/documents", &body).await.text).unwrap();
    let path = format!("/api/v1/render/documents/{}", document["id"].as_str().unwrap());
    assert_eq!(statuses(&app.get(&path).await.json()), ["executed"]);
    let environment = format!("/api/v1/environments/{}", environment["id"].as_str().unwrap());
    app.ask(Method::DELETE, &environment, None).await;
    let problem = app.get(&path).await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("give it another one"), "{problem}");
    let id = document["id"].as_str().unwrap();
    app.ask(Method::PATCH, &format!("/api/v1/documents/{id}"), Some(json!({"environment_id": null}))).await.json();
    app.get(&path).await.json();
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_exported_in_every_format() {
    let app = TestApp::start().await;
    let content = "# Plot\n\n```\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n```\n\n```\nprint('text')\n```\n";
    let id = stored(&app, "A \"plot\"/\u{e9}", content).await;
    let path = format!("/api/v1/render/documents/{id}/export");
    let export = async |format: &str| {
        let answer = app.request(Method::GET, &format!("{path}?format={format}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{format}");
        let headers = answer.headers().clone();
        let disposition = headers[header::CONTENT_DISPOSITION].to_str().unwrap();
        assert!(disposition.starts_with("attachment") && !disposition.contains('/'), "{disposition}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        (headers[header::CONTENT_TYPE].to_str().unwrap().to_owned(), answer.bytes().await.unwrap())
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (kind, page) = export("html").await;
    let page = text(&page);
    assert!(kind.starts_with("text/html") && page.contains("data:image/png") && !page.contains("src=\"http"));
    assert!(text(&export("markdown").await.1).contains("text"));
    let (_, archive) = export("zip").await;
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).unwrap();
    let mut names: Vec<_> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    names.sort();
    assert_eq!(names, ["assets/cell-1-1.png", "document.md"]);
    let mut markdown = String::new();
    archive.by_name("document.md").unwrap().read_to_string(&mut markdown).unwrap();
    assert!(markdown.contains("assets/cell-1-1.png"), "{markdown}");
    let notebook: Value = serde_json::from_slice(&export("ipynb").await.1).unwrap();
    assert_eq!((notebook["nbformat"].as_u64(), notebook["nbformat_minor"].as_u64()), (Some(4), Some(5)));
    assert!(notebook.to_string().contains("image/png"));
    serde_json::from_slice::<Value>(&export("json").await.1).unwrap();
    assert!(text(&export("py").await.1).contains("plt.plot([1, 2])"));
    assert_eq!(text(&export("pymd").await.1), content);
    // And back.
    let made = import(&app, "plot.ipynb", notebook.to_string()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made: Value = serde_json::from_str(&made.text).unwrap();
    assert!(made["document"]["content"].as_str().unwrap().contains("plt.plot([1, 2])"), "{made}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_become_documents_or_are_refused() {
    let app = TestApp::start().await;
    let made = import(&app, "notes.md", "# The title\n\n```python\nprint(1)\n```\n\n```sh\nls\n```\n").await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made: Value = serde_json::from_str(&made.text).unwrap();
    assert_eq!(made["document"]["title"], "The title");
    let id = made["document"]["id"].as_str().unwrap();
    let report = app.get(&format!("/api/v1/render/documents/{id}")).await.json();
    assert_eq!(report["cell_count"], 1, "the shell's is only shown: {report}");
    let made = import(&app, "plain.pymd", "```\n1\n```\n").await;
    let made: Value = serde_json::from_str(&made.text).unwrap();
    assert_eq!((made["document"]["title"].as_str(), made["warnings"].as_array().unwrap().len()), (Some("plain"), 0));
    for (name, content) in [
        ("a.exe", b"MZ".to_vec()),
        ("a", b"x".to_vec()),
        ("a.md", vec![0xff, 0xfe]),
        ("a.ipynb", b"{}".to_vec()),
        ("a.ipynb", b"[".repeat(100_000)),
        ("a.ipynb", br#"{"nbformat": 4, "cells": [{"cell_type": "code", "source": 7}]}"#.to_vec()),
        ("a.pymd", b"a\0b".to_vec()),
    ] {
        import(&app, name, content).await.problem(422, "invalid_request");
    }
    app.stop().await;
}
