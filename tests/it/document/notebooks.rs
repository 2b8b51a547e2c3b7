//! Notebooks and Markdown of elsewhere, well-meant and hostile.

use std::time::{Duration, Instant};

use pymd::document::{
    Block, Document, ImportError, Imported, Spelling, check, import_markdown, import_notebook, parse,
};
use serde_json::{Value, json};

fn import(notebook: &Value) -> Imported {
    import_notebook(notebook.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn cells(cells: Value) -> Value {
    json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})
}

fn code(source: &str) -> Value {
    json!({"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": null, "source": source})
}

fn markdown(source: &str) -> Value {
    json!({"cell_type": "markdown", "metadata": {}, "source": source})
}

/// What the imported document parses to: each block's kind and text.
fn blocks(imported: &Imported) -> Vec<(char, String)> {
    let document = parse(&imported.content);
    assert_eq!(document.spelling, Spelling::Plain, "{}", imported.content);
    let errors = check(&imported.content);
    assert!(errors.iter().all(|problem| problem.severity == pymd::document::Severity::Warning), "{errors:?}");
    texts(&document)
}

fn texts(document: &Document) -> Vec<(char, String)> {
    let text = |block: &Block| match block {
        Block::Prose { markdown, .. } => ('p', markdown.clone()),
        Block::Cell { code, .. } => ('c', code.clone()),
        Block::Display { code, language, .. } => ('d', format!("{}:{code}", language.as_deref().unwrap_or(""))),
    };
    document.blocks.iter().map(text).collect()
}

#[test]
fn a_notebook_becomes_a_document() {
    let notebook = json!({
        "nbformat": 4, "nbformat_minor": 5,
        "metadata": {"kernelspec": {"language": "python", "name": "python3", "display_name": "Python 3"}},
        "cells": [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# A *title* #\n", "\n", "text"]},
            {"cell_type": "markdown", "id": "b", "metadata": {}, "source": "more\n"},
            {"cell_type": "code", "id": "c", "metadata": {}, "execution_count": 3, "source": ["x = 1\n", "x"],
             "outputs": [{"output_type": "stream", "name": "stdout", "text": "SECRET OUTPUT"}]},
            {"cell_type": "code", "id": "d", "metadata": {}, "execution_count": null, "source": [], "outputs": []},
            {"cell_type": "raw", "id": "e", "metadata": {}, "source": "\\LaTeX ``` x"},
        ],
    });
    let imported = import(&notebook);
    insta::assert_snapshot!(imported.content, @r"
    # A *title* #

    text

    more

    ```
    x = 1
    x
    ```

    ````text
    \LaTeX ``` x
    ````
    ");
    assert_eq!(imported.title.as_deref(), Some("A *title*"));
    assert_eq!(imported.warnings, [""; 0]);
    let with_title = json!({"nbformat": 4, "metadata": {"title": " The\n title "}, "cells": [markdown("# Other")]});
    assert_eq!(import(&with_title).title.as_deref(), Some("The title"));
    assert_eq!(import(&json!({"nbformat": 4})).content, "");
}

#[test]
fn fences_in_markdown_cells_never_run() {
    let source = "```\nrm -rf\n```\n\n```python\nimport os\n```\n~~~{python}\n1\n~~~\n```{python}\n2\n```\n````{python}\n```\n````\nend\n```py\nopen";
    let imported = import(&cells(json!([markdown(source), code("run")])));
    let expected = [
        ('d', "text:rm -rf\n"),
        ('d', "python:import os\n"),
        ('d', "python:1\n"),
        ('d', "python:2\n"),
        ('d', "python:```\n"),
        ('p', "end\n"),
        ('d', "py:open\n"),
        ('c', "run\n"),
    ];
    assert_eq!(blocks(&imported), expected.map(|(kind, text)| (kind, text.to_owned())));
}

#[test]
fn code_that_holds_fences_stays_whole() {
    for source in [
        "prompt = '''\n```\nx\n```\n'''\n",
        "'''\n   `````\n'''\n",
        "# ```\nx = 1\n# ```\n",
        "'''\n```python\n'''\n",
        "'''\n~~~\n'''\n",
    ] {
        let imported = import(&cells(json!([markdown("text"), code(source), markdown("after")])));
        assert_eq!(
            blocks(&imported),
            [('p', "text\n".to_owned()), ('c', source.to_owned()), ('p', "after\n".to_owned())]
        );
    }
}

