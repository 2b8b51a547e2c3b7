//! The scanner: one pass over the lines, which gives the blocks and, on the way, what is wrong with them.

use std::collections::HashMap;

use super::check::{Problem, Severity};
use super::fence::Fence;
use super::lines::{self, Lines};
use super::options::{self, Wrong};
use super::{Block, Document, Spelling, front, needs, script, settings, spelling};

/// More problems than these are not collected.
const MAX_PROBLEMS: usize = 1_000;

/// Splits a document into its blocks. Every text is a document: what is wrong with it, [`super::check`] says.
///
/// - An unclosed block reaches to the end of the document.
/// - Three backticks open a cell, unless another language than Python is named; four or more, and tildes, a display,
///   unless `{python}` or `{}` says that it is a cell.
/// - In the commented spelling, a line outside the blocks that is neither blank nor a comment is prose; a bare fence
///   is a fence, and only a bare fence closes what it opens; a display block that holds nothing but comments (the
///   only way to show other things than Python in a valid Python file) is shown without the comment marks.
pub fn parse(source: &str) -> Document {
    scan(source).0
}

/// The document and its problems, in order of their lines.
pub(super) fn scan(source: &str) -> (Document, Vec<Problem>) {
    let lines = Lines::of(source);
    let front = front::find(lines.clone());
    let start = front.as_ref().map_or(0, |front| front.end);
    let script = script::find(lines.clone());
    let lines_of_script = script.as_ref().map(|script| script.lines.clone()).unwrap_or_default();
    let spelling = spelling::detect(lines.clone().skip(start));
    let mut scanner = Scanner {
        spelling,
        blocks: Vec::new(),
        cells: 0,
        labels: HashMap::new(),
        prose: None,
        open: None,
        problems: Vec::new(),
    };
    let mut script_stands_outside = false;
    for (index, line) in lines.enumerate().skip(start) {
        // In a cell it is a comment like any other.
        if scanner.open.is_some() || !lines_of_script.contains(&index) {
            scanner.line(index, line);
        } else {
            script_stands_outside = true;
        }
    }
    scanner.finish();
    if let Some(front) = &front {
        for wrong in settings::read(&front.yaml).1 {
            scanner.warning(front.start + 2 + wrong.index, 1, wrong.message);
        }
    }
    scanner.problems.extend(needs::needs(source).err());
    // What a cell's first lines say is known at its end only, after what is wrong inside it.
    scanner.problems.sort_by_key(|problem| problem.line);
    let (yaml, title) = front.map_or((None, None), |front| (Some(front.yaml), front.title));
    // Above the front matter it stands outside too.
    script_stands_outside |= lines_of_script.start < start;
    let script_metadata = script.filter(|_| script_stands_outside).map(|script| script.toml);
    let document = Document { spelling, front_matter: yaml, title, script_metadata, blocks: scanner.blocks };
    (document, scanner.problems)
}

struct Scanner<'a> {
    spelling: Spelling,
    blocks: Vec<Block>,
    cells: usize,
    /// The labels of the cells so far, and their lines.
    labels: HashMap<String, usize>,
    /// The prose being read, and the line where it began.
    prose: Option<(String, usize)>,
    open: Option<OpenBlock<'a>>,
    problems: Vec<Problem>,
}

struct OpenBlock<'a> {
    fence: Fence<'a>,
    /// Whether the fence stands in a comment.
    commented: bool,
    /// Line and column of the fence.
    place: (usize, usize),
    code: String,
    removed: Vec<u8>,
    /// Whether every line so far is blank or a comment.
    only_comments: bool,
}

impl<'a> Scanner<'a> {
    fn line(&mut self, index: usize, line: &'a str) {
        if self.open.is_some() {
            self.code_line(index, line);
        } else {
            self.prose_line(index, line);
        }
    }

    fn prose_line(&mut self, index: usize, line: &'a str) {
        let comment = lines::uncomment(line);
        let bare_fence = Fence::find(line);
        let found = match self.spelling {
            Spelling::Plain => bare_fence.map(|fence| (fence, false)),
            Spelling::Commented => {
                comment.and_then(Fence::find).map(|fence| (fence, true)).or(bare_fence.map(|fence| (fence, false)))
            }
        };
        if let Some((fence, commented)) = found {
            self.opens(index, line, fence, commented);
            return;
        }
        if lines::is_dropped(line) {
            return;
        }
        let text = match self.spelling {
            Spelling::Plain => {
                if comment.and_then(Fence::find).is_some() {
                    self.problem(
                        index,
                        line,
                        Severity::Warning,
                        "this fence stands in a comment, but the document's \
                        other fences stand bare: it is shown as a heading"
                            .to_owned(),
                    );
                }
                line
            }
            Spelling::Commented if lines::is_import(line) || lines::is_script_header(index, line) => return,
            Spelling::Commented => match comment {
                Some(text) if lines::is_dropped(text) => return,
                Some(text) => text,
                None => {
                    if !line.trim().is_empty() {
                        self.problem(
                            index,
                            line,
                            Severity::Warning,
                            "this line is neither a comment nor in a block: \
                            it is shown as text and does not run"
                                .to_owned(),
                        );
                    }
                    line
                }
            },
        };
        self.prose_text(index, text);
    }

