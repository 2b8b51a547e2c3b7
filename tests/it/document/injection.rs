//! Whatever a document holds, no script of it reaches a reader, nothing is loaded, and nothing leaves its place.

use pymd::document::{Format, RenderOptions, parse, render};
use pymd::domain::{MimeBundle, Outcome, Output};
use serde_json::json;

use super::{display, html_of, render_as, report, stderr, stdout};

pub(super) const VECTORS: [&str; 62] = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//x.example/a.js></sCrIpT>",
    "<script\n>alert(1)</script\t>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<<script>alert(1);//<</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=x onerror\n=\nalert(1)>",
    "<img/src=x/onerror=alert(1)>",
    "<img src='x' onerror='alert(1)'",
    "<img src=`x`onerror=alert(1)>",
    "<img \"\"\"><script>alert(1)</script>\">",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<svg><a xlink:href=\"javascript:alert(1)\"><text>x</text></a></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x></svg>",
    "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
    "<math><mi//xlink:href=\"data:x,<script>alert(1)</script>\">",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<textarea><p title=\"</textarea><img src=x onerror=alert(1)>\">",
    "<title><p title=\"</title><img src=x onerror=alert(1)>\">",
    "<xmp><p title=\"</xmp><img src=x onerror=alert(1)>\">",
    "<iframe src=\"javascript:alert(1)\"></iframe>",
    "<iframe srcdoc=\"&lt;script&gt;alert(1)&lt;/script&gt;\"></iframe>",
    "<object data=\"javascript:alert(1)\"></object>",
    "<embed src=\"data:image/svg+xml;base64,PHN2Zz4=\">",
    "<a href=\"javascript:alert(1)\">x</a>",
    "<a href=\"JaVaScRiPt:alert(1)\">x</a>",
    "<a href=\"java\tscript:alert(1)\">x</a>",
    "<a href=\"java&#10;script:alert(1)\">x</a>",
    "<a href=\"&#106;avascript&colon;alert(1)\">x</a>",
    "<a href=\" &#14; javascript:alert(1)\">x</a>",
    "<a href=\"vbscript:msgbox(1)\">x</a>",
    "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
    "<a href=\"DATA:text/html;base64,PHNjcmlwdD4=\">x</a>",
    "<a href=\"//evil.example/\">x</a>",
    "<img src=\"data:text/html,<script>alert(1)</script>\">",
    "<img src=\"data:image/svg+xml,<svg onload=alert(1)>\">",
    "<video><source onerror=alert(1)></video>",
    "<video poster=javascript:alert(1) src=x onloadstart=alert(1)></video>",
    "<audio src=x onerror=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<form action=//x.example><input name=password><button>go</button></form>",
    "<input autofocus onfocus=alert(1)>",
    "<input type=checkbox onclick=alert(1) formaction=javascript:alert(1)>",
    "<select autofocus onfocus=alert(1)><option>x</select>",
    "<body onload=alert(1)>",
    "<html onmouseover=alert(1)><head><base href=//x.example/></head>",
    "<base href=\"javascript:/a/+alert(1)//\">",
    "<meta http-equiv=refresh content=\"0;url=javascript:alert(1)\">",
    "<link rel=stylesheet href=//x.example/a.css>",
    "<style>@import '//x.example/a.css'; body{display:none}</style>",
    "<div style=\"background:url(javascript:alert(1))\">x</div>",
    "<div style=\"position:fixed;inset:0;z-index:9999\">x</div>",
    "<div style=\"width:expression(alert(1));color:\\75rl(x)\">x</div>",
    "<table background=\"javascript:alert(1)\"><td background=javascript:alert(1)>x",
    "<template><script>alert(1)</script></template><portal src=//x.example>",
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script>",
    "\"><script>alert(1)</script>",
    "</div></section></main></body><script>alert(1)</script>",
];

