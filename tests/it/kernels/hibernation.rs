//! Kernels that hibernate: what they knew is there when they wake, and what is damaged is refused.

use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan as _};
use pymd::domain::KernelPolicy;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{KERNELS, Notebook};
use crate::support::Answer;

/// What a kernel may know.
const CELLS: [&str; 3] = [
    "import random, pandas as pd\nlog = open('log', 'w+'); log.write('one ')\ng = iter(range(9)); next(g)",
    "log.write('two '); log.flush(); next(g); table = pd.DataFrame({'a': range(1000)})",
    "lost = open('lost', 'w+'); lost.write('unlinked'); lost.flush()\nimport os; os.unlink('lost')",
];
const LOOK: &str =
    "log.seek(0); lost.seek(0); print(log.read(), next(g), lost.read(), int(table.a.sum()), os.listdir('.'))";
const SEEN: &str = "one two  2 unlinked 499500 ['log']\n";

impl Notebook {
    pub(super) async fn hibernate(&self, kernel: &str) -> Value {
        let info = self.post(kernel, "hibernate", json!({})).await.json();
        assert_eq!((info["state"].as_str(), info["saved"].as_bool()), (Some("hibernated"), Some(true)), "{info}");
        info
    }

    pub(super) fn objects(&self) -> Vec<PathBuf> {
        files(&self.app.data_dir.path().join("objects/kernels"))
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_kernel_knew_is_there_when_it_wakes() {
    let notebook = Notebook::open().await;
    for code in CELLS {
        notebook.run(code).await;
    }
    // Its random numbers go on: they are not those of the twin that has stayed awake, nor begin again.
    notebook.run("random.seed(5); before = random.random()").await;
    let (checkpoints, shown) = (notebook.checkpoints().await, notebook.shown().await);
    let asleep = notebook.hibernate(&notebook.kernel).await;
    assert_eq!(notebook.app.workspace.kernels().live_count(), 0);
    for same in ["id", "execution_count", "checkpoint_id", "limits", "created_at"] {
        assert_eq!(asleep[same], shown[same], "{same}");
    }
    // Asking for it does not wake it.
    assert_eq!(notebook.checkpoints().await, checkpoints);
    assert_eq!(notebook.app.get(KERNELS).await.json()["kernels"][0]["state"], "hibernated");
    notebook.post(&notebook.kernel, "interrupt", json!({})).await.json();
    assert_eq!(notebook.hibernate(&notebook.kernel).await["state"], "hibernated");
    assert_eq!(notebook.app.workspace.kernels().live_count(), 0);

    assert_eq!(notebook.run(LOOK).await, SEEN);
    let drawn = "again = random.Random(5); assert before == again.random(); print(random.random() == again.random())";
    assert_eq!(notebook.run(drawn).await, "True\n");
    assert_eq!(notebook.shown().await["execution_count"], 6);
    // And the ways back are there.
    notebook.hibernate(&notebook.kernel).await;
    let to = json!({"checkpoint_id": checkpoints[0]["id"]});
    assert_eq!(notebook.post(&notebook.kernel, "restore", to).await.json()["execution_count"], 1);
    notebook.hibernate(&notebook.kernel).await;
    assert_eq!(notebook.run("print(next(g), 'table' in globals())").await, "1 False\n");
    let answer = notebook.post(&notebook.kernel, "complete", json!({"code": "rando", "cursor": 5})).await.json();
    assert_eq!(answer["matches"], json!(["random"]));
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kernel_that_runs_nothing_hibernates_by_itself() {
    let config = KernelPolicy { hibernate_after_ms: 300, save_after_ms: 20, ..KernelPolicy::default() };
    let notebook = Notebook::with(config).await;
    notebook.run("x = 5").await;
    notebook.until(|list| list[0]["state"] == "hibernated").await;
    // A cell takes its time, whatever the clock says of idleness.
    let slow = "import time; time.sleep(0.8); print(x)";
    assert_eq!(notebook.run(slow).await, "5\n");
    notebook.until(|list| list[0]["state"] == "hibernated").await;
    let unused = notebook.another().await;
    notebook.until(|list| list.iter().all(|kernel| kernel["state"] == "hibernated")).await;
    assert_eq!(notebook.prints(&unused, "print('x' in globals())").await, "False\n");
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kernel_that_runs_a_cell_does_not_hibernate() {
    let notebook = Notebook::open().await;
    notebook.run("x = 1").await;
    let body = json!({"code": "x = 2\nprint('begun')\nwhile True: pass"});
    let mut events = notebook.app.stream(&format!("{KERNELS}/{}/execute", notebook.kernel), &body).await;
    while !String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()).contains("begun") {}
    let problem = notebook.post(&notebook.kernel, "hibernate", json!({})).await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("interrupt"), "{problem}");
    drop(events);
    assert_eq!(notebook.run("print(x)").await, "1\n");
    notebook.app.stop().await;
}

/// Cells that come while it falls asleep, or wakes, are all run, one after another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cells_and_hibernation_at_once() {
    let notebook = Notebook::open().await;
    notebook.run("seen = []").await;
    let cells = (0..12).map(|number| {
        let (notebook, code) = (&notebook, format!("seen.append({number})"));
        async move {
            if number % 3 == 0 {
                // Refused where a cell runs.
                notebook.post(&notebook.kernel, "hibernate", json!({})).await;
            }
            notebook.run(&code).await
        }
    });
    futures::future::join_all(cells).await;
    assert_eq!(notebook.run("print(sorted(seen) == list(range(12)))").await, "True\n");
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forks_hibernate_with_one_copy_of_what_they_share() {
    let notebook = Notebook::open().await;
    notebook.run("import random; x = random.randbytes(3_000_000)").await;
    let forks = notebook.fork(10).await;
    notebook.prints(&forks[0], "y = 'own'").await;
    for fork in &forks {
        notebook.hibernate(fork).await;
    }
    let bytes = || -> u64 { notebook.objects().iter().map(|path| path.metadata().unwrap().len()).sum() };
    // The kernel itself, and its forks together.
    assert!(bytes() < 25_000_000, "{}", bytes());
    let mut drawn = Vec::new();
    for fork in [&forks[0], &forks[1], &forks[2]] {
        drawn.push(notebook.prints(fork, "print(len(x), x == x, random.random())").await);
        notebook.hibernate(fork).await;
    }
    drawn.dedup();
    assert_eq!(drawn.len(), 3, "random numbers of their own: {drawn:?}");
    assert_eq!(notebook.prints(&forks[0], "print(y)").await, "own\n");
    // What they share goes with the last of them.
    for fork in forks.iter().chain([&notebook.kernel]) {
        let gone = notebook.app.ask(Method::DELETE, &format!("{KERNELS}/{fork}"), None).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
    }
    while !notebook.objects().is_empty() {
        tokio::task::yield_now().await;
    }
    notebook.app.stop().await;
}

/// Every way for a kernel's object to be not what it was: its kernel is dead, and says so, and others are not touched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_is_refused() {
    let notebook = Notebook::open().await;
    let key = notebook.app.user("other").await;
    let other: Value =
        serde_json::from_str(&notebook.app.ask_as(&key, Method::POST, KERNELS, &json!({})).await.text).unwrap();
    let other = format!("{KERNELS}/{}", other["id"].as_str().unwrap());
    let ask = async |action: &str, body: Value| -> Answer {
        notebook.app.ask_as(&key, Method::POST, &format!("{other}/{action}"), &body).await
    };
    ask("execute", json!({"code": "secret = 'theirs'"})).await.json();
    ask("hibernate", json!({})).await.json();
    let theirs = notebook.objects().remove(0);
    let damages: [&dyn Fn(&Path); 3] = [
        &|path| {
            let mut bytes = std::fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(path, bytes).unwrap();
        },
        &|path| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        },
        &|path| {
            std::fs::copy(&theirs, path).unwrap();
        },
    ];
    for damage in damages {
        let kernel = notebook.another().await;
        let before = notebook.objects();
        notebook.prints(&kernel, "x = 1").await;
        notebook.hibernate(&kernel).await;
        let mut own = notebook.objects();
        own.retain(|path| !before.contains(path));
        assert_eq!(own.len(), 1);
        damage(&own[0]);
        let problem = notebook.post(&kernel, "execute", json!({"code": "x"})).await.problem(409, "conflict");
        assert!(problem["detail"].as_str().unwrap().contains("dead"), "{problem}");
        assert_eq!(notebook.show(&kernel).await["state"], "dead");
        notebook.post(&kernel, "fork", json!({})).await.problem(409, "conflict");
        notebook.post(&kernel, "restart", json!({})).await.json();
        assert_eq!(notebook.prints(&kernel, "print('x' in globals())").await, "False\n");
    }
    assert_eq!(ask("execute", json!({"code": "print(secret)"})).await.json()["stdout"], "theirs\n");
    notebook.app.stop().await;
}

