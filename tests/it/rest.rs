//! States at rest: what wakes is what was saved, to the byte; what is damaged, or of something else, is refused.

use pymd::backend::wasm::{Checkpoint, Digest, Ground, Kernel, SandboxConfig, WakeError};
use pymd::domain::{Limits, Outcome, StreamName};
use tokio_util::sync::CancellationToken;

use crate::environments::{Wheels, spec};
use crate::kernel::{cell, limits};
use crate::support::sandbox;
use crate::support::sandbox::own_sandbox;

async fn run(kernel: Kernel, code: &str) -> (Kernel, String) {
    let (kernel, report) = kernel.run(cell(code, limits()), None, CancellationToken::new()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{code}: {report:?}");
    (kernel, report.text(StreamName::Stdout))
}

/// The states behind each of these cells.
async fn states(mut kernel: Kernel, cells: &[&str]) -> Vec<Checkpoint> {
    let mut states = Vec::new();
    for code in cells {
        (kernel, _) = run(kernel, code).await;
        states.push(kernel.checkpoint());
    }
    states
}

async fn ground(state: &Checkpoint) -> Ground {
    sandbox().await.ground(None, state.image_digest()).await.unwrap()
}

async fn memory(state: &Checkpoint) -> Vec<u8> {
    sandbox().await.resume(state).unwrap().memory_image().unwrap()
}

/// Whether two states are one: in memory, in their files, and in what they do next.
async fn assert_same(one: &Checkpoint, other: &Checkpoint, look: &str) {
    assert_eq!((one.count(), one.memory_bytes()), (other.count(), other.memory_bytes()));
    assert!(memory(one).await == memory(other).await, "the memory differs");
    let sandbox = sandbox().await;
    let (left, seen) = run(sandbox.resume(one).unwrap(), look).await;
    let (right, also) = run(sandbox.resume(other).unwrap(), look).await;
    assert_eq!(seen, also);
    assert_eq!(left.checkpoint().count(), right.checkpoint().count());
}

const CELLS: [&str; 6] = [
    "import os, random\nx = [1]; g = (i * i for i in range(99)); next(g)\nlog = open('log', 'w+'); log.write('one\\n'); log.flush()",
    "x.append(2); next(g); os.mkdir('d'); os.symlink('../log', 'd/link'); open('d/big', 'wb').write(bytes(range(256)) * 1000)",
    "log.write('two\\n'); gone = open('gone', 'w+'); gone.write('still open'); gone.flush(); os.unlink('gone')",
    "fill = bytearray(b'f' * 9_000_000)\nf = open('d/big', 'r+b'); f.seek(100_000); f.write(b'changed'); f.flush()",
    "del fill; os.truncate('d/big', 70_000); os.rename('d/big', 'big'); names = os.scandir('.'); first = next(names).name",
    "x.append(random.random()); os.close(0)",
];
const LOOK: &str = "log.seek(0); gone.seek(0)\n\
    print(x, next(g), repr(log.read()), gone.read(), sorted(os.listdir('/work')), os.readlink('d/link'), os.stat('big').st_mtime_ns)\n\
    print(open('big', 'rb').read()[-9:], f.tell(), [n.name for n in names], random.random(), os.stat('big').st_ino, open('new', 'w').fileno())";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wakes_is_what_was_saved() {
    let cells = states(sandbox().await.kernel().unwrap(), &CELLS).await;
    let ground = ground(&cells[0]).await;
    let saved = Checkpoint::at_rest(&cells, None).unwrap();
    let woken = Checkpoint::wake(&saved.bytes, saved.digest, &ground, None).unwrap();
    assert_eq!(woken.len(), cells.len());
    for (one, other) in cells.iter().zip(&woken).skip(4) {
        assert_same(one, other, LOOK).await;
    }
    assert_same(&cells[1], &woken[1], "print(x, next(g), os.listdir('.'), open('d/big', 'rb').read()[-3:])").await;
    // What they share is shared again.
    let alone = |states: &[Checkpoint]| -> Vec<u64> {
        let before = std::iter::once(None).chain(states.iter().map(Some));
        states.iter().zip(before).map(|(state, before)| state.bytes_beyond(before)).collect()
    };
    for (was, is) in alone(&cells).into_iter().zip(alone(&woken)) {
        assert!(is <= was + was / 8 + 65_536, "{was} bytes became {is}");
    }
    // And saved again, they are the same bytes.
    assert_eq!(Checkpoint::at_rest(&woken, None).unwrap().digest, saved.digest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_later_is_saved_beside_what_was_saved_before() {
    let cells = states(sandbox().await.kernel().unwrap(), &CELLS).await;
    let ground = ground(&cells[0]).await;
    let whole = Checkpoint::at_rest(&cells, None).unwrap();
    let first = Checkpoint::at_rest(&cells[..2], None).unwrap();
    let rest = Checkpoint::at_rest(&cells[2..], Some(&cells[1])).unwrap();
    assert!(rest.bytes.len() < whole.bytes.len(), "{} of {}", rest.bytes.len(), whole.bytes.len());
    let woken = Checkpoint::wake(&first.bytes, first.digest, &ground, None).unwrap();
    let woken = Checkpoint::wake(&rest.bytes, rest.digest, &ground, woken.last()).unwrap();
    assert_same(&cells[5], woken.last().unwrap(), LOOK).await;
    // Without what came before, it is nothing.
    assert!(Checkpoint::wake(&rest.bytes, rest.digest, &ground, None).is_err());
}

/// A kernel that holds much goes on over an image of its own; what is saved of it lies over the first one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_kernels_wake_over_the_image_that_they_began_in() {
    let sandbox = sandbox().await;
    let fill = "import random\ndef fill(size):\n    return bytearray(random.randbytes(size))\na = fill(50_000_000)";
    let before = states(sandbox.kernel().unwrap(), &[fill]).await;
    let (kernel, _) =
        run(sandbox.resume(&before[0]).unwrap(), "a[::8192] = bytes(len(a[::8192])); b = fill(3_000_000)").await;
    let own = kernel.checkpoint();
    assert!(own.derived_image().is_some());
    let (kernel, _) = run(kernel, "del a; c = 1").await;
    let all = [before[0].clone(), own, kernel.checkpoint()];
    let saved = Checkpoint::at_rest(&all, None).unwrap();
    let first = Checkpoint::at_rest(&all[..1], None).unwrap().bytes.len();
    assert!(saved.bytes.len() < first + first / 3, "{first}, and {} with the others", saved.bytes.len());
    let woken = Checkpoint::wake(&saved.bytes, saved.digest, &ground(&all[0]).await, None).unwrap();
    assert!(woken.iter().all(|state| state.derived_image().is_none()));
    assert_same(
        &all[1],
        &woken[1],
        "import hashlib; print(hashlib.sha256(a).hexdigest(), hashlib.sha256(b).hexdigest())",
    )
    .await;
    assert_same(&all[2], &woken[2], "print('a' in globals(), c, len(b))").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_or_of_something_else_is_refused() {
    let cells = states(sandbox().await.kernel().unwrap(), &CELLS[..2]).await;
    let ground = ground(&cells[0]).await;
    let saved = Checkpoint::at_rest(&cells, None).unwrap();
    let wake = |bytes: &[u8], digest| Checkpoint::wake(bytes, digest, &ground, None);
    for at in (0..saved.bytes.len()).step_by(saved.bytes.len() / 50) {
        let mut flipped = saved.bytes.clone();
        flipped[at] ^= 1;
        assert!(matches!(wake(&flipped, saved.digest), Err(WakeError::Digest { .. })));
        // Also where somebody made the digest fit: an error, or a state, and never the end of the server.
        let _ = wake(&flipped, Digest::of(&flipped));
        let cut = &saved.bytes[..at];
        assert!(matches!(wake(cut, saved.digest), Err(WakeError::Digest { .. })));
        assert!(wake(cut, Digest::of(cut)).is_err());
    }
    let other = states(sandbox().await.kernel().unwrap(), &CELLS[..1]).await;
    let other = Checkpoint::at_rest(&other, None).unwrap();
    assert!(matches!(wake(&other.bytes, saved.digest), Err(WakeError::Digest { .. })));
    let image = cells[0].image_at_rest().unwrap();
    assert!(matches!(wake(&image.bytes, Digest::of(&image.bytes)), Err(WakeError::Kind)));
    // Another beginning.
    let warm = sandbox().await.kernel_for(None, "import numpy", &Limits::default()).await.unwrap().checkpoint();
    assert_ne!(warm.image_digest(), cells[0].image_digest());
    let warm = sandbox().await.ground(None, warm.image_digest()).await.unwrap();
    assert!(matches!(Checkpoint::wake(&saved.bytes, saved.digest, &warm, None), Err(WakeError::Image)));
    // Other files below.
    let wheels = Wheels::new();
    let environment = sandbox().await.environment(&spec(vec![wheels.module("other", "")], &[])).await.unwrap();
    let over = sandbox().await.ground(Some(&environment), cells[0].image_digest()).await.unwrap();
    assert!(matches!(Checkpoint::wake(&saved.bytes, saved.digest, &over, None), Err(WakeError::Files(_))));
}

/// Another server has made its own images, or a newer environment: the one that a kernel began in comes along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_comes_along() {
    let wheels = Wheels::new();
    let module = wheels.module("mod", "import random\nVALUE = random.random()\n");
    let here = sandbox().await;
    let environment = here.environment(&spec(vec![module.clone()], &["mod"])).await.unwrap();
    let kernel = here.kernel_for(Some(&environment), "", &limits()).await.unwrap();
    let (kernel, value) = run(kernel, "import mod; x = 5; print(mod.VALUE)").await;
    let state = kernel.checkpoint();
    let saved = Checkpoint::at_rest(std::slice::from_ref(&state), None).unwrap();
    let image = state.image_at_rest().unwrap();
    assert_eq!(image.digest, state.image_digest());

    let there = own_sandbox(SandboxConfig::default()).await;
    let other = there.environment(&spec(vec![module], &["mod", "json"])).await.unwrap();
    assert!(there.ground(Some(&other), image.digest).await.is_none());
    let mut flipped = image.bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(there.ground_of(Some(&other), &flipped, image.digest).is_err());
    let ground = there.ground_of(Some(&other), &image.bytes, image.digest).unwrap();
    // It is there once for all.
    assert!(there.ground(Some(&other), image.digest).await.is_some());
    let woken = Checkpoint::wake(&saved.bytes, saved.digest, &ground, None).unwrap();
    let (_, seen) = run(there.resume(&woken[0]).unwrap(), "print(mod.VALUE); assert x == 5").await;
    assert_eq!(seen, value);
}
