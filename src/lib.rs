//! PyMD's execution server: runs the Python of documents in a WebAssembly sandbox, and renders them.
//!
//! ```text
//!  frontend ──REST──> api ──> service ──data──> backend::wasm (kernels over copy-on-write images of CPython)
//!  command line ─────> cli ──┘  │ │ │
//!                               │ │ └──> document (Markdown, outputs) ──> HTML
//!                               │ └────> packages (index, resolver, wheels, environments' directories)
//!                               └──────> store (users, environments, jobs: SQLite or PostgreSQL), jobs
//! ```
//!
//! - [`domain`]: the vocabulary as plain data
//! - [`document`]: documents to blocks, blocks and outputs to HTML, Markdown, JSON
//! - [`backend`]: where code runs
//! - [`browser`]: pages to PDF, by Chromium
//! - [`packages`]: where packages come from, which go together, how they lie on the disk
//! - [`store`]: everything that is kept; [`jobs`]: work that goes on when nobody waits for it
//! - [`auth`]: who comes with a token of an identity provider
//! - [`service`]: the use cases
//! - [`api`], [`web`]: HTTP
//! - [`cli`], [`config`], [`telemetry`], [`metrics`]: the process around it

pub mod api;
pub mod auth;
pub mod backend;
pub mod browser;
pub mod cli;
pub mod config;
pub mod document;
pub mod domain;
pub mod jobs;
pub mod metrics;
pub mod packages;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod web;
