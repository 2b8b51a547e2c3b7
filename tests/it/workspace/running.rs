use reqwest::Method;
use serde_json::json;

use super::{World, wheel};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_run_in_the_environment_that_they_name() {
    let world = World::start().await;
    world.publish("left", [wheel("left", "1.0", &[])]);
    let environment = world.environment("data").await;
    world.install(&environment, &["left"]).await;
    let render = async |content: &str| {
        let answer = world.send(Method::POST, "/api/v1/render", Some(json!({"content": content}))).await;
        (answer.status.as_u16(), answer.text)
    };
    let (status, text) = render("---\nenvironment: data\n---\n```\nimport left\nprint(left.version)\n```\n").await;
    assert!(status == 200 && text.contains("1.0"), "{text}");
    let (status, text) = render("---\nenvironment: nothing\n---\n```\n1\n```\n").await;
    assert!(status == 422 && text.contains("`nothing`"), "{text}");
    let (_, text) = render("```\nimport left\n```\n").await;
    assert!(text.contains("ModuleNotFoundError"), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_name_packages_get_an_environment_of_their_own() {
    let world = World::start().await;
    world.publish("left", [wheel("left", "1.0", &["right"])]);
    world.publish("right", [wheel("right", "2.0", &[])]);
    let front =
        "---\npackages: [left]\n---\n```\nimport sys\nprint('left' in sys.modules)\nimport right\nright.version\n```\n";
    let script = "# /// script\n# dependencies = [\"left\"]\n# ///\n# ```\nimport left, right\nprint(left.version + right.version)\n# ```\n";
    for (content, wanted) in [(front, "True"), (script, "1.02.0"), (front, "2.0")] {
        let report = world.send(Method::POST, "/api/v1/render", Some(json!({"content": content}))).await.json();
        assert!(report["rendered"].as_str().unwrap().contains(wanted), "{report}");
    }
    assert_eq!(world.index.hits("/simple/left"), 1, "both documents use the same");
    let bad = "---\npackages: ['-e .']\n---\n```\n1\n```\n";
    world.send(Method::POST, "/api/v1/render", Some(json!({"content": bad}))).await.problem(422, "invalid_request");
    let absent = "---\npackages: [absent]\n---\n```\n1\n```\n";
    let problem = world.send(Method::POST, "/api/v1/render", Some(json!({"content": absent}))).await;
    problem.problem(422, "packages_unavailable");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_environment_is_where_nothing_else_is_named() {
    let world = World::start().await;
    world.publish("left", [wheel("left", "1.0", &[])]);
    let list = world.send(Method::GET, "/api/v1/environments", None).await.json();
    let default = format!("/api/v1/environments/{}", list["environments"][0]["id"].as_str().unwrap());
    world.install(&default, &["left"]).await;
    let report = world.app.execute("import left; print(left.version)").await.json();
    assert_eq!(report["stdout"], "1.0\n", "{report}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environments_outlive_the_server_and_lost_directories() {
    let world = World::start().await;
    world.publish("left", [wheel("left", "1.0", &[])]);
    let environment = world.environment("e").await;
    world.install(&environment, &["left"]).await;
    // Another server on the same database, which has neither the directory nor the wheels.
    let url = format!("sqlite://{}", world.app.data_dir.path().join("pymd.db").display());
    let other = crate::support::TestApp::builder().database_url(url).index_urls(vec![world.index.url()]).start().await;
    let id = environment.rsplit('/').next().unwrap();
    let body = json!({"code": "import left; print(left.version)", "environment_id": id});
    let report = other.post("/api/v1/execute", &body).await.json();
    assert_eq!(report["stdout"], "1.0\n", "{report}");
    other.stop().await;
    world.stop().await;
}

/// The list of names that no package may have; where the runtime's Python has others, the list is to be renewed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_names_of_the_standard_library_are_those_of_the_runtime() {
    let app = crate::support::TestApp::start().await;
    let report = app.execute("import sys; print(*sorted(sys.stdlib_module_names), sep='\\n')").await.json();
    assert_eq!(report["stdout"], include_str!("../../../runtime/stdlib-names.txt"));
    app.stop().await;
}
