//! A real server in this process, on a port of its own.

use std::time::Duration;

use pymd::api::{App, serve};
use pymd::browser::Printer;
use pymd::config::{AdminToken, Config, HttpConfig, Settings};
use pymd::domain::{AuthPolicy, ExecutionPolicy, JobPolicy, KernelPolicy, Limits};
use pymd::jobs::Runner;
use pymd::metrics::Metrics;
use pymd::service::install::{InstallConfig, Installer};
use pymd::service::{Accounts, Clock, Service, ServiceConfig, Workspace, WorkspaceParts};
use pymd::store::{Database, DatabaseOptions, Objects};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::sandbox;

/// The token of every test's server.
const TOKEN: &str = "a-token-of-the-tests";

/// What a test's server is like.
pub struct Builder {
    service: ServiceConfig,
    http: HttpConfig,
    ready: bool,
    database_url: Option<String>,
    objects_url: Option<String>,
    index_urls: Option<Vec<Url>>,
    kernels: KernelPolicy,
    executions: ExecutionPolicy,
    jobs: JobPolicy,
    printer: Printer,
    auth: AuthPolicy,
}

impl Builder {
    /// How kernels are kept.
    pub fn kernels(mut self, kernels: KernelPolicy) -> Self {
        self.kernels = kernels;
        self
    }

    /// Another object store than a directory of its own.
    pub fn objects_url(mut self, url: impl Into<String>) -> Self {
        self.objects_url = Some(url.into());
        self
    }

    /// What an execution may use.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.service.limits = limits;
        self
    }

    /// How many run at once, and how many wait.
    pub fn queue(mut self, max_running: usize, max_queued: usize) -> Self {
        (self.service.max_running, self.service.max_queued) = (max_running, max_queued);
        self
    }

    /// What holds for every request.
    pub fn http(mut self, http: HttpConfig) -> Self {
        self.http = http;
        self
    }

    /// The largest body.
    pub fn body_limit_bytes(mut self, bytes: usize) -> Self {
        self.http.body_limit_bytes = bytes;
        self
    }

    /// What running cells get at the end.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.http.shutdown_grace = grace;
        self
    }

    /// Another database than a SQLite file of its own.
    pub fn database_url(mut self, url: impl Into<String>) -> Self {
        self.database_url = Some(url.into());
        self
    }

    /// Other package indexes than the one of the environment.
    pub fn index_urls(mut self, urls: Vec<Url>) -> Self {
        self.index_urls = Some(urls);
        self
    }

    /// How much history is kept.
    pub fn executions(mut self, config: ExecutionPolicy) -> Self {
        self.executions = config;
        self
    }

    /// What goes on when nobody waits for it.
    pub fn jobs(mut self, jobs: JobPolicy) -> Self {
        self.jobs = jobs;
        self
    }

    /// Another way to print.
    pub fn printer(mut self, printer: Printer) -> Self {
        self.printer = printer;
        self
    }

    /// Who is let in besides those with API keys.
    pub fn auth(mut self, auth: AuthPolicy) -> Self {
        self.auth = auth;
        self
    }

    /// Without a runtime.
    pub fn preparing(mut self) -> Self {
        self.ready = false;
        self
    }

    /// Starts the server.
    pub async fn start(self) -> TestApp {
        let service = Service::new(self.service);
        if self.ready {
            service.set_ready(sandbox().await.clone(), "the runtime".to_owned(), "3".to_owned());
        }
        let token: AdminToken = TOKEN.parse().unwrap();
        let data_dir = tempfile::tempdir().unwrap();
        let url =
            self.database_url.unwrap_or_else(|| format!("sqlite://{}", data_dir.path().join("pymd.db").display()));
        let database = Database::open(&url, &DatabaseOptions::default()).await.unwrap();
        database.ensure_admin(TOKEN).await.unwrap();
        let objects = format!("file://{}", data_dir.path().join("objects").display());
        let objects = Objects::open(&self.objects_url.unwrap_or(objects)).unwrap();
        let cache_dir = data_dir.path().join("cache");
        let config = Config::load(None, Settings::from_environment().unwrap()).unwrap();
        let installer = Installer::open(InstallConfig {
            index_urls: self.index_urls.unwrap_or(config.index_urls),
            trusted_hosts: Vec::new(),
            cache_dir: cache_dir.clone(),
        });
        let workspace = Workspace::open(WorkspaceParts {
            service: service.clone(),
            database,
            objects,
            installer: installer.unwrap(),
            kernels: self.kernels,
            executions: self.executions,
            printer: self.printer,
            data_dir: data_dir.path().to_owned(),
            cache_dir,
            jobs: self.jobs,
        })
        .unwrap();
        let runner = self.ready.then(|| Runner::start(workspace.queue(), workspace.handlers(), "the test's server"));
        let clock = self.ready.then(|| workspace.start_clock());
        let accounts = Accounts::new(workspace.database().clone(), self.auth).unwrap();
        let app = App::new(workspace.clone(), accounts, token, self.http, Metrics::install().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(app, listener, shutdown.clone()));
        TestApp { host, service, workspace, data_dir, runner, clock, shutdown, server, client: client() }
    }
}

