//! What a document says about how it is to be run and shown: keys of its front matter. It may have any others.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::domain::LimitsRequest;

use super::Document;
use super::entries::{self, Entry};
use super::options::Wrong;

/// Which colours a page has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
    /// What the reader's system has.
    #[default]
    Auto,
}

/// What a document's front matter says, with defaults for what it does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// `title`.
    pub title: Option<String>,
    /// `theme`: the colours of its page.
    pub theme: Theme,
    /// `toc`: whether its headings are listed at its top.
    pub toc: bool,
    /// `echo` or `show_code`: whether cells show their code.
    pub show_code: Option<bool>,
    /// `cache`: whether results may be kept and used again.
    pub cache: bool,
    /// `limits`: what each cell may use, below the caller's own limits.
    pub limits: LimitsRequest,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            title: None,
            theme: Theme::Auto,
            toc: false,
            show_code: None,
            cache: true,
            limits: LimitsRequest::default(),
        }
    }
}

/// What a document says about how it is to be run and shown. What is wrong in it, [`super::check`] says; here it
/// counts as not said.
pub fn settings(document: &Document) -> Settings {
    let (settings, _) = document.front_matter.as_deref().map(read).unwrap_or_default();
    Settings { title: document.title.clone(), ..settings }
}

/// The settings in front matter, except the title, and what is wrong with the others.
pub(super) fn read(yaml: &str) -> (Settings, Vec<Wrong>) {
    let (mut settings, mut wrong) = (Settings::default(), Vec::new());
    for entry in entries::split(yaml.lines()) {
        match entry.key {
            "limits" => set_limits(&mut settings.limits, &entry, &mut wrong),
            _ => {
                if let Err(message) = set(&mut settings, &entry) {
                    wrong.push(Wrong { index: entry.index, message: message.to_owned() });
                }
            }
        }
    }
    (settings, wrong)
}

fn set(settings: &mut Settings, entry: &Entry<'_>) -> Result<(), &'static str> {
    match entry.key {
        "theme" => settings.theme = entry.read().ok_or("`theme` must be light, dark or auto")?,
        "toc" => settings.toc = entry.read().ok_or("`toc` must be true or false")?,
        "cache" => settings.cache = entry.read().ok_or("`cache` must be true or false")?,
        "echo" => settings.show_code = Some(entry.read().ok_or("`echo` must be true or false")?),
        "show_code" => settings.show_code = Some(entry.read().ok_or("`show_code` must be true or false")?),
        _ => {}
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(u64),
    Other(IgnoredAny),
}

fn set_limits(limits: &mut LimitsRequest, entry: &Entry<'_>, wrong: &mut Vec<Wrong>) {
    let Some(numbers) = entry.read::<BTreeMap<String, Number>>() else {
        let message = "`limits` must hold numbers by name: fuel, memory_bytes, wall_ms, output_bytes".to_owned();
        return wrong.push(Wrong { index: entry.index, message });
    };
    let before = wrong.len();
    for (name, number) in &numbers {
        let limit = match name.as_str() {
            "fuel" => &mut limits.fuel,
            "memory_bytes" => &mut limits.memory_bytes,
            "wall_ms" => &mut limits.wall_ms,
            "output_bytes" => &mut limits.output_bytes,
            _ => {
                let name: String = name.chars().take(40).collect();
                let message = format!("`{name}` is no limit: these are fuel, memory_bytes, wall_ms and output_bytes");
                wrong.push(Wrong { index: entry.index_of(&name), message });
                continue;
            }
        };
        match number {
            Number::Whole(number) if *number > 0 => *limit = Some(*number),
            Number::Whole(_) | Number::Other(_) => {
                let message = format!("the limit `{name}` must be a whole number, at least 1");
                wrong.push(Wrong { index: entry.index_of(name), message });
            }
        }
    }
    wrong[before..].sort_by_key(|wrong| wrong.index);
}
