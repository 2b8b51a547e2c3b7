//! What cells and front matter say about how they are run and shown.

use pymd::document::{
    CellOptions, Document, Format, RenderOptions, Settings, Severity, Theme, check, parse, render, render_cell,
    render_report, settings,
};
use pymd::domain::{LimitsRequest, Outcome, Output};
use serde_json::{Value, json};

use super::injection::{VECTORS, assert_harmless};
use super::{display, render_as, report, stderr, stdout};

fn options(lines: &str) -> CellOptions {
    let document = parse(&format!("```\n{lines}\nx\n```\n"));
    document.cells().next().expect("a cell").options.clone()
}

/// Line and message of each problem, all of which are warnings.
fn wrong(source: &str) -> Vec<(usize, String)> {
    let problems = check(source).into_iter();
    let problems = problems.inspect(|problem| assert_eq!(problem.severity, Severity::Warning, "{}", problem.message));
    problems.map(|problem| (problem.line, problem.message)).collect()
}

fn figure() -> Output {
    display(json!({"image/svg+xml": "<svg></svg>", "text/plain": "fallback"}))
}

#[test]
fn options_are_read() {
    let all = "#| echo: true\n#| eval: false\n#| output: false\n#|   # a comment\n#| warning: true\n#| label: fig-a\n\
        #| fig-cap: \"One: a # caption\"\n#| cache: false\n#|timeout: 1.5";
    let expected = CellOptions {
        echo: Some(true),
        eval: Some(false),
        output: Some(false),
        warning: Some(true),
        label: Some("fig-a".to_owned()),
        fig_cap: vec!["One: a # caption".to_owned()],
        cache: Some(false),
        timeout_ms: Some(1_500),
    };
    assert_eq!(options(all), expected);
    for list in ["#| fig-cap:\n#|   - a\n#|   - 'b'", "#| fig-cap:\n#| - a\n#| - b", "#| fig-cap: [a, b]"] {
        assert_eq!(options(list).fig_cap, ["a", "b"], "{list}");
    }
    assert_eq!(options("#| fig-cap: >\n#|   two\n#|   lines").fig_cap, ["two lines\n"]);
    assert_eq!(options("#| label: 12").label.as_deref(), Some("12"));
    assert_eq!(options("#| timeout: 30").timeout_ms, Some(30_000));
    for none in ["", "x = 1\n#| echo: true", "# | echo: true", "  #| echo: true", "#|", "# text"] {
        assert_eq!(options(none), CellOptions::default(), "{none:?}");
    }
}

#[test]
fn both_spellings_have_options_and_the_code_keeps_them() {
    for source in ["text\n\n```\n#| echo: true\n1 / 0\n```\n", "# text\n\n# ```\n#| echo: true\n1 / 0\n# ```\n"] {
        let document = parse(source);
        let cell = document.cells().next().expect("a cell");
        assert_eq!(cell.code, "#| echo: true\n1 / 0\n");
        assert_eq!(cell.position(2, 1), (5, 1));
        assert_eq!(cell.options.echo, Some(true));
        assert_eq!(check(source), []);
    }
}

#[test]
fn wrong_options_are_warnings_with_their_line() {
    let source = "text\n\n```\n#| echo: maybe\n#| color: red\n#| label: a\n#| fig-cap: {a: b}\n#| timeout: -1\n\
        #| just words\n#| label: b\n#| cache:\nx\n```\n";
    insta::assert_debug_snapshot!(wrong(source), @r#"
    [
        (
            4,
            "`echo` must be true or false",
        ),
        (
            5,
            "`color` is no option of a cell: these are echo, eval, output, warning, label, fig-cap, cache and timeout",
        ),
        (
            7,
            "`fig-cap` must be a text or a list of texts",
        ),
        (
            8,
            "`timeout` must be seconds: a number above 0, at most 86400",
        ),
        (
            9,
            "this is no option: write `#| key: value`",
        ),
        (
            10,
            "`label` stands here twice: the first one counts",
        ),
        (
            11,
            "`cache` must be true or false",
        ),
    ]
    "#);
    let document = parse(source);
    let expected = CellOptions { label: Some("a".to_owned()), ..CellOptions::default() };
    assert_eq!(document.cells().next().expect("a cell").options, &expected);
    for (line, count) in [
        ("echo: [", 1),
        ("echo: *a", 1),
        ("timeout: .inf", 1),
        ("timeout: 1e300", 1),
        ("timeout: .nan", 1),
        ("label: ''", 1),
        ("fig-cap: 'open", 1),
        ("fig-cap: &a [*a, *a]", 1),
        ("\"echo\": true", 0),
    ] {
        assert_eq!(wrong(&format!("```\n#| {line}\nx\n```\n")).len(), count, "{line}");
    }
    // The column is that of the source.
    let problems = check("  ```\n  #| echo: 3\n  x\n  ```\n");
    assert_eq!((problems[0].line, problems[0].column), (2, 3));
}

#[test]
fn problems_of_options_are_in_order_and_bounded() {
    let source = "```\n#| echo: 3\n```python\nx\n```\n\n```\n#| no: 1\n```\n";
    let lines: Vec<usize> = wrong(source).iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3, 8]);
    assert!(check(&format!("```\n{}```\n", "#| a: 1\n".repeat(100_000))).len() <= 102);
    assert!(check(&"```\n#| a: 1\n```\n".repeat(10_000)).len() <= 1_001);
    assert_eq!(options(&format!("#| label: {}", "x".repeat(1 << 20))).label, None);
    assert_eq!(options(&format!("#| fig-cap: {}", "[".repeat(10_000))).fig_cap, [""; 0]);
    let aliases = "#| fig-cap: [&a [x,x,x,x,x,x,x,x], &b [*a,*a,*a,*a], &c [*b,*b,*b,*b], [*c,*c,*c,*c]]";
    assert_eq!(options(aliases).fig_cap, [""; 0]);
}

