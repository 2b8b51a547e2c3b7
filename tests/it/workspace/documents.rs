//! Documents over REST, on both databases. No code runs: the server has no runtime.

mod files;
mod versions;

use futures::future::join_all;
use pymd::domain::Quotas;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::databases::{TestDatabase, on_both_databases};
use crate::store::set_quotas;
use crate::support::{Answer, TestApp};

on_both_databases![
    documents_are_made_listed_changed_and_deleted,
    of_two_editors_one_is_told,
    conditions_are_read_as_they_are_meant,
    bad_requests_are_told_apart,
    documents_are_found_by_words_and_tags,
    texts_are_as_large_as_the_tier_allows,
    the_quota_holds_also_for_requests_at_once,
    the_bin_gives_back,
    things_of_others_are_not_there,
];

const DOCUMENTS: &str = "/api/v1/documents";

/// A server, and one of its users.
struct World {
    app: TestApp,
    key: String,
}

impl World {
    async fn start(at: &TestDatabase) -> Self {
        let app = TestApp::builder().preparing().database_url(at.url()).start().await;
        let key = Self::new_key(&app).await;
        Self { app, key }
    }

    /// A key of a new user of the tier FREE.
    async fn new_key(app: &TestApp) -> String {
        let made = app.post("/api/v1/admin/users", &json!({"name": "somebody"})).await;
        let made: Value = serde_json::from_str(&made.text).unwrap();
        made["key"].as_str().unwrap().to_owned()
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.app.anonymous(method, path).bearer_auth(&self.key)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        Answer::of(request.send().await.unwrap()).await
    }

    async fn send_if(&self, method: Method, path: &str, condition: (&str, &str), body: Option<Value>) -> Answer {
        let request = self.request(method, path).header(condition.0, condition.1);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        Answer::of(request.send().await.unwrap()).await
    }

    /// Makes a document, and tells its address.
    async fn document(&self, body: Value) -> String {
        let answer = self.send(Method::POST, DOCUMENTS, Some(body)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.header("etag"), "\"1\"");
        let made: Value = serde_json::from_str(&answer.text).unwrap();
        format!("{DOCUMENTS}/{}", made["id"].as_str().unwrap())
    }

    async fn titles(&self, query: &str) -> Vec<String> {
        let list = self.send(Method::GET, &format!("{DOCUMENTS}?{query}"), None).await.json();
        let title = |document: &Value| document["title"].as_str().unwrap().to_owned();
        list["documents"].as_array().unwrap().iter().map(title).collect()
    }
}

async fn documents_are_made_listed_changed_and_deleted(at: TestDatabase) {
    let world = World::start(&at).await;
    let document = world.document(json!({"title": "First", "content": "# One\n", "tags": ["b", "a"]})).await;
    let shown = world.send(Method::GET, &document, None).await;
    assert_eq!((shown.header("etag"), shown.header("cache-control")), ("\"1\"", "private, no-cache"));
    let shown = shown.json();
    assert_eq!((shown["title"].as_str(), shown["content"].as_str()), (Some("First"), Some("# One\n")));
    assert_eq!((shown["render_format"].as_str(), shown["version"].as_u64()), (Some("html"), Some(1)));
    assert_eq!((&shown["tags"], &shown["environment_id"]), (&json!(["a", "b"]), &Value::Null));
    assert!(shown["created_at"].as_str().unwrap().ends_with('Z') && shown["updated_at"].is_string());
    assert!(shown.get("user_id").is_none());

    let environment = world.send(Method::POST, "/api/v1/environments", Some(json!({"name": "e"}))).await;
    let environment: Value = serde_json::from_str(&environment.text).unwrap();
    let change = json!({"title": "Second", "render_format": "markdown", "environment_id": environment["id"]});
    let changed = world.send(Method::PATCH, &document, Some(change)).await;
    assert_eq!(changed.header("etag"), "\"2\"");
    let changed = changed.json();
    assert_eq!((changed["title"].as_str(), changed["content"].as_str()), (Some("Second"), Some("# One\n")));
    assert_eq!(changed["environment_id"], environment["id"]);
    let changed = world.send(Method::PATCH, &document, Some(json!({"content": "two"}))).await.json();
    assert_eq!(changed["environment_id"], environment["id"], "what is absent stays");
    let changed = world.send(Method::PATCH, &document, Some(json!({"environment_id": null}))).await.json();
    assert_eq!((&changed["environment_id"], changed["version"].as_u64()), (&Value::Null, Some(4)));
    let same = world.send(Method::PATCH, &document, Some(json!({}))).await.json();
    assert_eq!(same, changed);

    let copy = world.send(Method::POST, &format!("{document}/duplicate"), None).await;
    assert_eq!((copy.status.as_u16(), copy.header("etag")), (201, "\"1\""));
    let copy: Value = serde_json::from_str(&copy.text).unwrap();
    assert_eq!((copy["title"].as_str(), copy["content"].as_str()), (Some("Second (copy)"), Some("two")));
    assert_ne!(copy["id"], changed["id"]);

    let list = world.send(Method::GET, &format!("{DOCUMENTS}?page_size=1"), None).await.json();
    assert_eq!((list["total"].as_u64(), list["has_more"].as_bool()), (Some(2), Some(true)));
    assert_eq!((list["page"].as_u64(), list["page_size"].as_u64()), (Some(1), Some(1)));
    assert_eq!(list["documents"][0]["title"], "Second (copy)");
    assert!(list["documents"][0].get("content").is_none(), "{list}");
    assert_eq!(list["documents"][0]["size_bytes"], 3);

    let deleted = world.send(Method::DELETE, &document, None).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    for method in [Method::GET, Method::DELETE] {
        world.send(method, &document, None).await.problem(404, "not_found");
    }
    world.send(Method::PATCH, &document, Some(json!({}))).await.problem(404, "not_found");
    world.app.stop().await;
}

