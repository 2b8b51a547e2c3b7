//! Syntax highlighting by CSS class, so that a page's colour scheme decides the colours.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use comrak::adapters::SyntaxHighlighterAdapter;
use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxReference, SyntaxSet};

use super::text;

/// Longer code is shown plain.
const MAX_CODE_BYTES: usize = 64 << 10;
/// Code with a longer line is shown plain: the rules of a grammar are regular expressions, run at every character.
const MAX_LINE_BYTES: usize = 2 << 10;
/// All highlighted code of one document, together.
const MAX_DOCUMENT_BYTES: usize = 128 << 10;
/// What is highlighted is kept, up to this size: a document that is being written is rendered again and again.
const MAX_KEPT_BYTES: usize = 4 << 20;

static SYNTAXES: LazyLock<SyntaxSet> = LazyLock::new(SyntaxSet::load_defaults_newlines);

/// Highlighted code by its syntax and text.
static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Kept {
    html: HashMap<(&'static str, String), Arc<str>>,
    bytes: usize,
}

/// Scopes to classes, the most telling first. An empty class ends the search: what is inside is no string any more.
static CLASSES: LazyLock<Vec<(Scope, &'static str)>> = LazyLock::new(|| {
    [
        ("comment", "hl-c"),
        ("constant.character.escape", "hl-e"),
        ("constant.other.placeholder", "hl-e"),
        ("meta.interpolation", ""),
        ("source.python.embedded", ""),
        ("string", "hl-s"),
        ("constant.numeric", "hl-n"),
        ("constant", "hl-l"),
        ("keyword.operator", "hl-o"),
        ("keyword", "hl-k"),
        ("storage", "hl-k"),
        ("entity.name.tag", "hl-k"),
        ("entity.name", "hl-f"),
        ("entity.other.attribute-name", "hl-a"),
        ("entity.other.inherited-class", "hl-f"),
        ("support", "hl-b"),
        ("variable.function", "hl-f"),
        ("variable.language", "hl-l"),
        ("variable.annotation", "hl-a"),
        ("meta.mapping.key", "hl-a"),
        ("markup.inserted", "hl-s"),
        ("markup.deleted", "hl-d"),
        ("markup.heading", "hl-k"),
    ]
    .into_iter()
    .filter_map(|(name, class)| Scope::new(name).ok().map(|scope| (scope, class)))
    .collect()
});

/// Loads the grammars and compiles what Python needs, some 50 ms, so that no reader waits for it.
pub fn warm_up() {
    let code = "@d\nasync def f(x: int = 1, *a) -> str:\n    \"\"\"d\"\"\"\n    return f'{x!r}' + \"s\" if x else [i**2 for i in a]  # c\n";
    Highlighter::default().html(code, Some("python"));
}

/// Highlights the code of one document, up to a budget.
#[derive(Debug)]
pub(super) struct Highlighter {
    left: AtomicUsize,
}

impl Default for Highlighter {
    fn default() -> Self {
        Self { left: AtomicUsize::new(MAX_DOCUMENT_BYTES) }
    }
}

impl Highlighter {
    /// The code as HTML for a `<code>` element: escaped, with `<span class="hl-...">` where the language is known.
    pub fn html(&self, code: &str, language: Option<&str>) -> String {
        let syntax = language.and_then(find_syntax);
        let is_small = code.len() <= MAX_CODE_BYTES && code.lines().all(|line| line.len() <= MAX_LINE_BYTES);
        let highlighted = syntax.filter(|_| is_small && self.take(code.len())).and_then(|syntax| kept(code, syntax));
        highlighted.map_or_else(|| text::escape(code), |html| html.to_string())
    }

    fn take(&self, bytes: usize) -> bool {
        let spend = |left: usize| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }
}

fn find_syntax(language: &str) -> Option<&'static SyntaxReference> {
    let language = language.to_ascii_lowercase();
    let token = match language.as_str() {
        "python3" | "py3" | "ipython" | "ipython3" | "pymd" | "pycon" => "python",
        "shell" | "console" | "zsh" => "bash",
        "jsonc" | "json5" | "ipynb" => "json",
        "typescript" | "ts" | "jsx" | "tsx" => "js",
        "text" | "txt" | "plain" | "" => return None,
        other => other,
    };
    SYNTAXES.find_syntax_by_token(token)
}

