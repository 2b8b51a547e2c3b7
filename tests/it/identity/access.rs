//! The table of what each route needs, against the router, and against everybody.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use pymd::api::access::{Needs, routes};
use pymd::domain::{Scope, Scopes};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ask, me};
use crate::support::{Answer, TestApp};

/// A path of nobody's: its parts are nothing that is there.
fn nowhere(path: &str) -> String {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let path = path.replace("{id}", id).replace("{version}", "1").replace("{path}", "a.txt");
    path.replace("{name}", "nothing").replace("{token}", "nothing")
}

/// What the route takes, so that nothing but the place is in question.
fn body(method: &str, path: &str) -> Option<Value> {
    let last = path.rsplit('/').next()?;
    Some(match (method, last) {
        ("GET" | "DELETE", _) => return None,
        ("PUT", "schedule") => json!({"cron": "0 3 * * *", "time_zone": "UTC"}),
        ("PUT", _) => json!("a file"),
        (_, "clone") => json!({"name": "copy"}),
        (_, "packages") => json!({"packages": ["six"]}),
        (_, "import") if path.contains("environments") => json!({"requirements": "six"}),
        ("PATCH", _) if path.contains("environments") => json!({"name": "other"}),
        ("PATCH", _) => json!({"title": "other"}),
        (_, "execute") => json!({"code": "1"}),
        (_, "complete" | "inspect") => json!({"code": "x", "cursor": 1}),
        _ => json!({}),
    })
}

async fn send(app: &TestApp, token: Option<&str>, method: &str, path: &str) -> Answer {
    let request = app.anonymous(method.parse().unwrap(), path);
    let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
    let request = match body(method, path) {
        Some(body) => request.json(&body),
        None => request,
    };
    Answer::of(request.send().await.unwrap()).await
}

/// A key of the caller's with these scopes.
async fn key(app: &TestApp, token: &str, scopes: &[&str]) -> String {
    let made = ask(app, token, Method::POST, "/api/v1/api-keys", Some(json!({"name": "k", "scopes": scopes}))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made: Value = serde_json::from_str(&made.text).unwrap();
    assert_eq!(made["scopes"].as_array().unwrap().len(), scopes.len());
    made["key"].as_str().unwrap().to_owned()
}

#[test]
fn the_table_names_every_route_and_no_other() {
    let listed: Vec<_> = routes().map(|(method, path, _)| (method.to_owned(), path)).collect();
    let table: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(table.len(), listed.len(), "each once");
    let document = serde_json::to_value(pymd::api::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let described = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        methods.map(move |method| (method.to_uppercase(), path.clone()))
    });
    assert_eq!(table, described.collect::<BTreeSet<_>>());
}

/// What is open to all is a decision each time.
#[test]
fn little_is_open_to_all() {
    let public: Vec<_> = routes().filter(|(.., needs)| *needs == Needs::Public).map(|(_, path, _)| path).collect();
    assert_eq!(public, ["/health", "/p/{token}", "/api/v1/auth/login", "/api/v1/auth/callback"]);
}

