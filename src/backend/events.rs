//! A queue of events from a running cell to whoever watches it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::{Event, Output};

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
}

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut Queue) -> T) -> T {
        f(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The cell's end. Sending never waits: neighbouring texts of one stream join in the queue, so what waits there is
/// bounded by the cell's output limit however slow the reader is.
pub struct EventSender(Arc<Shared>);

/// The reader's end.
pub struct EventReceiver(Arc<Shared>);

/// A new queue.
pub fn event_channel() -> (EventSender, EventReceiver) {
    let shared = Arc::<Shared>::default();
    (EventSender(Arc::clone(&shared)), EventReceiver(shared))
}

impl EventSender {
    /// Puts an event in.
    pub fn send(&self, event: Event) {
        self.0.with(|queue| {
            if let Event::Output { output: Output::Stream { name, text } } = &event
                && let Some(Event::Output { output: Output::Stream { name: last, text: before } }) =
                    queue.events.back_mut()
                && name == last
            {
                before.push_str(text);
            } else {
                queue.events.push_back(event);
            }
        });
        self.0.changed.notify_one();
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        self.0.with(|queue| queue.closed = true);
        self.0.changed.notify_one();
    }
}

impl EventReceiver {
    /// The next event; nothing when the cell is over and all has been read.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let (event, closed) = self.0.with(|queue| (queue.events.pop_front(), queue.closed));
            if event.is_some() || closed {
                return event;
            }
            self.0.changed.notified().await;
        }
    }
}
