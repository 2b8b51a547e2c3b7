//! The words of the system as plain data: no I/O, and nothing of ours imported.
//!
//! Everything here is a serde type, because it is what crosses the boundary between `service` and `backend`, and
//! what the REST API shows.

mod cell;
mod limits;
mod outcome;
mod output;

pub use cell::{CellReport, CellRequest, Event, ExecuteReport, InputFile};
pub use limits::{LimitError, Limits, LimitsRequest};
pub use outcome::Outcome;
pub use output::{MimeBundle, Output, StreamName};