/// Whoever runs the server may have mounted another directory: a kernel is not given up because its object is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_not_there_may_come_back() {
    let notebook = Notebook::open().await;
    notebook.run("x = 'kept'").await;
    notebook.hibernate(&notebook.kernel).await;
    let object = notebook.objects().remove(0);
    let away = notebook.app.data_dir.path().join("away");
    std::fs::rename(&object, &away).unwrap();
    let problem = notebook.post(&notebook.kernel, "execute", json!({"code": "x"})).await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("not in the object store"), "{problem}");
    assert_eq!(notebook.shown().await["state"], "hibernated");
    std::fs::rename(&away, &object).unwrap();
    assert_eq!(notebook.run("print(x)").await, "kept\n");
    // And it can be given up.
    notebook.hibernate(&notebook.kernel).await;
    notebook.objects().iter().for_each(|object| std::fs::remove_file(object).unwrap());
    notebook.post(&notebook.kernel, "restart", json!({})).await.json();
    assert_eq!(notebook.run("print('x' in globals())").await, "False\n");
    notebook.app.stop().await;
}

/// The object store is away for a while: kernels in memory go on, those that hibernate wait, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_store_that_is_away_comes_back() {
    let notebook = Notebook::open().await;
    notebook.run("x = 1").await;
    let sleeper = notebook.another().await;
    notebook.prints(&sleeper, "y = 2").await;
    notebook.hibernate(&sleeper).await;
    let (objects, away) = (notebook.app.data_dir.path().join("objects"), notebook.app.data_dir.path().join("away"));
    std::fs::rename(&objects, &away).unwrap();
    std::fs::write(&objects, "no directory").unwrap();
    assert_eq!(notebook.run("x += 1; print(x)").await, "2\n");
    notebook.post(&sleeper, "execute", json!({"code": "y"})).await.problem(503, "objects_unavailable");
    assert_eq!(notebook.show(&sleeper).await["state"], "hibernated");
    notebook.post(&notebook.kernel, "hibernate", json!({})).await.problem(503, "objects_unavailable");
    std::fs::remove_file(&objects).unwrap();
    std::fs::rename(&away, &objects).unwrap();
    assert_eq!(notebook.prints(&sleeper, "print(y)").await, "2\n");
    notebook.hibernate(&notebook.kernel).await;
    assert_eq!(notebook.run("print(x)").await, "2\n");
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tier_says_how_many_and_how_much() {
    let notebook = Notebook::open().await;
    let key = notebook.app.user("small").await;
    let mut made = Vec::new();
    let ask = async |path: &str, body: Value| notebook.app.ask_as(&key, Method::POST, path, &body).await;
    let first: Value = serde_json::from_str(&ask(KERNELS, json!({})).await.text).unwrap();
    made.push(first["id"].as_str().unwrap().to_owned());
    let fork = format!("{KERNELS}/{}/fork", made[0]);
    assert_eq!(ask(&fork, json!({"count": 99})).await.status, StatusCode::CREATED);
    // Two at once can't pass together.
    let (one, two) = tokio::join!(ask(&fork, json!({"count": 100})), ask(&fork, json!({"count": 100})));
    assert_eq!(
        [one.status, two.status].iter().filter(|status| **status == StatusCode::CREATED).count(),
        1,
        "{} {}",
        one.text,
        two.text
    );
    let problem = ask(KERNELS, json!({})).await.problem(409, "quota_exceeded");
    assert!(problem["detail"].as_str().unwrap().contains("200 kernels"), "{problem}");
    notebook.app.stop().await;
}

