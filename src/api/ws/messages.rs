//! What is said over a WebSocket: JSON objects.

use axum::extract::ws::Message;
use serde::{Deserialize, Serialize};

use crate::domain::{
    DocumentEvent, DocumentId, DocumentStatus, Job, JobEvent, JobId, KernelEvent, KernelId, KernelInfo,
};
use crate::service::{Position, Start};

/// Of the shape of messages.
const VERSION: u32 = 1;
/// The name that a client gives to a subscription is not longer.
const MAX_NAME_BYTES: usize = 64;

/// What a client wants to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Subject {
    #[serde(rename = "job_id")]
    Job(JobId),
    #[serde(rename = "kernel_id")]
    Kernel(KernelId),
    #[serde(rename = "document_id")]
    Document(DocumentId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wish {
    Subscribe,
    Unsubscribe,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    r#type: Wish,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    job_id: Option<JobId>,
    #[serde(default)]
    kernel_id: Option<KernelId>,
    #[serde(default)]
    document_id: Option<DocumentId>,
    #[serde(default)]
    epoch: Option<String>,
    #[serde(default)]
    after: Option<u64>,
}

/// What a client says.
#[derive(Debug)]
pub enum Said {
    Subscribe(Asked),
    Unsubscribe(Subject),
}

/// A subscription that a client asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub subject: Subject,
    /// What the client calls it.
    pub name: Option<String>,
    epoch: Option<String>,
    after: Option<u64>,
}

impl Said {
    /// Reads a message; or says what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let text: Text =
            serde_json::from_str(text).map_err(|error| format!("the message is not understood: {error}"))?;
        let subject = match (text.job_id, text.kernel_id, text.document_id) {
            (Some(id), None, None) => Subject::Job(id),
            (None, Some(id), None) => Subject::Kernel(id),
            (None, None, Some(id)) => Subject::Document(id),
            _ => return Err("the message must have one of `job_id`, `kernel_id` and `document_id`".to_owned()),
        };
        if text.id.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES) {
            return Err(format!("an `id` has at most {MAX_NAME_BYTES} bytes"));
        }
        if text.r#type == Wish::Unsubscribe {
            return Ok(Self::Unsubscribe(subject));
        }
        let is_of_job = matches!(subject, Subject::Job(_));
        match (text.epoch.is_some(), text.after.is_some()) {
            (true, _) if is_of_job => return Err("the events of jobs have no `epoch`".to_owned()),
            (epoch, after) if epoch != after && !is_of_job => {
                return Err("`after` counts with its `epoch` only: send both, or none".to_owned());
            }
            _ => {}
        }
        Ok(Self::Subscribe(Asked { subject, name: text.id, epoch: text.epoch, after: text.after }))
    }
}

impl Asked {
    /// The number of the last event that the client has heard.
    pub fn after(&self) -> u64 {
        self.after.unwrap_or(0)
    }

    /// Where the client was.
    pub fn position(&self) -> Option<Position> {
        Some(Position { epoch: self.epoch.clone()?, after: self.after? })
    }
}

/// How something is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Now {
    Kernel(Box<KernelInfo>),
    Document(DocumentStatus),
}

/// What a client is told.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Told<'a> {
    /// The events after `seq` follow.
    Subscribed {
        epoch: &'a str,
        seq: u64,
        resumed: bool,
        #[serde(flatten)]
        now: Now,
    },
    /// What happened before can't be told any more: this is how it is, and the events after `seq` follow.
    Reset {
        reason: &'static str,
        epoch: &'a str,
        seq: u64,
        #[serde(flatten)]
        now: Now,
    },
    KernelEvent {
        epoch: &'a str,
        seq: u64,
        event: &'a KernelEvent,
    },
    DocumentEvent {
        epoch: &'a str,
        seq: u64,
        event: &'a DocumentEvent,
    },
    JobEvent {
        event: &'a JobEvent,
    },
    JobDone {
        job: &'a Job,
    },
    /// The subscription is over: more happened than was taken.
    TooSlow {
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<&'a str>,
        after: u64,
    },
    Unsubscribed,
    Error {
        code: &'a str,
        detail: &'a str,
    },
}

#[derive(Serialize)]
struct Envelope<'a> {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(flatten)]
    subject: Option<Subject>,
    #[serde(flatten)]
    told: &'a Told<'a>,
}

impl<'a> Told<'a> {
    /// How a subscription begins.
    pub fn beginning(start: Start, epoch: &'a str, seq: u64, now: Now) -> Self {
        let reason = match start {
            Start::Anew | Start::Resumed => {
                return Self::Subscribed { epoch, seq, resumed: start == Start::Resumed, now };
            }
            Start::Restarted => "epoch",
            Start::Gap => "gap",
        };
        Self::Reset { reason, epoch, seq, now }
    }

    /// As a message about a subject.
    pub fn about(&self, asked: &Asked) -> Message {
        self.message(asked.name.as_deref(), Some(asked.subject))
    }

    /// As a message.
    pub fn message(&self, id: Option<&str>, subject: Option<Subject>) -> Message {
        let envelope = Envelope { version: VERSION, id, subject, told: self };
        // A structure of strings, numbers and JSON: writing it as JSON cannot fail.
        Message::Text(serde_json::to_string(&envelope).unwrap_or_default().into())
    }
}
