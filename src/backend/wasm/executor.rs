//! The threads that guests run on, and how they share them.
//!
//! There are two sets of executor threads, each a tokio runtime: *quick* ones, on which every cell begins, and *long*
//! ones, to which it moves when it has used [`QUICK`] of processor time. There is a long one a core, at the lowest
//! priority that the system knows, so that quick cells, and the threads that serve HTTP, take the processor from
//! endless loops at once, while an otherwise idle machine is all theirs. There are more quick ones than cores
//! ([`QUICK_THREADS`]): a fill of 400 MB is one instruction, and what began such a thing holds its thread, but not
//! those beside it, among which the system shares the cores. Beside two endless loops that took the p99 of a small
//! cell from 3 times its quiet value to 1.1 times.
//!
//! On either, a guest gives its thread back at every fuel yield, about five times a millisecond, and goes to the end of
//! the queue. A kernel with a CPU share below one core sleeps off what it used beyond it, after a first [`BURST`] for
//! free.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Sleep;

/// Processor time after which a cell is no longer quick.
const QUICK: Duration = Duration::from_millis(20);
/// Quick threads for each long one.
const QUICK_THREADS: usize = 4;
/// Processor time a cell may use before its CPU share is enforced.
const BURST: Duration = Duration::from_millis(100);
/// The longest pause at a time: a cell that is paused sees neither its deadline nor that it is cancelled.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Slices after which a busy thread looks at its timers: pauses, deadlines, sleeping guests.
const TIMER_SLICES: u32 = 5;
/// What the long threads add to their nice value. Raising one's own needs no privilege.
const LONG_NICENESS: i32 = 19;

/// How many slices a guest gets at a turn: one, or more where it is to get on more quickly than others. Clones share it; it
/// holds from the next turn on.
#[derive(Debug, Clone)]
pub struct Pace(Arc<AtomicU32>);

impl Default for Pace {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(1)))
    }
}

impl Pace {
    /// From now on so many, at least one.
    pub fn set(&self, slices: u32) {
        self.0.store(slices.max(1), Ordering::Relaxed);
    }

    fn slices(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The executor threads. Dropping it ends them without waiting.
pub struct Executor {
    quick: Threads,
    long: Threads,
}

impl Executor {
    /// Starts `threads` long threads, and the quick ones that go with them.
    ///
    /// # Errors
    /// What the system says when a thread can't be started.
    pub fn new(threads: usize) -> io::Result<Self> {
        let quick = Threads::start("quick", threads.saturating_mul(QUICK_THREADS), 0)?;
        Ok(Self { quick, long: Threads::start("long", threads, LONG_NICENESS)? })
    }

    /// Runs `work`, which takes at most `cpu_share` of a core in the long run. Dropping the future ends it.
    ///
    /// # Errors
    /// When the work panics, or the threads end.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
        cpu_share: f64,
        pace: Pace,
    ) -> Result<T, JoinError> {
        match self.quick.run(Quick(Some(Shared::new(work, cpu_share, pace)))).await? {
            Ended::Done(done) => Ok(done),
            Ended::Long(work) => self.long.run(work).await,
        }
    }

    /// Does a little work some time; nobody waits for it.
    pub fn later(&self, work: impl FnOnce() + Send + 'static) {
        self.quick.handle().spawn(async move { work() });
    }
}

/// Threads of one kind.
struct Threads(Option<Runtime>);

impl Threads {
    fn start(name: &str, threads: usize, niceness: i32) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name(name)
            .event_interval(TIMER_SLICES)
            .on_thread_start(move || {
                // Best effort: without it, long cells only share equally.
                let _ = rustix::process::nice(niceness);
            })
            .enable_time()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    fn handle(&self) -> &Handle {
        self.0.as_ref().expect("only `drop` takes the runtime").handle()
    }

    async fn run<F: Future<Output: Send> + Send + 'static>(&self, work: F) -> Result<F::Output, JoinError> {
        let mut task = AbortOnDrop(self.handle().spawn(work));
        (&mut task.0).await
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Work as long as it is quick.
struct Quick<T>(Option<Shared<T>>);

/// How the time on the quick threads ended.
enum Ended<T> {
    /// The work is done.
    Done(T),
    /// It was not quick: the rest of it.
    Long(Shared<T>),
}

impl<T> Future for Quick<T> {
    type Output = Ended<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended<T>> {
        let work = self.0.as_mut().expect("nobody polls a future that is done");
        match Pin::new(&mut *work).poll(context) {
            Poll::Ready(done) => Poll::Ready(Ended::Done(done)),
            Poll::Pending if work.used > QUICK => Poll::Ready(Ended::Long(self.0.take().expect("it is there"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Work that takes only its share of the processor.
struct Shared<T> {
    work: Pin<Box<dyn Future<Output = T> + Send>>,
    cpu_share: f64,
    pace: Pace,
    started: Instant,
    used: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<T> Shared<T> {
    fn new(work: impl Future<Output = T> + Send + 'static, cpu_share: f64, pace: Pace) -> Self {
        Self { work: Box::pin(work), cpu_share, pace, started: Instant::now(), used: Duration::ZERO, pause: None }
    }

    /// How long to hold back before the next slice.
    fn debt(&self) -> Option<Duration> {
        if self.cpu_share >= 1.0 {
            return None;
        }
        let share = self.cpu_share.max(0.01);
        let earned = BURST + self.started.elapsed().mul_f64(share);
        let over = self.used.checked_sub(earned)?;
        Some(over.div_f64(share).clamp(Duration::from_millis(1), LONGEST_PAUSE))
    }
}

impl<T> Future for Shared<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let turn = Instant::now();
        let mut polled = self.work.as_mut().poll(context);
        // (One that waits for something is asked in vain, which costs next to nothing.)
        for _ in 1..self.pace.slices() {
            if polled.is_ready() {
                break;
            }
            polled = self.work.as_mut().poll(context);
        }
        self.used += turn.elapsed();
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
