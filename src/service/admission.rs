//! Who runs now, and who waits: tiers by their weights, users of one tier in turn, and nobody more at once than the tier
//! allows.
//!
//! Each tier has a clock that goes forward by the time for which its executions hold their places, divided by its weight;
//! a free place goes to the tier whose clock is behind. What an execution will take is not known when it gets its place:
//! it is taken to be what those before it took, and set right when it ends.
//!
//! Those that run share the processor in slices. Where several tiers do, one of more weight, or with fewer that run, gets
//! more slices at a turn ([`Pace`]).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::ServiceError;
use crate::backend::wasm::Pace;
use crate::domain::{Grant, Traffic, UserId};

/// When a refused caller should come again, at the soonest and at the latest.
const RETRY_AFTER_S: std::ops::RangeInclusive<u64> = 1..=60;
/// Slices that one gets at a turn, at most.
const MAX_SLICES: u32 = 50;
/// Tiers that are remembered though nothing of theirs runs or waits.
const IDLE_TIERS: usize = 100;
/// So much of what is taken for usual comes from the last execution.
const NEWS: f64 = 0.1;

/// Who wants to run something.
#[derive(Debug, Clone)]
pub struct Seat {
    user: Option<UserId>,
    tier: Arc<str>,
    traffic: Traffic,
}

impl Seat {
    /// One for whom nothing but the room on the server counts.
    pub fn of_nobody() -> Self {
        let traffic = Traffic { running: u32::MAX, waiting: u32::MAX, wait_ms: u64::MAX, ..Traffic::default() };
        Self { user: None, tier: "".into(), traffic }
    }
}

impl From<&Grant> for Seat {
    fn from(grant: &Grant) -> Self {
        Self { user: Some(grant.user), tier: grant.tier.as_str().into(), traffic: grant.traffic }
    }
}

/// Lets in what runs.
#[derive(Clone)]
pub struct Admission(Arc<Inner>);

struct Inner {
    max_running: usize,
    max_queued: usize,
    state: Mutex<State>,
}

/// The right to run, as long as it lives.
pub struct Permit {
    inner: Arc<Inner>,
    seat: Seat,
    since: Instant,
    /// What was taken for the time that it takes, in seconds.
    charged: f64,
    pace: Pace,
}

impl Permit {
    /// How it shares the processor with the others that run.
    pub fn pace(&self) -> Pace {
        self.pace.clone()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        state.leave(&self.seat, self.charged, self.since.elapsed());
        state.let_in(self.inner.max_running);
    }
}

#[derive(Default)]
struct State {
    running: usize,
    queued: usize,
    /// Names those that wait.
    next: u64,
    users: HashMap<Option<UserId>, Load>,
    tiers: HashMap<Arc<str>, Tier>,
}

/// What one user has.
#[derive(Default)]
struct Load {
    running: u32,
    waiting: u32,
}

#[derive(Default)]
struct Tier {
    weight: u32,
    /// Seconds that its executions have had places for, by its weight.
    clock: f64,
    /// Seconds that an execution usually takes.
    usual: f64,
    running: u32,
    pace: Pace,
    /// Users with somebody who waits, in turn.
    order: VecDeque<Option<UserId>>,
    waiting: HashMap<Option<UserId>, VecDeque<Waiter>>,
}

struct Waiter {
    number: u64,
    /// How many of the user may run.
    most: u32,
    go: oneshot::Sender<f64>,
}

/// Somebody who waits. Gone before their turn, or just then, they leave nothing behind.
struct Waiting<'a> {
    inner: &'a Arc<Inner>,
    seat: &'a Seat,
    number: u64,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.inner.state();
        if !state.forget(self.seat, self.number) {
            // It was let in, and nobody has noticed.
            let charged = state.tiers.get(&self.seat.tier).map_or(0.0, |tier| tier.usual);
            state.leave(self.seat, charged, Duration::ZERO);
            state.let_in(self.inner.max_running);
        }
    }
}

impl Admission {
    /// Up to `max_running` at once, while `max_queued` wait.
    pub fn new(max_running: usize, max_queued: usize) -> Self {
        Self(Arc::new(Inner { max_running, max_queued, state: Mutex::default() }))
    }

    /// The right to run, for one for whom nothing but the room counts.
    ///
    /// # Errors
    /// [`ServiceError::Busy`]: too many wait.
    pub async fn enter(&self) -> Result<Permit, ServiceError> {
        self.enter_as(&Seat::of_nobody()).await
    }

