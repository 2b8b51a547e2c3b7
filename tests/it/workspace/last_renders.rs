//! What is kept of the last render of a document: once, the latest, where there is room.

use std::time::Duration;

use jiff::Timestamp;
use pymd::domain::Quotas;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use super::accounts::with_user;
use super::publications::{Published, document};
use crate::store::set_quotas;
use crate::support::TestApp;

/// When the last render was.
fn rendered_at(state: &Value) -> Timestamp {
    state["last_render"]["rendered_at"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_render_is_kept_once_whatever_it_was_for() {
    let at = Published::start("# One\n\n```\nprint('x' * 3)\n```\n").await;
    at.publish().await;
    let render = format!("/api/v1/render/documents/{}", at.id);
    at.app.get(&format!("{render}?format=markdown&show_code=true")).await.json();
    let first = at.until_kept(1).await;
    let objects = at.objects();
    assert_eq!(objects.len(), 1);
    for path in [render.clone(), format!("{render}?format=json"), format!("{render}/export?format=ipynb")] {
        assert_eq!(at.app.get(&path).await.status, StatusCode::OK);
    }
    // All cells again, and the same page: it is looked for, and there.
    assert_eq!(at.app.get(&format!("{render}?fresh=true")).await.json()["cached"], false);
    at.save("# Two\n\n```\nprint('x' * 3)\n```\n").await;
    assert_eq!(at.render().await["cached"], true, "only prose was changed");
    let second = at.until_kept(2).await;
    let now = at.objects();
    assert!(now.len() == 1 && now != objects, "{objects:?} {now:?}");
    assert!(rendered_at(&first) < rendered_at(&second));
    // A later render that comes to the same page is the last one all the same.
    assert_eq!(at.app.get(&format!("{render}?fresh=true")).await.json()["cached"], false);
    let answered_at = Timestamp::now();
    let third = at.until(|state| rendered_at(state) > rendered_at(&second)).await;
    assert!(rendered_at(&third) < answered_at, "when its cells had run, not when it was kept");
    assert_eq!(at.objects(), now, "nothing is written again");
    at.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_for_which_there_was_no_room_comes_when_there_is() {
    let app = TestApp::start().await;
    let (_, key) = with_user(&app, "somebody").await;
    let at = Published { id: document(&app, &key, "# One\n").await, key: key.clone(), app };
    at.publish().await;
    at.render().await;
    let bytes = at.until_kept(1).await["last_render"]["size_bytes"].as_u64().unwrap();
    set_quotas(at.app.workspace.database(), Quotas { rendered_bytes: bytes + 9, ..Quotas::default() }).await;
    let other = Published { id: document(&at.app, &key, "# Two\n").await, key, app: at.app };
    let path = other.publish().await;
    other.render().await;
    assert_eq!(other.until_kept(1).await["last_render"]["is_kept"], false);
    assert!(other.read(&path).await.text.contains("Not rendered yet"));
    let first = format!("/api/v1/documents/{}/publication", at.id);
    assert_eq!(other.ask(Method::DELETE, &first).await.status, StatusCode::NO_CONTENT);
    other.render().await;
    other.until(|state| state["last_render"]["is_kept"] == true).await;
    assert!(other.read(&path).await.text.contains("Two"));
    other.app.stop().await;
}

/// More renders at once than are kept at once: the last one must not be lost, whoever is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_renders_the_last_is_kept() {
    let at = Published::start("```\nimport time\nprint(time.time_ns())\n```\n").await;
    let path = at.publish().await;
    at.render().await;
    at.until_kept(1).await;
    let file = at.app.data_dir.path().join("pymd.db");
    let mut other = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    // Nothing can be written down for a while.
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let mut last = Value::Null;
    for _ in 0..40 {
        last = at.app.get(&format!("/api/v1/render/documents/{}?fresh=true", at.id)).await.json();
    }
    other.execute("ROLLBACK").await.unwrap();
    let last = last["rendered"].as_str().unwrap().matches(char::is_numeric).collect::<String>();
    assert!(last.len() >= 19, "{last}");
    let last = &last[last.len() - 19..];
    let mut page = String::new();
    for _ in 0..1000 {
        page = at.read(&path).await.text;
        if page.contains(last) {
            return at.app.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{last} is not kept: {page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_too_large_is_not_kept_and_that_is_told() {
    let at = Published::start("```\nprint('y' * 9_000_000)\n```\n\n```\nprint('z' * 9_000_000)\n```\n").await;
    let path = at.publish().await;
    at.render().await;
    let state = at.until_kept(1).await;
    let render = &state["last_render"];
    assert_eq!(render["is_kept"], false, "{render}");
    assert!(render["size_bytes"].as_u64().unwrap() > 16 << 20, "{render}");
    assert!(at.read(&path).await.text.contains("Not rendered yet"));
    assert_eq!(at.objects(), Vec::<String>::new());
    at.save("small\n").await;
    at.render().await;
    at.until_kept(2).await;
    assert_eq!(at.read(&path).await.status, StatusCode::OK);
    at.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_was_lost_or_changed_is_not_shown() {
    let at = Published::start("# Here\n").await;
    let path = at.publish().await;
    at.render().await;
    at.until_kept(1).await;
    let objects = at.objects();
    std::fs::write(&objects[0], "<h1>forged</h1>").unwrap();
    at.read(&path).await.problem(500, "internal_error");
    std::fs::remove_file(&objects[0]).unwrap();
    assert!(at.read(&path).await.text.contains("Not rendered yet"));
    // The next render that is looked at keeps it again.
    at.publish().await;
    at.render().await;
    for _ in 0..1000 {
        if at.read(&path).await.status == StatusCode::OK {
            return at.app.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the page did not come back");
}
