use reqwest::Method;
use serde_json::json;

use super::{World, wheel};
use crate::packages::fake_index::{Beside, File, Gate, Reply, Style, page};
use crate::packages::wheel_builder::Wheel;

const METADATA: &str = "Metadata-Version: 2.1\nName: huge\nVersion: 1.0\n";

/// Installs `name` and tells why that failed; nothing of it may be left.
async fn refused(world: &World, environment: &str, name: &str) -> String {
    let answer = world.send(Method::POST, &format!("{environment}/packages"), Some(json!({"packages": [name]}))).await;
    let error = if answer.status == 200 {
        let report = answer.json();
        assert_eq!(report["fail_count"], 1, "{report}");
        report["failed"][0]["error"].as_str().unwrap().to_owned()
    } else {
        assert!([422, 502].contains(&answer.status.as_u16()), "{}", answer.text);
        let problem: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
        problem["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(world.names(environment).await, Vec::<String>::new(), "{name}");
    let shown = world.send(Method::GET, environment, None).await.json();
    assert_eq!((shown["status"].as_str(), shown["package_count"].as_u64()), (Some("active"), Some(0)), "{name}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_wheels_are_refused_and_nothing_is_left() {
    let world = World::start().await;
    let environment = world.environment("e").await;
    let one = |name: &str| Wheel::empty(name, "1.0");
    world.publish("stdlib", [one("stdlib").file("json/__init__.py", "raise SystemExit")]);
    world.publish("ours", [one("ours").file("pymd.py", "raise SystemExit")]);
    world.publish("climbs", [one("climbs").file("../evil.py", "x")]);
    world.publish("absolute", [one("absolute").file("/etc/evil", "x")]);
    world.publish("unlisted", [one("unlisted").file("m.py", "x").record(|_| String::new())]);
    for (name, word) in
        [("stdlib", "json"), ("ours", "pymd"), ("climbs", ".."), ("absolute", "/etc/evil"), ("unlisted", "RECORD")]
    {
        let error = refused(&world, &environment, name).await;
        assert!(error.contains(word), "{name}: {error}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_lies_is_found_out() {
    let world = World::start().await;
    let environment = world.environment("e").await;
    let built = wheel("liar", "1.0", &[]);
    let filename = built.filename();
    let file = File::new(&filename, built.build());
    let lies = File { sha256: Some("0".repeat(64)), ..file.clone() };
    world.index.publish("liar", Style::Json, &[lies.beside(Beside::Absent)]);
    let error = refused(&world, &environment, "liar").await;
    assert!(error.contains("SHA-256"), "{error}");

    world.index.script("/simple/down/", (0..20).map(|_| Reply::status(404)));
    let error = refused(&world, &environment, "down").await;
    assert!(error.contains("there is no `down`"), "{error}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn native_packages_get_a_clear_answer() {
    let world = World::start().await;
    let environment = world.environment("e").await;
    let native = File::new("native-1.0-cp315-cp315-manylinux_2_17_x86_64.whl", vec![0; 100]);
    world.index.publish("native", Style::Html, &[native]);
    let error = refused(&world, &environment, "native").await;
    for word in ["native", "manylinux_2_17_x86_64", "container"] {
        assert!(error.contains(word), "{error}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_before_it_is_fetched() {
    let world = World::start().await;
    let environment = world.environment("e").await;
    let built = wheel("huge", "1.0", &[]);
    let file = File::new(&built.filename(), built.build());
    // More than the tier of the first admin allows, if the index is to be believed.
    let huge = File { size: Some(20 << 30), metadata_text: Some(METADATA.into()), ..file }.beside(Beside::Hashed);
    world.index.publish("huge", Style::Json, &[huge]);
    let body = json!({"packages": ["huge"]});
    let answer = world.send(Method::POST, &format!("{environment}/packages"), Some(body)).await;
    assert_eq!(answer.problem(409, "quota_exceeded")["field"], "environment_bytes");
    let document = "---\npackages: [huge]\n---\n```\n1\n```\n";
    let answer = world.send(Method::POST, "/api/v1/render", Some(json!({"content": document}))).await;
    assert_eq!(answer.problem(409, "quota_exceeded")["field"], "environment_bytes");
    assert_eq!(world.names(&environment).await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_packages_are_refused_before_anything_is_fetched() {
    let world = World::start().await;
    let user = world.send(Method::POST, "/api/v1/admin/users", Some(json!({"name": "small"}))).await;
    let user: serde_json::Value = serde_json::from_str(&user.text).unwrap();
    let key = user["key"].as_str().unwrap();
    let many: Vec<String> = (0..51).map(|n| format!("part{n}")).collect();
    for name in &many {
        world.publish(name, [wheel(name, "1.0", &[])]);
    }
    let needs: Vec<_> = many.iter().map(String::as_str).collect();
    world.publish("whole", [wheel("whole", "1.0", &needs)]);
    let ask = |method: Method, path: String, body: serde_json::Value| {
        let request = world.app.anonymous(method, &path).bearer_auth(key).json(&body);
        async move { crate::support::Answer::of(request.send().await.unwrap()).await }
    };
    let made = ask(Method::POST, "/api/v1/environments".to_owned(), json!({"name": "e"})).await;
    let made: serde_json::Value = serde_json::from_str(&made.text).unwrap();
    let path = format!("/api/v1/environments/{}/packages", made["id"].as_str().unwrap());
    let answer = ask(Method::POST, path, json!({"packages": ["whole"]})).await;
    let problem = answer.problem(409, "quota_exceeded");
    assert_eq!(problem["field"], "packages_per_environment");
    assert!(problem["detail"].as_str().unwrap().contains("50"), "{problem}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_installations_at_once_both_arrive() {
    let world = World::start().await;
    let environment = world.environment("e").await;
    for name in ["a", "b", "c"] {
        world.publish(name, [wheel(name, "1.0", &[])]);
    }
    let install = |name: &'static str| world.install(&environment, std::slice::from_ref(Box::leak(Box::new(name))));
    let reports = futures::future::join_all([install("a"), install("b"), install("c")]).await;
    assert!(reports.iter().all(|report| report.success_count == 1), "{reports:?}");
    assert_eq!(world.names(&environment).await, ["a==1.0", "b==1.0", "c==1.0"]);
    assert_eq!(world.run(&environment, "import a, b, c; print(a.version)").await, "1.0\n");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_that_is_deleted_meanwhile_gets_nothing() {
    let world = World::start().await;
    let environment = world.environment("e").await;
    let gate = Gate::closed();
    let file =
        File::new(&wheel("slow", "1.0", &[]).filename(), wheel("slow", "1.0", &[]).build()).beside(Beside::Absent);
    world.index.publish("slow", Style::Json, std::slice::from_ref(&file));
    world.index.script("/simple/slow/", [page("slow", Style::Json, &[file]).gated(&gate)]);
    let path = format!("{environment}/packages");
    let install = world.app.ask(Method::POST, &path, Some(json!({"packages": ["slow"]})));
    let delete = async {
        gate.arrived(1).await;
        let deleted = world.send(Method::DELETE, &environment, None).await;
        gate.open(1);
        deleted.status.as_u16()
    };
    let (installed, deleted) = tokio::join!(install, delete);
    assert_eq!(deleted, 204);
    installed.problem(404, "not_found");
    world.send(Method::GET, &environment, None).await.problem(404, "not_found");
    let stats = world.send(Method::GET, "/api/v1/environments/stats", None).await.json();
    assert_eq!(stats["packages"], 0, "{stats}");
    world.stop().await;
}
