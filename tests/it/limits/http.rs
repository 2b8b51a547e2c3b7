//! Bad documents, over HTTP: large, many, deep, malicious; and others who are served meanwhile.

use std::fmt::Write as _;

use pymd::domain::{Limits, Outcome};
use pymd::service::RenderRequest;
use reqwest::Method;
use serde_json::{Value, json};

use super::limits;
use crate::support::{Answer, TestApp};

const MIB: usize = 1 << 20;

async fn render(app: &TestApp, content: &str) -> Value {
    app.post("/api/v1/render", &json!({"content": content})).await.json()
}

fn kinds(report: &Value) -> Vec<&str> {
    report["cells"].as_array().unwrap().iter().map(|cell| cell["outcome"]["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn ten_megabytes_are_a_document() {
    let app = TestApp::start().await;
    let prose = "A *word* and `another` one, <b>over</b> and over.\n\n".repeat(10 * MIB / 50);
    let report = render(&app, &format!("{prose}\n```\n6 * 7\n```\n")).await;
    assert_eq!(kinds(&report), ["completed"]);
    assert!(report["rendered"].as_str().unwrap().len() > 10 * MIB);
    let comment = "# a comment\n".repeat(10 * MIB / 12);
    let report = render(&app, &format!("```\n{comment}6 * 7\n```\n")).await;
    assert_eq!(kinds(&report), ["completed"]);
    assert!(report["rendered"].as_str().unwrap().contains("42"));
    let one_line = "x".repeat(10 * MIB);
    assert_eq!(kinds(&render(&app, &format!("{one_line}\n```\n1\n```\n")).await), ["completed"]);
    let valid = app.post("/api/v1/render/validate", &json!({"content": prose})).await.json();
    assert_eq!(valid["valid"], true);
    app.stop().await;
}

#[tokio::test]
async fn more_than_a_request_may_have_is_refused() {
    let app = TestApp::builder().body_limit_bytes(MIB).start().await;
    for path in ["/api/v1/render", "/api/v1/render/preview", "/api/v1/render/validate"] {
        app.post(path, &json!({"content": "x".repeat(MIB)})).await.problem(413, "too_large");
    }
    app.post("/api/v1/execute", &json!({"code": "#".repeat(MIB)})).await.problem(413, "too_large");
    assert_eq!(app.execute("print(1)").await.json()["stdout"], "1\n");
    app.stop().await;
}

/// Not through the client, whose patience ends before a busy machine has done it.
#[tokio::test]
async fn ten_thousand_cells_run_one_after_another() {
    let app = TestApp::builder().limits(Limits { wall_ms: 200_000, ..limits() }).start().await;
    let mut content = String::from("```\nn = 0\n```\n");
    for number in 1..10_000 {
        write!(content, "```\nn += 1{}\n```\n", if number == 9_999 { "; print(n)" } else { "" }).unwrap();
    }
    let valid = app.post("/api/v1/render/validate", &json!({"content": content})).await.json();
    assert_eq!(valid["valid"], true);
    let request = RenderRequest { content, ..RenderRequest::default() };
    let report = app.service.render(request, pymd::service::RenderContext::default()).await.unwrap();
    let wrong = report.cells.iter().filter(|cell| cell.outcome != Outcome::Completed).count();
    assert_eq!((report.cell_count, report.cells.len(), wrong), (10_000, 10_000, 0));
    assert!(report.rendered.contains("9999"));
    app.stop().await;
}

/// What cells print is Markdown: it may be as deep as it likes.
#[tokio::test]
async fn nested_markdown_from_prose_and_prints_is_laid_out() {
    let app = TestApp::start().await;
    let deep = [
        "\"\\n\".join(\"  \" * n + \"- x\" for n in range(2_000))",
        "\"> \" * 100_000 + \"x\"",
        "\"[\" * 100_000 + \"]\" * 100_000",
        "\"*_\" * 200_000",
        "\"<div>\" * 100_000",
        "\"- \" * 100_000",
        "\"`\" * 100_000 + \" \" + \"`\" * 99_999",
        "\"![\" * 50_000 + \"](x)\" * 50_000",
        "\"|a\" * 20_000 + \"\\n\" + \"|-\" * 20_000 + \"\\n|x\" * 1_000",
    ];
    for text in deep {
        let answer = app.post("/api/v1/render", &json!({"content": format!("```\nprint({text})\n```\n")})).await;
        assert_eq!(kinds(&answer.json()), ["completed"], "{text}");
    }
    for prose in ["> ".repeat(100_000), "- ".repeat(100_000), "[".repeat(200_000), "<div>".repeat(100_000)] {
        let report = render(&app, &format!("{prose}x\n\n```\n1\n```\n")).await;
        assert!(!report["rendered"].as_str().unwrap().is_empty(), "{}", &prose[..20]);
    }
    app.stop().await;
}

const ATTACKS: [&str; 9] = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<a href=\"javascript:alert(1)\">x</a>",
    "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
    "[x](javascript:alert(1))",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "</pre></code></div></section><script>alert(1)</script>",
    "<form action=//evil.example><input onfocus=alert(1) autofocus>",
];

/// Every way for a cell to show something.
const WAYS: [&str; 12] = [
    "print(A)",
    "import sys; print(A, file=sys.stderr)",
    "A",
    "raise ValueError(A)",
    "raise type(A, (Exception,), {})(A)",
    "exec(compile('1 / 0  # ' + A, A, 'exec'))",
    "class R:\n _repr_html_ = _repr_markdown_ = _repr_latex_ = __repr__ = lambda self: A\nR()",
    "class R:\n _repr_svg_ = lambda self: '<svg xmlns=\"http://www.w3.org/2000/svg\">' + A + '</svg>'\nR()",
    "class R:\n def _repr_mimebundle_(self, **_): return {A: A, 'text/plain': A, 'image/png': A, 'application/json': {A: A}}\nR()",
    "import pymd\npymd.text(A); pymd.h1(A); pymd.code(A, A); pymd.table([{A: A}])\nopen('v.mp4', 'wb').write(b'1'); pymd.video('v.mp4', caption=A)",
    "import pymd\npymd.image(b'\\x89PNG\\r\\n\\x1a\\n', caption=A)\nfrom IPython.display import *\ndisplay(HTML(A), Markdown(A), Latex(A), SVG('<svg>' + A + '</svg>'), JSON({A: A}), Javascript(A))",
    "import pandas\npandas.DataFrame({A: [A]})",
];

#[tokio::test]
async fn nothing_that_a_cell_shows_runs_in_the_page() {
    let app = TestApp::start().await;
    for attack in ATTACKS {
        let mut content = format!("# {attack}\n\n{attack}\n\n````\n{attack}\n````\n\n");
        for way in WAYS {
            write!(content, "```\nA = {}\n{way}\n```\n\n", Value::from(attack)).unwrap();
        }
        for standalone in [false, true] {
            let body = json!({"content": content, "standalone": standalone, "show_code": true});
            let report = app.post("/api/v1/render", &body).await.json();
            assert_eq!(report["cells"].as_array().unwrap().len(), WAYS.len());
            let html = report["rendered"].as_str().unwrap();
            assert!(html.contains("alert(1)") || attack.contains("action"), "{attack} is shown as text");
            for tag in tags(html) {
                assert!(is_harmless(&tag, standalone), "{attack}: {tag}");
            }
        }
    }
    app.stop().await;
}

/// What stands between `<` and `>`, in small letters.
fn tags(html: &str) -> Vec<String> {
    let inside = |start: &str| {
        let mut quoted = false;
        let end = start.find(|character| {
            quoted ^= character == '"';
            character == '>' && !quoted
        });
        start[..end.unwrap_or(start.len())].to_ascii_lowercase()
    };
    html.match_indices('<').map(|(at, _)| inside(&html[at + 1..])).collect()
}

fn is_harmless(tag: &str, standalone: bool) -> bool {
    let name: String = tag.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
    let page = ["html", "head", "body", "meta", "title", "style"];
    let never = ["script", "iframe", "object", "embed", "form", "base", "link", "svg", "math", "frame", "template"];
    if never.contains(&name.as_str()) || (!standalone && page.contains(&name.as_str())) {
        return false;
    }
    let mut outside = String::new();
    for (index, part) in tag.split('"').enumerate() {
        let value = part.trim_start();
        if index % 2 == 0 {
            outside.push_str(part);
        } else if value.starts_with("javascript:") || value.starts_with("data:text") || value.starts_with("vbscript:") {
            return false;
        }
    }
    let mut words = outside.split_ascii_whitespace().skip(1);
    words.all(|word| !word.starts_with("on") && !word.starts_with("srcdoc") && !word.starts_with("formaction"))
}

#[test]
fn the_attacks_would_be_seen() {
    for attack in ATTACKS.iter().filter(|attack| attack.starts_with('<')) {
        assert!(tags(attack).iter().any(|tag| !is_harmless(tag, true)), "{attack}");
    }
    assert!(tags("<p class=\"a\" title=\"on>x\">text</p>").iter().all(|tag| is_harmless(tag, false)));
}

/// The server has answers for others while all executor threads have their hands full.
#[tokio::test]
async fn others_are_served_while_hogs_run() {
    let app = TestApp::builder().limits(limits()).queue(8, 8).start().await;
    let mut hogs = Vec::new();
    for code in ["while True: pass", "while True: b'x' * (50 << 20)", "import os\nwhile True: os.write(1, b'')"] {
        let request = app.request(Method::POST, "/api/v1/execute").json(&json!({"code": code}));
        hogs.push(tokio::spawn(request.send()));
    }
    app.until_running(hogs.len()).await;
    for _ in 0..10 {
        assert_eq!(app.execute("print(1)").await.json()["stdout"], "1\n");
        assert_eq!(kinds(&render(&app, "```\nprint(1)\n```\n").await), ["completed"]);
        assert_eq!(Answer::of(app.anonymous(Method::GET, "/health").send().await.unwrap()).await.status, 200);
    }
    for hog in hogs {
        assert!(!hog.is_finished(), "they had to wait until it ended");
        hog.abort();
    }
    app.until_running(0).await;
    app.stop().await;
}