    /// The right to run, after those who come first.
    ///
    /// # Errors
    /// [`ServiceError::Busy`]: too many wait, or it has waited for too long.
    pub async fn enter_as(&self, seat: &Seat) -> Result<Permit, ServiceError> {
        let Inner { max_running, max_queued, .. } = *self.0;
        let (mut turn, mut waiting) = {
            let mut state = self.0.state();
            if state.has_room(seat, max_running) {
                let charged = state.take_place(seat);
                return Ok(self.permit(&state, seat, charged));
            }
            let waits = state.users.get(&seat.user).map_or(0, |load| load.waiting);
            let is_full = state.queued >= max_queued && state.has_its_share(seat, max_queued);
            if is_full || waits >= seat.traffic.waiting {
                return Err(ServiceError::Busy { retry_after_s: state.retry_after_s(seat) });
            }
            let (number, turn) = state.queue(seat);
            (turn, Waiting { inner: &self.0, seat, number, is_over: false })
        };
        match tokio::time::timeout(Duration::from_millis(seat.traffic.wait_ms), &mut turn).await {
            Ok(Ok(charged)) => {
                waiting.is_over = true;
                Ok(self.permit(&self.0.state(), seat, charged))
            }
            _ => Err(ServiceError::Busy { retry_after_s: self.0.state().retry_after_s(seat) }),
        }
    }

    fn permit(&self, state: &State, seat: &Seat, charged: f64) -> Permit {
        let pace = state.tiers.get(&seat.tier).map(|tier| tier.pace.clone()).unwrap_or_default();
        Permit { inner: Arc::clone(&self.0), seat: seat.clone(), since: Instant::now(), charged, pace }
    }

    /// How many run, and how many wait.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.0.state();
        (state.running, state.queued)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether one more may run at once. (Where others wait though there is a place, they are at their own bounds.)
    fn has_room(&self, seat: &Seat, max_running: usize) -> bool {
        let own = self.users.get(&seat.user).map_or(0, |load| load.running);
        self.running < max_running && own < seat.traffic.running
    }

    /// Whether a tier has all the waiting room that its weight gives it. So one that floods the server fills its own part, and
    /// what all have together is at most twice the room.
    fn has_its_share(&self, seat: &Seat, max_queued: usize) -> bool {
        let others = self.tiers.iter().filter(|(name, tier)| **name != seat.tier && tier.is_active());
        let others: u64 = others.map(|(_, tier)| u64::from(tier.weight.max(1))).sum();
        let own = u64::from(seat.traffic.weight.max(1));
        let share = (max_queued as u64).saturating_mul(own) / own.saturating_add(others);
        let waiting = self.tiers.get(&seat.tier).map_or(0, |tier| tier.waiting.values().map(VecDeque::len).sum());
        waiting as u64 >= share
    }

    /// The tier, as it is said to be now.
    fn tier(&mut self, seat: &Seat) -> &mut Tier {
        if !self.tiers.contains_key(&seat.tier) && self.tiers.len() >= IDLE_TIERS {
            self.tiers.retain(|_, tier| tier.is_active());
        }
        let earliest = self.tiers.values().filter(|tier| tier.is_active()).map(|tier| tier.clock).reduce(f64::min);
        let tier = self.tiers.entry(Arc::clone(&seat.tier)).or_default();
        if !tier.is_active() {
            // Nobody saves up what they did not use.
            tier.clock = tier.clock.max(earliest.unwrap_or(0.0));
        }
        tier.weight = seat.traffic.weight.max(1);
        tier
    }

    /// Counts one more that runs, and answers the seconds that it is taken to need.
    fn take_place(&mut self, seat: &Seat) -> f64 {
        let tier = self.tier(seat);
        let charged = tier.usual;
        tier.clock += charged / f64::from(tier.weight);
        tier.running += 1;
        self.running += 1;
        self.users.entry(seat.user).or_default().running += 1;
        self.set_paces();
        charged
    }

    /// One that ran is gone.
    fn leave(&mut self, seat: &Seat, charged: f64, took: Duration) {
        self.running = self.running.saturating_sub(1);
        if let Some(load) = self.users.get_mut(&seat.user) {
            load.running = load.running.saturating_sub(1);
        }
        self.drop_idle(seat.user);
        if let Some(tier) = self.tiers.get_mut(&seat.tier) {
            let took = took.as_secs_f64();
            tier.running = tier.running.saturating_sub(1);
            tier.clock += (took - charged) / f64::from(tier.weight.max(1));
            tier.usual += NEWS * (took - tier.usual);
        }
        self.set_paces();
    }

