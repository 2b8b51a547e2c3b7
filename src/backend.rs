//! Where code runs. The boundary is data: requests go in, events and reports come out, all of it serde types of
//! [`crate::domain`], with no database handle, secret or HTTP type crossing.

mod events;
pub mod wasm;

pub use events::{EventReceiver, EventSender, Listener, Queued, event_channel};
