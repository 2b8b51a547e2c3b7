//! Where there is no room, kernels give way: the one that was used longest ago first, and never one that runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Kernels;
use super::entry::{Entry, Weight};
use crate::domain::UserId;

/// Where kernels can't be saved, so many times their room may be taken before one of them is given up.
const STRETCH: u64 = 2;

impl Kernels {
    /// Where a user has more than `most` kernels in memory, those used longest ago hibernate.
    pub(crate) async fn keep_few(&self, user: UserId, most: u64) {
        let mut own: Vec<_> = self.all().values().filter(|entry| entry.user() == user).cloned().collect();
        let surplus = own.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
        if surplus == 0 {
            return;
        }
        own.sort_by_key(|entry| entry.used_at());
        for entry in own.iter().take(surplus) {
            self.give_way(entry).await;
        }
    }

    /// Where all take more than they may, whoever has most gives way: memory that only makes the next cell quicker, and
    /// then the kernel that was used longest ago hibernates.
    pub(crate) async fn make_room(&self) {
        // Whoever is at it sees to this one, too.
        let Ok(_alone) = self.0.making_room.try_lock() else { return };
        let mut stuck = HashSet::new();
        loop {
            let all: Vec<_> = self.all().values().cloned().collect();
            let (total, ranks) = weigh(&all);
            if total <= self.0.config.bytes {
                return;
            }
            let mut order: Vec<_> = all.iter().collect();
            order.sort_by_key(|entry| (ranks.get(&entry.user()).copied(), entry.used_at()));
            // Of whoever has most, unless all of theirs run something.
            let next = order.iter().find(|entry| entry.is_hot() || !stuck.contains(&entry.id()));
            let Some(entry) = next else {
                // All that is left runs something, or can't be saved.
                if total > self.0.config.bytes.saturating_mul(STRETCH) && order.iter().any(|entry| self.give_up(entry))
                {
                    continue;
                }
                return;
            };
            let own = order.iter().filter(|other| other.user() == entry.user());
            if let Some(hot) = own.into_iter().find(|entry| entry.is_hot()) {
                hot.cool(Duration::ZERO);
                continue;
            }
            if !self.give_way(entry).await {
                stuck.insert(entry.id());
            }
        }
    }

    /// Puts a kernel to sleep that runs nothing; false where it is still there.
    async fn give_way(&self, entry: &Arc<Entry>) -> bool {
        let Some(turn) = entry.try_turn() else { return false };
        match self.put_to_sleep(entry, &turn).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, kernel = %entry.id(), "a kernel can't give way: it could not be saved");
                false
            }
        }
    }

    /// Lets a kernel die that runs nothing.
    fn give_up(&self, entry: &Entry) -> bool {
        let Some(turn) = entry.try_turn().filter(|_| entry.state().is_ok()) else { return false };
        let reason = "there is no room for a kernel, and it can't be saved: what it knew is lost";
        tracing::error!(kernel = %entry.id(), reason);
        entry.die(&turn);
        self.tell_state(entry);
        true
    }
}

/// What all kernels take together, and the users' places: whoever has most is the first.
fn weigh(all: &[Arc<Entry>]) -> (u64, HashMap<UserId, usize>) {
    let mut of_user: HashMap<UserId, u64> = HashMap::new();
    let mut seen = HashSet::new();
    for entry in all {
        let Weight { own, shared } = entry.weight();
        let shared = shared.into_iter().filter(|thing| seen.insert(*thing)).map(|(_, bytes)| bytes);
        let bytes = shared.fold(own, u64::saturating_add);
        let sum = of_user.entry(entry.user()).or_default();
        *sum = sum.saturating_add(bytes);
    }
    let total = of_user.values().copied().fold(0, u64::saturating_add);
    let mut users: Vec<_> = of_user.into_iter().collect();
    users.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    (total, users.into_iter().zip(0..).map(|((user, _), rank)| (user, rank)).collect())
}
