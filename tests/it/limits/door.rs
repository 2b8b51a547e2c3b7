//! Code that talks to the host by itself.

use pymd::domain::{Outcome, Output, StreamName};

use super::{Limits, limits, outcome, outcomes, survive};

const CALL: &str =
    "import _host\ndef call(request):\n try: return _host.call(request)\n except OSError as error: return error\n";

#[tokio::test]
async fn garbage_changes_nothing() {
    let code = "import random\nfor i in range(2000):\n for request in (b'', b'\\xff', b'{}', b'[', b'null', b'[[]]', \
        b'{\"op\":\"display\"}', b'{\"op\":\"display\",\"data\":7}', b'{\"op\":\"exit\",\"code\":1e99}', \
        b'{\"op\":\"exit\",\"code\":99999999999}', b'[\"exit\",{\"code\":\"x\"}]', random.randbytes(i)): call(request)\n\
        print('ok')";
    let report = survive(&format!("{CALL}{code}"), &limits()).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(report.outputs, [Output::Stream { name: StreamName::Stdout, text: "ok\n".to_owned() }]);
}

/// What JSON costs the host is many times its text where it is made of small pieces.
#[tokio::test]
async fn huge_and_nested_frames_are_refused_before_they_are_built() {
    let deep = "print(call(b'{\"op\":\"display\",\"data\":{\"a\":' + b'[' * 10**6 + b']' * 10**6 + b'}}'))";
    let report = survive(&format!("{CALL}{deep}"), &limits()).await;
    assert_eq!(report.text(StreamName::Stdout), "the host faulted while answering the door\n");
    let programs = [
        "call(b'x' * (100 << 20))",
        "call(b'{' * (10 << 20))",
        "call(b'{\"op\":\"display\",\"data\":{\"a\":[' + b'[],' * 4_000_000 + b'1]}}')",
        "call(b'{\"op\":\"display\",\"data\":{\"a\":[' + b'{\"\":0},' * 2_000_000 + b'1]}}')",
        "call(b'{\"op\":\"display\",\"data\":{' + b'\"\":0,' * 2_000_000 + b'\"\":0}}')",
        "call(b'{\"op\":\"problems\",\"items\":[' + b'{\"cell\":1,\"line\":1,\"column\":1,\"message\":\"\"},' * 300_000)",
        "call(b'{\"op\":\"error\",\"ename\":\"\",\"evalue\":\"\",\"traceback\":[' + b'\"\",' * 4_000_000 + b'\"\"]}')",
    ];
    for code in programs {
        let report = survive(&format!("{CALL}{code}"), &limits()).await;
        assert_eq!(report.outcome.kind(), "output_limit_exceeded", "{code}");
        assert!(report.wall_ms < 3_000.0, "{code}: {} ms", report.wall_ms);
    }
}

/// All that the host keeps counts, in whatever part of a frame it comes.
#[tokio::test]
async fn all_that_the_host_keeps_is_counted() {
    let little = Limits { output_bytes: 4 << 20, ..limits() };
    let programs = [
        "while True: call(b'{\"op\":\"display\",\"data\":{},\"metadata\":{\"a\":\"' + b'x' * 10**6 + b'\"}}')",
        "while True: call(b'{\"op\":\"display\",\"data\":{},\"display_id\":\"' + b'x' * 10**6 + b'\"}')",
        "while True: call(b'{\"op\":\"display\",\"data\":{\"' + b'x' * 10**6 + b'\":0}}')",
        "while True: call(b'{\"op\":\"display\",\"data\":{}}')",
        "while True: call(b'{\"op\":\"clear\"}')",
        "while True: print('x', flush=True); call(b'{\"op\":\"clear\",\"wait\":true}')",
    ];
    for code in programs {
        assert_eq!(outcome(&format!("{CALL}{code}"), &little).await, "output_limit_exceeded", "{code}");
    }
}

/// One update changes every display of its name: each of them counts.
#[tokio::test]
async fn updating_many_displays_is_much_output() {
    let code = "for _ in range(10_000): call(b'{\"op\":\"display\",\"data\":{},\"display_id\":\"a\"}')\n\
        for _ in range(100): call(b'{\"op\":\"display\",\"data\":{\"a\":\"' + b'x' * 10**5 + b'\"},\"display_id\":\"a\",\"update\":true}')";
    assert_eq!(outcome(&format!("{CALL}{code}"), &limits()).await, "output_limit_exceeded");
    let code = "display('first', display_id='a'); display('second', display_id='b'); display('third', display_id='a')\n\
        from IPython.display import update_display\nupdate_display('new', display_id='a')";
    let report = survive(code, &limits()).await;
    let shown = report.outputs.iter().map(|output| match output {
        Output::DisplayData { data, .. } => data["text/plain"].as_str().unwrap(),
        _ => panic!("only displays"),
    });
    assert_eq!(shown.collect::<Vec<_>>(), ["'new'", "'second'", "'new'"]);
}

#[tokio::test]
async fn the_work_is_handed_out_once_and_a_forged_end_is_the_cells_own() {
    let again = "print(call(b'{\"op\":\"cell\"}'))";
    assert_eq!(survive(&format!("{CALL}{again}"), &limits()).await.text(StreamName::Stdout), "b'{}'\n");
    let expected = [
        ("exited 99", "import _host; _host.call(b'{\"op\":\"exit\",\"code\":99}')"),
        ("X", "import _host; _host.call(b'{\"op\":\"error\",\"ename\":\"X\",\"evalue\":\"\",\"traceback\":[]}')"),
    ];
    outcomes(&limits(), &expected).await;
}
