//! `GET /api/v1/ws`: events over one WebSocket, of any number of jobs, kernels and documents.
//!
//! Messages are JSON objects ([`messages`]). The client subscribes to subjects; each subscription is a task ([`follow`])
//! that puts what it has to tell where it waits to be sent ([`outbox`]), within bounds: a client that does not read
//! holds up its own subscriptions only, and is cut off after a while.

mod follow;
mod messages;
mod outbox;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures::{SinkExt as _, StreamExt as _};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::error::Problems;
use super::extract::Caller;
use super::guard::Credential;
use super::{ApiError, App};
use crate::domain::UserId;
use messages::{Asked, Said, Subject, Told};
use outbox::{Outbox, Waiting};

/// Things that one connection hears of.
const MAX_SUBSCRIPTIONS: usize = 64;
/// A message of a client is not longer.
const MAX_MESSAGE_BYTES: usize = 16 << 10;
/// Messages that a client may send at once,
const MAX_AT_ONCE: u32 = 256;
/// and one more after each so long.
const ONE_MORE_EVERY: Duration = Duration::from_millis(50);
/// A reader that takes nothing for so long is cut off.
const PATIENCE: Duration = Duration::from_secs(20);
/// A connection with nothing to say says so, which finds clients that are gone.
const PING_EVERY: Duration = Duration::from_secs(30);
/// So often is asked whether the client is still let in: with what is remembered of that, one who was shut out is gone
/// within five seconds.
const CHECKED_EVERY: Duration = Duration::from_secs(2);

/// Told to one whose key was revoked, or who was shut out.
const VOID: (u16, &str) = (close_code::POLICY, "the token is not accepted any more");
/// Told to one who says too much.
const TOO_MANY: (u16, &str) = (close_code::POLICY, "too many messages");

/// Hear of jobs, kernels and documents over a WebSocket.
///
/// Messages are JSON objects. `{"type": "subscribe", "kernel_id": ...}` (or `document_id`, or `job_id`) subscribes;
/// with the `epoch` and, as `after`, the `seq` of the last event that was heard, what was missed is told first. An `id`
/// that is sent along is in all that is told of the subscription. `unsubscribe` ends it. The server sends `subscribed`,
/// or `reset` where what was missed can't be told, both with how the kernel or document is; then `kernel_event`
/// (a `KernelEvent`), `document_event` (a `DocumentEvent`), `job_event` (a `JobEvent`), each with its number; `job_done`;
/// `too_slow` to a client that did not take what was told; and `error`.
#[utoipa::path(get, path = "/api/v1/ws", tag = "jobs", responses(
    (status = 101, description = "The connection"), Problems))]
pub async fn connect(
    State(app): State<App>,
    Caller(user): Caller,
    Extension(credential): Extension<Credential>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|error| ApiError::bad_request(format!("This is for WebSockets: {error}.")))?;
    if app.is_draining() {
        return Err(ApiError::stopping());
    }
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    let connection = app.connection(user.id)?;
    Ok(upgrade.on_upgrade(async move |socket| {
        converse(app, user.id, credential, socket).await;
        drop(connection);
    }))
}

