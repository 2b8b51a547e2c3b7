//! The REST API, the pages and the process around them, each over a real server.

mod auth;
mod config;
mod openapi;
mod pages;
mod problems;
mod process;
mod running;
mod shutdown;
mod streams;
