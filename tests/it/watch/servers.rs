//! Watching through another server than the one where something happens, and after a server's end.

use pymd::domain::KernelPolicy;
use reqwest::Method;
use serde_json::json;

use super::{Ear, document, edit, kernel, names, position, run, with};
use crate::databases::{TestDatabase, on_both_databases};
use crate::support::TestApp;

on_both_databases![what_another_server_does_is_heard, after_the_end_of_a_server_one_begins_anew,];

struct Cluster {
    database: TestDatabase,
    objects: tempfile::TempDir,
}

impl Cluster {
    async fn server(&self) -> TestApp {
        let objects = format!("file://{}", self.objects.path().display());
        let config = KernelPolicy { save_after_ms: 20, ..KernelPolicy::default() };
        TestApp::builder().kernels(config).database_url(self.database.url()).objects_url(objects).start().await
    }
}

async fn what_another_server_does_is_heard(database: TestDatabase) {
    let cluster = Cluster { database, objects: tempfile::tempdir().unwrap() };
    let (one, two) = (cluster.server().await, cluster.server().await);
    let (kernel, document) = (kernel(&one).await, document(&one).await);
    let mut ear = Ear::of(&two).await;
    assert_eq!(ear.subscribe(json!({"document_id": document})).await["document"]["version"], 1);
    let begun = std::time::Instant::now();
    edit(&one, &document, "changed elsewhere").await;
    let told = ear.until_event("changed").await.pop().unwrap();
    eprintln!("heard at another server after {:?}", begun.elapsed());
    assert_eq!(told["event"]["version"], 2);
    let path = format!("/api/v1/documents/{document}");
    one.ask(Method::DELETE, &path, None).await;
    assert_eq!(names(&ear.until_event("deleted").await), ["deleted"]);
    one.post(&format!("{path}/restore"), &json!({})).await.json();
    assert_eq!(names(&ear.until_event("restored").await), ["restored"]);
    edit(&two, &document, "and here").await;
    assert_eq!(ear.until_event("changed").await.pop().unwrap()["event"]["version"], 3);

    let mut ear = Ear::of(&two).await;
    ear.subscribe(json!({"kernel_id": kernel})).await;
    run(&one, &kernel, "x = 1").await;
    let told = ear.until(|told| told["event"]["execution_count"] == 1).await.pop().unwrap();
    assert_eq!(told["event"]["event"], "state");
    one.post(&format!("/api/v1/kernels/{kernel}/hibernate"), &json!({})).await.json();
    ear.until_state("hibernated").await;
    // It comes here: now all of it is heard.
    run(&two, &kernel, "print(x)").await;
    let heard = ear.until_event("cell_done").await;
    assert!(names(&heard).contains(&"output"), "{heard:?}");
    // And goes away again.
    run(&one, &kernel, "x = 2").await;
    ear.until(|told| told["event"]["execution_count"] == 3).await;
    one.ask(Method::DELETE, &format!("/api/v1/kernels/{kernel}"), None).await;
    ear.until_event("deleted").await;
    one.stop().await;
    two.stop().await;
}

async fn after_the_end_of_a_server_one_begins_anew(database: TestDatabase) {
    let cluster = Cluster { database, objects: tempfile::tempdir().unwrap() };
    let app = cluster.server().await;
    let (kernel, document) = (kernel(&app).await, document(&app).await);
    let mut ear = Ear::of(&app).await;
    let of_kernel = ear.subscribe(json!({"kernel_id": kernel})).await;
    run(&app, &kernel, "x = 1").await;
    let heard = ear.until_event("cell_done").await;
    let of_document = ear.subscribe(json!({"document_id": document})).await;
    let of_document = if of_document["type"] == "subscribed" {
        of_document
    } else {
        ear.until(|told| told["type"] == "subscribed").await.pop().unwrap()
    };
    app.stop().await;
    let app = cluster.server().await;
    let mut ear = Ear::of(&app).await;
    let reset = ear.subscribe(with(json!({"kernel_id": kernel}), &position(&of_kernel, &heard))).await;
    assert_eq!((&reset["type"], &reset["reason"]), (&json!("reset"), &json!("epoch")));
    assert_eq!((&reset["kernel"]["state"], &reset["kernel"]["execution_count"]), (&json!("hibernated"), &json!(1)));
    assert_ne!(reset["epoch"], of_kernel["epoch"]);
    let reset = ear.subscribe(with(json!({"document_id": document}), &position(&of_document, &[]))).await;
    assert_eq!((&reset["type"], &reset["document"]["version"]), (&json!("reset"), &json!(1)));
    assert_eq!(app.workspace.kernels().live_count(), 0);
    app.stop().await;
}
