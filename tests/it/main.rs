//! All integration tests, as one binary: the real runtime, the real server, the real command.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test that can't go on fails")]

mod admin;
mod api;
mod cron;
mod databases;
mod document;
mod environments;
mod executions;
mod fairness;
mod guests;
mod identity;
mod incremental;
mod jobs;
mod kernel;
mod kernels;
mod killed;
mod layering;
mod limits;
mod memory;
mod packages;
mod printing;
mod regressions;
mod rest;
mod runtime;
mod runtime_split;
mod store;
mod support;
mod vfs;
mod watch;
mod workspace;
