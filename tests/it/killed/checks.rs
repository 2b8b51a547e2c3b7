//! What must be so after a kill.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use pymd::store::Objects;
use reqwest::Method;
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Connection as _, Row as _};

use super::clients::{ask, cell, is_rendered};
use super::model::{Model, Random, Sent};
use crate::databases::TestDatabase;
use crate::support::{Answer, TestApp, client};

/// Of a document's versions the latest 200 are kept, some of which were not acknowledged.
const KEPT: usize = 120;
/// A server is found to be dead, and a job is taken over, in less.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request to one of the servers; they are all well.
async fn get(model: &Model, method: Method, path: &str, body: Option<&Value>) -> Answer {
    let server = model.with(|known| known.servers[0].clone());
    let request = client().request(method, format!("{}{path}", server.address));
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    ask(model, request).await.expect("a server answers")
}

/// Looks at some documents and kernels.
pub async fn some(model: &Model, random: &mut Random, documents: usize, kernels: usize) {
    for _ in 0..documents {
        let ids: Vec<_> = model.with(|known| known.documents.keys().cloned().collect());
        if let Some(id) = random.of(&ids) {
            document(model, &id, 3).await;
        }
    }
    let ids: Vec<_> = model.with(|known| known.kernels.keys().cloned().collect());
    for _ in 0..kernels {
        if let Some(id) = random.of(&ids).filter(|id| model.is_there(id)) {
            kernel(model, random, &id).await;
        }
    }
    gone(model, 3).await;
}

/// Looks at all there is.
pub async fn all(model: &Model) {
    let mut random = Random::new(1);
    let ids: Vec<_> = model.with(|known| known.documents.keys().cloned().collect());
    for id in ids {
        document(model, &id, usize::MAX).await;
    }
    let ids: Vec<_> = model.with(|known| known.kernels.keys().cloned().collect());
    for id in ids {
        kernel(model, &mut random, &id).await;
    }
    gone(model, usize::MAX).await;
    for (job, text) in model.with(|known| known.jobs.clone()) {
        ended(model, &job, &text).await;
    }
}

/// Every version that was acknowledged is there, and every file.
async fn document(model: &Model, id: &str, latest: usize) {
    let (versions, files) = model.with(|known| {
        let document = &known.documents[id];
        (document.versions.clone(), document.files.clone())
    });
    for (version, text) in versions.iter().rev().take(latest.min(KEPT)) {
        let answer = get(model, Method::GET, &format!("/api/v1/documents/{id}/versions/{version}"), None).await;
        if answer.status != 200 || answer.json()["content"] != **text {
            model.wrong(format!("version {version} of {id} is lost: {}", answer.text));
        }
    }
    for (file, content) in files.iter().rev().take(latest) {
        let answer = get(model, Method::GET, &format!("/api/v1/documents/{id}/files/{file}"), None).await;
        if answer.text != *content {
            model.wrong(format!("{file} of {id} is lost: {}", answer.text));
        }
    }
}