#[test]
fn echo_counts_more_than_the_default() {
    let source = "```\n#| echo: true\nSHOWN\n```\n\n```\n#| echo: false\nHIDDEN\n```\n\n```\nOTHER\n```\n";
    for format in [Format::Html, Format::Page, Format::Markdown] {
        for show_code in [false, true] {
            let options = RenderOptions { format, show_code, ..RenderOptions::default() };
            let out = render(&parse(source), &[], &options);
            assert!(out.contains("SHOWN") && !out.contains("HIDDEN"), "{out}");
            assert_eq!(out.contains("OTHER"), show_code, "{out}");
            assert!(!out.contains("#|"), "{out}");
        }
        let by_front = render_as(format, &format!("---\necho: true\n---\n{source}"), &[]);
        assert!(by_front.contains("OTHER") && !by_front.contains("HIDDEN"), "{by_front}");
    }
}

#[test]
fn outputs_and_warnings_are_left_out_but_errors_are_not() {
    let error = || Output::Error { ename: "E".to_owned(), evalue: "WRONG".to_owned(), traceback: vec![] };
    let all = || vec![stdout("PRINTED"), stderr("WARNED"), figure(), error()];
    for (lines, printed, warned) in
        [("", true, true), ("#| warning: false", true, false), ("#| output: false", false, false)]
    {
        let source = format!("```\n{lines}\nx\n```\n");
        for format in [Format::Html, Format::Page, Format::Markdown, Format::Json] {
            let mut cell = report(all());
            cell.outcome = Outcome::OutOfFuel { limit: 31 };
            let out = render_as(format, &source, &[cell]);
            assert_eq!(out.contains("PRINTED"), printed, "{lines}: {out}");
            assert_eq!(out.contains("svg"), printed, "{lines}: {out}");
            assert_eq!(out.contains("WARNED"), warned, "{lines}: {out}");
            assert!(out.contains("WRONG") && out.contains("31"), "{lines}: {out}");
        }
    }
}

#[test]
fn a_cell_that_is_not_to_run_is_silent() {
    let source = "```\n#| eval: false\nUNSEEN\n```\n\n```\nsecond\n```\n";
    let reports = [report(vec![stdout("NEVER")]), report(vec![stdout("RAN")])];
    for format in [Format::Html, Format::Page, Format::Markdown, Format::Json] {
        let out = render_as(format, source, &reports);
        assert!(!out.contains("NEVER") && out.contains("RAN") && !out.contains("was not run"), "{out}");
        assert_eq!(out.contains("UNSEEN"), format == Format::Json, "{out}");
    }
    assert!(
        render_as(Format::Html, source, &reports).contains("data-cell=\"0\" data-line=\"2\" data-outcome=\"not_run\"")
    );
    let value: Value = serde_json::from_str(&render_as(Format::Json, source, &reports)).expect("JSON");
    assert_eq!(value["blocks"][0]["options"], json!({"eval": false}));
    assert_eq!(value["blocks"][0]["outcome"], Value::Null);
    assert!(!options("#| eval: false").runs() && options("").runs());
}

