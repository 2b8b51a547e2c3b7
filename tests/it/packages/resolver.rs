//! Which versions go together: the pure solver on made-up indexes, and the driver that fetches for it.

mod conflicts;
mod driver;
mod extras;
mod hostile;
mod oracle;
mod rules;
mod wheels;
mod world;
