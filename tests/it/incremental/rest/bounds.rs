//! What is kept beyond the memory, and what comes back, has bounds; and nobody waits long for it.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pymd::service::{CheckpointConfig, ServiceConfig};

use super::{Forgetful, ran};
use crate::databases::TestDatabase;
use crate::store::{new_user, set_quotas};

/// What takes more bytes than the tier allows is not kept; but what it has shown is, where that fits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_is_too_large_the_reports_are_kept() {
    let mut editor = Forgetful::new(TestDatabase::sqlite()).await;
    let free = editor.database.grant(editor.user, None).await.unwrap().quotas;
    let allow = async |editor: &Forgetful, checkpoint_bytes| {
        set_quotas(&editor.database, pymd::domain::Quotas { checkpoint_bytes, ..free }).await;
    };
    allow(&editor, 300_000).await;
    let mut cells = ["import random\nrandom.seed(1); x = random.randbytes(1_000_000)", "print(len(x))", "print(1)"];
    let first = editor.render(&cells).await;
    editor.forget().await;
    let names = |editor: &Forgetful| -> Vec<_> {
        editor.kept().iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&editor), ["reports"]);
    let again = editor.render(&cells).await;
    assert_eq!((ran(&again).as_str(), &again.rendered), ("...", &first.rendered));
    cells[2] = "print(2)";
    assert_eq!(ran(&editor.render(&cells).await), "xxx", "there is no state to go on from");
    editor.service.renders().unwrap().flush().await;
    // What comes behind is as large.
    for last in ["print(3)", "print(4)"] {
        cells[2] = last;
        assert_eq!(ran(&editor.render(&cells).await), "..x");
        editor.service.renders().unwrap().flush().await;
    }
    editor.forget().await;
    assert!(names(&editor).iter().all(|name| name == "reports"), "{:?}", names(&editor));
    assert_eq!(ran(&editor.render(&cells).await), "...");
    // Not even that fits.
    for allowed in [0, 20] {
        allow(&editor, allowed).await;
        let before = editor.kept();
        editor.render(&["print('small')"]).await;
        editor.forget().await;
        assert_eq!(editor.kept(), before, "{allowed}");
    }
    allow(&editor, free.checkpoint_bytes).await;
    assert_eq!(ran(&editor.render(&["print('small')"]).await), "x");
    editor.forget().await;
    assert_eq!(ran(&editor.render(&["print('small')"]).await), ".");
}

/// Objects that can't be read as long as this is there: who opens one waits.
struct Stuck(Vec<PathBuf>);

impl Stuck {
    fn new(objects: Vec<PathBuf>) -> Self {
        for path in &objects {
            std::fs::remove_file(path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        }
        Self(objects)
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        // Whoever reads comes to the end at once; where nobody does, it can't be opened, and need not be.
        for path in &self.0 {
            drop(
                std::fs::File::options()
                    .write(true)
                    .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
                    .open(path),
            );
        }
    }
}

/// A render waits for what is kept only as long as its cells run, and a user who waits holds up no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_object_store_that_hangs_holds_up_no_render_for_long() {
    let mut editor = Forgetful::new(TestDatabase::sqlite()).await;
    let stranger = new_user(&editor.database).await.id;
    let cells = ["x = 1", "print(x + 1)"];
    editor.render_with(&["y = 1", "print(y)"], None, Some(stranger)).await;
    editor.forget().await;
    let theirs = editor.kept();
    let long = ["import time\ntime.sleep(2); x = 1", "print(x)"];
    let longer = ["import time\ntime.sleep(2); x = 2", "print(x)"];
    for cells in [cells, long, longer] {
        editor.render(&cells).await;
    }
    editor.forget().await;
    let own = |editor: &Forgetful, kind: &str| -> Vec<PathBuf> {
        editor.kept().into_iter().filter(|path| !theirs.contains(path) && path.ends_with(kind)).collect()
    };
    let stuck = Stuck::new(own(&editor, "states"));
    let timed = async |cells: [&str; 2], marks: &str| {
        let begun = Instant::now();
        assert_eq!(ran(&editor.render(&cells).await), marks);
        begun.elapsed()
    };
    let edited = |cells: [&'static str; 2]| [cells[0], "print(x, 'edited')"];
    assert!(timed(edited(cells), "xx").await < Duration::from_secs(3), "what is quick is run");
    // Two that wait, and one of another user.
    let others = async {
        let report = editor.render_with(&["y = 1", "print(y, 'edited')"], None, Some(stranger)).await;
        assert_eq!(ran(&report), ".x");
    };
    let (one, other) = {
        let waiting = async { tokio::join!(timed(edited(long), "xx"), timed(edited(longer), "xx")) };
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("the other user waits longer"),
            () = others => {}
        }
        waiting.await
    };
    assert!(one.max(other) < Duration::from_secs(15), "{one:?}, {other:?}");
    drop(stuck);
    editor.forget().await;
    let stuck = Stuck::new(own(&editor, "reports"));
    let begun = Instant::now();
    assert_eq!(ran(&editor.render(&cells).await), "xx");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(stuck);
}

/// However much is kept, only so many cells come back to memory; a document that has more runs as any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_is_bounded_too() {
    let mut editor = Forgetful::new(TestDatabase::sqlite()).await;
    let cells: Vec<String> = (0..14).map(|number| format!("print('cell', {number})")).collect();
    let long: Vec<&str> = cells.iter().map(String::as_str).collect();
    let expected = editor.render(&long).await.rendered;
    for doc in long.windows(3) {
        editor.render(doc).await;
    }
    editor.forget().await;
    let checkpoints = CheckpointConfig { user_cells: 10, ..CheckpointConfig::default() };
    let config = ServiceConfig { checkpoints, ..ServiceConfig::default() };
    editor.service = Forgetful::service_with(&editor.database, &editor.objects, config).await;
    let known = |editor: &Forgetful| editor.service.stats().checkpoints.cells;
    for doc in long.windows(3) {
        assert_eq!(ran(&editor.render(doc).await), "...");
        assert!(known(&editor) <= 10, "{}", known(&editor));
    }
    for _ in 0..2 {
        let report = editor.render(&long).await;
        assert_eq!(report.rendered, expected);
        assert!(known(&editor) <= 10, "{}", known(&editor));
    }
}
