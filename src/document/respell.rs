//! A document written down again, in either spelling.

use super::fence::longest_closing;
use super::lines::{self, Lines};
use super::{Block, Document, Spelling, front, spelling};

/// Says that the file is in the commented spelling, and does nothing in a document.
const IMPORT: &str = "import pymd\n\n";
/// Two lines that are dropped: what stands below is no head of the file.
const NO_HEAD: &str = "# //\n\n";

/// The document as text in that spelling. Parsed again it has the same blocks, front matter and metadata, but for the
/// lines where they stand; what the spelling drops (`//` lines, `import pymd`) is not written.
///
/// The commented spelling is valid Python if the cells are.
pub fn respell(document: &Document, spelling: Spelling) -> String {
    let writer = Writer { commented: spelling == Spelling::Commented };
    let mut head = String::new();
    if let Some(yaml) = &document.front_matter {
        writer.text(&mut head, &format!("---\n{yaml}---\n"));
        head.push('\n');
    }
    let body = writer.body(document);
    // Alone, the text may be taken for something else than it is.
    let gains_front = document.front_matter.is_none() && front::find(Lines::of(&body)).is_some();
    let is_misread = spelling::detect(Lines::of(&body)) != spelling;
    match spelling {
        Spelling::Plain if gains_front || is_misread => {
            head.push_str(spelling::PLAIN_MARK);
            head.push('\n');
        }
        Spelling::Plain => {}
        Spelling::Commented => {
            let mut first = Lines::of(&body).take(2).enumerate();
            let loses_line =
                document.front_matter.is_none() && first.any(|(index, line)| lines::is_script_header(index, line));
            // Cells have the module without an import, the file as a script has not.
            if is_misread || document.cells().any(|cell| cell.code.contains("pymd")) {
                head.push_str(IMPORT);
            }
            if gains_front || loses_line {
                head.push_str(NO_HEAD);
            }
        }
    }
    head.push_str(&body);
    head
}

/// The document as a Python script: prose in comments, cells as code. It is the document in the commented spelling.
pub fn python_script(document: &Document) -> String {
    respell(document, Spelling::Commented)
}

struct Writer {
    commented: bool,
}

impl Writer {
    fn body(&self, document: &Document) -> String {
        let mut out = String::new();
        if let Some(toml) = &document.script_metadata {
            // In comments in either spelling.
            Self { commented: true }.text(&mut out, &format!("/// script\n{toml}///\n"));
        }
        for block in &document.blocks {
            if !out.is_empty() {
                out.push('\n');
            }
            match block {
                Block::Prose { markdown, .. } => self.text(&mut out, markdown),
                Block::Display { code, language, .. } => {
                    // Code to read must not run when the file does: it stands in comments too.
                    let marks = "`".repeat((longest_closing(code, false) + 1).max(4));
                    let language = language.as_deref().unwrap_or("");
                    self.text(&mut out, &format!("{marks}{language}\n{code}{marks}\n"));
                }
                Block::Cell { code, language, .. } => {
                    let language = language.as_deref().unwrap_or("");
                    let (marks, language) = match longest_closing(code, self.commented) {
                        0 => ("```".to_owned(), language.to_owned()),
                        longest => ("`".repeat(longest + 1), format!("{{{language}}}")),
                    };
                    self.text(&mut out, &format!("{marks}{language}\n"));
                    out.push_str(code);
                    self.text(&mut out, &marks);
                }
            }
        }
        out
    }

    /// Appends lines that are no code.
    fn text(&self, out: &mut String, text: &str) {
        for line in text.lines() {
            if self.commented {
                out.push_str(if line.is_empty() { "#" } else { "# " });
            }
            out.push_str(line);
            out.push('\n');
        }
    }
}
