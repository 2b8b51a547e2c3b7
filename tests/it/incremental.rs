//! Renders that only pay for what changed: what they run, and that they show what a render from scratch shows.

mod edits;
mod options;
mod rest;
mod states;

use pymd::domain::{Limits, UserId};
use pymd::service::{CellStatus, CheckpointConfig, RenderContext, RenderReport, RenderRequest, Service, ServiceConfig};
use reqwest::{Method, header};
use serde_json::json;

use crate::support::{TestApp, sandbox};

/// A service that keeps checkpoints, and one of its users.
struct Editor {
    service: Service,
    user: UserId,
}

impl Editor {
    async fn new() -> Self {
        Self::with(CheckpointConfig::default()).await
    }

    async fn with(checkpoints: CheckpointConfig) -> Self {
        let limits = Limits { wall_ms: 20_000, ..Limits::default() };
        let service = Service::new(ServiceConfig { limits, checkpoints, ..ServiceConfig::default() });
        service.set_ready(sandbox().await.clone(), "the runtime".to_owned(), "3".to_owned());
        Self { service, user: UserId::new() }
    }

    async fn render(&self, cells: &[&str]) -> RenderReport {
        self.request(RenderRequest { content: document(cells), ..RenderRequest::default() }).await
    }

    async fn request(&self, request: RenderRequest) -> RenderReport {
        self.service
            .render(request, RenderContext { owner: Some(self.user), ..RenderContext::default() })
            .await
            .unwrap()
    }

    /// What a render shows that knows nothing.
    async fn scratch(&self, cells: &[&str]) -> RenderReport {
        let request = RenderRequest { content: document(cells), ..RenderRequest::default() };
        self.service.render(request, RenderContext::default()).await.unwrap()
    }
}

/// A document of these cells, with prose between them.
fn document(cells: &[&str]) -> String {
    let cell = |(number, code): (usize, &&str)| format!("Before number {number}.\n\n```\n{code}\n```\n\n");
    cells.iter().enumerate().map(cell).collect()
}

/// Which cells were run: `x` for one that was, `.` for one that was known.
fn ran(report: &RenderReport) -> String {
    let mark = |status| if status == CellStatus::Executed { 'x' } else { '.' };
    report.cells.iter().map(|cell| mark(cell.status)).collect()
}

#[tokio::test]
async fn only_what_changed_and_what_follows_runs_again() {
    let editor = Editor::new().await;
    let mut cells = ["a = 1", "b = a + 1", "print('sum', a + b)", "print('product', a * b)"];
    let first = editor.render(&cells).await;
    assert_eq!((ran(&first).as_str(), first.cached), ("xxxx", false));
    assert!(first.fuel_used > 0);
    let again = editor.render(&cells).await;
    assert_eq!((ran(&again).as_str(), again.cached, again.fuel_used), ("....", true, 0));
    assert_eq!(again.rendered, first.rendered);
    assert_eq!(again.cells[2].fuel_used, first.cells[2].fuel_used, "what it took when it ran");

    cells[3] = "print('difference', a - b)";
    let edited = editor.render(&cells).await;
    assert_eq!(ran(&edited), "...x");
    assert_eq!(edited.rendered, editor.scratch(&cells).await.rendered);
    cells[1] = "b = a + 10";
    let edited = editor.render(&cells).await;
    assert_eq!(ran(&edited), ".xxx");
    assert!(edited.rendered.contains("sum 12") && edited.rendered.contains("difference -10"), "{}", edited.rendered);
    // The way back is known, too.
    cells[1] = "b = a + 1";
    assert_eq!(ran(&editor.render(&cells).await), "....");
    assert_eq!(ran(&editor.render(&cells[..2]).await), "..");
    assert_eq!(ran(&editor.render(&["a = 1", "b = a + 1", "print(a)"]).await), "..x");
    let spaces = ["a = 1", "b = a + 1 ", "print('sum', a + b)"];
    assert_eq!(ran(&editor.render(&spaces).await), ".xx", "blanks are code as any other");
}

#[tokio::test]
async fn prose_runs_nothing_and_another_layout_neither() {
    let editor = Editor::new().await;
    let content = "# One\n\n```\nprint('hi')\n```\n";
    let request = |content: &str| RenderRequest { content: content.to_owned(), ..RenderRequest::default() };
    editor.request(request(content)).await;
    let prose = editor.request(request("# Two\n\nMore.\n\n```\nprint('hi')\n```\n\nThe end.\n")).await;
    assert!(prose.cached && prose.rendered.contains("The end"), "{}", prose.rendered);
    let layout = editor.request(RenderRequest { show_code: true, standalone: true, ..request(content) }).await;
    assert!(layout.cached && layout.rendered.contains("print"), "{}", layout.rendered);
    let commented = editor.request(request("# # One\n\n# ```\nprint('hi')\n# ```\n")).await;
    assert!(commented.cached, "the other spelling is the same cell");
}