#[tokio::test]
async fn nobody_gets_past_what_is_open_to_all() {
    let app = TestApp::builder().preparing().start().await;
    for (method, path, needs) in routes() {
        let answer = send(&app, None, method, &nowhere(&path)).await;
        if needs == Needs::Public {
            assert_ne!(answer.status, 401, "{method} {path}");
        } else {
            answer.problem(401, "unauthorized");
        }
    }
    // A method that is not in the table is closed, too, before anything is said of it.
    for (method, path, status) in [
        ("TRACE", "/api/v1/documents", 401),
        ("PUT", "/api/v1/execute", 401),
        ("POST", "/health", 405),
        ("DELETE", "/p/x", 405),
    ] {
        assert_eq!(send(&app, None, method, path).await.status, status, "{method} {path}");
    }
    let answer = send(&app, Some(app.token()), "PUT", "/api/v1/api-keys").await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "GET,POST,HEAD");
    assert_eq!(send(&app, Some(app.token()), "HEAD", "/api/v1/documents").await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_key_does_what_it_is_for_and_nothing_else() {
    let app = TestApp::builder().preparing().start().await;
    let all = ["read", "write", "execute", "admin"];
    let mut keys = Vec::new();
    for scope in all {
        keys.push((vec![scope], key(&app, app.token(), &[scope]).await));
    }
    keys.push((vec!["read", "write", "execute"], key(&app, app.token(), &["read", "write", "execute"]).await));
    keys.push((vec!["write", "execute"], key(&app, app.token(), &["write", "execute"]).await));
    for (scopes, key) in &keys {
        let has: Scopes = scopes.join(" ").parse().unwrap();
        for (method, path, needs) in routes() {
            let may = match needs {
                Needs::Public | Needs::User => true,
                Needs::Scoped(scope) => has.has(scope),
                Needs::OneOf(several) => several.iter().any(|scope| has.has(*scope)),
                Needs::All(several) => several.iter().all(|scope| has.has(*scope)),
                Needs::Admin => has.has(Scope::Admin),
            };
            let answer = send(&app, Some(key), method, &nowhere(&path)).await;
            if may {
                assert!(![401, 403].contains(&answer.status.as_u16()), "{scopes:?} {method} {path}: {}", answer.text);
            } else {
                answer.problem(403, "insufficient_scope");
                assert!(answer.header("www-authenticate").contains("error=\"insufficient_scope\""));
            }
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn users_do_not_get_where_only_admins_do() {
    let app = TestApp::builder().preparing().start().await;
    let user = app.user("ada").await;
    for (method, path, needs) in routes() {
        let answer = send(&app, Some(&user), method, &nowhere(&path)).await;
        if needs == Needs::Admin {
            answer.problem(403, "forbidden");
        } else {
            assert!(![401, 403].contains(&answer.status.as_u16()), "{method} {path}: {}", answer.text);
        }
        let answer = send(&app, Some(app.token()), method, &nowhere(&path)).await;
        assert!(![401, 403].contains(&answer.status.as_u16()), "{method} {path}: {}", answer.text);
    }
    app.stop().await;
}

/// Neither another user nor an admin can tell what somebody has from what nobody has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_anothers_is_not_there() {
    let app = TestApp::start().await;
    let (owner, other) = (app.user("owner").await, app.user("other").await);
    let made = |path: &'static str, body: Value| {
        let (app, owner) = (&app, &owner);
        async move {
            let answer = ask(app, owner, Method::POST, path, Some(body)).await;
            assert!(answer.status.is_success(), "{path}: {}", answer.text);
            serde_json::from_str::<Value>(&answer.text).unwrap()
        }
    };
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let document = id(&made("/api/v1/documents", json!({"title": "d", "content": "```\n1\n```\n"})).await);
    let environment = id(&made("/api/v1/environments", json!({"name": "e"})).await);
    let kernel = id(&made("/api/v1/kernels", json!({})).await);
    let key = id(&made("/api/v1/api-keys", json!({"name": "k"})).await);
    made("/api/v1/execute", json!({"code": "1"})).await;
    let ran = ask(&app, &owner, Method::GET, "/api/v1/executions", None).await.json();
    let execution = id(&ran["executions"][0]);
    let render = app.anonymous(Method::POST, &format!("/api/v1/render/documents/{document}")).bearer_auth(&owner);
    let render = Answer::of(render.header("prefer", "respond-async").json(&json!({})).send().await.unwrap()).await;
    assert_eq!(render.status, StatusCode::ACCEPTED, "{}", render.text);
    let job = id(&serde_json::from_str(&render.text).unwrap());
    let file = app.anonymous(Method::PUT, &format!("/api/v1/documents/{document}/files/a.txt")).bearer_auth(&owner);
    assert!(file.body("a").send().await.unwrap().status().is_success());

    let mut hidden = 0;
    for (method, path, _) in routes().filter(|(_, path, needs)| path.contains("{id}") && *needs != Needs::Admin) {
        let thing = [
            ("/documents/", &document),
            ("/environments/", &environment),
            ("/kernels/", &kernel),
            ("/api-keys/", &key),
            ("/executions/", &execution),
            ("/jobs/", &job),
        ];
        let (_, thing) = thing.into_iter().find(|(part, _)| path.contains(part)).unwrap_or_else(|| panic!("{path}"));
        let theirs = nowhere(&path.replace("{id}", thing));
        for token in [other.as_str(), app.token()] {
            let answer = send(&app, Some(token), method, &theirs).await;
            let nothing = send(&app, Some(token), method, &nowhere(&path)).await;
            let told = |answer: &Answer| {
                let value: Value = serde_json::from_str(&answer.text).unwrap_or_default();
                (answer.status, value["code"].clone(), value["detail"].clone())
            };
            assert_eq!(told(&answer), told(&nothing), "{method} {theirs}");
            assert!(answer.status.is_client_error(), "{method} {theirs}: {}", answer.text);
            hidden += usize::from(answer.status == 404);
        }
    }
    assert!(hidden > 60, "most say so plainly: {hidden}");
    // It is all still there.
    for path in [
        format!("/api/v1/documents/{document}"),
        format!("/api/v1/environments/{environment}"),
        format!("/api/v1/kernels/{kernel}"),
        format!("/api/v1/executions/{execution}"),
        format!("/api/v1/jobs/{job}"),
        format!("/api/v1/documents/{document}/files/a.txt"),
    ] {
        assert_eq!(ask(&app, &owner, Method::GET, &path, None).await.status, 200, "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_key_is_made_with_no_more_than_its_maker_has() {
    let app = TestApp::builder().preparing().start().await;
    let user = app.user("ada").await;
    let make = |token: String, body: Value| {
        let app = &app;
        async move { ask(app, &token, Method::POST, "/api/v1/api-keys", Some(body)).await }
    };
    assert_eq!(me(&app, &user).await.json()["scopes"], json!(["read", "write", "execute"]));
    for scopes in [json!(["admin"]), json!(["read", "admin"]), json!([]), json!(["all"]), json!("read"), json!([7])] {
        make(user.clone(), json!({"name": "x", "scopes": scopes})).await.problem(422, "invalid_request");
    }
    let limited = key(&app, &user, &["read", "write"]).await;
    make(limited.clone(), json!({"name": "x", "scopes": ["execute"]})).await.problem(422, "invalid_request");
    let made = make(limited.clone(), json!({"name": "x"})).await;
    let made: Value = serde_json::from_str(&made.text).unwrap();
    assert_eq!(made["scopes"], json!(["read", "write"]), "no more where nothing is said");
    let reader = key(&app, &user, &["read"]).await;
    make(reader, json!({"name": "x"})).await.problem(403, "insufficient_scope");

    // An admin's, unless they say otherwise, is an admin's; who is no admin any more has nothing of it.
    let admin =
        ask(&app, app.token(), Method::POST, "/api/v1/admin/users", Some(json!({"name": "b", "role": "admin"})));
    let admin: Value = serde_json::from_str(&admin.await.text).unwrap();
    let admin = admin["key"].as_str().unwrap();
    assert_eq!(me(&app, admin).await.json()["scopes"], json!(["read", "write", "execute", "admin"]));
    let plain = key(&app, admin, &["read", "write", "execute"]).await;
    make(plain, json!({"name": "x", "scopes": ["admin"]})).await.problem(422, "invalid_request");

    // A key that ends makes none that outlives it.
    let soon = Timestamp::now() + SignedDuration::from_hours(1);
    let later = soon + SignedDuration::from_hours(1);
    let ending = make(user.clone(), json!({"name": "x", "expires_at": soon})).await;
    let ending: Value = serde_json::from_str(&ending.text).unwrap();
    let ending = ending["key"].as_str().unwrap().to_owned();
    make(ending.clone(), json!({"name": "x", "expires_at": later})).await.problem(422, "invalid_request");
    let heir = make(ending, json!({"name": "x"})).await;
    let heir: Value = serde_json::from_str(&heir.text).unwrap();
    let ends: Timestamp = heir["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(ends <= soon, "{heir}");
    app.stop().await;
}
