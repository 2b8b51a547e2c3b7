//! Documents as PDF over REST: a real runtime, and a real Chromium.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use pymd::domain::UserId;
use pymd::service::{ExportFormat, ServiceError};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::browser::{pdf_images, pdf_pages, pdf_text, printer, until_nothing_is_left};

const REPORT: &str = "# Sales\n\nWhat was *sold*, and when.\n\n```\nimport pandas as pd\nimport matplotlib.pyplot as plt\n\
    df = pd.DataFrame({'month': ['January', 'February', 'March'], 'sold': [12, 40, 31]})\ndf\n```\n\n## As a figure\n\n\
    ```\nplt.plot(df['sold'])\nplt.title('Sold')\nplt.show()\n```\n\n```\n1 / 0\n```\n";

async fn stored(app: &TestApp, title: &str, content: &str) -> String {
    let answer = app.post("/api/v1/documents", &json!({"title": title, "content": content})).await;
    let made: Value = serde_json::from_str(&answer.text).unwrap();
    format!("/api/v1/render/documents/{}/export?format=pdf", made["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_printed_with_what_its_cells_showed() {
    let directory = tempfile::tempdir().unwrap();
    let app = TestApp::builder().printer(printer(directory.path(), |_| {})).start().await;
    let path = stored(&app, "Sales of 2024", REPORT).await;
    let answer = app.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/pdf");
    let name = answer.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().to_owned();
    assert!(name.starts_with("attachment") && name.contains("Sales_of_2024.pdf"), "{name}");
    let pdf = answer.bytes().await.unwrap();
    let text = pdf_text(&pdf);
    for part in ["Sales", "What was sold, and when.", "February", "40", "As a figure", "ZeroDivisionError", "1/"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!((1..=3).contains(&pdf_pages(&pdf)), "{} pages", pdf_pages(&pdf));
    assert!(pdf_images(&pdf).contains(" image "), "{}", pdf_images(&pdf));
    until_nothing_is_left(directory.path()).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_browser_that_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let no_browser = printer(directory.path(), |config| config.chromium = Some("/no/such/program".into()));
    let app = TestApp::builder().printer(no_browser).start().await;
    let path = stored(&app, "t", "text\n").await;
    let problem = app.get(&path).await.problem(501, "pdf_unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("PYMD_PDF_CHROMIUM"), "{problem}");
    assert_eq!(app.get(&path.replace("pdf", "html")).await.status, StatusCode::OK);
    app.get(&path.replace("pdf", "docx")).await.problem(422, "invalid_request");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_long_and_what_nobody_waits_for_ends() {
    let directory = tempfile::tempdir().unwrap();
    let hasty = printer(directory.path(), |config| config.timeout = Duration::from_millis(10));
    let app = TestApp::builder().printer(hasty).start().await;
    let path = stored(&app, "t", "text\n").await;
    let problem = app.get(&path).await.problem(422, "not_printable");
    assert!(problem["detail"].as_str().unwrap().contains("took longer"), "{problem}");
    until_nothing_is_left(directory.path()).await;
    app.stop().await;

    let patient = printer(directory.path(), |_| {});
    let app = TestApp::builder().printer(patient).start().await;
    let path = stored(&app, "t", &"word word\n\n".repeat(200_000)).await;
    let print = || tokio::spawn(app.request(Method::GET, &path).send());
    let prints = [print(), print()];
    while std::fs::read_dir(directory.path()).unwrap().count() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    app.get(&path).await.problem(429, "too_many");
    for print in prints {
        print.abort();
    }
    until_nothing_is_left(directory.path()).await;
    app.stop().await;
}

/// A browser takes a moment to end. Who asks and goes away, again and again, must not have one more each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_has_its_place_until_it_is_gone() {
    let (directory, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (program, stays) = (place.path().join("browser"), place.path().join("stays"));
    // A part of it outlives the others, as long as there is a file.
    let part = format!("touch started; while test -e {}; do sleep 0.01; done", stays.display());
    let script = format!("setsid sh -c '{part}' & exec sleep 1000");
    fs::write(&stays, "").unwrap();
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let slow = printer(directory.path(), |config| config.chromium = Some(program));
    let app = TestApp::builder().printer(slow).start().await;
    let path = stored(&app, "t", "text\n").await;
    let document = path.split('/').nth(5).unwrap().parse().unwrap();
    let user: UserId = app.get("/api/v1/auth/me").await.json()["id"].as_str().unwrap().parse().unwrap();
    let print = || app.workspace.export_document(user, document, ExportFormat::Pdf);
    let started = async |count: usize| {
        let entries = || fs::read_dir(directory.path()).unwrap().flatten();
        while entries().filter(|entry| entry.path().join("started").exists()).count() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        printed = futures::future::join(print(), print()) => panic!("{printed:?}"),
        () = started(2) => {}
    }
    let refused = print().await.unwrap_err();
    assert!(matches!(refused, ServiceError::TooMany { .. }), "{refused}");
    fs::remove_file(&stays).unwrap();
    until_nothing_is_left(directory.path()).await;
    tokio::select! {
        printed = print() => panic!("{printed:?}"),
        () = started(1) => {}
    }
    until_nothing_is_left(directory.path()).await;
    app.stop().await;
}
