//! Work that goes on when nobody waits for it: a queue in the database, and a runner in every server.
//!
//! ```text
//!  Queue::enqueue ──> jobs (store) <──claim, renew, finish── Runner ──JobContext──> Handler
//!        │                 │                                    │ events: first the database,
//!        └──── wake ───────┼────────────────────────────────────┘ then at once the Hub
//!  Queue::subscribe <──────┴─ what is stored, then what is live
//! ```
//!
//! What holds:
//! - **One effect.** A job may be *begun* more than once (its server died, or was thought dead), but each claim has a
//!   greater fencing number, and only the holder of the last one appends events or ends the job. A handler's own effect
//!   is made in one transaction with the end of its job ([`crate::store::Switch`]), or can be repeated without harm.
//! - **No gap, no repetition.** Events have numbers without gaps, given by the database; a subscriber gets each once,
//!   wherever the job runs.
//! - **Bounded.** Jobs at once, events that wait for a subscriber, attempts, and how long ended jobs are kept.
//!
//! # Why not a queue library
//!
//! `apalis` 1.0 with its SQLite and PostgreSQL storages was tried as the way by which jobs get to workers, with the
//! table `jobs` as the truth. Speed does not decide: with a hook to wake it, a job begins in 3 to 7 ms on SQLite and 4
//! to 11 ms on PostgreSQL, as it does here; both wait for the disk twice. It was left out because:
//! - its tables in SQLite have the fixed names `Jobs`, `Workers` and `_sqlx_migrations`, and SQLite ignores case:
//!   beside our `jobs` its first migration fails (`no such column: status`). In a file of its own, a job and its
//!   delivery can't be made in one transaction, and somebody has to look for those of which only one half is there;
//! - its lock is the worker's name, without a number for the attempt; a handler begins before the lock is written, and
//!   nobody looks whether an acknowledgement found its row. Our lease would be needed as well, and most would be done
//!   twice: seven write transactions a job instead of three;
//! - a job whose server died is put back without regard to `max_attempts`: with 2 allowed it was begun five times, by
//!   five servers that died of it, and would have gone on;
//! - one heartbeat that fails ends the worker and drops every job that runs in it;
//! - nothing cancels: its `Cancel` event is not handled;
//! - it needs a typed pool, a second one beside that of [`crate::store::Database`], whose writers do not queue with
//!   ours.

mod context;
mod handler;
mod hub;
mod options;
mod queue;
mod recorder;
mod run;
mod runner;
mod subscription;
mod sweep;

pub use context::JobContext;
pub use handler::{Handler, Handlers, JobError};
pub use options::QueueOptions;
pub use queue::Queue;
pub use runner::Runner;
pub use subscription::SubscribeError;
