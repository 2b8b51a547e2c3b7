//! The document in other formats than HTML.

mod archive;
mod json;
mod markdown;
mod notebook;

pub use archive::zip;
pub(super) use json::json;
pub(super) use markdown::markdown;
pub use markdown::{Asset, MarkdownFiles, markdown_files};
pub use notebook::notebook;
