//! The text of a `requirements.txt`, and single requirements.

use pymd::packages::requirements::{
    MAX_ERRORS, MAX_REQUIREMENTS, MAX_TEXT_BYTES, decode_requirements, parse_dependency, parse_requirement,
    parse_requirements,
};

fn names(text: &str) -> Vec<String> {
    let found = parse_requirements(text).expect("requirements");
    found.requirements.iter().map(|listed| format!("{} {}", listed.line, listed.requirement)).collect()
}

/// The errors of a text, as `line: message`.
fn errors(text: &str) -> Vec<String> {
    parse_requirements(text).expect_err("errors").iter().map(ToString::to_string).collect()
}

fn error(text: &str) -> String {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].clone()
}

const HASH: &str = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef";

#[test]
fn comments_blank_lines_and_continuations() {
    let text = "# first\n\n  requests >= 2.0 # why\nname#notacomment\n";
    assert!(error(text).starts_with("line 4: `name#notacomment` is not a requirement"));
    let text = "requests\\\n>=2.0,\\\n<3\nrich\\\n# a comment ends it \\\nclick\n\\\n\nattrs \\";
    assert_eq!(names(text), ["1 requests>=2.0,<3", "4 rich", "6 click", "9 attrs"]);
    assert_eq!(names(""), [""; 0]);
    assert_eq!(names("#only\n  # comments \\\n#"), [""; 0]);
}

#[test]
fn extras_markers_and_versions() {
    let text = "requests[socks,use_chardet]==2.*; python_version >= '3.9' and sys_platform != 'win32'\nfoo (>=1,<2)\nBar.Baz~=1.4.2";
    assert_eq!(
        names(text),
        [
            "1 requests[socks,use-chardet]==2.* ; python_full_version >= '3.9' and sys_platform != 'win32'",
            "2 foo>=1,<2",
            "3 bar-baz~=1.4.2"
        ]
    );
}

#[test]
fn line_ends_marks_and_encodings() {
    assert_eq!(names("\u{feff}a\r\nb \\\r\n ==1\r\nc"), ["1 a", "2 b==1", "4 c"]);
    let utf16 = |big: bool| {
        let units = "\u{feff}a\r\nb>1".encode_utf16();
        units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect::<Vec<u8>>()
    };
    for bytes in [utf16(true), utf16(false), b"\xef\xbb\xbfa\nb>1".to_vec()] {
        assert_eq!(names(&decode_requirements(&bytes).unwrap()), ["1 a", "2 b>1"]);
    }
    let error = decode_requirements(b"a\nb\nc # caf\xe9\n").unwrap_err();
    assert_eq!(error.to_string(), "line 3: the text is not valid UTF-8: save the file as UTF-8");
    assert_eq!(decode_requirements(b"\xff\xfe\x00\xd8").unwrap_err().line, 1);
    assert_eq!(self::error("a\nb\0\n"), "line 2: there is a control character (U+0000) in it");
    assert_eq!(self::error("a\rb"), "line 1: there is a control character (U+000D) in it");
    assert_eq!(names("a # caf\u{e9} \u{1f40d}"), ["1 a"]);
}

#[test]
fn constraints_stand_in_their_line() {
    let found = parse_requirements("a\n-c b<2\n--constraint c==1.0 ; python_version > '3'\n-c 'd!=3'\n-ce>1").unwrap();
    let constraints: Vec<String> = found.constraints.iter().map(ToString::to_string).collect();
    assert_eq!(constraints, ["b<2", "c==1.0 ; python_full_version >= '3.1'", "d!=3", "e>1"]);
    for file in ["-c constraints.txt", "--constraint=../c.txt", "-c https://host.test/c.txt", "-c name", "-c"] {
        assert!(error(file).contains("another file can't be read from here"), "{file}");
    }
    assert_eq!(error("-c a[x]<2"), "line 1: the constraint for `a` must not have extras");
    assert!(error("-c https://host.test/a==1").contains("nothing is installed from an address"));
}

#[test]
fn one_hash_makes_all_required() {
    let text =
        format!("a==1.0 --hash=sha256:{HASH} \\\n  --hash sha512:{}\nb==2.0 --hash=sha256:{HASH}", "a".repeat(128));
    let found = parse_requirements(&text).unwrap();
    assert!(found.hashes_required);
    assert_eq!(found.requirements[0].hashes, [HASH.to_lowercase()]);
    assert_eq!(found.requirements[1].line, 3);
    assert!(!parse_requirements("a").unwrap().hashes_required);
    assert_eq!(
        error(&format!("a==1 --hash=sha256:{HASH}\nb==1")),
        "line 2: `b` has no --hash=sha256:..., which every requirement must have once one has it"
    );
    assert_eq!(error("--require-hashes\nb==1"), error(&format!("a --hash=sha256:{HASH}\nb")));
    assert_eq!(
        error(&format!("a==1 --hash=sha512:{}", "a".repeat(128))),
        "line 1: only SHA-256 is checked here: add --hash=sha256:... beside the sha512 one"
    );
    assert!(error("a --hash=md5:d41d8cd98f00b204e9800998ecf8427e").contains("the hash must be sha256:<64 hex digits>"));
    assert!(error("a --hash=sha256:12").contains("sha256 has 64 hex digits"));
    assert!(error(&format!("a --hash=sha256:{}", "g".repeat(64))).contains("sha256 has 64 hex digits"));
    assert!(error("a --hash").contains("the hash must be"));
    assert!(error(&format!("--hash=sha256:{HASH}")).contains("behind the requirement"));
}

