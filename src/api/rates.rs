//! How many requests a second somebody may send: by address for all, by user as their tier says.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};

use super::{ApiError, App};
use crate::config::HttpConfig;
use crate::domain::{Principal, Traffic, User, UserId};

/// A tier's rates are asked for again after so long.
const TRUSTED: Duration = Duration::from_secs(2);
/// Those who sent nothing for long are forgotten after so many requests.
const FORGET_EVERY: u32 = 10_000;
/// How many seconds' worth of requests an address may send at once after a pause.
const BURST_S: u32 = 10;
/// Where proxies say whom they speak for.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Counts requests.
pub struct Rates {
    clock: DefaultClock,
    addresses: Option<DefaultKeyedRateLimiter<IpAddr>>,
    trusted_proxies: usize,
    tiers: Mutex<HashMap<String, (Instant, Arc<TierRate>)>>,
    since_forgotten: Mutex<u32>,
}

struct TierRate {
    traffic: Traffic,
    users: DefaultKeyedRateLimiter<UserId>,
}

impl TierRate {
    fn new(traffic: Traffic) -> Self {
        Self { traffic, users: RateLimiter::keyed(quota(traffic.requests_per_second, traffic.burst)) }
    }
}

fn quota(per_second: u32, burst: u32) -> Quota {
    let least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(least_one(per_second)).allow_burst(least_one(burst))
}

impl Rates {
    pub fn new(config: &HttpConfig) -> Self {
        let per_second = config.requests_per_second_by_address;
        let addresses = (per_second > 0).then(|| {
            let burst = per_second.saturating_mul(BURST_S);
            RateLimiter::keyed(quota(per_second, burst))
        });
        Self {
            clock: DefaultClock::default(),
            addresses,
            trusted_proxies: config.trusted_proxies,
            tiers: Mutex::default(),
            since_forgotten: Mutex::default(),
        }
    }

    /// Counts a request from an address.
    fn count_address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), ApiError> {
        self.forget_some();
        let Some(limiter) = &self.addresses else { return Ok(()) };
        let Some(address) = client(peer, headers, self.trusted_proxies) else { return Ok(()) };
        limiter.check_key(&address).map_err(|until| self.too_fast(&until))
    }

    /// Counts a request of a user.
    async fn count_user(&self, app: &App, user: &User) -> Result<(), ApiError> {
        let rate = self.rate_of(app, &user.tier).await;
        rate.users.check_key(&user.id).map_err(|until| self.too_fast(&until))
    }

    async fn rate_of(&self, app: &App, tier: &str) -> Arc<TierRate> {
        let known = self.tiers().get(tier).cloned();
        if let Some((since, rate)) = &known
            && since.elapsed() < TRUSTED
        {
            return Arc::clone(rate);
        }
        // What can't be read is as it was: a tier that is gone, or a database that does not answer, shuts nobody out.
        let before = known.map(|(_, rate)| rate);
        let traffic = app.workspace().database().tier(tier).await.ok().flatten().map(|tier| tier.traffic);
        let traffic = traffic.or_else(|| before.as_ref().map(|rate| rate.traffic)).unwrap_or_default();
        let same = before.filter(|rate| {
            (rate.traffic.requests_per_second, rate.traffic.burst) == (traffic.requests_per_second, traffic.burst)
        });
        let rate = same.unwrap_or_else(|| Arc::new(TierRate::new(traffic)));
        self.tiers().insert(tier.to_owned(), (Instant::now(), Arc::clone(&rate)));
        rate
    }

    fn tiers(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Arc<TierRate>)>> {
        self.tiers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_some(&self) {
        let mut since = self.since_forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        *since += 1;
        if *since >= FORGET_EVERY {
            *since = 0;
            drop(since);
            for (_, rate) in self.tiers().values() {
                rate.users.retain_recent();
            }
            if let Some(addresses) = &self.addresses {
                addresses.retain_recent();
            }
        }
    }

    fn too_fast(&self, until: &NotUntil<<DefaultClock as Clock>::Instant>) -> ApiError {
        ApiError::too_fast(until.wait_time_from(self.clock.now()).as_secs().saturating_add(1))
    }
}

/// Who sent a request, as far as the proxies before this server are to be believed. Those on this machine count as nobody:
/// they are the owner, or a proxy of which nothing was said.
fn client(peer: Option<IpAddr>, headers: &HeaderMap, trusted_proxies: usize) -> Option<IpAddr> {
    if trusted_proxies == 0 {
        return peer.map(network).filter(|address| !address.is_loopback());
    }
    let said = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let said: Vec<_> = said.flat_map(|value| value.split(',')).collect();
    // The last proxy has written the last one; what comes before those is the client's own word.
    let address = said.len().checked_sub(trusted_proxies).and_then(|at| said.get(at)?.trim().parse().ok());
    address.or(peer).map(network)
}

/// An address, or for version 6 the network: one household has 2^64 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(long) if !long.is_loopback() => Ipv6Addr::from_bits(long.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

/// Lets a request through that does not come too fast from its address.
pub async fn by_address(State(app): State<App>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    match app.rates().count_address(peer, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Lets a request through that does not come too fast from its user, where the guard has found one.
pub async fn by_user(State(app): State<App>, request: Request, next: Next) -> Response {
    let user = request.extensions().get::<Principal>().map(|principal| principal.user.clone());
    if let Some(user) = user
        && let Err(error) = app.rates().count_user(&app, &user).await
    {
        return error.into_response();
    }
    next.run(request).await
}