/// The kernel wakes, and knows what it must.
async fn kernel(model: &Model, random: &mut Random, id: &str) {
    let path = format!("/api/v1/kernels/{id}");
    let until = Instant::now() + PATIENCE;
    loop {
        let Some(sent): Option<Sent> = model.sent(id, random) else { return };
        let number = model.cell(id);
        let request = client().post(format!("{}{path}/execute", sent.server.address)).json(&cell(number, 0));
        let answer = ask(model, request).await.expect("a server answers");
        if answer.status == 200 {
            let report = answer.json();
            model.ran(id, &sent, number, report["stdout"].as_str().unwrap());
            let shown = get(model, Method::GET, &path, None).await;
            let is_alone = model.with(|known| known.servers.len() == 1);
            let cells = report["stdout"].as_str().unwrap().split('|').next().unwrap().split(',').count() as u64;
            if is_alone && shown.json()["execution_count"] != cells {
                model.wrong(format!("{id} has run {cells} cells, and shows {}", shown.text));
            }
            model.count("kernels woken");
            return;
        }
        let is_saved = model.with(|known| known.kernels[id].floor.is_some());
        if answer.status == 409 && answer.text.contains("is dead") {
            if is_saved {
                model.wrong(format!("{id} is dead"));
            }
            // Its server was killed before it was saved.
            model.with(|known| known.kernels.remove(id));
            model.count("forks that were not saved");
            get(model, Method::DELETE, &path, None).await;
            return;
        }
        if Instant::now() > until || ![409, 503].contains(&answer.status.as_u16()) {
            return model.wrong(format!("{id} can't be had: {}", answer.text));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What was deleted does not come back.
async fn gone(model: &Model, latest: usize) {
    let ids = model.with(|known| known.gone.iter().rev().take(latest).cloned().collect::<Vec<_>>());
    for id in ids {
        let servers = model.with(|known| known.servers.clone());
        for server in servers {
            let path = format!("{}/api/v1/kernels/{id}", server.address);
            let until = Instant::now() + PATIENCE;
            while ask(model, client().get(&path)).await.expect("a server answers").status != 404 {
                if Instant::now() > until {
                    model.wrong(format!("{id} was deleted, and is there"));
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// The job has come to an end, and to what it had to.
async fn ended(model: &Model, job: &str, text: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let shown = get(model, Method::GET, &format!("/api/v1/jobs/{job}"), None).await.json();
        match shown["state"].as_str().unwrap() {
            "succeeded" => {
                let result = get(model, Method::GET, &format!("/api/v1/jobs/{job}/result"), None).await.json();
                if !is_rendered(text, result["rendered"].as_str().unwrap()) {
                    model.wrong(format!("job {job}: {result}"));
                }
                return model.count("jobs that succeeded");
            }
            // It has had as many servers as a job gets.
            "failed" if shown["error"].as_str().is_some_and(|error| error.contains("the server stopped each time")) => {
                return model.count("jobs whose servers were killed each time");
            }
            "queued" | "running" if Instant::now() < until => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => return model.wrong(format!("job {job} of {text:?}: {shown}")),
        }
    }
}

async fn column(connection: &mut AnyConnection, select: &'static str) -> Vec<String> {
    let rows = sqlx::query(select).fetch_all(connection).await.unwrap();
    rows.iter().map(|row: &AnyRow| row.get::<String, _>(0)).collect()
}

/// The sweeper leaves nothing that nobody names, and nothing of servers that are gone.
pub async fn nothing_is_left(database: &TestDatabase, directory: &Path, objects_url: &str) {
    let app = TestApp::builder().database_url(database.url()).objects_url(objects_url).start().await;
    let later = Timestamp::now() + SignedDuration::from_hours(48);
    sqlx::any::install_default_drivers();
    // A path with characters that mean something in an address.
    let quoted = database.url().replace('%', "%25").replace('#', "%23").replace(' ', "%20");
    let url = if database.url().starts_with("sqlite:") { quoted.as_str() } else { database.url() };
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        app.workspace.sweep().await.unwrap();
        app.workspace.sweep_documents(later).await.unwrap();
        app.workspace.kernels().sweep(later).await.unwrap();
        app.workspace.service().renders().unwrap().sweep(later).await.unwrap();
        // The last one that was killed may be thought to live for a moment.
        let held = column(&mut connection, "SELECT id FROM kernels WHERE server_id IS NOT NULL").await;
        if held.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "kernels of dead servers: {held:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Objects::open(objects_url).unwrap().sweep(Duration::ZERO).await.unwrap();
    app.stop().await;

    let mut named: HashSet<String> = HashSet::new();
    for select in [
        "SELECT object_key FROM kernel_segments",
        "SELECT object_key FROM document_files",
        "SELECT object_key FROM job_objects",
        "SELECT object_key FROM document_renders WHERE object_key IS NOT NULL",
        "SELECT 'images/' || image FROM kernels",
        "SELECT 'cells/' || id || '/states' FROM render_segments",
        "SELECT 'cells/' || id || '/reports' FROM render_segments",
    ] {
        named.extend(column(&mut connection, select).await);
    }
    let (mut there, mut directories) = (Vec::new(), vec![directory.join("objects")]);
    while let Some(below) = directories.pop() {
        for entry in std::fs::read_dir(below).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                there.push(path.strip_prefix(directory.join("objects")).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let orphans: Vec<_> = there.iter().filter(|key| !named.contains(*key)).collect();
    assert!(orphans.is_empty(), "of {} objects nobody names {orphans:?}", there.len());
    let missing: Vec<_> = named.iter().filter(|key| !there.contains(key) && !key.starts_with("images/")).collect();
    assert!(missing.is_empty(), "{missing:?}");
    if let Some(file) = database.url().strip_prefix("sqlite://") {
        assert_eq!(column(&mut connection, "PRAGMA integrity_check").await, ["ok"]);
        assert_eq!(column(&mut connection, "SELECT 'x' FROM pragma_foreign_key_check").await, [""; 0]);
        let locks = std::fs::read_dir(format!("{file}.servers")).unwrap().count();
        assert_eq!(locks, 0, "locks of dead servers");
    }
    connection.close().await.unwrap();
}
