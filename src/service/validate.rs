//! Say what is wrong with a document, without running any of it.

use serde::{Deserialize, Serialize};

use super::render::off_the_server_threads;
use super::{Allowance, Service, ServiceError};
use crate::document::{self, Problem, Severity};

/// A document to check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidateRequest {
    /// The document, in either spelling.
    pub content: String,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ValidateReport {
    /// Whether nothing is wrong. Warnings leave a document valid.
    pub valid: bool,
    /// The findings, in the order of their lines.
    pub errors: Vec<Problem>,
}

impl Service {
    /// Checks a document's fences, and its cells' syntax with the runtime's own compiler.
    ///
    /// # Errors
    /// When the runtime is not ready or the check runs into the limits.
    pub async fn validate(
        &self,
        request: ValidateRequest,
        allowance: &Allowance,
    ) -> Result<ValidateReport, ServiceError> {
        let sandbox = self.sandbox()?;
        let _permit = self.0.admission.enter_as(&allowance.seat).await?;
        let (parsed, mut errors) =
            off_the_server_threads(move || (document::parse(&request.content), document::check(&request.content)))
                .await?;
        let cells = parsed.cells().map(|cell| (format!("cell {}", cell.index + 1), cell.code.to_owned())).collect();
        let found = sandbox.kernel()?.check(cells, allowance.limits.clone()).await?;
        let places: Vec<_> = parsed.cells().collect();
        for problem in found {
            // The numbers come from the guest: a cell that does not exist is nobody's.
            let Some(cell) = places.get(problem.cell) else { continue };
            let (line, column) = cell.position(problem.line as usize, problem.column as usize);
            errors.push(Problem { line, column, message: problem.message, severity: Severity::Error });
        }
        errors.sort_by_key(|problem| (problem.line, problem.column));
        let valid = errors.iter().all(|problem| problem.severity != Severity::Error);
        Ok(ValidateReport { valid, errors })
    }
}
