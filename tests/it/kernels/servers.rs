//! Several servers of one database and one object store: a kernel is at one of them at a time.

use std::path::Path;
use std::time::Duration;

use pymd::domain::KernelPolicy;
use reqwest::{Method, StatusCode, header};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{KERNELS, Notebook};
use crate::databases::{TestDatabase, on_both_databases};
use crate::support::{Answer, Server, TestApp, client, sandbox};

/// Servers that share a database and an object store.
struct Cluster {
    database: TestDatabase,
    objects: tempfile::TempDir,
}

impl Cluster {
    fn of(database: TestDatabase) -> Self {
        Self { database, objects: tempfile::tempdir().unwrap() }
    }

    async fn server(&self, config: KernelPolicy) -> TestApp {
        let objects = format!("file://{}", self.objects.path().display());
        TestApp::builder().kernels(config).database_url(self.database.url()).objects_url(objects).start().await
    }
}

async fn a_kernel_goes_where_it_is_wanted(database: TestDatabase) {
    let cluster = Cluster::of(database);
    let one = Notebook::on(cluster.server(KernelPolicy::default()).await).await;
    let two = Notebook::on(cluster.server(KernelPolicy::default()).await).await;
    one.run("seen = ['one']; g = iter(range(9)); f = open('f', 'w+'); f.write('x')").await;
    let kernel = one.kernel.clone();
    for (at, server) in [&two, &one, &two].into_iter().enumerate() {
        let seen = server.prints(&kernel, "seen.append(next(g)); f.seek(0); print(seen[-1], f.read())").await;
        assert_eq!(seen, format!("{at} x\n"));
    }
    assert_eq!(two.show(&kernel).await["execution_count"], 4);
    // The one that has it not any more shows it, too, and its ways back.
    two.until(|list| list.iter().any(|one| one["id"] == *kernel && one["saved"] == true)).await;
    assert_eq!(one.show(&kernel).await["execution_count"], 4);
    let list = one.app.get(&format!("{KERNELS}/{kernel}/checkpoints")).await.json();
    assert_eq!(list["total"], 4);
    one.app.stop().await;
    two.app.stop().await;
}

async fn what_runs_elsewhere_is_not_run_twice(database: TestDatabase) {
    let cluster = Cluster::of(database);
    let one = Notebook::on(cluster.server(KernelPolicy::default()).await).await;
    let two = Notebook::on(cluster.server(KernelPolicy::default()).await).await;
    one.run("x = 1").await;
    one.until_saved().await;
    let path = format!("{KERNELS}/{}/execute", one.kernel);
    let endless = json!({"code": "x = 2\nprint('begun')\nwhile True: pass"});
    let mut events = one.app.stream(&path, &endless).await;
    while !String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()).contains("begun") {}
    two.post(&one.kernel, "hibernate", json!({})).await.json();
    // Whoever wants it at the other server waits for the cell's end, which only an interrupt brings.
    let waiting = two.post(&one.kernel, "execute", json!({"code": "print(x)"}));
    let interrupting = async {
        tokio::time::timeout(Duration::from_millis(500), std::future::pending::<()>()).await.unwrap_err();
        two.post(&one.kernel, "interrupt", json!({})).await.json();
    };
    let (answer, ()) = tokio::join!(waiting, interrupting);
    assert_eq!(answer.json()["stdout"], "1\n");
    one.app.stop().await;
    two.app.stop().await;
}

/// A server that stops lets its kernels go; the next one finds them as they were.
async fn a_server_that_ends_leaves_its_kernels_behind(database: TestDatabase) {
    let cluster = Cluster::of(database);
    let one = Notebook::on(cluster.server(KernelPolicy::default()).await).await;
    one.run("x = [1, 2]; import numpy as np; a = np.arange(10)").await;
    let kernel = one.kernel.clone();
    let forks = one.fork(2).await;
    one.app.stop().await;
    let two = Notebook::on(cluster.server(KernelPolicy::default()).await).await;
    let list = two.until(|list| list.len() == 4).await;
    assert!(list[..3].iter().all(|kernel| kernel["state"] == "hibernated"), "{list:?}");
    for kernel in [&kernel, &forks[1]] {
        assert_eq!(two.prints(kernel, "x.append(3); print(x, a.sum())").await, "[1, 2, 3] 45\n");
    }
    two.app.stop().await;
}

