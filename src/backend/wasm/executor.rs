//! The threads that guests run on, and how they share them.
//!
//! Executor threads are a tokio runtime of their own: one worker a core, at a lower priority than the threads that
//! serve HTTP. A guest gives its thread back at every fuel yield, about five times a millisecond, and goes to the
//! end of the queue. On top of that round robin:
//!
//! - a cell is *young* until it has used [`YOUNG`] of processor time; while young cells are about, old ones hold back
//!   (for at most [`PATIENCE`] at a time, so nobody starves): a quick cell does not wait behind endless loops;
//! - a kernel with a CPU share below one core sleeps off what it used beyond it, after a first [`BURST`] for free.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Sleep;

/// Processor time after which a cell is no longer young.
const YOUNG: Duration = Duration::from_millis(20);
/// How long an old cell holds back for young ones before it takes a slice all the same.
const PATIENCE: Duration = Duration::from_millis(2);
/// Processor time a cell may use before its CPU share is enforced.
const BURST: Duration = Duration::from_millis(100);

/// The pool of executor threads. Dropping it ends them without waiting.
pub struct Executor {
    runtime: Option<Runtime>,
    young: Arc<AtomicUsize>,
}

impl Executor {
    /// Starts `threads` executor threads.
    ///
    /// # Errors
    /// What the system says when a thread can't be started.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("executor")
            .on_thread_start(|| {
                // Best effort: raising one's own nice value needs no privilege.
                let _ = rustix::process::nice(5);
            })
            .enable_time()
            .build()?;
        Ok(Self { runtime: Some(runtime), young: Arc::default() })
    }

    /// Where tasks can be started.
    pub fn handle(&self) -> &Handle {
        self.runtime.as_ref().expect("only `drop` takes the runtime").handle()
    }

    /// `work` with its fair share of an executor thread.
    pub fn share<F: Future>(&self, work: F, cpu_share: f64) -> Shared<F> {
        self.young.fetch_add(1, Ordering::Relaxed);
        Shared {
            work: Box::pin(work),
            young: Some(YoungCell(Arc::clone(&self.young))),
            others: Arc::clone(&self.young),
            cpu_share,
            started: Instant::now(),
            used: Duration::ZERO,
            pause: None,
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Counts a cell as young for as long as it lives.
struct YoungCell(Arc<AtomicUsize>);

impl Drop for YoungCell {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A future that takes only its share of the processor.
pub struct Shared<F> {
    work: Pin<Box<F>>,
    young: Option<YoungCell>,
    others: Arc<AtomicUsize>,
    cpu_share: f64,
    started: Instant,
    used: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Shared<F> {
    /// How long to hold back before the next slice.
    fn debt(&self) -> Option<Duration> {
        if self.young.is_some() {
            return None;
        }
        if self.cpu_share < 1.0 {
            let earned = BURST + self.started.elapsed().mul_f64(self.cpu_share.max(0.01));
            if let Some(over) = self.used.checked_sub(earned) {
                return Some(over.div_f64(self.cpu_share.max(0.01)).max(Duration::from_millis(1)));
            }
        }
        (self.others.load(Ordering::Relaxed) > 0).then_some(PATIENCE)
    }
}

impl<F: Future> Future for Shared<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if let Some(pause) = &mut self.pause {
            match pause.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => self.pause = None,
            }
        }
        let slice = Instant::now();
        let polled = self.work.as_mut().poll(context);
        self.used += slice.elapsed();
        if self.young.is_some() && self.used > YOUNG {
            self.young = None;
        }
        if polled.is_pending()
            && let Some(debt) = self.debt()
        {
            let mut pause = Box::pin(tokio::time::sleep(debt));
            if pause.as_mut().poll(context).is_pending() {
                self.pause = Some(pause);
            }
        }
        polled
    }
}