/// A kernel may grow after it was made: what it knows is kept in any case, and then it runs no more until there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kernels_that_have_grown_too_large_run_no_more() {
    let notebook = Notebook::open().await;
    let database = notebook.app.workspace.database();
    let mut tier = database.tiers().await.unwrap().into_iter().find(|tier| tier.name == "FREE").unwrap();
    // One of them takes nearly 4 MB: the number that the bytes were made of lies there, too.
    tier.quotas.kernel_bytes = 5_500_000;
    database.put_tier(&tier).await.unwrap();
    let key = notebook.app.user("small").await;
    let ask = async |method: Method, path: &str, body: Value| notebook.app.ask_as(&key, method, path, &body).await;
    let mut kernels = Vec::new();
    for _ in 0..2 {
        let made: Value = serde_json::from_str(&ask(Method::POST, KERNELS, json!({})).await.text).unwrap();
        kernels.push(format!("{KERNELS}/{}", made["id"].as_str().unwrap()));
        let fill = json!({"code": "import random; x = random.randbytes(1_200_000)"});
        ask(Method::POST, &format!("{}/execute", kernels.last().unwrap()), fill).await.json();
        ask(Method::POST, &format!("{}/hibernate", kernels.last().unwrap()), json!({})).await.json();
    }
    let cell = || json!({"code": "print(len(x))"});
    for kernel in &kernels {
        let problem = ask(Method::POST, &format!("{kernel}/execute"), cell()).await.problem(409, "quota_exceeded");
        assert!(problem["detail"].as_str().unwrap().contains("delete some"), "{problem}");
    }
    ask(Method::POST, KERNELS, json!({})).await.problem(409, "quota_exceeded");
    // The other user is not in the way, and what was refused is as it was.
    notebook.run("x = 1").await;
    assert_eq!(ask(Method::DELETE, &kernels[0], json!({})).await.status, StatusCode::NO_CONTENT);
    let report = ask(Method::POST, &format!("{}/execute", kernels[1]), cell()).await.json();
    assert_eq!(report["stdout"], "1200000\n");
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_needs_is_swept_up() {
    let notebook = Notebook::open().await;
    notebook.run("x = 1").await;
    notebook.hibernate(&notebook.kernel).await;
    let root = notebook.app.data_dir.path().join("objects");
    std::fs::write(root.join("kernels/0190-orphan"), "left by a crash").unwrap();
    std::fs::write(root.join("images").join("0".repeat(64)), "of no kernel").unwrap();
    let kernels = notebook.app.workspace.kernels();
    // What is young may be somebody's at this moment.
    kernels.sweep(Timestamp::now()).await.unwrap();
    assert_eq!((notebook.objects().len(), files(&root.join("images")).len()), (2, 2));
    kernels.sweep(Timestamp::now() + 48.hours()).await.unwrap();
    assert_eq!((notebook.objects().len(), files(&root.join("images")).len()), (1, 1));
    assert_eq!(notebook.run("print(x)").await, "1\n");
    // One that is in memory is used, and one that nobody has woken for long is gone.
    kernels.sweep(Timestamp::now() + (24 * 91).hours()).await.unwrap();
    assert_eq!(notebook.app.get(KERNELS).await.json()["total"], 1);
    notebook.hibernate(&notebook.kernel).await;
    kernels.sweep(Timestamp::now() + (24 * 91).hours()).await.unwrap();
    assert_eq!(notebook.app.get(KERNELS).await.json()["total"], 0);
    assert_eq!((notebook.objects().len(), files(&root.join("images")).len()), (0, 0));
    notebook.app.stop().await;
}