/// One server deletes what another one has in memory: it is gone there, too, soon.
async fn what_is_deleted_elsewhere_is_gone(database: TestDatabase) {
    let cluster = Cluster::of(database);
    let one = Notebook::on(cluster.server(KernelPolicy::default()).await).await;
    let two = Notebook::on(cluster.server(KernelPolicy::default()).await).await;
    one.run("x = 1").await;
    one.until_saved().await;
    let kernel = format!("{KERNELS}/{}", one.kernel);
    assert_eq!(two.app.ask(Method::DELETE, &kernel, None).await.status, StatusCode::NO_CONTENT);
    while one.app.get(&kernel).await.status != StatusCode::NOT_FOUND {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    one.post(&one.kernel, "execute", json!({"code": "print(x)"})).await.problem(404, "not_found");
    one.app.stop().await;
    two.app.stop().await;
}

on_both_databases!(
    what_is_deleted_elsewhere_is_gone,
    a_kernel_goes_where_it_is_wanted,
    what_runs_elsewhere_is_not_run_twice,
    a_server_that_ends_leaves_its_kernels_behind,
);

/// A server that was thought dead, and is not: it can't write of what another has taken, and gives it up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_thought_dead_is_fenced_off() {
    let cluster = Cluster::of(TestDatabase::postgres().await);
    let config = || KernelPolicy { lease_ms: 600, save_after_ms: 20, ..KernelPolicy::default() };
    let stalled = Notebook::on(cluster.server(config()).await).await;
    stalled.run("x = 'before'").await;
    stalled.until_saved().await;
    let database = cluster.database.open().await;
    // It does not hear of it: as if it had stood still meanwhile.
    stalled.app.workspace.database().close().await;
    let other = Notebook::on(cluster.server(config()).await).await;
    assert_eq!(other.prints(&stalled.kernel, "x += ' and after'; print(x)").await, "before and after\n");
    let refused = stalled.post(&stalled.kernel, "execute", json!({"code": "x = 'of the dead'"})).await;
    assert!(!refused.status.is_success(), "{}", refused.text);
    assert_eq!(other.prints(&stalled.kernel, "print(x)").await, "before and after\n");
    database.close().await;
    other.app.stop().await;
}

/// `pymd serve` and its kernels, over HTTP.
struct Process {
    server: Server,
    client: reqwest::Client,
}

impl Process {
    async fn start(data_dir: &Path) -> Self {
        sandbox().await;
        let this = Self { server: Server::start(data_dir, &[]), client: client() };
        let (address, _) = this.server.address();
        let health = format!("{address}/health");
        // It prepares the runtime, which is there.
        for _ in 0..1000 {
            let answer = this.client.get(&health).send().await.unwrap().json::<Value>().await.unwrap();
            if answer["status"] == "ok" {
                return this;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server does not become ready");
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (address, token) = self.server.address();
        let request =
            self.client.post(format!("{address}{path}")).header(header::AUTHORIZATION, format!("Bearer {token}"));
        let answer = Answer::of(request.json(&body).send().await.unwrap()).await;
        assert!(answer.status.is_success(), "{}", answer.text);
        serde_json::from_str(&answer.text).unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let (address, token) = self.server.address();
        let request = self.client.get(format!("{address}{path}")).bearer_auth(token);
        request.send().await.unwrap().json().await.unwrap()
    }
}

/// The system ends a server at once: what was saved is there at the next start, without a pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_no_kernel_that_was_saved() {
    let directory = tempfile::tempdir().unwrap();
    let first = Process::start(directory.path()).await;
    let made = first.post(KERNELS, json!({"name": "kept"})).await;
    let kernel = format!("{KERNELS}/{}", made["id"].as_str().unwrap());
    first
        .post(&format!("{kernel}/execute"), json!({"code": "x = 41; f = open('f', 'w'); f.write('kept'); f.flush()"}))
        .await;
    while first.get(&kernel).await["saved"] != true {
        tokio::task::yield_now().await;
    }
    first.server.signal(Signal::KILL);
    first.server.wait().await;
    let second = Process::start(directory.path()).await;
    assert_eq!(second.get(&kernel).await["name"], "kept");
    let report = second.post(&format!("{kernel}/execute"), json!({"code": "print(x + 1, open('f').read())"})).await;
    assert_eq!(report["stdout"], "42 kept\n");
    // A signal that can be heard gives time to save what is not.
    second.post(&format!("{kernel}/execute"), json!({"code": "x = 'last'"})).await;
    second.server.signal(Signal::TERM);
    let (status, _, log) = second.server.wait().await;
    assert!(status.success(), "{log}");
    let third = Process::start(directory.path()).await;
    assert_eq!(third.get(&kernel).await["state"], "hibernated");
    let report = third.post(&format!("{kernel}/execute"), json!({"code": "print(x)"})).await;
    assert_eq!(report["stdout"], "last\n");
}
