use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{World, wheel};
use crate::packages::wheel_builder::Wheel;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packages_are_installed_with_what_they_need_and_imported_beforehand() {
    let world = World::start().await;
    world.publish("left", [wheel("left", "1.0", &["right>=1"]), wheel("left", "0.9", &[])]);
    world.publish("right", [wheel("right", "2.0", &[]), wheel("right", "0.5", &[])]);
    let environment = world.environment("e").await;
    let report = world.install(&environment, &["Left"]).await;
    assert_eq!((report.success_count, report.fail_count), (1, 0), "{report:?}");
    assert_eq!((report.successful[0].package_name.as_str(), report.successful[0].version.as_str()), ("left", "1.0"));
    assert!(report.successful[0].size_bytes > 0);
    assert_eq!(report.dependencies[0].package_name, "right");
    assert_eq!(world.names(&environment).await, ["left==1.0", "right==2.0"]);

    let shown = world.send(Method::GET, &environment, None).await.json();
    assert_eq!((shown["package_count"].as_u64(), shown["generation"].as_u64()), (Some(2), Some(1)));
    assert_eq!(shown["warm"], json!({"imported": ["left"], "failed": []}));
    let code = "import sys\nprint('left' in sys.modules)\nimport left, importlib.metadata as m\n\
                print(left.version, left.__file__, m.version('right'))";
    let printed = world.run(&environment, code).await;
    assert_eq!(printed, "True\n1.0 /usr/local/lib/python3.15/site-packages/left/__init__.py 2.0\n");

    let package = world.send(Method::GET, &format!("{environment}/packages/LEFT"), None).await.json();
    assert_eq!((package["version"].as_str(), package["requested"].as_bool()), (Some("1.0"), Some(true)));
    world.send(Method::GET, &format!("{environment}/packages/absent"), None).await.problem(404, "not_found");
    // The same again is no change.
    let report = world.install(&environment, &["left"]).await;
    assert_eq!(report.success_count, 1);
    assert_eq!(world.send(Method::GET, &environment, None).await.json()["generation"], 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_had_is_reported_and_the_rest_goes_in() {
    let world = World::start().await;
    world.publish("good", [wheel("good", "1.0", &[])]);
    world.publish("needy", [wheel("needy", "1.0", &["absent>1"])]);
    let environment = world.environment("e").await;
    let asked = ["good", "nothing", "needy", "good==", "git+https://host/x", "good2 @ file:///etc/passwd"];
    let report = world.install(&environment, &asked).await;
    assert_eq!((report.success_count, report.fail_count), (1, 5), "{report:?}");
    let error = |package: &str| &report.failed.iter().find(|failed| failed.package.starts_with(package)).unwrap().error;
    assert!(error("nothing").contains("there is no `nothing`"), "{report:?}");
    assert!(error("needy").contains("absent") && error("needy").contains("needed by needy"), "{report:?}");
    assert_eq!(world.names(&environment).await, ["good==1.0"]);
    let nothing = world.install(&environment, &["nothing"]).await;
    assert_eq!((nothing.success_count, nothing.fail_count), (0, 1));
    for body in [json!({"packages": []}), json!({"packages": vec!["a"; 11]}), json!({"packages": "a"}), json!({})] {
        let answer = world.send(Method::POST, &format!("{environment}/packages"), Some(body)).await;
        answer.problem(422, "invalid_request");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_stay_unless_they_are_asked_to_move() {
    let world = World::start().await;
    world.publish("a", [wheel("a", "1.0", &[]), wheel("a", "2.0", &[])]);
    world.publish("b", [wheel("b", "1.0", &["a"])]);
    let environment = world.environment("e").await;
    world.install(&environment, &["a==1.0"]).await;
    world.install(&environment, &["a", "b"]).await;
    assert_eq!(world.names(&environment).await, ["a==1.0", "b==1.0"]);
    let upgrade = json!({"packages": ["a"], "upgrade": true});
    let report = world.send(Method::POST, &format!("{environment}/packages"), Some(upgrade)).await.json();
    assert_eq!(report["fail_count"], 0, "{report}");
    assert_eq!(world.names(&environment).await, ["a==2.0", "b==1.0"]);
    // What is asked for with it must still fit: nothing has changed when it does not.
    world.publish("c", [wheel("c", "1.0", &["a<2"])]);
    world.install(&environment, &["a==2.0"]).await;
    let report = world.install(&environment, &["c"]).await;
    assert_eq!((report.success_count, report.fail_count), (0, 1), "{report:?}");
    assert_eq!(world.names(&environment).await, ["a==2.0", "b==1.0"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uninstalling_takes_what_only_it_needed() {
    let world = World::start().await;
    world.publish("top", [wheel("top", "1.0", &["mid", "shared"])]);
    world.publish("mid", [wheel("mid", "1.0", &[])]);
    world.publish("shared", [wheel("shared", "1.0", &[])]);
    world.publish("other", [wheel("other", "1.0", &["shared"])]);
    let environment = world.environment("e").await;
    world.install(&environment, &["top", "other"]).await;
    let needed = world.send(Method::DELETE, &format!("{environment}/packages/shared"), None).await;
    let detail = needed.problem(409, "conflict")["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("other") && detail.contains("top"), "{detail}");
    let gone = world.send(Method::DELETE, &format!("{environment}/packages/top"), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.text);
    assert_eq!(world.names(&environment).await, ["other==1.0", "shared==1.0"]);
    world.send(Method::DELETE, &format!("{environment}/packages/top"), None).await.problem(404, "not_found");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requirement_lists_are_all_or_nothing() {
    let world = World::start().await;
    world.publish("a", [wheel("a", "1.0", &[]), wheel("a", "2.0", &[])]);
    world.publish("b", [wheel("b", "1.0", &["a"])]);
    let environment = world.environment("e").await;
    let import = format!("{environment}/packages/import");
    let bad = "a\n-e .\nb\n\nhttps://host/x.whl\n-r other.txt\n";
    let problem = world.send(Method::POST, &import, Some(json!({"requirements": bad}))).await;
    let problem = problem.problem(422, "invalid_request");
    assert_eq!(problem["field"], "requirements");
    for line in ["line 2", "line 5", "line 6"] {
        assert!(problem["detail"].as_str().unwrap().contains(line), "{problem}");
    }
    let absent = world.send(Method::POST, &import, Some(json!({"requirements": "a\nnothing\n"}))).await;
    absent.problem(422, "packages_unavailable");
    assert_eq!(world.names(&environment).await, Vec::<String>::new());

    let good = "# a comment\nb==1.0 \\\n  ; python_version >= '3'\n-c a<2\n";
    let report = world.send(Method::POST, &import, Some(json!({"requirements": good}))).await.json();
    assert_eq!((report["success_count"].as_u64(), report["fail_count"].as_u64()), (Some(1), Some(0)), "{report}");
    assert_eq!(world.names(&environment).await, ["a==1.0", "b==1.0"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_can_not_be_imported_beforehand_is_reported() {
    let world = World::start().await;
    let broken = Wheel::empty("broken", "1.0").file("broken.py", "import socket\nraise RuntimeError('no network')\n");
    world.publish("broken", [broken]);
    world.publish("good", [wheel("good", "1.0", &[])]);
    let environment = world.environment("e").await;
    let report = world.install(&environment, &["broken", "good"]).await;
    assert_eq!(report.success_count, 2, "{report:?}");
    assert!(report.warnings.iter().any(|warning| warning.contains("`broken`")), "{report:?}");
    let warm = world.send(Method::GET, &environment, None).await.json()["warm"].clone();
    assert_eq!(warm["imported"], json!(["good"]), "{warm}");
    assert_eq!(warm["failed"][0]["module"], "broken", "{warm}");
    assert_eq!(world.run(&environment, "import sys, good; print('broken' in sys.modules)").await, "False\n");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_modules_can_be_imported_beforehand() {
    let world = World::start().await;
    let environment = world.environment("e").await;
    let patch = json!({"warm_imports": ["json.tool", "numpy"]});
    let changed = world.send(Method::PATCH, &environment, Some(patch)).await.json();
    assert_eq!(changed["warm"]["imported"], json!(["json.tool", "numpy"]), "{changed}");
    let code = "import sys; print('numpy' in sys.modules, 'json.tool' in sys.modules)";
    assert_eq!(world.run(&environment, code).await, "True True\n");
    world.stop().await;
}
