//! What is known of cells beyond the memory: whoever forgets all shows the same, and runs only what is new.

mod bounds;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt as _;
use jiff::{Timestamp, ToSpan as _};
use pymd::domain::{Limits, UserId};
use pymd::service::{Attached, Loaded, RenderContext, RenderReport, RenderRequest, Service, ServiceConfig};
use pymd::store::{Database, Objects};
use serde_json::json;
use tempfile::TempDir;

use super::edits::{CELLS, Random};
use super::{document, ran};
use crate::databases::{TestDatabase, on_both_databases};
use crate::store::{new_user, set_quotas};
use crate::support::{TestApp, sandbox};

/// A user whose server forgets all that it has in memory, as often as it is told to.
struct Forgetful {
    at: TestDatabase,
    database: Database,
    objects: TempDir,
    user: UserId,
    service: Service,
}

impl Forgetful {
    async fn new(at: TestDatabase) -> Self {
        let database = at.open().await;
        let user = new_user(&database).await.id;
        let objects = tempfile::tempdir().unwrap();
        let service = Self::service(&database, &objects).await;
        Self { at, database, objects, user, service }
    }

    async fn service(database: &Database, objects: &TempDir) -> Service {
        Self::service_with(database, objects, ServiceConfig::default()).await
    }

    async fn service_with(database: &Database, objects: &TempDir, config: ServiceConfig) -> Service {
        let limits = Limits { wall_ms: 20_000, ..Limits::default() };
        let service = Service::new(ServiceConfig { limits, ..config });
        service.set_ready(sandbox().await.clone(), "the runtime".to_owned(), "3".to_owned());
        let url = format!("file://{}", objects.path().display());
        service.keep_renders(database.clone(), Objects::open(&url).unwrap());
        service
    }

    /// Another server of the same database and objects, which has nothing in memory.
    async fn forget(&mut self) {
        self.service.renders().unwrap().flush().await;
        self.service = Self::service(&self.database, &self.objects).await;
    }

    async fn render_with(&self, cells: &[&str], file: Option<&'static str>, owner: Option<UserId>) -> RenderReport {
        let mut request = RenderRequest { content: document(cells), ..RenderRequest::default() };
        request.limits.fuel = Some(300_000_000);
        let attached = file.map(|content| {
            let load = move || {
                let files: Loaded = vec![("data/file".to_owned(), Arc::from(content.as_bytes()))];
                async move { Ok(files) }.boxed()
            };
            Attached::new(content.to_owned(), load)
        });
        self.service.render(request, RenderContext { owner, attached, ..RenderContext::default() }).await.unwrap()
    }

    async fn render(&self, cells: &[&str]) -> RenderReport {
        self.render_with(cells, None, Some(self.user)).await
    }

    fn kept(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for segment in std::fs::read_dir(self.objects.path().join("cells")).into_iter().flatten().flatten() {
            for object in std::fs::read_dir(segment.path()).into_iter().flatten() {
                found.push(object.unwrap().path());
            }
        }
        found.sort();
        found
    }
}

