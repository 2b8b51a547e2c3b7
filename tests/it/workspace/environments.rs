use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{World, wheel};
use crate::packages::fake_index::{Gate, Style, page};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environments_are_made_listed_renamed_and_deleted() {
    let world = World::start().await;
    let list = world.send(Method::GET, "/api/v1/environments", None).await.json();
    assert_eq!((list["total"].as_u64(), list["has_more"].as_bool()), (Some(1), Some(false)));
    let default = &list["environments"][0];
    assert_eq!((default["name"].as_str(), default["is_default"].as_bool()), (Some("default"), Some(true)));

    let environment = world.environment("data-1").await;
    let shown = world.send(Method::GET, &environment, None).await.json();
    for field in ["id", "name", "python_version", "status", "package_count", "total_size_bytes", "last_used_at"] {
        assert!(shown.get(field).is_some(), "{field}: {shown}");
    }
    assert!(shown["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(shown["python_version"], "3.15.0");

    let renamed = world.send(Method::PATCH, &environment, Some(json!({"name": "data-2"}))).await.json();
    assert_eq!(renamed["name"], "data-2");
    let taken = world.send(Method::POST, "/api/v1/environments", Some(json!({"name": "data-2"}))).await;
    taken.problem(409, "conflict");
    let list = world.send(Method::GET, "/api/v1/environments?page=2&page_size=1", None).await.json();
    assert_eq!((list["total"].as_u64(), list["page"].as_u64()), (Some(2), Some(2)));
    assert_eq!(list["environments"][0]["name"], "data-2");
    let stats = world.send(Method::GET, "/api/v1/environments/stats", None).await.json();
    assert_eq!(stats["environments"], 2);

    let deleted = world.send(Method::DELETE, &environment, None).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (StatusCode::NO_CONTENT, ""));
    world.send(Method::GET, &environment, None).await.problem(404, "not_found");
    world.send(Method::DELETE, &environment, None).await.problem(404, "not_found");
    let default = format!("/api/v1/environments/{}", default["id"].as_str().unwrap());
    world.send(Method::DELETE, &default, None).await.problem(409, "conflict");
    world.environment("data-2").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_told_apart() {
    let world = World::start().await;
    for (body, field) in [
        (json!({"name": ""}), None),
        (json!({"name": "a b"}), None),
        (json!({"name": "a".repeat(101)}), None),
        (json!({"name": "ä"}), None),
        (json!({"name": "x", "python_version": "3.12"}), Some("python_version")),
        (json!({"name": "x", "template": "nothing"}), Some("template")),
        (json!({"name": "x", "color": "red"}), None),
    ] {
        let problem = world.send(Method::POST, "/api/v1/environments", Some(body.clone())).await;
        let problem = problem.problem(422, "invalid_request");
        assert_eq!(problem.get("field").and_then(Value::as_str), field, "{body}: {problem}");
    }
    world.send(Method::POST, "/api/v1/environments", Some(json!({"name": "default"}))).await.problem(409, "conflict");
    for path in ["/api/v1/environments/x", "/api/v1/environments/01890a5d-ac96-774b-bcce-b302099a8057"] {
        world.send(Method::GET, path, None).await.problem(404, "not_found");
    }
    for query in ["page=0", "page_size=101", "page=x", "colour=red"] {
        let path = format!("/api/v1/environments?{query}");
        world.send(Method::GET, &path, None).await.problem(422, "invalid_request");
    }
    let environment = world.environment("e").await;
    for imports in [json!(["a b"]), json!(["os; import sys"]), json!(vec!["m"; 33])] {
        let problem = world.send(Method::PATCH, &environment, Some(json!({"warm_imports": imports}))).await;
        assert_eq!(problem.problem(422, "invalid_request")["field"], "warm_imports");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_hold_also_for_requests_at_once() {
    let world = World::start().await;
    let user = json!({"name": "somebody"});
    let made = world.send(Method::POST, "/api/v1/admin/users", Some(user)).await;
    let made: Value = serde_json::from_str(&made.text).unwrap();
    let key = made["key"].as_str().unwrap();
    let create = |name: String| {
        let request = world.app.anonymous(Method::POST, "/api/v1/environments").bearer_auth(key);
        async move { request.json(&json!({"name": name})).send().await.unwrap().status().as_u16() }
    };
    let statuses = futures::future::join_all((0..12).map(|n| create(format!("e{n}")))).await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 3, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 9, "{statuses:?}");
    let request = world.app.anonymous(Method::POST, "/api/v1/environments").bearer_auth(key);
    let refused = crate::support::Answer::of(request.json(&json!({"name": "one-more"})).send().await.unwrap()).await;
    let problem = refused.problem(409, "quota_exceeded");
    assert_eq!(problem["field"], "environments");
    assert!(problem["detail"].as_str().unwrap().contains('3'), "{problem}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environments_are_copied_and_emptied() {
    let world = World::start().await;
    world.publish("left", [wheel("left", "1.0", &["right"])]);
    world.publish("right", [wheel("right", "2.0", &[])]);
    let environment = world.environment("source").await;
    world.install(&environment, &["left"]).await;
    let copy = world.send(Method::POST, &format!("{environment}/clone"), Some(json!({"name": "copy"}))).await;
    assert_eq!(copy.status, StatusCode::CREATED, "{}", copy.text);
    let copy: Value = serde_json::from_str(&copy.text).unwrap();
    assert_eq!((copy["status"].as_str(), copy["package_count"].as_u64()), (Some("active"), Some(2)));
    let copy = format!("/api/v1/environments/{}", copy["id"].as_str().unwrap());

    let reset = world.send(Method::POST, &format!("{environment}/reset"), Some(json!({}))).await.json();
    assert_eq!((reset["package_count"].as_u64(), reset["total_size_bytes"].as_u64()), (Some(0), Some(0)));
    assert_eq!(world.names(&environment).await, Vec::<String>::new());
    assert_eq!(world.names(&copy).await, ["left==1.0", "right==2.0"]);
    assert_eq!(world.run(&copy, "import left, right; print(left.version, right.version)").await, "1.0 2.0\n");
    let gone = "try:\n    import left\nexcept ImportError as error:\n    print(error)";
    assert_eq!(world.run(&environment, gone).await, "No module named 'left'\n");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exact_contents_can_be_exported() {
    let world = World::start().await;
    world.publish("left", [wheel("left", "1.0", &["right"])]);
    world.publish("right", [wheel("right", "2.0", &[])]);
    let environment = world.environment("e").await;
    world.install(&environment, &["left"]).await;
    let lock = world.send(Method::GET, &format!("{environment}/lockfile"), None).await;
    assert_eq!(lock.header("content-type"), "application/toml; charset=utf-8");
    let parsed: toml::Value = toml::from_str(&lock.text).unwrap();
    assert_eq!(parsed["lock-version"].as_str(), Some("1.0"));
    assert_eq!(parsed["packages"].as_array().unwrap().len(), 2);
    let list = world.send(Method::GET, &format!("{environment}/requirements.txt"), None).await;
    assert!(list.text.contains("left==1.0") && list.text.contains("--hash=sha256:"), "{}", list.text);

    // What is exported can be imported.
    let other = world.environment("other").await;
    let body = json!({"requirements": list.text});
    let report = world.send(Method::POST, &format!("{other}/packages/import"), Some(body)).await.json();
    assert_eq!(report["success_count"], 2, "{report}");
    let again = world.send(Method::GET, &format!("{other}/lockfile"), None).await;
    assert_eq!(again.text, lock.text);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_whose_maker_has_gone_is_not_left_half_made() {
    let world = World::start().await;
    let gate = Gate::closed();
    for name in ["jinja2", "markdown-it-py", "beautifulsoup4", "tabulate", "humanize", "rich"] {
        world.index.script(&format!("/simple/{name}/"), [page(name, Style::Json, &[]).gated(&gate)]);
    }
    let body = json!({"name": "texts", "template": "text"});
    tokio::select! {
        answer = world.send(Method::POST, "/api/v1/environments", Some(body)) => panic!("{}", answer.text),
        () = gate.arrived(1) => {}
    }
    // The server notices when it reads from the connection again.
    let asked = std::time::Instant::now();
    loop {
        assert!(asked.elapsed().as_secs() < 60, "it stays");
        let list = world.send(Method::GET, "/api/v1/environments", None).await.json();
        if list["environments"].as_array().unwrap().iter().all(|one| one["name"] != "texts") {
            break;
        }
    }
    world.environment("texts").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environments_begin_with_templates() {
    let world = World::start().await;
    let templates = world.send(Method::GET, "/api/v1/environment-templates", None).await.json();
    let names: Vec<&str> =
        templates["templates"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["data-science", "plotting", "text", "empty"]);
    // All of it is linked into the runtime: nothing is fetched.
    let body = json!({"name": "plots", "template": "plotting"});
    let made = world.send(Method::POST, "/api/v1/environments", Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made: Value = serde_json::from_str(&made.text).unwrap();
    assert_eq!((made["status"].as_str(), made["package_count"].as_u64()), (Some("active"), Some(0)));
    let environment = format!("/api/v1/environments/{}", made["id"].as_str().unwrap());
    let code = "import sys; print('matplotlib.pyplot' in sys.modules, 'seaborn' in sys.modules)";
    assert_eq!(world.run(&environment, code).await, "True True\n");
    // One whose packages can't be had is not left half-made.
    let body = json!({"name": "texts", "template": "text"});
    let refused = world.send(Method::POST, "/api/v1/environments", Some(body)).await;
    refused.problem(422, "packages_unavailable");
    world.environment("texts").await;
    world.stop().await;
}
