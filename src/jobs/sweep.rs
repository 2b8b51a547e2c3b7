//! What has to be done now and then: jobs of lost servers, and old ones.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, MissedTickBehavior};

use super::Queue;

/// How often old jobs are looked for.
const OLD_JOBS_EVERY: Duration = Duration::from_secs(3600);
/// Old jobs that are removed in one transaction.
const OLD_JOBS_AT_ONCE: u32 = 500;

/// Goes on until it is dropped. Any number of servers may do it at once.
pub(super) async fn run(queue: Queue) {
    let mut timer = tokio::time::interval(queue.options.heartbeat());
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut old_jobs_due = Instant::now();
    loop {
        timer.tick().await;
        match queue.database.requeue_expired().await {
            Ok(expired) if expired.requeued + expired.failed > 0 => {
                tracing::warn!(requeued = expired.requeued, failed = expired.failed, "took back jobs of lost servers");
                queue.bell.notify_one();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "cannot look for jobs of lost servers"),
        }
        if Instant::now() >= old_jobs_due {
            old_jobs_due = Instant::now() + OLD_JOBS_EVERY;
            remove_old(&queue).await;
        }
    }
}

/// Removes jobs that ended long ago, in steps that do not hold up others.
async fn remove_old(queue: &Queue) {
    let age = SignedDuration::from_hours(24 * i64::from(queue.options.keep_days));
    let Ok(before) = Timestamp::now().checked_sub(age) else { return };
    loop {
        match queue.database.delete_old_jobs(before, OLD_JOBS_AT_ONCE).await {
            Ok(removed) if removed == u64::from(OLD_JOBS_AT_ONCE) => tokio::task::yield_now().await,
            Ok(_) => return,
            Err(error) => return tracing::warn!(%error, "cannot remove old jobs"),
        }
    }
}
