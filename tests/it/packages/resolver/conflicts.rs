//! Why something can't be had, word for word.

use super::world::{World, request, world};

fn told(world: &World, roots: &[&str]) -> (String, Vec<usize>) {
    let error = world.fails(roots.iter().copied());
    assert_eq!(world.resolve_knowing_all(&request(roots.iter().copied())), Err(error.clone()));
    (error.to_string(), error.roots().to_vec())
}

#[test]
fn a_name_that_does_not_exist() {
    let world = world("a 1.0: b\n b 1.0: gone>1\n c 1.0");
    assert_eq!(told(&world, &["c", "nope"]), ("there is no `nope` on the package index".to_owned(), vec![1]));
    let told = told(&world, &["c", "a"]);
    assert_eq!(told, ("there is no `gone` on the package index (needed by b, which a needs)".to_owned(), vec![1]));
}

#[test]
fn a_version_that_does_not_exist() {
    let world = world("a 1.0\n a 1.1\n a 1.10\n a 2.0\n a 0.1\n a 0.2\n b 3.0\n c 1.0: b>=4,<5");
    assert_eq!(
        told(&world, &["a==9.9"]),
        ("a has no version `a==9.9`: the newest are 2.0, 1.10, 1.1, 1.0, 0.2".to_owned(), vec![0])
    );
    assert_eq!(
        told(&world, &["c"]),
        ("b has no version `b>=4,<5` (needed by c): there is only 3.0".to_owned(), vec![0])
    );
    assert_eq!(told(&world, &["b>=2,<1"]).0, "b has no version `b<1,>=2`: there is only 3.0");
}

#[test]
fn two_requirements_that_exclude_each_other() {
    let world = world("a 1.0\n a 2.0\n b 1.0");
    let expected = "no version of a suits all that needs it:\n- you asked for `a>=2` and `a<2`";
    assert_eq!(told(&world, &["a>=2", "b", "a<2"]), (expected.to_owned(), vec![0, 2]));
}

#[test]
fn two_packages_that_need_different_versions() {
    let world = world("a 1.0: c<2\n b 2.0: c>=2\n c 1.0\n c 2.0\n d 1.0");
    let expected = "no version of c suits all that needs it:\n\
                    - you asked for `a==1.0` and `b`\n\
                    - a 1.0 needs c<2\n\
                    - b 2.0 needs c>=2";
    assert_eq!(told(&world, &["a==1.0", "d", "b"]), (expected.to_owned(), vec![0, 2]));
}

#[test]
fn ranges_that_meet_where_there_is_nothing() {
    let world = world("a 1.0: c<1.8\n b 2.0: c>1.2\n c 1.0\n c 2.0");
    let expected = "no version of c suits all that needs it:\n\
                    - you asked for `a` and `b`\n\
                    - a 1.0 needs c<1.8\n\
                    - b 2.0 needs c>1.2";
    assert_eq!(told(&world, &["a", "b"]), (expected.to_owned(), vec![0, 1]));
}

#[test]
fn many_versions_are_told_in_one_line() {
    let mut lines = vec!["c 1.0".to_owned(), "c 2.0".to_owned(), "b 1.0: c<2".to_owned()];
    lines.extend((0..30).map(|minor| format!("a 1.{minor}: c>=2")));
    let expected = "no version of c suits all that needs it:\n\
                    - you asked for `b` and `a`\n\
                    - every version of a needs c>=2\n\
                    - b 1.0 needs c<2";
    assert_eq!(told(&world(&lines.join("\n")), &["b", "a"]), (expected.to_owned(), vec![0, 1]));
    let mut lines = vec!["c 0.5".to_owned(), "b 1.0: c<1".to_owned()];
    lines.extend((0..30).map(|minor| format!("a 1.{minor}: c==1.{minor}")));
    lines.extend((0..30).map(|minor| format!("c 1.{minor}")));
    let expected = "no version of c suits all that needs it:\n\
                    - you asked for `b` and `a`\n\
                    - every version of a needs c>=1.0\n\
                    - b 1.0 needs c<1";
    assert_eq!(told(&world(&lines.join("\n")), &["b", "a"]).0, expected);
}

#[test]
fn a_deep_conflict_is_told_from_the_top() {
    let world = world("a 1.0: b\n b 1.0: c\n c 1.0: z<2\n x 1.0: y\n y 1.0: z>=2\n z 1.0\n z 2.0");
    let expected = "no version of z suits all that needs it:\n\
                    - you asked for `a` and `x`\n\
                    - a 1.0 needs b\n\
                    - x 1.0 needs y\n\
                    - b 1.0 needs c\n\
                    - y 1.0 needs z>=2\n\
                    - c 1.0 needs z<2";
    assert_eq!(told(&world, &["a", "x"]), (expected.to_owned(), vec![0, 1]));
}

#[test]
fn several_troubles_at_once() {
    let world = world("a 1.0: gone\n a 2.0: c>=2\n b 1.0: c<2\n c 1.0\n c 2.0");
    let (text, roots) = told(&world, &["a", "b"]);
    let expected = "no version of c suits all that needs it:\n\
                    - you asked for `a` and `b`\n\
                    - a 2.0 needs c>=2\n\
                    - a 1.0 needs gone\n\
                    - b 1.0 needs c<2\n\
                    - gone is not on the package index";
    assert_eq!((text.as_str(), roots), (expected, vec![0, 1]));
}

#[test]
fn an_excluding_constraint() {
    let world = world("a 1.0: b>=2\n b 1.0\n b 2.0");
    let mut asked = request(["a"]);
    asked.constraints = vec![pymd::packages::requirements::parse_requirement("b<2").unwrap()];
    let error = world.resolve(&asked).unwrap_err();
    assert_eq!(error.to_string(), "`b>=2` (needed by a) can't be used: the constraint `b<2` excludes it");
    assert_eq!(error.roots(), [0]);
}

#[test]
fn extras_in_a_conflict_are_named() {
    let world = world("a 1.0 {extras x}: c>=2; extra == 'x'\n b 1.0: c<2\n c 1.0\n c 2.0");
    let expected = "no version of c suits all that needs it:\n\
                    - you asked for `a[x]` and `b`\n\
                    - a[x] 1.0 needs c>=2\n\
                    - b 1.0 needs c<2";
    assert_eq!(told(&world, &["a[x]", "b"]), (expected.to_owned(), vec![0, 1]));
}

#[test]
fn what_the_culprits_leave_can_be_had() {
    let world = world("a 1.0: c<2\n b 2.0: c>=2\n c 1.0\n c 2.0\n d 1.0\n e 1.0 {native}");
    let mut roots = vec!["a", "nope", "b", "d", "e", "c==7"];
    let mut failed = Vec::new();
    loop {
        match world.resolve(&request(roots.iter().copied())) {
            Ok(resolution) => {
                assert_eq!(super::world::locked(&resolution), "d 1.0");
                break;
            }
            Err(error) => {
                assert!(!error.roots().is_empty(), "{error}");
                error.roots().iter().rev().for_each(|root| failed.push(roots.remove(*root)));
            }
        }
    }
    failed.sort_unstable();
    assert_eq!(failed, ["a", "b", "c==7", "e", "nope"]);
}
