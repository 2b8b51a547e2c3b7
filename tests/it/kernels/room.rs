//! Where there is no room, kernels give way: the one that was used longest ago first, and never one that runs.

use pymd::domain::{KernelState, UserId};
use pymd::service::{
    CreateKernel, ExecuteCell, ForkKernel, KernelConfig, Kernels, RestoreKernel, Service, ServiceConfig, ServiceError,
};

use crate::support::sandbox;

async fn kernels(config: KernelConfig) -> Kernels {
    let service = Service::new(ServiceConfig::default());
    service.set_ready(sandbox().await.clone(), "the runtime".to_owned(), "3".to_owned());
    Kernels::new(service, config)
}

fn cell(code: &str) -> ExecuteCell {
    ExecuteCell { code: code.to_owned(), ..ExecuteCell::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kernel_used_longest_ago_gives_way() {
    let kernels = kernels(KernelConfig { bytes: 100 << 20, ..KernelConfig::default() }).await;
    let user = UserId::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = kernels.create(user, CreateKernel::default(), None).await.unwrap().id;
        kernels.execute(user, id, cell("x = bytearray(b'x' * 20_000_000)"), None).await.unwrap();
        ids.push(id);
    }
    let states: Vec<_> = kernels.list(user).into_iter().map(|kernel| kernel.state).collect();
    assert_eq!(states, [KernelState::Dead, KernelState::Idle, KernelState::Idle]);
    let error = kernels.execute(user, ids[0], cell("x"), None).await.unwrap_err();
    assert!(matches!(error, ServiceError::Conflict { .. }) && error.to_string().contains("restart"), "{error}");
    assert!(kernels.fork(user, ids[0], &Default::default()).is_err());
    let alive = kernels.restart(user, ids[0]).await.unwrap();
    assert_eq!((alive.state, alive.execution_count, alive.size_bytes), (KernelState::Idle, 0, 0));
    let report = kernels.execute(user, ids[0], cell("print(1)"), None).await.unwrap();
    assert_eq!(report.stdout, "1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_eldest_checkpoints_give_way() {
    let kernels = kernels(KernelConfig { kernel_bytes: 30 << 20, idle_ms: 0, ..KernelConfig::default() }).await;
    let user = UserId::new();
    let id = kernels.create(user, CreateKernel::default(), None).await.unwrap().id;
    for number in 0..6 {
        let code = format!("x = bytearray(bytes([{}]) * 8_000_000)", number + 1);
        kernels.execute(user, id, cell(&code), None).await.unwrap();
    }
    let kept = kernels.checkpoints(user, id).unwrap();
    assert!((1..=4).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept.last().unwrap().execution_count, 6);
    let info = kernels.show(user, id).unwrap();
    assert!(info.size_bytes <= 30 << 20, "{info:?}");
    assert_eq!(info.checkpoint_id, Some(kept.last().unwrap().id));
    let report = kernels.execute(user, id, cell("print(x[0], len(x))"), None).await.unwrap();
    assert_eq!(report.stdout, "6 8000000\n");
}

/// A checkpoint counts against the one before it in the list, wherever its kernel came from: what a branch holds of one that
/// is forgotten is not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_branch_holds_counts_when_its_origin_is_forgotten() {
    let kernels = kernels(KernelConfig { kernel_bytes: 30 << 20, ..KernelConfig::default() }).await;
    let user = UserId::new();
    let id = kernels.create(user, CreateKernel::default(), None).await.unwrap().id;
    let run = async |code: &str| kernels.execute(user, id, cell(code), None).await.unwrap();
    run("def fill(value):\n    made = bytearray(20_000_000)\n    for at in range(0, len(made), 512): made[at] = value\n    return made")
        .await;
    run("a = fill(1)").await;
    let filled = kernels.checkpoints(user, id).unwrap().last().unwrap().id;
    run("del a").await;
    kernels.restore(user, id, RestoreKernel { checkpoint_id: filled }).await.unwrap();
    run("b = 1").await;
    run("c = fill(2)").await;
    let kept = kernels.checkpoints(user, id).unwrap();
    let info = kernels.show(user, id).unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(info.size_bytes > 38 << 20, "{info:?}");
    assert_eq!(run("print(a[0], b, c[0])").await.stdout, "1 1 2\n");
}

/// What forks share counts once, and as long as one of them is there: also when the kernel that they are from has gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_forks_hold_counts_after_their_origin_has_gone() {
    let kernels = kernels(KernelConfig { bytes: 200 << 20, ..KernelConfig::default() }).await;
    let user = UserId::new();
    for _ in 0..6 {
        let id = kernels.create(user, CreateKernel::default(), None).await.unwrap().id;
        kernels.execute(user, id, cell("x = bytes([7]) * 60_000_000"), None).await.unwrap();
        kernels.fork(user, id, &ForkKernel { count: Some(20) }).unwrap();
        kernels.delete(user, id).unwrap();
    }
    let last = kernels.create(user, CreateKernel::default(), None).await.unwrap().id;
    kernels.execute(user, last, cell("1"), None).await.unwrap();
    let list = kernels.list(user);
    let alive = list.iter().filter(|kernel| kernel.state != KernelState::Dead).count();
    assert!((21..=61).contains(&alive), "{alive} of {}", list.len());
    let fork = list.iter().rev().find(|kernel| kernel.forked_from.is_some()).unwrap();
    let report = kernels.execute(user, fork.id, cell("print(len(x), x[-1])"), None).await.unwrap();
    assert_eq!(report.stdout, "60000000 7\n");
}

/// One user who fills the room does not push another's kernel out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_most_gives_way() {
    let kernels = kernels(KernelConfig { bytes: 100 << 20, ..KernelConfig::default() }).await;
    let (small, large) = (UserId::new(), UserId::new());
    let kept = kernels.create(small, CreateKernel::default(), None).await.unwrap().id;
    kernels.execute(small, kept, cell("x = 'still here'"), None).await.unwrap();
    for _ in 0..4 {
        let id = kernels.create(large, CreateKernel::default(), None).await.unwrap().id;
        kernels.execute(large, id, cell("x = bytearray(b'x' * 20_000_000)"), None).await.unwrap();
    }
    assert!(kernels.list(large).iter().any(|kernel| kernel.state == KernelState::Dead));
    assert_eq!(kernels.execute(small, kept, cell("print(x)"), None).await.unwrap().stdout, "still here\n");
}
