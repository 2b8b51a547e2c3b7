//! A queue of events from what runs to whoever watches it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::{Event, Output};

/// What can wait in a queue.
pub trait Queued: Sized {
    /// Takes `next` in, which came right after it, or gives it back.
    fn join(&mut self, next: Self) -> Option<Self>;
}

impl Queued for Event {
    fn join(&mut self, next: Self) -> Option<Self> {
        match (self, next) {
            (
                Self::Output { output: Output::Stream { name, text } },
                Self::Output { output: Output::Stream { name: next_name, text: next_text } },
            ) if *name == next_name => {
                text.push_str(&next_text);
                None
            }
            (_, next) => Some(next),
        }
    }
}

struct Queue<T> {
    events: VecDeque<T>,
    closed: bool,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    changed: Notify,
}

impl<T> Shared<T> {
    fn with<R>(&self, f: impl FnOnce(&mut Queue<T>) -> R) -> R {
        f(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Somebody else who hears what happens.
pub trait Listener<T>: Send + Sync {
    /// Whether there is anybody to hear it.
    fn listens(&self) -> bool;

    /// Hears it, without waiting for anything.
    fn hear(&self, event: &T);
}

/// The writer's end. Sending never waits: neighbouring texts of one stream join in the queue, so what waits there is
/// bounded by the output limits however slow the reader is.
pub struct EventSender<T = Event> {
    queue: Option<Arc<Shared<T>>>,
    listener: Option<Arc<dyn Listener<T>>>,
}

/// The reader's end.
pub struct EventReceiver<T = Event>(Arc<Shared<T>>);

/// A new queue.
pub fn event_channel<T: Queued>() -> (EventSender<T>, EventReceiver<T>) {
    let queue = Mutex::new(Queue { events: VecDeque::new(), closed: false });
    let shared = Arc::new(Shared { queue, changed: Notify::new() });
    (EventSender { queue: Some(Arc::clone(&shared)), listener: None }, EventReceiver(shared))
}

impl<T: Queued> EventSender<T> {
    /// Puts an event in.
    pub fn send(&self, event: T) {
        if let Some(listener) = self.listener.as_ref().filter(|listener| listener.listens()) {
            listener.hear(&event);
        }
        let Some(queue) = &self.queue else { return };
        queue.with(|queue| {
            let left = match queue.events.back_mut() {
                Some(last) => last.join(event),
                None => Some(event),
            };
            queue.events.extend(left);
        });
        queue.changed.notify_one();
    }
}

impl<T> EventSender<T> {
    /// What is sent there is heard by `listener`, too; or by nobody else, where there is no queue.
    #[must_use]
    pub fn with_listener(queue: Option<Self>, listener: Arc<dyn Listener<T>>) -> Self {
        Self { queue: queue.and_then(|mut sender| sender.queue.take()), listener: Some(listener) }
    }

    /// Whether what is sent goes anywhere.
    pub fn is_heard(&self) -> bool {
        self.queue.is_some() || self.listener.as_ref().is_some_and(|listener| listener.listens())
    }
}

impl<T> Drop for EventSender<T> {
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            queue.with(|queue| queue.closed = true);
            queue.changed.notify_one();
        }
    }
}

impl<T> EventReceiver<T> {
    /// The next event; nothing when the writer is gone and all has been read.
    pub async fn next(&mut self) -> Option<T> {
        loop {
            let (event, closed) = self.0.with(|queue| (queue.events.pop_front(), queue.closed));
            if event.is_some() || closed {
                return event;
            }
            self.0.changed.notified().await;
        }
    }
}