/// The highlighted code, from the last time if it can be.
fn kept(code: &str, syntax: &'static SyntaxReference) -> Option<Arc<str>> {
    let key = (syntax.name.as_str(), code.to_owned());
    if let Some(html) = KEPT.lock().unwrap_or_else(PoisonError::into_inner).html.get(&key) {
        return Some(html.clone());
    }
    let html: Arc<str> = spans(code, syntax)?.into();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = code.len() + html.len();
    if kept.bytes + bytes > MAX_KEPT_BYTES {
        *kept = Kept::default();
    }
    kept.bytes += bytes;
    kept.html.insert(key, html.clone());
    Some(html)
}

/// The highlighted code, or nothing where the grammar gives up on it.
fn spans(code: &str, syntax: &SyntaxReference) -> Option<String> {
    let mut state = ParseState::new(syntax);
    let mut stack = ScopeStack::new();
    let mut known = HashMap::new();
    let mut out = Spans { html: String::with_capacity(code.len() * 3), class: "", blanks: String::new() };
    for line in code.split_inclusive('\n') {
        let mut done = 0;
        for (at, change) in state.parse_line(line, &SYNTAXES).ok()? {
            out.push(line.get(done..at)?, class(&stack, &mut known));
            done = at;
            stack.apply(&change).ok()?;
        }
        out.push(line.get(done..)?, class(&stack, &mut known));
    }
    Some(out.finish())
}

/// The class of text in these scopes: what the innermost telling one says.
fn class(stack: &ScopeStack, known: &mut HashMap<Scope, Option<&'static str>>) -> &'static str {
    let of = |scope: &Scope| {
        *known
            .entry(*scope)
            .or_insert_with(|| CLASSES.iter().find(|(prefix, _)| prefix.is_prefix_of(*scope)).map(|(_, class)| *class))
    };
    stack.as_slice().iter().rev().take(64).find_map(of).unwrap_or("")
}

/// Text in which neighbours of one class share a span, and no span ends in blanks.
struct Spans {
    html: String,
    class: &'static str,
    blanks: String,
}

impl Spans {
    fn push(&mut self, text: &str, class: &'static str) {
        let inner = text.trim_ascii_end();
        if !inner.is_empty() {
            if class == self.class {
                self.push_blanks();
            } else {
                self.end();
                self.push_blanks();
                if !class.is_empty() {
                    self.html.push_str("<span class=\"");
                    self.html.push_str(class);
                    self.html.push_str("\">");
                }
                self.class = class;
            }
            text::escape_into(&mut self.html, inner);
        }
        self.blanks.push_str(&text[inner.len()..]);
    }

    fn push_blanks(&mut self) {
        self.html.push_str(&self.blanks);
        self.blanks.clear();
    }

    fn end(&mut self) {
        if !self.class.is_empty() {
            self.html.push_str("</span>");
        }
    }

    fn finish(mut self) -> String {
        self.end();
        self.push_blanks();
        self.html
    }
}

impl SyntaxHighlighterAdapter for Highlighter {
    fn write_highlighted(&self, output: &mut dyn fmt::Write, lang: Option<&str>, code: &str) -> fmt::Result {
        output.write_str(&self.html(code, lang))
    }

    fn write_pre_tag(
        &self,
        output: &mut dyn fmt::Write,
        _attributes: HashMap<&'static str, Cow<'_, str>>,
    ) -> fmt::Result {
        output.write_str("<pre class=\"pymd-code\">")
    }

    fn write_code_tag(
        &self,
        output: &mut dyn fmt::Write,
        attributes: HashMap<&'static str, Cow<'_, str>>,
    ) -> fmt::Result {
        match attributes.get("class") {
            Some(class) => write!(output, "<code class=\"{}\">", text::escape(class)),
            None => output.write_str("<code>"),
        }
    }
}
