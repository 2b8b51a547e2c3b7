//! What is done with kernels without being asked for: they are saved, give their memory back, hibernate; and the servers
//! of a database tell each other that they are there.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::{Inner, Kernels};
use crate::domain::{KernelId, KernelState};
use crate::store::{Asked, Server};

/// What is due is done so soon.
const SHORTEST_TICK: Duration = Duration::from_millis(20);
const LONGEST_TICK: Duration = Duration::from_millis(250);
/// So often is asked what other servers want.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// So often is looked whether all kernels are still this server's.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A kernel that could not be saved is tried again after so long.
const SAVE_AGAIN: Duration = Duration::from_secs(5);

/// Does it as long as there are kernels to look after.
pub(super) fn start(kernels: &Kernels, server: Server) {
    let inner = Arc::downgrade(&kernels.0);
    let tick = Duration::from_millis(kernels.0.config.save_after_ms).clamp(SHORTEST_TICK, LONGEST_TICK);
    tokio::spawn(async move {
        let now = Instant::now();
        let mut janitor = Janitor { inner, server, said: now, asked: now, looked: now, open: Vec::new() };
        let mut ticks = tokio::time::interval(tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while janitor.look().await {
            ticks.tick().await;
        }
    });
}

/// What another server wants is tried for so long.
fn patience(asked: Asked) -> Duration {
    match asked {
        // The cell that is meant begins at once, or has begun: a later one is not meant.
        Asked::Interrupt => Duration::from_secs(1),
        Asked::Release => Duration::from_secs(10),
    }
}

struct Janitor {
    inner: Weak<Inner>,
    server: Server,
    /// When it was said last that the server is there.
    said: Instant,
    asked: Instant,
    looked: Instant,
    /// What other servers want and could not be done yet, and until when that is tried.
    open: Vec<(KernelId, Asked, Instant)>,
}

impl Janitor {
    /// Does what is due; false where there is nothing to look after any more.
    async fn look(&mut self) -> bool {
        let Some(kernels) = self.inner.upgrade().map(Kernels) else { return false };
        if self.said.elapsed() >= self.server.heartbeat() {
            // Not counted from when it could not be said: it is tried again at the next look.
            match kernels.0.database.stay(&self.server).await {
                Ok(()) => self.said = Instant::now(),
                Err(error) => tracing::warn!(%error, "the other servers can't be told that this one is there"),
            }
        }
        let all: Vec<_> = kernels.all().values().cloned().collect();
        if all.is_empty() {
            return true;
        }
        if !self.server.is_sure() {
            tracing::error!("the database was away for long: kernels are left to other servers");
            all.iter().for_each(|entry| kernels.lose(entry));
            return true;
        }
        if self.asked.elapsed() >= ASK_EVERY {
            self.asked = Instant::now();
            match kernels.0.database.asked_of(&self.server).await {
                Ok(found) => {
                    self.open.extend(found.into_iter().map(|(id, asked)| (id, asked, self.asked + patience(asked))))
                }
                Err(error) => tracing::warn!(%error, "what other servers want can't be read"),
            }
        }
        self.open.retain(|(id, asked, until)| Instant::now() < *until && !kernels.answer(*id, *asked));
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            kernels.lose_those_of_others(&self.server, &all).await;
        }
        let config = &kernels.0.config;
        for entry in all {
            entry.cool(Duration::from_millis(config.idle_ms));
            let Some(quiet) = entry.quiet() else { continue };
            if quiet >= Duration::from_millis(config.hibernate_after_ms) {
                kernels.later(entry, KernelState::Hibernated);
            } else if entry.is_unsaved() && quiet >= Duration::from_millis(config.save_after_ms) {
                kernels.later(entry, KernelState::Idle);
            }
        }
        true
    }
}

impl Kernels {
    /// Saves a kernel while others are looked after.
    fn later(&self, entry: Arc<Entry>, then: KernelState) {
        if !entry.begin_saving() {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let saved = match then {
                KernelState::Hibernated => match entry.try_turn() {
                    Some(turn) => this.put_to_sleep(&entry, &turn).await,
                    // A cell came first.
                    None => Ok(()),
                },
                // Cells go on meanwhile: a state does not change.
                then => this.save(&entry, then).await,
            };
            if let Err(error) = saved {
                tracing::warn!(%error, kernel = %entry.id(), "a kernel could not be saved");
                entry.end_saving(SAVE_AGAIN);
            } else {
                entry.end_saving(Duration::ZERO);
            }
        });
    }

    /// Does what another server wants of a kernel; false where that is to be tried again.
    fn answer(&self, id: KernelId, asked: Asked) -> bool {
        let entry = self.all().get(&id).cloned();
        match (asked, entry) {
            (Asked::Interrupt, Some(entry)) => {
                entry.interrupt();
                true
            }
            // It may be on its way in, for the cell that is meant.
            (Asked::Interrupt, None) => false,
            (Asked::Release, Some(entry)) => {
                self.later(entry, KernelState::Hibernated);
                false
            }
            (Asked::Release, None) => true,
        }
    }

    /// Gives up those of these kernels that were deleted at another server, or taken by one.
    async fn lose_those_of_others(&self, server: &Server, all: &[Arc<Entry>]) {
        match self.0.database.held_by(server).await {
            Ok(held) => {
                let others = all.iter().filter(|entry| held.get(&entry.id()) != Some(&entry.fence));
                others.filter(|entry| !entry.is_gone()).for_each(|entry| self.lose(entry));
            }
            Err(error) => tracing::warn!(%error, "which kernels this server holds can't be read"),
        }
    }

    /// Gives up a kernel that is another server's.
    pub(super) fn lose(&self, entry: &Arc<Entry>) {
        tracing::warn!(kernel = %entry.id(), "the kernel is not held by this server any more");
        self.remove(entry);
        // What became of it, the database knows.
        self.feeds().ask(entry.id());
    }
}
