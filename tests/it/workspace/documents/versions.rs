//! Versions of a document: listed, read, compared, restored.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::World;
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![versions_are_listed_compared_and_restored, hostile_texts_are_compared_in_time];

async fn versions_are_listed_compared_and_restored(at: TestDatabase) {
    let world = World::start(&at).await;
    let document = world.document(json!({"title": "x", "content": "one\ntwo\nthree\n"})).await;
    world.send(Method::PATCH, &document, Some(json!({"content": "one\n2\nthree\nfour\n"}))).await.json();
    world.send(Method::PATCH, &document, Some(json!({"tags": ["t"]}))).await.json();
    let list = world.send(Method::GET, &format!("{document}/versions"), None).await.json();
    assert_eq!((list["total"].as_u64(), list["has_more"].as_bool()), (Some(2), Some(false)));
    assert_eq!((list["versions"][0]["version"].as_u64(), list["versions"][1]["version"].as_u64()), (Some(2), Some(1)));
    assert!(list["versions"][0].get("content").is_none());
    let first = world.send(Method::GET, &format!("{document}/versions/1"), None).await.json();
    assert_eq!((first["content"].as_str(), first["title"].as_str()), (Some("one\ntwo\nthree\n"), Some("x")));
    // The text of the third is that of the second.
    let third = world.send(Method::GET, &format!("{document}/versions/3"), None).await.json();
    assert_eq!(third["version"], 2);

    let diff = world.send(Method::GET, &format!("{document}/versions/2/diff?against=1"), None).await.json();
    assert_eq!((diff["version"].as_u64(), diff["against"].as_u64()), (Some(2), Some(1)));
    assert_eq!((diff["lines_added"].as_u64(), diff["lines_removed"].as_u64()), (Some(2), Some(1)));
    let unified = "--- version 1\n+++ version 2\n@@ -1,3 +1,4 @@\n one\n-two\n+2\n three\n+four\n";
    assert_eq!(diff["unified"], unified);
    let same = world.send(Method::GET, &format!("{document}/versions/3/diff?against=2"), None).await.json();
    assert_eq!((same["unified"].as_str(), same["lines_added"].as_u64()), (Some(""), Some(0)));
    for query in ["", "?against=x", "?against=1&context=9"] {
        let path = format!("{document}/versions/2/diff{query}");
        world.send(Method::GET, &path, None).await.problem(422, "invalid_request");
    }
    for path in ["versions/0", "versions/4", "versions/-1", "versions/2/diff?against=9", "versions/9/diff?against=1"] {
        world.send(Method::GET, &format!("{document}/{path}"), None).await.problem(404, "not_found");
    }

    let restore = format!("{document}/versions/1/restore");
    world.send_if(Method::POST, &restore, ("if-match", "\"2\""), None).await.problem(412, "precondition_failed");
    let back = world.send_if(Method::POST, &restore, ("if-match", "\"3\""), None).await;
    assert_eq!(back.header("etag"), "\"4\"");
    assert_eq!((&back.json()["content"], &back.json()["tags"]), (&first["content"], &json!(["t"])));
    let list = world.send(Method::GET, &format!("{document}/versions?page_size=1"), None).await.json();
    assert_eq!((list["total"].as_u64(), list["has_more"].as_bool()), (Some(3), Some(true)));
    world.send(Method::POST, &format!("{document}/versions/9/restore"), None).await.problem(404, "not_found");
    world.app.stop().await;
}

async fn hostile_texts_are_compared_in_time(at: TestDatabase) {
    let world = World::start(&at).await;
    // Nothing in common, lines in another order, few kinds of lines, lines that are one.
    let numbers = |from: u64, step: u64| -> String {
        (0..200_000).map(|n| format!("{}\n", (from + n * step) % 200_003)).collect()
    };
    let few = |factor: u32| -> String {
        (0..200_000_u32).map(|n| if n.wrapping_mul(factor).count_ones() % 2 == 0 { "a\n" } else { "b\n" }).collect()
    };
    let (halves, blanks) = (format!("{}{}", "a\n".repeat(200_000), "b\n".repeat(199_000)), "\n".repeat(399_000));
    let texts = [
        (numbers(0, 1), numbers(7, 77_773)),
        (few(2_654_435_761), few(40_503)),
        (halves, format!("{}{}", "b\n".repeat(199_000), "a\n".repeat(200_000))),
        (blanks, "a\n\n".repeat(199_000)),
        ("x".repeat(10 << 20), "y".repeat(10 << 20)),
    ];
    for (number, (old, new)) in texts.into_iter().enumerate() {
        let document = world.document(json!({"title": "x", "content": old})).await;
        world.send(Method::PATCH, &document, Some(json!({"content": new}))).await.json();
        let started = Instant::now();
        let diff = world.send(Method::GET, &format!("{document}/versions/2/diff?against=1"), None).await.json();
        let took = started.elapsed();
        assert!(took < Duration::from_secs(15), "{number}: {took:?}");
        assert!(diff["lines_added"].as_u64().unwrap() > 0, "{number}");
        assert_eq!(
            patched(&old, diff["unified"].as_str().unwrap()),
            new,
            "{number}: it is right, though it was hurried"
        );
    }
    let document = world.document(json!({"title": "x", "content": "\n".repeat(400_001)})).await;
    world.send(Method::PATCH, &document, Some(json!({"content": "x"}))).await.json();
    let problem = world.send(Method::GET, &format!("{document}/versions/2/diff?against=1"), None).await;
    let problem: Value = problem.problem(422, "invalid_request");
    assert!(problem["detail"].as_str().unwrap().contains("400000"), "{problem}");
    world.app.stop().await;
}

/// What a patch makes of a text.
fn patched(old: &str, unified: &str) -> String {
    let lines: Vec<_> = old.split_inclusive('\n').collect();
    let (mut at, mut new) = (0, String::new());
    let mut ends_bare = false;
    for line in unified.split_inclusive('\n').skip(2) {
        let (mark, rest) = line.split_at(1);
        match mark {
            "@" => {
                let place = rest.split(['-', ',', ' ']).find_map(|part| part.parse::<usize>().ok()).unwrap();
                let is_insertion = rest.contains(",0 +");
                let until = if is_insertion { place } else { place - 1 };
                lines[at..until].iter().for_each(|line| new.push_str(line));
                at = until;
            }
            " " => {
                new.push_str(rest);
                at += 1;
            }
            "-" => at += 1,
            "+" => new.push_str(rest),
            _ => ends_bare = true,
        }
    }
    lines[at..].iter().for_each(|line| new.push_str(line));
    if ends_bare { new.trim_end_matches('\n').to_owned() } else { new }
}
