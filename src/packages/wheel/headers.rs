//! `WHEEL` and `METADATA`: blocks of `Name: value` lines, as in mails.

/// Headers of one block; those after them are passed over.
const MAX_HEADERS: usize = 20_000;

/// The headers of a block, in order. A line that begins with a space goes on with the one before; an empty line ends
/// the block.
pub(super) struct Headers(Vec<(String, String)>);

impl Headers {
    /// Reads a block. What is not UTF-8 is shown as such; lines that are no headers are passed over.
    pub(super) fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in text.lines().take_while(|line| !line.is_empty()) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = headers.last_mut() {
                    value.push('\n');
                    value.push_str(line.trim());
                }
            } else if headers.len() == MAX_HEADERS {
                break;
            } else if let Some((name, value)) = line.split_once(':') {
                headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        Self(headers)
    }

    /// The values of a header; `name` in lower case.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The value of a header that stands there once, or a sentence about it.
    pub(super) fn one(&self, name: &'static str) -> Result<&str, String> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err(format!("it has no `{name}`")),
            (Some(_), Some(_)) => Err(format!("it has more than one `{name}`")),
        }
    }
}
