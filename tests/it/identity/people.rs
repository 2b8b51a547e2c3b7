//! What people say of themselves, have chosen, take along, and how they go.

use std::time::Duration;

use jiff::Timestamp;
use pymd::domain::UserId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ask, me};
use crate::support::oidc::Oidc;
use crate::support::{Answer, TestApp};
use crate::watch::Ear;

const ME: &str = "/api/v1/users/me";
const SETTINGS: &str = "/api/v1/users/me/settings";

async fn made(app: &TestApp, token: &str, path: &str, body: Value) -> Value {
    let answer = ask(app, token, Method::POST, path, Some(body)).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

#[tokio::test]
async fn settings_are_changed_piece_by_piece() {
    let app = TestApp::builder().preparing().start().await;
    let ada = app.user("ada").await;
    let bob = app.user("bob").await;
    let patch = async |body: Value| ask(&app, &ada, Method::PATCH, SETTINGS, Some(body)).await;
    let usual = ask(&app, &ada, Method::GET, SETTINGS, None).await.json();
    assert_eq!((&usual["theme"], &usual["editor"]["font_size"]), (&json!("system"), &json!(14)));
    patch(json!({"theme": "dark", "editor": {"font_size": 20}})).await.json();
    patch(json!({"language": "pt-BR", "editor": {"key_map": "vim"}})).await.json();
    let now = patch(json!({})).await.json();
    assert_eq!(
        now["editor"],
        json!({"font_size": 20, "tab_size": 4, "word_wrap": true, "line_numbers": true, "key_map": "vim"})
    );
    assert_eq!((&now["theme"], &now["language"]), (&json!("dark"), &json!("pt-BR")));
    assert_eq!(ask(&app, &ada, Method::GET, SETTINGS, None).await.json(), now);
    for bad in [
        json!({"hats": 1}),
        json!({"editor": {"hats": 1}}),
        json!({"editor": {"font_size": 5}}),
        json!({"editor": {"font_size": 1e9}}),
        json!({"editor": {"font_size": "20"}}),
        json!({"editor": 7}),
        json!({"editor": []}),
        json!({"theme": "pink"}),
        json!({"language": ""}),
        json!({"language": "x".repeat(40)}),
        json!({"language": "en-"}),
        json!({"language": "<script>"}),
        json!({"language": "en\u{0}"}),
        json!({"render": {"delay_ms": 99}}),
        json!({"render": {"format": "pdf"}}),
        json!([]),
        json!("dark"),
    ] {
        patch(bad).await.problem(422, "invalid_request");
    }
    assert_eq!(ask(&app, &ada, Method::GET, SETTINGS, None).await.json(), now, "nothing of that was taken over");
    let back = patch(json!({"theme": null, "editor": null})).await.json();
    assert_eq!(
        (&back["theme"], &back["editor"], &back["language"]),
        (&usual["theme"], &usual["editor"], &json!("pt-BR"))
    );
    assert_eq!(ask(&app, &bob, Method::GET, SETTINGS, None).await.json(), usual);
    // Two at once do not undo each other.
    let both = tokio::join!(patch(json!({"theme": "light"})), patch(json!({"render": {"automatic": false}})));
    assert_eq!((both.0.status, both.1.status), (StatusCode::OK, StatusCode::OK));
    let both = ask(&app, &ada, Method::GET, SETTINGS, None).await.json();
    assert_eq!((&both["theme"], &both["render"]["automatic"]), (&json!("light"), &json!(false)));
    app.stop().await;
}

#[tokio::test]
async fn a_name_of_ones_own_stays_until_the_provider_says_another() {
    let oidc = Oidc::start().await;
    let app = TestApp::builder().preparing().auth(oidc.auth()).start().await;
    let at = Timestamp::now().as_second() - 40;
    let said = async |name: &str, at: i64| oidc.mint(json!({"claims": {"name": name, "iat": at}})).await;
    let token = said("Ada", at).await;
    assert_eq!(me(&app, &token).await.json()["name"], "Ada");
    let renamed = ask(&app, &token, Method::PATCH, ME, Some(json!({"name": " Countess "}))).await.json();
    assert_eq!(renamed["name"], "Countess");
    assert_eq!(ask(&app, &token, Method::GET, ME, None).await.json()["name"], "Countess", "at once");
    assert_eq!(me(&app, &said("Ada", at + 1).await).await.json()["name"], "Countess");
    assert_eq!(me(&app, &said("Ada L.", at + 2).await).await.json()["name"], "Ada L.");
    for bad in
        [json!({"name": " "}), json!({"name": "x".repeat(201)}), json!({}), json!({"name": "x", "role": "admin"})]
    {
        ask(&app, &token, Method::PATCH, ME, Some(bad)).await.problem(422, "invalid_request");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_one_has_can_be_taken_along() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    made(&app, &bob, "/api/v1/documents", json!({"title": "of bob", "content": "secret of bob"})).await;
    let document = made(&app, &ada, "/api/v1/documents", json!({"title": "one", "content": "first text"})).await;
    let path = format!("/api/v1/documents/{}", document["id"].as_str().unwrap());
    ask(&app, &ada, Method::PATCH, &path, Some(json!({"content": "second \u{1f6a2}\ntext"}))).await.json();
    let file = app.anonymous(Method::PUT, &format!("{path}/files/a.txt")).bearer_auth(&ada).body("content");
    assert!(file.send().await.unwrap().status().is_success());
    let schedule = json!({"cron": "0 3 * * *"});
    assert!(ask(&app, &ada, Method::PUT, &format!("{path}/schedule"), Some(schedule)).await.status.is_success());
    for number in 0..120 {
        let title = format!("number {number}");
        made(&app, &ada, "/api/v1/documents", json!({"title": title, "content": "x"})).await;
    }
    let gone = made(&app, &ada, "/api/v1/documents", json!({"title": "gone", "content": "x"})).await;
    let gone = format!("/api/v1/documents/{}", gone["id"].as_str().unwrap());
    ask(&app, &ada, Method::DELETE, &gone, None).await;
    made(&app, &ada, "/api/v1/environments", json!({"name": "mine"})).await;
    made(&app, &ada, "/api/v1/execute", json!({"code": "1"})).await;
    ask(&app, &ada, Method::GET, "/api/v1/executions", None).await.json();

    let export = ask(&app, &ada, Method::GET, "/api/v1/users/me/export", None).await;
    assert_eq!(export.status, StatusCode::OK);
    assert_eq!(export.header("content-type"), "application/jsonl");
    assert!(export.header("content-disposition").contains("attachment"));
    assert!(!export.text.contains("bob") && !export.text.contains(&ada), "nothing of others, and no key");
    let lines: Vec<Value> = export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    for (kind, count) in [
        ("user", 1),
        ("settings", 1),
        ("api_key", 1),
        ("document", 121),
        ("document_version", 122),
        ("deleted_document", 1),
        ("file", 1),
        ("schedule", 1),
        ("execution", 1),
        ("error", 0),
    ] {
        assert_eq!(of(kind).len(), count, "{kind}");
    }
    assert_eq!(of("environment").len(), of("lockfile").len());
    assert!(of("environment").iter().any(|line| line["environment"]["name"] == "mine"));
    let texts: Vec<_> = of("document_version").iter().map(|line| line["document_version"]["content"].clone()).collect();
    assert!(texts.contains(&json!("first text")) && texts.contains(&json!("second \u{1f6a2}\ntext")));
    assert_eq!(lines.last().unwrap(), &json!({"kind": "end", "lines": lines.len() - 1}));
    app.stop().await;
}

/// Who is gone is gone: from the database, from what runs, and from what is watched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_leaves_nothing() {
    let oidc = Oidc::start().await;
    let app = TestApp::builder().auth(oidc.auth()).start().await;
    let token = oidc.mint(json!({"claims": {"name": "Ada", "email": "ada@example.org"}})).await;
    let id: UserId = me(&app, &token).await.json()["id"].as_str().unwrap().parse().unwrap();
    let key = made(&app, &token, "/api/v1/api-keys", json!({"name": "k"})).await["key"].as_str().unwrap().to_owned();
    let document = made(&app, &token, "/api/v1/documents", json!({"title": "t", "content": "x"})).await;
    let path = format!("/api/v1/documents/{}", document["id"].as_str().unwrap());
    let file = app.anonymous(Method::PUT, &format!("{path}/files/a.txt")).bearer_auth(&token).body("content");
    assert!(file.send().await.unwrap().status().is_success());
    made(&app, &token, "/api/v1/execute", json!({"code": "1"})).await;
    let kernel = made(&app, &token, "/api/v1/kernels", json!({})).await;
    let kernel = format!("/api/v1/kernels/{}/execute", kernel["id"].as_str().unwrap());
    let running = {
        let request =
            app.anonymous(Method::POST, &kernel).bearer_auth(&token).json(&json!({"code": "while True: pass"}));
        tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await })
    };
    app.until_running(1).await;
    let mut ear = Ear::of_key(&app, &key).await;

    let go = async |token: &str, body: Value| ask(&app, token, Method::DELETE, ME, Some(body)).await;
    for bad in [
        json!({}),
        json!({"confirm": ""}),
        json!({"confirm": "ada"}),
        json!({"confirm": true}),
        json!({"confirm": "Bob"}),
    ] {
        go(&token, bad).await.problem(422, "invalid_request");
    }
    let weak = made(&app, &token, "/api/v1/api-keys", json!({"name": "w", "scopes": ["read", "write"]})).await;
    go(weak["key"].as_str().unwrap(), json!({"confirm": "Ada"})).await.problem(403, "insufficient_scope");

    assert_eq!(go(&token, json!({"confirm": "ada@example.org"})).await.status, StatusCode::NO_CONTENT);
    me(&app, &key).await.problem(401, "unauthorized");
    let ended = tokio::time::timeout(Duration::from_secs(5), ear.next()).await;
    assert!(matches!(ended, Ok(None)), "{ended:?}");
    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
    let database = app.workspace.database();
    assert_eq!(database.user(id).await.unwrap(), None);
    assert!(database.some_documents(id, 1).await.unwrap().is_empty());
    assert!(database.some_kernels(id, 1).await.unwrap().is_empty());
    assert_eq!(app.workspace.kernels().live_count(), 0);
    let told = app.get("/api/v1/admin/audit?act=user.delete").await.json();
    assert_eq!(told["total"], 1, "{told}");
    // Who comes back is somebody new, with nothing.
    let again = me(&app, &token).await.json();
    assert_ne!(again["id"], json!(id));
    assert_eq!(ask(&app, &token, Method::GET, "/api/v1/documents", None).await.json()["total"], 0);
    assert_eq!(ask(&app, &token, Method::GET, "/api/v1/executions", None).await.json()["total"], 0);
    app.stop().await;
}

#[tokio::test]
async fn who_runs_the_server_stays() {
    let app = TestApp::builder().preparing().start().await;
    let go = async |token: &str, name: &str| ask(&app, token, Method::DELETE, ME, Some(json!({"confirm": name}))).await;
    go(app.token(), "admin").await.problem(409, "conflict");
    assert_eq!(me(&app, app.token()).await.status, StatusCode::OK);
    let admin = made(&app, app.token(), "/api/v1/admin/users", json!({"name": "eve", "role": "admin"})).await;
    assert_eq!(go(admin["key"].as_str().unwrap(), "eve").await.status, StatusCode::NO_CONTENT);
    app.stop().await;
}
