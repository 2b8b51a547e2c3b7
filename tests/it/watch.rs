//! Kernels and documents that are watched over a WebSocket, while others work with them over REST.

mod documents;
mod feeds;
mod hostile;
mod kernels;
mod servers;

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::support::TestApp;

/// What comes, comes so soon.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that listens.
pub(crate) struct Ear(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Ear {
    async fn of(app: &TestApp) -> Self {
        Self::of_key(app, app.token()).await
    }

    pub(crate) async fn of_key(app: &TestApp, key: &str) -> Self {
        let mut request = format!("ws://{}/api/v1/ws", app.host).into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        Self(tokio_tungstenite::connect_async(request).await.unwrap().0)
    }

    async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message, or nothing where the server ended the connection.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("nothing came");
            match message?.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    async fn hear(&mut self) -> Value {
        let told = self.next().await.expect("the connection was ended");
        assert_eq!(told["version"], 1, "{told}");
        told
    }

    /// Subscribes, and answers how that begins.
    pub(crate) async fn subscribe(&mut self, mut what: Value) -> Value {
        what["type"] = json!("subscribe");
        self.say(&what).await;
        self.hear().await
    }

    /// All that comes until `is_last` comes.
    async fn until(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut heard = Vec::new();
        loop {
            let told = self.hear().await;
            let last = is_last(&told);
            heard.push(told);
            if last {
                return heard;
            }
        }
    }

    /// All that comes until an event of that name.
    async fn until_event(&mut self, name: &str) -> Vec<Value> {
        self.until(|told| told["event"]["event"] == name).await
    }

    /// All that comes until the kernel is in that state.
    async fn until_state(&mut self, state: &str) -> Vec<Value> {
        self.until(|told| told["event"]["event"] == "state" && told["event"]["state"] == state).await
    }
}

/// The numbers of events.
#[track_caller]
fn seqs(told: &[Value]) -> Vec<u64> {
    told.iter().map(|told| told["seq"].as_u64().unwrap_or_else(|| panic!("{told}"))).collect()
}

/// The names of events.
fn names(told: &[Value]) -> Vec<&str> {
    told.iter().map(|told| told["event"]["event"].as_str().unwrap_or_default()).collect()
}

/// Where to go on after these.
fn position(subscribed: &Value, told: &[Value]) -> Value {
    let after = told.last().map_or(&subscribed["seq"], |told| &told["seq"]);
    json!({"epoch": subscribed["epoch"], "after": after})
}

fn with(mut what: Value, more: &Value) -> Value {
    what.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    what
}

async fn made(app: &TestApp, path: &str, body: Value) -> String {
    let answer = app.post(path, &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    serde_json::from_str::<Value>(&answer.text).unwrap()["id"].as_str().unwrap().to_owned()
}

async fn kernel(app: &TestApp) -> String {
    made(app, "/api/v1/kernels", json!({})).await
}

async fn document(app: &TestApp) -> String {
    made(app, "/api/v1/documents", json!({"title": "Notes", "content": "```\nprint(1)\n```\n"})).await
}

async fn run(app: &TestApp, kernel: &str, code: &str) -> Value {
    app.post(&format!("/api/v1/kernels/{kernel}/execute"), &json!({"code": code})).await.json()
}

async fn edit(app: &TestApp, document: &str, content: &str) -> Value {
    app.ask(Method::PATCH, &format!("/api/v1/documents/{document}"), Some(json!({"content": content}))).await.json()
}
