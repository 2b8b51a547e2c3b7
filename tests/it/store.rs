//! The database, on SQLite and PostgreSQL, and the object store, in a directory and in S3.

mod documents;
mod environments;
mod executions;
mod generations;
mod jobs;
mod keys;
mod objects;
mod opening;
mod schedules;
mod users;

use std::sync::Arc;

use futures::future::join_all;
use pymd::domain::{BackendKind, EnvironmentStatus, Quotas, Role, Tier, User};
use pymd::store::{Database, NewEnvironment, NewUser};
use tokio::sync::Barrier;

use crate::databases::TestDatabase;

/// A new user of the tier FREE.
pub(crate) async fn new_user(database: &Database) -> User {
    let new = NewUser { name: "Ada".to_owned(), email: None, role: Role::User, tier: "FREE".to_owned() };
    database.create_user(&new).await.unwrap()
}

fn named(name: &str) -> NewEnvironment {
    NewEnvironment {
        name: name.parse().unwrap(),
        python_version: "3.15.0".to_owned(),
        backend: BackendKind::Wasm,
        status: EnvironmentStatus::Active,
    }
}

/// Gives the tier FREE these quotas.
pub(crate) async fn set_quotas(database: &Database, quotas: Quotas) {
    let free = database.tiers().await.unwrap().into_iter().find(|tier| tier.name == "FREE").unwrap();
    database.put_tier(&Tier { quotas, ..free }).await.unwrap();
}

/// Runs the work of `count` servers in the same instant: each has its own connection, open already.
async fn at_once<T, F>(at: &TestDatabase, count: usize, work: impl Fn(Database, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let ready = Arc::new(Barrier::new(count));
    let mut servers = Vec::new();
    for number in 0..count {
        let database = at.open().await;
        database.ping().await.unwrap();
        let (work, ready) = (work(database, number), ready.clone());
        servers.push(tokio::spawn(async move {
            ready.wait().await;
            work.await
        }));
    }
    join_all(servers).await.into_iter().map(Result::unwrap).collect()
}