#[test]
fn pre_and_what_holds_anyway() {
    let found = parse_requirements("--pre\n--only-binary :all:\n--prefer-binary\na").unwrap();
    assert!(found.allow_pre);
    assert_eq!(found.requirements.len(), 1);
    assert!(!parse_requirements("a").unwrap().allow_pre);
}

#[test]
fn everything_else_is_refused_line_by_line() {
    let text = "requests\n\
                -e .\n\
                git+https://host.test/x.git\n\
                x @ git+ssh://git@host.test/x\n\
                x @ https://host.test/x-1.0-py3-none-any.whl\n\
                https://host.test/x-1.0.tar.gz\n\
                ./local\n\
                ../x-1.0-py3-none-any.whl\n\
                /etc/passwd\n\
                C:\\x\n\
                x-1.0.tar.gz\n\
                dir/x\n\
                -r other.txt\n\
                --requirement=other.txt\n\
                --index-url https://host.test\n\
                --extra-index-url=https://host.test\n\
                -ihttps://host.test\n\
                --find-links .\n\
                -f.\n\
                --trusted-host host.test\n\
                --no-index\n\
                --no-binary :all:\n\
                a --config-settings x=y\n\
                --unknown\n\
                x @ file:///etc/passwd\n\
                file:x\n\
                rich";
    let errors = parse_requirements(text).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), (2..=26).collect::<Vec<_>>());
    let reasons = [
        "editable",
        "version control",
        "version control",
        "from an address",
        "from an address",
        "files can't",
        "files can't",
        "files can't",
        "files can't",
        "source distribution",
        "files can't",
        "another file",
        "another file",
        "administrator",
        "administrator",
        "administrator",
        "index only",
        "index only",
        "administrator",
        "administrator",
        "nothing is built",
        "can't stand behind",
        "not an option",
        "from an address",
        "from an address",
    ];
    for (error, reason) in errors.iter().zip(reasons) {
        assert!(error.message.contains(reason), "{error}: {reason}");
    }
}

#[test]
fn the_environment_is_never_expanded() {
    for text in ["${HOME}", "a==${VERSION}", "a @ https://${TOKEN}@host.test/a", "-c ${X}<2", "a; os_name == '${PATH}'"]
    {
        assert!(error(text).contains("environment variables (`${...}`) are never expanded here"), "{text}");
        assert!(parse_requirement(text).is_err());
        let error = parse_dependency(text).unwrap_err().to_string();
        assert!(!error.contains(&std::env::var("PATH").unwrap()), "{error}");
    }
}

#[test]
fn sizes_are_bounded() {
    assert_eq!(errors(&"x y\n".repeat(100_000)).len(), MAX_ERRORS);
    assert_eq!(error(&"a\n".repeat(MAX_REQUIREMENTS + 2)), "line 2001: there are more than 2000 requirements");
    assert_eq!(error(&"\n".repeat(MAX_TEXT_BYTES + 1)), "line 1: the text is longer than 1048576 bytes");
    assert_eq!(names(&"#\n".repeat(500_000)), [""; 0]);
    assert_eq!(names(&"a\\\n".repeat(2)), ["1 aa"]);
    assert!(error(&"a\\\n".repeat(100_000)).len() < 300);
    assert!(decode_requirements(&vec![b' '; 3 * MAX_TEXT_BYTES]).is_err());
    let marker: Vec<String> = (0..6).map(|at| format!("(sys_platform == 'x' and os_name == 'y{at}')")).collect();
    let line = format!("a; {}\n", marker.join(" or "));
    assert_eq!(names(&line).len(), 1);
    assert_eq!(error(&line.repeat(40)), "line 23: the markers are too complicated together");
}

#[test]
fn single_requirements_are_refused_alike() {
    assert_eq!(parse_requirement(" Name == 1.0 ").unwrap().to_string(), "name==1.0");
    let reason = |text: &str| parse_requirement(text).unwrap_err().to_string();
    assert_eq!(reason(""), "`` is not a requirement such as `name>=1.0`: it does not begin with the name of a package");
    assert!(reason("name=1.0").starts_with("`name=1.0` is not a requirement such as `name>=1.0`: "));
    assert!(reason("a b").contains("is not a requirement"));
    assert!(reason("pkg\n--pre").contains("control character"));
    assert!(reason("p\u{430}ndas").contains("is not a character that a requirement can have"));
    assert!(reason("git+https://host.test/x").contains("nothing is installed from a version control system"));
    let shown = reason("git+https://user:secret@host.test/x");
    assert!(!shown.contains("secret"), "{shown}");
    let shown = reason(&format!("x @ https://token@host.test/{}", "y".repeat(1_000)));
    assert!(!shown.contains("token") && shown.len() < 300, "{shown}");
}