#[test]
fn captions_stand_below_figures_in_order() {
    let source = "```\n#| fig-cap: [One & <b>, 'Two ]']\nx\n```\n";
    let reports = [report(vec![figure(), stdout("between"), figure(), figure()])];
    let html = render_as(Format::Html, source, &reports);
    let captions: Vec<&str> = html.split("<figcaption>").skip(1).map(|rest| rest.split_once('<').unwrap().0).collect();
    assert_eq!(captions, ["One &amp; &lt;b&gt;", "Two ]"]);
    assert_eq!(html.matches("<figure").count(), 3);
    assert!(html.contains("alt=\"One &amp; &lt;b&gt;\""), "{html}");
    let markdown = render_as(Format::Markdown, source, &reports);
    assert!(markdown.contains("![One &amp; &lt;b&gt;](data:"), "{markdown}");
    assert!(markdown.contains("![Two \\]](data:") && markdown.contains("![Figure](data:"), "{markdown}");
}

#[test]
fn labels_become_unique_ids_that_prose_can_link_to() {
    let source =
        "See [it](#fig-a).\n\n# fig-a\n\n```\n#| label: fig-a\nx\n```\n\n```\n#| label: \"b c\\\"><script>\"\nx\n```\n";
    let html = render_as(Format::Html, source, &[]);
    assert!(html.contains("href=\"#user-content-fig-a\""), "{html}");
    assert!(html.contains("<h1 id=\"user-content-fig-a\">"), "{html}");
    assert!(html.contains("<section class=\"pymd-cell\" id=\"user-content-fig-a-1\" data-cell=\"0\""), "{html}");
    assert!(html.contains(" id=\"user-content-b-c---script-\""), "{html}");
    let markdown = render_as(Format::Markdown, source, &[]);
    assert!(
        markdown.contains("<a id=\"fig-a\"></a>") && markdown.contains("<a id=\"b-c---script-\"></a>"),
        "{markdown}"
    );
    let twice = "```\n#| label: a\n```\n\n```\n#| label: a\n```\n";
    assert_eq!(wrong(twice), [(6, "the cell on line 2 has the label `a` too".to_owned())]);
    assert!(render_as(Format::Html, twice, &[]).contains("id=\"user-content-a-1\""));
}

#[test]
fn nothing_runs_from_labels_and_captions() {
    for vector in VECTORS {
        let text = serde_json::to_string(vector).expect("JSON is YAML");
        let source = format!(
            "```\n#| label: {text}\n#| fig-cap: {text}\n#| {vector}\nx\n```\n",
            vector = vector.replace('\n', " ")
        );
        let reports = [report(vec![figure()])];
        assert_harmless(&render_as(Format::Html, &source, &reports), vector);
        let markdown = render_as(Format::Markdown, &source, &reports);
        assert_harmless(&render_as(Format::Html, &markdown, &[]), vector);
        assert!(!markdown.contains("<script") && !markdown.contains("<img"), "{markdown}");
    }
}

#[test]
fn a_cell_by_itself_honours_its_options() {
    let document = parse("```\n#| warning: false\n#| fig-cap: Cap\nx\n```\n\n```\n#| eval: false\nx\n```\n");
    let cells: Vec<_> = document.cells().collect();
    let both = report(vec![stderr("WARNED"), figure()]);
    let html = render_cell(cells[0], &both);
    assert!(!html.contains("WARNED") && html.contains("<figcaption>Cap</figcaption>"), "{html}");
    assert_eq!(render_cell(cells[1], &both), "");
    assert!(render_report(0, &both).contains("WARNED"));
}

fn front(yaml: &str) -> Document {
    let document = parse(&format!("---\n{yaml}---\ntext\n"));
    assert!(document.front_matter.is_some(), "{yaml}");
    document
}

#[test]
fn settings_are_read() {
    assert_eq!(settings(&parse("text")), Settings::default());
    assert!(Settings::default().cache);
    let all = "title: T\nauthor: [a, b\nunknown: {}\ntheme: dark\ntoc: true # yes\ncache: false\nshow_code: false\nlimits:\n  fuel: 5\n  wall_ms: 1000\n";
    let expected = Settings {
        title: Some("T".to_owned()),
        theme: Theme::Dark,
        toc: true,
        show_code: Some(false),
        cache: false,
        limits: LimitsRequest { fuel: Some(5), wall_ms: Some(1_000), ..LimitsRequest::default() },
    };
    assert_eq!(settings(&front(all)), expected);
    let flow = settings(&front("limits: {memory_bytes: 67108864, output_bytes: 9}\n"));
    assert_eq!((flow.limits.memory_bytes, flow.limits.output_bytes), (Some(64 << 20), Some(9)));
}

