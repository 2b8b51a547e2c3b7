use futures::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::{World, wheel};
use crate::packages::fake_index::{Beside, File, Gate, Style, page};
use crate::packages::wheel_builder::Wheel;
use crate::support::{Answer, TestApp};

impl World {
    async fn install_later(&self, environment: &str, package: &str) -> Value {
        let request = self.app.request(Method::POST, &format!("{environment}/packages"));
        let request = request.header("prefer", "respond-async").json(&json!({"packages": [package]}));
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(answer.header("preference-applied"), "respond-async");
        let job: Value = serde_json::from_str(&answer.text).unwrap();
        assert_eq!(answer.header("location"), format!("/api/v1/jobs/{}", job["id"].as_str().unwrap()));
        job
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_as_a_job_tells_how_far_it_is() {
    let world = World::start().await;
    world.publish("left", [wheel("left", "1.0", &["right"])]);
    world.publish("right", [wheel("right", "2.0", &[])]);
    let environment = world.environment("e").await;
    let job = world.install_later(&environment, "left").await;
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    let stream = world.app.request(Method::GET, &format!("{path}/events")).send().await.unwrap();
    assert_eq!(stream.headers()[header::CONTENT_TYPE], "text/event-stream");
    let text = stream.text().await.unwrap();
    let stages: Vec<&str> = ["resolve", "download", "unpack", "compile", "warm"]
        .into_iter()
        .filter(|stage| text.contains(&format!("\"stage\":\"{stage}\"")))
        .collect();
    assert!(stages.contains(&"compile") && stages.contains(&"warm"), "{text}");
    assert!(text.contains("event: done"), "{text}");

    let done = world.send(Method::GET, &path, None).await.json();
    assert_eq!((done["state"].as_str(), done["kind"].as_str()), (Some("succeeded"), Some("install")), "{done}");
    assert_eq!(done["result"]["successful"][0]["package_name"], "left");
    assert_eq!(world.names(&environment).await, ["left==1.0", "right==2.0"]);
    let list = world.send(Method::GET, "/api/v1/jobs?state=succeeded", None).await.json();
    assert_eq!((list["total"].as_u64(), list["jobs"][0]["id"].as_str()), (Some(1), job["id"].as_str()));

    // Who comes later hears all of it.
    let again = world.app.request(Method::GET, &format!("{path}/events")).send().await.unwrap().text().await.unwrap();
    assert_eq!(again, text, "word by word");
    assert_eq!(text.matches("event: progress").count() as u64, done["last_event"].as_u64().unwrap());
    assert_eq!(list["jobs"][0].get("request"), None, "lists are short");

    // From the last event on nothing is said again.
    let last = done["last_event"].as_u64().unwrap();
    let rest = world.app.request(Method::GET, &format!("{path}/events")).header("last-event-id", last.to_string());
    let rest = rest.send().await.unwrap().text().await.unwrap();
    assert!(!rest.contains("event: progress") && rest.contains("event: done"), "{rest}");
    world.send(Method::GET, "/api/v1/jobs/x", None).await.problem(404, "not_found");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_cancelled_and_changes_nothing() {
    let world = World::start().await;
    let gate = Gate::closed();
    let built = wheel("slow", "1.0", &[]);
    let file = File::new(&built.filename(), built.build()).beside(Beside::Absent);
    world.index.publish("slow", Style::Json, std::slice::from_ref(&file));
    world.index.script("/simple/slow/", [page("slow", Style::Json, &[file]).gated(&gate)]);
    let environment = world.environment("e").await;
    let job = world.install_later(&environment, "slow").await;
    gate.arrived(1).await;
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    let cancelled = world.send(Method::POST, &format!("{path}/cancel"), None).await.json();
    assert_eq!(cancelled["cancel_requested"], true);
    let events = world.app.request(Method::GET, &format!("{path}/events")).send().await.unwrap().text().await.unwrap();
    assert!(events.contains("\"state\":\"cancelled\""), "{events}");
    gate.open(2);
    assert_eq!(world.names(&environment).await, Vec::<String>::new());
    assert_eq!(world.install(&environment, &["slow"]).await.success_count, 1, "the gate was all that it waited for");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cancelled_while_it_warms_up_is_not_installed() {
    let world = World::start().await;
    let endless = Wheel::empty("endless", "1.0").file("endless/__init__.py", "while True: pass\n");
    world.publish("endless", [endless]);
    let environment = world.environment("e").await;
    let job = world.install_later(&environment, "endless").await;
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    let mut events = world.app.request(Method::GET, &format!("{path}/events")).send().await.unwrap().bytes_stream();
    let mut text = String::new();
    while !text.contains("\"stage\":\"warm\"") {
        text.push_str(std::str::from_utf8(&events.next().await.unwrap().unwrap()).unwrap());
    }
    world.send(Method::POST, &format!("{path}/cancel"), None).await.json();
    while let Some(piece) = events.next().await {
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    assert!(text.contains("\"state\":\"cancelled\""), "{text}");
    assert_eq!(world.names(&environment).await, Vec::<String>::new());
    let shown = world.send(Method::GET, &environment, None).await.json();
    assert_eq!(shown["package_count"], 0, "{shown}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_seen_to_be_wrong_becomes_no_job() {
    let world = World::start().await;
    let environment = world.environment("e").await;
    for (path, body) in [
        ("packages", json!({"packages": []})),
        ("packages/import", json!({"requirements": "-e ."})),
        ("packages", json!({"packages": vec!["a"; 11]})),
    ] {
        let request = world.app.request(Method::POST, &format!("{environment}/{path}"));
        let answer = request.header("prefer", "respond-async").json(&body).send().await.unwrap();
        Answer::of(answer).await.problem(422, "invalid_request");
    }
    assert_eq!(world.send(Method::GET, "/api/v1/jobs", None).await.json()["total"], 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_changes_more_than_a_few_environments_at_once() {
    let world = World::start().await;
    let gate = Gate::closed();
    world.index.script("/simple/slow/", [page("slow", Style::Json, &[]).gated(&gate)]);
    let environment = world.environment("e").await;
    let path = format!("{environment}/packages");
    let install = || world.send(Method::POST, &path, Some(json!({"packages": ["slow"]})));
    let mut going = futures::stream::FuturesUnordered::new();
    for _ in 0..6 {
        going.push(install());
    }
    // Four wait for the gate or for each other.
    for _ in 0..2 {
        let refused = going.next().await.unwrap();
        assert!(refused.header("retry-after") > "0", "{}", refused.text);
        refused.problem(429, "too_many");
    }
    gate.open(100);
    while let Some(answer) = going.next().await {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    drop(going);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_ends_with_its_key() {
    let app = TestApp::start().await;
    let made = app.post("/api/v1/api-keys", &json!({"name": "script"})).await;
    let made: Value = serde_json::from_str(&made.text).unwrap();
    let mut request = format!("ws://{}/api/v1/ws", app.host).into_client_request().unwrap();
    let bearer = format!("Bearer {}", made["key"].as_str().unwrap());
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    app.ask(Method::DELETE, &format!("/api/v1/api-keys/{}", made["id"].as_str().unwrap()), None).await;
    let subscribe = json!({"type": "subscribe", "job_id": "01890a5d-ac96-774b-bcce-b302099a8057"});
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    match socket.next().await.unwrap().unwrap() {
        Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1008),
        other => panic!("{other:?}"),
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_hears_of_jobs() {
    let world = World::start().await;
    world.publish("left", [wheel("left", "1.0", &[])]);
    let environment = world.environment("e").await;
    let address = format!("ws://{}/api/v1/ws", world.app.host);
    let denied = tokio_tungstenite::connect_async(address.as_str()).await.unwrap_err();
    assert!(denied.to_string().contains("401"), "{denied}");
    let mut request = address.as_str().into_client_request().unwrap();
    let bearer = format!("Bearer {}", world.app.token());
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    for text in ["", "[]", "{\"type\": \"shout\"}", "{\"type\": \"subscribe\", \"job_id\": 1}"] {
        socket.send(Message::text(text)).await.unwrap();
        let answer: Value = serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
        assert_eq!((answer["version"].as_u64(), answer["type"].as_str()), (Some(1), Some("error")), "{answer}");
    }
    let job = world.install_later(&environment, "left").await;
    let subscribe = json!({"type": "subscribe", "job_id": job["id"]});
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    let mut seen = Vec::new();
    let done = loop {
        let message = socket.next().await.unwrap().unwrap();
        if !message.is_text() {
            continue;
        }
        let told: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        match told["type"].as_str().unwrap() {
            "job_event" => seen.push(told["event"]["seq"].as_u64().unwrap()),
            "job_done" => break told,
            other => panic!("{other}: {told}"),
        }
    };
    assert_eq!(done["job"]["state"], "succeeded");
    assert!(!seen.is_empty() && seen.iter().zip(1..).all(|(seq, wanted)| *seq == wanted), "{seen:?}");

    let nobodys = json!({"type": "subscribe", "job_id": "01890a5d-ac96-774b-bcce-b302099a8057"});
    socket.send(Message::text(nobodys.to_string())).await.unwrap();
    let answer: Value = serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(answer["type"], "error");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_of_another_sites_page_is_refused() {
    let app = TestApp::start().await;
    let opened = app.anonymous(Method::GET, &format!("/?token={}", app.token())).send().await.unwrap();
    let cookie = opened.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let connect = async |origin: &str| {
        let mut request = format!("ws://{}/api/v1/ws", app.host).into_client_request().unwrap();
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        request.headers_mut().insert("origin", origin.parse().unwrap());
        tokio_tungstenite::connect_async(request).await
    };
    let own = format!("http://{}", app.host);
    connect(&own).await.unwrap();
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        let refused = connect(origin).await.unwrap_err();
        assert!(refused.to_string().contains("403"), "{origin}: {refused}");
    }
    app.stop().await;
}
