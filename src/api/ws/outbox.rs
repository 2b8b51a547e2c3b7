//! What waits for a client to be read: a few messages, and not many bytes of them.

use std::sync::Arc;

use axum::extract::ws::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::messages::{Asked, Subject, Told};

/// Messages that wait for a reader.
const MAX_WAITING: usize = 64;
/// And their bytes; a larger one waits alone.
const MAX_WAITING_BYTES: u32 = 1 << 20;

/// Something of a subscription that is to be sent.
pub struct Waiting {
    pub subject: Subject,
    /// Which subscription to it: an earlier one may be over.
    pub turn: u64,
    /// Nothing where the subscription is over.
    pub message: Option<Message>,
    _room: Option<OwnedSemaphorePermit>,
}

/// Where subscriptions put what they have to tell.
#[derive(Clone)]
pub struct Outbox {
    sender: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

/// The connection is gone.
#[derive(Debug)]
pub struct Gone;

impl Outbox {
    pub fn new() -> (Self, mpsc::Receiver<Waiting>) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self { sender, room: Arc::new(Semaphore::new(MAX_WAITING_BYTES as usize)) }, receiver)
    }

    /// The place for one subscription.
    pub fn place(&self, asked: Asked, turn: u64) -> Place {
        Place { outbox: self.clone(), asked, turn }
    }
}

/// Where one subscription puts what it has to tell.
pub struct Place {
    outbox: Outbox,
    pub asked: Asked,
    turn: u64,
}

impl Place {
    /// Waits until there is room.
    pub async fn tell(&self, told: Told<'_>) -> Result<(), Gone> {
        let message = told.about(&self.asked);
        let size = match &message {
            Message::Text(text) => u32::try_from(text.len()).unwrap_or(u32::MAX),
            _ => 0,
        };
        let room = Arc::clone(&self.outbox.room).acquire_many_owned(size.min(MAX_WAITING_BYTES));
        let room = room.await.map_err(|_| Gone)?;
        self.put(Some(message), Some(room)).await
    }

    /// Says that the subscription is over.
    pub async fn end(&self) -> Result<(), Gone> {
        self.put(None, None).await
    }

    async fn put(&self, message: Option<Message>, room: Option<OwnedSemaphorePermit>) -> Result<(), Gone> {
        let waiting = Waiting { subject: self.asked.subject, turn: self.turn, message, _room: room };
        self.outbox.sender.send(waiting).await.map_err(|_| Gone)
    }
}