    fn prose_text(&mut self, index: usize, text: &str) {
        if self.prose.is_none() && text.trim().is_empty() {
            return;
        }
        let (prose, _) = self.prose.get_or_insert_with(|| (String::new(), index + 1));
        prose.push_str(text);
        prose.push('\n');
    }

    fn opens(&mut self, index: usize, line: &str, fence: Fence<'a>, commented: bool) {
        self.end_prose();
        if !commented && self.spelling == Spelling::Commented {
            self.problem(
                index,
                line,
                Severity::Error,
                format!(
                    "this fence stands bare, but the document's other fences stand in comments: write `# {}`",
                    fence.marks()
                ),
            );
        }
        self.open = Some(OpenBlock {
            fence,
            commented,
            place: (index + 1, lines::first_column(line)),
            code: String::new(),
            removed: Vec::new(),
            only_comments: true,
        });
    }

    fn code_line(&mut self, index: usize, line: &'a str) {
        let Some(open) = &mut self.open else { return };
        let text = if open.commented { lines::uncomment(line) } else { Some(line) };
        let fence = text.and_then(Fence::find);
        if let Some(fence) = fence
            && fence.closes(&open.fence)
        {
            let longer = (fence.length > open.fence.length).then(|| (fence.marks(), open.fence.marks(), open.place.0));
            if let Some((marks, opening, at)) = longer {
                self.problem(
                    index,
                    line,
                    Severity::Warning,
                    format!("{marks} closes the block that {opening} opened on line {at}: is that meant?"),
                );
            }
            self.end_block();
            return;
        }
        let indent = if open.commented { 0 } else { open.fence.indent };
        let removed = line.bytes().take(indent).take_while(|byte| *byte == b' ').count();
        open.code.push_str(&line[removed..]);
        open.code.push('\n');
        open.only_comments &= line.trim().is_empty() || lines::uncomment(line).is_some();
        if indent > 0 {
            // At most 3: a fence that is further in is none.
            open.removed.push(removed as u8);
        }
        let at = open.place.0;
        let inside = fence.filter(|fence| {
            open.fence.executes()
                && open.fence.length == 3
                && (!fence.info.is_empty() || fence.length > 3)
                && fence.mark == b'`'
        });
        if let Some(fence) = inside {
            self.problem(
                index,
                line,
                Severity::Warning,
                format!(
                    "{} stands inside the cell that begins on line {at}: is the cell's closing fence missing?",
                    fence.marks()
                ),
            );
        }
    }

    fn end_prose(&mut self) {
        let Some((mut markdown, line)) = self.prose.take() else { return };
        markdown.truncate(markdown.trim_end().len());
        markdown.push('\n');
        self.blocks.push(Block::Prose { markdown, line });
    }

    fn end_block(&mut self) {
        let Some(open) = self.open.take() else { return };
        let line = open.place.0 + 1;
        let language = open.fence.language();
        if open.fence.executes() {
            let index = self.cells;
            self.cells += 1;
            let (code, removed) = (open.code, open.removed);
            let (options, wrong) = options::read(&code);
            for Wrong { index, message } in wrong {
                let column = removed.get(index).map_or(1, |removed| usize::from(*removed) + 1);
                self.warning(line + index, column, message);
            }
            if let Some(label) = &options.label
                && let Some(other) = self.labels.insert(label.clone(), line)
            {
                self.warning(line, 1, format!("the cell on line {other} has the label `{label}` too"));
            }
            self.blocks.push(Block::Cell { index, code, line, language, options, removed });
        } else {
            let code = if open.commented && open.only_comments { without_marks(&open.code) } else { open.code };
            self.blocks.push(Block::Display { code, language, line });
        }
    }

    fn finish(&mut self) {
        if let Some(open) = &self.open {
            let kind = if open.fence.executes() { "cell" } else { "block" };
            let (line, column) = open.place;
            let problem = Problem {
                line,
                column,
                message: format!("this {kind} is not closed: {} is missing", open.closing()),
                severity: Severity::Error,
            };
            self.problems.truncate(MAX_PROBLEMS);
            self.problems.push(problem);
        }
        self.end_block();
        self.end_prose();
    }

    fn warning(&mut self, line: usize, column: usize, message: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { line, column, message, severity: Severity::Warning });
        }
    }

    fn problem(&mut self, index: usize, line: &str, severity: Severity, message: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { line: index + 1, column: lines::first_column(line), message, severity });
        }
    }
}

impl OpenBlock<'_> {
    /// The line that would close it.
    fn closing(&self) -> String {
        let marks = self.fence.marks();
        if self.commented { format!("`# {marks}`") } else { marks }
    }
}

/// The text of a block of comments.
fn without_marks(code: &str) -> String {
    let mut text = String::with_capacity(code.len());
    for line in code.lines() {
        text.push_str(lines::uncomment(line).unwrap_or(""));
        text.push('\n');
    }
    text
}
