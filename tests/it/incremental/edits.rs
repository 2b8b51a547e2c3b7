//! Random edits: whatever is inserted, deleted, swapped or changed, a render shows what one from scratch shows.

use std::sync::Arc;

use futures::FutureExt as _;
use pymd::service::{Attached, CellStatus, CheckpointConfig, Loaded, RenderContext, RenderRequest};

use super::{Editor, document};

/// Cells that go with each other in any order: what is missing is an error, which is as good an output as any.
pub(super) const CELLS: [&str; 16] = [
    "a = 1",
    "a = a * 3\nprint(a)",
    "b = [a, a]",
    "b.append(len(b))\nprint(b)",
    "print('# A heading\\n\\ntext')",
    "def f(x):\n    return x + len(globals())",
    "print(f(1))",
    "import json\njson.dumps({'a': [1, 2]})",
    "open('log', 'a').write('x')\nprint(open('log').read())",
    "handle = open('log'); handle.read(1)",
    "print(handle.tell(), handle.read(1))",
    "counter = iter(range(1000)); next(counter)",
    "next(counter)",
    "1/0",
    "x = bytearray(3_000_000); x[::4096] = b'y' * len(x[::4096])\nprint(x.count(b'y'))",
    "import sys; sys.exit(1)",
];

/// Small and quick random numbers, the same at every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

async fn edit_at_random(editor: &Editor, seed: u64, edits: usize) -> usize {
    let mut random = Random(seed);
    let mut cells: Vec<&str> = (0..8).map(|_| CELLS[random.below(CELLS.len())]).collect();
    let mut cached = 0;
    for edit in 0..edits {
        let at = random.below(cells.len().max(1));
        match random.below(5) {
            0 if cells.len() < 12 => cells.insert(at, CELLS[random.below(CELLS.len())]),
            1 if cells.len() > 2 => drop(cells.remove(at)),
            2 if !cells.is_empty() => {
                let other = random.below(cells.len());
                cells.swap(at, other);
            }
            3 => {}
            _ => cells[at] = CELLS[random.below(CELLS.len())],
        }
        let report = editor.render(&cells).await;
        let expected = editor.scratch(&cells).await;
        assert_eq!(report.rendered, expected.rendered, "seed {seed}, edit {edit}: {cells:#?}");
        for (cell, wanted) in report.cells.iter().zip(&expected.cells) {
            assert_eq!((&cell.outcome, cell.output_bytes), (&wanted.outcome, wanted.output_bytes), "{cells:#?}");
        }
        cached += report.cells.iter().filter(|cell| cell.status == CellStatus::Cached).count();
    }
    cached
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_all_kinds_show_what_a_render_scratch_shows() {
    let editor = Editor::new().await;
    let mut cached = 0;
    for seed in 1..=6 {
        cached += edit_at_random(&editor, u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15), 15).await;
    }
    assert!(cached > 90, "{cached}: most of it is known");
}

/// Where there is no room, renders are slower and no different.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eviction_changes_nothing_but_the_time() {
    for (bytes, user_bytes) in [(0, 0), (3 << 20, 2 << 20), (8 << 20, 8 << 20)] {
        let config = CheckpointConfig { bytes, user_bytes, parked_kernels: 1, ..CheckpointConfig::default() };
        let editor = Editor::with(config).await;
        edit_at_random(&editor, 0xD1B5_4A32_D192_ED03, 20).await;
        let stats = editor.service.stats().checkpoints;
        assert!(stats.bytes <= user_bytes && stats.parked_kernels <= 1, "{stats:?}");
    }
}

/// Cells of one document share what they have in common.
#[tokio::test]
async fn many_checkpoints_cost_little_more_than_the_last() {
    let editor = Editor::new().await;
    let mut cells = vec!["import json\ntable = [list(range(100)) for _ in range(20_000)]"];
    editor.render(&cells).await;
    let one = editor.service.stats().checkpoints;
    cells.extend(["table[0].append(1)\nprint(sum(map(len, table)))"; 49]);
    editor.render(&cells).await;
    let fifty = editor.service.stats().checkpoints;
    assert_eq!((one.checkpoints, fifty.checkpoints), (1, 50));
    assert!(fifty.bytes < 3 * one.bytes, "{one:?} {fifty:?}");
}

/// Two pages of one user that render the same document at once don't get in each other's way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renders_at_once_show_what_each_of_them_shows_alone() {
    let editor = Editor::new().await;
    let one = ["a = []", "a.append(1)", "print(a)"];
    let two = ["a = []", "a.append(1)", "a.append(2)", "print(a)"];
    for _ in 0..5 {
        let (first, second, third) = tokio::join!(editor.render(&one), editor.render(&two), editor.render(&one));
        assert!(first.rendered.contains("[1]") && third.rendered.contains("[1]"), "{}", first.rendered);
        assert!(second.rendered.contains("[1, 2]"), "{}", second.rendered);
    }
}

/// What cells are shown of files beside a document lies in memory, too, as long as a checkpoint has it.
#[tokio::test]
async fn files_that_checkpoints_hold_are_counted() {
    let config =
        CheckpointConfig { bytes: 1 << 30, user_bytes: 60 << 20, parked_kernels: 1, ..CheckpointConfig::default() };
    let editor = Editor::with(config).await;
    for content in 0..6_u8 {
        let load = move || {
            let files: Loaded = vec![("big".to_owned(), Arc::from(vec![content; 20 << 20]))];
            async move { Ok(files) }.boxed()
        };
        let attached = Some(Attached::new(content.to_string(), load));
        let cells = ["f = open('big', 'rb')", "print(f.read(1))", "print(f.tell())"];
        let request = RenderRequest { content: document(&cells), ..RenderRequest::default() };
        let context = RenderContext { owner: Some(editor.user), attached, ..RenderContext::default() };
        editor.service.render(request, context).await.unwrap();
        let stats = editor.service.stats().checkpoints;
        let one = 20 << 20;
        assert!((one..=60 << 20).contains(&stats.bytes), "{content}: {stats:?}");
    }
    let stats = editor.service.stats().checkpoints;
    assert!((40 << 20..=60 << 20).contains(&stats.bytes), "{stats:?}");
    assert!(stats.checkpoints <= 8, "no more than what two files have: {stats:?}");
}
