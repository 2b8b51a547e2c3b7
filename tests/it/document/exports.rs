//! Documents in other formats and in the other spelling.

use std::io::{Cursor, Read, Write};
use std::process::{Command, Stdio};

use pymd::document::{
    Asset, Block, Document, RenderOptions, Spelling, check, import_notebook, markdown_files, notebook, parse,
    python_script, respell, zip,
};
use pymd::domain::{MimeBundle, Outcome, Output};
use serde_json::{Value, json};

use super::{display, map, report, stderr, stdout};

/// The blocks without their places.
fn texts(document: &Document) -> Vec<(char, &str, Option<&str>)> {
    fn text(block: &Block) -> (char, &str, Option<&str>) {
        match block {
            Block::Prose { markdown, .. } => ('p', markdown, None),
            Block::Cell { code, language, .. } => ('c', code, language.as_deref()),
            Block::Display { code, language, .. } => ('d', code, language.as_deref()),
        }
    }
    document.blocks.iter().map(text).collect()
}

fn documents() -> Vec<String> {
    let mut all: Vec<String> = [
        include_str!("../../../examples/report.pymd"),
        include_str!("../../../examples/tour.pymd"),
        include_str!("../../../examples/plain.md"),
        "",
        "text",
        "# Title\n\n## Part\n",
        "// plain\n# One\n# Two\n",
        "# One line of text,\n# and one more.",
        "# # A\n# # B\n#\n#     ```\n",
        "# # ```\n# # x\n# ```\n1\n# ```\n",
        "# coding: utf-8 is how it begins\n\ntext\n",
        "\n---\na: 1\n---\ntext\n",
        "# # ---\n# # a: 1\n# # ---\n# text\n",
        "# //\n# ---\n# a: 1\n# ---\n# text\n# ```\n# ```\n",
        "---\ntitle: x\n\nlist:\n  - a\n---\n\ntext\n\n```\n1\n```\n",
        "import pymd\n\n# ---\n# title: x\n# ---\n# - text\n",
        "# /// script\n# dependencies = [\"a\"]\n#\n# x = 1\n# ///\n# text\n# ```\n1\n# ```\n",
        "---\na: 1\n---\n# /// script\n# dependencies = []\n# ///\ntext\n",
        "```\n# /// script\n# dependencies = []\n# ///\n```\n",
        "```\n# ```\nx = '''\n# ````\n'''\n```\n",
        "# ```\nx = '''\n```\n````\n'''\n# ```\n",
        "````{python}\n```\n````\n\n````{}\n```\n````\n",
        "````\n```\n1\n```\n````\n\n~~~\n````\n~~~\n\n````json\n\n  {}\n# x\n#\n\n````\n",
        "```python\n```\n```\n\n\n```\n```py\n  x\n```\n",
        "  ```\n    x\n  y\n  ```\n",
        "   indented\n\t tab\n\n```\n1\n",
        "````open\nx",
        "import pymd\nfrom pymd import *\n# a\n# import pymd\n# ```\nimport pymd\n# ```\n",
        "```.{python\nx\n```\n\n````{.{python}\nx\n````\n",
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n# text\n# ```\n1\n# ```\n",
    ]
    .map(str::to_owned)
    .into();
    let pieces = [
        "```\n",
        "# ```\n",
        "````{python}\n",
        "text\n",
        "# text\n",
        "#\n",
        "\n",
        "---\n",
        "a: 1\n",
        "// x\n",
        "import pymd\n",
        "x = 1\n",
        "~~~\n",
    ];
    // Some thousand texts of these lines, the same every time.
    let mut state = 1_u64;
    for _ in 0..4_000 {
        let mut text = String::new();
        for _ in 0..(state >> 33) % 12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        all.push(text);
    }
    all
}

#[test]
fn both_spellings_hold_every_document() {
    for source in documents() {
        let document = parse(&source);
        for spelling in [Spelling::Plain, Spelling::Commented] {
            let text = respell(&document, spelling);
            let again = parse(&text);
            assert_eq!(texts(&again), texts(&document), "{spelling:?} of {source:?}: {text:?}");
            assert_eq!(again.front_matter, document.front_matter, "{spelling:?} of {source:?}: {text:?}");
            assert_eq!(again.script_metadata, document.script_metadata, "{spelling:?} of {source:?}: {text:?}");
            if !document.blocks.is_empty() {
                assert_eq!(again.spelling, spelling, "{source:?}: {text:?}");
            }
            assert_eq!(respell(&again, spelling), text, "{source:?}");
        }
    }
}

