//! Real packages of the real index.

use reqwest::Method;
use serde_json::{Value, json};

use super::World;
use crate::packages::fake_index::FakeIndex;
use crate::support::TestApp;

async fn real_world() -> World {
    World { app: TestApp::start().await, index: FakeIndex::start().await }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pure_packages_are_installed_and_work() {
    let world = real_world().await;
    let environment = world.environment("real").await;
    let packages =
        ["requests", "rich", "jinja2", "httpx", "sympy", "black", "attrs", "click", "beautifulsoup4", "networkx"];
    let report = world.install(&environment, &packages).await;
    assert_eq!((report.success_count, report.fail_count), (10, 0), "{report:?}");
    let report = world.install(&environment, &["tabulate", "humanize", "faker", "markdown-it-py", "pendulum"]).await;
    assert_eq!((report.success_count, report.fail_count), (5, 0), "{report:?}");
    let code = "import rich.table, jinja2, sympy, attrs, click, bs4, networkx, tabulate, humanize, faker, markdown_it\n\
        import requests, httpx, black\n\
        print(jinja2.Template('{{ a }}').render(a=1), humanize.intcomma(12345), sympy.sqrt(8))\n\
        print(markdown_it.MarkdownIt().render('# x').strip(), black.format_str('x = (1)', mode=black.Mode()).strip())\n\
        print(tabulate.tabulate([[1, 2]], headers=['a', 'b']).splitlines()[0].split())\n\
        try:\n    requests.get('http://localhost:1')\nexcept Exception as error:\n    print('no network')\n";
    let printed = world.run(&environment, code).await;
    assert_eq!(printed, "1 12,345 2*sqrt(2)\n<h1>x</h1> x = 1\n['a', 'b']\nno network\n");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn native_packages_of_the_real_index_get_a_clear_answer() {
    let world = real_world().await;
    let environment = world.environment("real").await;
    let answer = world
        .send(Method::POST, &format!("{environment}/packages"), Some(json!({"packages": ["pydantic", "orjson"]})))
        .await;
    let report = answer.json();
    assert_eq!((report["success_count"].as_u64(), report["fail_count"].as_u64()), (Some(0), Some(2)), "{report}");
    let errors: Vec<&str> =
        report["failed"].as_array().unwrap().iter().map(|failed: &Value| failed["error"].as_str().unwrap()).collect();
    assert!(errors.iter().any(|error| error.contains("pydantic-core")), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("orjson")), "{errors:?}");
    assert!(errors.iter().all(|error| error.contains("container")), "{errors:?}");
    world.stop().await;
}
