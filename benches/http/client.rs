//! The load generator: clients that ask, wait for the answer, and ask again.

use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::report::{Result, Samples};
use crate::server::Server;

/// Before the samples count.
const WARM_UP: Duration = Duration::from_millis(500);

/// What is asked again and again.
#[derive(Clone)]
pub struct Request {
    /// The path.
    pub path: &'static str,
    /// The body of a POST; without one it is a GET.
    pub body: Option<Value>,
    /// Whether an answer is right.
    pub check: fn(&Value) -> bool,
}

/// What the clients saw.
pub struct Load {
    /// From sending to the last byte of the answer.
    pub samples: Samples,
    /// Answers to all clients in a second.
    pub per_second: f64,
}

/// The clients' side.
pub struct Clients {
    base: String,
    headers: HeaderMap,
    runtime: Runtime,
}

/// Requests that are under way until they are released.
pub struct Held(JoinSet<Result<()>>);

impl Clients {
    /// Clients of `server`.
    pub fn new(server: &Server) -> Result<Self> {
        // Nothing here is encrypted, but a client cannot be made without: an error says that somebody did it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {}", server.token))?);
        // One thread: what the clients use of the machine is not the server's.
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("clients").enable_all().build()?;
        Ok(Self { base: format!("http://{}", server.address), headers, runtime })
    }

    fn client(&self) -> Result<Client> {
        Ok(Client::builder().default_headers(self.headers.clone()).no_proxy().tcp_nodelay(true).build()?)
    }

    /// Lets `count` clients ask for `time`, each pausing for `thinking` after an answer.
    ///
    /// # Errors
    /// The first answer that is not right.
    pub fn run(&self, request: &Request, count: usize, thinking: Duration, time: Duration) -> Result<Load> {
        let start = Instant::now() + WARM_UP;
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let work = ask_until(self.client()?, self.base.clone(), request.clone(), thinking, start, start + time);
            tasks.spawn_on(work, self.runtime.handle());
        }
        let times = self.runtime.block_on(async {
            let mut times = Vec::new();
            while let Some(done) = tasks.join_next().await {
                times.extend(done??);
            }
            Result::Ok(times)
        })?;
        let per_second = times.len() as f64 / time.as_secs_f64();
        Ok(Load { samples: times.into_iter().collect(), per_second })
    }

    /// Sends `request` on `count` connections and does not wait for the answers.
    pub fn hold(&self, request: &Request, count: usize) -> Held {
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (client, base, request) = (self.client(), self.base.clone(), request.clone());
            tasks.spawn_on(async move { ask(&client?, &base, &request).await }, self.runtime.handle());
        }
        Held(tasks)
    }
}

impl Held {
    /// Gives the requests up.
    ///
    /// # Errors
    /// One was answered before: it did not last for the whole measurement.
    pub fn release(mut self) -> Result<()> {
        match self.0.try_join_next() {
            None => Ok(()),
            Some(ended) => Err(format!("a request that was to be held ended early: {ended:?}").into()),
        }
    }
}

async fn ask_until(
    client: Client,
    base: String,
    request: Request,
    thinking: Duration,
    start: Instant,
    end: Instant,
) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    loop {
        let asked = Instant::now();
        if asked >= end {
            return Ok(times);
        }
        ask(&client, &base, &request).await?;
        if asked >= start {
            times.push(asked.elapsed());
        }
        if !thinking.is_zero() {
            tokio::time::sleep(thinking).await;
        }
    }
}

async fn ask(client: &Client, base: &str, request: &Request) -> Result<()> {
    let url = format!("{base}{}", request.path);
    let builder = match &request.body {
        Some(body) => client.post(url).json(body),
        None => client.get(url),
    };
    let response = builder.send().await?;
    let status = response.status();
    let answer: Value = response.json().await?;
    if status.is_success() && (request.check)(&answer) {
        Ok(())
    } else {
        Err(format!("{} answered {status}: {answer}", request.path).into())
    }
}
