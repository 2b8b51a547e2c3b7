//! `cargo bench --bench documents`: what a render costs after an edit. README.md says what each number means.

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
#[expect(dead_code, reason = "the other benchmark gets and deletes")]
mod one;
#[path = "support/report.rs"]
mod report;
#[path = "http/server.rs"]
#[expect(dead_code, reason = "the other benchmark makes environments")]
mod server;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use report::{Result, Samples, Table, milliseconds, ratio};
use serde_json::{Value, json};

use one::One;
use server::Server;

const ROUNDS: usize = 60;
const NOTEBOOKS: usize = 5;
const RESTARTS: usize = 5;

const SAME_TARGET: Duration = Duration::from_millis(3);
const EDIT_TARGET: Duration = Duration::from_millis(10);

/// A report as people write them: a table, some looks at it, two figures.
const CELLS: [&str; 20] = [
    "import numpy as np\nimport pandas as pd\nimport matplotlib.pyplot as plt",
    "n = 5000\ntable = pd.DataFrame({'x': np.arange(n), 'y': np.sin(np.arange(n) / 50), 'kind': np.arange(n) % 7})",
    "table.head()",
    "table.describe()",
    "means = table.groupby('kind').y.mean()\nmeans",
    "print('rows', len(table))",
    "table['z'] = table.y.rolling(20).mean()",
    "figure, axes = plt.subplots(figsize=(6, 3))\naxes.plot(table.x, table.y)\naxes.plot(table.x, table.z)\nplt.show()",
    "wide = table.pivot_table(index=table.x // 500, columns='kind', values='y')\nwide.round(3)",
    "wide.corr().round(2)",
    "words = [f'word{i % 40}' for i in range(4000)]\ncounts = pd.Series(words).value_counts()",
    "counts.head(10)",
    "print('| a | b |\\n| - | - |')\nfor i in range(5): print(f'| {i} | {i * i} |')",
    "joined = table.merge(means.rename('mean'), left_on='kind', right_index=True)",
    "joined['off'] = joined.y - joined['mean']\njoined.off.abs().max()",
    "figure, axes = plt.subplots(figsize=(5, 3))\naxes.bar(means.index, means.values)\nplt.show()",
    "best = joined.nlargest(5, 'off')\nbest",
    "totals = joined.groupby('kind').off.agg(['sum', 'min', 'max'])",
    "totals.round(4)",
    "print('last', round(float(totals['sum'].sum()), 6), 0)",
];

fn document(cells: &[String], prose: &str) -> Value {
    let body: String = cells.iter().map(|code| format!("{prose}\n\n```\n{code}\n```\n\n")).collect();
    json!({"content": format!("# A report\n\n{body}")})
}

