//! What a document says that it needs to run: in its front matter or in inline script metadata.

use serde::Deserialize;

use super::check::{Problem, Severity};
use super::lines::Lines;
use super::{front, script};

/// More packages than this no document asks for.
const MAX_PACKAGES: usize = 500;

/// What a document needs to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// The environment to run it in, by name or id.
    pub environment: Option<String>,
    /// Requirements (PEP 508) of an environment of its own, in its order.
    pub packages: Vec<String>,
    /// The Pythons that it is for, as it says it.
    pub requires_python: Option<String>,
}

/// The keys of the front matter that are read; there may be any others.
#[derive(Debug, Default, Deserialize)]
struct FrontKeys {
    environment: Option<String>,
    packages: Option<OneOrMore>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// The keys of script metadata that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ScriptKeys {
    #[serde(default)]
    dependencies: Vec<String>,
    requires_python: Option<String>,
}

/// Whether a document may say what it needs: a quick look, which spares most documents the thorough one.
pub fn may_need(source: &str) -> bool {
    ["environment", "packages", "/// script"].iter().any(|word| source.contains(word))
}

/// What a document needs to run.
///
/// # Errors
/// What is wrong with the place where it says so.
pub fn needs(source: &str) -> Result<Needs, Problem> {
    let mut needs = Needs::default();
    if let Some(front) = front::find(Lines::of(source)) {
        let keys = front_keys(&front.yaml)
            .map_err(|reason| problem(front.start, format!("the front matter is not what it should be: {reason}")))?;
        needs.environment = keys.environment.filter(|name| !name.trim().is_empty());
        needs.packages = match keys.packages {
            None => Vec::new(),
            Some(OneOrMore::One(package)) => vec![package],
            Some(OneOrMore::More(packages)) => packages,
        };
    }
    if let Some(script) = script::find(Lines::of(source)) {
        let at = script.lines.start;
        let keys: ScriptKeys = toml::from_str(&script.toml).map_err(|error| {
            problem(at, format!("the script metadata is not what it should be: {}", error.message().trim()))
        })?;
        needs.packages.extend(keys.dependencies);
        needs.requires_python = keys.requires_python;
        if needs.packages.len() > MAX_PACKAGES {
            return Err(problem(at, format!("a document may ask for at most {MAX_PACKAGES} packages")));
        }
    }
    if needs.packages.len() > MAX_PACKAGES {
        return Err(problem(0, format!("a document may ask for at most {MAX_PACKAGES} packages")));
    }
    Ok(needs)
}

fn front_keys(yaml: &str) -> Result<FrontKeys, String> {
    // Most front matter names neither: what else is wrong with it is nobody's trouble.
    let asks = yaml.lines().any(|line| line.starts_with("environment") || line.starts_with("packages"));
    if !asks {
        return Ok(FrontKeys::default());
    }
    serde_saphyr::from_str(yaml).map_err(|error| {
        // The first line says what and where, the others draw it.
        error.to_string().lines().next().unwrap_or_default().to_owned()
    })
}

fn problem(index: usize, message: String) -> Problem {
    Problem { line: index + 1, column: 1, message, severity: Severity::Error }
}
