//! The names of members.

use pymd::packages::wheel::WheelError;

use super::super::wheel_builder::Member;
use super::{demo, refused, refused_with, rules, taken};

/// A wheel with one more member whose name is these bytes.
fn named(name: &[u8], flags: u16) -> Vec<u8> {
    let mut member = Member::new("x", b"", false);
    member.both(|header| {
        header.name = name.to_vec();
        header.flags = flags;
    });
    demo().zip().with(|zip| zip.members.push(member)).build()
}

#[test]
fn names_that_are_no_plain_relative_paths_are_refused() {
    for (name, part) in [
        ("../evil.py", "leads out"),
        ("demo/../../evil.py", "leads out"),
        ("demo/..", "leads out"),
        ("/etc/passwd", "absolute"),
        ("//server/share", "absolute"),
        ("demo\\evil.py", "backslash"),
        ("..\\evil.py", "backslash"),
        ("C:/evil.py", "drive letter"),
        ("c:evil.py", "drive letter"),
        ("demo//evil.py", "empty part"),
        ("demo/./evil.py", "empty part"),
        ("./evil.py", "empty part"),
        ("", "empty part"),
        ("demo//", "empty part"),
        ("evil\0.py", "control characters"),
        ("evil\n.py", "control characters"),
        ("evil\u{1b}[31m.py", "control characters"),
    ] {
        match refused(&named(name.as_bytes(), 0)) {
            WheelError::Name { reason, .. } => assert!(reason.contains(part), "{name:?}: {reason}"),
            other => panic!("{name:?}: {other}"),
        }
    }
}

#[test]
fn names_that_are_read_differently_by_different_programs_are_refused() {
    for (name, flags) in [(&b"caf\xe9.py"[..], 0), (b"caf\xe9.py", 1 << 11), ("café.py".as_bytes(), 0)] {
        assert!(matches!(refused(&named(name, flags)), WheelError::Name { .. }));
    }
    let second_name = demo().zip().with(|zip| {
        let member = zip.member("demo/__init__.py");
        member.central.extra = super::super::wheel_builder::extra(0x7075, b"\x01\0\0\0\0demo/evil.py");
    });
    match refused(&second_name.build()) {
        WheelError::Archive { reason } => assert_eq!(reason, "a header has a second name"),
        other => panic!("{other}"),
    }
}

#[test]
fn an_error_shows_no_control_characters() {
    let text = refused(&named(b"evil\x1b[2J\xff/../x.py", 0)).to_string();
    assert!(text.chars().all(|c| !c.is_control()), "{text:?}");
    let long = vec![b'a'; 5_000];
    assert!(refused(&named(&long, 0)).to_string().chars().count() < 300);
}

#[test]
fn names_have_a_greatest_length_and_depth() {
    let long = ["a".repeat(256).as_bytes(), b".py"].concat();
    assert!(matches!(refused(&named(&long, 0)), WheelError::Name { reason: "a part of it is too long", .. }));
    let deep = "a/".repeat(32) + "a.py";
    assert!(matches!(refused(&named(deep.as_bytes(), 0)), WheelError::Name { reason: "it has too many parts", .. }));
    let mut rules = rules();
    rules.limits.path_bytes = 20;
    let error = refused_with(&demo().build(), super::NAME, rules);
    assert!(matches!(error, WheelError::Name { reason: "it is too long", .. }), "{error}");
    let deep = "a/".repeat(31) + "a.py";
    assert_eq!(taken(&demo().file(&deep, "x").build()).read(&deep), "x");
}

#[test]
fn odd_but_harmless_names_are_kept() {
    let odd = ["demo/café.txt", "demo/a b,\"c\".txt", "demo/...", "demo/~", "demo/日本語.py"];
    let wheel = odd.iter().fold(demo(), |wheel, path| wheel.file(path, path));
    let unpacked = taken(&wheel.build());
    for path in odd {
        assert_eq!(unpacked.read(path), path);
    }
}

#[test]
fn a_name_twice_is_refused() {
    let wheel = demo().file("demo/a.py", "1").file("demo/a.py", "1").build();
    assert!(matches!(refused(&wheel), WheelError::Duplicate { path } if path == "demo/a.py"));
    let wheel = demo().file("demo/d/", "").file("demo/d/", "").build();
    assert!(matches!(refused(&wheel), WheelError::Duplicate { .. }));
    // Through its part of .data, too.
    let wheel = demo().file("demo-1.0.data/purelib/demo/__init__.py", "2").build();
    assert!(matches!(refused(&wheel), WheelError::Duplicate { path } if path == "demo/__init__.py"));
}

#[test]
fn names_that_differ_in_case_or_normal_form_are_two_files() {
    let wheel = demo().file("demo/A.txt", "1").file("demo/a.txt", "2");
    let wheel = wheel.file("demo/\u{e9}.txt", "3").file("demo/e\u{301}.txt", "4");
    let unpacked = taken(&wheel.build());
    assert_eq!((unpacked.read("demo/A.txt"), unpacked.read("demo/a.txt")), ("1".to_owned(), "2".to_owned()));
    assert_eq!(
        (unpacked.read("demo/\u{e9}.txt"), unpacked.read("demo/e\u{301}.txt")),
        ("3".to_owned(), "4".to_owned())
    );
}

#[test]
fn a_file_that_is_a_directory_too_is_refused() {
    for wheel in [
        demo().file("x", "").file("x/y.py", ""),
        demo().file("x/y.py", "").file("x", ""),
        demo().file("x/", "").file("x", ""),
        demo().file("x", "").file("demo-1.0.data/purelib/x/y.py", ""),
        demo().file("x/y/z.py", "").file("demo-1.0.data/platlib/x/y", ""),
    ] {
        let error = refused(&wheel.build());
        assert!(matches!(error, WheelError::Clash { .. }), "{error}");
    }
}

#[test]
fn links_devices_and_modes_of_others_are_refused() {
    for mode in [0o120_777, 0o060_644, 0o020_644, 0o010_644, 0o140_644, 0o040_755, 0o104_755, 0o102_755] {
        let zip = demo().zip().with(|zip| zip.member("demo/__init__.py").mode(mode));
        assert!(matches!(refused(&zip.build()), WheelError::Special { mode: found, .. } if found == mode), "{mode:o}");
    }
    let zip = demo().file("d/", "").zip().with(|zip| zip.member("d/").mode(0o120_777));
    assert!(matches!(refused(&zip.build()), WheelError::Special { .. }));
    for mode in [0, 0o644, 0o100_755, 0o100_000] {
        taken(&demo().zip().with(|zip| zip.member("demo/__init__.py").mode(mode)).build());
    }
}

#[test]
fn a_directory_with_contents_is_refused() {
    match refused(&named(b"d/", 0)) {
        WheelError::Special { .. } => {}
        other => panic!("the mode is a file's: {other}"),
    }
    let mut member = Member::new("d/", b"hidden", false);
    member.mode(0);
    let zip = demo().zip().with(|zip| zip.members.push(member));
    assert!(matches!(refused(&zip.build()), WheelError::Archive { .. }));
}
