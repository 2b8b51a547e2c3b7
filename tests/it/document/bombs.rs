//! Documents that are made to be expensive. The bounds are generous: quadratic behaviour misses them by far.

use std::time::{Duration, Instant};

use pymd::document::{Format, check, parse};
use serde_json::json;

use super::{display, html_of, render_as, report, stdout};

const SIZE: usize = 400_000;
const BOUND: Duration = Duration::from_secs(5);

fn filled(piece: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for index in 0.. {
        if text.len() >= SIZE {
            break;
        }
        text.push_str(&piece(index));
    }
    text
}

fn bombs() -> Vec<String> {
    let repeated = [
        ">",
        "> ",
        "- ",
        "1. ",
        "> - ",
        "*a **a ",
        "[",
        "[a](",
        "![",
        "](a)",
        "<",
        "<a ",
        "<!--",
        "a<!-- ",
        "<?",
        "<![CDATA[",
        "[^1] ",
        "[^",
        "# same\n",
        "a\n-\n",
        "***\n",
        "www.a.b ",
        "a@b",
        "&",
        "&amp;",
        "~a ~~b ",
        "<b>",
        "<p>",
        "<div>\n",
        "<table>",
        "<table><b>x",
        "<a>x",
        "</b>",
        "<script>",
        "<script></",
        "<svg>",
        "<ul><li>",
        "<table><tr><td>",
        "<b id=a></b>",
        "<select><option>",
        "<p></b>",
        "<template>",
        "<details><summary>",
        "<a title=\"",
        "- [x] a\n",
        "~~~~\n",
        "\0",
        "\r",
        "\\",
        "<!-- - - --",
        "```\n```\n",
        "````json\n[[[[\n````\n",
        "\u{a0}",
        "<math><mi>",
        "<i>x</i>",
    ];
    let mut all: Vec<String> = repeated.iter().map(|piece| filled(|_| (*piece).to_owned())).collect();
    all.push(filled(|index| format!("{}- a\n", " ".repeat(index.min(1_000)))));
    all.push(filled(|index| format!("{} ", "`".repeat(index % 3_000 + 1))));
    all.push(filled(|index| format!("<b id=x{index}><p>")));
    all.push(filled(|index| format!("[^{index}]: [^{}]\n\n", index + 1)));
    all.push(format!("<table>{}", filled(|_| "<i>x</i>".to_owned())));
    all.push(format!("<b {}>x", filled(|index| format!("a{index}=1 "))));
    all.push(format!("{}{}", "<i>".repeat(99), filled(|_| "</b>".to_owned())));
    all.push(format!("{}{}", "[".repeat(SIZE / 2), "]".repeat(SIZE / 2)));
    all.push(format!("{}{}", "![".repeat(SIZE / 8), "](a)".repeat(SIZE / 8)));
    all.push(format!("{}|\n{}|\n{}", "|a".repeat(SIZE / 8), "|-".repeat(SIZE / 8), "|x\n".repeat(SIZE / 8)));
    all.push(format!("[a]: /{}\n\n{}", "u".repeat(SIZE / 2), "[a]".repeat(SIZE / 6)));
    all.push(format!("````python\n{}````\n", "((((((((((((((((((((\n".repeat(9_000)));
    all
}

#[test]
fn no_text_takes_more_than_linear_time() {
    for bomb in bombs() {
        let start = Instant::now();
        check(&bomb);
        let prose = render_as(Format::Page, &bomb, &[]);
        let printed = html_of(stdout(&bomb));
        let shown = html_of(display(json!({"text/html": bomb})));
        let took = start.elapsed();
        let name: String = bomb.chars().take(24).collect();
        assert!(took < BOUND, "{name:?} took {took:?}");
        for html in [prose, printed, shown] {
            assert!(html.len() < 40 * SIZE, "{name:?} became {} bytes", html.len());
        }
    }
}

#[test]
fn nesting_is_bounded() {
    let deepest = |html: &str| {
        let (mut depth, mut most) = (0_i64, 0);
        for tag in html.split('<').skip(1) {
            let is_void =
                ["img", "br", "hr", "input", "col", "source", "wbr", "!"].iter().any(|name| tag.starts_with(name));
            depth += if is_void {
                0
            } else if tag.starts_with('/') {
                -1
            } else {
                1
            };
            most = most.max(depth);
        }
        assert_eq!(depth, 0);
        most
    };
    for piece in [">", "> ", "- ", "<b>", "<div>", "<table><tr><td>", "<ul><li>", "<blockquote>\n\n", "*a **b "] {
        let text = piece.repeat(10_000);
        assert!(deepest(&html_of(stdout(&text))) < 130, "{piece}");
        assert!(deepest(&html_of(display(json!({"text/html": text})))) < 130, "{piece}");
        assert!(deepest(&render_as(Format::Html, &text, &[])) < 130, "{piece}");
    }
}

#[test]
fn a_long_document() {
    let paragraph = "Some *words* of prose with `code`, a [link](https://example.org) and nothing else.\n\n";
    let source = paragraph.repeat(10_000_000 / paragraph.len());
    let start = Instant::now();
    let document = parse(&source);
    assert_eq!(document.blocks.len(), 1);
    assert_eq!(check(&source), []);
    let parsed = start.elapsed();
    assert!(parsed < Duration::from_secs(2), "{parsed:?}");
    let html = render_as(Format::Html, &source, &[]);
    assert_eq!(html.matches("<p>").count(), source.len() / paragraph.len());
    let took = start.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn ten_thousand_cells() {
    let source = "Text\n\n```\nprint(1)\n```\n\n".repeat(10_000);
    let reports = vec![report(vec![stdout("**1**\n")]); 10_000];
    let start = Instant::now();
    let document = parse(&source);
    let last = document.cells().last().expect("a cell");
    assert_eq!((last.index, last.line), (9_999, 59_998));
    let html = render_as(Format::Html, &source, &reports);
    assert_eq!(html.matches("<strong>1</strong>").count(), 10_000);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}
