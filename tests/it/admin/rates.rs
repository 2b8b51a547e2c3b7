//! Who sends more than they may is told to slow down, and nobody else notices.

use pymd::config::HttpConfig;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{TIERS, patch};
use crate::support::{Answer, TestApp};

const ME: &str = "/api/v1/auth/me";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_sends_as_much_as_the_tier_allows() {
    let app = TestApp::start().await;
    let traffic = json!({"traffic": {"requests_per_second": 1, "burst": 5}});
    patch(&app, &format!("{TIERS}/FREE"), traffic).await.json();
    let (fast, calm) = (app.user("fast").await, app.user("calm").await);
    let ask = async |key: &str| app.ask_as(key, Method::GET, ME, &Value::Null).await;
    let mut answers = Vec::new();
    for _ in 0..30 {
        answers.push(ask(&fast).await);
    }
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != StatusCode::OK).collect();
    // (A slow machine may take a while for thirty.)
    assert!(answers.len() - refused.len() >= 5 && refused.len() > 5, "{}", refused.len());
    for answer in refused {
        answer.problem(429, "too_fast");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    assert_eq!(ask(&calm).await.status, StatusCode::OK);
    assert_eq!(app.get(ME).await.status, StatusCode::OK);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_sends_so_much_whoever_it_says_it_is() {
    let config = HttpConfig { requests_per_second_by_address: 1, trusted_proxies: 1, ..HttpConfig::default() };
    let app = TestApp::builder().http(config).start().await;
    let ask = async |said: &str| {
        let request = app.anonymous(Method::GET, ME).header("x-forwarded-for", said);
        Answer::of(request.send().await.unwrap()).await
    };
    let mut refused = 0;
    for number in 0..40 {
        // What stands before the word of the proxy is the client's own.
        let answer = ask(&format!("10.0.0.{number}, 198.51.100.7")).await;
        match answer.status {
            StatusCode::UNAUTHORIZED => {}
            _ => {
                answer.problem(429, "too_fast");
                refused += 1;
            }
        }
    }
    assert!(refused > 5, "{refused}");
    ask("198.51.100.8").await.problem(401, "unauthorized");
    // All of a network of version 6 are one.
    let mut refused = 0;
    for number in 0..40 {
        let answer = ask(&format!("2001:db8::{number:x}")).await;
        refused += usize::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused > 5, "{refused}");
    ask("2001:db8:0:1::1").await.problem(401, "unauthorized");
    app.stop().await;
}
