use reqwest::Method;
use serde_json::json;

use super::{Ear, document, edit, names, position, seqs, with};
use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_editors_hear_of_each_other() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let path = format!("/api/v1/documents/{document}");
    let (mut ada, mut bob) = (Ear::of(&app).await, Ear::of(&app).await);
    for ear in [&mut ada, &mut bob] {
        let begun = ear.subscribe(json!({"document_id": document, "id": "d"})).await;
        assert_eq!((&begun["type"], &begun["id"]), (&json!("subscribed"), &json!("d")));
        assert_eq!((&begun["document"]["version"], &begun["document"]["etag"]), (&json!(1), &json!("\"1\"")));
        assert_eq!(begun["document"]["title"], "Notes");
    }
    for (version, content) in [(2, "# one"), (3, "# two")] {
        let now = edit(&app, &document, content).await;
        for ear in [&mut ada, &mut bob] {
            let told = ear.hear().await;
            assert_eq!((&told["type"], &told["event"]["event"]), (&json!("document_event"), &json!("changed")));
            assert_eq!((&told["event"]["version"], &told["seq"]), (&json!(version), &json!(version - 1)));
            assert_eq!(told["event"]["etag"], json!(format!("\"{version}\"")));
            assert_eq!(told["event"]["updated_at"], now["updated_at"]);
        }
    }
    app.post(&format!("{path}/versions/1/restore"), &json!({})).await.json();
    assert_eq!(ada.hear().await["event"]["version"], 4);
    // A change that changes nothing is none.
    edit(&app, &document, "```\nprint(1)\n```\n").await;
    app.get(&format!("/api/v1/render/documents/{document}")).await.json();
    let rendered = &ada.hear().await["event"];
    assert_eq!((&rendered["event"], &rendered["version"]), (&json!("rendered"), &json!(4)));
    assert_eq!((&rendered["succeeded"], &rendered["cell_count"]), (&json!(true), &json!(1)));
    assert_eq!((&rendered["failed_count"], rendered.get("job_id")), (&json!(0), None));
    app.ask(Method::DELETE, &path, None).await;
    let deleted = &ada.hear().await["event"];
    assert_eq!((&deleted["event"], deleted["deleted_at"].is_string()), (&json!("deleted"), true));
    // It can be watched in the bin, too.
    let mut late = Ear::of(&app).await;
    assert!(late.subscribe(json!({"document_id": document})).await["document"]["deleted_at"].is_string());
    app.post(&format!("{path}/restore"), &json!({})).await.json();
    assert_eq!(ada.hear().await["event"]["event"], "restored");
    assert_eq!(late.hear().await["event"]["event"], "restored");
    app.ask(Method::DELETE, &format!("{path}?permanently=true"), None).await;
    for ear in [&mut ada, &mut bob, &mut late] {
        ear.until_event("purged").await;
    }
    let gone = ada.subscribe(json!({"document_id": document})).await;
    assert_eq!((&gone["type"], &gone["code"]), (&json!("error"), &json!("not_found")));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_break_loses_no_change_of_a_document() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let mut ear = Ear::of(&app).await;
    let begun = ear.subscribe(json!({"document_id": document})).await;
    edit(&app, &document, "one").await;
    let heard = vec![ear.hear().await];
    let mut other = Ear::of(&app).await;
    other.subscribe(json!({"document_id": document})).await;
    drop(ear);
    for content in ["two", "three"] {
        edit(&app, &document, content).await;
        other.until_event("changed").await;
    }
    let mut ear = Ear::of(&app).await;
    let again = ear.subscribe(with(json!({"document_id": document}), &position(&begun, &heard))).await;
    assert_eq!((&again["resumed"], &again["document"]["version"]), (&json!(true), &json!(4)));
    let missed = ear.until(|told| told["event"]["version"] == 4).await;
    assert_eq!((seqs(&missed), names(&missed)), (vec![2, 3], vec!["changed"; 2]));
    app.stop().await;
}

/// A render as a job is heard of by those who watch the document.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_render_as_a_job_is_heard() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    edit(&app, &document, "```\n1/0\n```\n").await;
    let mut ear = Ear::of(&app).await;
    ear.subscribe(json!({"document_id": document})).await;
    let request = app.request(Method::POST, &format!("/api/v1/render/documents/{document}"));
    let job: serde_json::Value =
        request.header("prefer", "respond-async").json(&json!({})).send().await.unwrap().json().await.unwrap();
    let rendered = ear.until_event("rendered").await.pop().unwrap();
    assert_eq!((&rendered["event"]["job_id"], &rendered["event"]["failed_count"]), (&job["id"], &json!(1)), "{job}");
    app.stop().await;
}
