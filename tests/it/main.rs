//! All integration tests, as one binary: the real runtime, the real server, the real command.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test that can't go on fails")]

mod api;
mod document;
mod fairness;
mod guests;
mod kernel;
mod layering;
mod limits;
mod memory;
mod regressions;
mod runtime;
mod runtime_split;
mod support;
mod vfs;
