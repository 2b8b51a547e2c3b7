//! PyMD's execution server: runs the Python of documents in a WebAssembly sandbox, and renders them.
//!
//! ```text
//!  frontend ──REST──> api ──> service ──data──> backend::wasm (kernels over copy-on-write images of CPython)
//!  command line ─────> cli ──┘   │
//!                               └──────────────> document (Markdown, outputs) ──> HTML
//! ```
//!
//! - [`domain`]: the vocabulary as plain data
//! - [`document`]: documents to blocks, blocks and outputs to HTML, Markdown, JSON
//! - [`backend`]: where code runs
//! - [`service`]: the use cases
//! - [`api`], [`web`]: HTTP
//! - [`cli`], [`config`], [`telemetry`], [`metrics`]: the process around it

pub mod api;
pub mod backend;
pub mod cli;
pub mod config;
pub mod document;
pub mod domain;
pub mod metrics;
pub mod service;
pub mod telemetry;
pub mod web;
