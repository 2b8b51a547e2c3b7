//! Lockfiles to text. The same lockfile gives the same bytes.

use toml::Value;

use super::PylockError;
use crate::domain::{LockedPackage, Lockfile};

/// The environment that a lockfile is for.
const MARKER: &str = "sys_platform == \"wasi\" and platform_machine == \"wasm32\"";

/// A `pylock.toml` of this environment.
///
/// # Errors
/// The digest of a wheel is not known.
pub fn write(lockfile: &Lockfile) -> Result<String, PylockError> {
    let mut text = format!("lock-version = \"1.0\"\nenvironments = [{}]\n", quoted(MARKER));
    if let Some(minor) = minor(&lockfile.python_version) {
        text += &format!("requires-python = {}\n", quoted(&format!(">={minor}")));
    }
    text += "created-by = \"pymd\"\n";
    // An empty array must still be there, and before the first table.
    if lockfile.packages.is_empty() {
        text += "packages = []\n";
    }
    let mut packages: Vec<&LockedPackage> = lockfile.packages.iter().collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    for package in &packages {
        let locked = |name: &&String| packages.binary_search_by(|other| other.name.cmp(name)).is_ok();
        text += &entry(package, &locked)?;
    }
    text += &format!("\n[tool.pymd]\npython-version = {}\n", quoted(&lockfile.python_version));
    Ok(text)
}

fn entry(package: &LockedPackage, is_locked: &impl Fn(&&String) -> bool) -> Result<String, PylockError> {
    let LockedPackage { name, version, requires_python, dependencies, wheel } = package;
    let mut text = format!("\n[[packages]]\nname = {}\nversion = {}\n", quoted(name), quoted(version));
    if let Some(requires_python) = requires_python {
        text += &format!("requires-python = {}\n", quoted(requires_python));
    }
    let (locked, linked): (Vec<&String>, Vec<&String>) = dependencies.iter().partition(is_locked);
    if !locked.is_empty() {
        let locked: Vec<String> = locked.iter().map(|name| format!("{{ name = {} }}", quoted(name))).collect();
        text += &format!("dependencies = [{}]\n", locked.join(", "));
    }
    let sha256 = wheel.sha256.as_ref().ok_or_else(|| PylockError::Unhashed { package: name.clone() })?;
    text += &format!("wheels = [{{ name = {}", quoted(&wheel.filename));
    // A wheel that was only ever in the directory of this very file has no address.
    text += &match wheel.url.as_str() {
        "" => format!(", path = {}", quoted(&wheel.filename)),
        url => format!(", url = {}", quoted(url)),
    };
    if let Some(size) = wheel.size_bytes {
        text += &format!(", size = {size}");
    }
    text += &format!(", hashes = {{ sha256 = {} }} }}]\n", quoted(sha256));
    if !linked.is_empty() {
        let linked: Vec<String> = linked.iter().map(|name| quoted(name)).collect();
        text += &format!("\n[packages.tool.pymd]\nruntime-dependencies = [{}]\n", linked.join(", "));
    }
    Ok(text)
}

/// A `requirements.txt` that pins every package. Digests stand there if all are known, as one makes all required.
pub fn requirements_txt(lockfile: &Lockfile) -> String {
    let hashed = lockfile.packages.iter().all(|package| package.wheel.sha256.is_some());
    let mut packages: Vec<&LockedPackage> = lockfile.packages.iter().collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    let line = |package: &&LockedPackage| match &package.wheel.sha256 {
        Some(sha256) if hashed => format!("{}=={} \\\n    --hash=sha256:{sha256}\n", package.name, package.version),
        _ => format!("{}=={}\n", package.name, package.version),
    };
    packages.iter().map(line).collect()
}

fn minor(version: &str) -> Option<String> {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    (digits(major) && digits(minor)).then(|| format!("{major}.{minor}"))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
