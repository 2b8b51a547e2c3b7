//! A package index on a port of its own that answers as it is told, in good or bad faith, and remembers what it was asked.

mod reply;

use std::collections::{HashMap, VecDeque};
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

pub use reply::{Gate, Reply};

pub const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    pub headers: HeaderMap,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

#[derive(Default)]
struct Script {
    replies: HashMap<String, VecDeque<Reply>>,
    seen: Vec<Seen>,
    running: usize,
    most_running: usize,
}

/// The running index; it stops when dropped.
pub struct FakeIndex {
    /// Address of its root, with a slash.
    pub root: Url,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl Drop for FakeIndex {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a project page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Json,
    Html,
}

impl FakeIndex {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let app = Router::new().fallback(serve).with_state(Arc::clone(&script));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { root, script, task }
    }

    /// Address of its simple API.
    pub fn url(&self) -> Url {
        self.root.join("simple/").unwrap()
    }

    /// Address of a file that it serves.
    pub fn file_url(&self, filename: &str) -> Url {
        self.root.join(&format!("files/{filename}")).unwrap()
    }

    /// Answers `path` with these, one after the other, and then always with the last.
    pub fn script(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().replies.insert(path.to_owned(), replies.into_iter().collect());
    }

    /// Serves a project honestly: its page, its files, and metadata beside them where they say so.
    pub fn publish(&self, name: &str, style: Style, files: &[File]) {
        self.script(&format!("/simple/{name}/"), [page(name, style, files)]);
        for file in files {
            let path = format!("/files/{}", file.filename);
            if let (Some(metadata), true) = (&file.metadata_text, file.beside != Beside::Absent) {
                self.script(&format!("{path}.metadata"), [Reply::ok(metadata.clone())]);
            }
            self.script(&path, [Reply::ok(file.bytes.clone()).ranges()]);
        }
    }

    /// What was asked for below `prefix`.
    pub fn seen(&self, prefix: &str) -> Vec<Seen> {
        let script = self.script.lock().unwrap();
        script.seen.iter().filter(|seen| seen.path.starts_with(prefix)).cloned().collect()
    }

    pub fn hits(&self, prefix: &str) -> usize {
        self.seen(prefix).len()
    }

    /// How many requests ran at the same time, at most.
    pub fn most_running(&self) -> usize {
        self.script.lock().unwrap().most_running
    }
}

async fn serve(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    assert_eq!(request.method(), Method::GET);
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    let reply = {
        let mut script = script.lock().unwrap();
        script.running += 1;
        script.most_running = script.most_running.max(script.running);
        script.seen.push(Seen { path: path.clone(), headers: headers.clone() });
        let replies = script.replies.get_mut(&path);
        replies.and_then(|replies| if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() })
    };
    if let Some(gate) = reply.as_ref().and_then(|reply| reply.gate.clone()) {
        gate.pass().await;
    }
    script.lock().unwrap().running -= 1;
    reply.unwrap_or_else(|| Reply::status(404)).answer(&headers)
}

/// Whether metadata lies beside a wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    Absent,
    Unhashed,
    Hashed,
}

/// A file of a project, and what the index says of it.
#[derive(Clone)]
pub struct File {
    pub filename: String,
    pub bytes: Bytes,
    pub sha256: Option<String>,
    pub size: Option<u64>,
    pub requires_python: Option<String>,
    pub yanked: Option<String>,
    pub beside: Beside,
    /// What lies beside it.
    pub metadata_text: Option<Bytes>,
}

impl File {
    pub fn new(filename: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            filename: filename.to_owned(),
            sha256: Some(sha256(&bytes)),
            size: Some(bytes.len() as u64),
            bytes,
            requires_python: None,
            yanked: None,
            beside: Beside::Absent,
            metadata_text: None,
        }
    }

    /// A pure wheel that needs this.
    pub fn wheel(name: &str, version: &str, requires: &[&str]) -> Self {
        let wheel = Wheel::new(name, version, requires);
        Self { metadata_text: Some(wheel.metadata.clone().into()), ..Self::new(&wheel.filename(), wheel.bytes()) }
    }

    pub fn beside(mut self, beside: Beside) -> Self {
        self.beside = beside;
        self
    }
}

