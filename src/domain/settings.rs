//! What a user has chosen for the pages that show their things. The server keeps it, and does nothing else with it.

use serde::{Deserialize, Serialize};

use super::DocumentFormat;
use super::text_enum::text_enum;

/// A language tag is not longer.
const MAX_LANGUAGE_BYTES: usize = 35;

/// Colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

text_enum!(Theme, "theme" { System => "system", Light => "light", Dark => "dark" });

/// What keys do in an editor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum KeyMap {
    /// As elsewhere.
    #[default]
    Default,
    /// As in Vim.
    Vim,
    /// As in Emacs.
    Emacs,
}

text_enum!(KeyMap, "key map" { Default => "default", Vim => "vim", Emacs => "emacs" });

/// What a user has chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserSettings {
    /// Colours. Default: `system`.
    pub theme: Theme,
    /// A language tag, such as `en` or `pt-BR`. Default: `en`.
    pub language: String,
    /// How texts are edited.
    pub editor: EditorSettings,
    /// How documents are rendered.
    pub render: RenderSettings,
}

/// How texts are edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EditorSettings {
    /// Size of letters in pixels, 6 to 72. Default: 14.
    #[schema(minimum = 6, maximum = 72)]
    pub font_size: u32,
    /// Columns of a tab, 1 to 16. Default: 4.
    #[schema(minimum = 1, maximum = 16)]
    pub tab_size: u32,
    /// Whether long lines are broken. Default: `true`.
    pub word_wrap: bool,
    /// Whether lines have numbers. Default: `true`.
    pub line_numbers: bool,
    /// What keys do.
    pub key_map: KeyMap,
}

/// How documents are rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RenderSettings {
    /// What a new document is rendered to. Default: `html`.
    pub format: DocumentFormat,
    /// Whether a document is rendered while it is edited. Default: `true`.
    pub automatic: bool,
    /// How long after the last change, in milliseconds: 100 to 60,000. Default: 500.
    #[schema(minimum = 100, maximum = 60_000)]
    pub delay_ms: u32,
    /// Whether code is shown. Default: `true`.
    pub show_code: bool,
}

impl Default for UserSettings {
    fn default() -> Self {
        let (editor, render) = (EditorSettings::default(), RenderSettings::default());
        Self { theme: Theme::default(), language: "en".to_owned(), editor, render }
    }
}

impl Default for EditorSettings {
    fn default() -> Self {
        Self { font_size: 14, tab_size: 4, word_wrap: true, line_numbers: true, key_map: KeyMap::default() }
    }
}

impl Default for RenderSettings {
    fn default() -> Self {
        Self { format: DocumentFormat::Html, automatic: true, delay_ms: 500, show_code: true }
    }
}

/// A setting that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: must be {must}")]
pub struct BadSetting {
    /// The setting.
    pub field: &'static str,
    /// What it must be.
    pub must: &'static str,
}

impl UserSettings {
    /// These settings, if they can be.
    ///
    /// # Errors
    /// One can't.
    pub fn check(self) -> Result<Self, BadSetting> {
        let within = |field, value: u32, range: std::ops::RangeInclusive<u32>, must| {
            if range.contains(&value) { Ok(()) } else { Err(BadSetting { field, must }) }
        };
        within("editor.font_size", self.editor.font_size, 6..=72, "between 6 and 72")?;
        within("editor.tab_size", self.editor.tab_size, 1..=16, "between 1 and 16")?;
        within("render.delay_ms", self.render.delay_ms, 100..=60_000, "between 100 and 60000")?;
        let mut parts = self.language.split('-');
        let is_part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        let first = parts
            .next()
            .is_some_and(|first| (2..=8).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic()));
        if !first || !parts.all(is_part) || self.language.len() > MAX_LANGUAGE_BYTES {
            return Err(BadSetting { field: "language", must: "a language tag, such as `en` or `pt-BR`" });
        }
        Ok(self)
    }
}
