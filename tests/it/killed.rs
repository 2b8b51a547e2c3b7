//! Servers that the system ends at any moment, whatever they are doing: what was acknowledged is there afterwards.
//!
//! `PYMD_TEST_KILLS` says how often, `PYMD_TEST_SEED` which moments.

mod checks;
mod clients;
mod model;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use crate::databases::TestDatabase;
use crate::support::{Server, client, pymd, sandbox};
use clients::Client;
use model::{Model, Random, Running};

const TOKEN: &str = "a-token-of-the-tests";
/// Each of them does one thing after another.
const CLIENTS: usize = 5;

/// A database and an object store, and the servers that come and go over them.
struct World {
    database: TestDatabase,
    directory: tempfile::TempDir,
    model: Arc<Model>,
    random: Random,
    servers: Vec<(Arc<Running>, Server)>,
    started: usize,
}

impl World {
    async fn over(database: TestDatabase, seed: u64) -> Self {
        sandbox().await;
        let (directory, model) = (tempfile::tempdir().unwrap(), Arc::default());
        Self { database, directory, model, random: Random::new(seed), servers: Vec::new(), started: 0 }
    }

    fn objects_url(&self) -> String {
        format!("file://{}", self.directory.path().join("objects").display())
    }

    /// One server more; it takes some moments to be ready.
    async fn start(&mut self) {
        self.started += 1;
        let data_dir = self.directory.path().join(format!("server-{}", self.started));
        std::fs::create_dir(&data_dir).unwrap();
        let (database, objects) = (self.database.url().to_owned(), self.objects_url());
        let starting = move || {
            let arguments = [
                ["--database-url", &database],
                ["--object-store-url", &objects],
                ["--kernels-save-after-ms", "30"],
                ["--kernels-hibernate-after-ms", "400"],
                ["--kernels-idle-ms", "200"],
                ["--kernels-lease-ms", "3000"],
                ["--jobs-lease-ms", "1500"],
                ["--log", "warn"],
            ];
            let mut command = pymd();
            command.env("PYMD_ADMIN_TOKEN", TOKEN);
            Server::start_as(command, &data_dir, &arguments.concat())
        };
        let server = tokio::task::spawn_blocking(starting).await.unwrap();
        let running = Arc::new(Running::new(server.address().0));
        self.model.add(&running);
        self.servers.push((running, server));
    }

    /// Waits until code can run.
    async fn until_ready(&self) {
        let client = client();
        let until = Instant::now() + Duration::from_secs(30);
        for (running, _) in &self.servers {
            let health = format!("{}/health", running.address);
            while !client.get(&health).send().await.unwrap().text().await.unwrap().contains("\"ok\"") {
                assert!(Instant::now() < until, "a server does not become ready");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Ends one of the servers at this moment.
    async fn kill(&mut self) {
        let (running, server) = self.servers.swap_remove(self.random.below(self.servers.len()));
        self.model.remove(&running);
        server.signal(Signal::KILL);
        let (_, _, log) = server.wait().await;
        if !log.is_empty() {
            eprintln!("server: {log}");
        }
    }

    /// Clients do all there is to do, and then a server is ended.
    async fn round(&mut self) {
        let most = 1 + self.random.below(2);
        while self.servers.len() < most {
            self.start().await;
        }
        if self.random.below(8) > 0 {
            self.until_ready().await;
        }
        let stop = CancellationToken::new();
        let clients = (0..CLIENTS).map(|number| {
            let client = Client::new(number, &self.model, Random::new(self.random.next()), stop.clone());
            tokio::spawn(client.work())
        });
        let clients: Vec<_> = clients.collect();
        let moment = 30 + self.random.below(900) as u64;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        self.kill().await;
        if !self.servers.is_empty() {
            // The other one finds what is left.
            tokio::time::sleep(Duration::from_millis(self.random.below(300) as u64)).await;
        }
        stop.cancel();
        for client in clients {
            client.await.unwrap();
        }
        self.model.assert_no_wrongs();
    }

    async fn rounds(&mut self, kills: usize) {
        for kill in 1..=kills {
            self.round().await;
            if self.servers.is_empty() {
                self.start().await;
            }
            self.until_ready().await;
            let (documents, kernels) = (self.random.below(3), 3);
            checks::some(&self.model, &mut self.random, documents, kernels).await;
            self.model.assert_no_wrongs();
            if kill % 10 == 0 {
                eprintln!("{kill} kills: {}", self.model.figures());
            }
        }
        checks::all(&self.model).await;
        self.model.assert_no_wrongs();
        eprintln!("{kills} kills: {}", self.model.figures());
        while !self.servers.is_empty() {
            self.kill().await;
        }
        checks::nothing_is_left(&self.database, self.directory.path(), &self.objects_url()).await;
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn seed() -> u64 {
    let seed = number("PYMD_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()) | 1 << 40);
    eprintln!("PYMD_TEST_SEED={seed}");
    seed
}

fn kills(usually: usize) -> usize {
    number("PYMD_TEST_KILLS").map_or(usually, |kills| usize::try_from(kills).unwrap() * usually / 16)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_any_kill_on_sqlite() {
    World::over(TestDatabase::sqlite(), seed()).await.rounds(kills(12)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_any_kill_on_postgres() {
    World::over(TestDatabase::postgres().await, seed()).await.rounds(kills(4)).await;
}
