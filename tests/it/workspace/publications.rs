//! Published documents over REST, and in a real browser: readers see the last render, run nothing, and can be shut out.

use std::process::Stdio;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pymd::domain::{Quotas, UserId};
use pymd::store::{NewRender, Objects};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::accounts::{ask, with_user};
use crate::store::set_quotas;
use crate::support::{Answer, TestApp};

pub(super) struct Published {
    pub(super) app: TestApp,
    /// Of the document.
    pub(super) id: String,
    /// Its owner's.
    pub(super) key: String,
}

impl Published {
    /// A server with one document.
    pub(super) async fn start(content: &str) -> Self {
        let app = TestApp::start().await;
        let key = app.token().to_owned();
        let id = document(&app, &key, content).await;
        Self { app, id, key }
    }

    pub(super) fn document(&self) -> String {
        format!("/api/v1/documents/{}", self.id)
    }

    pub(super) fn publication(&self) -> String {
        format!("{}/publication", self.document())
    }

    /// Publishes it, and tells the link's path.
    pub(super) async fn publish(&self) -> String {
        let answer = self.ask(Method::POST, &self.publication()).await;
        assert!(answer.status.is_success(), "{}", answer.text);
        serde_json::from_str::<Value>(&answer.text).unwrap()["path"].as_str().unwrap().to_owned()
    }

    pub(super) async fn render(&self) -> Value {
        self.ask(Method::GET, &format!("/api/v1/render/documents/{}", self.id)).await.json()
    }

    /// Asks as the owner.
    pub(super) async fn ask(&self, method: Method, path: &str) -> Answer {
        ask(&self.app, &self.key, method, path, None).await
    }

    /// Changes the document's text.
    pub(super) async fn save(&self, content: &str) {
        self.app.ask(Method::PATCH, &self.document(), Some(json!({ "content": content }))).await.json();
    }

    /// Waits until the kept render is that of a version, for at most ten seconds.
    pub(super) async fn until_kept(&self, version: u64) -> Value {
        self.until(|state| state["last_render"]["version"] == version).await
    }

    /// Waits until what is told of the publication is as it should be, for at most ten seconds.
    pub(super) async fn until(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut state = Value::Null;
        for _ in 0..1000 {
            state = self.ask(Method::GET, &self.publication()).await.json();
            if is_so(&state) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it stays as it is: {state}");
    }

    /// What a reader gets.
    pub(super) async fn read(&self, path: &str) -> Answer {
        Answer::of(self.app.anonymous(Method::GET, path).send().await.unwrap()).await
    }

    /// What a reader gets who has that already.
    async fn read_again(&self, path: &str, etag: &str) -> Answer {
        let request = self.app.anonymous(Method::GET, path).header(header::IF_NONE_MATCH, etag);
        Answer::of(request.send().await.unwrap()).await
    }

    pub(super) fn objects(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut directories = vec![self.app.data_dir.path().join("objects/renders")];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { directories.push(path) } else { found.push(path.display().to_string()) }
            }
        }
        found
    }
}

