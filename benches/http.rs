//! `cargo bench --bench http`: what the server costs over HTTP. README.md says what each number means.
//!
//! The real server runs in this process on a loopback port; the clients run on a thread of their own, each with one
//! connection, and send the next request when the answer to the last one is there.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program for people who wait, that prints what it measures"
)]

#[path = "http/client.rs"]
mod client;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/report.rs"]
mod report;
#[path = "http/server.rs"]
#[expect(dead_code, reason = "the other benchmarks have kernels")]
mod server;

use std::time::Duration;

use machine::References;
use report::{Result, Table, ratio};
use serde_json::{Value, json};

use client::{Clients, Load, Request};
use server::Server;

const CLIENTS: usize = 8;
const PHASE: Duration = Duration::from_secs(5);
const PROCESSES: usize = 40;
const COPIES: usize = 40;
const HOGS: usize = 2;
/// Between an answer and the next request, where clients are no machines: 8 of them ask some 150 times a second.
const THINKING: Duration = Duration::from_millis(50);

const MEDIAN_TARGET: Duration = Duration::from_micros(2500);
const P99_TARGET: Duration = Duration::from_millis(10);
const ENVIRONMENT_TARGET: Duration = Duration::from_millis(40);

const DOCUMENT: &str = "# A small document\n\nSome *prose*, a list:\n\n- one\n- two\n\n\
    ```\nrows = [(n, n * n) for n in range(5)]\nprint('| n | square |\\n| --- | --- |')\n\
    for n, square in rows:\n    print(f'| {n} | {square} |')\n```\n\nAnd a value:\n\n```\nsum(n for n, _ in rows)\n```\n";

fn main() -> Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` starts benchmarks, too: there is nothing to test.
        return Ok(());
    }
    let busy = machine::busy();
    let mut table = Table::new("HTTP", busy);
    let references = references()?;
    references.rows(&mut table);
    let server = Server::start()?;
    let clients = Clients::new(&server)?;
    quick(&clients, &references, &mut table)?;
    environment(&server, &clients, &mut table)?;
    beside_hogs(&clients, &mut table)?;
    table.print()?;
    server.stop()
}

/// What the machine itself takes.
fn references() -> Result<References> {
    let mut memory = machine::Memcpy::default();
    let memcpy = (0..COPIES).map(|_| memory.copy()).collect();
    let python = machine::python();
    let processes = |bare| {
        let python = python.as_ref();
        python.map(|python| (0..PROCESSES).map(|_| machine::process(python, bare)).collect()).transpose()
    };
    Ok(References {
        process: processes(false)?,
        bare_process: processes(true)?,
        containers: machine::containers(),
        memcpy,
    })
}

fn print_request() -> Request {
    Request {
        path: "/api/v1/execute",
        body: Some(json!({"code": machine::CODE})),
        check: |answer| answer["stdout"] == "1\n" && answer["outcome"]["kind"] == "completed",
    }
}

/// One client, and [`CLIENTS`] of them.
fn quick(clients: &Clients, references: &References, table: &mut Table) -> Result<()> {
    let health = Request { path: "/health", body: None, check: |answer| answer["status"] == "ok" };
    let load = clients.run(&health, 1, Duration::ZERO, PHASE / 2)?;
    table.times("GET /health, 1 client", &load.samples, format!("{}: what HTTP itself takes", rate(&load)), None);

    let one = clients.run(&print_request(), 1, Duration::ZERO, PHASE)?;
    let met = one.samples.median() <= MEDIAN_TARGET;
    table.times("POST /execute print(1), 1 client", &one.samples, rate(&one), Some(("median <= 2.5 ms", met)));
    references.compare(table, "this", one.samples.median());

    let name = format!("POST /execute print(1), {CLIENTS} clients without a pause");
    let many = clients.run(&print_request(), CLIENTS, Duration::ZERO, PHASE)?;
    let met = many.samples.p99() <= P99_TARGET;
    table.times(&name, &many.samples, rate(&many), Some(("p99 <= 10 ms", met)));

    let name = format!("POST /execute print(1), {CLIENTS} clients that think for 50 ms");
    let calm = clients.run(&print_request(), CLIENTS, THINKING, PHASE)?;
    let met = calm.samples.p99() <= P99_TARGET;
    table.times(&name, &calm.samples, rate(&calm), Some(("p99 <= 10 ms", met)));

    let render = Request {
        path: "/api/v1/render",
        body: Some(json!({"content": DOCUMENT, "fresh": true})),
        check: |answer| {
            answer["rendered"].as_str().is_some_and(|html| html.contains("<td>16</td>") && html.contains("10"))
        },
    };
    let rendering = clients.run(&render, 1, Duration::ZERO, PHASE)?;
    let more = ratio(rendering.samples.median(), one.samples.median());
    let remark = format!("{}; {more:.1} x a print(1)", rate(&rendering));
    table.times("POST /render, 2 cells and a table, 1 client", &rendering.samples, remark, None);
    Ok(())
}

/// A small table of pandas in an environment that has it imported.
fn environment(server: &Server, clients: &Clients, table: &mut Table) -> Result<()> {
    let id = server.environment(&["pandas", "matplotlib.pyplot"])?;
    let code = "import pandas as pd\npd.DataFrame({\"a\": [1, 2]}).describe()";
    let describe = Request {
        path: "/api/v1/execute",
        body: Some(json!({"code": code, "environment_id": id})),
        check: |answer| answer["result"]["text/plain"].as_str().is_some_and(|text| text.contains("1.5")),
    };
    let load = clients.run(&describe, 1, Duration::ZERO, PHASE)?;
    let met = load.samples.median() <= ENVIRONMENT_TARGET;
    let name = "POST /execute describe(), environment with pandas and matplotlib, 1 client";
    table.times(name, &load.samples, rate(&load), Some(("median <= 40 ms", met)));
    Ok(())
}

/// One client, alone and while endless loops run.
fn beside_hogs(clients: &Clients, table: &mut Table) -> Result<()> {
    // Measured again: quiet and busy are to be neighbours.
    let quiet = clients.run(&print_request(), 1, Duration::ZERO, PHASE)?.samples;
    let hog =
        Request { path: "/api/v1/execute", body: Some(json!({"code": "while True: pass"})), check: |_: &Value| true };
    let hogs = clients.hold(&hog, HOGS);
    // Young cells go before old ones: let the hogs grow old.
    std::thread::sleep(Duration::from_millis(500));
    let busy = clients.run(&print_request(), 1, Duration::ZERO, PHASE)?.samples;
    hogs.release()?;
    table.times("print(1), 1 client, quiet", &quiet, String::new(), None);
    let (median, p99) = (ratio(busy.median(), quiet.median()), ratio(busy.p99(), quiet.p99()));
    let remark = format!("{median:.2} x the quiet median, {p99:.2} x the quiet p99");
    table.times("print(1), 1 client, beside 2 endless loops", &busy, remark, Some(("p99 < 2 x quiet", p99 < 2.0)));
    Ok(())
}

fn rate(load: &Load) -> String {
    format!("{:.0} requests/s", load.per_second)
}
