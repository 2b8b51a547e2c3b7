use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::World;
use crate::support::{Answer, TestApp};

/// A server with a second user, and their key.
pub(super) async fn with_user(app: &TestApp, name: &str) -> (Value, String) {
    let made = app.post("/api/v1/admin/users", &json!({"name": name})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made: Value = serde_json::from_str(&made.text).unwrap();
    let key = made["key"].as_str().unwrap().to_owned();
    (made, key)
}

pub(super) async fn ask(app: &TestApp, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = app.anonymous(method, path).bearer_auth(key);
    let request = if let Some(body) = body { request.json(&body) } else { request };
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_open_and_revoked_keys_do_not() {
    let app = TestApp::start().await;
    let me = app.get("/api/v1/auth/me").await.json();
    assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some("admin"), Some("admin")));
    let made = app.post("/api/v1/api-keys", &json!({"name": "script"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made: Value = serde_json::from_str(&made.text).unwrap();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("pymd_") && key.starts_with(made["prefix"].as_str().unwrap()), "{made}");
    assert_eq!(ask(&app, key, Method::GET, "/api/v1/auth/me", None).await.json()["id"], me["id"]);

    let listed = app.get("/api/v1/api-keys").await;
    assert!(!listed.text.contains(key));
    assert_eq!(listed.json()["api_keys"].as_array().unwrap().len(), 1);
    let path = format!("/api/v1/api-keys/{}", made["id"].as_str().unwrap());
    assert_eq!(app.ask(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    ask(&app, key, Method::GET, "/api/v1/auth/me", None).await.problem(401, "unauthorized");
    for body in [json!({"name": " "}), json!({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}), json!({})] {
        app.post("/api/v1/api-keys", &body).await.problem(422, "invalid_request");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_what_is_anothers() {
    let world = World::start().await;
    let (made, key) = with_user(&world.app, "somebody").await;
    assert_eq!((made["role"].as_str(), made["tier"].as_str()), (Some("user"), Some("FREE")));
    let environment = world.environment("mine").await;
    let id = environment.rsplit('/').next().unwrap();
    let packages = format!("{environment}/packages");
    for (method, path, body) in [
        (Method::GET, environment.clone(), None),
        (Method::PATCH, environment.clone(), Some(json!({"name": "theirs"}))),
        (Method::DELETE, environment.clone(), None),
        (Method::POST, format!("{environment}/reset"), None),
        (Method::POST, format!("{environment}/clone"), Some(json!({"name": "copy"}))),
        (Method::GET, format!("{environment}/lockfile"), None),
        (Method::GET, format!("{environment}/requirements.txt"), None),
        (Method::GET, packages.clone(), None),
        (Method::POST, packages.clone(), Some(json!({"packages": ["rich"]}))),
        (Method::POST, format!("{packages}/import"), Some(json!({"requirements": "rich"}))),
        (Method::GET, format!("{packages}/rich"), None),
        (Method::DELETE, format!("{packages}/rich"), None),
    ] {
        ask(&world.app, &key, method, &path, body).await.problem(404, "not_found");
    }
    let request = world.app.request(Method::POST, &packages).header("prefer", "respond-async");
    let job = Answer::of(request.json(&json!({"packages": ["none"]})).send().await.unwrap()).await;
    let job = job.header("location").to_owned();
    for (method, path) in
        [(Method::GET, job.clone()), (Method::GET, format!("{job}/events")), (Method::POST, format!("{job}/cancel"))]
    {
        ask(&world.app, &key, method, &path, None).await.problem(404, "not_found");
    }
    assert_eq!(ask(&world.app, &key, Method::GET, "/api/v1/jobs", None).await.json()["total"], 0);
    for path in ["/api/v1/execute", "/api/v1/render"] {
        let field = if path.ends_with("execute") { "code" } else { "content" };
        let body = json!({field: "1", "environment_id": id});
        let problem = ask(&world.app, &key, Method::POST, path, Some(body)).await.problem(422, "invalid_request");
        assert_eq!(problem["field"], "environment_id");
    }
    let list = ask(&world.app, &key, Method::GET, "/api/v1/environments", None).await.json();
    assert_eq!((list["total"].as_u64(), list["environments"][0]["name"].as_str()), (Some(1), Some("default")));
    let admin = ask(&world.app, &key, Method::POST, "/api/v1/admin/users", Some(json!({"name": "x"}))).await;
    admin.problem(403, "forbidden");
    world.send(Method::GET, &environment, None).await.json();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_user_is_shut_out() {
    let app = TestApp::start().await;
    let (made, key) = with_user(&app, "somebody").await;
    ask(&app, &key, Method::GET, "/api/v1/auth/me", None).await.json();
    let id = made["id"].as_str().unwrap().parse().unwrap();
    app.workspace
        .database()
        .set_suspended(id, Some(made["created_at"].as_str().unwrap().parse().unwrap()))
        .await
        .unwrap();
    // It is remembered for two seconds that the key was good.
    let mut answer = ask(&app, &key, Method::GET, "/api/v1/auth/me", None).await;
    for _ in 0..500 {
        if answer.status != StatusCode::OK {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        answer = ask(&app, &key, Method::GET, "/api/v1/auth/me", None).await;
    }
    answer.problem(403, "suspended");
    app.stop().await;
}
