use base64::Engine as _;
use pymd::domain::{MimeBundle, Outcome, Output};
use serde_json::json;

use super::{display, html_of, map, render_as, report, shown, stderr, stdout};

/// A PNG's first bytes: enough to be taken for one.
fn png() -> String {
    base64::engine::general_purpose::STANDARD.encode(b"\x89PNG\r\n\x1a\n....")
}

#[test]
fn prints_are_markdown() {
    insta::assert_snapshot!(shown(stdout("## T\n\n| a | b |\n| --- | ---: |\n| 1 | *2* |\n\n- x\n- y\n")), @r##"
    <div class="pymd-out">
    <h2 id="user-content-t">T<a href="#user-content-t" aria-label="Link to heading 'T'" class="anchor" rel="noopener noreferrer nofollow"></a></h2>
    <table>
    <thead>
    <tr>
    <th>a</th>
    <th align="right">b</th>
    </tr>
    </thead>
    <tbody>
    <tr>
    <td>1</td>
    <td align="right"><em>2</em></td>
    </tr>
    </tbody>
    </table>
    <ul>
    <li>x</li>
    <li>y</li>
    </ul>
    </div>
    "##);
    insta::assert_snapshot!(shown(stdout("one line\nand one more\n")), @r#"
    <div class="pymd-out">
    <p>one line<br>
    and one more</p>
    </div>
    "#);
}

#[test]
fn the_richest_representation_is_shown() {
    for (bundle, expected) in [
        (json!({"text/plain": "p", "text/html": "<b>h</b>", "image/png": png()}), "<b>h</b>"),
        (json!({"text/plain": "p", "image/png": png()}), "<img src=\"data:image/png;base64,iVBORw0KGgo"),
        (
            json!({"text/plain": "p", "image/svg+xml": "<svg></svg>", "image/png": png()}),
            "src=\"data:image/svg+xml;base64,",
        ),
        (json!({"text/plain": "p", "text/markdown": "**m**"}), "<strong>m</strong>"),
        (json!({"text/plain": "p", "text/latex": "$a<b$"}), "<code class=\"math\">$a&lt;b$</code>"),
        (json!({"text/plain": "p", "application/json": {"a": [1]}}), "language-json"),
        (json!({"text/plain": "<p>"}), "<pre class=\"pymd-text\">&lt;p&gt;</pre>"),
        (json!({"text/plain": ["two\n", "lines"]}), "two\nlines"),
        (json!({"text/plain": "p", "text/html": "<script>x</script>"}), ">p</pre>"),
        (json!({"text/plain": "p", "image/png": "not base64!"}), ">p</pre>"),
        (json!({"text/plain": "p", "image/png": "aGVsbG8="}), ">p</pre>"),
        (json!({"text/plain": "p", "image/png": format!("{}\"><script>", png())}), ">p</pre>"),
        (json!({"text/plain": "p", "image/svg+xml": "hello"}), ">p</pre>"),
        (json!({"text/plain": "p", "text/x-unknown": "u"}), ">p</pre>"),
        (json!({"text/plain": 3, "text/html": {"a": 1}}), ""),
        (json!({}), ""),
    ] {
        let html = shown(display(bundle.clone()));
        assert!(html.contains(expected), "{bundle}: {html}");
        assert!(!expected.is_empty() || html.is_empty(), "{bundle}: {html}");
    }
}

#[test]
fn images_take_size_and_caption_from_their_metadata() {
    let output = Output::ExecuteResult {
        execution_count: 1,
        data: map(json!({"image/png": png()})),
        metadata: map(json!({"caption": "A <b>", "image/png": {"width": 320, "height": -1, "alt": "\"x\""}})),
    };
    insta::assert_snapshot!(shown(output), @r#"<figure class="pymd-figure"><img src="data:image/png;base64,iVBORw0KGgouLi4u" alt="&quot;x&quot;" width="320"><figcaption>A &lt;b&gt;</figcaption></figure>"#);
}

#[test]
fn videos_are_data_only() {
    let film = "<figure><video src=\"data:video/mp4;base64,AAAA\" width=\"320\" controls autoplay muted></video><figcaption>f</figcaption></figure>";
    let html = shown(display(json!({"text/html": film})));
    assert!(html.contains("src=\"data:video/mp4;base64,AAAA\""), "{html}");
    assert!(html.contains("controls"), "{html}");
    let html = shown(display(
        json!({"text/html": "<video src='https://x/y.mp4'></video><video><source src='data:text/html,x'></video>"}),
    ));
    assert!(!html.contains("src"), "{html}");
}

#[test]
fn errors_are_shown_once_where_they_happened() {
    let (ename, evalue, traceback) =
        ("ValueError".to_owned(), "<bad>".to_owned(), vec!["line 1".to_owned(), "\u{1b}[31mline 2".to_owned()]);
    let outcome = Outcome::PythonError { ename: ename.clone(), evalue: evalue.clone(), traceback: traceback.clone() };
    let mut cell = report(vec![stdout("before")]);
    cell.outcome = outcome.clone();
    let without = render_as(Default::default(), "```\n1\n```", std::slice::from_ref(&cell));
    cell.outputs.push(Output::Error { ename, evalue, traceback });
    let with = render_as(Default::default(), "```\n1\n```", &[cell]);
    assert_eq!(with, without);
    insta::assert_snapshot!(with, @r#"
    <div class="pymd">
    <section class="pymd-cell" data-cell="0" data-line="2" data-outcome="python_error">
    <div class="pymd-out">
    <p>before</p>
    </div>
    <div class="pymd-error"><p class="pymd-error-title"><strong>ValueError</strong>: &lt;bad&gt;</p><pre class="pymd-traceback">line 1
    line 2</pre></div>
    </section>
    </div>
    "#);
}

#[test]
fn limits_say_their_sentence() {
    for outcome in [
        Outcome::OutOfFuel { limit: 5 },
        Outcome::OutOfMemory { limit_bytes: 5 },
        Outcome::DeadlineExceeded { limit_ms: 5 },
        Outcome::OutputLimitExceeded { limit_bytes: 5 },
        Outcome::Cancelled,
        Outcome::Exited { code: 3 },
        Outcome::Crashed { trap: "<unreachable>".to_owned() },
    ] {
        let sentence = outcome.sentence().expect("a sentence").replace('<', "&lt;").replace('>', "&gt;");
        let cell = pymd::domain::CellReport { outcome: outcome.clone(), ..report(vec![]) };
        let html = render_as(Default::default(), "```\n1\n```", &[cell]);
        assert!(html.contains(&sentence), "{html}");
        assert!(html.contains(&format!("data-outcome=\"{}\"", outcome.kind())), "{html}");
        assert_eq!(html.contains("pymd-limit"), outcome.is_limit());
    }
}

#[test]
fn terminal_sequences_are_carried_out_or_dropped() {
    let html = shown(stderr("10%\r50%\r100%\n\u{1b}[1;31mred\u{1b}[0m \u{1b}]0;title\u{7}end\u{1b}"));
    assert_eq!(html, "<pre class=\"pymd-stderr\">100%\nred end</pre>\n");
    assert_eq!(shown(stderr("a\u{0}\u{8}b\u{9b}c")), "<pre class=\"pymd-stderr\">abc</pre>\n");
    assert_eq!(shown(stdout("a\r\nb\r\n")), shown(stdout("a\nb\n")));
    assert_eq!(shown(stderr("\n \n")), "");
}

#[test]
fn huge_prints_are_shown_as_text() {
    let html = html_of(stdout(&"**word** ".repeat(1 << 20)));
    assert!(html.contains("<pre class=\"pymd-text\">**word**"));
    let html = html_of(stdout(&"&".repeat(1 << 20)));
    assert!(html.contains("<pre>&amp;&amp;"));
}

#[test]
fn json_is_indented_unless_it_is_long() {
    let html = shown(display(json!({"application/json": {"a": 1}})));
    assert!(html.contains("{\n  "), "{html}");
    let long: Vec<u32> = (0..100_000).collect();
    let html = shown(display(json!({"application/json": long})));
    assert!(html.len() < 700_000, "{}", html.len());
}

#[test]
fn nothing_shown_leaves_an_empty_cell() {
    assert_eq!(shown(stdout("")), "");
    assert_eq!(
        shown(Output::DisplayData { data: MimeBundle::new(), metadata: MimeBundle::new(), display_id: None }),
        ""
    );
}