#[test]
fn prose_stays_prose() {
    for source in [
        "# ```\n# import os\n# ```",
        "# One\n# Two",
        "import pymd\n# Title",
        "# - item",
        "# ---\n# packages: [evil]\n# ---\ntext",
        "#!/bin/sh",
        "    ```\n    x\n    ```",
        "> ```\n> x\n> ```",
        "---\n\nrule\n\n---",
        "text\u{b}\u{c} and \u{2028} more",
    ] {
        for follow in [json!([markdown("  "), markdown(source)]), json!([markdown(source), code("1")])] {
            let imported = import(&cells(follow));
            assert_eq!(blocks(&imported)[0], ('p', format!("{source}\n")), "{}", imported.content);
            assert_eq!(parse(&imported.content).front_matter, None);
        }
    }
    let imported = import(&cells(json!([markdown("// a comment?\n  //x\ny // z")])));
    assert_eq!(blocks(&imported), [('p', "\\// a comment?\n  \\//x\ny // z\n".to_owned())]);
}

#[test]
fn front_matter_of_the_first_cell_stays() {
    for first in [
        json!({"cell_type": "raw", "metadata": {}, "source": "---\ntitle: Front\ntoc: true\n---"}),
        markdown("---\r\ntitle: Front\r\ntoc: true\r\n---\r\n\r\n"),
    ] {
        let imported = import(&cells(json!([first, markdown("text")])));
        let document = parse(&imported.content);
        assert_eq!(document.front_matter.as_deref(), Some("title: Front\ntoc: true\n"));
        assert_eq!(imported.title.as_deref(), Some("Front"));
        assert_eq!(texts(&document), [('p', "text\n".to_owned())]);
    }
}

#[test]
fn magic_becomes_comments() {
    let source = "%matplotlib inline\n!pip install x \\\n  y\nimport os\nif os:\n    !ls\n    %time f()\nfiles = !ls\nos?\n?os\n\
        a = (7\n% 3)\nb = 7 \\\n% 3\ns = '''\n%keep\n!keep\n'''\nc = 1  # what?\nd = a != b\ne = \"'''\"\n%last\n";
    let expected = "# %matplotlib inline\n# !pip install x \\\n#   y\nimport os\nif os:\n    pass  # !ls\n    pass  # %time f()\n\
        # files = !ls\n# os?\n# ?os\na = (7\n% 3)\nb = 7 \\\n% 3\ns = '''\n%keep\n!keep\n'''\nc = 1  # what?\nd = a != b\n\
        e = \"'''\"\n# %last\n";
    let imported = import(&cells(json!([markdown("x"), code(source)])));
    assert_eq!(blocks(&imported)[1], ('c', expected.to_owned()));
    assert_eq!(imported.warnings.len(), 8);
    insta::assert_snapshot!(imported.warnings[0], @"cell 2, line 1: `%matplotlib inline` is no Python and is kept as a comment");
    let imported = import(&cells(json!([code("%%time\nx = 1"), code("\n%%bash -e\nls"), code("%%writefile a\nb")])));
    let expected = [('c', "# %%time\nx = 1\n"), ('d', "bash:\n%%bash -e\nls\n"), ('d', "text:%%writefile a\nb\n")];
    assert_eq!(blocks(&imported), expected.map(|(kind, text)| (kind, text.to_owned())));
    assert_eq!(imported.warnings.len(), 3);
}

#[test]
fn notebooks_in_other_languages_are_shown() {
    let mut notebook = cells(json!([code("cat(1)"), markdown("text")]));
    notebook["metadata"] = json!({"kernelspec": {"language": "R", "name": "ir"}});
    let imported = import(&notebook);
    assert_eq!(blocks(&imported), [('d', "r:cat(1)\n".to_owned()), ('p', "text\n".to_owned())]);
    assert_eq!(imported.warnings, ["the notebook is written in R: its code is shown and does not run"]);
    notebook["metadata"] = json!({"language_info": {"name": "`\n```\n` x"}});
    assert_eq!(blocks(&import(&notebook))[0], ('d', "x:cat(1)\n".to_owned()));
}

#[test]
fn attachments_become_data_where_they_are_small() {
    let png = "iVBORw0KGgouLi4u";
    let with = |text: &str, attachments: Value| {
        let mut cell = markdown(text);
        cell["attachments"] = attachments;
        import(&cells(json!([cell])))
    };
    let imported = with(
        "![a](attachment:a%20b.png) <img src=\"attachment:c.png\">",
        json!({"a b.png": {"image/png": png}, "c.png": {"image/png": [png, "\n"]}}),
    );
    let expected = format!("![a](data:image/png;base64,{png}) <img src=\"data:image/png;base64,{png}\">\n");
    assert_eq!((imported.content, imported.warnings.len()), (expected, 0));
    let large = format!("iVBORw0KGgo{}", "A".repeat(300 << 10));
    for attachments in [
        json!({"a": {"image/png": large}}),
        json!({"a": {"image/png": "bm8gcG5n"}}),
        json!({"a": {"text/html": "<script>"}}),
        json!({"a": {"image/png": 3}}),
        json!({"a": 3}),
        json!({"b": {"image/png": png}}),
        json!([1]),
        json!({}),
    ] {
        let imported = with("![a](attachment:a) ![a](attachment:a)", attachments);
        assert_eq!(imported.content, "![a](attachment:a) ![a](attachment:a)\n");
        assert_eq!(imported.warnings.len(), 1, "{:?}", imported.warnings);
    }
    let medium = format!("iVBORw0KGgo{}", "A".repeat((100 << 10) - 1 - 10));
    let imported = with(&"![a](attachment:a)\n".repeat(10_000), json!({"a": {"image/png": medium}}));
    assert!(imported.content.len() < 5 << 20, "{}", imported.content.len());
    assert_eq!(imported.warnings.len(), 1, "{:?}", imported.warnings);
}