/// What a wheel is made of.
pub struct Wheel {
    pub name: String,
    pub version: String,
    pub metadata: String,
    pub method: CompressionMethod,
    /// What stands before the `.dist-info` directory, and what behind it.
    pub before: Vec<(String, Vec<u8>)>,
    pub behind: Vec<(String, Vec<u8>)>,
}

impl Wheel {
    pub fn new(name: &str, version: &str, requires: &[&str]) -> Self {
        let lines: String = requires.iter().map(|line| format!("Requires-Dist: {line}\n")).collect();
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            metadata: format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}\nDescription.\n"),
            method: CompressionMethod::Deflated,
            before: vec![(format!("{name}/__init__.py"), b"x = 1\n".to_vec())],
            behind: Vec::new(),
        }
    }

    pub fn filename(&self) -> String {
        format!("{}-{}-py3-none-any.whl", self.name, self.version)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(self.method);
        let metadata =
            (format!("{}-{}.dist-info/METADATA", self.name, self.version), self.metadata.clone().into_bytes());
        for (path, contents) in self.before.iter().chain([&metadata]).chain(&self.behind) {
            zip.start_file(path.as_str(), options).unwrap();
            zip.write_all(contents).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Bytes that do not compress.
pub fn noise(count: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// The page of a project.
pub fn page(name: &str, style: Style, files: &[File]) -> Reply {
    match style {
        Style::Json => Reply::json(json_page(name, files)),
        Style::Html => Reply::html(html_page(files)),
    }
}

fn json_page(name: &str, files: &[File]) -> String {
    let entry = |file: &File| {
        let hashes = |digest: &Option<String>| {
            digest.as_ref().map_or(serde_json::json!({}), |d| serde_json::json!({ "sha256": d }))
        };
        let beside = file.metadata_text.as_ref().map(|text| sha256(text));
        serde_json::json!({
            "filename": file.filename,
            "url": format!("../../files/{}", file.filename),
            "hashes": hashes(&file.sha256),
            "size": file.size,
            "requires-python": file.requires_python,
            "yanked": file.yanked.clone().map_or(false.into(), serde_json::Value::from),
            "core-metadata": match file.beside {
                Beside::Absent => false.into(),
                Beside::Unhashed => true.into(),
                Beside::Hashed => hashes(&beside),
            },
        })
    };
    let files: Vec<_> = files.iter().map(entry).collect();
    serde_json::json!({ "meta": { "api-version": "1.1" }, "name": name, "files": files }).to_string()
}

fn html_page(files: &[File]) -> String {
    let escape =
        |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
    let anchor = |file: &File| {
        let hash = file.sha256.as_ref().map_or(String::new(), |digest| format!("#sha256={digest}"));
        let attribute = |name: &str, value: &Option<String>| {
            value.as_ref().map_or(String::new(), |value| format!(" {name}=\"{}\"", escape(value)))
        };
        let beside = match file.beside {
            Beside::Absent => None,
            Beside::Unhashed => Some("true".to_owned()),
            Beside::Hashed => file.metadata_text.as_ref().map(|text| format!("sha256={}", sha256(text))),
        };
        format!(
            "<a href=\"../../files/{0}{hash}\"{1}{2}{3}>{0}</a><br/>\n",
            file.filename,
            attribute("data-requires-python", &file.requires_python),
            attribute("data-yanked", &file.yanked),
            attribute("data-core-metadata", &beside),
        )
    };
    let anchors: String = files.iter().map(anchor).collect();
    format!(
        "<!DOCTYPE html>\n<html><head><meta name=\"pypi:repository-version\" content=\"1.0\"></head><body>\n{anchors}</body></html>"
    )
}
