//! Running the system over REST: what admins change holds for the next cell, and is written down.

mod rates;
mod turns;
mod users;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::support::{Answer, TestApp};

const TIERS: &str = "/api/v1/admin/tiers";
const EXECUTE: &str = "/api/v1/execute";
const KERNELS: &str = "/api/v1/kernels";

async fn patch(app: &TestApp, path: &str, body: Value) -> Answer {
    app.ask(Method::PATCH, path, Some(body)).await
}

/// How a cell of somebody ends.
async fn outcome(app: &TestApp, key: &str, code: &str) -> Value {
    app.ask_as(key, Method::POST, EXECUTE, &json!({"code": code})).await.json()["outcome"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_tier_holds_for_the_next_cell() {
    let app = TestApp::start().await;
    let key = app.user("free").await;
    let work = "sum(range(3_000_000))";
    assert_eq!(outcome(&app, &key, work).await["kind"], "completed");
    let made = app.ask_as(&key, Method::POST, KERNELS, &json!({})).await;
    let kernel = serde_json::from_str::<Value>(&made.text).unwrap()["id"].as_str().unwrap().to_owned();
    let kernel = format!("{KERNELS}/{kernel}");
    let run = async |code: &str| {
        app.ask_as(&key, Method::POST, &format!("{kernel}/execute"), &json!({"code": code})).await.json()
    };
    assert_eq!(run(work).await["outcome"]["kind"], "completed");

    let changed = patch(&app, &format!("{TIERS}/FREE"), json!({"limits": {"fuel": 100_000_000}})).await.json();
    assert_eq!(changed["limits"]["fuel"], 100_000_000);
    assert_eq!(changed["limits"]["wall_ms"], 30_000, "what is not said stays");
    assert_eq!(outcome(&app, &key, work).await, json!({"kind": "out_of_fuel", "limit": 100_000_000}));
    assert_eq!(run(work).await["outcome"]["kind"], "out_of_fuel");
    let shown = app.ask_as(&key, Method::GET, &kernel, &Value::Null).await.json();
    assert_eq!(shown["limits"]["fuel"], 100_000_000);
    // A request may ask for less than the tier, not for more.
    let more = json!({"code": "1", "limits": {"fuel": 100_000_001}});
    let problem = app.ask_as(&key, Method::POST, EXECUTE, &more).await.problem(422, "invalid_request");
    assert_eq!(problem["field"], "limits.fuel");
    let text = json!({"content": "```python\nsum(range(3_000_000))\n```\n"});
    let rendered = app.ask_as(&key, Method::POST, "/api/v1/render", &text).await.json();
    assert!(rendered["rendered"].as_str().unwrap().contains("fuel"), "{rendered}");
    // Those of another tier do not notice.
    assert_eq!(app.execute(work).await.json()["outcome"]["kind"], "completed");

    // And back: also for a kernel that sleeps, and one that was made when there was less.
    let made = app.ask_as(&key, Method::POST, KERNELS, &json!({"limits": {"wall_ms": 10_000}})).await;
    let small = serde_json::from_str::<Value>(&made.text).unwrap()["id"].as_str().unwrap().to_owned();
    app.ask_as(&key, Method::POST, &format!("{kernel}/hibernate"), &json!({})).await.json();
    patch(&app, &format!("{TIERS}/FREE"), json!({"limits": {"fuel": 180_000_000_000_u64}})).await.json();
    assert_eq!(run(work).await["outcome"]["kind"], "completed");
    let path = format!("{KERNELS}/{small}/execute");
    let report = app.ask_as(&key, Method::POST, &path, &json!({"code": work})).await.json();
    assert_eq!(report["outcome"]["kind"], "completed");
    let shown = app.ask_as(&key, Method::GET, &format!("{KERNELS}/{small}"), &Value::Null).await.json();
    assert_eq!(shown["limits"]["wall_ms"], 10_000, "what was asked for stays");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiers_are_made_changed_and_deleted() {
    let app = TestApp::start().await;
    let list = app.get(TIERS).await.json();
    let names: Vec<_> = list["tiers"].as_array().unwrap().iter().map(|tier| tier["name"].clone()).collect();
    assert_eq!(names, ["FREE", "PRO"]);
    assert_eq!((&list["tiers"][0]["users"], &list["tiers"][1]["users"]), (&json!(0), &json!(1)));
    let request =
        json!({"name": "TEAM", "limits": {"fuel": 5}, "quotas": {"environments": 7}, "traffic": {"weight": 2}});
    let made = app.post(TIERS, &request).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.header("etag"), "\"1\"");
    let made: Value = serde_json::from_str(&made.text).unwrap();
    assert_eq!((&made["limits"]["fuel"], &made["limits"]["memory_bytes"]), (&json!(5), &json!(512 << 20)));
    assert_eq!((&made["quotas"]["environments"], &made["traffic"]["weight"]), (&json!(7), &json!(2)));
    app.post(TIERS, &request).await.problem(409, "conflict");

    // Two admins who have seen the same: the second is told.
    let path = format!("{TIERS}/TEAM");
    let change = async |etag: &str, fuel: u64| {
        let request = app.request(Method::PATCH, &path).header("if-match", etag);
        Answer::of(request.json(&json!({"limits": {"fuel": fuel}})).send().await.unwrap()).await
    };
    assert_eq!(change("\"1\"", 6).await.json()["version"], 2);
    change("\"1\"", 7).await.problem(412, "precondition_failed");
    assert_eq!(app.get(&path).await.json()["limits"]["fuel"], 6);
    // Of changes at once none is lost.
    let both = [json!({"limits": {"fuel": 8}}), json!({"limits": {"wall_ms": 9}})];
    let (one, other) = tokio::join!(patch(&app, &path, both[0].clone()), patch(&app, &path, both[1].clone()));
    assert_eq!((one.status, other.status), (StatusCode::OK, StatusCode::OK));
    let now = app.get(&path).await.json();
    assert_eq!((&now["limits"]["fuel"], &now["limits"]["wall_ms"]), (&json!(8), &json!(9)));

    let user = app.post("/api/v1/admin/users", &json!({"name": "one", "tier": "TEAM"})).await;
    let user: Value = serde_json::from_str(&user.text).unwrap();
    let problem = app.ask(Method::DELETE, &path, None).await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("another one"), "{problem}");
    let id = user["id"].as_str().unwrap();
    patch(&app, &format!("/api/v1/admin/users/{id}"), json!({"tier": "FREE"})).await.json();
    assert_eq!(app.ask(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    app.get(&path).await.problem(404, "not_found");
    app.ask(Method::DELETE, &format!("{TIERS}/FREE"), None).await.problem(409, "conflict");

    // All of it is in the log, with what was before and what is since.
    let log = app.get("/api/v1/admin/audit?act=tier&subject=tier%20TEAM&page_size=100").await.json();
    let acts: Vec<_> = log["entries"].as_array().unwrap().iter().map(|entry| entry["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["tier.delete", "tier.change", "tier.change", "tier.change", "tier.create"]);
    let first = &log["entries"][3];
    assert_eq!((&first["before"]["limits"]["fuel"], &first["after"]["limits"]["fuel"]), (&json!(5), &json!(6)));
    let admin = app.get("/api/v1/auth/me").await.json();
    assert_eq!(first["actor_id"], admin["id"]);
    assert!(first["request_id"].is_string());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiers_that_cannot_be_are_refused() {
    let app = TestApp::start().await;
    let before = app.get(&format!("{TIERS}/FREE")).await.json();
    for bad in [
        json!({"limits": {"fuel": 0}}),
        json!({"limits": {"fuel": -1}}),
        json!({"limits": {"fuel": u64::MAX}}),
        json!({"limits": {"memory_bytes": 1}}),
        json!({"limits": {"memory_bytes": 5_u64 << 30}}),
        json!({"limits": {"wall_ms": 0}}),
        json!({"limits": {"wall_ms": 1e300}}),
        json!({"limits": {"cpu_share": 0}}),
        json!({"limits": {"cpu_share": -0.5}}),
        json!({"limits": {"cpu_share": 1e9}}),
        json!({"limits": {"open_files": 0}}),
        json!({"limits": {"hats": 1}}),
        json!({"quotas": {"environments": -1}}),
        json!({"quotas": {"environments": u64::MAX}}),
        json!({"quotas": {"live_kernels": 0}}),
        json!({"quotas": {"hats": 1}}),
        json!({"quotas": {"documents": "many"}}),
        json!({"traffic": {"weight": 0}}),
        json!({"traffic": {"weight": 101}}),
        json!({"traffic": {"running": 0}}),
        json!({"traffic": {"wait_ms": 1e12}}),
        json!({"traffic": {"requests_per_second": 0}}),
        json!({"traffic": {"hats": 1}}),
        json!({"name": "OTHER"}),
    ] {
        let answer = patch(&app, &format!("{TIERS}/FREE"), bad.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {}", answer.text);
    }
    for name in ["", "a b", "ü", &"x".repeat(51), "../x"] {
        app.post(TIERS, &json!({"name": name})).await.problem(422, "invalid_request");
    }
    assert_eq!(app.get(&format!("{TIERS}/FREE")).await.json(), before);
    // It is for admins.
    let key = app.user("plain").await;
    let paths = ["tiers", "tiers/FREE", "users", "audit"];
    for path in paths {
        let path = format!("/api/v1/admin/{path}");
        app.ask_as(&key, Method::GET, &path, &Value::Null).await.problem(403, "forbidden");
    }
    app.ask_as(&key, Method::PATCH, &format!("{TIERS}/FREE"), &json!({})).await.problem(403, "forbidden");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_may_have_other_limits() {
    let app = TestApp::start().await;
    let made = app.post("/api/v1/environments", &json!({"name": "large"})).await;
    let id = serde_json::from_str::<Value>(&made.text).unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/admin/environments/{id}/limits");
    assert_eq!(app.get(&path).await.json(), json!({}));
    let put = async |body: Value| app.ask(Method::PUT, &path, Some(body)).await;
    assert_eq!(put(json!({"fuel": 90_000_000})).await.json(), json!({"fuel": 90_000_000}));
    put(json!({"fuel": 0})).await.problem(422, "invalid_request");
    let run = async |environment: Option<&str>| {
        let body = json!({"code": "sum(range(3_000_000))", "environment_id": environment});
        app.post(EXECUTE, &body).await.json()["outcome"]["kind"].clone()
    };
    assert_eq!((run(Some(&id)).await, run(None).await), (json!("out_of_fuel"), json!("completed")));
    put(json!({})).await.json();
    assert_eq!(run(Some(&id)).await, "completed");
    let unknown = "/api/v1/admin/environments/00000000-0000-7000-8000-000000000000/limits";
    app.get(unknown).await.problem(404, "not_found");
    app.stop().await;
}

/// Who can write to the database by the server's own means can't change what was written down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_only_added_to() {
    let app = TestApp::start().await;
    patch(&app, &format!("{TIERS}/FREE"), json!({"traffic": {"weight": 3}})).await.json();
    let file = app.data_dir.path().join("pymd.db");
    let mut database = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    for statement in ["DELETE FROM audit", "UPDATE audit SET act = 'nothing'"] {
        let error = database.execute(statement).await.unwrap_err();
        assert!(error.to_string().contains("only added to"), "{error}");
    }
    database.close().await.unwrap();
    for (query, count) in [
        ("", 1),
        ("act=tier.change", 1),
        ("act=tier", 1),
        ("act=tie", 0),
        ("act=%25", 0),
        ("subject=tier%20FREE", 1),
        ("from=2100-01-01T00:00:00Z", 0),
        ("until=2100-01-01T00:00:00Z", 1),
        ("actor_id=00000000-0000-7000-8000-000000000000", 0),
    ] {
        assert_eq!(app.get(&format!("/api/v1/admin/audit?{query}")).await.json()["total"], count, "{query}");
    }
    app.stop().await;
}
