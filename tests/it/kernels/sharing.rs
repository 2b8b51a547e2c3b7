//! Forks: all that the kernel knew, and then each its own way.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{KERNELS, Notebook};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forks_know_the_same_and_go_their_own_ways() {
    let notebook = Notebook::open().await;
    notebook
        .run("import random\nx = [0]\nf = open('file', 'w')\nf.write('before ')\ng = iter(range(9))\nnext(g)")
        .await;
    let forks = notebook.fork(3).await;
    let mut drawn = Vec::new();
    for (number, fork) in forks.iter().enumerate() {
        let code =
            format!("x.append({number}); f.write('{number}'); f.flush(); print(x, next(g), open('file').read())");
        assert_eq!(notebook.prints(fork, &code).await, format!("[0, {number}] 1 before {number}\n"));
        drawn.push(notebook.prints(fork, "print(random.random())").await);
    }
    drawn.push(notebook.run("print(random.random())").await);
    drawn.sort();
    drawn.dedup();
    assert_eq!(drawn.len(), 4, "random numbers of their own: {drawn:?}");
    assert_eq!(notebook.run("f.flush(); print(x, next(g), open('file').read())").await, "[0] 1 before \n");
    let list = notebook.app.get(KERNELS).await.json();
    assert_eq!(list["kernels"][2]["forked_from"], notebook.kernel.as_str());
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_forks_of_much_memory_hold_little_more_than_one() {
    let notebook = Notebook::open().await;
    notebook.run("import numpy as np\ntable = np.arange(6_000_000, dtype=np.int64)").await;
    let one = notebook.shown().await["size_bytes"].as_u64().unwrap();
    assert!(one > 48_000_000, "{one}");
    let forks = notebook.fork(100).await;
    for fork in forks.iter().step_by(20) {
        let sum = notebook.prints(fork, "table[0] = 5; print(int(table.sum()))").await;
        assert_eq!(sum, "17999997000005\n");
    }
    let list = notebook.app.get(&format!("{KERNELS}?page_size=100")).await.json();
    assert_eq!((list["total"].as_u64(), list["has_more"].as_bool()), (Some(101), Some(true)));
    let sizes = list["kernels"].as_array().unwrap().iter().map(|one| one["size_bytes"].as_u64().unwrap());
    let all: u64 = sizes.sum();
    assert!(all < one * 2, "{one} {all}");
    assert_eq!(notebook.run("print(int(table.sum()))").await, "17999997000000\n");
    notebook.app.stop().await;
}

/// What forks share stays as long as one of them is there, also one that was not saved yet when the last other was deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_that_runs_while_the_others_are_deleted_keeps_what_they_shared() {
    let notebook = Notebook::open().await;
    notebook.run("x = 'shared'").await;
    let forks = notebook.fork(2).await;
    let code = "import time\nprint('begun', flush=True)\ntime.sleep(2)";
    let path = format!("{KERNELS}/{}/execute", forks[0]);
    let mut events = notebook.app.stream(&path, &json!({"code": code})).await;
    while !String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()).contains("begun") {}
    notebook.until(|list| list.iter().any(|one| one["id"] == *forks[1] && one["saved"] == true)).await;
    let gone = notebook.app.ask(Method::DELETE, &format!("{KERNELS}/{}", forks[1]), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    while events.chunk().await.unwrap().is_some() {}
    let asleep = notebook.post(&forks[0], "hibernate", json!({})).await.json();
    assert_eq!(asleep["state"], "hibernated");
    assert_eq!(notebook.prints(&forks[0], "print(x)").await, "shared\n");
    notebook.app.stop().await;
}
