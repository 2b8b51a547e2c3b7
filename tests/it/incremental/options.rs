//! What cells and documents say about how they run.

use pymd::service::{CellStatus, RenderReport, RenderRequest};

use super::{Editor, document, ran};

fn statuses(report: &RenderReport) -> Vec<CellStatus> {
    report.cells.iter().map(|cell| cell.status).collect()
}

#[tokio::test]
async fn a_cell_that_is_not_to_run_does_not() {
    let editor = Editor::new().await;
    let cells = ["x = 1", "#| eval: false\nx = 2", "print('is', x)"];
    let report = editor.render(&cells).await;
    assert_eq!(statuses(&report), [CellStatus::Executed, CellStatus::Skipped, CellStatus::Executed]);
    assert!(report.rendered.contains("is 1") && !report.rendered.contains("not run"), "{}", report.rendered);
    let again = editor.render(&cells).await;
    assert_eq!((statuses(&again)[1], again.cached), (CellStatus::Skipped, true));
    // Its text does not matter, its place does: tracebacks number cells.
    let other = ["x = 1", "#| eval: false\nx = 3", "print('is', x)"];
    assert!(editor.render(&other).await.cached);
    let fails = editor.render(&["x = 1", "1/0"]).await;
    assert!(fails.rendered.contains("cell 2"), "{}", fails.rendered);
    let moved = editor.render(&["x = 1", "#| eval: false\n0", "1/0"]).await;
    assert!(moved.rendered.contains("cell 3") && !moved.rendered.contains("cell 2"), "{}", moved.rendered);
    let nothing = editor.render(&["#| eval: false\n1"]).await;
    assert_eq!((statuses(&nothing), nothing.cached), (vec![CellStatus::Skipped], false));
}

#[tokio::test]
async fn what_is_not_to_be_kept_runs_each_time_with_what_follows() {
    let editor = Editor::new().await;
    let cells = ["x = 1", "#| cache: false\nx += 1", "print(x)"];
    for marks in ["xxx", ".xx", ".xx"] {
        let report = editor.render(&cells).await;
        assert_eq!(ran(&report), marks);
        assert_eq!(report.rendered, editor.scratch(&cells).await.rendered);
    }
    let content = format!("---\ncache: false\n---\n{}", document(&["print(1)", "print(2)"]));
    for _ in 0..2 {
        let request = RenderRequest { content: content.clone(), ..RenderRequest::default() };
        assert_eq!(ran(&editor.request(request).await), "xx");
    }
}

#[tokio::test]
async fn limits_of_cells_and_documents_hold() {
    let editor = Editor::new().await;
    let cells = ["x = 1", "#| timeout: 0.2\nimport time\ntime.sleep(10)", "print('still', x)"];
    let report = editor.render(&cells).await;
    let kinds: Vec<_> = report.cells.iter().map(|cell| cell.outcome.kind()).collect();
    assert_eq!(kinds, ["completed", "deadline_exceeded", "completed"]);
    assert!(report.rendered.contains("still 1"), "{}", report.rendered);
    let content = format!("---\nlimits:\n  fuel: 200000000\n---\n{}", document(&["while True: pass"]));
    let report = editor.request(RenderRequest { content, ..RenderRequest::default() }).await;
    assert_eq!(report.cells[0].outcome.kind(), "out_of_fuel");
    // More than the caller may have is no more than that.
    let content = format!("---\nlimits:\n  wall_ms: 999999999\n---\n{}", document(&["print(1)"]));
    let report = editor.request(RenderRequest { content, ..RenderRequest::default() }).await;
    assert_eq!(report.cells[0].outcome.kind(), "completed");
}
