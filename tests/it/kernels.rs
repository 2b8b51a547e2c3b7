//! Kernels over REST: cells one after another, forks, ways back, questions.

mod hibernation;
mod room;
mod servers;
mod sharing;
mod waking;

use std::time::Duration;

use futures::StreamExt as _;
use pymd::domain::KernelPolicy;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

const KERNELS: &str = "/api/v1/kernels";

/// A server with a kernel.
struct Notebook {
    app: TestApp,
    kernel: String,
}

impl Notebook {
    async fn open() -> Self {
        Self::with(KernelPolicy::default()).await
    }

    async fn with(config: KernelPolicy) -> Self {
        Self::on(TestApp::builder().kernels(config).start().await).await
    }

    async fn on(app: TestApp) -> Self {
        let kernel = made(&app, &json!({})).await;
        Self { app, kernel }
    }

    /// Another kernel.
    async fn another(&self) -> String {
        made(&self.app, &json!({})).await
    }

    /// Waits until what is shown of the kernels is so, for at most twenty seconds.
    async fn until(&self, is_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        for _ in 0..1000 {
            let list = self.app.get(&format!("{KERNELS}?page_size=100")).await.json();
            let list = list["kernels"].as_array().unwrap().clone();
            if is_so(&list) {
                return list;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it did not come: {}", self.app.get(KERNELS).await.text);
    }

    /// Waits until all that the kernel knows is kept.
    async fn until_saved(&self) -> Vec<Value> {
        let own = |list: &[Value]| list.iter().any(|kernel| kernel["id"] == *self.kernel && kernel["saved"] == true);
        self.until(own).await
    }

    async fn post(&self, kernel: &str, action: &str, body: Value) -> Answer {
        self.app.post(&format!("{KERNELS}/{kernel}/{action}"), &body).await
    }

    async fn run_in(&self, kernel: &str, code: &str) -> Value {
        self.post(kernel, "execute", json!({"code": code})).await.json()
    }

    /// What a cell prints that must complete.
    async fn run(&self, code: &str) -> String {
        self.prints(&self.kernel, code).await
    }

    async fn prints(&self, kernel: &str, code: &str) -> String {
        let report = self.run_in(kernel, code).await;
        assert_eq!(report["outcome"]["kind"], "completed", "{code}: {report}");
        report["stdout"].as_str().unwrap().to_owned()
    }

    async fn shown(&self) -> Value {
        self.show(&self.kernel).await
    }

    async fn show(&self, kernel: &str) -> Value {
        self.app.get(&format!("{KERNELS}/{kernel}")).await.json()
    }

    async fn checkpoints(&self) -> Vec<Value> {
        let list = self.app.get(&format!("{KERNELS}/{}/checkpoints", self.kernel)).await.json();
        list["checkpoints"].as_array().unwrap().clone()
    }

    async fn fork(&self, count: usize) -> Vec<String> {
        let answer = self.post(&self.kernel, "fork", json!({"count": count})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let list: Value = serde_json::from_str(&answer.text).unwrap();
        list["kernels"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }
}

async fn made(app: &TestApp, request: &Value) -> String {
    let answer = app.post(KERNELS, request).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let made: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!((made["state"].as_str(), made["execution_count"].as_u64()), (Some("idle"), Some(0)));
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kernel_remembers_and_a_cell_that_fails_is_undone() {
    let notebook = Notebook::open().await;
    notebook.run("x = [1]\nimport numpy as np").await;
    assert_eq!(notebook.run("x.append(2); print(x, np.arange(3).sum())").await, "[1, 2] 3\n");
    let error = notebook.run_in(&notebook.kernel, "x.append(3); 1/0").await;
    assert_eq!(error["outcome"]["ename"], "ZeroDivisionError");
    assert!(error["outcome"]["traceback"].to_string().contains("cell 3"), "{error}");
    let body = json!({"code": "x.clear()\nwhile True: pass", "limits": {"fuel": 200_000_000}});
    let undone = notebook.post(&notebook.kernel, "execute", body).await.json();
    assert_eq!(undone["outcome"]["kind"], "out_of_fuel");
    assert_eq!(notebook.run("print(x)").await, "[1, 2, 3]\n");
    let body = json!({"code": "print(input())", "stdin": "typed\n"});
    assert_eq!(notebook.post(&notebook.kernel, "execute", body).await.json()["stdout"], "typed\n");
    let shown = notebook.shown().await;
    assert_eq!((shown["state"].as_str(), shown["execution_count"].as_u64()), (Some("idle"), Some(5)));
    assert!(shown["size_bytes"].as_u64().unwrap() > 0);
    assert_eq!(notebook.checkpoints().await.len(), 5);

    notebook.post(&notebook.kernel, "restart", json!({})).await.json();
    assert_eq!(notebook.run_in(&notebook.kernel, "x").await["outcome"]["ename"], "NameError");
    assert_eq!(notebook.checkpoints().await.len(), 1);
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_a_way_back_and_forth_again() {
    let notebook = Notebook::open().await;
    for code in [
        "log = open('log', 'w')\nn = 0",
        "n += 1; log.write('one')",
        "n += 10; log.write('two'); big = bytes(60_000_000)",
    ] {
        notebook.run(code).await;
    }
    let checkpoints = notebook.checkpoints().await;
    assert_eq!(checkpoints[1]["code"], "n += 1; log.write('one')");
    assert_eq!(notebook.shown().await["checkpoint_id"], checkpoints[2]["id"]);
    let back = async |to: usize| {
        let body = json!({"checkpoint_id": checkpoints[to]["id"]});
        let info = notebook.post(&notebook.kernel, "restore", body).await.json();
        assert_eq!(
            (&info["checkpoint_id"], info["execution_count"].as_u64()),
            (&checkpoints[to]["id"], Some(to as u64 + 1))
        );
    };
    let look = "log.flush(); print(n, open('log').read(), 'big' in globals())";
    for (to, seen) in [(1, "1 one False\n"), (0, "0  False\n"), (2, "11 onetwo True\n"), (1, "1 one False\n")] {
        back(to).await;
        assert_eq!(notebook.run(look).await, seen);
    }
    let none = json!({"checkpoint_id": "01890a5d-ac96-774b-bcce-b302099a8057"});
    notebook.post(&notebook.kernel, "restore", none).await.problem(404, "not_found");
    notebook.post(&notebook.kernel, "restore", json!({})).await.problem(422, "invalid_request");
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_can_be_interrupted_and_whoever_leaves_does_no_harm() {
    let notebook = Notebook::open().await;
    notebook.run("x = 1").await;
    let path = format!("{KERNELS}/{}/execute", notebook.kernel);
    let endless = json!({"code": "x = 2\nprint('begun')\nwhile True: pass"});
    let stream = async || {
        let request = notebook.app.request(Method::POST, &path).header(header::ACCEPT, "text/event-stream");
        let mut events = request.json(&endless).send().await.unwrap().bytes_stream();
        let mut text = String::new();
        while !text.contains("begun") {
            text.push_str(std::str::from_utf8(&events.next().await.unwrap().unwrap()).unwrap());
        }
        (events, text)
    };
    let (mut events, mut text) = stream().await;
    assert_eq!(notebook.shown().await["state"], "busy");
    notebook.post(&notebook.kernel, "interrupt", json!({})).await.json();
    while let Some(piece) = events.next().await {
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    assert!(text.contains("event: done") && text.contains("\"cancelled\""), "{text}");
    assert_eq!(notebook.run("print(x)").await, "1\n");
    // This one hangs up.
    drop(stream().await);
    assert_eq!(notebook.run("print(x)").await, "1\n");
    notebook.post(&notebook.kernel, "interrupt", json!({})).await.json();
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cells_at_once_run_one_after_another() {
    let notebook = Notebook::open().await;
    notebook.run("seen = []").await;
    let cells = (0..10).map(|number| {
        let code = format!("before = len(seen); seen.append({number}); print(len(seen) - before)");
        let notebook = &notebook;
        async move { notebook.run(&code).await }
    });
    let answers = futures::future::join_all(cells).await;
    assert!(answers.iter().all(|answer| answer == "1\n"), "{answers:?}");
    assert_eq!(notebook.run("print(sorted(seen) == list(range(10)))").await, "True\n");
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_editor_can_ask_what_it_knows() {
    let notebook = Notebook::open().await;
    notebook
        .run("class Trap:\n    def __getattr__(self, name):\n        while True: pass\n    __dir__ = None\ntrap = Trap()\nvalue_one = 1\nvalue_two = {'a': 1}\n\ndef double(x: int, *, times=2) -> int:\n    'Doubles.'\n    return x * times\n\u{e9}t\u{e9} = 3")
        .await;
    let ask = async |action: &str, code: &str| {
        let body = json!({"code": code, "cursor": code.chars().count()});
        notebook.post(&notebook.kernel, action, body).await.json()
    };
    let names = |answer: &Value| -> Vec<String> {
        answer["matches"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&ask("complete", "print(val").await), ["value_one", "value_two"]);
    assert_eq!(names(&ask("complete", "value_two.it").await), ["items"]);
    let answer = ask("complete", "\u{e9}t\u{e9}; \u{e9}").await;
    assert_eq!((names(&answer), answer["cursor_start"].as_u64()), (vec!["\u{e9}t\u{e9}".to_owned()], Some(5)));
    assert!(names(&ask("complete", "impor").await).contains(&"import".to_owned()));
    for nothing in ["3.", "no_such.thing", "trap.", "'text", ""] {
        ask("complete", nothing).await;
    }
    let found = ask("inspect", "double").await;
    assert_eq!(found["signature"], "double(x: int, *, times=2) -> int");
    assert_eq!((found["documentation"].as_str(), found["found"].as_bool()), (Some("Doubles."), Some(true)));
    let found = ask("inspect", "value_two").await;
    assert_eq!((found["type_name"].as_str(), found["text"].as_str()), (Some("dict"), Some("{'a': 1}")));
    assert_eq!(ask("inspect", "no_such.thing").await["found"], false);
    ask("inspect", "trap.x").await;
    let body = json!({"code": "x", "cursor": 5});
    notebook.post(&notebook.kernel, "complete", body).await.problem(422, "invalid_request");
    // It has not noticed.
    assert_eq!(notebook.shown().await["execution_count"], 1);
    assert_eq!(notebook.run("print([name for name in globals() if 'pymd_ask' in name])").await, "[]\n");
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kernels_are_listed_and_deleted_and_bad_requests_refused() {
    let notebook = Notebook::open().await;
    let named = made(&notebook.app, &json!({"name": "second", "limits": {"wall_ms": 1000}})).await;
    let list = notebook.app.get(KERNELS).await.json();
    assert_eq!((list["total"].as_u64(), list["kernels"][1]["name"].as_str()), (Some(2), Some("second")));
    assert_eq!(list["kernels"][1]["limits"]["wall_ms"], 1000);
    let more = json!({"code": "1", "limits": {"wall_ms": 2000}});
    notebook.post(&named, "execute", more).await.problem(422, "invalid_request");
    for body in [json!({"name": ""}), json!({"limits": {"fuel": 0}}), json!({"state": "idle"})] {
        notebook.app.post(KERNELS, &body).await.problem(422, "invalid_request");
    }
    let nowhere = json!({"environment_id": "01890a5d-ac96-774b-bcce-b302099a8057"});
    notebook.app.post(KERNELS, &nowhere).await.problem(422, "invalid_request");
    for count in [0, 101] {
        notebook.post(&named, "fork", json!({"count": count})).await.problem(422, "invalid_request");
    }
    let path = format!("{KERNELS}/{named}");
    assert_eq!(notebook.app.ask(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    notebook.app.get(&path).await.problem(404, "not_found");
    notebook.post(&named, "execute", json!({"code": "1"})).await.problem(404, "not_found");
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_users_kernel_is_not_there() {
    let notebook = Notebook::open().await;
    notebook.run("secret = 1").await;
    let user = notebook.app.post("/api/v1/admin/users", &json!({"name": "somebody"})).await;
    let user: Value = serde_json::from_str(&user.text).unwrap();
    let ask = async |method: Method, path: &str, body: Value| {
        let request = notebook.app.anonymous(method, path).bearer_auth(user["key"].as_str().unwrap());
        Answer::of(request.json(&body).send().await.unwrap()).await
    };
    let kernel = format!("{KERNELS}/{}", notebook.kernel);
    ask(Method::GET, &kernel, json!({})).await.problem(404, "not_found");
    ask(Method::DELETE, &kernel, json!({})).await.problem(404, "not_found");
    ask(Method::GET, &format!("{kernel}/checkpoints"), json!({})).await.problem(404, "not_found");
    let id = notebook.checkpoints().await[0]["id"].clone();
    for (action, body) in [
        ("execute", json!({"code": "1"})),
        ("interrupt", json!({})),
        ("restart", json!({})),
        ("fork", json!({})),
        ("restore", json!({"checkpoint_id": id})),
        ("complete", json!({"code": "s", "cursor": 1})),
        ("inspect", json!({"code": "secret", "cursor": 1})),
    ] {
        ask(Method::POST, &format!("{kernel}/{action}"), body).await.problem(404, "not_found");
    }
    assert_eq!(ask(Method::GET, KERNELS, json!({})).await.json()["total"], 0);
    assert_eq!(notebook.run("print(secret)").await, "1\n");
    notebook.app.stop().await;
}