#[tokio::test]
async fn what_it_depends_on_is_looked_at() {
    let editor = Editor::new().await;
    let request =
        |content: &str| RenderRequest { content: format!("```\n{content}\n```\n"), ..RenderRequest::default() };
    assert_eq!(ran(&editor.request(request("print(1)")).await), "x");
    let mut less = request("print(1)");
    less.limits.fuel = Some(1_000_000_000);
    assert_eq!(ran(&editor.request(less.clone()).await), "x", "other limits");
    assert_eq!(ran(&editor.request(less).await), ".");
    let fresh = RenderRequest { fresh: true, ..request("print(1)") };
    assert_eq!(ran(&editor.request(fresh).await), "x", "asked for");
    assert_eq!(ran(&editor.request(request("print(1)")).await), ".");
    let other = Editor { service: editor.service.clone(), user: UserId::new() };
    assert_eq!(ran(&other.request(request("print(1)")).await), "x", "another user");
    let nobody = editor.service.render(request("print(1)"), RenderContext::default()).await.unwrap();
    assert_eq!(ran(&nobody), "x");
}

#[tokio::test]
async fn an_error_that_is_known_ends_the_document_where_it_did() {
    let editor = Editor::new().await;
    let request = |stop_on_error| RenderRequest {
        content: document(&["print('one')", "1/0", "print('three')"]),
        stop_on_error,
        ..RenderRequest::default()
    };
    assert_eq!(ran(&editor.request(request(true)).await), "xx");
    assert_eq!(ran(&editor.request(request(true)).await), "..");
    assert_eq!(ran(&editor.request(request(false)).await), "..x");
    let stopped = editor.request(request(true)).await;
    assert_eq!((ran(&stopped).as_str(), stopped.cached), ("..", true));
    assert!(!stopped.rendered.contains("three"), "{}", stopped.rendered);
}

#[tokio::test]
async fn a_cell_that_was_rolled_back_is_nothing_to_go_on_from() {
    let editor = Editor::new().await;
    let mut request = RenderRequest::default();
    request.limits.fuel = Some(300_000_000);
    let mut render = async |cells: &[&str]| {
        request.content = document(cells);
        editor.request(request.clone()).await
    };
    let report = render(&["x = 1", "x = 2\nwhile True: pass", "print(x)"]).await;
    assert_eq!((ran(&report).as_str(), report.cells[1].outcome.kind()), ("xxx", "out_of_fuel"));
    assert!(report.rendered.contains('1'), "{}", report.rendered);
    assert_eq!(ran(&render(&["x = 1", "x = 2\nwhile True: pass", "print(x)"]).await), ".xx");
    let report = render(&["x = 1", "x = 2\nwhile True: pass", "print(x + 1)"]).await;
    assert_eq!(ran(&report), ".xx");
    let ended = ["x = 1", "raise SystemExit(3)", "print('after', x)"];
    let report = render(&ended).await;
    assert_eq!((ran(&report).as_str(), report.cells[1].outcome.kind()), (".xx", "exited"));
    assert_eq!(render(&ended).await.rendered, report.rendered);
}

#[tokio::test]
async fn what_is_known_is_told_at_once_over_http() {
    let app = TestApp::start().await;
    let slow = "import time\ntime.sleep(0.2)\nprint('known')";
    let body = |last: &str| json!({"content": document(&[slow, last]), "format": "html"});
    let first = app.post("/api/v1/render", &body("print('old')")).await.json();
    let cells = |report: &serde_json::Value| -> Vec<String> {
        let status = |cell: &serde_json::Value| cell["status"].as_str().unwrap().to_owned();
        report["cells"].as_array().unwrap().iter().map(status).collect()
    };
    assert_eq!(cells(&first), ["executed", "executed"]);
    let request = app.request(Method::POST, "/api/v1/render").header(header::ACCEPT, "text/event-stream");
    let text = request.json(&body("print('new')")).send().await.unwrap().text().await.unwrap();
    let (known, new) = (text.find("known").unwrap(), text.find("new").unwrap());
    assert!(known < new && text.contains("\"status\":\"cached\"") && text.contains("event: done"), "{text}");
    let report = app.post("/api/v1/render", &body("print('new')")).await.json();
    assert_eq!(
        (cells(&report).as_slice(), report["cached"].as_bool()),
        (["cached", "cached"].map(str::to_owned).as_slice(), Some(true))
    );
    let body = json!({"content": document(&[slow]), "fresh": true});
    assert_eq!(cells(&app.post("/api/v1/render", &body).await.json()), ["executed"]);
    app.stop().await;
}