#[test]
fn a_document_as_a_script() {
    let source =
        "---\ntitle: T\n---\n# Head\n\ntext\n\n```\nx = 1\n```\n\n````sql\nSELECT 1\n````\n\n```\npymd.h1(x)\n```\n";
    let script = python_script(&parse(source));
    insta::assert_snapshot!(script, @r"
    # ---
    # title: T
    # ---

    import pymd

    # # Head
    #
    # text

    # ```
    x = 1
    # ```

    # ````sql
    # SELECT 1
    # ````

    # ```
    pymd.h1(x)
    # ```
    ");
    assert_eq!(check(&script), []);
    assert_eq!(texts(&parse(&script)), texts(&parse(source)));
}

/// A PNG's first bytes: enough to be taken for one.
const PNG: &str = "iVBORw0KGgouLi4u";

fn shown() -> Vec<Output> {
    vec![
        stdout("**out**\n"),
        stderr("careful\n"),
        display(json!({"image/png": PNG, "text/plain": ["<Fig", "ure>"]})),
        display(
            json!({"image/svg+xml": "<svg></svg>", "application/json": {"deep": [[1]]}, "application/vnd.x+json": 7}),
        ),
        display(json!({"text/plain": 3, "text/html": {"a": 1}, "": null, "image/jpeg": [1]})),
        Output::ExecuteResult {
            execution_count: 7,
            data: map(json!({"text/plain": "1"})),
            metadata: map(json!({"a": {"b": null}})),
        },
        Output::Error {
            ename: "E".to_owned(),
            evalue: "v".to_owned(),
            traceback: vec!["line 1\n".to_owned(), "\u{1b}[31mred".to_owned()],
        },
    ]
}

const SOURCE: &str = "---\ntitle: \"T\"\n---\n# Head\n\ntext\n\n```\n#| label: fig-x\nx = 1\n\nx\n```\n\n````json\n{\"```\": 1}\n````\n\n```\ny\n```\n\n```\n#| eval: false\nz\n```\n";

#[test]
fn a_document_as_a_notebook() {
    let mut first = report(shown());
    first.outcome = Outcome::PythonError { ename: "E".to_owned(), evalue: "v".to_owned(), traceback: vec![] };
    let mut second = report(vec![]);
    second.outcome = Outcome::DeadlineExceeded { limit_ms: 30 };
    let text = notebook(&parse(SOURCE), &[first.clone(), second.clone(), report(vec![stdout("NEVER")])]);
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let ids: Vec<&str> = value["cells"].as_array().unwrap().iter().map(|cell| cell["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["front", "text-0", "cell-0", "text-2", "cell-1", "cell-2"]);
    assert_eq!(value["cells"][2]["source"], json!(["#| label: fig-x\n", "x = 1\n", "\n", "x"]));
    assert_eq!(value["cells"][3]["source"], json!(["````json\n", "{\"```\": 1}\n", "````"]));
    assert_eq!(
        (&value["cells"][2]["execution_count"], &value["cells"][5]["execution_count"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(value["metadata"]["title"], "T");
    let outputs = &value["cells"][2]["outputs"];
    assert_eq!(outputs[0], json!({"output_type": "stream", "name": "stdout", "text": "**out**\n"}));
    assert_eq!(outputs[4], json!({"output_type": "display_data", "data": {}, "metadata": {}}));
    assert_eq!(
        outputs[6],
        json!({"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["line 1", "\u{1b}[31mred"]})
    );
    assert_eq!(outputs.as_array().unwrap().len(), 7);
    assert_eq!(value["cells"][4]["outputs"][0]["ename"], "deadline_exceeded");
    assert_eq!(value["cells"][5]["outputs"], json!([]));
    assert!(!text.contains("NEVER"));
    assert_eq!(text, notebook(&parse(SOURCE), &[first, second]));
    // What a cell does not want shown is not in the notebook.
    let hidden = notebook(&parse("```\n#| output: false\nx\n```\n"), &[report(vec![stdout("HIDDEN")])]);
    assert!(!hidden.contains("HIDDEN"));
}

#[test]
fn notebooks_come_back_as_the_same_document() {
    for source in documents() {
        let document = parse(&source);
        let imported = import_notebook(notebook(&document, &[]).as_bytes()).expect("a notebook");
        let again = parse(&imported.content);
        let codes =
            |document: &Document| document.cells().map(|cell| cell.code.trim_end().to_owned()).collect::<Vec<_>>();
        // Cells without code are left out.
        let mut expected = codes(&document);
        expected.retain(|code| !code.trim().is_empty());
        assert_eq!(codes(&again), expected, "{source:?}: {}", imported.content);
        assert_eq!(imported.warnings, [""; 0], "{source:?}");
        if !document.blocks.iter().any(|block| matches!(block, Block::Prose { .. })) {
            assert_eq!(again.front_matter, document.front_matter, "{source:?}");
        }
    }
}

/// Python with the package `nbformat`, from PyPI.
#[test]
fn exported_notebooks_are_valid() {
    let python = std::env::var_os("PYMD_TEST_NBFORMAT").unwrap_or_else(|| "python3".into());
    let script = "import json, sys, nbformat\n\
        for line in sys.stdin:\n\
        \x20   book = nbformat.reads(json.loads(line), as_version=nbformat.NO_CONVERT)\n\
        \x20   nbformat.validate(book, relax_add_props=False)\n\
        \x20   assert (book.nbformat, book.nbformat_minor) == (4, 5)\n\
        \x20   print('valid')\n";
    let mut first = report(shown());
    first.outcome = Outcome::OutOfFuel { limit: 3 };
    let empty =
        Output::DisplayData { data: MimeBundle::new(), metadata: MimeBundle::new(), display_id: Some("d".to_owned()) };
    let mut notebooks = vec![notebook(&parse(SOURCE), &[first, report(vec![empty])])];
    notebooks.extend(documents().iter().take(300).map(|source| notebook(&parse(source), &[report(shown())])));
    let mut child = Command::new(&python)
        .args(["-W", "error", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{python:?}: {error}"));
    let mut lines = child.stdin.take().expect("a pipe");
    let count = notebooks.len();
    let writer = std::thread::spawn(move || {
        for notebook in notebooks {
            // What is wrong then, the process itself says.
            if writeln!(lines, "{}", Value::String(notebook)).is_err() {
                break;
            }
        }
    });
    let output = child.wait_with_output().expect("its output");
    writer.join().expect("the writer");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{python:?}: {errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "valid\n".repeat(count), "{errors}");
}

#[test]
fn markdown_with_its_figures_as_files() {
    let files = markdown_files(&parse(SOURCE), &[report(shown()), report(shown())], &RenderOptions::default());
    let paths: Vec<&str> = files.assets.iter().map(|asset| asset.path.as_str()).collect();
    assert_eq!(paths, ["assets/cell-1-1.png", "assets/cell-1-2.svg", "assets/cell-2-1.png", "assets/cell-2-2.svg"]);
    assert_eq!(files.assets[0].bytes, b"\x89PNG\r\n\x1a\n....");
    assert_eq!(files.assets[1].bytes, b"<svg></svg>");
    for path in paths {
        assert!(files.markdown.contains(&format!("![Figure]({path})")), "{}", files.markdown);
    }
    assert!(!files.markdown.contains("data:"), "{}", files.markdown);
    let film = display(json!({"video/mp4": "AAAAAGZ0eXA="}));
    let films =
        markdown_files(&parse("```\n#| fig-cap: A <film>\nx\n```\n"), &[report(vec![film])], &RenderOptions::default());
    assert_eq!(
        films.markdown,
        "<figure><video controls src=\"assets/cell-1-1.mp4\"></video><figcaption>A &lt;film&gt;</figcaption></figure>\n"
    );
}

#[test]
fn archives_are_the_same_every_time() {
    let files = [
        Asset { path: "document.md".to_owned(), bytes: b"text\n".repeat(1_000) },
        Asset { path: "assets/cell-1-1.png".to_owned(), bytes: vec![0, 1, 2] },
    ];
    let archive = zip(&files).expect("an archive");
    assert_eq!(archive, zip(&files).expect("an archive"));
    assert!(archive.len() < 1_000, "it is compressed");
    let mut read = ::zip::ZipArchive::new(Cursor::new(archive)).expect("an archive");
    assert_eq!(read.len(), 2);
    for (index, file) in files.iter().enumerate() {
        let mut entry = read.by_index(index).expect("a file");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("its bytes");
        assert_eq!((entry.name().expect("a name").as_ref(), &bytes), (file.path.as_str(), &file.bytes));
        assert_eq!(entry.last_modified().map(|time| time.year()), Some(1980));
    }
    assert!(zip(&[files[0].clone(), files[0].clone()]).is_err());
    assert!(zip(&[]).is_ok());
}
