//! Run code once, in a kernel of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Allowance, RecordedCell, Recording, Service, ServiceError};
use crate::backend::EventSender;
use crate::backend::wasm::EnvironmentBase;
use crate::domain::{CellRequest, EnvironmentId, ExecuteReport, InputFile, LimitsRequest};

/// Code to run in a fresh kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecuteRequest {
    /// Python source.
    pub code: String,
    /// Limits below the caller's own.
    #[serde(default)]
    pub limits: LimitsRequest,
    /// What `input()` and `sys.stdin` read. Absent: end of file.
    #[serde(default)]
    pub stdin: Option<String>,
    /// Files to put into the working directory.
    #[serde(default)]
    pub files: Vec<RequestFile>,
    /// The environment to run in; absent: the caller's default one.
    #[serde(default)]
    pub environment_id: Option<EnvironmentId>,
}

/// A file of a request, as text or as base64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestFile {
    /// Relative path below the working directory.
    pub path: String,
    /// The content as text.
    #[serde(default)]
    pub content: Option<String>,
    /// The content in base64.
    #[serde(default)]
    pub content_base64: Option<String>,
}

impl RequestFile {
    fn decode(self) -> Result<InputFile, ServiceError> {
        let refuse = |message: &str| ServiceError::Invalid {
            field: "files".to_owned(),
            message: format!("{}: {message}", self.path),
        };
        let content = match (self.content, self.content_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(encoded)) => match STANDARD.decode(encoded) {
                Ok(content) => content,
                Err(error) => return Err(refuse(&format!("content_base64: {error}"))),
            },
            _ => return Err(refuse("give either content or content_base64")),
        };
        Ok(InputFile { path: self.path, content })
    }
}

impl Service {
    /// Runs code in a fresh kernel: of `environment`, or with what is linked into the runtime. Dropping the future ends
    /// the code. `recording` writes it down; `allowance` is whoever asks for it allowed.
    ///
    /// # Errors
    /// When the request can't be taken; what the code does is in the report.
    pub async fn execute(
        &self,
        request: ExecuteRequest,
        environment: Option<EnvironmentBase>,
        events: Option<EventSender>,
        recording: Option<&Recording>,
        allowance: &Allowance,
    ) -> Result<ExecuteReport, ServiceError> {
        let sandbox = self.sandbox()?;
        let limits = request.limits.within(&allowance.limits)?;
        let files = request.files.into_iter().map(RequestFile::decode).collect::<Result<Vec<_>, _>>()?;
        let permit = self.0.admission.enter_as(&allowance.seat).await?;
        let mut kernel = sandbox.kernel_for(environment.as_ref(), &request.code, &limits).await?;
        kernel.set_pace(permit.pace());
        kernel.put_files(&files, &limits)?;
        let stdin = request.stdin.unwrap_or_default().into_bytes();
        let cell = CellRequest { code: request.code, name: "cell 1".to_owned(), stdin, limits };
        let about = RecordedCell { name: &cell.name, code: &cell.code, ..RecordedCell::default() };
        let running = recording.map(|recording| recording.begin(about));
        let ran = kernel.run_once(cell, events, CancellationToken::new()).await;
        let execution_id = running.and_then(|running| running.end(ran.as_ref().ok()));
        Ok(ExecuteReport { execution_id, ..ran?.into() })
    }
}
