//! Environments, packages, jobs and keys over REST: the real server, sandbox and database; a package index that can lie,
//! and the real one.

mod accounts;
mod documents;
mod environments;
mod hostile;
mod jobs;
mod kernels;
mod killed;
mod last_renders;
mod packages;
mod pdf_exports;
mod publications;
mod real;
mod render_jobs;
mod running;
mod schedules;
mod stored_renders;

use pymd::domain::InstallReport;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::packages::fake_index::{Beside, FakeIndex, File, Style};
use crate::packages::wheel_builder::Wheel;
use crate::support::{Answer, TestApp};

/// A server with an index of its own.
struct World {
    app: TestApp,
    index: FakeIndex,
}

impl World {
    async fn start() -> Self {
        let index = FakeIndex::start().await;
        let app = TestApp::builder().index_urls(vec![index.url()]).start().await;
        Self { app, index }
    }

    async fn stop(self) {
        self.app.stop().await;
    }

    /// Publishes wheels of a project.
    fn publish(&self, name: &str, wheels: impl IntoIterator<Item = Wheel>) {
        let files: Vec<_> = wheels
            .into_iter()
            .map(|wheel| {
                let filename = wheel.filename();
                File::new(&filename, wheel.build())
            })
            .map(|file| file.beside(Beside::Absent))
            .collect();
        self.index.publish(name, Style::Json, &files);
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.app.ask(method, path, body).await
    }

    /// Makes an environment, and tells its address.
    async fn environment(&self, name: &str) -> String {
        let answer = self.send(Method::POST, "/api/v1/environments", Some(json!({"name": name}))).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let made: Value = serde_json::from_str(&answer.text).unwrap();
        assert_eq!((made["name"].as_str(), made["status"].as_str()), (Some(name), Some("active")));
        format!("/api/v1/environments/{}", made["id"].as_str().unwrap())
    }

    async fn install(&self, environment: &str, packages: &[&str]) -> InstallReport {
        let answer =
            self.send(Method::POST, &format!("{environment}/packages"), Some(json!({"packages": packages}))).await;
        serde_json::from_value(answer.json()).unwrap()
    }

    /// What code prints in an environment.
    async fn run(&self, environment: &str, code: &str) -> String {
        let id = environment.rsplit('/').next().unwrap();
        let body = json!({"code": code, "environment_id": id});
        let report = self.send(Method::POST, "/api/v1/execute", Some(body)).await.json();
        assert_eq!(report["outcome"]["kind"], "completed", "{report}");
        report["stdout"].as_str().unwrap().to_owned()
    }

    async fn names(&self, environment: &str) -> Vec<String> {
        let list = self.send(Method::GET, &format!("{environment}/packages"), None).await.json();
        assert_eq!(list["total"].as_u64(), Some(list["packages"].as_array().unwrap().len() as u64));
        let name = |package: &Value| {
            format!("{}=={}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap())
        };
        list["packages"].as_array().unwrap().iter().map(name).collect()
    }
}

/// Keeps a document, and tells its id.
async fn stored(app: &TestApp, title: &str, content: &str) -> String {
    let answer = app.post("/api/v1/documents", &json!({"title": title, "content": content})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let made: Value = serde_json::from_str(&answer.text).unwrap();
    made["id"].as_str().unwrap().to_owned()
}

/// A wheel of one module that needs these.
fn wheel(name: &str, version: &str, requires: &[&str]) -> Wheel {
    let mut wheel =
        Wheel::empty(name, version).file(&format!("{name}/__init__.py"), format!("version = '{version}'\n"));
    for requirement in requires {
        wheel = wheel.metadata(&format!("Requires-Dist: {requirement}"));
    }
    wheel
}
