//! Clients that do all there is to do.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::TOKEN;
use super::model::{Document, Model, Random, Running};
use crate::support::{Answer, client};

const KERNELS: &str = "/api/v1/kernels";
const DOCUMENTS: &str = "/api/v1/documents";
/// More are not made.
const MOST_KERNELS: usize = 14;
const MOST_DOCUMENTS: usize = 4;

/// Somebody who does one thing after another.
pub struct Client {
    number: usize,
    model: Arc<Model>,
    random: Random,
    stop: CancellationToken,
    http: reqwest::Client,
}

/// What a server has answered; nothing where it has ended meanwhile.
pub type Heard = Option<Answer>;

/// Asks a server.
pub async fn ask(model: &Model, request: RequestBuilder) -> Heard {
    let response = request.bearer_auth(TOKEN).send().await.ok()?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.ok()?;
    if status.is_server_error() && status != 503 {
        model.wrong(format!("{status}: {text}"));
    }
    Some(Answer { status, headers, text })
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text).unwrap()
}

/// A cell that says which cells have run before it.
pub fn cell(number: u64, rounds: usize) -> Value {
    json!({"code": format!(
        "h = globals().get('h', [])\nh.append({number})\nwith open('log', 'a') as f: f.write('{number} ')\n\
        for _ in range({rounds}): pass\nprint(h, '|', open('log').read())"
    )})
}

/// A document whose last output is that of `number` plus one.
pub fn text(number: u64) -> String {
    format!("# Text {number}\n\n```\nx = {number}\n```\n\n```\nprint('the next', x + 1)\n```\n")
}

impl Client {
    pub fn new(number: usize, model: &Arc<Model>, random: Random, stop: CancellationToken) -> Self {
        Self { number, model: Arc::clone(model), random, stop, http: client() }
    }