    fn queue(&mut self, seat: &Seat) -> (u64, oneshot::Receiver<f64>) {
        let (number, (go, turn)) = (self.next, oneshot::channel());
        self.next += 1;
        self.queued += 1;
        self.users.entry(seat.user).or_default().waiting += 1;
        let tier = self.tier(seat);
        let own = tier.waiting.entry(seat.user).or_default();
        if own.is_empty() {
            tier.order.push_back(seat.user);
        }
        own.push_back(Waiter { number, most: seat.traffic.running, go });
        (number, turn)
    }

    /// Forgets somebody who waits no more; false where they wait no more already.
    fn forget(&mut self, seat: &Seat, number: u64) -> bool {
        let Some(tier) = self.tiers.get_mut(&seat.tier) else { return false };
        let Some(own) = tier.waiting.get_mut(&seat.user) else { return false };
        let before = own.len();
        own.retain(|waiter| waiter.number != number);
        let is_found = own.len() < before;
        if own.is_empty() {
            tier.waiting.remove(&seat.user);
            tier.order.retain(|user| *user != seat.user);
        }
        if is_found {
            self.stop_waiting(seat.user);
        }
        is_found
    }

    fn stop_waiting(&mut self, user: Option<UserId>) {
        self.queued = self.queued.saturating_sub(1);
        if let Some(load) = self.users.get_mut(&user) {
            load.waiting = load.waiting.saturating_sub(1);
        }
        self.drop_idle(user);
    }

    fn drop_idle(&mut self, user: Option<UserId>) {
        if self.users.get(&user).is_some_and(|load| load.running == 0 && load.waiting == 0) {
            self.users.remove(&user);
        }
    }

    /// Gives the places that are free away.
    fn let_in(&mut self, max_running: usize) {
        while self.running < max_running {
            let Self { tiers, users, .. } = self;
            let running = |user: &Option<UserId>| users.get(user).map_or(0, |load| load.running);
            let next = tiers.iter().filter_map(|(name, tier)| Some((name, tier.clock, tier.first_of(&running)?)));
            let Some((name, _, at)) = next.min_by(|(_, a, _), (_, b, _)| a.total_cmp(b)) else { return };
            let name = Arc::clone(name);
            let Some((user, waiter, weight)) = tiers.get_mut(&name).and_then(|tier| tier.take(at)) else { return };
            self.stop_waiting(user);
            let traffic = Traffic { weight, ..Traffic::default() };
            let charged = self.take_place(&Seat { user, tier: name, traffic });
            // Whoever is gone by now says so, and the place is free again.
            let _ = waiter.go.send(charged);
        }
    }

    /// Where several tiers run something, each gets its share of the processor, however many of it run.
    fn set_paces(&self) {
        let share = |tier: &Tier| f64::from(tier.weight.max(1)) / f64::from(tier.running);
        let running = || self.tiers.values().filter(|tier| tier.running > 0);
        let least = running().map(share).fold(f64::INFINITY, f64::min);
        for tier in running() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and MAX_SLICES")]
            let slices = (share(tier) / least).round().clamp(1.0, f64::from(MAX_SLICES)) as u32;
            tier.pace.set(slices);
        }
    }

    /// When there may be a place again.
    fn retry_after_s(&self, seat: &Seat) -> u64 {
        let usual = self.tiers.get(&seat.tier).map_or(0.0, |tier| tier.usual);
        let rounds = (self.queued / self.running.max(1)).saturating_add(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float that is too large saturates"
        )]
        let seconds = (usual * rounds as f64).ceil() as u64;
        seconds.clamp(*RETRY_AFTER_S.start(), *RETRY_AFTER_S.end())
    }
}

impl Tier {
    fn is_active(&self) -> bool {
        self.running > 0 || !self.waiting.is_empty()
    }

    /// Which of the users in turn is the first who may run one more.
    fn first_of(&self, running: &impl Fn(&Option<UserId>) -> u32) -> Option<usize> {
        self.order.iter().position(|user| {
            let first = self.waiting.get(user).and_then(VecDeque::front);
            first.is_some_and(|waiter| running(user) < waiter.most)
        })
    }

    /// The first of that user; the user comes again after the others.
    fn take(&mut self, at: usize) -> Option<(Option<UserId>, Waiter, u32)> {
        let user = self.order.remove(at)?;
        let own = self.waiting.get_mut(&user)?;
        let waiter = own.pop_front()?;
        if own.is_empty() {
            self.waiting.remove(&user);
        } else {
            self.order.push_back(user);
        }
        Some((user, waiter, self.weight))
    }
}
