use pymd::packages::wheel_name::WheelName;

fn parse(name: &str) -> Result<WheelName, String> {
    name.parse().map_err(|error: pymd::packages::wheel_name::WheelNameError| error.to_string())
}

#[test]
fn names_are_taken_apart() {
    let name = parse("Some_Package-1.0.post1-2b-py2.py3-none-any.whl").unwrap();
    assert_eq!((name.name.to_string(), name.version.to_string()), ("some-package".to_owned(), "1.0.post1".to_owned()));
    assert_eq!(name.build, Some((2, "b".to_owned())));
    assert_eq!(
        (name.python.clone(), name.tags()),
        (vec!["py2".to_owned(), "py3".to_owned()], "py2.py3-none-any".into())
    );
}

#[test]
fn wheels_for_every_platform_are_told_from_others() {
    for (tags, is_pure) in [
        ("py3-none-any", true),
        ("py2.py3-none-any", true),
        ("py30-none-any", true),
        ("py315-none-any", true),
        ("cp315-none-any", true),
        ("py316-none-any", false),
        ("cp314-none-any", false),
        ("py2-none-any", false),
        ("py-none-any", false),
        ("pyx-none-any", false),
        ("py3-abi3-any", false),
        ("cp315-cp315-any", false),
        ("py3-none-manylinux_2_17_x86_64", false),
        ("py3-none-manylinux_2_17_x86_64.any", true),
    ] {
        assert_eq!(parse(&format!("a-1-{tags}.whl")).unwrap().is_pure_for((3, 15)), is_pure, "{tags}");
    }
}

#[test]
fn other_names_are_refused_and_none_stops_the_program() {
    for (name, word) in [
        ("a-1-py3-none-any.zip", ".whl"),
        ("a-1-py3-none.whl", "five or six"),
        ("a-1-2-3-py3-none-any.whl", "five or six"),
        ("a-1-x-py3-none-any.whl", "build tag"),
        ("a-1-99999999999999999999999-py3-none-any.whl", "build tag"),
        ("-1-py3-none-any.whl", "no name"),
        ("a--py3-none-any.whl", "version"),
        ("a-1-py\u{e9}-none-any.whl", "ASCII"),
        ("a-1-\u{1f40d}-none-any.whl", "ASCII"),
    ] {
        let error = parse(name).unwrap_err();
        assert!(error.contains(word), "{name}: {error}");
    }
}
