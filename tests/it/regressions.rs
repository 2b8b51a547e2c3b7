//! Defects that were found once, so that nobody finds them again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pymd::backend::event_channel;
use pymd::backend::wasm::memory::{Image, PAGE_BYTES, PageMap, Slot, with_slot};
use pymd::backend::wasm::{SandboxConfig, engine};
use pymd::domain::{Limits, Outcome};
use pymd::service::{RenderContext, RenderFormat, RenderRequest, Service, ServiceConfig};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wasmtime::{Instance, Module, Store};

use crate::limits::hogs::Running;
use crate::limits::{cell, limits, within_ms};
use crate::support::sandbox;
use crate::support::sandbox::own_sandbox;

/// A cell that sleeps has used little processor time and waits for none: others have the thread for themselves. Other
/// programs on the machine can take from the one what the other would not have used: so the best of three.
#[tokio::test]
async fn a_sleeper_slows_nobody_down() {
    let sandbox = own_sandbox(SandboxConfig { threads: 1, ready_kernels: 0, ..SandboxConfig::default() }).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let alone = Running::start(&sandbox, "while True: pass", &within_ms(700)).await.end().await.fuel_used;
        let sleeper = Running::start(&sandbox, "import time; time.sleep(60)", &limits()).await;
        let beside = Running::start(&sandbox, "while True: pass", &within_ms(700)).await.end().await.fuel_used;
        assert!(!sleeper.has_ended());
        sleeper.cancel().await;
        if beside * 2 > alone {
            return;
        }
        seen.push((beside, alone));
    }
    panic!("{seen:?}");
}

/// A cell of a tiny share that did much in one slice is held back, but not past its deadline.
#[tokio::test]
async fn a_small_share_does_not_put_off_the_deadline() {
    let sandbox = own_sandbox(SandboxConfig { threads: 1, ready_kernels: 0, ..SandboxConfig::default() }).await;
    let code = "x = b'x' * (100 << 20)\nwhile True: y = x + b'1'";
    let little = Limits { cpu_share: 0.01, ..within_ms(1_000) };
    let started = Instant::now();
    let report = Running::start(&sandbox, code, &little).await.end().await;
    assert_eq!(report.outcome, Outcome::DeadlineExceeded { limit_ms: 1_000 });
    assert!(started.elapsed() < Duration::from_millis(2_000), "{:?}", started.elapsed());
}

/// Two stores over one memory would be two owners of the same bytes.
#[test]
fn a_slot_is_in_one_store_at_a_time() {
    let engine = engine().unwrap();
    let module = Module::new(&engine, wat::parse_str(r#"(module (memory (export "memory") 1))"#).unwrap()).unwrap();
    let image = Arc::new(Image::build(65_536, Vec::new(), |_| Ok(())).unwrap());
    let slot = Arc::new(Slot::new(image).unwrap());
    let mut first = Store::new(&engine, ());
    with_slot(&slot, 65_536, || Instance::new(&mut first, &module, &[])).unwrap();
    let mut second = Store::new(&engine, ());
    assert!(with_slot(&slot, 65_536, || Instance::new(&mut second, &module, &[])).is_err());
    drop(first);
    with_slot(&slot, 65_536, || Instance::new(&mut second, &module, &[])).unwrap();
}

/// Where pages are protected that are not there, the system leaves marks, which are no memory.
#[test]
fn tracking_is_not_counted_as_memory() {
    let pages = 1024;
    let image = Arc::new(Image::build(pages * PAGE_BYTES, Vec::new(), |_| Ok(())).unwrap());
    let mut slot = Slot::new(Arc::clone(&image)).unwrap();
    slot.bytes_mut()[7 * PAGE_BYTES] = 1;
    assert_eq!(slot.private_pages().unwrap(), 1);
    slot.scan_and_track().unwrap();
    slot.bytes_mut()[900 * PAGE_BYTES] = 1;
    slot.scan_and_track().unwrap();
    assert_eq!(slot.private_pages().unwrap(), 2);
    slot.restore(&PageMap::default(), image.byte_len(), true).unwrap();
    assert_eq!(slot.scan().unwrap().into_iter().flatten().collect::<Vec<_>>(), [7, 900]);
}

/// A kernel whose cell was kept goes back to the pool, too.
#[tokio::test]
async fn a_committed_kernel_is_used_again() {
    let sandbox = own_sandbox(SandboxConfig { threads: 1, ready_kernels: 1, ..SandboxConfig::default() }).await;
    let request = cell("x = 1", &limits());
    let (kernel, _) = sandbox.kernel().unwrap().run(request, None, CancellationToken::new()).await.unwrap();
    drop(kernel);
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while sandbox.stats().kernels > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap();
    assert_eq!(sandbox.stats().ready, 1);
}

/// One byte to each stream in turn, cleared again and again: what waits for a slow reader stays bounded.
#[tokio::test]
async fn cleared_outputs_count_as_outputs() {
    let (events, mut unread) = event_channel();
    let code = "import sys\nwhile True:\n    for i in range(10_000):\n        sys.stdout.write('a'); sys.stdout.flush()\n        \
        sys.stderr.write('b')\n    from IPython.display import clear_output; clear_output()";
    let kernel = sandbox().await.kernel().unwrap();
    let report = kernel.run_once(cell(code, &limits()), Some(events), CancellationToken::new()).await.unwrap();
    assert_eq!(report.outcome.kind(), "output_limit_exceeded");
    let mut waiting = 0;
    while unread.next().await.is_some() {
        waiting += 1;
    }
    assert!(waiting <= 50_010, "{waiting}");
}

async fn service(limits: Limits) -> Service {
    let service = Service::new(ServiceConfig { limits, ..ServiceConfig::default() });
    service.set_ready(sandbox().await.clone(), "the runtime".to_owned(), "3".to_owned());
    service
}

/// The output limit is each cell's, and a document may have thousands: together they are bounded, too.
#[tokio::test]
async fn the_outputs_of_a_document_are_bounded() {
    let service = service(Limits { output_bytes: 100_000, ..limits() }).await;
    let content = "```\nprint('x' * 90_000)\n```\n\n".repeat(30);
    let request = RenderRequest { content, format: RenderFormat::Json, ..RenderRequest::default() };
    let report = service.render(request, RenderContext::default()).await.unwrap();
    let shown: u64 = report.cells.iter().map(|cell| cell.output_bytes).sum();
    assert!(shown <= 400_000, "{shown}");
    assert_eq!(report.cells[0].outcome, Outcome::Completed);
    assert_eq!(report.cells[29].outcome.kind(), "output_limit_exceeded");
}

/// Nobody reads while a document writes: what waits is joined.
#[tokio::test]
async fn the_events_of_a_render_join_while_nobody_reads() {
    let service = service(limits()).await;
    let code = "import os\nfor i in range(20_000): os.write(1, b'a')";
    let request = RenderRequest { content: format!("```\n{code}\n```\n"), ..RenderRequest::default() };
    let (sender, mut unread) = event_channel();
    service.render(request, RenderContext { watch: Some(sender), ..RenderContext::default() }).await.unwrap();
    let (mut waiting, mut bytes) = (0, 0);
    while let Some(event) = unread.next().await {
        waiting += 1;
        if let pymd::service::RenderEvent::Output { event, .. } = event {
            let event: Value = serde_json::to_value(event).unwrap();
            bytes += event["output"]["text"].as_str().unwrap().len();
        }
    }
    // The cell has begun, what it wrote, and its end.
    assert_eq!((waiting, bytes), (3, 20_000));
}