    /// Works until told to stop, or until there is no server.
    pub async fn work(mut self) {
        while !self.stop.is_cancelled() {
            let server = self.model.with(|known| self.random.of(&known.servers));
            let Some(server) = server else { return };
            let done = match self.number {
                0 => self.with_documents(&server).await,
                _ => self.with_kernels(&server).await,
            };
            if done.is_none() {
                // Nobody answers, or there is nothing to do.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    fn request(&self, server: &Running, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", server.address))
    }

    async fn with_documents(&mut self, server: &Running) -> Option<()> {
        let model = Arc::clone(&self.model);
        let ids: Vec<_> = model.with(|known| known.documents.keys().cloned().collect());
        let number = model.number();
        if ids.len() < MOST_DOCUMENTS && self.random.below(4) == 0 || ids.is_empty() {
            let body = json!({"title": format!("Document {number}"), "content": text(number)});
            let answer = ask(&model, self.request(server, Method::POST, DOCUMENTS).json(&body)).await?;
            if answer.status == 201 {
                let id = json_of(&answer)["id"].as_str().unwrap().to_owned();
                let document =
                    Document { versions: vec![(1, text(number))], sent: vec![text(number)], ..Document::default() };
                model.with(|known| known.documents.insert(id, document));
            }
            return Some(());
        }
        let id = self.random.of(&ids)?;
        let path = format!("{DOCUMENTS}/{id}");
        match self.random.below(6) {
            0..=2 => {
                model.with(|known| known.documents.get_mut(&id).unwrap().sent.push(text(number)));
                let request = self.request(server, Method::PATCH, &path).json(&json!({"content": text(number)}));
                let answer = ask(&model, request).await?;
                if answer.status == 200 {
                    let version = json_of(&answer)["version"].as_u64().unwrap();
                    model.with(|known| known.documents.get_mut(&id).unwrap().versions.push((version, text(number))));
                    model.count("versions");
                }
            }
            3 => {
                let (file, content) = (format!("{number}.txt"), format!("content {number}"));
                let request = self.request(server, Method::PUT, &format!("{path}/files/{file}"));
                if ask(&model, request.body(content.clone())).await?.status == 200 {
                    model.with(|known| known.documents.get_mut(&id).unwrap().files.push((file, content)));
                    model.count("files");
                }
            }
            4 => {
                let request = self.request(server, Method::POST, &format!("/api/v1/render/documents/{id}"));
                let answer = ask(&model, request).await?;
                if answer.status == 200 {
                    let sent = model.with(|known| known.documents[&id].sent.clone());
                    let rendered = json_of(&answer)["rendered"].as_str().unwrap().to_owned();
                    if !sent.iter().any(|sent| is_rendered(sent, &rendered)) {
                        model.wrong(format!("a document is rendered as {rendered}"));
                    }
                    model.count("renders");
                }
            }
            _ => {
                let request = self.request(server, Method::POST, "/api/v1/render").header("prefer", "respond-async");
                let body = json!({"content": text(number), "format": "markdown"});
                let answer = ask(&model, request.json(&body)).await?;
                if answer.status == 202 {
                    let job = json_of(&answer)["id"].as_str().unwrap().to_owned();
                    model.with(|known| known.jobs.push((job, text(number))));
                    model.count("jobs");
                }
            }
        }
        Some(())
    }

    async fn with_kernels(&mut self, server: &Running) -> Option<()> {
        let model = Arc::clone(&self.model);
        let ids: Vec<_> = model.with(|known| known.kernels.keys().cloned().collect());
        if ids.len() < MOST_KERNELS && self.random.below(12) == 0 || ids.is_empty() {
            let answer = ask(&model, self.request(server, Method::POST, KERNELS).json(&json!({}))).await?;
            if answer.status == 201 {
                model.made(json_of(&answer)["id"].as_str().unwrap(), None);
                model.count("kernels");
            }
            return (answer.status == 201).then_some(());
        }
        let id = self.random.of(&ids)?;
        match self.random.below(16) {
            0..=6 => self.run(&id).await,
            7..=9 => self.show(&id).await,
            10..=11 => self.hibernate(&id).await,
            12..=13 => self.fork(&id, ids.len()).await,
            14 => self.go_back(&id).await,
            _ => self.delete(&id, ids.len()).await,
        }
    }

    async fn run(&mut self, id: &str) -> Option<()> {
        let (model, rounds) = (Arc::clone(&self.model), [0, 0, 10_000, 300_000]);
        let sent = model.sent(id, &mut self.random)?;
        let number = model.cell(id);
        let rounds = self.random.of(&rounds)?;
        let request = self.request(&sent.server, Method::POST, &format!("{KERNELS}/{id}/execute"));
        let answer = ask(&model, request.json(&cell(number, rounds))).await?;
        if answer.status == 200 {
            let report = json_of(&answer);
            if report["outcome"]["kind"] == "completed" {
                model.ran(id, &sent, number, report["stdout"].as_str().unwrap());
                model.count("cells");
            } else if model.is_there(id) {
                model.wrong(format!("{id}: cell {number}: {report}"));
            }
        } else if answer.text.contains("is dead") {
            let is_saved = model.with(|known| known.kernels.get(id).is_some_and(|kernel| kernel.floor.is_some()));
            if is_saved {
                model.wrong(format!("{id} is dead"));
            }
        }
        Some(())
    }

    async fn show(&mut self, id: &str) -> Option<()> {
        let model = Arc::clone(&self.model);
        let sent = model.sent(id, &mut self.random)?;
        let answer = ask(&model, self.request(&sent.server, Method::GET, &format!("{KERNELS}/{id}"))).await?;
        if answer.status == 200 {
            let shown = json_of(&answer);
            if shown["saved"] == true {
                model.saved(id, &sent, shown["execution_count"].as_u64().unwrap());
            }
        } else if model.is_there(id) {
            model.wrong(format!("{id} is not shown: {}", answer.text));
        }
        Some(())
    }

    async fn hibernate(&mut self, id: &str) -> Option<()> {
        let model = Arc::clone(&self.model);
        let sent = model.sent(id, &mut self.random)?;
        let answer =
            ask(&model, self.request(&sent.server, Method::POST, &format!("{KERNELS}/{id}/hibernate"))).await?;
        if answer.status == 200 {
            let shown = json_of(&answer);
            if shown["state"] == "hibernated" {
                model.saved(id, &sent, shown["execution_count"].as_u64().unwrap());
                model.count("hibernations");
            }
        }
        Some(())
    }

    async fn fork(&mut self, id: &str, there: usize) -> Option<()> {
        if there >= MOST_KERNELS {
            return None;
        }
        let model = Arc::clone(&self.model);
        let sent = model.sent(id, &mut self.random)?;
        let count = 1 + self.random.below(2);
        let request = self.request(&sent.server, Method::POST, &format!("{KERNELS}/{id}/fork"));
        let answer = ask(&model, request.json(&json!({"count": count}))).await?;
        if answer.status == 201 {
            for fork in json_of(&answer)["kernels"].as_array().unwrap() {
                model.made(fork["id"].as_str().unwrap(), Some(id));
                model.count("forks");
            }
        }
        Some(())
    }

    async fn go_back(&mut self, id: &str) -> Option<()> {
        let model = Arc::clone(&self.model);
        let sent = model.sent(id, &mut self.random)?;
        let path = format!("{KERNELS}/{id}/checkpoints");
        let answer = ask(&model, self.request(&sent.server, Method::GET, &path)).await?;
        if answer.status != 200 {
            return None;
        }
        let list = json_of(&answer)["checkpoints"].as_array().unwrap().clone();
        let checkpoint = self.random.of(&list)?["id"].clone();
        model.goes_back(id);
        let request = self.request(&sent.server, Method::POST, &format!("{KERNELS}/{id}/restore"));
        let answer = ask(&model, request.json(&json!({"checkpoint_id": checkpoint}))).await;
        model.goes_back(id);
        if answer?.status == 200 {
            model.count("ways back");
        }
        Some(())
    }

    async fn delete(&mut self, id: &str, there: usize) -> Option<()> {
        if there < MOST_KERNELS / 2 {
            return None;
        }
        let model = Arc::clone(&self.model);
        let sent = model.sent(id, &mut self.random)?;
        // Whatever comes of it: it is asked for no more.
        model.with(|known| known.kernels.remove(id));
        let answer = ask(&model, self.request(&sent.server, Method::DELETE, &format!("{KERNELS}/{id}"))).await?;
        if answer.status == 204 {
            model.with(|known| known.gone.push(id.to_owned()));
            model.count("deletions");
        }
        Some(())
    }
}

/// Whether this is what comes of a text.
pub fn is_rendered(text: &str, rendered: &str) -> bool {
    let number: u64 = text.lines().next().unwrap().trim_start_matches("# Text ").parse().unwrap();
    rendered.contains(&format!("Text {number}")) && rendered.contains(&format!("the next {}", number + 1))
}