/// What may never come out: elements, attributes and addresses, looked for where they would count.
pub(super) fn assert_harmless(html: &str, from: &str) {
    for tag in tags(html) {
        let name = tag.trim_start_matches('/').split([' ', '>', '\n']).next().unwrap_or("").to_owned();
        let allowed = [
            "a",
            "b",
            "br",
            "blockquote",
            "code",
            "del",
            "details",
            "div",
            "em",
            "figcaption",
            "figure",
            "h1",
            "h2",
            "hr",
            "img",
            "input",
            "li",
            "nav",
            "ol",
            "p",
            "pre",
            "section",
            "source",
            "span",
            "strong",
            "sub",
            "summary",
            "sup",
            "table",
            "tbody",
            "td",
            "th",
            "thead",
            "tr",
            "ul",
            "video",
        ];
        assert!(allowed.contains(&name.as_str()), "<{tag}> from {from}: {html}");
        for (name, value) in attributes(tag) {
            assert!(!name.starts_with("on"), "{name} from {from}: {html}");
            let allowed = [
                "align",
                "alt",
                "aria-label",
                "checked",
                "class",
                "controls",
                "data-cell",
                "data-line",
                "data-outcome",
                "disabled",
                "height",
                "href",
                "id",
                "open",
                "rel",
                "src",
                "start",
                "style",
                "title",
                "type",
                "width",
            ];
            assert!(allowed.contains(&name.as_str()), "{name} from {from}: {html}");
            match name.as_str() {
                "href" => assert!(value.starts_with('#') || value.starts_with("http"), "{value} from {from}: {html}"),
                "src" => {
                    assert!(value.starts_with("data:image/") || value.starts_with("data:video/"), "{value} from {from}")
                }
                "style" => assert!(!value.contains("url") && !value.contains("position"), "{value} from {from}"),
                "id" => assert!(value.starts_with("user-content-"), "{value} from {from}"),
                "type" => assert_eq!(value, "checkbox", "from {from}"),
                _ => {}
            }
        }
    }
    assert_eq!(html.matches("<div").count(), html.matches("</div>").count(), "{from}: {html}");
    assert_eq!(html.matches("<section").count(), html.matches("</section>").count(), "{from}: {html}");
}

/// The insides of the tags, as an HTML parser finds them: a `>` in quotes ends none.
fn tags(html: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let mut quoted = false;
        let end = rest.find(|c| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        let end = end.unwrap_or(rest.len());
        found.push(&rest[..end]);
        rest = &rest[end..];
    }
    found
}

/// The attributes of a tag as it is serialised: `name="value"` each.
fn attributes(tag: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = tag.split_once(' ').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        let value = after.strip_prefix('"').expect("a quoted value");
        let (value, after) = value.split_once('"').expect("a closing quote");
        found.push((name.trim().replace("controls ", ""), value.to_owned()));
        rest = after;
    }
    found
}

#[test]
fn nothing_runs_from_anywhere() {
    for vector in VECTORS {
        let places = [
            ("prose", render_as(Format::Html, &format!("text\n\n{vector}\n\nmore {vector} text\n"), &[])),
            (
                "commented prose",
                render_as(Format::Html, &format!("# ```\n# ```\n# {}\n", vector.replace('\n', " ")), &[]),
            ),
            ("quote", render_as(Format::Html, &format!("> - {vector}\n"), &[])),
            ("heading", render_as(Format::Html, &format!("# {}\n\ntext", vector.replace('\n', " ")), &[])),
            ("table", render_as(Format::Html, &format!("|a|\n|-|\n|{}|\n", vector.replace('\n', " ")), &[])),
            ("info string", render_as(Format::Html, &format!("````{}\nx\n````\n", vector.replace('\n', " ")), &[])),
            (
                "nested info string",
                render_as(Format::Html, &format!("> ~~~{}\n> x\n> ~~~\n", vector.replace('\n', " ")), &[]),
            ),
            ("display block", render_as(Format::Html, &format!("````html\n{vector}\n````\n"), &[])),
            ("link text", render_as(Format::Html, &format!("[{vector}](https://x.example \"{vector}\")"), &[])),
            ("link target", render_as(Format::Html, &format!("[x](<{}>)", vector.replace('\n', " ")), &[])),
            ("stdout", html_of(stdout(vector))),
            ("stderr", html_of(stderr(vector))),
            ("text/html", html_of(display(json!({"text/html": vector})))),
            ("text/markdown", html_of(display(json!({"text/markdown": vector})))),
            ("text/plain", html_of(display(json!({"text/plain": vector})))),
            ("text/latex", html_of(display(json!({"text/latex": vector})))),
            ("application/json", html_of(display(json!({"application/json": {vector: vector}})))),
            ("image/svg+xml", html_of(display(json!({"image/svg+xml": format!("<svg>{vector}")})))),
            ("image/png", html_of(display(json!({"image/png": vector, "text/plain": "x"})))),
        ];
        for (place, html) in places {
            assert_harmless(&html, &format!("{place}: {vector}"));
        }
    }
}