async fn of_two_editors_one_is_told(at: TestDatabase) {
    let world = World::start(&at).await;
    let document = world.document(json!({"title": "x", "content": "0"})).await;
    for round in 1..=5 {
        let seen = world.send(Method::GET, &document, None).await.header("etag").to_owned();
        let edit = |editor: &'static str| {
            let body = json!({"content": format!("{editor} {round}")});
            world.send_if(Method::PATCH, &document, ("if-match", &seen), Some(body))
        };
        let answers = join_all(["ada", "bob"].map(edit)).await;
        let (done, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!((done.len(), lost.len()), (1, 1), "{answers:?}");
        let problem = lost[0].problem(412, "precondition_failed");
        let version = round + 1;
        assert!(problem["detail"].as_str().unwrap().contains(&format!("version {version} now")), "{problem}");
        assert_eq!(done[0].header("etag"), format!("\"{version}\""));
        let shown = world.send(Method::GET, &document, None).await.json();
        assert_eq!(shown, done[0].json(), "nothing was written over");
    }
    let problem = world.send_if(Method::DELETE, &document, ("if-match", "\"3\""), None).await;
    problem.problem(412, "precondition_failed");
    assert_eq!(world.send_if(Method::DELETE, &document, ("if-match", "\"6\""), None).await.status, 204);
    world.app.stop().await;
}

async fn conditions_are_read_as_they_are_meant(at: TestDatabase) {
    let world = World::start(&at).await;
    let document = world.document(json!({"title": "x"})).await;
    for known in ["\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"] {
        let answer = world.send_if(Method::GET, &document, ("if-none-match", known), None).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (304, ""), "{known}");
        assert_eq!(answer.header("etag"), "\"1\"");
    }
    for known in ["\"2\"", "1", "", "\"", "\"1"] {
        assert_eq!(world.send_if(Method::GET, &document, ("if-none-match", known), None).await.status, 200, "{known}");
    }
    let change = |n: u32| Some(json!({"title": n.to_string()}));
    for (at, condition) in [(1, "\"1\""), (2, "*"), (3, "\"9\", \"3\""), (4, "*, \"9\"")] {
        let answer = world.send_if(Method::PATCH, &document, ("if-match", condition), change(at)).await;
        assert_eq!(answer.status, 200, "{condition}: {}", answer.text);
    }
    // A weak tag never matches here, and neither does one that is not ours.
    for condition in ["W/\"5\"", "\"4\"", "\"x\"", "\"05x\"", "\"\"", "\"99999999999999999999999\"", ""] {
        let answer = world.send_if(Method::PATCH, &document, ("if-match", condition), change(9)).await;
        answer.problem(412, "precondition_failed");
    }
    for condition in ["5", "\"5", "\"", "\"5\" \"", "W/5"] {
        let answer = world.send_if(Method::PATCH, &document, ("if-match", condition), change(9)).await;
        assert!([400, 412].contains(&answer.status.as_u16()), "{condition}: {}", answer.text);
    }
    assert_eq!(world.send(Method::GET, &document, None).await.json()["version"], 5);
    let missing = format!("{DOCUMENTS}/01890a5d-ac96-774b-bcce-b302099a8057");
    for condition in [("if-match", "*"), ("if-none-match", "*")] {
        world.send_if(Method::GET, &missing, condition, None).await.problem(404, "not_found");
    }
    world.app.stop().await;
}

