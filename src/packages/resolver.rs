//! Which versions go together.
//!
//! ```text
//! Request + Facts -> solve (pure) -> Solved | Needs (lists and metadata) | Failed
//! resolve: solve, fetch all that is needed at once, solve again, until it is solved or failed
//! ```
//!
//! # The rules
//! - Only wheels for any platform (`none-any`) whose tags and `Requires-Python` suit the target; nothing is built.
//! - The newest version that will do, but one that is installed is kept unless a requirement or an upgrade says otherwise.
//! - A distribution linked into the runtime is used wherever its version will do. Where it will not, a pure wheel from
//!   the index takes its place (and is listed); if there is none, the answer names the version that is linked in.
//! - Pre-releases: where all versions are, where a requirement, a constraint or the caller asks for them. A dependency's
//!   own mention of one lets them in only where no other version will do.
//! - Yanked files: only where `==` names exactly that version, with a warning (PEP 592).
//! - Versions without a pure wheel are passed over, with a warning, *within a major version*. That an older major
//!   version happens to have one does not make it what somebody wanted who named no version: then the answer says
//!   which package has native wheels only, and which older version would do if asked for. See [`solve`].
//! - The result depends on the facts alone, never on the order in which they came.

mod driver;
mod error;
mod explain;
mod facts;
mod graph;
mod links;
mod node;
mod policy;
mod ranges;
mod releases;
mod request;
mod resolution;
mod solver;
mod tale;
mod wording;

pub use driver::{Provider, resolve};
pub use error::{Explanation, Needed, NoPureWheel, ProviderError, ResolveError};
pub use facts::Facts;
pub use request::{Request, Root, Upgrade};
pub use resolution::{Resolution, ResolvedRoot, Warning};
pub use solver::{Need, Step, solve};
