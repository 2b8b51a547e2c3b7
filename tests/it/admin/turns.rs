//! Who runs and who waits, as the tiers say.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{EXECUTE, TIERS, patch};
use crate::support::TestApp;

const SHORT: &str = "import time; time.sleep(0.03)";

async fn user(app: &TestApp, name: &str, tier: &str) -> String {
    let made = app.post("/api/v1/admin/users", &json!({"name": name, "tier": tier})).await;
    serde_json::from_str::<Value>(&made.text).unwrap()["key"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_of_one_user_run_and_wait() {
    let app = TestApp::builder().queue(8, 100).start().await;
    let traffic = json!({"traffic": {"running": 1, "waiting": 2, "wait_ms": 600_000}});
    patch(&app, &format!("{TIERS}/FREE"), traffic).await.json();
    let key = app.user("busy").await;
    let other = app.user("other").await;
    let run = async |code: &str| app.ask_as(&key, Method::POST, EXECUTE, &json!({"code": code})).await;
    let body = json!({"code": "import time; time.sleep(1)"});
    let slow = app.ask_as(&key, Method::POST, EXECUTE, &body);
    let others = async {
        app.until_running(1).await;
        // The first runs: two wait, and the others are told to come later; who they are is the network's choice.
        let all = futures::future::join_all((0..4).map(|_| async { run("1").await })).await;
        // Another user is not concerned.
        let answer = app.ask_as(&other, Method::POST, EXECUTE, &json!({"code": "2"})).await;
        assert_eq!(answer.status, StatusCode::OK);
        all
    };
    let (slow, others) = tokio::join!(slow, others);
    assert_eq!(slow.status, StatusCode::OK);
    let refused: Vec<_> = others.iter().filter(|answer| answer.status != StatusCode::OK).collect();
    assert_eq!(refused.len(), 2);
    for answer in refused {
        answer.problem(429, "busy");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    // And nobody waits for longer than the tier says.
    let traffic = json!({"traffic": {"wait_ms": 100}});
    patch(&app, &format!("{TIERS}/FREE"), traffic).await.json();
    let late = async {
        app.until_running(1).await;
        run("1").await
    };
    let (slow, late) = tokio::join!(app.ask_as(&key, Method::POST, EXECUTE, &body), late);
    assert_eq!(slow.status, StatusCode::OK);
    late.problem(429, "busy");
    // Whoever has waited in vain holds no place.
    assert_eq!(run("1").await.status, StatusCode::OK);
    app.stop().await;
}

/// A tier that floods the server fills its own part of the waiting room: the others find room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_leaves_room_to_wait() {
    let app = TestApp::builder().queue(1, 10).start().await;
    let traffic = json!({"traffic": {"running": 100, "waiting": 1000, "wait_ms": 600_000}});
    for tier in ["FREE", "PRO"] {
        patch(&app, &format!("{TIERS}/{tier}"), traffic.clone()).await.json();
    }
    let (flood, paid) = (user(&app, "flood", "FREE").await, user(&app, "paid", "PRO").await);
    let ask = async |key: &str, code: &str| app.ask_as(key, Method::POST, EXECUTE, &json!({"code": code})).await.status;
    let first = ask(&flood, "import time; time.sleep(2)");
    let rest = async {
        app.until_running(1).await;
        // Ten wait, and what comes behind them is refused at once.
        let mut all: FuturesUnordered<_> = (0..14).map(|_| ask(&flood, "1")).collect();
        for _ in 0..4 {
            assert_eq!(all.next().await, Some(StatusCode::TOO_MANY_REQUESTS));
        }
        let others: Vec<_> = futures::future::join_all((0..8).map(|_| ask(&paid, "1"))).await;
        assert_eq!(others, [StatusCode::OK; 8]);
        all.collect::<Vec<_>>().await
    };
    let (first, rest) = tokio::join!(first, rest);
    assert_eq!((first, rest), (StatusCode::OK, vec![StatusCode::OK; 10]));
    app.stop().await;
}

/// Many wait for one place: tiers get it by their weights, the users of each in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_are_shared_by_weight() {
    let app = TestApp::builder().queue(1, 400).start().await;
    let traffic =
        json!({"traffic": {"running": 100, "waiting": 1000, "wait_ms": 600_000, "requests_per_second": 100_000}});
    for tier in ["FREE", "PRO"] {
        patch(&app, &format!("{TIERS}/{tier}"), traffic.clone()).await.json();
    }
    let flood = user(&app, "flood", "FREE").await;
    let calm = user(&app, "calm", "FREE").await;
    let paid = user(&app, "paid", "PRO").await;
    // Neither of them has used anything before.
    app.post(TIERS, &json!({"name": "THIRD"})).await;
    let third = user(&app, "third", "THIRD").await;
    let body = json!({"code": "import time; time.sleep(2)"});
    let first = app.ask_as(&third, Method::POST, EXECUTE, &body);
    let rest = async {
        app.until_running(1).await;
        let ask = async |who: &'static str, key: &str| {
            let answer = app.ask_as(key, Method::POST, EXECUTE, &json!({"code": SHORT})).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            who
        };
        let mut all: FuturesUnordered<_> = (0..100).map(|_| ask("flood", &flood)).collect();
        let mut few: FuturesUnordered<_> = (0..20).map(|_| ask("calm", &calm)).collect();
        let mut more: FuturesUnordered<_> = (0..60).map(|_| ask("paid", &paid)).collect();
        let mut order = Vec::new();
        loop {
            tokio::select! {
                Some(who) = all.next() => order.push(who),
                Some(who) = few.next() => order.push(who),
                Some(who) = more.next() => order.push(who),
                else => break,
            }
        }
        order
    };
    let (first, order) = tokio::join!(first, rest);
    assert_eq!((first.status, order.len()), (StatusCode::OK, 180));
    // Of the first 50, PRO's weight of 4 against 1 gives it 40; and of the others' ten, half are of the one who floods.
    let of = |who: &str| order.iter().take(50).filter(|other| **other == who).count();
    assert!((36..=44).contains(&of("paid")), "{order:?}");
    assert!(of("calm").abs_diff(of("flood")) <= 3, "{order:?}");
    app.stop().await;
}

/// A cell of a kernel that waits for its place is interrupted as one that runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_interrupted() {
    let app = TestApp::builder().queue(1, 10).start().await;
    let made = app.post("/api/v1/kernels", &json!({})).await;
    let kernel = serde_json::from_str::<Value>(&made.text).unwrap()["id"].as_str().unwrap().to_owned();
    let kernel = format!("/api/v1/kernels/{kernel}");
    let request = app.request(Method::POST, EXECUTE).header("accept", "text/event-stream");
    let endless = json!({"code": "print('begun')\nwhile True: pass"});
    let mut holder = request.json(&endless).send().await.unwrap();
    while !String::from_utf8_lossy(&holder.chunk().await.unwrap().unwrap()).contains("begun") {}
    let body = json!({"code": "x = 1"});
    let (execute, stop) = (format!("{kernel}/execute"), format!("{kernel}/interrupt"));
    let waiting = app.post(&execute, &body);
    let interrupt = async {
        while app.service.stats().queued == 0 {
            tokio::task::yield_now().await;
        }
        app.post(&stop, &json!({})).await.json();
    };
    let (waited, ()) = tokio::join!(waiting, interrupt);
    let problem = waited.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("before it began"), "{problem}");
    assert_eq!(app.service.stats().queued, 0);
    drop(holder);
    let report = app.post(&execute, &json!({"code": "print('x' in globals())"})).await.json();
    assert_eq!(report["stdout"], "False\n");
    app.stop().await;
}
