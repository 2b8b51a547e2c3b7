//! Kernels that were much more than they are: they wake at their last state, and the others are read when asked for.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{KERNELS, Notebook};

const CELLS: usize = 6;

/// A cell behind which most is another than before.
fn cell(number: usize) -> String {
    format!("import random; x = random.randbytes(300_000); n = {number}")
}

/// A kernel that hibernates after some cells: its checkpoints, the objects of its history, and the one that holds its last
/// state alone.
async fn asleep(notebook: &Notebook) -> (Vec<Value>, Vec<PathBuf>, PathBuf) {
    for number in 0..CELLS {
        notebook.run(&cell(number)).await;
    }
    notebook.until_saved().await;
    let history = notebook.objects();
    notebook.hibernate(&notebook.kernel).await;
    let mut new = notebook.objects();
    new.retain(|path| !history.contains(path));
    assert_eq!(new.len(), 1, "its last state by itself");
    (notebook.checkpoints().await, history, new.remove(0))
}

async fn restore(notebook: &Notebook, checkpoint: &Value) -> crate::support::Answer {
    notebook.post(&notebook.kernel, "restore", json!({"checkpoint_id": checkpoint["id"]})).await
}

fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kernel_wakes_without_its_history() {
    let notebook = Notebook::open().await;
    let (checkpoints, history, _) = asleep(&notebook).await;
    assert_eq!(checkpoints.len(), CELLS);
    // Nobody asks for it, so it need not be there.
    let away = notebook.app.data_dir.path().join("away");
    std::fs::create_dir(&away).unwrap();
    let moved: Vec<_> = history.iter().map(|path| (path, away.join(path.file_name().unwrap()))).collect();
    moved.iter().for_each(|(path, away)| std::fs::rename(path, away).unwrap());
    assert_eq!(notebook.run("print(n)").await, "5\n");
    assert_eq!(notebook.checkpoints().await[..CELLS], checkpoints);
    notebook.hibernate(&notebook.kernel).await;
    assert_eq!(notebook.run("n += 1; print(n)").await, "6\n");
    let problem = restore(&notebook, &checkpoints[1]).await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("not in the object store"), "{problem}");
    assert_eq!(notebook.run("print(n)").await, "6\n");
    // It falls asleep and wakes also where its history would be written anew by now.
    for _ in 0..30 {
        notebook.run("x = n").await;
        notebook.hibernate(&notebook.kernel).await;
    }
    assert_eq!(notebook.run("print(n)").await, "6\n");
    moved.iter().for_each(|(path, away)| std::fs::rename(away, path).unwrap());

    assert_eq!(restore(&notebook, &checkpoints[1]).await.json()["execution_count"], 2);
    assert_eq!(notebook.run("print(n, len(x))").await, "1 300000\n");
    notebook.hibernate(&notebook.kernel).await;
    // (It is at another state than the last one of its history now.)
    for (number, checkpoint) in checkpoints.iter().enumerate().rev() {
        assert_eq!(restore(&notebook, checkpoint).await.json()["checkpoint_id"], checkpoint["id"]);
        notebook.hibernate(&notebook.kernel).await;
        let fork = notebook.fork(1).await.remove(0);
        assert_eq!(notebook.prints(&fork, "print(n, len(x))").await, format!("{number} 300000\n"));
    }
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_is_damaged_is_lost_alone() {
    let notebook = Notebook::open().await;
    let (checkpoints, history, _) = asleep(&notebook).await;
    damage(&history[0]);
    assert_eq!(notebook.run("print(n)").await, "5\n");
    restore(&notebook, &checkpoints[2]).await.problem(404, "not_found");
    let left = notebook.checkpoints().await;
    assert_eq!(left[0]["id"], checkpoints[CELLS - 1]["id"]);
    assert_eq!(left.len(), 2, "the state that it woke at, and the one behind the cell since");
    notebook.hibernate(&notebook.kernel).await;
    assert_eq!(notebook.run("print(n)").await, "5\n");
    assert_eq!(restore(&notebook, &left[0]).await.json()["execution_count"], CELLS);
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_state_that_is_damaged_is_read_with_the_others() {
    let notebook = Notebook::open().await;
    let (checkpoints, _, alone) = asleep(&notebook).await;
    damage(&alone);
    assert_eq!(notebook.run("print(n)").await, "5\n");
    assert_eq!(restore(&notebook, &checkpoints[0]).await.json()["execution_count"], 1);
    assert_eq!(notebook.run("print(n)").await, "0\n");
    notebook.app.stop().await;
}

/// What is kept is written anew now and then, and then all of it is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_naps() {
    let notebook = Notebook::open().await;
    for number in 0..30 {
        notebook.run(&cell(number)).await;
        notebook.hibernate(&notebook.kernel).await;
    }
    let checkpoints = notebook.checkpoints().await;
    assert_eq!(checkpoints.len(), 30);
    for number in [0, 22, 23, 24, 25, 29] {
        assert_eq!(restore(&notebook, &checkpoints[number]).await.json()["execution_count"], number + 1);
        assert_eq!(notebook.run("print(n)").await, format!("{number}\n"));
    }
    notebook.hibernate(&notebook.kernel).await;
    let objects = notebook.objects();
    assert!(objects.len() < 30, "{}", objects.len());
    notebook.app.stop().await;
}

/// Forks go on from one state that they share: those that wake alone find it again, also where another one has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forks_wake_alone_and_keep_what_they_share() {
    let notebook = Notebook::open().await;
    notebook.run("import random; base = random.randbytes(100_000)").await;
    let forks = notebook.fork(2).await;
    let mut first = Vec::new();
    for fork in &forks {
        for number in 0..CELLS {
            notebook.prints(fork, &cell(number)).await;
        }
        let list = notebook.app.get(&format!("{KERNELS}/{fork}/checkpoints")).await.json();
        first.push(list["checkpoints"][0]["id"].clone());
        notebook.hibernate(fork).await;
    }
    let back = async |fork: &str, to: &Value| {
        let body = json!({"checkpoint_id": to});
        assert_eq!(notebook.post(fork, "restore", body).await.json()["checkpoint_id"], *to);
        assert_eq!(notebook.prints(fork, "print(n, len(x), len(base))").await, "0 300000 100000\n");
    };
    // One has read all; the other one is written anew beside it, and has read no more than it had to.
    back(&forks[0], &first[0]).await;
    for number in 0..30 {
        assert_eq!(
            notebook.prints(&forks[1], "print(n, len(base))").await,
            format!("{} 100000\n", CELLS - 1),
            "{number}"
        );
        assert_eq!(notebook.hibernate(&forks[1]).await["saved"], true);
    }
    back(&forks[1], &first[1]).await;
    for fork in &forks {
        assert_eq!(notebook.hibernate(fork).await["saved"], true);
        assert_eq!(notebook.prints(fork, "print(n, len(base))").await, "0 100000\n");
    }
    notebook.app.stop().await;
}
