//! What is said to a browser to have a page printed (the Chrome DevTools protocol).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::PrintError;
use super::pipe::{Message, Pipe};

/// A larger PDF is not taken.
const MAX_PDF_BYTES: usize = 64 << 20;
/// It is read in pieces of so many bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Below each page: its number.
const FOOTER: &str = "<div style=\"width: 100%; text-align: center; font: 8px sans-serif; color: #666\">\
                      <span class=\"pageNumber\"></span> / <span class=\"totalPages\"></span></div>";

/// A tab of the browser.
struct Tab<'a> {
    pipe: &'a mut Pipe,
    session: Option<String>,
    has_loaded: bool,
}

/// The PDF of a page, by a browser that has just been started.
pub async fn print(pipe: &mut Pipe, page: String) -> Result<Vec<u8>, PrintError> {
    let mut tab = Tab { pipe, session: None, has_loaded: false };
    let made = tab.ask("Target.createTarget", json!({ "url": "about:blank" })).await?;
    let attach = json!({ "targetId": text(&made, "/targetId")?, "flatten": true });
    let attached = tab.ask("Target.attachToTarget", attach).await?;
    tab.session = Some(text(&attached, "/sessionId")?.to_owned());
    tab.ask("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await?;
    tab.ask("Fetch.enable", json!({ "patterns": [{ "urlPattern": "*" }] })).await?;
    tab.ask("Inspector.enable", json!({})).await?;
    tab.ask("Page.enable", json!({})).await?;
    let frames = tab.ask("Page.getFrameTree", json!({})).await?;
    let content = json!({ "frameId": text(&frames, "/frameTree/frame/id")?, "html": page });
    drop(page);
    // (That of the empty page may still have been on its way.)
    tab.has_loaded = false;
    tab.ask("Page.setDocumentContent", content).await?;
    while !tab.has_loaded {
        let message = tab.pipe.next().await?;
        tab.hear(&message).await?;
    }
    let how = json!({
        "printBackground": true,
        "preferCSSPageSize": true,
        "generateTaggedPDF": true,
        "generateDocumentOutline": true,
        "displayHeaderFooter": true,
        "headerTemplate": "<span></span>",
        "footerTemplate": FOOTER,
        "transferMode": "ReturnAsStream",
    });
    let printed = tab.ask("Page.printToPDF", how).await.map_err(|error| match error {
        // That a tab has crashed may be told after it.
        PrintError::Browser { what: "Page.printToPDF", reason } => {
            tracing::debug!(reason, "a page can't be printed");
            PrintError::GaveUp
        }
        error => error,
    })?;
    tab.read(text(&printed, "/stream")?).await
}

impl Tab<'_> {
    /// Sends a command, and waits for its answer.
    async fn ask(&mut self, method: &'static str, params: Value) -> Result<Value, PrintError> {
        let id = self.pipe.send(self.session.as_deref(), method, params).await?;
        loop {
            let message = self.pipe.next().await?;
            if message.id == Some(id) {
                return match message.error {
                    None => Ok(message.result),
                    Some(error) => Err(PrintError::Browser { what: method, reason: error.get().to_owned() }),
                };
            }
            self.hear(&message).await?;
        }
    }

    /// Takes notice of what happens.
    async fn hear(&mut self, message: &Message) -> Result<(), PrintError> {
        match message.method.as_str() {
            "Page.loadEventFired" => self.has_loaded = true,
            "Fetch.requestPaused" => {
                let refuse =
                    json!({ "requestId": text(&message.params, "/requestId")?, "errorReason": "AccessDenied" });
                self.pipe.send(self.session.as_deref(), "Fetch.failRequest", refuse).await?;
            }
            "Inspector.targetCrashed" | "Target.targetCrashed" => return Err(PrintError::GaveUp),
            _ => {}
        }
        Ok(())
    }

    async fn read(&mut self, stream: &str) -> Result<Vec<u8>, PrintError> {
        let mut pdf = Vec::new();
        loop {
            let piece = self.ask("IO.read", json!({ "handle": stream, "size": PIECE_BYTES })).await?;
            let data = text(&piece, "/data")?;
            if piece["base64Encoded"] == true {
                STANDARD.decode_vec(data, &mut pdf).map_err(|error| bad(error.to_string()))?;
            } else {
                pdf.extend_from_slice(data.as_bytes());
            }
            if pdf.len() > MAX_PDF_BYTES {
                return Err(PrintError::TooMuch { max_bytes: MAX_PDF_BYTES });
            }
            if piece["eof"] != false {
                return Ok(pdf);
            }
        }
    }
}

/// A text in what the browser says.
fn text<'v>(value: &'v Value, pointer: &str) -> Result<&'v str, PrintError> {
    value.pointer(pointer).and_then(Value::as_str).ok_or_else(|| bad(format!("there is no {pointer}")))
}

fn bad(reason: String) -> PrintError {
    PrintError::Browser { what: "can't be understood", reason }
}
