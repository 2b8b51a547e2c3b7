//! Where there is no room, kernels give way: the one that was used longest ago first, and never one that runs.

use pymd::domain::KernelPolicy;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{KERNELS, Notebook};

const FILL: &str = "x = bytearray(b'x' * 12_000_000)";

fn states(list: &[Value]) -> Vec<&str> {
    list.iter().map(|kernel| kernel["state"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kernel_used_longest_ago_gives_way_and_wakes_when_it_is_wanted() {
    let notebook = Notebook::with(KernelPolicy { bytes: 64 << 20, ..KernelPolicy::default() }).await;
    notebook.run(FILL).await;
    for _ in 0..2 {
        let another = notebook.another().await;
        notebook.prints(&another, FILL).await;
    }
    notebook.until(|list| states(list) == ["hibernated", "idle", "idle"]).await;
    assert_eq!(notebook.run("print(len(x))").await, "12000000\n");
    notebook.until(|list| states(list) == ["idle", "hibernated", "idle"]).await;
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_so_many_in_memory() {
    let notebook = Notebook::open().await;
    let key = notebook.app.user("small").await;
    let ask = async |path: &str, body: Value| notebook.app.ask_as(&key, Method::POST, path, &body).await;
    let mut ids = Vec::new();
    for number in 0..22 {
        let made: Value = serde_json::from_str(&ask(KERNELS, json!({})).await.text).unwrap();
        let id = made["id"].as_str().unwrap().to_owned();
        ask(&format!("{KERNELS}/{id}/execute"), json!({"code": format!("x = {number}")})).await.json();
        ids.push(id);
    }
    while notebook.app.workspace.kernels().live_count() > 21 {
        tokio::task::yield_now().await;
    }
    let shown = notebook.app.ask_as(&key, Method::GET, &format!("{KERNELS}/{}", ids[0]), &json!({})).await.json();
    assert_eq!(shown["state"], "hibernated");
    let report = ask(&format!("{KERNELS}/{}/execute", ids[0]), json!({"code": "print(x)"})).await.json();
    assert_eq!(report["stdout"], "0\n");
    // The other user's has stayed.
    assert_eq!(notebook.shown().await["state"], "idle");
    notebook.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_eldest_checkpoints_give_way() {
    let config = KernelPolicy { kernel_bytes: 30 << 20, idle_ms: 0, ..KernelPolicy::default() };
    let notebook = Notebook::with(config).await;
    for number in 0..6 {
        notebook.run(&format!("x = bytearray(bytes([{}]) * 8_000_000)", number + 1)).await;
    }
    let kept = notebook.checkpoints().await;
    assert!((1..=4).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept.last().unwrap()["execution_count"], 6);
    let info = notebook.shown().await;
    assert!(info["size_bytes"].as_u64().unwrap() <= 30 << 20, "{info:?}");
    assert_eq!(info["checkpoint_id"], kept.last().unwrap()["id"]);
    assert_eq!(notebook.run("print(x[0], len(x))").await, "6 8000000\n");
    notebook.app.stop().await;
}

/// A checkpoint counts against the one before it in the list, wherever its kernel came from: what a branch holds of one that
/// is forgotten is not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_branch_holds_counts_when_its_origin_is_forgotten() {
    let notebook = Notebook::with(KernelPolicy { kernel_bytes: 30 << 20, ..KernelPolicy::default() }).await;
    let fill = "def fill(value):\n    made = bytearray(20_000_000)\n    for at in range(0, len(made), 512): made[at] = value\n    return made";
    notebook.run(fill).await;
    notebook.run("a = fill(1)").await;
    let filled = notebook.checkpoints().await.last().unwrap()["id"].clone();
    notebook.run("del a").await;
    notebook.post(&notebook.kernel, "restore", json!({"checkpoint_id": filled})).await.json();
    notebook.run("b = 1").await;
    notebook.run("c = fill(2)").await;
    assert_eq!(notebook.checkpoints().await.len(), 1);
    assert!(notebook.shown().await["size_bytes"].as_u64().unwrap() > 38 << 20);
    assert_eq!(notebook.run("print(a[0], b, c[0])").await, "1 1 2\n");
    notebook.app.stop().await;
}

/// What forks share counts once, and as long as one of them is there: also when the kernel that they are from has gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_forks_hold_counts_after_their_origin_has_gone() {
    let notebook = Notebook::with(KernelPolicy { bytes: 200 << 20, ..KernelPolicy::default() }).await;
    let mut forks = Vec::new();
    for _ in 0..5 {
        let kernel = notebook.another().await;
        notebook.prints(&kernel, "x = bytes([7]) * 60_000_000").await;
        let answer = notebook.post(&kernel, "fork", json!({"count": 15})).await;
        let made: Value = serde_json::from_str(&answer.text).unwrap();
        forks.push(made["kernels"][0]["id"].as_str().unwrap().to_owned());
        let gone = notebook.app.ask(Method::DELETE, &format!("{KERNELS}/{kernel}"), None).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
    }
    notebook.run("1").await;
    // Three generations of forks have room.
    while !(16..=46).contains(&notebook.app.workspace.kernels().live_count()) {
        tokio::task::yield_now().await;
    }
    for fork in [&forks[4], &forks[0]] {
        assert_eq!(notebook.prints(fork, "print(len(x), x[-1])").await, "60000000 7\n");
    }
    notebook.app.stop().await;
}

/// One user who fills the room does not push another's kernel out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_most_gives_way() {
    let notebook = Notebook::with(KernelPolicy { bytes: 64 << 20, ..KernelPolicy::default() }).await;
    let key = notebook.app.user("small").await;
    let ask = async |method: Method, path: &str, body: Value| notebook.app.ask_as(&key, method, path, &body).await;
    let made: Value = serde_json::from_str(&ask(Method::POST, KERNELS, json!({})).await.text).unwrap();
    let small = format!("{KERNELS}/{}", made["id"].as_str().unwrap());
    ask(Method::POST, &format!("{small}/execute"), json!({"code": "x = 'still here'"})).await.json();
    for _ in 0..4 {
        let another = notebook.another().await;
        notebook.prints(&another, FILL).await;
    }
    notebook.until(|list| states(list).contains(&"hibernated")).await;
    assert_eq!(ask(Method::GET, &small, json!({})).await.json()["state"], "idle");
    notebook.app.stop().await;
}

/// Whoever has most may be busy with all of it: then the others give way, rather than that the limit holds for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_largest_is_busy_others_give_way() {
    let notebook = Notebook::with(KernelPolicy { bytes: 40 << 20, ..KernelPolicy::default() }).await;
    let key = notebook.app.user("small").await;
    let ask = async |method: Method, path: &str, body: Value| notebook.app.ask_as(&key, method, path, &body).await;
    let mut small = Vec::new();
    for _ in 0..2 {
        let made: Value = serde_json::from_str(&ask(Method::POST, KERNELS, json!({})).await.text).unwrap();
        small.push(format!("{KERNELS}/{}", made["id"].as_str().unwrap()));
        ask(
            Method::POST,
            &format!("{}/execute", small.last().unwrap()),
            json!({"code": "x = bytearray(b'x' * 3_000_000)"}),
        )
        .await
        .json();
    }
    notebook.run(FILL).await;
    let body = json!({"code": "print('begun')\nwhile True: pass"});
    let mut events = notebook.app.stream(&format!("{KERNELS}/{}/execute", notebook.kernel), &body).await;
    while !String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()).contains("begun") {}
    // Somebody's cell ends, and all together take too much.
    let fill = json!({"code": "y = bytearray(b'y' * 6_000_000)"});
    ask(Method::POST, &format!("{}/execute", small[1]), fill).await.json();
    for _ in 0..1000 {
        let shown = ask(Method::GET, &small[0], json!({})).await.json();
        if shown["state"] == "hibernated" {
            drop(events);
            return notebook.app.stop().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the kernel that runs nothing stays: {}", ask(Method::GET, &small[0], json!({})).await.text);
}

/// Without an object store nobody can hibernate. Kernels go on as long as they can, and then the one that was used longest
/// ago is given up, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_can_be_saved_kernels_go_on_as_long_as_they_can() {
    let notebook = Notebook::with(KernelPolicy { bytes: 64 << 20, ..KernelPolicy::default() }).await;
    let objects = notebook.app.data_dir.path().join("objects");
    std::fs::remove_dir_all(&objects).unwrap();
    std::fs::write(&objects, "no directory").unwrap();
    notebook.run(FILL).await;
    notebook.post(&notebook.kernel, "hibernate", json!({})).await.problem(503, "objects_unavailable");
    assert_eq!(notebook.run("print(len(x))").await, "12000000\n");
    for _ in 0..6 {
        let another = notebook.another().await;
        notebook.prints(&another, FILL).await;
    }
    let list = notebook.until(|list| states(list).contains(&"dead")).await;
    assert_eq!(states(&list)[0], "dead");
    let problem = notebook.post(&notebook.kernel, "execute", json!({"code": "x"})).await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("restart"), "{problem}");
    notebook.post(&notebook.kernel, "restart", json!({})).await.json();
    assert_eq!(notebook.run("print(1)").await, "1\n");
    notebook.app.stop().await;
}