pub(super) async fn document(app: &TestApp, key: &str, content: &str) -> String {
    let body = json!({"title": "The title", "content": content});
    let answer = ask(app, key, Method::POST, "/api/v1/documents", Some(body)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    serde_json::from_str::<Value>(&answer.text).unwrap()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_the_last_render_until_the_link_is_revoked() {
    let at = Published::start("# Report\n\n```\nimport time\nprint('first', time.time_ns())\n```\n").await;
    at.app.get(&at.publication()).await.problem(404, "not_found");
    let answer = at.app.ask(Method::POST, &at.publication(), None).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let state: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(state["last_render"], Value::Null);
    let path = state["path"].as_str().unwrap().to_owned();
    assert!(path.starts_with("/p/") && path.len() == 3 + 43, "256 bits: {path}");

    let answer = at.read(&path).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (404, "text/html; charset=utf-8"));
    assert!(answer.text.contains("Not rendered yet"), "{}", answer.text);
    at.render().await;
    let state = at.until_kept(1).await;
    let render = &state["last_render"];
    assert_eq!((render["cell_count"].as_u64(), render["failed_count"].as_u64()), (Some(1), Some(0)));
    assert_eq!((render["is_kept"].as_bool(), state["path"].as_str()), (Some(true), Some(path.as_str())));

    let page = at.read(&path).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("first") && page.text.contains("<title>The title</title>"), "{}", page.text);
    assert_eq!(render["size_bytes"].as_u64(), Some(page.text.len() as u64));
    assert_eq!(at.read(&path).await.text, page.text, "nothing runs");
    let etag = page.header("etag").to_owned();
    let same = at.read_again(&path, &etag).await;
    assert_eq!((same.status, same.header("etag"), same.text.as_str()), (StatusCode::NOT_MODIFIED, etag.as_str(), ""));
    let head = at.app.anonymous(Method::HEAD, &path).send().await.unwrap();
    assert_eq!((head.status(), head.headers()[header::ETAG].to_str().unwrap()), (StatusCode::OK, etag.as_str()));

    // The link stays what it is.
    assert_eq!(at.app.ask(Method::POST, &at.publication(), None).await.json()["path"], path);
    at.save("# Report\n\n```\nprint('second')\n```\n\n```\n1 / 0\n```\n").await;
    assert!(at.read(&path).await.text.contains("first"), "a save is no render");
    at.render().await;
    assert_eq!(at.until_kept(2).await["last_render"]["failed_count"], 1);
    let page = at.read_again(&path, &etag).await;
    assert!(page.text.contains("second") && page.text.contains("ZeroDivisionError"), "{}", page.text);

    let etag = page.header("etag").to_owned();
    assert_eq!(at.app.ask(Method::DELETE, &at.publication(), None).await.status, StatusCode::NO_CONTENT);
    for answer in [at.read(&path).await, at.read_again(&path, &etag).await, at.read_again(&path, "*").await] {
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert!(answer.text.contains("There is nothing here"), "{}", answer.text);
    }
    at.app.ask(Method::DELETE, &at.publication(), None).await.problem(404, "not_found");
    let other = at.publish().await;
    assert_ne!(other, path, "a revoked link never comes back");
    assert_eq!(at.read(&other).await.status, StatusCode::OK);
    assert_eq!(at.read(&path).await.status, StatusCode::NOT_FOUND);
    at.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_has_no_rights_and_is_not_kept_by_others() {
    let at = Published::start("text\n").await;
    let path = at.publish().await;
    at.render().await;
    at.until_kept(1).await;
    for path in [path.as_str(), "/p/nothing"] {
        let answer = at.read(path).await;
        let policy = answer.header("content-security-policy");
        for part in ["default-src 'none'", "sandbox", "form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'"]
        {
            assert!(policy.split("; ").any(|directive| directive == part), "{part} in {policy}");
        }
        assert!(!policy.contains("script") && !policy.contains("http"), "{policy}");
        for (name, value) in [
            ("x-robots-tag", "noindex, nofollow, noarchive"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "private, no-cache"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("content-type", "text/html; charset=utf-8"),
        ] {
            assert_eq!(answer.header(name), value, "{path}: {name}");
        }
    }
    at.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bin_hides_it_and_others_cant_touch_it() {
    let at = Published::start("text\n").await;
    let (made, key) = with_user(&at.app, "somebody").await;
    let path = at.publish().await;
    at.render().await;
    at.until_kept(1).await;
    for method in [Method::GET, Method::POST, Method::DELETE] {
        ask(&at.app, &key, method, &at.publication(), None).await.problem(404, "not_found");
    }
    at.app.ask(Method::DELETE, &at.document(), None).await;
    assert_eq!(at.read(&path).await.status, StatusCode::NOT_FOUND);
    at.app.ask(Method::POST, &at.publication(), None).await.problem(404, "not_found");
    at.app.ask(Method::POST, &format!("{}/restore", at.document()), None).await.json();
    assert_eq!(at.read(&path).await.status, StatusCode::OK);
    at.app.ask(Method::DELETE, &format!("{}?permanently=true", at.document()), None).await;
    assert_eq!(at.read(&path).await.status, StatusCode::NOT_FOUND);

    // What the sweeper finds later: nothing young.
    assert_eq!(at.objects().len(), 1);
    at.app.workspace.sweep_documents(Timestamp::now()).await.unwrap();
    assert_eq!(at.objects().len(), 1, "it may still be on its way to be named");
    at.app.workspace.sweep_documents(Timestamp::now() + SignedDuration::from_hours(2)).await.unwrap();
    assert_eq!(at.objects(), Vec::<String>::new());

    // Of a user who is shut out, nothing is shown.
    let body = json!({"title": "t", "content": "theirs"});
    let theirs = ask(&at.app, &key, Method::POST, "/api/v1/documents", Some(body)).await;
    let id = serde_json::from_str::<Value>(&theirs.text).unwrap()["id"].as_str().unwrap().to_owned();
    let answer = ask(&at.app, &key, Method::POST, &format!("/api/v1/documents/{id}/publication"), None).await;
    let path = serde_json::from_str::<Value>(&answer.text).unwrap()["path"].as_str().unwrap().to_owned();
    assert!(at.read(&path).await.text.contains("Not rendered yet"));
    let user: UserId = made["id"].as_str().unwrap().parse().unwrap();
    at.app.workspace.database().set_suspended(user, Some(Timestamp::now())).await.unwrap();
    assert!(at.read(&path).await.text.contains("There is nothing here"));
    at.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_of_one_owner_hold_up_no_others() {
    const BYTES: usize = 15 << 20;
    let at = Published::start("text\n").await;
    let (_, key) = with_user(&at.app, "somebody").await;
    let mut paths = Vec::new();
    for (number, token) in [at.app.token(); 5].into_iter().chain([key.as_str()]).enumerate() {
        let id = document(&at.app, token, "text").await;
        let me = ask(&at.app, token, Method::GET, "/api/v1/auth/me", None).await.json();
        // The last of the first owner and that of the other are the same page.
        let page = number.min(4).to_string().repeat(BYTES);
        keep_page(&at.app, me["id"].as_str().unwrap().parse().unwrap(), &id, page).await;
        let published = ask(&at.app, token, Method::POST, &format!("/api/v1/documents/{id}/publication"), None).await;
        let published: Value = serde_json::from_str(&published.text).unwrap();
        paths.push(published["path"].as_str().unwrap().to_owned());
    }
    let read = async |path: &str| at.app.anonymous(Method::GET, path).send().await.unwrap();
    let mut unread = Vec::new();
    for path in &paths[..4] {
        unread.push(read(path).await);
    }
    let refused = at.read(&paths[4]).await;
    refused.problem(429, "busy");
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(at.read(&paths[5]).await.text.len(), BYTES, "another owner's");
    assert_eq!(at.read(&paths[0]).await.text.len(), BYTES, "one that is being sent");
    let text = unread.remove(0).text().await.unwrap();
    assert!(text.len() == BYTES && text.starts_with('0'));
    for _ in 0..1000 {
        let answer = at.read(&paths[4]).await;
        if answer.status == StatusCode::OK {
            assert_eq!(answer.text.len(), BYTES);
            drop(unread);
            return at.app.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the page does not come");
}

/// Keeps a page as the last render of a document, as it is.
async fn keep_page(app: &TestApp, user: UserId, id: &str, page: String) {
    let objects = Objects::open(&format!("file://{}", app.data_dir.path().join("objects").display())).unwrap();
    let key = format!("renders/{id}");
    let new = NewRender {
        version: 2,
        inputs_key: String::new(),
        rendered_at: Timestamp::now(),
        cell_count: 0,
        failed_count: 0,
        size_bytes: page.len() as u64,
        digest: blake3::hash(page.as_bytes()).to_hex().to_string(),
        object_key: Some(key.clone()),
    };
    objects.put(&key, page.into_bytes()).await.unwrap();
    let kept = app.workspace.database().keep_render(user, id.parse().unwrap(), &new).await.unwrap();
    assert!(kept.is_kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_has_so_many_publications() {
    let at = Published::start("text\n").await;
    let quotas = Quotas { publications: 1, ..Quotas::default() };
    set_quotas(at.app.workspace.database(), quotas).await;
    let (_, key) = with_user(&at.app, "somebody").await;
    let mut answers = Vec::new();
    for title in ["one", "two"] {
        let made = ask(&at.app, &key, Method::POST, "/api/v1/documents", Some(json!({ "title": title }))).await;
        let id = serde_json::from_str::<Value>(&made.text).unwrap()["id"].as_str().unwrap().to_owned();
        answers.push(ask(&at.app, &key, Method::POST, &format!("/api/v1/documents/{id}/publication"), None).await);
    }
    assert_eq!(answers[0].status, StatusCode::CREATED);
    assert_eq!(answers[1].problem(409, "quota_exceeded")["field"], "publications");
    at.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_link_is_nothing() {
    let app = TestApp::start().await;
    let long = "a".repeat(10_000);
    for token in ["x", &"a".repeat(43), &long, "%00", "%ff", "..%2f..%2fetc", &"%41".repeat(43)] {
        let answer = Answer::of(app.anonymous(Method::GET, &format!("/p/{token}")).send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
        assert!(answer.text.contains("There is nothing here"), "{}", answer.text);
    }
    let answer = Answer::of(app.anonymous(Method::POST, "/p/x").send().await.unwrap()).await;
    answer.problem(405, "method_not_allowed");
    app.stop().await;
}

/// Even a page that no sanitiser has seen has no rights: no script of it runs, and it asks nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_browser_a_hostile_page_does_nothing() {
    let prints = "print('<script>document.title = \"pwned\"</script><img src=x onerror=\"document.title = `pwned`\">')";
    let at = Published::start(&format!("# Shown\n\n<script>document.title = 'pwned'</script>\n\n```\n{prints}\n```\n"))
        .await;
    let path = at.publish().await;
    at.render().await;
    at.until_kept(1).await;
    let title = browse(&at.app, &path).await;
    assert!(title.contains("<title>The title</title>") && title.contains("Shown"), "{title}");

    let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", outside.local_addr().unwrap());
    let page = format!(
        "<!DOCTYPE html><html><head><title>quiet</title><link rel=stylesheet href=\"{address}/a\"></head><body>\
         <h1>Shown</h1><script>document.title = 'pwned'; fetch('{address}/b')</script>\
         <img src=\"{address}/c\" onerror=\"document.title = 'pwned'\"><iframe src=\"{address}/d\"></iframe>\
         <style>body {{ background: url({address}/e) }}</style><svg onload=\"document.title = 'pwned'\"></svg>\
         <iframe srcdoc=\"<script>parent.document.title = 'pwned'</script>\"></iframe>\
         <iframe src=\"/api/v1/auth/me\"></iframe><object data=\"{address}/f\"></object></body></html>"
    );
    let admin = at.app.get("/api/v1/auth/me").await.json()["id"].as_str().unwrap().parse().unwrap();
    keep_page(&at.app, admin, &at.id, page).await;
    let shown = browse(&at.app, &path).await;
    assert!(shown.contains("<title>quiet</title>") && shown.contains("Shown"), "{shown}");
    // For a frame, which no sanitised page has, the browser connects ahead of the policy; it says nothing.
    while let Ok(Ok((mut caller, _))) = tokio::time::timeout(Duration::ZERO, outside.accept()).await {
        let mut asked = String::new();
        let _ = caller.read_to_string(&mut asked).await;
        assert_eq!(asked, "", "it asked somebody");
    }
    at.app.stop().await;
}

/// What a browser makes of a page.
async fn browse(app: &TestApp, path: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let mut chromium = tokio::process::Command::new("chromium");
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]);
    chromium.arg("--timeout=3000").arg(format!("--user-data-dir={}", profile.path().display()));
    chromium.arg("--dump-dom").arg(format!("http://{}{path}", app.host));
    chromium.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), chromium.output()).await.unwrap().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
