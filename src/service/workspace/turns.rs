//! One change of an environment at a time, in this process. (Among processes, the database's compare-and-set decides;
//! taking turns spares the loser its work.)

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::domain::EnvironmentId;

type Turn = tokio::sync::Mutex<()>;

#[derive(Default)]
pub struct Turns(Mutex<HashMap<EnvironmentId, Weak<Turn>>>);

impl Turns {
    /// Waits for those who came before. The turn lasts as long as the answer lives.
    pub async fn take(&self, id: EnvironmentId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.get(&id).and_then(Weak::upgrade).unwrap_or_default();
            turns.insert(id, Arc::downgrade(&turn));
            turn
        };
        turn.lock_owned().await
    }
}
