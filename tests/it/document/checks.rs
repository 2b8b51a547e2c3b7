use pymd::document::{Severity, check};

fn found(source: &str) -> Vec<(usize, usize, Severity)> {
    check(source).into_iter().map(|problem| (problem.line, problem.column, problem.severity)).collect()
}

#[test]
fn good_documents_have_no_problems() {
    for source in
        ["", "text\n", "```\n1\n```\n", "# ```\n1\n# ```\n# text\n", "````\n```\n````\n", "// x\nimport pymd\n"]
    {
        assert_eq!(check(source), [], "{source:?}");
    }
}

#[test]
fn problems_and_their_places() {
    use Severity::{Error, Warning};
    for (source, expected) in [
        ("text\n```\nx", vec![(2, 1, Error)]),
        ("text\n  ```\nx", vec![(2, 3, Error)]),
        ("````\n```\n```\n", vec![(1, 1, Error)]),
        ("# ```\nx", vec![(1, 1, Error)]),
        ("```\na\n```python\nb\n```\n", vec![(3, 1, Warning)]),
        ("```\na\n```python\nb\n", vec![(1, 1, Error), (3, 1, Warning)]),
        ("```\na\n````\n", vec![(3, 1, Warning)]),
        ("# ```\n1\n# ```\n  stray = 1\n", vec![(4, 3, Warning)]),
        ("# ```\n1\n# ```\n```\n2\n```\n", vec![(4, 1, Error)]),
        ("```\n1\n```\n# ```\n2\n", vec![(4, 1, Warning)]),
        ("text\r\n```\r\nx", vec![(2, 1, Error)]),
        ("\u{feff}```\nx", vec![(1, 1, Error)]),
    ] {
        assert_eq!(found(source), expected, "{source:?}");
    }
}

#[test]
fn messages_name_the_missing_fence() {
    insta::assert_snapshot!(check("# ````json\n# {}\n")[0].message, @"this block is not closed: `# ````` is missing");
    insta::assert_snapshot!(check("```\nx\n")[0].message, @"this cell is not closed: ``` is missing");
}

#[test]
fn problems_are_bounded() {
    let source = format!("# ```\n1\n# ```\n{}", "stray\n".repeat(100_000));
    assert!(check(&source).len() <= 1_001);
    assert!(check(&"`".repeat(1 << 20))[0].message.len() < 200);
}

#[test]
fn problems_are_plain_json() {
    let json = serde_json::to_string(&check("```\nx")[0]).expect("JSON");
    insta::assert_snapshot!(json, @r#"{"line":1,"column":1,"message":"this cell is not closed: ``` is missing","severity":"error"}"#);
}
