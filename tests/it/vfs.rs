//! The guest's file system and its system calls.

mod calls;
mod content;
mod differences;
mod guest;
mod hostile;
mod layers;
mod links;
mod listing;
mod names;
mod opening;
mod oracle;
mod quota;
mod waiting;
