//! Code that says more than anybody wants to hear, or what is no text.

use pymd::backend::event_channel;
use pymd::domain::{Event, Limits, Outcome, Output, StreamName};
use tokio_util::sync::CancellationToken;

use super::{cell, limits, survive};
use crate::support::sandbox;

#[tokio::test]
async fn a_hundred_megabytes_are_cut_at_the_limit() {
    let programs = [
        ("for _ in range(10**6): print('x' * 99)", StreamName::Stdout),
        ("print('x' * 10**8)", StreamName::Stdout),
        ("import os\nfor _ in range(100): os.write(2, b'x' * 10**6)", StreamName::Stderr),
        ("import sys\nsys.stdout = sys.stderr\nwhile True: print('x' * 50, flush=True)", StreamName::Stderr),
        ("while True: print('é' * 1000)", StreamName::Stdout),
    ];
    let limits = Limits { output_bytes: 1_000_001, ..limits() };
    for (code, stream) in programs {
        let report = survive(code, &limits).await;
        assert_eq!(report.outcome, Outcome::OutputLimitExceeded { limit_bytes: 1_000_001 }, "{code}");
        assert_eq!(report.output_bytes, 1_000_001, "{code}: what fits is kept");
        assert!(report.text(stream).len() > 990_000, "{code}");
    }
}

#[tokio::test]
async fn too_many_displays_are_too_much_output() {
    let programs = [
        "for _ in range(10**6): display(1)",
        "display(b'x' * 10**6, 'x' * 10**7)",
        "from IPython.display import HTML\ndisplay(HTML('x' * 10**7))",
        "from IPython.display import JSON\ndisplay(JSON({'a': [{}] * 10**5}))",
        "import sys\nwhile True: print(1, flush=True); print(2, file=sys.stderr)",
    ];
    let limits = Limits { output_bytes: 4_000_000, ..limits() };
    for code in programs {
        let report = survive(code, &limits).await;
        let kind = report.outcome.kind();
        // A representation is cut at a megabyte, so that a text alone never is too much.
        let expected = if code.starts_with("display") { "completed" } else { "output_limit_exceeded" };
        assert_eq!(kind, expected, "{code}");
    }
}

#[tokio::test]
async fn what_is_no_text_becomes_some() {
    let code = "import sys\nout = sys.stdout.buffer\nfor part in \
        (b'a\\xff\\xfe\\xc3(\\xed\\xa0\\x80b\\xe2\\x82', b'\\xac!', b'\\xf0\\x9f'): out.write(part); out.flush()";
    let report = survive(code, &limits()).await;
    assert_eq!(report.outcome, Outcome::Completed);
    let bytes: &[&[u8]] = &[b"a\xff\xfe\xc3(\xed\xa0\x80b\xe2\x82\xac!\xf0\x9f"];
    assert_eq!(report.text(StreamName::Stdout), String::from_utf8_lossy(bytes[0]));
    let report =
        survive("print('a\\0b\\x1b[31m', '\\ud800\\U0010ffff\\uffff')\nraise ValueError('\\udc80\\0')", &limits())
            .await;
    assert!(report.text(StreamName::Stdout).starts_with("a\0b\u{1b}[31m "));
    let Outcome::PythonError { ename, .. } = &report.outcome else { panic!("{}", report.outcome.kind()) };
    assert_eq!(ename, "ValueError");
}

#[tokio::test]
async fn code_with_a_nul_or_other_controls_is_a_syntax_error() {
    for code in ["x = 1\0", "\0", "print('a\0b')", "x = \u{feff}1", "\u{1b}", "a\u{2028}b", "x\u{200b}y = 1"] {
        let report = survive(code, &limits()).await;
        let Outcome::PythonError { ename, .. } = &report.outcome else { panic!("{code:?}: {}", report.outcome.kind()) };
        assert!(["SyntaxError", "ValueError"].contains(&ename.as_str()), "{code:?}: {ename}");
    }
    for code in ["", "\n\n", "#", "\u{c}", "\r\n\r\nx = 1\r\n", "\u{feff}x = 1", "# -*- coding: utf-7 -*-\nx = '+AG'"] {
        assert_eq!(survive(code, &limits()).await.outcome, Outcome::Completed, "{code:?}");
    }
}

/// Who watches gets all of what the report says, however slowly it reads.
#[tokio::test]
async fn a_slow_watcher_misses_nothing_and_costs_no_more_than_the_limit() {
    let limits = Limits { output_bytes: 300_000, ..limits() };
    let (sender, mut receiver) = event_channel();
    let code = "import sys\nwhile True: print('out'); print('err', file=sys.stderr); display(1)";
    let kernel = sandbox().await.kernel().unwrap();
    let (_, report) = kernel.run(cell(code, &limits), Some(sender), CancellationToken::new()).await.unwrap();
    assert_eq!(report.outcome.kind(), "output_limit_exceeded");
    let mut seen: Vec<Output> = Vec::new();
    while let Some(event) = receiver.next().await {
        let Event::Output { output } = event else { panic!("no other events") };
        match (seen.last_mut(), output) {
            (Some(Output::Stream { name, text }), Output::Stream { name: next, text: more }) if *name == next => {
                text.push_str(&more);
            }
            (_, output) => seen.push(output),
        }
    }
    assert!(seen == report.outputs, "{} outputs seen, {} reported", seen.len(), report.outputs.len());
}
