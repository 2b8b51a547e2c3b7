//! The text of core metadata, as the standard has it, as old tools wrote it, and as an enemy would.

use pymd::packages::metadata::{MetadataError, essence, parse, requirement, specifiers};

const TEXT: &str = "Metadata-Version: 2.4\r\nName: Foo.Bar\r\nVersion: 1.0rc1\r\nsummary: A thing\r\n  of two lines\r\n\
    X-Unknown: whatever\r\nRequires-Python: >=3.8\r\nRequires-Dist: a>=1 ; python_version < \"3\"\r\n\
    REQUIRES-DIST: b[c,d]\r\n\t(==1.*)\r\nProvides-Extra: test_it\r\nProvides-Extra: !\r\nLicense: x\r\n\r\n\
    Requires-Dist: not-a-header\r\n";

#[test]
fn metadata_is_read() {
    let metadata = parse(TEXT.as_bytes()).unwrap();
    assert_eq!((metadata.name.as_ref(), metadata.version.to_string().as_str()), ("foo-bar", "1.0rc1"));
    let requires: Vec<_> = metadata.requires_dist.iter().map(ToString::to_string).collect();
    assert_eq!(requires, ["a>=1 ; python_full_version < '3'", "b[c,d]==1.*"]);
    assert_eq!(metadata.requires_python.as_ref().unwrap().to_string(), ">=3.8");
    assert_eq!(metadata.provides_extra.iter().map(ToString::to_string).collect::<Vec<_>>(), ["test-it"]);
    assert_eq!(metadata.summary.as_deref(), Some("A thing of two lines"));
    let essence = essence(TEXT.as_bytes()).unwrap();
    assert!(!essence.contains("Unknown") && !essence.contains("not-a-header"), "{essence}");
    assert_eq!(format!("{:?}", parse(essence.as_bytes()).unwrap()), format!("{metadata:?}"));
}

#[test]
fn odd_metadata_is_read_too() {
    for text in [
        "Name: a\nVersion: 1\n",
        "\u{feff}Name: a\nVersion: 1",
        "Metadata-Version: 1.0\nName: a\nVersion: 1\nSummary: UNKNOWN\nRequires-Python:\n",
        "Name: a\nVersion: 1\nno header\nName: !\n",
        " leading\nName: a\nVersion: 1\n",
    ] {
        let metadata = parse(text.as_bytes()).unwrap();
        assert_eq!((metadata.name.as_ref(), &metadata.summary), ("a", &None), "{text}");
        assert!(metadata.requires_python.is_none());
    }
    let latin = parse(b"Name: a\nVersion: 1\nSummary: caf\xe9\n").unwrap();
    assert_eq!(latin.summary.as_deref(), Some("caf\u{fffd}"));
}

#[test]
fn old_slips_are_put_right() {
    for (slip, meant) in [
        (">=3.6,", ">=3.6"),
        (">=2.7,!=3.0*", ">=2.7, !=3.0.*"),
        (">=3.6.*", ">=3.6"),
        (">=2.7 !=3.1.*", ">=2.7, !=3.1.*"),
        ("'>=3.7'", ">=3.7"),
        (">=3.6.", ">=3.6"),
    ] {
        assert_eq!(specifiers(slip).unwrap().to_string(), meant, "{slip}");
    }
    for (slip, meant) in [
        ("a (>=1.0<2.0)", "a>=1.0,<2.0"),
        ("a>=1.0.*; extra == 'x'", "a>=1.0 ; extra == 'x'"),
        ("a[b] (!=3.0*,)", "a[b]!=3.0.*"),
    ] {
        assert_eq!(requirement(slip).unwrap().to_string(), meant, "{slip}");
    }
    for bad in [">=three", "=>3", "3.6", ">=", "*"] {
        assert!(specifiers(bad).is_err(), "{bad}");
    }
}

#[test]
fn bad_metadata_names_the_line() {
    let head = "Metadata-Version: 2.1\nName: a\nVersion: 1\n";
    for bad in ["b ==", "b @", ">=1", "", "b; nonsense", "b; python_version", "b[", "b @ ../x; extra ==", "\u{1f600}"] {
        let error = parse(format!("{head}Requires-Dist: c\nRequires-Dist: {bad}\n").as_bytes()).unwrap_err();
        assert!(matches!(error, MetadataError::Line { line: 5, header: "Requires-Dist", .. }), "{bad}: {error}");
    }
    for (text, line) in [
        ("Metadata-Version: 3.0\nName: a\nVersion: 1\n", 1),
        ("Metadata-Version: x\nName: a\nVersion: 1\n", 1),
        ("Name: !\nVersion: 1\n", 1),
        ("Name: a\nVersion: one\n", 2),
        ("Name: a\nVersion: 1\nRequires-Python: three\n", 3),
    ] {
        let error = parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, MetadataError::Line { line: found, .. } if found == line), "{text}: {error}");
    }
    assert_eq!(parse(b"Version: 1\n").unwrap_err(), MetadataError::Missing { header: "Name" });
    assert_eq!(parse(b"\nName: a\nVersion: 1\n").unwrap_err(), MetadataError::Missing { header: "Name" });
    assert_eq!(parse(b"Name: a\n").unwrap_err(), MetadataError::Missing { header: "Version" });
}

