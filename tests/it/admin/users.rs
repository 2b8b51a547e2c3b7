//! Users as admins see them.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{EXECUTE, KERNELS, outcome, patch};
use crate::support::TestApp;

const USERS: &str = "/api/v1/admin/users";

/// A user: the id, and the key.
async fn user(app: &TestApp, body: Value) -> (String, String) {
    let made: Value = serde_json::from_str(&app.post(USERS, &body).await.text).unwrap();
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_found_and_changed() {
    let app = TestApp::start().await;
    let (ada, key) = user(&app, json!({"name": "Ada Ölund", "email": "ada@example.org"})).await;
    let (_, _) = user(&app, json!({"name": "Bob", "tier": "PRO"})).await;
    for (query, count) in [
        ("", 3),
        ("search=ADA", 1),
        ("search=example.org", 1),
        ("search=%25", 0),
        ("tier=PRO", 2),
        ("tier=NONE", 0),
        ("role=admin", 1),
        ("suspended=true", 0),
        ("suspended=false&tier=PRO&search=bob", 1),
    ] {
        assert_eq!(app.get(&format!("{USERS}?{query}")).await.json()["total"], count, "{query}");
    }
    app.get(&format!("{USERS}?role=king")).await.problem(422, "invalid_request");

    let path = format!("{USERS}/{ada}");
    assert_eq!(app.get(&path).await.json()["quotas"]["environments"], 3);
    let overrides = json!({"limits": {"fuel": 90_000_000}, "quotas": {"environments": 1}});
    let changed = patch(&app, &path, json!({"overrides": overrides})).await.json();
    assert_eq!((&changed["overrides"], &changed["limits"]["fuel"]), (&overrides, &json!(90_000_000)));
    assert_eq!(outcome(&app, &key, "sum(range(3_000_000))").await["kind"], "out_of_fuel");
    let environment =
        async |name: &str| app.ask_as(&key, Method::POST, "/api/v1/environments", &json!({"name": name})).await;
    assert_eq!(environment("one").await.status, StatusCode::CREATED);
    environment("two").await.problem(409, "quota_exceeded");
    for bad in [
        json!({"overrides": {"limits": {"fuel": 0}}}),
        json!({"overrides": {"quotas": {"hats": 3}}}),
        json!({"overrides": {"quotas": {"documents": -3}}}),
        json!({"tier": "NONE"}),
        json!({"role": "king"}),
        json!({"hats": 1}),
    ] {
        patch(&app, &path, bad).await.problem(422, "invalid_request");
    }
    patch(&app, &path, json!({"overrides": {}})).await.json();
    assert_eq!(environment("two").await.status, StatusCode::CREATED);
    // One who becomes an admin may at once what admins may.
    app.ask_as(&key, Method::GET, USERS, &Value::Null).await.problem(403, "forbidden");
    patch(&app, &path, json!({"role": "admin"})).await.json();
    app.ask_as(&key, Method::GET, USERS, &Value::Null).await.json();
    app.get(&format!("{USERS}/00000000-0000-7000-8000-000000000000")).await.problem(404, "not_found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_suspended_gets_in_no_more_and_what_runs_ends() {
    let app = TestApp::start().await;
    let (id, key) = user(&app, json!({"name": "gone"})).await;
    let made = app.ask_as(&key, Method::POST, KERNELS, &json!({})).await;
    let kernel = serde_json::from_str::<Value>(&made.text).unwrap()["id"].as_str().unwrap().to_owned();
    let endless = json!({"code": "print('begun')\nwhile True: pass"});
    let request = app.anonymous(Method::POST, &format!("{KERNELS}/{kernel}/execute")).bearer_auth(&key);
    let mut events = request.header("accept", "text/event-stream").json(&endless).send().await.unwrap();
    while !String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()).contains("begun") {}
    let suspended = patch(&app, &format!("{USERS}/{id}"), json!({"suspended": true})).await.json();
    assert!(suspended["suspended_at"].is_string());
    app.ask_as(&key, Method::POST, EXECUTE, &json!({"code": "1"})).await.problem(403, "suspended");
    // The kernel's cell is over long before its limit of time.
    for _ in 0..500 {
        if app.workspace.kernels().live_count() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(app.workspace.kernels().live_count(), 0);
    patch(&app, &format!("{USERS}/{id}"), json!({"suspended": false})).await.json();
    assert_eq!(outcome(&app, &key, "1").await["kind"], "completed");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_is_left_to_run_the_system() {
    let app = TestApp::start().await;
    let own = app.get("/api/v1/auth/me").await.json()["id"].as_str().unwrap().to_owned();
    for change in [json!({"role": "user"}), json!({"suspended": true})] {
        let problem = patch(&app, &format!("{USERS}/{own}"), change).await.problem(409, "conflict");
        assert!(problem["detail"].as_str().unwrap().contains("would be left"), "{problem}");
    }
    // Two admins who shut each other out at once: one of them stays.
    let (other, key) = user(&app, json!({"name": "second", "role": "admin"})).await;
    let body = json!({"suspended": true});
    let (theirs, ours) = (format!("{USERS}/{other}"), format!("{USERS}/{own}"));
    let (first, second) =
        tokio::join!(patch(&app, &theirs, body.clone()), app.ask_as(&key, Method::PATCH, &ours, &body));
    assert!((first.status == StatusCode::OK) != (second.status == StatusCode::OK), "{} {}", first.text, second.text);
    app.stop().await;
}