#[test]
fn notebooks_of_format_3() {
    let notebook = json!({"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": "x"}, "worksheets": [
        {"cells": [
            {"cell_type": "heading", "level": 2, "metadata": {}, "source": ["Head"]},
            {"cell_type": "code", "collapsed": false, "input": ["print 1"], "language": "python", "outputs": []},
        ]},
        {"cells": [{"cell_type": "html", "source": "<b>"}]},
    ]});
    let expected = [('p', "## Head\n"), ('c', "print 1\n"), ('d', "html:<b>\n")];
    assert_eq!(blocks(&import(&notebook)), expected.map(|(kind, text)| (kind, text.to_owned())));
}

#[test]
fn what_is_no_notebook_says_what_and_where() {
    let error = |text: &str| import_notebook(text.as_bytes()).expect_err(text).to_string();
    let mut messages = Vec::new();
    for text in [
        "",
        "[]",
        "# Markdown",
        "{",
        "{\"cells\": []}",
        "{\"nbformat\": \"4\"}",
        "{\"nbformat\": 2}",
        "{\"nbformat\": 4, \"cells\": {}}",
        "{\"nbformat\": 4, \"cells\": [7]}",
        "{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\", \"source\": \"\"}, [\"code\", \"x\"]]}",
        "{\"nbformat\": 4, \"cells\": [{}]}",
        "{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"video\", \"source\": \"\"}]}",
        "{\"nbformat\": 4, \"cells\": [{\"cell_type\": 3, \"source\": \"\"}]}",
        "{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\"}]}",
        "{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\", \"source\": {\"a\": 1}}]}",
        "{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\", \"source\": [\"a\", 1]}]}",
        "{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\", \"source\": \"\\ud800\"}]}",
    ] {
        messages.push(error(text));
    }
    insta::assert_snapshot!(messages.join("\n"), @r#"
    the file is no notebook: it is no JSON object (line 1, column 1)
    the file is no notebook: it is no JSON object (line 1, column 1)
    the file is no notebook: it is no JSON object (line 1, column 1)
    the file is no notebook: EOF while parsing an object (line 1, column 1)
    the file is no notebook: missing field `nbformat` (line 1, column 13)
    the file is no notebook: invalid type: string "4", expected u64 (line 1, column 16)
    the notebook has format 2; only 3 and 4 can be read
    the file is no notebook: invalid type: map, expected a sequence (line 1, column 25)
    cell 1 of the notebook can't be read: it is no object
    cell 2 of the notebook can't be read: it is no object
    cell 1 of the notebook can't be read: missing field `cell_type`
    cell 1 of the notebook can't be read: `cell_type` is "video", not code, markdown or raw
    cell 1 of the notebook can't be read: invalid type: integer `3`, expected a string
    cell 1 of the notebook can't be read: `source` is missing
    cell 1 of the notebook can't be read: invalid type: map, expected a text or a list of texts
    cell 1 of the notebook can't be read: invalid type: integer `1`, expected a string
    cell 1 of the notebook can't be read: unexpected end of hex escape
    "#);
    assert_eq!(import_notebook(b"{\"a\": \"\xff\"}"), Err(ImportError::NotText { at: 7 }));
    assert!(import_notebook("\u{feff}{\"nbformat\": 4}".as_bytes()).is_ok());
    let long =
        format!("{{\"nbformat\": 4, \"cells\": [{{\"cell_type\": \"{}\", \"source\": 1}}]}}", "x".repeat(1 << 20));
    assert!(error(&long).len() < 300);
}

#[test]
fn wrong_types_are_errors_or_nothing_but_never_a_panic() {
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!("```"),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"a": [{}]}),
    ];
    let base = json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {"title": "t", "kernelspec": {"language": "python"}},
        "cells": [{"cell_type": "markdown", "source": "![](attachment:a)", "metadata": {}, "attachments": {"a": {"image/png": "x"}}, "id": "a"}],
        "worksheets": [{"cells": []}]});
    let places = [
        "/nbformat",
        "/metadata",
        "/metadata/title",
        "/metadata/kernelspec",
        "/metadata/kernelspec/language",
        "/cells",
        "/cells/0",
        "/cells/0/cell_type",
        "/cells/0/source",
        "/cells/0/attachments",
        "/cells/0/attachments/a",
        "/cells/0/attachments/a/image~1png",
        "/worksheets",
        "/worksheets/0",
        "/worksheets/0/cells",
        "/cells/0/id",
    ];
    for place in places {
        for value in &values {
            let mut notebook = base.clone();
            *notebook.pointer_mut(place).expect(place) = value.clone();
            if let Ok(imported) = import_notebook(notebook.to_string().as_bytes()) {
                assert!(parse(&imported.content).cells().next().is_none(), "{notebook}");
            }
        }
    }
}

