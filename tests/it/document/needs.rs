use pymd::document::{Needs, check, needs, parse};

use super::parsing::prose;

fn packages(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn front_matter_names_environments_and_packages() {
    for (source, environment, wanted) in [
        ("---\nenvironment: data\n---\ntext", Some("data"), vec![]),
        ("---\ntitle: x\npackages: [rich, 'jinja2>=3']\n---\ntext", None, packages(&["rich", "jinja2>=3"])),
        ("---\npackages:\n  - rich\n  - \"attrs\"\n---\ntext", None, packages(&["rich", "attrs"])),
        ("---\npackages: rich\n---\ntext", None, packages(&["rich"])),
        ("# ---\n# packages: [rich]\n# environment: a\n# ---\n# text", Some("a"), packages(&["rich"])),
        ("---\ntitle: [ no yaml\n---\ntext", None, vec![]),
        ("text", None, vec![]),
    ] {
        let needs = needs(source).unwrap();
        assert_eq!((needs.environment.as_deref(), needs.packages), (environment, wanted), "{source:?}");
    }
}

#[test]
fn script_metadata_names_packages_and_is_not_shown() {
    let block = "# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\n#   \"rich\",\n#   \"attrs<30\",\n# ]\n# ///\n";
    for source in [
        format!("{block}import pymd\n# text\n# ```\n1\n# ```\n"),
        format!("#!/usr/bin/env python\n\n{block}\n# ---\n# title: T\n# ---\n# text\n# ```\n1\n# ```\n"),
        format!("---\ntitle: T\n---\n{block}text\n\n```\n1\n```\n"),
    ] {
        let found = needs(&source).unwrap();
        let wanted = Needs {
            environment: None,
            packages: packages(&["rich", "attrs<30"]),
            requires_python: Some(">=3.11".to_owned()),
        };
        assert_eq!(found, wanted, "{source}");
        let document = parse(&source);
        assert_eq!(prose(&document.blocks[0]), "text\n", "{source}");
        assert_eq!(document.blocks.len(), 2, "{source}");
        assert_eq!(check(&source), [], "{source}");
    }
}

#[test]
fn both_places_add_up() {
    let source = "# /// script\n# dependencies = [\"b\"]\n# ///\n# ---\n# packages: [a]\n# ---\n# text\n";
    assert_eq!(needs(source).unwrap().packages, packages(&["a", "b"]));
}

#[test]
fn what_is_no_metadata_is_text_or_an_error_with_its_line() {
    // Never closed, another kind, and inside a cell where it is a comment that tools would read all the same.
    for source in ["# /// script\n# x = 1\ntext\n", "# /// other\n# x = 1\n# ///\n", "# // script\n"] {
        assert_eq!(needs(source).unwrap(), Needs::default(), "{source:?}");
    }
    for (source, line) in [
        ("# text\n\n# /// script\n# dependencies = [\"a\n# ///\n", 3),
        ("# /// script\n# dependencies = 1\n# ///\n", 1),
        ("---\npackages: {a: 1}\n---\ntext", 1),
        ("import pymd\n# ---\n# packages: [a\n# ---\n# text", 2),
    ] {
        let problem = needs(source).unwrap_err();
        assert_eq!(problem.line, line, "{source:?}: {}", problem.message);
        assert!(check(source).contains(&problem), "{source:?}");
    }
    let many = format!("---\npackages: [{}]\n---\ntext", vec!["a"; 501].join(", "));
    assert!(needs(&many).unwrap_err().message.contains("at most 500"));
}