#[test]
fn what_the_parser_could_not_bear_is_refused_before_it() {
    let texts = [
        "a-",
        "a- >1",
        "a.[x]",
        "a_;os_name=='x'",
        "a[b-]",
        "a[-b]",
        "a[b",
        "a[,]",
        "a[b,,c]",
        "[a]",
        "-a",
        "a[b.]>1",
        "a~=18446744073709551615.0",
        "a==18446744073709551615.*",
        "a>1.post18446744073709551615",
        "a; python_version ~= '18446744073709551615.0'",
        "a; python_version == '18446744073709551615.*'",
        "a; python_version in '3 18446744073709551615'",
        "a; python_full_version in '3.0+x'",
        "a; 'x' ~= os_name",
        "a; ('1' ~= platform_release)",
        "a; os_name~='x'",
    ];
    for text in texts {
        parse_requirement(text).unwrap_err();
        parse_dependency(text).unwrap_err();
    }
    let nested = format!("a; {}os_name == 'x'{}", "(".repeat(1_000), ")".repeat(1_000));
    parse_requirement(&nested).unwrap_err();
    let wide: Vec<String> = (0..14).map(|at| format!("(extra == 'a{at}' and extra == 'b{at}')")).collect();
    parse_requirement(&format!("a; {}", wide.join(" or "))).unwrap_err();
    // Walking all ways through this one takes seconds, and there are worse.
    let ways: Vec<String> = (0..12)
        .map(|at| format!("({})", ["p", "q", "r", "s", "t"].map(|name| format!("extra == '{name}{at}'")).join(" or ")))
        .collect();
    parse_dependency(&format!("a; {}", ways.join(" and "))).unwrap_err();
    let exported = "a==1; (os_name == 'nt' and python_version < '3.9') or (os_name == 'posix' and python_version < '3.16' and \
                    sys_platform != 'darwin') or (platform_machine == 'arm64' and sys_platform == 'darwin') or \
                    (implementation_name != 'cpython' and sys_platform == 'linux' and python_full_version >= '3.8')";
    parse_requirement(exported).unwrap();
    let extras: Vec<String> = (0..60).map(|at| format!("extra == 'e{at}'")).collect();
    parse_dependency(&format!("a; {}", extras.join(" or "))).unwrap();
    parse_requirement(&format!("a{}", ">1,".repeat(10_000))).unwrap_err();
    // And it still works for everybody else.
    assert_eq!(parse_requirement("a; python_version >= '3'").unwrap().name.as_ref(), "a");
}

#[test]
fn slips_of_old_metadata_are_mended() {
    let mended = |text: &str| parse_dependency(text).unwrap().to_string();
    assert_eq!(mended("foo (>=1.0.*)"), "foo>=1.0");
    assert_eq!(mended("foo (>=1.0,<2,)"), "foo>=1.0,<2");
    assert_eq!(mended("foo >=1.0<2; extra == 'x'"), "foo>=1.0,<2 ; extra == 'x'");
    assert_eq!(mended("foo (>='1.0')"), "foo>=1.0");
    assert_eq!(mended("foo[bar] (==1.*)"), "foo[bar]==1.*");
    parse_dependency("foo (bar)").unwrap_err();
}

#[test]
fn no_text_makes_the_parser_panic() {
    let parts = [
        "a",
        "a-b",
        "B.c",
        "-",
        "_",
        ".",
        "[",
        "]",
        "x",
        ",",
        " ",
        "(",
        ")",
        ";",
        "==",
        ">=",
        "~=",
        "<",
        "!=",
        "===",
        "1",
        "1.0",
        "*",
        ".*",
        "1!2",
        "0",
        "b1",
        ".post1",
        ".dev0",
        "+l",
        "rc",
        " and ",
        " or ",
        " not ",
        " in ",
        "python_version",
        "extra",
        "os_name",
        "python_full_version",
        "sys_platform",
        "platform_release",
        "implementation_version",
        "'",
        "\"",
        "'3.0'",
        "'3'",
        "'3.1.*'",
        "'x'",
        "''",
        "'3.0 3.1'",
        "'3.0.0b1+x'",
        "@",
        "https://h/",
        "#",
        "\\",
        "9999999999999999999",
        "999999999999999999",
    ];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |limit: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap() % limit
    };
    let target = pymd::packages::target::Target::sandbox("3.15.0", []).unwrap();
    let mut good = 0;
    for round in 0..20_000 {
        let mut text = ["", "a", "a;python_version", "a;", "a>=", "a @ https://h/;'", "a (>=1;"][round % 7].to_owned();
        for _ in 0..1 + next(8) {
            text.push_str(parts[next(parts.len())]);
        }
        for requirement in [parse_requirement(&text).ok(), parse_dependency(&text).ok()].into_iter().flatten() {
            good += 1;
            let _ = (requirement.evaluate_markers(target.markers(), &[]), requirement.to_string());
        }
    }
    assert!(good > 400, "{good}");
}