#[test]
fn expensive_notebooks_take_linear_time() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(200_000), close.repeat(200_000));
    let large = "A".repeat(20 << 20);
    let many = serde_json::to_string(&vec![code("!x\nprint(1)"); 10_000]).expect("JSON");
    let magic = "!x \\\n".repeat(200_000);
    let names = "attachment:".repeat(100_000);
    let bombs = [
        format!("{{\"nbformat\": 4, \"cells\": {}}}", deep("[", "]")),
        format!("{{\"nbformat\": 4, \"cells\": [], \"x\": {}}}", deep("{\"a\":", "}").replace(":}", ":1}")),
        format!(
            "{{\"nbformat\": 4, \"cells\": [{{\"cell_type\": \"code\", \"source\": \"x\", \"outputs\": {}}}]}}",
            deep("[", "]")
        ),
        format!(
            "{{\"nbformat\": 4, \"cells\": [{{\"cell_type\": \"code\", \"source\": \"x\", \"outputs\": [\"{large}\"]}}]}}"
        ),
        format!("{{\"nbformat\": 4, \"cells\": [{{\"cell_type\": \"markdown\", \"source\": {}}}]}}", deep("[", "]")),
        format!("{{\"nbformat\": 4, \"metadata\": {}, \"cells\": []}}", deep("[", "]")),
        format!("{{\"nbformat\": 4, \"cells\": {many}}}"),
        cells(json!([code(&magic)])).to_string(),
        cells(json!([code(&"'\"".repeat(500_000)), code(&"`".repeat(1 << 20)), markdown(&"```\n".repeat(200_000))]))
            .to_string(),
        cells(json!([markdown(&"//\n".repeat(300_000)), markdown(&"# ```\n".repeat(200_000))])).to_string(),
        json!({"nbformat": 4, "cells": [{"cell_type": "markdown", "source": names, "attachments": {}}]}).to_string(),
    ];
    for bomb in bombs {
        let start = Instant::now();
        let imported = import_notebook(bomb.as_bytes());
        let took = start.elapsed();
        let name: String = bomb.chars().take(60).collect();
        assert!(took < Duration::from_secs(5), "{name} took {took:?}");
        if let Ok(imported) = imported {
            assert!(imported.warnings.len() <= 101, "{name}");
            assert!(imported.content.len() < 2 * bomb.len() + 100, "{name}");
        }
    }
    let many = import(&cells(Value::Array(vec![code("print(1)"); 10_000])));
    assert_eq!(parse(&many.content).cells().count(), 10_000);
}

#[test]
fn markdown_of_elsewhere() {
    let source = "---\ntitle: T\nformat: html\n---\n\n# Head\n\n```{python}\n#| echo: false\n1\n```\n\n```python\n2\n```\n\n```\nplain\n```\n\n\
        ```bash\nls\n```\n\n~~~py\n```\n~~~\n\n```{{python}}\n3\n```\n\n````python\n4\n````\n\n// slashes\n";
    let imported = import_markdown(source);
    assert_eq!(imported.title.as_deref(), Some("T"));
    let document = parse(&imported.content);
    assert_eq!(document.front_matter.as_deref(), Some("title: T\nformat: html\n"));
    let expected = [
        ('p', "# Head\n"),
        ('c', "#| echo: false\n1\n"),
        ('c', "2\n"),
        ('d', "text:plain\n"),
        ('d', "bash:ls\n"),
        ('c', "```\n"),
        ('d', "python:3\n"),
        ('c', "4\n"),
        ('p', "\\// slashes\n"),
    ];
    assert_eq!(texts(&document), expected.map(|(kind, text)| (kind, text.to_owned())));
    for (source, title) in [("", None), ("# A #\r\n", Some("A")), ("## B", None), ("```\n# no\n```", None)] {
        assert_eq!(import_markdown(source).title.as_deref(), title, "{source}");
    }
}
