//! The rules of docs/ARCHITECTURE.md that the compiler does not know: who may name whom.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, and what of ours each may name besides itself.
const LAYERS: [(&str, &[&str]); 15] = [
    ("domain", &[]),
    ("document", &["domain"]),
    ("backend", &["domain"]),
    ("auth", &["domain"]),
    ("browser", &[]),
    ("config", &["domain"]),
    ("packages", &["domain"]),
    ("store", &["domain"]),
    ("jobs", &["domain", "store"]),
    ("service", &["auth", "backend", "browser", "document", "domain", "jobs", "packages", "store"]),
    ("metrics", &["domain", "service"]),
    ("telemetry", &["config"]),
    ("api", &["auth", "backend", "config", "domain", "jobs", "metrics", "service", "web"]),
    ("web", &["api"]),
    (
        "cli",
        &[
            "api",
            "auth",
            "backend",
            "browser",
            "config",
            "document",
            "domain",
            "jobs",
            "metrics",
            "service",
            "store",
            "telemetry",
        ],
    ),
];

/// Words of the code, and the only places below `src` where they may stand.
const ONLY_IN: [(&str, &[&str]); 11] = [
    ("axum", &["api", "web"]),
    ("tower_http", &["api"]),
    ("sqlx", &["store"]),
    ("bollard", &["backend/docker"]),
    ("wasmtime", &["backend/wasm"]),
    // HTTP never reaches the engine itself: what `api` may use of `backend` is its queue of events.
    ("wasm", &["backend", "service", "cli", "domain/environment"]),
    // Nothing but the runtime, packages and what an identity provider says is ever fetched.
    ("reqwest", &["auth", "backend/wasm/runtime", "packages/index"]),
    ("clap", &["cli", "config", "main"]),
    ("std::process::Command", &[]),
    ("tokio::process", &["browser"]),
    ("unsafe", &["backend/wasm/memory", "backend/wasm/engine", "backend/wasm/machine"]),
];

#[test]
fn layers_name_only_what_lies_below_them() {
    for (path, code) in sources() {
        let layer = path.split('/').next().unwrap();
        if ["lib", "main"].contains(&layer) {
            continue;
        }
        let (_, may) = LAYERS.iter().find(|(name, _)| *name == layer).unwrap_or_else(|| panic!("{path}: no layer"));
        let named = code.match_indices("crate::").filter(|(at, _)| !code[..*at].ends_with('$'));
        for (at, _) in named {
            let name: String = code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            assert!(name == layer || may.contains(&name.as_str()), "src/{path}.rs may not name crate::{name}");
        }
        // The other way out of a layer.
        let up = "super::".repeat(path.split('/').count());
        assert!(!code.contains(&up), "src/{path}.rs reaches the crate's root with {up}");
    }
}

#[test]
fn words_stay_where_they_belong() {
    for (path, code) in sources() {
        for (word, places) in ONLY_IN {
            let here = places.iter().any(|place| path == *place || path.starts_with(&format!("{place}/")));
            assert!(here || !has_word(&code, word), "src/{path}.rs may not name {word}");
        }
    }
}

#[test]
fn every_guest_file_is_embedded() {
    let guest = root().join("runtime/guest");
    let list = fs::read_to_string(root().join("src/backend/wasm/sandbox/guest_files.rs")).unwrap();
    let mut found = 0;
    for file in files(&guest).iter().filter(|file| file.extension().is_some_and(|extension| extension == "py")) {
        let path = file.strip_prefix(&guest).unwrap().display().to_string();
        // Run once to make the warm image: no guest sees it.
        if path != "warm.py" {
            found += 1;
            assert!(list.contains(&format!("\"{path}\"")), "runtime/guest/{path} is not in guest_files.rs");
        }
    }
    assert_eq!(found, list.matches("include_str!").count(), "each is there once");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Path below `src` without its `.rs`, and the text without its comments.
fn sources() -> Vec<(String, String)> {
    let src = root().join("src");
    let sources = files(&src).into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    let sources: Vec<_> = sources
        .map(|file| {
            let path = file.strip_prefix(&src).unwrap().with_extension("").display().to_string();
            let text = fs::read_to_string(&file).unwrap();
            let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            (path, code.join("\n"))
        })
        .collect();
    assert!(sources.len() > 100, "the sources are found");
    sources
}

fn has_word(code: &str, word: &str) -> bool {
    // 'unsafe-inline' and `r#unsafe` are other words.
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '#');
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part))
}
