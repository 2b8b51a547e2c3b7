//! Messages to a browser and back: JSON, each with a NUL behind it.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};

use super::PrintError;

/// The browser sends nothing longer that we ask for.
const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// Both directions of the talk with a browser.
pub struct Pipe {
    input: ChildStdin,
    output: ChildStdout,
    /// What was read; up to `seen` there is no end of a message.
    read: Vec<u8>,
    seen: usize,
    sent: u64,
}

/// What the browser says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Which command it answers, if any.
    pub id: Option<u64>,
    /// What happened, if it answers none.
    #[serde(default)]
    pub method: String,
    /// What is known of that.
    #[serde(default)]
    pub params: Value,
    /// The answer.
    #[serde(default)]
    pub result: Value,
    /// Why there is none.
    pub error: Option<Box<RawValue>>,
}

impl Pipe {
    pub fn new(input: ChildStdin, output: ChildStdout) -> Self {
        Self { input, output, read: Vec::new(), seen: 0, sent: 0 }
    }

    /// Sends a command and tells its number.
    pub async fn send(&mut self, session: Option<&str>, method: &str, params: Value) -> Result<u64, PrintError> {
        self.sent += 1;
        let mut command = serde_json::json!({ "id": self.sent, "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let mut text = command.to_string().into_bytes();
        text.push(0);
        let written = async {
            self.input.write_all(&text).await?;
            self.input.flush().await
        };
        written.await.map_err(|error| PrintError::Browser { what: "went away", reason: error.to_string() })?;
        Ok(self.sent)
    }

    /// The next message.
    pub async fn next(&mut self) -> Result<Message, PrintError> {
        let bad = |reason: String| PrintError::Browser { what: "can't be understood", reason };
        loop {
            if let Some(at) = self.read[self.seen..].iter().position(|byte| *byte == 0) {
                let rest = self.read.split_off(self.seen + at + 1);
                let message = std::mem::replace(&mut self.read, rest);
                self.seen = 0;
                return serde_json::from_slice(&message[..message.len() - 1]).map_err(|error| bad(error.to_string()));
            }
            self.seen = self.read.len();
            if self.seen > MAX_MESSAGE_BYTES {
                return Err(bad(format!("a message has more than {MAX_MESSAGE_BYTES} bytes")));
            }
            let read = self.output.read_buf(&mut self.read).await;
            if matches!(read, Ok(0) | Err(_)) {
                return Err(PrintError::Browser { what: "ended", reason: "before the page was printed".to_owned() });
            }
        }
    }
}
