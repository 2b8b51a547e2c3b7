//! The threads that guests run on, and how they share them.
//!
//! Executor threads are a tokio runtime of their own: one worker a core, at a lower priority than the threads that
//! serve HTTP. A guest gives its thread back at every fuel yield, about five times a millisecond, and goes to the
//! end of the queue. On top of that round robin:
//!
//! - a cell is *young* until it has used [`YOUNG`] of processor time; while young cells want a thread, old ones hold
//!   back (for at most [`PATIENCE`] at a time, so nobody starves): a quick cell does not wait behind endless loops. A
//!   cell that sleeps wants none, or one sleeper would slow down everybody;
//! - a kernel with a CPU share below one core sleeps off what it used beyond it, after a first [`BURST`] for free.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Sleep;

/// Processor time after which a cell is no longer young.
const YOUNG: Duration = Duration::from_millis(20);
/// How long an old cell holds back for young ones before it takes a slice all the same.
const PATIENCE: Duration = Duration::from_millis(2);
/// Processor time a cell may use before its CPU share is enforced.
const BURST: Duration = Duration::from_millis(100);
/// The longest pause at a time: a cell that is paused sees neither its deadline nor that it is cancelled.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Slices after which a busy thread looks at its timers: pauses, deadlines, sleeping guests.
const TIMER_SLICES: u32 = 5;

/// The pool of executor threads. Dropping it ends them without waiting.
pub struct Executor {
    runtime: Option<Runtime>,
    awake: Arc<AtomicUsize>,
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
            .event_interval(TIMER_SLICES)
            .on_thread_start(|| {
                // Best effort: raising one's own nice value needs no privilege.
                let _ = rustix::process::nice(5);
            })
            .enable_time()
            .build()?;
        Ok(Self { runtime: Some(runtime), awake: Arc::default() })
    }

    /// Where tasks can be started.
    pub fn handle(&self) -> &Handle {
        self.runtime.as_ref().expect("only `drop` takes the runtime").handle()
    }

    /// `work` with its fair share of an executor thread.
    pub fn share<F: Future>(&self, work: F, cpu_share: f64) -> Shared<F> {
        Shared {
            work: Box::pin(work),
            young: Some(Young(Arc::new(Turn::new(&self.awake)))),
            awake: Arc::clone(&self.awake),
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

/// Whether a young cell has a thread or waits for one; it counts among those that do while it does.
struct Turn {
    state: AtomicU8,
    awake: Arc<AtomicUsize>,
    task: AtomicWaker,
}

/// It sleeps: it waits for something else than a thread.
const ASLEEP: u8 = 0;
/// It has a thread.
const RUNNING: u8 = 1;
/// It waits for one.
const WAITING: u8 = 2;
/// It is no longer young; whoever still holds its waker changes nothing.
const OVER: u8 = 3;

impl Turn {
    fn new(awake: &Arc<AtomicUsize>) -> Self {
        awake.fetch_add(1, Ordering::Relaxed);
        Self { state: AtomicU8::new(WAITING), awake: Arc::clone(awake), task: AtomicWaker::new() }
    }

    /// Becomes `to` where it may; the count follows.
    fn set(&self, to: u8) {
        let allowed = |now| match (now, to) {
            (OVER, _) => None,
            // It was woken while it ran.
            (WAITING, ASLEEP) => None,
            _ => Some(to),
        };
        let counts = |state| matches!(state, RUNNING | WAITING);
        if let Ok(before) = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, allowed) {
            match (counts(before), counts(to)) {
                (true, false) => drop(self.awake.fetch_sub(1, Ordering::Relaxed)),
                (false, true) => drop(self.awake.fetch_add(1, Ordering::Relaxed)),
                _ => (),
            }
        }
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set(WAITING);
        self.task.wake();
    }
}

/// Ends a cell's youth when it is dropped.
struct Young(Arc<Turn>);

impl Young {
    fn poll<F: Future>(&self, work: Pin<&mut F>, context: &Context<'_>) -> Poll<F::Output> {
        self.0.task.register(context.waker());
        self.0.set(RUNNING);
        let polled = work.poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.0))));
        self.0.set(ASLEEP);
        polled
    }
}

impl Drop for Young {
    fn drop(&mut self) {
        self.0.set(OVER);
    }
}

/// A future that takes only its share of the processor.
pub struct Shared<F> {
    work: Pin<Box<F>>,
    young: Option<Young>,
    /// How many young cells are awake.
    awake: Arc<AtomicUsize>,
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
                let pause = over.div_f64(self.cpu_share.max(0.01));
                return Some(pause.clamp(Duration::from_millis(1), LONGEST_PAUSE));
            }
        }
        (self.awake.load(Ordering::Relaxed) > 0).then_some(PATIENCE)
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
        let Self { work, young, .. } = &mut *self;
        let polled = match young {
            None => work.as_mut().poll(context),
            Some(young) => young.poll(work.as_mut(), context),
        };
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