#[test]
fn nothing_runs_from_errors_and_metadata() {
    for vector in VECTORS {
        let text = vector.to_owned();
        let error = Output::Error { ename: text.clone(), evalue: text.clone(), traceback: vec![text.clone()] };
        assert_harmless(&html_of(error), vector);
        let mut cell = report(vec![]);
        cell.outcome = Outcome::Crashed { trap: text.clone() };
        assert_harmless(&render_as(Format::Html, "```\n1\n```", &[cell]), vector);
        let metadata = json!({"caption": text, "image/svg+xml": {"alt": text, "width": text, "height": 1e300}});
        let serde_json::Value::Object(metadata) = metadata else { unreachable!("it is an object") };
        let mut data = MimeBundle::new();
        data.insert("image/svg+xml".to_owned(), "<svg/>".into());
        assert_harmless(&html_of(Output::DisplayData { data, metadata, display_id: Some(text) }), vector);
    }
}

#[test]
fn titles_stay_titles() {
    for vector in VECTORS {
        let line = vector.replace('\n', " ");
        for source in [format!("---\ntitle: {line}\n---\ntext"), format!("# {line}\n\ntext")] {
            let page = render_as(Format::Page, &source, &[]);
            let title =
                page.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).expect("a title").0;
            assert!(!title.contains('<'), "{source}: {title}");
            assert_eq!(page.matches("</title>").count(), 1, "{source}");
            assert_eq!(page.matches("</style>").count(), 1, "{source}");
        }
        let options = RenderOptions { format: Format::Page, title: Some(line.clone()), ..RenderOptions::default() };
        let page = render(&parse("text"), &[], &options);
        assert!(!page.contains("<script") && !page.contains("onerror=alert(1)>"), "{line}");
    }
}

#[test]
fn what_is_harmless_stays() {
    for (html, expected) in [
        ("<b>x</b>", "<b>x</b>"),
        ("<td>lost</td>", "lost"),
        (
            "<table><tr><td colspan=2 align=right>x",
            "<table><tbody><tr><td colspan=\"2\" align=\"right\">x</td></tr></tbody></table>",
        ),
        (
            "<table><thead><th>h<tbody><tr><td>a<td>b</table>",
            "<table><thead><tr><th>h</th></tr></thead><tbody><tr><td>a</td><td>b</td></tr></tbody></table>",
        ),
        ("<p>a<p>b", "<p>a</p><p>b</p>"),
        ("<ul><li>a<li>b<ul><li>c</ul></ul>", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
        ("<dl><dt>a<dd>b<dt>c</dl>", "<dl><dt>a</dt><dd>b</dd><dt>c</dt></dl>"),
        ("<span style=\"color: red; position: fixed\">x</span>", "<span style=\"color:red\">x</span>"),
        (
            "<span style=\"background-color:rgb(1, 2, 3)\">x</span>",
            "<span style=\"background-color:rgb(1, 2, 3)\">x</span>",
        ),
        ("<i class=\"hl-k evil language-x pymd-figure\">x</i>", "<i class=\"hl-k language-x pymd-figure\">x</i>"),
        ("<p id=main>x</p>", "<p id=\"user-content-main\">x</p>"),
        ("<a href='#main'>x</a>", "<a href=\"#user-content-main\" rel="),
        ("<a href='mailto:a@b.example'>x</a>", "<a href=\"mailto:a@b.example\" rel="),
        ("<img src=https://x.example/a.png alt='a > b'>", "<img src=\"https://x.example/a.png\" alt=\"a &gt; b\">"),
        ("<details><summary>s</summary>x</details>", "<details><summary>s</summary>x</details>"),
        ("a &lt;b&gt; &copy; &amp;amp; c", "a &lt;b&gt; &copy; &amp;amp; c"),
        ("1 < 2 <3 > a", "1 &lt; 2 &lt;3 > a"),
        ("<b>a<i>b</b>c</i>", "<b>a<i>b</i></b>c"),
        ("x<!-- c -->y<!-->z<!--->w", "xyzw"),
        ("<noscript><b>x</b></noscript>", "<b>x</b>"),
    ] {
        let shown = html_of(display(json!({"text/html": html})));
        assert!(shown.contains(expected), "{html}: {shown}");
    }
}
