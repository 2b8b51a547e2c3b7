//! The last events of a thing, within bounds.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Told;

/// So many events are kept.
const MAX_EVENTS: usize = 1024;
/// And no more than about so many bytes of them, but the last one in any case.
const MAX_BYTES: usize = 2 << 20;
/// Events are not joined to larger ones than that.
const MAX_JOINED_BYTES: usize = 64 << 10;

struct Kept<E> {
    event: Arc<E>,
    size_bytes: usize,
}

/// The last events.
pub(super) struct Ring<E: Told> {
    /// Number of the last one.
    last: u64,
    events: VecDeque<Kept<E>>,
    size_bytes: usize,
    /// Number of the last one that somebody has: it is as it is.
    given: u64,
    status: Option<E::Status>,
    ended: bool,
    closed: bool,
}

impl<E: Told> Default for Ring<E> {
    fn default() -> Self {
        Self { last: 0, events: VecDeque::new(), size_bytes: 0, given: 0, status: None, ended: false, closed: false }
    }
}

impl<E: Told> Ring<E> {
    pub fn last(&self) -> u64 {
        self.last
    }

    pub fn status(&self) -> Option<&E::Status> {
        self.status.as_ref()
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether nothing can be put in any more: the feed is forgotten, and there may be another one by now.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Nothing is put in any more.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Notes how the thing was when it was first watched.
    pub fn note(&mut self, status: E::Status) {
        self.status.get_or_insert(status);
    }

    /// Whether all events after that number are there.
    pub fn reaches(&self, after: u64) -> bool {
        after >= self.before_first()
    }

    /// Puts an event in; answers the last number where there is a new event. What says nothing new is left out.
    pub fn push(&mut self, event: E) -> Option<u64> {
        let says_nothing = event.status().is_some_and(|status| self.status.as_ref() == Some(status));
        if self.ended || says_nothing {
            return None;
        }
        if let Some(status) = event.status() {
            self.status = Some(status.clone());
        }
        self.ended = event.is_last();
        let size_bytes = event.size_bytes();
        let event = self.join(event, size_bytes)?;
        self.last += 1;
        self.size_bytes += size_bytes;
        self.events.push_back(Kept { event: Arc::new(event), size_bytes });
        while self.events.len() > MAX_EVENTS || self.size_bytes > MAX_BYTES && self.events.len() > 1 {
            let eldest = self.events.pop_front()?;
            self.size_bytes -= eldest.size_bytes;
        }
        Some(self.last)
    }

    /// Joins an event to the last one, if nobody has that yet; or gives it back.
    fn join(&mut self, event: E, size_bytes: usize) -> Option<E> {
        let Some(last) = self.events.back_mut() else { return Some(event) };
        if self.given >= self.last || last.size_bytes.saturating_add(size_bytes) > MAX_JOINED_BYTES {
            return Some(event);
        }
        let Some(before) = Arc::get_mut(&mut last.event) else { return Some(event) };
        let left = before.join(event);
        if left.is_none() {
            last.size_bytes += size_bytes;
            self.size_bytes += size_bytes;
        }
        left
    }

    /// The event after that number, if there is one.
    pub fn after(&mut self, number: u64) -> Option<(u64, Arc<E>)> {
        let at = usize::try_from(number.checked_sub(self.before_first())?).ok()?;
        let event = Arc::clone(&self.events.get(at)?.event);
        let number = number + 1;
        self.given = self.given.max(number);
        Some((number, event))
    }

    fn before_first(&self) -> u64 {
        self.last - self.events.len() as u64
    }
}
