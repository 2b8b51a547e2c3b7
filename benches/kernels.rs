//! `cargo bench --bench kernels`: forks, hibernation, and many kernels that hibernate. README.md says what each number
//! means.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program for people who wait, that prints what it measures"
)]

#[path = "support/machine.rs"]
#[expect(dead_code, reason = "the other benchmarks compare with more")]
mod machine;
#[path = "http/one.rs"]
mod one;
#[path = "support/report.rs"]
mod report;
#[path = "http/server.rs"]
#[expect(dead_code, reason = "the other benchmark makes environments")]
mod server;

use std::time::Duration;

use report::{Result, Samples, Table, milliseconds};
use serde_json::{Value, json};

use one::One;
use server::Server;

const FORKS: usize = 100;
const NAPS: usize = 40;
/// Kernels that hibernate.
const ASLEEP: u64 = 10_000;

const FORK_TARGET: Duration = Duration::from_millis(5);
const FORKS_TARGET: Duration = Duration::from_millis(500);
const NAP_TARGET: Duration = Duration::from_millis(60);
const LIST_TARGET: Duration = Duration::from_millis(50);

const KERNELS: &str = "/api/v1/kernels";

fn main() -> Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` starts benchmarks, too: there is nothing to test.
        return Ok(());
    }
    let mut table = Table::new("Kernels", machine::busy());
    let server = Server::start()?;
    server.allow_kernels(2 * ASLEEP)?;
    let clients = One::new(&server)?;
    forks(&clients, &mut table)?;
    naps(&clients, &mut table)?;
    many(&server, &clients, &mut table)?;
    table.print()?;
    server.stop()
}

fn id(info: &Value) -> String {
    info["id"].as_str().unwrap_or_default().to_owned()
}

/// A new kernel's address.
fn made(clients: &One) -> Result<String> {
    Ok(format!("{KERNELS}/{}", id(&clients.post(KERNELS, &json!({}))?.1)))
}

/// How long a cell takes that must complete.
fn run(clients: &One, kernel: &str, code: &str) -> Result<Duration> {
    let (time, report) = clients.post(&format!("{kernel}/execute"), &json!({"code": code}))?;
    if report["outcome"]["kind"] == "completed" { Ok(time) } else { Err(report.to_string().into()) }
}

/// Forks of a kernel with a table of 100 MB.
fn forks(clients: &One, table: &mut Table) -> Result<()> {
    let kernel = made(clients)?;
    let fill = "import numpy as np, pandas as pd\ntable = pd.DataFrame({'x': np.arange(12_500_000, dtype=np.int64)})";
    run(clients, &kernel, fill)?;
    let fork = |count: usize| clients.post(&format!("{kernel}/fork"), &json!({"count": count}));
    let mut one = Vec::new();
    for _ in 0..20 {
        let (time, made) = fork(1)?;
        one.push(time);
        clients.delete(&format!("{KERNELS}/{}", id(&made["kernels"][0])))?;
    }
    let one: Samples = one.into_iter().collect();
    let met = one.median() <= FORK_TARGET;
    table.times("fork of a kernel with 100 MB", &one, String::new(), Some(("<= 5 ms", met)));
    let before = resident()?;
    let (time, made) = fork(FORKS)?;
    let forks: Vec<_> = made["kernels"].as_array().ok_or("no forks")?.iter().map(id).collect();
    table.value("100 forks", milliseconds(time), String::new(), Some(("<= 500 ms", time <= FORKS_TARGET)));
    let firsts = forks.iter().map(|fork| run(clients, &format!("{KERNELS}/{fork}"), "print(table.x.iloc[-1])"));
    let firsts: Vec<_> = firsts.collect::<Result<_>>()?;
    let grown = resident()?.saturating_sub(before) >> 20;
    let (first, rest) = firsts.split_first().ok_or("no forks")?;
    let rest: Samples = rest.iter().copied().collect();
    let remark = format!("the very first {}; all 100 grew the process by {grown} MiB", milliseconds(*first));
    table.times("first cell in a fork", &rest, remark, None);
    for fork in forks.iter().map(|fork| format!("{KERNELS}/{fork}")).chain([kernel]) {
        clients.delete(&fork)?;
    }
    Ok(())
}

/// A kernel with a table that falls asleep and wakes, again and again. What it knows has changed each time.
fn naps(clients: &One, table: &mut Table) -> Result<()> {
    let kernel = made(clients)?;
    let fill = "import pandas as pd\ntable = pd.DataFrame({'x': range(100_000)})\ntable.describe()";
    run(clients, &kernel, fill)?;
    let (mut asleep, mut awake, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..NAPS {
        run(clients, &kernel, &format!("table['y'] = table.x * {number}"))?;
        let (falling, info) = clients.post(&format!("{kernel}/hibernate"), &json!({}))?;
        if info["state"] != "hibernated" {
            return Err(info.to_string().into());
        }
        let waking = run(clients, &kernel, "print(len(table))")?;
        asleep.push(falling);
        awake.push(waking);
        both.push(falling + waking);
    }
    let samples = |times: Vec<Duration>| -> Samples { times.into_iter().collect() };
    table.times("hibernate, a cell with a new column before it", &samples(asleep), String::new(), None);
    table.times("a cell that wakes it", &samples(awake), String::new(), None);
    let both = samples(both);
    let met = both.median() <= NAP_TARGET;
    table.times("hibernate and wake a kernel with pandas", &both, String::new(), Some(("<= 60 ms", met)));
    clients.delete(&kernel)
}

/// Ten thousand kernels that hibernate.
fn many(server: &Server, clients: &One, table: &mut Table) -> Result<()> {
    let kernel = made(clients)?;
    run(clients, &kernel, "x = 'kept'")?;
    let before = resident()?;
    let mut last = String::new();
    for _ in 0..ASLEEP / 100 {
        let (_, forks) = clients.post(&format!("{kernel}/fork"), &json!({"count": 100}))?;
        last = id(&forks["kernels"][99]);
    }
    server.until_few_kernels(1000)?;
    let lists: Samples = (0..200)
        .map(|number| {
            let (time, list) = clients.get(&format!("{KERNELS}?page_size=100&page={}", number % 100 + 1))?;
            if list["kernels"].as_array().map(Vec::len) != Some(100) || list["total"].as_u64() < Some(ASLEEP) {
                return Err(list.to_string().into());
            }
            Ok(time)
        })
        .collect::<Result<_>>()?;
    let grown = resident()?.saturating_sub(before) >> 20;
    let met = lists.median() <= LIST_TARGET;
    let remark = format!("{} of them in memory; the process grew by {grown} MiB", server.live_kernels());
    table.times("a page of 100 among 10,000 kernels", &lists, remark, Some(("<= 50 ms", met)));
    let woken = run(clients, &format!("{KERNELS}/{last}"), "assert x == 'kept'")?;
    table.value("the first cell in one of them", milliseconds(woken), String::new(), None);
    Ok(())
}

/// Bytes of the process that are nobody else's.
fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    let kib = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>();
    Ok(kib << 10)
}
