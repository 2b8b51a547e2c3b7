//! The page: one file that needs nothing else and runs nothing.

use std::borrow::Cow;

use crate::domain::CellReport;

use super::{Document, RenderOptions, Theme, html, outputs, settings, text};

/// The style sheet of a rendered document: everything in it is inside `.pymd`, light and dark.
pub const STYLE_SHEET: &str = include_str!("page.css");

/// Nothing may be loaded or run; images and videos only out of the page itself.
const POLICY: &str = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'; \
    form-action 'none'";

/// The colour schemes of a page that leaves the choice to the reader's system.
const BOTH: &str = "light dark";

/// Longer titles are cut.
const MAX_TITLE_CHARS: usize = 200;

/// The document as a page.
pub(super) fn page(document: &Document, reports: &[CellReport], options: &RenderOptions) -> String {
    let body = html::fragment(document, reports, options);
    let (scheme, style) = themed(settings(document).theme);
    let title = options.title.as_deref().or(document.title.as_deref()).map(escaped_title);
    let title = title.or_else(|| first_heading(&body)).unwrap_or_else(|| "Document".to_owned());
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"{scheme}\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body class=\"pymd-page\">\n\
         <main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// The colour schemes of a page, and its style sheet: one whose dark part holds always, never, or as the system has it.
fn themed(theme: Theme) -> (&'static str, Cow<'static, str>) {
    let (scheme, when) = match theme {
        Theme::Auto => return (BOTH, Cow::Borrowed(STYLE_SHEET)),
        Theme::Light => ("light", "not all"),
        Theme::Dark => ("dark", "all"),
    };
    let style = STYLE_SHEET.replace("(prefers-color-scheme: dark)", when);
    (scheme, Cow::Owned(style.replace(&format!("color-scheme: {BOTH}"), &format!("color-scheme: {scheme}"))))
}

fn escaped_title(title: &str) -> String {
    text::escape(&shortened(title))
}

fn shortened(title: &str) -> String {
    let words: Vec<_> = title.split_whitespace().take(MAX_TITLE_CHARS).collect();
    words.join(" ").chars().take(MAX_TITLE_CHARS).collect()
}

/// The text of the first heading of level 1, or else of any, as escaped HTML.
fn first_heading(body: &str) -> Option<String> {
    let of = |open: &str, close: &str| {
        let start = body.find(open)?;
        let inner = body[start..].find('>').map(|end| &body[start + end + 1..])?;
        let plain = outputs::plain_text(&inner[..inner.find(close)?]);
        Some(escaped_title(&plain)).filter(|title| !title.is_empty())
    };
    ["1", "2", "3"].iter().find_map(|level| of(&format!("<h{level}"), &format!("</h{level}>")))
}
