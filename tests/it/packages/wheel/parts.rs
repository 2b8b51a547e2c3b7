//! `.dist-info` and `.data`: what a wheel says of itself must be so.

use pymd::packages::wheel::WheelError;

use super::super::wheel_builder::Wheel;
use super::{NAME, demo, refused, refused_with, rules, taken, unpack_with};

#[track_caller]
fn assert_says(error: &WheelError, part: &str) {
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn the_file_name_must_be_a_wheels() {
    for name in ["demo.zip", "demo-1.0.whl", "demo-1.0-py3-none-any.whl.exe", "../demo-1.0-py3-none-any.whl", ""] {
        let error = refused_with(&demo().build(), name, rules());
        assert!(matches!(error, WheelError::FileName(_)), "{name}: {error}");
    }
}

#[test]
fn the_dist_info_directory_must_be_one_and_the_wheels_own() {
    assert_says(&refused(&demo().dist_info("other-1.0.dist-info").build()), "is not that of demo 1.0");
    assert_says(&refused(&demo().dist_info("demo-1.1.dist-info").build()), "is not that of demo 1.0");
    assert_says(&refused(&demo().dist_info("demo.dist-info").build()), "is not that of demo 1.0");
    assert_says(&refused(&demo().dist_info("info").build()), "no .dist-info");
    assert_says(&refused(&demo().file("other-1.0.dist-info/METADATA", "").build()), "two .dist-info");
    assert_says(&refused(&demo().file("Other-1.0.DIST-INFO/METADATA", "").build()), "two .dist-info");
    assert_says(&refused(&demo().file("other-1.0.dist-info/", "").build()), "two .dist-info");
    let smuggled = demo().file("demo-1.0.data/purelib/other-2.0.dist-info/METADATA", "Name: other").build();
    assert_says(&refused(&smuggled), "it installs `other-2.0.dist-info` too");
    // A file of that name is none.
    taken(&demo().file("x.dist-info", "").build());
}

#[test]
fn names_and_versions_agree_when_they_are_the_same_in_normal_form() {
    let wheel = Wheel::new("Demo_Thing", "1.0.0").whole_metadata("Name: demo.thing\nVersion: 1.0.0\n");
    let unpacked = unpack_with(&wheel.build(), "demo_thing-1.0-py3-none-any.whl", &rules()).unwrap();
    assert_eq!(unpacked.wheel.info.name, "demo-thing");
    assert_eq!(unpacked.wheel.info.dist_info, "Demo_Thing-1.0.0.dist-info");
}

#[test]
fn metadata_must_be_there_and_of_this_wheel() {
    assert_says(
        &refused(&demo().without("demo-1.0.dist-info/METADATA").build()),
        "METADATA file is refused: it is missing",
    );
    for (text, part) in [
        ("Version: 1.0\n", "no `name`"),
        ("Name: demo\n", "no `version`"),
        ("Name: other\nVersion: 1.0\n", "the project `other`"),
        ("Name: demo\nVersion: 2.0\n", "version `2.0`"),
        ("Name: demo\nName: demo\nVersion: 1.0\n", "more than one `name`"),
        ("Name: demo\nVersion: one\n", "version `one`"),
        ("\nName: demo\nVersion: 1.0\n", "no `name`"),
    ] {
        let error = refused(&demo().whole_metadata(text).build());
        assert!(matches!(error, WheelError::Metadata { .. }), "{error}");
        assert_says(&error, part);
    }
    let many = (0..6_000).fold(demo(), |wheel, i| wheel.metadata(&format!("Requires-Dist: p{i}")));
    assert_says(&refused(&many.build()), "more than 5000 requirements");
}

#[test]
fn the_wheel_file_must_be_there_and_of_a_known_version() {
    assert_says(&refused(&demo().without("demo-1.0.dist-info/WHEEL").build()), "WHEEL file is refused: it is missing");
    for (text, part) in [
        ("", "no `wheel-version`"),
        ("Wheel-Version: 2.0\nRoot-Is-Purelib: true\n", "format version `2.0`"),
        ("Wheel-Version: 1\nRoot-Is-Purelib: true\n", "format version `1`"),
        ("Wheel-Version: 10.0\nRoot-Is-Purelib: true\n", "format version `10.0`"),
        ("Wheel-Version: 1.0\n", "no `root-is-purelib`"),
        ("Wheel-Version: 1.0\nRoot-Is-Purelib: maybe\n", "neither true nor false"),
        ("Wheel-Version: 1.0\nWheel-Version: 1.0\nRoot-Is-Purelib: true\n", "more than one"),
    ] {
        assert_says(&refused(&demo().wheel_file(text).build()), part);
    }
    let unpacked = taken(&demo().wheel_file("wheel-version: 1.9\r\nroot-is-purelib: False\r\n").build());
    assert!(!unpacked.wheel.info.root_is_purelib);
}

#[test]
fn record_must_be_there_and_list_exactly_what_is_there() {
    assert!(matches!(refused(&demo().without("demo-1.0.dist-info/RECORD").build()), WheelError::NoRecord));
    let unlisted = demo().record(|text| text.lines().skip(1).map(|line| format!("{line}\n")).collect());
    assert!(matches!(refused(&unlisted.build()), WheelError::Unlisted { path } if path == "demo/__init__.py"));
    let missing = demo().file("demo/gone.py", "").without("demo/gone.py");
    assert!(matches!(refused(&missing.build()), WheelError::Missing { path } if path == "demo/gone.py"));
    let unhashed =
        demo().record(|text| text.lines().map(|l| format!("{},,\n", l.split(',').next().unwrap())).collect());
    assert!(matches!(refused(&unhashed.build()), WheelError::Unlisted { .. }));
    assert!(matches!(refused(&demo().record(|_| String::new()).build()), WheelError::Unlisted { .. }));
}

#[test]
fn a_record_of_a_million_files_is_given_up_soon() {
    let many: String = (0..100_000).map(|n| format!("f{n},,\n")).collect();
    match refused(&demo().record(move |text| text + &many).build()) {
        WheelError::Record { line, reason } => assert!(line < 2_000 && reason.contains("far more"), "{line}: {reason}"),
        other => panic!("{other}"),
    }
}

#[test]
fn every_file_must_have_the_digest_and_size_of_its_record() {
    let other = "sha256=LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ";
    let digest = demo().record(move |text| {
        let (first, rest) = text.split_once('\n').unwrap();
        let size = first.rsplit(',').next().unwrap();
        format!("demo/__init__.py,{other},{size}\n{rest}")
    });
    assert!(matches!(refused(&digest.build()), WheelError::Digest { path, .. } if path == "demo/__init__.py"));
    let size = demo().record(|text| text.replacen(",16\n", ",17\n", 1));
    assert!(matches!(refused(&size.build()), WheelError::Size { expected: 17, found: 16, .. }));
    // Files that are not installed are checked too.
    let script = demo().file("demo-1.0.data/scripts/run", "0123456789").record(|text| text.replace(",10\n", ",11\n"));
    assert!(matches!(refused(&script.build()), WheelError::Size { expected: 11, .. }));
}

#[test]
fn record_lines_that_make_no_sense_are_refused() {
    for (line, part) in [
        ("a", "three fields"),
        ("a,b", "three fields"),
        ("a,,,", "three fields"),
        ("a,md5=abc,1", "not a SHA-256"),
        ("a,sha256=!!!,1", "Base64"),
        ("a,sha256=abcd,1", "length"),
        ("a,,x", "not a number"),
        ("a,,-1", "not a number"),
        ("a,,99999999999999999999999", "too large"),
        ("\"a,,", "not closed"),
        ("\"a\"b,,", "closing quote"),
        ("demo/__init__.py,,3", "something else"),
    ] {
        match refused(&demo().record(move |text| text + line + "\n").build()) {
            WheelError::Record { line: 5, reason } => assert!(reason.contains(part), "{line}: {reason}"),
            other => panic!("{line}: {other}"),
        }
    }
}

#[test]
fn record_lines_may_be_quoted_repeated_without_size_and_end_with_a_carriage_return() {
    let wheel = demo().record(|text| {
        let crlf = text.replace('\n', "\r\n");
        let sizeless = crlf.replacen(",16\r", ",\r", 1);
        format!("{sizeless}\"demo-1.0.dist-info/RECORD\",,\r\n\r\n")
    });
    taken(&wheel.build());
}

#[test]
fn signatures_need_not_be_listed() {
    let listed = |text: String| text.lines().filter(|line| !line.contains(".jws")).map(|l| format!("{l}\n")).collect();
    taken(&demo().file("demo-1.0.dist-info/RECORD.jws", "{}").record(listed).build());
}

#[test]
fn purelib_and_platlib_are_installed_and_the_rest_of_data_stays_in_the_archive() {
    let wheel = demo()
        .file("demo-1.0.data/purelib/demo/pure.py", "pure")
        .file("demo-1.0.data/platlib/demo/plat.py", "plat")
        .file("demo-1.0.data/scripts/demo", "#!python\n")
        .file("demo-1.0.data/headers/demo.h", "h")
        .file("demo-1.0.data/data/share/demo.txt", "d");
    let unpacked = taken(&wheel.build());
    assert_eq!(unpacked.wheel.info.left_count, 3);
    let expected = [
        "demo-1.0.dist-info/METADATA",
        "demo-1.0.dist-info/RECORD",
        "demo-1.0.dist-info/WHEEL",
        "demo/__init__.py",
        "demo/plat.py",
        "demo/pure.py",
    ];
    assert_eq!(unpacked.paths(), expected);
    // The installed RECORD lists what is installed.
    let record = unpacked.read("demo-1.0.dist-info/RECORD");
    let listed: Vec<&str> = record.lines().map(|line| line.split(',').next().unwrap()).collect();
    for path in expected {
        assert!(listed.contains(&path), "{path} in {record}");
    }
    assert_eq!(listed.len(), expected.len());
    assert!(record.contains("demo/pure.py,sha256="));
}

#[test]
fn unknown_parts_of_data_are_refused() {
    for path in ["demo-1.0.data/etc/passwd", "demo-1.0.data/file", "Demo-1.0.0.data/PURELIB/x.py"] {
        let error = refused(&demo().file(path, "").build());
        assert!(matches!(error, WheelError::DataScheme { .. }), "{path}: {error}");
    }
    // Another's .data directory is a directory like any other.
    assert_eq!(taken(&demo().file("other.data/x", "1").build()).read("other.data/x"), "1");
}

#[test]
fn names_of_the_standard_library_and_of_pymd_are_refused() {
    for path in [
        "typing.py",
        "json/__init__.py",
        "json/data.txt",
        "pymd.py",
        "_pymd_door/__init__.py",
        "IPython/__init__.py",
        "json.cpython-315-wasm32-wasi.so",
        "typing.pyc",
        "demo-1.0.data/purelib/typing.py",
    ] {
        match refused(&demo().file(path, "").build()) {
            WheelError::Forbidden { path: found, .. } => assert!(path.contains(&found), "{found}"),
            other => panic!("{path}: {other}"),
        }
    }
    for path in ["typing.pyi", "json.txt", "ipython/__init__.py", "demo/typing.py", "pymd_theme.py", "json-stubs/x.pyi"]
    {
        unpack_with(&demo().file(path, "").build(), NAME, &rules()).unwrap();
    }
    let text = refused(&demo().file("typing.py", "").build()).to_string();
    assert_eq!(
        text,
        "its `typing.py` would be imported as `typing`, a name of Python's standard library or of PyMD itself"
    );
}
