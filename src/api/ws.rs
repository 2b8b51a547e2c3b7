//! `GET /api/v1/ws`: events over one WebSocket, of any number of things.
//!
//! Messages are JSON objects. The client sends `{"type": "subscribe", "job_id": ..., "after": 0}` and
//! `{"type": "unsubscribe", "job_id": ...}`. The server sends `{"version": 1, "type": ..., ...}`: `job_event` with `job_id`
//! and the `event` (its `seq` is where to go on after a break), `job_done` with the `job`, `error` with a `detail`.

use std::collections::HashMap;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures::{SinkExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::error::Problems;
use super::extract::Caller;
use super::guard::Credential;
use super::{ApiError, App, jobs};
use crate::domain::{Job, JobEvent, JobId, UserId};
use crate::jobs::SubscribeError;
use crate::service::ServiceError;

/// Of the shape of messages.
const VERSION: u32 = 1;
/// Things that one connection hears of.
const MAX_SUBSCRIPTIONS: usize = 64;
/// A message of a client is not longer.
const MAX_MESSAGE_BYTES: usize = 16 << 10;
/// Messages that wait for a reader.
const MAX_WAITING: usize = 64;
/// A reader that takes nothing for so long is cut off.
const PATIENCE: Duration = Duration::from_secs(20);
/// A connection with nothing to say says so, which finds clients that are gone.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Told to one whose key was revoked, or who was shut out.
const VOID: (u16, &str) = (close_code::POLICY, "the token is not accepted any more");

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    Subscribe {
        job_id: JobId,
        #[serde(default)]
        after: u64,
    },
    Unsubscribe {
        job_id: JobId,
    },
}

/// What a client is told.
#[derive(Debug, Serialize)]
struct Told {
    version: u32,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum What {
    JobEvent {
        job_id: JobId,
        event: JobEvent,
    },
    JobDone {
        job: Box<Job>,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        job_id: Option<JobId>,
        detail: String,
    },
}

impl What {
    fn message(self) -> Message {
        let told = Told { version: VERSION, what: self };
        // A structure of strings, numbers and JSON: writing it as JSON cannot fail.
        Message::Text(serde_json::to_string(&told).unwrap_or_default().into())
    }
}

/// Hear of jobs over a WebSocket.
#[utoipa::path(get, path = "/api/v1/ws", tag = "jobs", responses(
    (status = 101, description = "The connection: see the messages in the documentation of the server"), Problems))]
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
    let (sender, mut waiting) = mpsc::channel::<Message>(MAX_WAITING);
    let mut conversation = Conversation { app: app.clone(), user, sender, tasks: JoinSet::new(), open: HashMap::new() };
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.reset();
    let goodbye = loop {
        let message = tokio::select! {
            () = app.ended() => break Some((close_code::AWAY, "the server stops")),
            said = incoming.next() => match said {
                None | Some(Err(_) | Ok(Message::Close(_))) => break None,
                Some(Ok(Message::Text(_))) if credential.is_void(&app).await => break Some(VOID),
                Some(Ok(Message::Text(text))) => match conversation.hear(text.as_str()) {
                    Ok(()) => continue,
                    Err(detail) => What::Error { job_id: None, detail }.message(),
                },
                Some(Ok(Message::Binary(_))) => break Some((close_code::UNSUPPORTED, "messages are text")),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            },
            Some(message) = waiting.recv() => message,
            // Those that have ended make room for others.
            Some(_) = conversation.tasks.join_next() => continue,
            _ = ping.tick() => {
                if credential.is_void(&app).await {
                    break Some(VOID);
                }
                Message::Ping(Vec::new().into())
            }
        };
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

/// What a client has asked for. Dropped, nothing of it goes on.
struct Conversation {
    app: App,
    user: UserId,
    sender: mpsc::Sender<Message>,
    tasks: JoinSet<()>,
    open: HashMap<JobId, AbortHandle>,
}

impl Conversation {
    fn hear(&mut self, text: &str) -> Result<(), String> {
        match serde_json::from_str(text).map_err(|error| format!("the message is not understood: {error}"))? {
            Said::Unsubscribe { job_id } => {
                if let Some(task) = self.open.remove(&job_id) {
                    task.abort();
                }
            }
            Said::Subscribe { job_id, after } => {
                self.open.retain(|_, task| !task.is_finished());
                if self.open.len() >= MAX_SUBSCRIPTIONS && !self.open.contains_key(&job_id) {
                    return Err(format!("one connection hears of at most {MAX_SUBSCRIPTIONS} things at a time"));
                }
                let (app, user, sender) = (self.app.clone(), self.user, self.sender.clone());
                let task = self.tasks.spawn(async move {
                    // The connection is gone when nobody takes it.
                    let _ = follow(&app, user, job_id, after, &sender).await;
                });
                if let Some(earlier) = self.open.insert(job_id, task) {
                    earlier.abort();
                }
            }
        }
        Ok(())
    }
}

/// Tells what happens in a job until it ends. A reader who is too slow is told from where to go on.
async fn follow(
    app: &App,
    user: UserId,
    job_id: JobId,
    after: u64,
    sender: &mpsc::Sender<Message>,
) -> Result<(), mpsc::error::SendError<Message>> {
    let problem = |detail: String| What::Error { job_id: Some(job_id), detail }.message();
    let mut events = match jobs::subscribe(app, user, job_id, after).await {
        Ok(events) => std::pin::pin!(events),
        Err(error) => return sender.send(problem(error.detail().to_owned())).await,
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => sender.send(What::JobEvent { job_id, event }.message()).await?,
            Err(error @ SubscribeError::TooSlow { .. }) => return sender.send(problem(error.to_string())).await,
            Err(SubscribeError::Store(error)) => {
                return sender.send(problem(ServiceError::from(error).to_string())).await;
            }
        }
    }
    match app.workspace().job(user, job_id).await {
        Ok(job) => sender.send(What::JobDone { job: Box::new(job) }.message()).await,
        Err(error) => sender.send(problem(error.to_string())).await,
    }
}
