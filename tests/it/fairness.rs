//! Who shares the executor threads gets a fair share of them.

use pymd::backend::wasm::{Pace, SandboxConfig};
use pymd::domain::{Limits, Outcome};
use tokio_util::sync::CancellationToken;

use crate::limits::hogs::Running;
use crate::limits::{cell, limits, within_ms};
use crate::support::sandbox::own_sandbox;

const ENDLESS: &str = "while True: pass";

/// Many clients with small cells and two hogs, on one thread: all of the small ones end before a hog has.
#[tokio::test]
async fn many_small_cells_pass_two_hogs() {
    let sandbox = own_sandbox(SandboxConfig { threads: 1, ready_kernels: 4, ..SandboxConfig::default() }).await;
    let hogs = [
        Running::start(&sandbox, ENDLESS, &limits()).await,
        Running::start(&sandbox, "x = 'x' * (1 << 20)\nwhile True: x.find('y')", &limits()).await,
    ];
    let clients = (0..8).map(|_| {
        let sandbox = sandbox.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                let request = cell("sum(range(10_000))", &limits());
                let report = sandbox.kernel().unwrap().run_once(request, None, CancellationToken::new()).await.unwrap();
                assert_eq!(report.outcome, Outcome::Completed);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    for hog in hogs {
        assert!(!hog.has_ended(), "the small cells had to wait");
        let report = hog.cancel().await;
        assert_eq!(report.outcome, Outcome::Cancelled);
        assert!(report.fuel_used > 10_000_000, "nor did the hogs starve: {}", report.fuel_used);
    }
}

/// Four endless loops on one thread all get on.
#[tokio::test]
async fn equals_get_about_the_same() {
    let sandbox = own_sandbox(SandboxConfig { threads: 1, ready_kernels: 0, ..SandboxConfig::default() }).await;
    let mut hogs = Vec::new();
    for _ in 0..4 {
        hogs.push(Running::start(&sandbox, ENDLESS, &within_ms(1_500)).await);
    }
    let mut fuel = Vec::new();
    for hog in hogs {
        let report = hog.end().await;
        assert_eq!(report.outcome.kind(), "deadline_exceeded");
        fuel.push(report.fuel_used);
    }
    let (least, most) = (fuel.iter().min().unwrap(), fuel.iter().max().unwrap());
    assert!(least * 4 > *most, "{fuel:?}");
}

/// Other programs on the machine can take from the one what the other would not have used: so the best of three.
#[tokio::test]
async fn a_quarter_of_a_core_is_clearly_less_than_one() {
    let sandbox = own_sandbox(SandboxConfig { threads: 2, ready_kernels: 0, ..SandboxConfig::default() }).await;
    let share = |cpu_share| Limits { cpu_share, ..within_ms(1_500) };
    let mut seen = Vec::new();
    for _ in 0..3 {
        let quarter = Running::start(&sandbox, ENDLESS, &share(0.25)).await;
        let whole = Running::start(&sandbox, ENDLESS, &share(1.0)).await;
        let (quarter, whole) = (quarter.end().await.fuel_used, whole.end().await.fuel_used);
        assert!(quarter > whole / 20, "{quarter} of {whole}: it starves");
        if quarter < whole * 6 / 10 {
            return;
        }
        seen.push((quarter, whole));
    }
    panic!("{seen:?}");
}

/// A kernel's share holds for it alone: who waits for nobody is not held back.
#[tokio::test]
async fn a_short_cell_is_not_held_back_by_its_share() {
    let sandbox = own_sandbox(SandboxConfig { threads: 1, ready_kernels: 1, ..SandboxConfig::default() }).await;
    let little = Limits { cpu_share: 0.01, ..limits() };
    let request = cell("sum(range(10_000))", &little);
    let report = sandbox.kernel().unwrap().run_once(request, None, CancellationToken::new()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed);
    assert!(report.wall_ms < 2_000.0, "{} ms", report.wall_ms);
}

/// One that has a greater weight gets more slices at a turn. Other programs on the machine may take from either: so the best
/// of three.
#[tokio::test]
async fn a_greater_pace_is_more_of_the_processor() {
    let sandbox = own_sandbox(SandboxConfig { threads: 1, ready_kernels: 0, ..SandboxConfig::default() }).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let fast = Pace::default();
        fast.set(4);
        let fast = Running::start_at(&sandbox, ENDLESS, &within_ms(2_000), fast).await;
        let slow = Running::start(&sandbox, ENDLESS, &within_ms(2_000)).await;
        let (fast, slow) = (fast.end().await.fuel_used, slow.end().await.fuel_used);
        if fast > slow * 5 / 2 && fast < slow * 6 {
            return;
        }
        seen.push((fast, slow));
    }
    panic!("{seen:?}");
}