/// Beside the usual cells: files beside the document, cells that are rolled back, and some that are never kept.
const MORE: [&str; 5] = [
    "beside = open('data/file'); print(beside.read(3))",
    "print(beside.tell(), beside.read(2))",
    "a = 'lost'\nwhile True: pass",
    "#| cache: false\na = 7",
    "kept = open('kept', 'w+'); kept.write('abc'); kept.flush()\nimport os; os.unlink('kept'); kept.seek(1); print(kept.read())",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_show_the_same_when_the_memory_is_lost_in_between() {
    let mut editor = Forgetful::new(TestDatabase::sqlite()).await;
    let mut known = 0;
    for seed in 1..=3_u64 {
        let mut random = Random(seed.wrapping_mul(0xA076_1D64_78BD_642F));
        let pick = |random: &mut Random| {
            let at = random.below(CELLS.len() + MORE.len());
            CELLS.iter().chain(&MORE).copied().nth(at).unwrap()
        };
        let mut cells: Vec<&str> = (0..7).map(|_| pick(&mut random)).collect();
        for edit in 0..14 {
            let at = random.below(cells.len());
            match random.below(5) {
                0 if cells.len() < 10 => cells.insert(at, pick(&mut random)),
                1 if cells.len() > 2 => drop(cells.remove(at)),
                2 => {}
                _ => cells[at] = pick(&mut random),
            }
            let file = ["one two", "three four"][random.below(6) / 5];
            let report = editor.render_with(&cells, Some(file), Some(editor.user)).await;
            let expected = editor.render_with(&cells, Some(file), None).await;
            assert_eq!(report.rendered, expected.rendered, "seed {seed}, edit {edit}: {cells:#?}");
            known += ran(&report).matches('.').count();
            match random.below(3) {
                0 => {}
                1 => editor.service.renders().unwrap().flush().await,
                _ => editor.forget().await,
            }
        }
    }
    assert!(known > 60, "{known}: most of it is known");
}

async fn only_what_changed_runs_after_a_restart(at: TestDatabase) {
    let mut editor = Forgetful::new(at).await;
    let mut cells =
        ["import json", "f = open('f', 'w+'); f.write('x')", "g = iter(range(9)); next(g)", "print(next(g))"];
    let first = editor.render(&cells).await;
    assert_eq!(ran(&first), "xxxx");
    editor.forget().await;
    let again = editor.render(&cells).await;
    assert_eq!((ran(&again).as_str(), again.cached, &again.rendered), ("....", true, &first.rendered));
    editor.forget().await;
    cells[3] = "f.seek(0); print(f.read(), next(g))";
    let edited = editor.render(&cells).await;
    assert_eq!(ran(&edited), "...x");
    assert!(edited.rendered.contains("x 1"), "{}", edited.rendered);
    // A segment that goes on from another one, and back.
    editor.forget().await;
    let longer = [cells[0], cells[1], cells[2], cells[3], "print(next(g))"];
    let report = editor.render(&longer).await;
    assert_eq!(ran(&report), "....x");
    assert!(report.rendered.contains('2'));
    // Another server has kept other results meanwhile, and another user has none.
    let other = Forgetful::service(&editor.at.open().await, &editor.objects).await;
    let here = std::mem::replace(&mut editor.service, other);
    assert_eq!(ran(&editor.render(&cells).await), "....");
    here.renders().unwrap().flush().await;
    let stranger = new_user(&editor.database).await.id;
    assert_eq!(ran(&editor.render_with(&cells, None, Some(stranger)).await), "xxxx");
    editor.forget().await;
    assert_eq!(ran(&editor.render(&longer).await), ".....");
}

async fn many_cells_one_by_one_leave_few_segments_and_all_is_known(at: TestDatabase) {
    let mut editor = Forgetful::new(at).await;
    let mut cells = vec!["n = [0]"];
    for _ in 0..20 {
        cells.push("n.append(len(n))\nprint(n[-1])");
        editor.render(&cells).await;
        editor.service.renders().unwrap().flush().await;
    }
    editor.forget().await;
    assert_eq!(ran(&editor.render(&cells).await), ".".repeat(21));
    assert!(editor.kept().len() <= 2 * 20, "{}", editor.kept().len());
    cells.push("print('sum', sum(n))");
    let report = editor.render(&cells).await;
    assert!(report.rendered.contains("sum 210") && ran(&report).ends_with(".x"), "{}", ran(&report));
}

async fn what_is_damaged_runs_anew(at: TestDatabase) {
    let mut editor = Forgetful::new(at).await;
    let stranger = new_user(&editor.database).await.id;
    editor.render_with(&["x = 'theirs'", "print(x)"], None, Some(stranger)).await;
    editor.forget().await;
    let theirs = editor.kept();
    let flip = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let cut = |path: &Path| std::fs::File::options().write(true).open(path).unwrap().set_len(20).unwrap();
    let gone = |path: &Path| std::fs::remove_file(path).unwrap();
    let swap = |path: &Path| {
        let other = theirs.iter().find(|other| other.file_name() == path.file_name()).unwrap();
        std::fs::copy(other, path).map(|_| ()).unwrap()
    };
    let damages: [&dyn Fn(&Path); 4] = [&flip, &cut, &gone, &swap];
    for damage in damages {
        for kind in ["reports", "states"] {
            editor.render(&["x = 'own'", "print(x)"]).await;
            editor.forget().await;
            let own = editor.kept().into_iter().filter(|path| !theirs.contains(path));
            own.filter(|path| path.ends_with(kind)).for_each(|path| damage(&path));
            let report = editor.render(&["x = 'own'", "print(x, 'again')"]).await;
            assert_eq!(ran(&report), "xx", "{kind}");
            assert!(report.rendered.contains("own again"), "{}", report.rendered);
            // And what was damaged is forgotten.
            editor.forget().await;
            assert_eq!(ran(&editor.render(&["x = 'own'", "print(x, 'again')"]).await), "..");
            editor.database.purge_renders(Timestamp::now() - 1.hour()).await.unwrap();
            for path in editor.kept().into_iter().filter(|path| !theirs.contains(path)) {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    assert_eq!(ran(&editor.render_with(&["x = 'theirs'", "print(x)"], None, Some(stranger)).await), "..");
}

async fn the_tier_and_the_time_bound_it(at: TestDatabase) {
    let mut editor = Forgetful::new(at).await;
    let fill = |number: usize| format!("import random\nrandom.seed({number}); x = random.randbytes(400_000)");
    let free = editor.database.grant(editor.user, None).await.unwrap().quotas;
    set_quotas(&editor.database, pymd::domain::Quotas { checkpoint_bytes: 3_000_000, ..free }).await;
    for number in 0..8 {
        editor.render(&[&fill(number)]).await;
        editor.forget().await;
    }
    // Deleting goes on behind.
    let bytes = || editor.kept().iter().filter_map(|path| path.metadata().ok()).map(|it| it.len()).sum::<u64>();
    for _ in 0..500 {
        if bytes() <= 3_000_000 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!((400_000..=3_000_000).contains(&bytes()), "{}", bytes());
    assert_eq!(ran(&editor.render(&[&fill(7)]).await), ".");
    assert_eq!(ran(&editor.render(&[&fill(0)]).await), "x");
    editor.forget().await;
    let renders = editor.service.renders().unwrap();
    let orphan = editor.objects.path().join("cells/orphan");
    std::fs::write(&orphan, "left by a crash").unwrap();
    renders.sweep(Timestamp::now()).await.unwrap();
    assert!(orphan.exists() && editor.kept().len() > 1, "young");
    renders.sweep(Timestamp::now() + 48.hours()).await.unwrap();
    assert!(!orphan.exists() && editor.kept().len() > 1);
    renders.sweep(Timestamp::now() + (31 * 24).hours()).await.unwrap();
    assert!(editor.kept().is_empty());
}

on_both_databases![
    only_what_changed_runs_after_a_restart,
    many_cells_one_by_one_leave_few_segments_and_all_is_known,
    what_is_damaged_runs_anew,
    the_tier_and_the_time_bound_it,
];

/// Fifty states of one document share what they have in common. (Each of these cells leaves its mark in about 200 pages that the
/// allocator gave it; beside a larger table that is less.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_checkpoints_share_what_they_have_in_common() {
    let mut editor = Forgetful::new(TestDatabase::sqlite()).await;
    let start = "import numpy as np, pandas as pd\nrandom = np.random.default_rng(1)\n\
        table = pd.DataFrame({'a': random.random(400_000)})";
    let mut cells = vec![start];
    cells.extend(["seen = table.head(50).describe()\nprint(seen.a.max())"; 49]);
    let bytes = |editor: &Forgetful| -> u64 { editor.kept().iter().map(|path| path.metadata().unwrap().len()).sum() };
    let whole = editor.render(&cells).await;
    assert!(whole.cells.iter().all(|cell| cell.outcome.kind() == "completed"), "{:?}", whole.cells);
    editor.forget().await;
    let fifty = bytes(&editor);
    assert_eq!(ran(&editor.render(&cells).await), ".".repeat(50));
    // One of them alone: they are all of a size.
    let one = format!("{start} ");
    editor.render(&[&one, cells[1]]).await;
    editor.forget().await;
    let alone = bytes(&editor) - fifty;
    assert!(fifty <= 3 * alone, "{fifty} bytes, the last alone {alone}");
}

/// Servers one after another, over HTTP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_again_shows_what_is_known() {
    let (database, objects) = (TestDatabase::sqlite(), tempfile::tempdir().unwrap());
    let objects_url = format!("file://{}", objects.path().display());
    let mut cells = vec!["import pandas as pd\nt = pd.DataFrame({'a': range(5000)})", "t.describe()"];
    cells.extend(["t['b'] = t.a.rolling(20).mean()\nprint(t.b.sum())"; 17]);
    cells.push("print('last')");
    let mut shown = String::new();
    let lasts = [0, 1, 2].map(|number| format!("print('last', {number})"));
    for round in 0..6 {
        let app = TestApp::builder().database_url(database.url()).objects_url(&objects_url).start().await;
        cells[19] = &lasts[round / 2];
        let report = app.post("/api/v1/render", &json!({"content": document(&cells)})).await.json();
        let ran = report["cells"].as_array().unwrap().iter().filter(|cell| cell["status"] == "executed").count();
        assert_eq!(ran, [20, 0, 1, 0, 1, 0][round], "round {round}");
        if ran == 0 {
            assert_eq!((report["cached"].as_bool(), report["rendered"].as_str()), (Some(true), Some(shown.as_str())));
        }
        shown = report["rendered"].as_str().unwrap().to_owned();
        app.stop().await;
    }
}
