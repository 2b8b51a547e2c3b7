//! Looking up the names of servers: once, however many connections want the same at the same time.
//!
//! Thirty-two connections that begin at once would ask the name server thirty-two times, and where it drops one of those
//! questions, the system asks again after five seconds: longer than all of an installation.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::keep_public;
use super::flight::Flights;

/// For so long an answer is taken for the same one.
const KEPT: Duration = Duration::from_secs(30);
/// Answers that are kept at most.
const MAX_KEPT: usize = 256;

type Addresses = Arc<[SocketAddr]>;
type Answer = Result<Addresses, Arc<io::Error>>;

/// The look-ups that several clients share.
pub(super) struct Lookups {
    running: Flights<String, Answer>,
    known: Mutex<HashMap<String, (Instant, Addresses)>>,
}

impl Lookups {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { running: Flights::new(), known: Mutex::default() })
    }

    async fn addresses(&self, host: String) -> Answer {
        if let Some((since, addresses)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&host)
            && since.elapsed() < KEPT
        {
            return Ok(Arc::clone(addresses));
        }
        let asked = host.clone();
        let look = || {
            async move {
                let found = tokio::net::lookup_host((asked.as_str(), 0)).await;
                found.map(Iterator::collect::<Arc<[_]>>).map_err(Arc::new)
            }
            .boxed()
        };
        let answer = self.running.join(host.clone(), look).await;
        if let Ok(addresses) = &answer {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MAX_KEPT {
                known.clear();
            }
            known.insert(host, (Instant::now(), Arc::clone(addresses)));
        }
        answer
    }
}

/// A client's way to look names up.
pub(super) struct Names {
    pub(super) lookups: Arc<Lookups>,
    /// Whether only public addresses are told. What is connected to is what was checked.
    pub(super) public_only: bool,
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookups, public_only) = (Arc::clone(&self.lookups), self.public_only);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = lookups.addresses(host.clone()).await?;
            let addresses = if public_only { keep_public(&host, &found)? } else { found.to_vec() };
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