/// What was kept before a restart is of no state behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_what_was_kept() {
    let notebook = Notebook::open().await;
    notebook.run("old = 1").await;
    notebook.until_saved().await;
    notebook.post(&notebook.kernel, "restart", json!({})).await.json();
    notebook.hibernate(&notebook.kernel).await;
    // What it knew does not stay behind, either.
    for _ in 0..1000 {
        if notebook.objects().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(notebook.objects().is_empty(), "{:?}", notebook.objects());
    notebook.run("new = 2").await;
    notebook.hibernate(&notebook.kernel).await;
    assert_eq!(notebook.run("print('old' in globals(), new)").await, "False 2\n");
    notebook.app.stop().await;
}

/// Many cells leave few objects: what is forgotten does not stay for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_saves_leave_few_objects() {
    let config = KernelPolicy { kernel_bytes: 2 << 20, save_after_ms: 0, ..KernelPolicy::default() };
    let notebook = Notebook::with(config).await;
    for number in 0..40 {
        notebook.run(&format!("x = {number}; fill = bytearray(b'{number}' * 200_000)")).await;
        notebook.until_saved().await;
    }
    let count = notebook.objects().len();
    assert!(count <= 26, "{count} objects");
    notebook.hibernate(&notebook.kernel).await;
    assert_eq!(notebook.run("print(x, len(fill))").await, "39 400000\n");
    notebook.app.stop().await;
}
