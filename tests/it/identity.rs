//! Who gets in, and what they may do then: tokens of a real identity provider, the scopes of keys, and the table of what
//! each route needs.

mod access;
mod keys;
mod login;
mod people;
mod settings;
mod tokens;
mod users;

use reqwest::Method;
use serde_json::Value;

use crate::support::{Answer, TestApp};

/// Who comes with this.
async fn me(app: &TestApp, token: &str) -> Answer {
    Answer::of(app.anonymous(Method::GET, "/api/v1/auth/me").bearer_auth(token).send().await.unwrap()).await
}

/// Asks with this, and with JSON where there is some.
async fn ask(app: &TestApp, token: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = app.anonymous(method, path).bearer_auth(token);
    let request = if let Some(body) = body { request.json(&body) } else { request };
    Answer::of(request.send().await.unwrap()).await
}
