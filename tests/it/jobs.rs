//! The job queue, on both databases.

mod cancel;
mod events;
mod running;
mod servers;
mod support;
