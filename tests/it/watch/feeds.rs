//! Feeds themselves: what happens in the moment in which one is forgotten and another one begins.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use pymd::service::feeds::{Feeds, Told};

/// Something.
struct Said;

impl Told for Said {
    type Status = ();

    fn size_bytes(&self) -> usize {
        1
    }

    fn join(&mut self, next: Self) -> Option<Self> {
        Some(next)
    }

    fn status(&self) -> Option<&()> {
        None
    }

    fn is_last(&self) -> bool {
        false
    }
}

/// Somebody tells something while the feed that they found is forgotten, and one who comes then watches the next feed.
#[tokio::test]
async fn who_comes_while_a_feed_is_forgotten_misses_nothing() {
    let feeds = Feeds::<u8, Said>::kept_for(Duration::ZERO);
    let (watched, told_since) = (AtomicBool::new(false), AtomicUsize::new(0));
    let tell = || {
        feeds.tell(1, || {
            told_since.fetch_add(usize::from(watched.load(Ordering::SeqCst)), Ordering::SeqCst);
            Said
        });
    };
    drop(feeds.watch(1, None));
    let (mut watcher, _) = std::thread::scope(|scope| {
        let (begun, has_begun) = channel();
        let (go_on, may_go_on) = channel::<()>();
        let (done, is_done) = channel::<()>();
        let (feeds, watched) = (&feeds, &watched);
        // Whoever tells has the feed for themselves meanwhile.
        scope.spawn(move || {
            feeds.tell(1, || {
                begun.send(()).unwrap();
                may_go_on.recv().unwrap_err();
                Said
            });
        });
        has_begun.recv().unwrap();
        let second = scope.spawn(tell);
        // Nothing says that it has found the feed, and waits for it.
        is_done.recv_timeout(Duration::from_millis(50)).unwrap_err();
        let comes = scope.spawn(move || {
            feeds.sweep();
            let watch = feeds.watch(1, None);
            watched.store(true, Ordering::SeqCst);
            drop(done);
            watch
        });
        is_done.recv_timeout(Duration::from_millis(50)).unwrap_err();
        drop(go_on);
        second.join().unwrap();
        comes.join().unwrap()
    });
    tell();
    for _ in 0..told_since.load(Ordering::SeqCst) {
        tokio::time::timeout(super::PATIENCE, watcher.next()).await.expect("it was told").unwrap();
    }
    assert!(watcher.last() > 0);
}