#[test]
fn wrong_settings_are_warnings_with_their_line() {
    let yaml = "title: T\ntheme: blue\ntoc: [1]\ncache: 7\nlimits:\n  fuel: -1\n  speed: 3\n  wall_ms: fast\n";
    let found = wrong(&format!("---\n{yaml}---\ntext\n"));
    insta::assert_debug_snapshot!(found, @r#"
    [
        (
            3,
            "`theme` must be light, dark or auto",
        ),
        (
            4,
            "`toc` must be true or false",
        ),
        (
            5,
            "`cache` must be true or false",
        ),
        (
            7,
            "the limit `fuel` must be a whole number, at least 1",
        ),
        (
            8,
            "`speed` is no limit: these are fuel, memory_bytes, wall_ms and output_bytes",
        ),
        (
            9,
            "the limit `wall_ms` must be a whole number, at least 1",
        ),
    ]
    "#);
    assert_eq!(settings(&front(yaml)), Settings { title: Some("T".to_owned()), ..Settings::default() });
    assert_eq!(wrong("import pymd\n# ---\n# toc: 3\n# ---\n# text\n")[0].0, 3);
    for yaml in ["limits: 3\n", "limits: [1]\n", "limits: {fuel: 0}\n", "limits: {fuel: 1e400}\n", "limits: [[[[\n"] {
        assert_eq!(settings(&front(yaml)).limits, LimitsRequest::default(), "{yaml}");
        assert_eq!(wrong(&format!("---\n{yaml}---\ntext\n")).len(), 1, "{yaml}");
    }
}

#[test]
fn a_table_of_contents() {
    let source = "---\ntoc: true\n---\n# A & `<b>`\n\n### Deep\n\n## B\n\n```\nx\n```\n\n## B\n\n#### Too deep\n\n#\n";
    let html = render_as(Format::Html, source, &[report(vec![stdout("# Printed"), stdout("## B")])]);
    let nav = html.split_once("<nav").expect("a list").1.split_once("</nav>").expect("its end").0;
    insta::assert_snapshot!(nav, @r##"
     class="pymd-toc" aria-label="Contents">
    <ul>
    <li><a href="#user-content-a--b">A &amp; &lt;b&gt;</a><ul>
    <li><a href="#user-content-deep">Deep</a></li>
    </ul><ul>
    <li><a href="#user-content-b">B</a></li>
    </ul></li>
    <li><a href="#user-content-printed">Printed</a><ul>
    <li><a href="#user-content-b-1">B</a></li>
    <li><a href="#user-content-b-1-1">B</a></li>
    </ul></li>
    </ul>
    "##);
    assert!(html.starts_with("<div class=\"pymd\">\n<nav class=\"pymd-toc\""), "{html}");
    for target in nav.split("href=\"#").skip(1).map(|rest| rest.split_once('"').expect("a quote").0) {
        assert_eq!(html.matches(&format!(" id=\"{target}\"")).count(), 1, "{target}");
    }
    assert!(!render_as(Format::Html, "# A", &[]).contains("<nav"));
    assert!(!render_as(Format::Html, "---\ntoc: true\n---\ntext", &[]).contains("<nav"));
    assert!(render_as(Format::Page, source, &[]).contains("<nav"));
}

#[test]
fn nothing_runs_from_a_table_of_contents() {
    for vector in VECTORS {
        let line = vector.replace('\n', " ");
        let source = format!("---\ntoc: true\n---\n# {line}\n\n<h2 id=\"x\" title=\"{line}\">{line}</h2>\n\n# end\n");
        assert_harmless(&render_as(Format::Html, &source, &[]), vector);
    }
    let many = format!("---\ntoc: true\n---\n{}", format!("# same\n\n{}\n\n", "text ".repeat(40)).repeat(1_500));
    assert_eq!(render_as(Format::Html, &many, &[]).matches("<li>").count(), 1_000);
}

#[test]
fn themes_of_pages() {
    let page = |theme: &str| render_as(Format::Page, &format!("---\ntheme: {theme}\n---\ntext"), &[]);
    for theme in ["auto", "blue"] {
        let page = page(theme);
        assert!(page.contains("content=\"light dark\"") && page.contains("@media (prefers-color-scheme: dark)"));
    }
    for (theme, media) in [("dark", "@media all {"), ("light", "@media not all {")] {
        let page = page(theme);
        assert!(page.contains(&format!("<meta name=\"color-scheme\" content=\"{theme}\">")), "{theme}");
        assert!(page.contains(media) && !page.contains("prefers-color-scheme"), "{theme}");
        assert!(page.contains(&format!("color-scheme: {theme};")), "{theme}");
    }
}
