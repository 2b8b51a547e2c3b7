//! Stopping: what runs comes to its end, what wants to begin is refused.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, TestApp};

#[tokio::test]
async fn running_code_comes_to_its_end() {
    let app = TestApp::start().await;
    let body = json!({"code": "import time; time.sleep(0.5); print('end')"});
    let running = tokio::spawn(app.request(Method::POST, "/api/v1/execute").json(&body).send());
    app.until_running(1).await;
    app.shutdown.cancel();
    let answer = Answer::of(running.await.unwrap().unwrap()).await;
    assert_eq!(answer.json()["stdout"], "end\n");
    let host = app.host.clone();
    app.wait().await;
    assert!(tokio::net::TcpStream::connect(host).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn endless_code_ends_with_the_grace_period() {
    let app = TestApp::builder().shutdown_grace(Duration::from_millis(300)).start().await;
    let body = json!({"code": "while True: pass"});
    let running = tokio::spawn(app.request(Method::POST, "/api/v1/execute").json(&body).send());
    app.until_running(1).await;
    let started = Instant::now();
    app.shutdown.cancel();
    Answer::of(running.await.unwrap().unwrap()).await.problem(503, "stopping");
    assert!(started.elapsed() >= Duration::from_millis(300));
    app.wait().await;
    assert!(started.elapsed() < Duration::from_secs(3));
}