fn main() -> Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` starts benchmarks, too: there is nothing to test.
        return Ok(());
    }
    let mut table = Table::new("Documents", machine::busy());
    let server = Server::start()?;
    let clients = One::new(&server)?;
    let times = renders(&clients, &mut table)?;
    drop(clients);
    let server = restarts(server, &mut table)?;
    notebooks(&times, &mut table)?;
    table.print()?;
    server.stop()
}

/// What this takes, to be compared.
struct Times {
    whole: Duration,
    edited: Duration,
}

/// A render, the time it took, and what its executed cells took of that.
fn render(clients: &One, body: &Value, executed: usize) -> Result<(Duration, Duration)> {
    let (time, answer) = clients.post("/api/v1/render", body)?;
    let cells = answer["cells"].as_array().ok_or("no cells")?;
    let ran: Vec<_> = cells.iter().filter(|cell| cell["status"] == "executed").collect();
    if ran.len() != executed || cells.iter().any(|cell| cell["outcome"]["kind"] != "completed") {
        return Err(format!("{} cells ran instead of {executed}: {cells:?}", ran.len()).into());
    }
    let own = ran.iter().filter_map(|cell| cell["wall_ms"].as_f64()).sum::<f64>();
    Ok((time, Duration::from_secs_f64(own / 1e3)))
}

fn renders(clients: &One, table: &mut Table) -> Result<Times> {
    let cells = CELLS.map(str::to_owned);
    let mut fresh = document(&cells, "Some words.");
    fresh["fresh"] = json!(true);
    render(clients, &fresh, CELLS.len())?;
    let whole: Samples = (0..10).map(|_| Ok(render(clients, &fresh, CELLS.len())?.0)).collect::<Result<_>>()?;
    table.times("20 cells with pandas and two figures, all run", &whole, String::new(), None);

    let same = document(&cells, "Some words.");
    let again: Samples = (0..ROUNDS).map(|_| Ok(render(clients, &same, 0)?.0)).collect::<Result<_>>()?;
    let met = again.median() <= SAME_TARGET;
    table.times("nothing edited", &again, String::new(), Some(("median <= 3 ms", met)));
    let prose = |round| render(clients, &document(&cells, &format!("Words of round {round}.")), 0);
    let prose: Samples = (0..ROUNDS).map(|round| Ok(prose(round)?.0)).collect::<Result<_>>()?;
    table.times("prose edited", &prose, "no cell runs".to_owned(), None);

    let mut edits = 0;
    let mut edit = |at: usize, rounds: usize| -> Result<(Samples, Samples)> {
        let times = (0..rounds).map(|_| {
            edits += 1;
            let mut cells = cells.clone();
            cells[at] = format!("{}\nprint({edits})", cells[at]);
            render(clients, &document(&cells, "Some words."), CELLS.len() - at)
        });
        let times: Vec<_> = times.collect::<Result<_>>()?;
        let beside = times.iter().map(|(time, own)| time.saturating_sub(*own)).collect();
        Ok((times.into_iter().map(|(time, _)| time).collect(), beside))
    };
    let (edited, beside) = edit(19, ROUNDS)?;
    let remark = format!("{} of it beside the cell's own time", milliseconds(beside.median()));
    let met = beside.median() <= EDIT_TARGET;
    table.times("last cell edited", &edited, remark, Some(("cell + 10 ms", met)));
    let (middle, _) = edit(10, ROUNDS / 3)?;
    table.times("the middle cell edited: 10 cells run, a figure among them", &middle, String::new(), None);
    let (plot, _) = edit(15, ROUNDS / 3)?;
    table.times("cell 16, a figure, edited: 5 cells run", &plot, String::new(), None);
    Ok(Times { whole: whole.median(), edited: edited.median() })
}

/// The same after a restart of the server, which has nothing in memory then.
fn restarts(mut server: Server, table: &mut Table) -> Result<Server> {
    let same = CELLS.map(str::to_owned);
    let (mut again, mut edited, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    // The many edits before may have taken the room of some of its cells, in memory and where they are kept.
    One::new(&server)?.post("/api/v1/render", &document(&same, "Some words."))?;
    for round in 0..RESTARTS {
        let mut last = same.clone();
        last[19] = format!("{}\nprint('restart', {round})", last[19]);
        for (cells, executed) in [(&same, 0), (&last, 1)] {
            server = server.restart()?;
            let clients = One::new(&server)?;
            // The image with the packages is read before.
            clients.post("/api/v1/execute", &json!({"code": "import pandas"}))?;
            let (time, own) = render(&clients, &document(cells, "Some words."), executed)?;
            if executed == 0 {
                again.push(time);
            } else {
                edited.push(time);
                beside.push(time.saturating_sub(own));
            }
        }
    }
    let samples = |times: Vec<Duration>| -> Samples { times.into_iter().collect() };
    table.times("nothing edited, the first render after a restart", &samples(again), String::new(), None);
    let remark = format!("{} of it beside the cell's own time", milliseconds(samples(beside).median()));
    table.times("last cell edited, the first render after a restart", &samples(edited), remark, None);
    Ok(server)
}

/// The same cells as a notebook, run by Jupyter's own tools.
fn notebooks(times: &Times, table: &mut Table) -> Result<()> {
    let python = std::env::var_os("PYMD_BENCH_JUPYTER").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    if !succeeds(Command::new(&python).args(["-c", "import nbconvert, ipykernel, pandas, matplotlib"])) {
        let remark = "not here: PYMD_BENCH_JUPYTER names a Python that has nbconvert, ipykernel, pandas, matplotlib";
        table.value("jupyter nbconvert --execute", "-".to_owned(), remark.to_owned(), None);
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let cell = |code: &&str| json!({"cell_type": "code", "source": code, "metadata": {}, "outputs": [], "execution_count": null});
    let cells: Vec<_> = CELLS.iter().map(cell).collect();
    let notebook = json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4});
    let path = directory.path().join("report.ipynb");
    std::fs::write(&path, notebook.to_string())?;
    let once = || -> Result<Duration> {
        let started = Instant::now();
        let mut command = Command::new(&python);
        command.args(["-m", "nbconvert", "--to", "html", "--execute", "--output", "out"]).arg(&path);
        if !succeeds(&mut command) {
            return Err("nbconvert failed".into());
        }
        Ok(started.elapsed())
    };
    once()?;
    let taken: Samples = (0..NOTEBOOKS).map(|_| once()).collect::<Result<_>>()?;
    let (cold, edited) = (ratio(taken.median(), times.whole), ratio(taken.median(), times.edited));
    let remark = format!("{cold:.1} x all run here, {edited:.0} x the last cell edited");
    let met = cold >= 5.0 && edited >= 50.0;
    table.times("jupyter nbconvert --execute, after any edit", &taken, remark, Some((">= 5 x, >= 50 x", met)));
    Ok(())
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