async fn bad_requests_are_told_apart(at: TestDatabase) {
    let world = World::start(&at).await;
    let many: Vec<_> = (0..21).map(|n| n.to_string()).collect();
    let nobodys = "01890a5d-ac96-774b-bcce-b302099a8057";
    for (body, field) in [
        (json!({}), None),
        (json!({"title": ""}), None),
        (json!({"title": " "}), None),
        (json!({"title": "a\nb"}), None),
        (json!({"title": "x".repeat(256)}), None),
        (json!({"title": "x", "render_format": "pdf"}), None),
        (json!({"title": "x", "colour": "red"}), None),
        (json!({"title": "x", "tags": ["a,b"]}), None),
        (json!({"title": "x", "tags": many}), Some("tags")),
        (json!({"title": "x", "content": "a\0b"}), Some("content")),
        (json!({"title": "x", "environment_id": nobodys}), Some("environment_id")),
    ] {
        let problem = world.send(Method::POST, DOCUMENTS, Some(body.clone())).await;
        let problem = problem.problem(422, "invalid_request");
        assert_eq!(problem.get("field").and_then(Value::as_str), field, "{body}: {problem}");
    }
    let document = world.document(json!({"title": "é".repeat(255), "tags": &many[..20]})).await;
    for body in [json!({"title": ""}), json!({"content": "\0"}), json!({"tags": many}), json!({"version": 7})] {
        world.send(Method::PATCH, &document, Some(body)).await.problem(422, "invalid_request");
    }
    assert_eq!(world.send(Method::GET, &document, None).await.json()["version"], 1);
    for query in ["page=0", "page_size=101", "sort_by=size", "sort_order=up", "deleted=maybe", "tags=%00", "colour=red"]
    {
        let path = format!("{DOCUMENTS}?{query}");
        world.send(Method::GET, &path, None).await.problem(422, "invalid_request");
    }
    for path in [&format!("{DOCUMENTS}/x"), &format!("{DOCUMENTS}/{nobodys}"), &format!("{document}/versions/x")] {
        world.send(Method::GET, path, None).await.problem(404, "not_found");
    }
    world.app.stop().await;
}

async fn documents_are_found_by_words_and_tags(at: TestDatabase) {
    let world = World::start(&at).await;
    world.document(json!({"title": "Whales", "content": "a report", "tags": ["sea", "big"]})).await;
    world.document(json!({"title": "Report", "content": "of whales", "tags": ["sea"]})).await;
    world.document(json!({"title": "Other", "tags": ["big"]})).await;
    assert_eq!(world.titles("search=report").await, ["Report", "Whales"]);
    assert_eq!(world.titles("search=whales+rep").await, ["Report", "Whales"]);
    assert_eq!(world.titles("search=whales&sort_by=title&sort_order=desc").await, ["Whales", "Report"]);
    assert_eq!(world.titles("search=whales&tags=big").await, ["Whales"]);
    assert_eq!(world.titles("tags=sea,big").await, ["Whales"]);
    assert_eq!(world.titles("tags=,&search=").await.len(), 3);
    assert_eq!(world.titles("sort_by=created_at&sort_order=asc").await, ["Whales", "Report", "Other"]);
    for hostile in ["%22", "%27", "%00", "%22+OR+*", "NEAR(", "%5C", "zz:*%26", "%28", "%EF%BF%BF", &"x".repeat(10_000)]
    {
        assert_eq!(world.titles(&format!("search={hostile}")).await, Vec::<String>::new(), "{hostile}");
    }
    let tags = world.send(Method::GET, &format!("{DOCUMENTS}/tags"), None).await.json();
    assert_eq!(tags, json!({"tags": [{"tag": "big", "documents": 2}, {"tag": "sea", "documents": 2}]}));
    world.app.stop().await;
}

async fn texts_are_as_large_as_the_tier_allows(at: TestDatabase) {
    let world = World::start(&at).await;
    let limit = 10 << 20;
    let document = world.document(json!({"title": "x", "content": "x".repeat(limit)})).await;
    let shown = world.send(Method::GET, &document, None).await.json();
    assert_eq!(shown["content"].as_str().map(str::len), Some(limit));
    let over = json!({"title": "x", "content": "x".repeat(limit + 1)});
    let problem = world.send(Method::POST, DOCUMENTS, Some(over.clone())).await.problem(413, "too_large");
    assert!(problem["detail"].as_str().unwrap().contains("10485760"), "{problem}");
    world.send(Method::PATCH, &document, Some(over)).await.problem(413, "too_large");
    let far_over = json!({"title": "x", "content": "x".repeat(20 << 20)});
    world.send(Method::POST, DOCUMENTS, Some(far_over)).await.problem(413, "too_large");
    assert_eq!(world.send(Method::GET, &document, None).await.json()["version"], 1);
    world.app.stop().await;
}

