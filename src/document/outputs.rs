//! What a cell showed, as HTML.

use serde_json::Value;

use crate::domain::{CellReport, MimeBundle, Outcome, Output, StreamName};

use super::highlight::Highlighter;
use super::markdown::{Breaks, to_html};
use super::mime::{self, Shown};
use super::tidy::Names;
use super::{CellOptions, sanitise, text};

/// A fragment that is longer takes no more prose and outputs.
const MAX_HTML_BYTES: usize = 64 << 20;

/// All Markdown that the cells of one document show, together.
const MAX_MARKDOWN_BYTES: usize = 4 << 20;

/// HTML of a cell with more markup than this is not shown as such.
const MAX_HTML_MARKUP: usize = 600_000;

/// The fragment being written.
pub(super) struct Context<'h> {
    /// It so far.
    pub out: String,
    /// The ids in it.
    pub names: Names,
    /// What highlights its code.
    pub highlighter: &'h Highlighter,
    /// Whether the fragment is as long as it may get.
    pub full: bool,
    /// How many bytes of Markdown outputs may still hold; longer ones are shown as text.
    pub markdown_left: usize,
}

impl<'h> Context<'h> {
    /// An empty fragment.
    pub fn new(highlighter: &'h Highlighter) -> Self {
        let names = Names::default();
        Self { out: String::new(), names, highlighter, full: false, markdown_left: MAX_MARKDOWN_BYTES }
    }

    /// Whether the fragment is as long as it may get. Says so, the first time.
    pub fn is_full(&mut self) -> bool {
        if self.out.len() > MAX_HTML_BYTES && !self.full {
            self.full = true;
            self.out.push_str("<p class=\"pymd-note\">The rest is left out: the document has become too long.</p>\n");
        }
        self.full
    }
}

/// Appends code to read.
pub(super) fn push_code(context: &mut Context<'_>, code: &str, language: Option<&str>) {
    let html = context.highlighter.html(code.trim_end(), language);
    context.out.push_str("<pre class=\"pymd-code\"><code");
    if let Some(language) = language {
        context.out.push_str(" class=\"language-");
        text::escape_into(&mut context.out, &language.split_whitespace().collect::<String>());
        context.out.push('"');
    }
    context.out.push('>');
    context.out.push_str(&html);
    context.out.push_str("</code></pre>\n");
}

/// Appends what a cell showed, as far as it wants that shown, and how it ended if that was not well.
pub(super) fn push_report(context: &mut Context<'_>, cell: usize, report: &CellReport, options: &CellOptions) {
    context.names.enter(Some(cell));
    let mut captions = options.fig_cap.iter();
    for output in report.outputs.iter().filter(|output| options.shows(output)) {
        if context.is_full() {
            return;
        }
        push_output(context, output, &mut captions);
    }
    let has_error = report.outputs.iter().any(|output| matches!(output, Output::Error { .. }));
    match &report.outcome {
        Outcome::PythonError { .. } if has_error => {}
        Outcome::PythonError { ename, evalue, traceback } => push_error(context, ename, evalue, traceback),
        outcome => {
            if let Some(sentence) = outcome.sentence() {
                let class = if outcome.is_limit() { "pymd-limit" } else { "pymd-stop" };
                context.out.push_str(&format!("<div class=\"{class}\"><p>"));
                text::escape_into(&mut context.out, &sentence);
                context.out.push_str("</p></div>\n");
            }
        }
    }
}

fn push_output(context: &mut Context<'_>, output: &Output, captions: &mut Captions<'_>) {
    match output {
        Output::Stream { name: StreamName::Stdout, text } => push_markdown(context, &text::plain(text), Breaks::Hard),
        Output::Stream { name: StreamName::Stderr, text } => push_pre(context, "pymd-stderr", text),
        Output::DisplayData { data, metadata, .. } | Output::ExecuteResult { data, metadata, .. } => {
            push_bundle(context, data, metadata, captions);
        }
        Output::Error { ename, evalue, traceback } => push_error(context, ename, evalue, traceback),
    }
}

/// The captions of the cell's figures to come.
pub(super) type Captions<'a> = std::slice::Iter<'a, String>;

fn push_bundle(context: &mut Context<'_>, data: &MimeBundle, metadata: &MimeBundle, captions: &mut Captions<'_>) {
    for shown in mime::by_richness(data) {
        match shown {
            Shown::Html(html) => {
                if html.bytes().filter(|byte| matches!(byte, b'<' | b'&')).count() > MAX_HTML_MARKUP {
                    continue;
                }
                let clean = sanitise::clean(&html, &mut context.names);
                if is_empty(&clean) {
                    // Nothing but scripts: the next representation may say more.
                    continue;
                }
                context.out.push_str("<div class=\"pymd-out\">\n");
                context.out.push_str(clean.trim());
                context.out.push_str("\n</div>\n");
            }
            Shown::Image { mime, url } => {
                push_image(context, &url, &Facts::of(metadata, mime).captioned(captions.next()))
            }
            Shown::Video(url) => {
                context.out.push_str(&format!("<figure class=\"pymd-figure\"><video controls src=\"{url}\"></video>"));
                push_caption(context, &Facts::of(metadata, "video/mp4").captioned(captions.next()));
            }
            Shown::Markdown(markdown) => push_markdown(context, &markdown, Breaks::Soft),
            Shown::Latex(latex) => {
                context.out.push_str("<pre class=\"pymd-math\"><code class=\"math\">");
                text::escape_into(&mut context.out, latex.trim());
                context.out.push_str("</code></pre>\n");
            }
            Shown::Json(json) => push_code(context, &json, Some("json")),
            Shown::Plain(plain) => push_pre(context, "pymd-text", &plain),
        }
        return;
    }
}