/// An HTTP client that follows nothing and keeps no cookies.
pub fn client() -> Client {
    // Another test may have chosen it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let timeout = Duration::from_secs(60);
    Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(timeout).no_proxy().build().unwrap()
}

/// A server in this process.
pub struct TestApp {
    /// Address and port.
    pub host: String,
    /// What is behind it.
    pub service: Service,
    /// What its users have.
    pub workspace: Workspace,
    /// Where it keeps things.
    pub data_dir: TempDir,
    runner: Option<Runner>,
    clock: Option<Clock>,
    /// Cancelled, it stops.
    pub shutdown: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
    client: Client,
}

impl TestApp {
    /// What can be chosen.
    pub fn builder() -> Builder {
        let limits = Limits { wall_ms: 20_000, ..Limits::default() };
        let service = ServiceConfig { limits, max_running: 8, max_queued: 8, ..ServiceConfig::default() };
        Builder {
            service,
            http: HttpConfig::default(),
            ready: true,
            database_url: None,
            objects_url: None,
            index_urls: None,
            kernels: KernelPolicy::default(),
            executions: ExecutionPolicy::default(),
            jobs: JobPolicy::default(),
            printer: Printer::default(),
            auth: AuthPolicy::default(),
        }
    }

    /// A server as it comes.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// The token.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// A request without a token.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.host))
    }

    /// A request with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(TOKEN)
    }

    /// Asks with a method, and with JSON where there is some.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        Answer::of(request.send().await.unwrap()).await
    }

    /// Asks for a path.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    /// Sends JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body).send().await.unwrap()).await
    }

    /// Makes a user, and answers its key.
    pub async fn user(&self, name: &str) -> String {
        let made = self.post("/api/v1/admin/users", &json!({ "name": name })).await;
        let made: Value = serde_json::from_str(&made.text).unwrap();
        made["key"].as_str().unwrap().to_owned()
    }

    /// Asks as the user of that key.
    pub async fn ask_as(&self, key: &str, method: Method, path: &str, body: &Value) -> Answer {
        let request = self.anonymous(method, path).bearer_auth(key);
        Answer::of(request.json(body).send().await.unwrap()).await
    }

    /// Runs code.
    pub async fn execute(&self, code: &str) -> Answer {
        self.post("/api/v1/execute", &json!({ "code": code })).await
    }

    /// Sends JSON, and hears events.
    pub async fn stream(&self, path: &str, body: &Value) -> Response {
        let request = self.request(Method::POST, path).header(header::ACCEPT, "text/event-stream");
        let response = request.json(body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        response
    }

    /// Waits until so many executions run, for at most five seconds.
    pub async fn until_running(&self, count: usize) {
        for _ in 0..500 {
            if self.service.stats().running == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} executions were to run: {:?}", self.service.stats());
    }

    /// Stops the server and waits for its end.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.wait().await;
    }

    /// Waits for the server's end.
    pub async fn wait(self) {
        tokio::time::timeout(Duration::from_secs(20), self.server).await.unwrap().unwrap().unwrap();
        drop(self.clock);
        if let Some(runner) = self.runner {
            runner.shutdown().await;
        }
        self.workspace.kernels().shutdown().await;
        self.workspace.service().renders().unwrap().flush().await;
        self.workspace.executions().close(Duration::from_secs(5)).await;
        self.workspace.database().close().await;
        let stats = self.service.stats();
        assert_eq!((stats.running, stats.queued), (0, 0), "executions outlived their server");
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: header::HeaderMap,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// Reads a response.
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The body of a success.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_str(&self.text).unwrap()
    }

    /// The body of a problem, which must have everything that a problem has.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:pymd:problem:{code}"));
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        for name in ["title", "detail", "request_id"] {
            assert!(problem[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {problem}");
        }
        problem
    }
}
