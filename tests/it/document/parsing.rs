use pymd::document::{Block, Document, Spelling, parse};

pub(super) fn prose(block: &Block) -> &str {
    match block {
        Block::Prose { markdown, .. } => markdown,
        other => panic!("not prose: {other:?}"),
    }
}

fn codes(document: &Document) -> Vec<(usize, &str, usize)> {
    document.cells().map(|cell| (cell.index, cell.code, cell.line)).collect()
}

fn kinds(source: &str) -> String {
    let kind = |block: &Block| match block {
        Block::Prose { .. } => 'p',
        Block::Cell { .. } => 'c',
        Block::Display { .. } => 'd',
    };
    parse(source).blocks.iter().map(kind).collect()
}

#[test]
fn the_plain_spelling() {
    let document =
        parse("# Title\n\ntext\n```\nx = 1\n```\n\n```python\nprint(x)\n\n```\n````\n```\nshown\n```\n````\nend\n");
    assert_eq!(document.spelling, Spelling::Plain);
    assert_eq!(prose(&document.blocks[0]), "# Title\n\ntext\n");
    assert_eq!(codes(&document), [(0, "x = 1\n", 5), (1, "print(x)\n\n", 9)]);
    let display = Block::Display { code: "```\nshown\n```\n".to_owned(), language: None, line: 13 };
    assert_eq!(document.blocks[3], display);
    assert_eq!(document.blocks[4], Block::Prose { markdown: "end\n".to_owned(), line: 17 });
}

#[test]
fn the_commented_spelling() {
    let source =
        "import pymd\n\n# # Title\n#\n# text\n# ```\nx = 1\n# a comment\n```\n# ```\n\n# ````\ny = 2\n# ````\n";
    let document = parse(source);
    assert_eq!(document.spelling, Spelling::Commented);
    assert_eq!(document.blocks[0], Block::Prose { markdown: "# Title\n\ntext\n".to_owned(), line: 3 });
    assert_eq!(codes(&document), [(0, "x = 1\n# a comment\n```\n", 7)]);
    assert_eq!(document.blocks[2], Block::Display { code: "y = 2\n".to_owned(), language: None, line: 13 });
}

#[test]
fn both_spellings_say_the_same() {
    let plain = parse("Text\n\n- a\n- b\n\n```\n1 + 1\n```\n\n````sql\nSELECT 1\n````\n");
    let commented = parse("# Text\n#\n# - a\n# - b\n#\n# ```\n1 + 1\n# ```\n#\n# ````sql\n# SELECT 1\n# ````\n");
    assert_eq!(plain.blocks, commented.blocks);
}

#[test]
fn the_first_fence_tells_the_spelling() {
    for (source, spelling) in [
        ("", Spelling::Plain),
        ("# Title", Spelling::Plain),
        ("# Title\n\n## Part\n\n### Part\n", Spelling::Plain),
        ("# Title\n\ntext", Spelling::Plain),
        ("# # Title", Spelling::Commented),
        ("# One line of text,\n# and one more.", Spelling::Commented),
        ("import pymd\n# Title", Spelling::Commented),
        ("# Title\n#\n# text", Spelling::Commented),
        ("#hashtag", Spelling::Plain),
        ("# ```\nprint('```')\n# ```", Spelling::Commented),
        ("```\n# ```\n```", Spelling::Plain),
        ("---\ntitle: x\n---\n# ```\n1\n# ```\n", Spelling::Commented),
        ("#```\n1\n#```\n", Spelling::Commented),
        ("// plain\n# One line of text,\n# and one more.", Spelling::Plain),
        ("// plain\n# ```\n1\n# ```", Spelling::Plain),
        ("# // plain\n# ```\n1\n# ```", Spelling::Commented),
    ] {
        assert_eq!(parse(source).spelling, spelling, "{source:?}");
    }
}

#[test]
fn dropped_lines_leave_line_numbers_alone() {
    let source = "// one\ntext\n  // two\nmore\n```\n// stays\n1 // 2\n```\n````\n// stays\n````\n";
    let document = parse(source);
    assert_eq!(prose(&document.blocks[0]), "text\nmore\n");
    assert_eq!(codes(&document), [(0, "// stays\n1 // 2\n", 6)]);
    assert_eq!(document.blocks[2], Block::Display { code: "// stays\n".to_owned(), language: None, line: 10 });

    let document = parse(
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\nfrom pymd import *\n# a\n# // no\n// no\n# b\n# ```\n1\n# ```\n",
    );
    assert_eq!(prose(&document.blocks[0]), "a\nb\n");
    assert_eq!(codes(&document), [(0, "1\n", 9)]);
}

#[test]
fn imports_stay_inside_cells() {
    let document = parse("# ```\nimport pymd\npymd.h1('x')\n# ```\nimport pymd as md\nimport pymdx\n");
    assert_eq!(codes(&document), [(0, "import pymd\npymd.h1('x')\n", 2)]);
    assert_eq!(prose(&document.blocks[1]), "import pymdx\n");
}