/// What the metadata say about an image.
pub(super) struct Facts<'a> {
    /// What stands in for it.
    pub alt: Option<&'a str>,
    /// What stands below it.
    pub caption: Option<&'a str>,
    width: Option<u64>,
    height: Option<u64>,
}

impl<'a> Facts<'a> {
    /// What the metadata say about the image of that type.
    pub fn of(metadata: &'a MimeBundle, mime: &str) -> Self {
        let own = metadata.get(mime).and_then(Value::as_object);
        let find = |name: &str| own.and_then(|own| own.get(name)).or_else(|| metadata.get(name));
        // Sizes are CSS pixels; what no screen has is no size.
        let size = |name: &str| find(name).and_then(Value::as_f64).filter(|size| (1.0..=20_000.0).contains(size));
        let string = |name: &str| find(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        Self {
            alt: string("alt"),
            caption: string("caption"),
            width: size("width").map(|size| size.round() as u64),
            height: size("height").map(|size| size.round() as u64),
        }
    }

    /// With the caption that the cell itself has for the figure, if any.
    pub fn captioned(self, caption: Option<&'a String>) -> Self {
        Self { caption: caption.map(String::as_str).or(self.caption), ..self }
    }
}

fn push_image(context: &mut Context<'_>, url: &str, facts: &Facts<'_>) {
    context.out.push_str("<figure class=\"pymd-figure\"><img src=\"");
    context.out.push_str(url);
    context.out.push_str("\" alt=\"");
    text::escape_into(&mut context.out, facts.alt.or(facts.caption).unwrap_or("Figure"));
    context.out.push('"');
    for (name, size) in [("width", facts.width), ("height", facts.height)] {
        if let Some(size) = size {
            context.out.push_str(&format!(" {name}=\"{size}\""));
        }
    }
    context.out.push('>');
    push_caption(context, facts);
}

fn push_caption(context: &mut Context<'_>, facts: &Facts<'_>) {
    if let Some(caption) = facts.caption {
        context.out.push_str("<figcaption>");
        text::escape_into(&mut context.out, caption);
        context.out.push_str("</figcaption>");
    }
    context.out.push_str("</figure>\n");
}

fn push_markdown(context: &mut Context<'_>, markdown: &str, breaks: Breaks) {
    let Some(left) = context.markdown_left.checked_sub(markdown.len()) else {
        push_pre(context, "pymd-text", markdown);
        return;
    };
    context.markdown_left = left;
    for html in to_html(markdown, breaks, context.highlighter) {
        if context.is_full() {
            return;
        }
        let clean = sanitise::clean(&html, &mut context.names);
        if !clean.trim().is_empty() {
            context.out.push_str("<div class=\"pymd-out\">\n");
            context.out.push_str(clean.trim());
            context.out.push_str("\n</div>\n");
        }
    }
}

fn push_pre(context: &mut Context<'_>, class: &str, content: &str) {
    let content = text::plain(content);
    if content.trim().is_empty() {
        return;
    }
    context.out.push_str(&format!("<pre class=\"{class}\">"));
    text::escape_into(&mut context.out, content.trim_end());
    context.out.push_str("</pre>\n");
}

fn push_error(context: &mut Context<'_>, ename: &str, evalue: &str, traceback: &[String]) {
    context.out.push_str("<div class=\"pymd-error\"><p class=\"pymd-error-title\"><strong>");
    text::escape_into(&mut context.out, &text::plain(ename));
    context.out.push_str("</strong>");
    if !evalue.is_empty() {
        context.out.push_str(": ");
        text::escape_into(&mut context.out, &text::plain(evalue));
    }
    context.out.push_str("</p>");
    let trace = joined(traceback);
    if !trace.trim().is_empty() {
        context.out.push_str("<pre class=\"pymd-traceback\">");
        text::escape_into(&mut context.out, trace.trim_end());
        context.out.push_str("</pre>");
    }
    context.out.push_str("</div>\n");
}

/// A traceback's lines as one text, whether or not they end in line feeds.
pub(super) fn joined(lines: &[String]) -> String {
    let mut all = String::new();
    for line in lines {
        all.push_str(&text::plain(line));
        if !all.ends_with('\n') {
            all.push('\n');
        }
    }
    all
}

/// Whether clean HTML shows nothing.
fn is_empty(html: &str) -> bool {
    if ["<img", "<video", "<hr", "<input", "<meter", "<progress"].iter().any(|tag| html.contains(tag)) {
        return false;
    }
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        if !rest[..at].trim().is_empty() {
            return false;
        }
        // In clean HTML, a `>` in an attribute is quoted as a character reference or stands before its own `>`.
        rest = rest[at..].find('>').map_or("", |end| &rest[at + end + 1..]);
    }
    rest.trim().is_empty()
}

/// The text of clean HTML, for titles.
pub(super) fn plain_text(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        rest = rest[at..].find('>').map_or("", |end| &rest[at + end + 1..]);
    }
    text.push_str(rest);
    // What the sanitiser wrote: these five, and numbers, are all the references that it uses.
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&nbsp;", " ").replace("&amp;", "&")
}