#[test]
fn hostile_metadata_is_refused_soon() {
    let with = |line: &str| format!("Name: a\nVersion: 1\nRequires-Dist: {line}\n");
    let pairs: Vec<_> = (0..40).map(|n| format!("(extra == 'a{n}' and extra == 'z{n}')")).collect();
    for (line, expected) in [
        (format!("b; {}extra == 'x'{}", "(".repeat(100_000), ")".repeat(100_000)), "too long"),
        (format!("b; {}extra == 'x'{}", "(".repeat(5000), ")".repeat(5000)), "parentheses"),
        (format!("b; {}", pairs[..30].join(" or ")), "too complicated"),
        (format!("b; {}", vec!["extra == 'x'"; 1000].join(" or ")), "too complicated"),
    ] {
        let error = parse(with(&line).as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.len() < 1000, "{error}");
    }
    let some = with(&format!("b; {}", pairs[..4].join(" or ")));
    parse(some.as_bytes()).unwrap();
    let line = some.lines().last().unwrap();
    let many = format!("{some}{}", format!("{line}\n").repeat(8000));
    assert!(parse(many.as_bytes()).unwrap_err().to_string().contains("of this metadata are too complicated"));
    let many = format!("{}{}", with("b"), "Requires-Dist: b\n".repeat(10_000));
    assert!(matches!(parse(many.as_bytes()), Err(MetadataError::TooMany { header: "Requires-Dist", .. })));
    let many = format!("{}{}", with("b"), "Provides-Extra: b\n".repeat(10_000));
    assert!(matches!(parse(many.as_bytes()), Err(MetadataError::TooMany { header: "Provides-Extra", .. })));
    let long = format!("{}\n{}", with("b"), "x".repeat(8 << 20));
    assert!(matches!(parse(long.as_bytes()), Err(MetadataError::TooLong { .. })));
    // What is legitimate and long: one package for all of its extras.
    let extras: Vec<_> = (0..100).map(|n| format!("extra == 'e{n}'")).collect();
    parse(with(&format!("b; python_version < '4' and ({})", extras.join(" or "))).as_bytes()).unwrap();
}

#[test]
fn what_the_parser_can_not_bear_does_not_reach_it() {
    let with = |line: &str| format!("Metadata-Version: 2.1\nName: a\nVersion: 1\nRequires-Dist: {line}\n");
    let long = ["(extra == 'a' or extra == 'b' or extra == 'c' or extra == 'd' or extra == 'e')"; 12].join(" and ");
    for line in [
        "b; 'x' ~= os_name",
        "b; os_name ~= 'x'",
        "b-",
        "b[c-]",
        "b ~= 18446744073709551615.1",
        "b == 18446744073709551615.*",
        "b @ ${HOME}",
        "b @ https://h/;' ; 'x' ~= os_name",
        "b @ https://h/;\" ; \"x\" ~= os_name",
        "b (>=1;' ) ; 'x' ~= os_name",
        &format!("b; {long}"),
    ] {
        // Refused or not: the process lives, and the next marker is read as ever.
        if let Ok(metadata) = parse(with(line).as_bytes()) {
            let home = std::env::var("HOME").unwrap_or_default();
            let shown = format!("{:?}", metadata.requires_dist);
            assert!(home.len() < 2 || !shown.contains(&home), "{line}: {shown}");
        }
        let metadata = parse(with("b; python_version > '3' and extra == 'x'").as_bytes()).unwrap();
        assert_eq!(metadata.requires_dist.len(), 1, "{line}");
    }
    let many = format!("{}{}", with("b"), "x:\n".repeat(30_000));
    assert!(matches!(parse(many.as_bytes()), Err(MetadataError::TooMany { .. })));
    let long = format!("Name: a\nVersion: 1\nRequires-Python: {}\n", vec![">=3"; 1000].join(","));
    assert!(parse(long.as_bytes()).unwrap_err().to_string().contains("too long"));
    assert!(parse(with("b; 'x' ~= os_name").as_bytes()).is_err());
    assert!(parse(with(&format!("b; {long}")).as_bytes()).is_err());
}