async fn converse(app: App, user: UserId, credential: Credential, socket: WebSocket) {
    let (mut out, mut incoming) = socket.split();
    let (outbox, mut waiting) = Outbox::new();
    let mut conversation =
        Conversation { app: app.clone(), user, outbox, tasks: JoinSet::new(), open: HashMap::new(), turns: 0 };
    let mut allowance = Allowance { left: MAX_AT_ONCE, since: Instant::now() };
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.reset();
    let mut check = tokio::time::interval(CHECKED_EVERY);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let goodbye = loop {
        // What was made room for is held until it is sent.
        let mut sent = None;
        let message = tokio::select! {
            () = app.ended() => break Some((close_code::AWAY, "the server stops")),
            said = incoming.next() => match said {
                None | Some(Err(_) | Ok(Message::Close(_))) => break None,
                Some(Ok(_)) if !allowance.take() => break Some(TOO_MANY),
                Some(Ok(Message::Text(_))) if credential.is_void(&app).await => break Some(VOID),
                Some(Ok(Message::Text(text))) => conversation.hear(text.as_str()),
                Some(Ok(Message::Binary(_))) => break Some((close_code::UNSUPPORTED, "messages are text")),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            },
            Some(next) = waiting.recv() => conversation.pass(sent.insert(next)),
            // Those that have ended are forgotten.
            Some(_) = conversation.tasks.join_next() => continue,
            _ = check.tick() => {
                if credential.is_void(&app).await {
                    break Some(VOID);
                }
                continue;
            }
            _ = ping.tick() => Some(Message::Ping(Vec::new().into())),
        };
        let Some(message) = message else { continue };
        match tokio::time::timeout(PATIENCE, out.send(message)).await {
            Ok(Ok(())) => {}
            // It is gone, or it does not read.
            _ => break None,
        }
    };
    if let Some((code, reason)) = goodbye {
        let frame = CloseFrame { code, reason: reason.into() };
        // A client that is gone hears nothing.
        let _ = tokio::time::timeout(Duration::from_secs(1), out.send(Message::Close(Some(frame)))).await;
    }
}

/// How much a client may say.
struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    /// One message; false where that is too many.
    fn take(&mut self) -> bool {
        while self.left < MAX_AT_ONCE && self.since.elapsed() >= ONE_MORE_EVERY {
            self.left += 1;
            self.since += ONE_MORE_EVERY;
        }
        if self.left == MAX_AT_ONCE {
            self.since = Instant::now();
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

/// What a client has asked for. Dropped, nothing of it goes on.
struct Conversation {
    app: App,
    user: UserId,
    outbox: Outbox,
    tasks: JoinSet<()>,
    /// What each subscription's number is, and how it is ended.
    open: HashMap<Subject, (u64, AbortHandle)>,
    turns: u64,
}

impl Conversation {
    /// Does what a client says; answers what is to be said at once.
    fn hear(&mut self, text: &str) -> Option<Message> {
        match Said::read(text) {
            Err(detail) => Some(Told::Error { code: "bad_message", detail: &detail }.message(None, None)),
            Ok(Said::Unsubscribe(subject)) => {
                if let Some((_, task)) = self.open.remove(&subject) {
                    task.abort();
                }
                Some(Told::Unsubscribed.message(None, Some(subject)))
            }
            Ok(Said::Subscribe(asked)) if self.is_full(asked.subject) => {
                let detail = format!("one connection hears of at most {MAX_SUBSCRIPTIONS} things at a time");
                Some(Told::Error { code: "too_many", detail: &detail }.about(&asked))
            }
            Ok(Said::Subscribe(asked)) => {
                self.begin(asked);
                None
            }
        }
    }

    fn is_full(&self, subject: Subject) -> bool {
        self.open.len() >= MAX_SUBSCRIPTIONS && !self.open.contains_key(&subject)
    }

    /// Begins a subscription in place of the one that there may be.
    fn begin(&mut self, asked: Asked) {
        self.turns += 1;
        let (app, user, turn, subject) = (self.app.clone(), self.user, self.turns, asked.subject);
        let place = self.outbox.place(asked, turn);
        let task = self.tasks.spawn(async move {
            // The connection is gone when nobody takes it.
            let _ = follow::follow(&app, user, &place).await;
        });
        if let Some((_, earlier)) = self.open.insert(subject, (turn, task)) {
            earlier.abort();
        }
    }

    /// What is to be sent of what waited: nothing of a subscription that was ended.
    fn pass(&mut self, next: &mut Waiting) -> Option<Message> {
        if self.open.get(&next.subject).is_none_or(|(turn, _)| *turn != next.turn) {
            return None;
        }
        if next.message.is_none() {
            self.open.remove(&next.subject);
        }
        next.message.take()
    }
}
