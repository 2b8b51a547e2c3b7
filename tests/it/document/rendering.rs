use pymd::document::{Format, RenderOptions, parse, render, render_report};
use pymd::domain::Outcome;
use serde_json::{Value, json};

use super::{display, render_as, report, stderr, stdout};

const SOURCE: &str = "---\ntitle: Front\n---\n# Head & *line*\n\ntext[^1] and [link]\n\n```\nx = 1\n```\n\n## Head\n\n````python\nif x: pass\n````\n\n```\ny\n```\n\n[^1]: note\n\n[link]: https://example.org/\n";

#[test]
fn a_fragment() {
    insta::assert_snapshot!(render_as(Format::Html, SOURCE, &[report(vec![stdout("out\n")])]), @r##"
    <div class="pymd">
    <h1 id="user-content-head--line">Head &amp; <em>line</em><a href="#user-content-head--line" aria-label="Link to heading 'Head &amp; line'" class="anchor" rel="noopener noreferrer nofollow"></a></h1>
    <p>text<sup class="footnote-ref"><a href="#user-content-fn-1" id="user-content-fnref-1" rel="noopener noreferrer nofollow">1</a></sup> and <a href="https://example.org/" rel="noopener noreferrer nofollow">link</a></p>
    <section class="pymd-cell" data-cell="0" data-line="9" data-outcome="completed">
    <div class="pymd-out">
    <p>out</p>
    </div>
    </section>
    <h2 id="user-content-head">Head<a href="#user-content-head" aria-label="Link to heading 'Head'" class="anchor" rel="noopener noreferrer nofollow"></a></h2>
    <pre class="pymd-code"><code class="language-python"><span class="hl-k">if</span> x: <span class="hl-k">pass</span></code></pre>
    <section class="pymd-cell" data-cell="1" data-line="19" data-outcome="not_run">
    <p class="pymd-note">This cell was not run.</p>
    </section>
    <section class="footnotes">
    <ol>
    <li id="user-content-fn-1">
    <p>note <a href="#user-content-fnref-1" class="footnote-backref" aria-label="Back to reference 1" rel="noopener noreferrer nofollow">↩</a></p>
    </li>
    </ol>
    </section>
    </div>
    "##);
}

#[test]
fn code_is_shown_on_request() {
    let options = RenderOptions { show_code: true, ..RenderOptions::default() };
    let html = render(&parse("```\nfor a in b: print('<')\n```\n"), &[], &options);
    insta::assert_snapshot!(html, @r#"
    <div class="pymd">
    <section class="pymd-cell" data-cell="0" data-line="2" data-outcome="not_run">
    <pre class="pymd-code"><code class="language-python"><span class="hl-k">for</span> a <span class="hl-k">in</span> b: <span class="hl-b">print</span>(<span class="hl-s">&#39;&lt;&#39;</span>)</code></pre>
    <p class="pymd-note">This cell was not run.</p>
    </section>
    </div>
    "#);
    assert!(!render_as(Format::Html, "```\nsecret_code\n```\n", &[]).contains("secret_code"));
}

#[test]
fn a_page_stands_alone() {
    let page = render_as(Format::Page, SOURCE, &[]);
    assert!(page.starts_with("<!DOCTYPE html>"));
    assert!(page.contains("<title>Front</title>"));
    assert!(page.contains("content=\"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "));
    for absent in ["<script", "<link", "@import", "url("] {
        assert!(!page.contains(absent), "{absent}");
    }
}

#[test]
fn a_page_has_a_title() {
    for (source, title) in [
        ("## Second\n\n# First & `<b>`\n", "First &amp; &lt;b&gt;"),
        ("### Third\n", "Third"),
        ("text", "Document"),
        ("---\ntitle: </title><script>\n---\n", "&lt;/title&gt;&lt;script&gt;"),
        ("# &amp;lt;\n", "&amp;lt;"),
        ("```\n1\n```\n", "Printed"),
    ] {
        let page = render_as(Format::Page, source, &[report(vec![stdout("# Printed")])]);
        assert!(page.contains(&format!("<title>{title}</title>")), "{source:?}");
    }
    let options = RenderOptions { format: Format::Page, title: Some("Given <".to_owned()), ..RenderOptions::default() };
    assert!(render(&parse("# Head"), &[], &options).contains("<title>Given &lt;</title>"));
}

#[test]
fn markdown() {
    let outputs = vec![
        stdout("**out**\n"),
        stderr("careful ``` here\n"),
        display(json!({"text/html": "<b onclick=x>h</b><script>x</script>"})),
        display(json!({"text/plain": "plain"})),
    ];
    insta::assert_snapshot!(render_as(Format::Markdown, SOURCE, &[report(outputs)]), @r"
    ---
    title: Front
    ---

    # Head & *line*

    text[^1] and [link]

    **out**

    ````text
    careful ``` here
    ````

    <b>h</b>

    ```text
    plain
    ```

    ## Head

    ```python
    if x: pass
    ```

    *This cell was not run.*

    [^1]: note

    [link]: https://example.org/
    ");
}

#[test]
fn json() {
    let mut cell = report(vec![stdout("out\n")]);
    cell.outcome = Outcome::OutOfFuel { limit: 9 };
    let value: Value = serde_json::from_str(&render_as(Format::Json, SOURCE, &[cell])).expect("JSON");
    assert_eq!(value["title"], "Front");
    assert_eq!(value["spelling"], "plain");
    assert_eq!(value["front_matter"], "title: Front\n");
    let run = json!({
        "type": "cell", "index": 0, "code": "x = 1\n", "line": 9, "language": null, "options": {},
        "outcome": {"kind": "out_of_fuel", "limit": 9},
        "outputs": [{"type": "stream", "name": "stdout", "text": "out\n"}],
        "fuel_used": 7, "wall_ms": 1.5, "peak_memory_bytes": 9,
    });
    assert_eq!(value["blocks"][1], run);
    assert_eq!(
        value["blocks"][3],
        json!({"type": "display", "code": "if x: pass\n", "language": "python", "line": 15})
    );
    assert_eq!(value["blocks"][4]["outcome"], Value::Null);
    assert_eq!(value["blocks"][4]["outputs"], json!([]));
}

#[test]
fn formats_have_their_api_names() {
    for (format, name) in
        [(Format::Html, "html"), (Format::Page, "page"), (Format::Markdown, "markdown"), (Format::Json, "json")]
    {
        assert_eq!(serde_json::to_value(format).expect("JSON"), name);
    }
}

#[test]
fn references_reach_across_cells_and_ids_are_unique() {
    let source = "[here](#part) and [there](#printed)\n\n```\n1\n```\n\n## Part\n\n```\n2\n```\n\n## Part\n";
    let html = render_as(
        Format::Html,
        source,
        &[report(vec![stdout("## Printed\n\n[^1]\n\n[^1]: a")]), report(vec![stdout("## Part\n\n[^1]\n\n[^1]: b")])],
    );
    let mut ids: Vec<&str> =
        html.split(" id=\"").skip(1).map(|rest| &rest[..rest.find('"').expect("a quote")]).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    for target in ["part", "printed", "fn-0-1", "fnref-1-1"] {
        assert!(html.contains(&format!(" id=\"user-content-{target}\"")), "{target}: {html}");
        assert!(html.contains(&format!(" href=\"#user-content-{target}\"")), "{target}: {html}");
    }
}

#[test]
fn blocks_stay_in_order_whatever_the_prose_does() {
    for prose in [
        "<!-- open",
        "<pre>",
        "<div title=\"",
        "<script>",
        "~~~",
        "> quote",
        "- item",
        "<!--pymd:block:3-->",
        "[a]: <",
        "|a|\n|-|",
        "<textarea>",
        "<table><tr>",
        "<![CDATA[",
    ] {
        let source = format!("{prose}\n\n````\nfirst\n````\n\n```\n1\n```\n\nmiddle\n\n```\n2\n```\n");
        let html =
            render_as(Format::Html, &source, &[report(vec![stdout("CELL-ONE")]), report(vec![stdout("CELL-TWO")])]);
        if prose == "~~~" {
            continue; // All of it is inside.
        }
        let places: Vec<_> =
            ["first", "CELL-ONE", "CELL-TWO"].iter().map(|word| html.find(word).expect(prose)).collect();
        assert!(places.is_sorted(), "{prose}: {html}");
        assert_eq!(html.matches("CELL-ONE").count(), 1, "{prose}");
        assert_eq!(html.matches("<div").count(), html.matches("</div>").count(), "{prose}: {html}");
    }
}

#[test]
fn a_cell_by_itself_is_as_in_its_document() {
    let cell = report(vec![stdout("# T\n"), stderr("<e>"), display(json!({"text/html": "<i>h"}))]);
    let alone = render_report(0, &cell);
    assert!(render_as(Format::Html, "```\n1\n```\n", &[cell]).contains(&alone));
}