async fn the_quota_holds_also_for_requests_at_once(at: TestDatabase) {
    let world = World::start(&at).await;
    set_quotas(world.app.workspace.database(), Quotas { documents: 5, ..Quotas::default() }).await;
    let document = world.document(json!({"title": "x"})).await;
    let make = |number: usize| {
        let (world, document) = (&world, &document);
        async move {
            let path = if number.is_multiple_of(2) { DOCUMENTS.to_owned() } else { format!("{document}/duplicate") };
            world.send(Method::POST, &path, Some(json!({"title": "y"}))).await
        }
    };
    let answers = join_all((0..16).map(make)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 4);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        let problem = answer.problem(409, "quota_exceeded");
        assert_eq!(
            (problem["field"].as_str(), problem["detail"].as_str().map(|d| d.contains('5'))),
            (Some("documents"), Some(true))
        );
    }
    world.app.stop().await;
}

async fn the_bin_gives_back(at: TestDatabase) {
    let world = World::start(&at).await;
    let document = world.document(json!({"title": "x", "content": "text", "tags": ["t"]})).await;
    let before = world.send(Method::GET, &document, None).await.json();
    world.send(Method::POST, &format!("{document}/restore"), None).await.problem(404, "not_found");
    assert_eq!(world.send(Method::DELETE, &document, None).await.status, 204);
    assert_eq!(world.titles("deleted=true").await, ["x"]);
    assert_eq!(world.titles("deleted=true&search=text").await, ["x"]);
    assert_eq!(world.titles("deleted=false").await, Vec::<String>::new());
    let back = world.send(Method::POST, &format!("{document}/restore"), None).await;
    assert_eq!(back.header("etag"), "\"1\"");
    assert_eq!(back.json(), before);
    assert_eq!(world.titles("deleted=true").await, Vec::<String>::new());

    assert_eq!(world.send(Method::DELETE, &document, None).await.status, 204);
    assert_eq!(world.send(Method::DELETE, &format!("{document}?permanently=true"), None).await.status, 204);
    world.send(Method::POST, &format!("{document}/restore"), None).await.problem(404, "not_found");
    // And by itself, after 30 days.
    let day = jiff::SignedDuration::from_hours(24);
    let document = world.document(json!({"title": "y"})).await;
    assert_eq!(world.send(Method::DELETE, &document, None).await.status, 204);
    world.app.workspace.sweep_documents(jiff::Timestamp::now() + day * 29).await.unwrap();
    assert_eq!(world.titles("deleted=true").await, ["y"]);
    world.app.workspace.sweep_documents(jiff::Timestamp::now() + day * 31).await.unwrap();
    assert_eq!(world.titles("deleted=true").await, Vec::<String>::new());
    world.app.stop().await;
}

async fn things_of_others_are_not_there(at: TestDatabase) {
    let world = World::start(&at).await;
    let document = world.document(json!({"title": "secret", "tags": ["t"]})).await;
    let put = world.request(Method::PUT, &format!("{document}/files/a")).body("x").send().await.unwrap();
    assert_eq!(put.status(), 200);
    let others = World { key: World::new_key(&world.app).await, app: world.app };
    for (method, path, body) in [
        (Method::GET, "", None),
        (Method::PATCH, "", Some(json!({"title": "x"}))),
        (Method::DELETE, "", None),
        (Method::DELETE, "?permanently=true", None),
        (Method::POST, "/duplicate", None),
        (Method::POST, "/restore", None),
        (Method::GET, "/versions", None),
        (Method::GET, "/versions/1", None),
        (Method::GET, "/versions/1/diff?against=1", None),
        (Method::POST, "/versions/1/restore", None),
        (Method::GET, "/files", None),
        (Method::GET, "/files/a", None),
        (Method::PUT, "/files/a", Some(json!({}))),
        (Method::DELETE, "/files/a", None),
    ] {
        let answer = others.send(method.clone(), &format!("{document}{path}"), body).await;
        answer.problem(404, "not_found");
    }
    assert_eq!(others.titles("search=secret").await, Vec::<String>::new());
    let tags = others.send(Method::GET, &format!("{DOCUMENTS}/tags"), None).await.json();
    assert_eq!(tags, json!({"tags": []}));
    let anonymous = others.app.anonymous(Method::GET, &document).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
    others.app.stop().await;
}