#[test]
fn line_ends_and_the_byte_order_mark() {
    let unix = parse("# T\n\n```\na\n\tb\n```\nend\n");
    for source in ["\u{feff}# T\r\n\r\n```\r\na\r\n\tb\r\n```\r\nend", "# T\r\r```\ra\r\tb\r```\rend\r"] {
        assert_eq!(parse(source), unix, "{source:?}");
    }
}

#[test]
fn fences() {
    for (source, expected) in [
        ("```\n1\n```", "c"),
        ("```py\n1\n```", "c"),
        ("```Python title=x\n1\n```", "c"),
        ("```{python}\n1\n```", "c"),
        ("```{.python .x}\n1\n```", "c"),
        ("```bash\nls\n```", "d"),
        ("````python\n1\n````", "d"),
        ("~~~\n```\n~~~", "d"),
        ("`````\n````\n```\n````\n`````\n", "d"),
        ("```\n1\n`````\ntext", "cp"),
        ("   ```\n   1\n  ```\n", "c"),
        ("    ```\n    1\n    ```\n", "p"),
        ("```a``` inline", "p"),
        ("``\n1\n``", "p"),
        ("```\n1", "c"),
        ("```", "c"),
        ("```\n```\n```\n```", "cc"),
        ("````\n```\n1\n```\n", "d"),
        ("> ```\n> 1\n> ```\n", "p"),
        ("# ```\n1\n# ```\n```\n2\n# ```\n```\n# t", "ccp"),
        ("# ~~~\n# x\n# ~~~\n", "d"),
        ("````{python}\n```\n````\n", "c"),
        ("````{}\n```\n````\n", "c"),
        ("# ````{py}\n# ```\n# ````\n", "c"),
        ("````{.python}\n1\n````\n````{{python}}\n1\n````\n````{r}\n1\n````\n````{#a}\n1\n````\n", "dddd"),
    ] {
        assert_eq!(kinds(source), expected, "{source:?}");
    }
}

#[test]
fn places_in_cells_are_places_in_the_source() {
    let document = parse("text\n\n  ```\n    é = (\n  x\n y\n  ```\n");
    let cell = document.cells().next().expect("a cell");
    assert_eq!(cell.code, "  é = (\nx\ny\n");
    assert_eq!(cell.position(1, 3), (4, 5));
    assert_eq!(cell.position(2, 1), (5, 3));
    assert_eq!(cell.position(3, 1), (6, 2));
    // Python says that a text ends unexpectedly behind its last line.
    assert_eq!(cell.position(4, 1), (6, 2));
    assert_eq!(cell.position(0, 0), (4, 3));

    let document = parse("# ```\nx = (\n# ```\n");
    let cell = document.cells().next().expect("a cell");
    assert_eq!(cell.position(1, 5), (2, 5));
}

#[test]
fn front_matter_and_its_title() {
    for (source, title) in [
        ("---\ntitle: A report\n---\ntext", Some("A report")),
        ("---\nauthor: x\ntitle: \"A \\\"good\\\" one\" # no\n---\ntext", Some("A \"good\" one")),
        ("---\ntitle: 'It''s'\n...\ntext", Some("It's")),
        ("---\ntitle: >\n  Folded\n---\ntext", Some("Folded")),
        ("---\ntitle:\n---\ntext", None),
        ("---\na: 1\n---\ntext", None),
        ("# ---\n# title: Commented\n# ---\n# text\n# - a", Some("Commented")),
        ("import pymd\n\n# ---\n# title: Below\n# ---\n# text\n# - a", Some("Below")),
        ("---\r\ntitle: CRLF\r\n---\r\ntext", Some("CRLF")),
        ("---\ntitle: 'open\n---\ntext", Some("open")),
        ("---\ntitle: '\n---\ntext", None),
    ] {
        let document = parse(source);
        assert_eq!(document.title.as_deref(), title, "{source:?}");
        assert!(document.front_matter.is_some(), "{source:?}");
        assert!(prose(&document.blocks[0]).starts_with("text"), "{source:?}");
    }
    for source in
        ["---\n\nA thematic break, and one more:\n\n---\n", "---\ntitle: never closed\n", "text\n---\na: 1\n---\n"]
    {
        assert_eq!(parse(source).front_matter, None, "{source:?}");
    }
}

#[test]
fn examples_parse_without_problems() {
    for (name, source, cells) in [
        ("report.pymd", include_str!("../../../examples/report.pymd"), 6),
        ("tour.pymd", include_str!("../../../examples/tour.pymd"), 11),
        ("plain.md", include_str!("../../../examples/plain.md"), 3),
    ] {
        assert_eq!(pymd::document::check(source), [], "{name}");
        assert_eq!(parse(source).cells().count(), cells, "{name}");
    }
}
