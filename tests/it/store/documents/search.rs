//! Documents are found by words and tags, in any order that is asked for, alike on both databases.

use pymd::domain::{DocumentQuery, DocumentSort, PageRequest, SortOrder, TagCount};
use pymd::store::{DocumentChange, NewDocument};

use super::{tags, text, titled, titles};
use crate::databases::{TestDatabase, on_both_databases};
use crate::store::new_user;

on_both_databases![
    words_are_found_in_titles_first,
    what_changes_is_found_by_what_it_is,
    hostile_searches_are_searches,
    tags_filter_and_are_counted,
    lists_are_sorted_and_come_in_pages,
    long_texts_are_found_by_their_first_words,
];

fn query(search: &str) -> DocumentQuery {
    DocumentQuery { search: Some(search.to_owned()), ..DocumentQuery::default() }
}

async fn words_are_found_in_titles_first(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    for (title, content) in [
        ("Whales", "the quarterly report of the sea"),
        ("Report", "of something quarterly"),
        ("Quarterly Report", "numbers"),
        ("Notes", "read_csv('sales.csv'), Übung, 東京タワー, O'Neill \"quoted\""),
        ("Reports of old", "quarterly"),
        ("Numbers", "1,000.50 or 42"),
    ] {
        let new = NewDocument { content: content.to_owned(), ..titled(title) };
        database.create_document(user, new).await.unwrap();
    }
    // All words in the title, then one of them, then the latest.
    let found = titles(&database, user, &query("quarterly report")).await;
    assert_eq!(found, ["Quarterly Report", "Reports of old", "Report", "Whales"]);
    assert_eq!(titles(&database, user, &query("REPORT quarterly")).await.len(), 3, "in any order and case");
    // Only the last word may be a beginning.
    assert_eq!(titles(&database, user, &query("quarter report")).await, Vec::<String>::new());
    assert_eq!(titles(&database, user, &query("report quarter")).await.len(), 3);
    for (search, title) in [
        ("csv", "Notes"),
        ("read_csv(", "Notes"),
        ("übung", "Notes"),
        ("ÜB", "Notes"),
        ("東京", "Notes"),
        ("京", "Notes"),
        ("o'neill", "Notes"),
        ("\"quoted\"", "Notes"),
        ("42", "Numbers"),
        ("1,000.50", "Numbers"),
        ("whal", "Whales"),
        ("of the sea", "Whales"),
    ] {
        assert_eq!(titles(&database, user, &query(search)).await, [title], "{search}");
    }
    assert_eq!(titles(&database, user, &query("hales")).await, Vec::<String>::new());
    // An order that is asked for is the order.
    let sorted = DocumentQuery { sort_by: Some(DocumentSort::Title), ..query("report") };
    let found = titles(&database, user, &sorted).await;
    assert_eq!(found, ["Quarterly Report", "Report", "Reports of old", "Whales"]);
}

async fn what_changes_is_found_by_what_it_is(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let id = database.create_document(user, titled("first")).await.unwrap().summary.id;
    database.update_document(user, id, text("some other words"), None).await.unwrap();
    let retitled = DocumentChange { title: Some("second".parse().unwrap()), ..DocumentChange::default() };
    database.update_document(user, id, retitled, None).await.unwrap();
    for gone in ["first", "#"] {
        assert_eq!(titles(&database, user, &query(gone)).await, Vec::<String>::new(), "{gone}");
    }
    for there in ["second", "other words", "second words"] {
        assert_eq!(titles(&database, user, &query(there)).await, ["second"], "{there}");
    }
    let copy = database.duplicate_document(user, id).await.unwrap().summary.id;
    assert_eq!(titles(&database, user, &query("words")).await, ["second (copy)", "second"]);
    database.purge_document(user, copy, None).await.unwrap();
    assert_eq!(titles(&database, user, &query("words")).await, ["second"]);
}

async fn hostile_searches_are_searches(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    database.create_document(user, titled("a title")).await.unwrap();
    let long = "title ".repeat(2000);
    let many: String = (0..2000).map(|number| format!("w{number} ")).collect();
    for search in [
        "\"",
        "'",
        "''",
        "\"\"\"",
        "\\",
        "a\"",
        "'a",
        "a AND",
        "OR",
        "NOT a",
        "a NEAR b",
        "NEAR(a b)",
        "title:a",
        "{title}: a",
        "-a",
        "^a",
        "a*",
        "*",
        "**",
        "a:*",
        "a & b",
        "a | b",
        "!a",
        "a <-> b",
        "(",
        ")",
        "((a)",
        "a:A",
        "'a':1A",
        "$1",
        "?1",
        ":x",
        "%",
        "_",
        "a\0title",
        "\0",
        ";",
        "--",
        "/* a",
        "a'); DROP TABLE documents; --",
        "\u{202e}a",
        "\u{feff}",
        "\u{1F40D}",
        "é\u{301}\u{301}",
        "\u{130}",
        "ß",
        "\u{fdfa}",
        "٣",
        "\u{e0001}",
        " ",
        "\t\r\n",
        &"(".repeat(10_000),
        &"\"".repeat(10_000),
        &"x".repeat(10_000),
        &long,
        &many,
    ] {
        for sort_by in [None, Some(DocumentSort::Title)] {
            let query = DocumentQuery { sort_by, ..query(search) };
            let found = database.documents(user, &query, PageRequest::default()).await;
            assert!(found.is_ok(), "{search:?}: {found:?}");
        }
    }
    for found in ["a* title", "\"title", "title:a", "a\0title", "(title)", "!title", &long, ""] {
        assert_eq!(titles(&database, user, &query(found)).await, ["a title"], "{found:?}");
    }
    for nothing in ["*", "\"", "\0", " ", "a AND title", "title NOT a", &many] {
        assert_eq!(titles(&database, user, &query(nothing)).await, Vec::<String>::new(), "{nothing:?}");
    }
}

async fn tags_filter_and_are_counted(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    for (title, named) in [("a", &["x", "y"][..]), ("b", &["x"]), ("c", &["x", "y z", "Y"]), ("d", &[])] {
        database.create_document(user, NewDocument { tags: tags(named), ..titled(title) }).await.unwrap();
    }
    let tagged = |named: &[&str]| DocumentQuery { tags: tags(named), ..DocumentQuery::default() };
    assert_eq!(titles(&database, user, &tagged(&["x"])).await, ["c", "b", "a"]);
    assert_eq!(titles(&database, user, &tagged(&["x", "y"])).await, ["a"]);
    assert_eq!(titles(&database, user, &tagged(&["y z"])).await, ["c"]);
    assert_eq!(titles(&database, user, &tagged(&["z"])).await, Vec::<String>::new());
    assert_eq!(titles(&database, user, &tagged(&["x' OR '1'='1"])).await, Vec::<String>::new());
    let both = DocumentQuery { tags: tags(&["x"]), ..query("b") };
    assert_eq!(titles(&database, user, &both).await, ["b"]);
    let counts = database.document_tags(user).await.unwrap();
    let count = |(tag, documents): (&str, u64)| TagCount { tag: tag.parse().unwrap(), documents };
    assert_eq!(counts, [("x", 3), ("Y", 1), ("y", 1), ("y z", 1)].map(count));
}

async fn lists_are_sorted_and_come_in_pages(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    let mut ids = Vec::new();
    for title in ["b", "A", "é", "C", "a b", "_"] {
        ids.push(database.create_document(user, titled(title)).await.unwrap().summary.id);
    }
    database.update_document(user, ids[2], text("changed"), None).await.unwrap();
    let sorted = |sort_by, sort_order| DocumentQuery { sort_by, sort_order, ..DocumentQuery::default() };
    for (sort_by, sort_order, order) in [
        (None, None, "é _ a-b C A b"),
        (None, Some(SortOrder::Asc), "b A C a-b _ é"),
        (Some(DocumentSort::UpdatedAt), Some(SortOrder::Desc), "é _ a-b C A b"),
        (Some(DocumentSort::CreatedAt), None, "_ a-b C é A b"),
        (Some(DocumentSort::CreatedAt), Some(SortOrder::Asc), "b A é C a-b _"),
        (Some(DocumentSort::Title), None, "_ A a-b b C é"),
        (Some(DocumentSort::Title), Some(SortOrder::Desc), "é C b a-b A _"),
    ] {
        let found = titles(&database, user, &sorted(sort_by, sort_order)).await;
        let found: Vec<_> = found.iter().map(|title| title.replace(' ', "-")).collect();
        assert_eq!(found.join(" "), order, "{sort_by:?} {sort_order:?}");
    }
    let mut listed = Vec::new();
    for number in 1..=3 {
        let by_title = sorted(Some(DocumentSort::Title), None);
        let page = database.documents(user, &by_title, PageRequest::new(number, 2).unwrap()).await.unwrap();
        assert_eq!((page.total, page.items.len(), page.has_more()), (6, 2, number < 3));
        listed.extend(page.items.into_iter().map(|document| document.title.to_string()));
    }
    assert_eq!(listed, ["_", "A", "a b", "b", "C", "é"]);
    let past = database.documents(user, &sorted(None, None), PageRequest::new(u32::MAX, 100).unwrap()).await.unwrap();
    assert_eq!((past.items.len(), past.total), (0, 6));
}

/// What PostgreSQL can't index in one piece is indexed as far as it can.
async fn long_texts_are_found_by_their_first_words(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await.id;
    // Words as short and as many as can be: those take the most room in an index.
    let letters: Vec<char> = ('a'..='z').chain('0'..='9').chain('à'..='ö').chain('а'..='я').collect();
    let words = letters.iter().flat_map(|a| letters.iter().map(move |b| format!("{a}{b}")));
    let words = words.chain((0..1_000_000_u32).map(|number| format!("x{number:x}")));
    let content: String = words.flat_map(|word| [word, " ".to_owned()]).take(2_000_000).collect();
    let content = &content[..content.floor_char_boundary(10 << 20)];
    let new = NewDocument { content: content.to_owned(), ..titled("long") };
    let id = database.create_document(user, new).await.unwrap().summary.id;
    for search in ["aa", "яя", "x3", "long zz"] {
        assert_eq!(titles(&database, user, &query(search)).await, ["long"], "{search}");
    }
    let one_word = "y".repeat(10 << 20);
    database.update_document(user, id, text(&one_word), None).await.unwrap();
    assert_eq!(titles(&database, user, &query(&one_word)).await, ["long"]);
    let ideographs: String = ('\u{4e00}'..='\u{9fff}').chain('\u{20000}'..='\u{2a6d0}').collect();
    database.update_document(user, id, text(&ideographs), None).await.unwrap();
    assert_eq!(titles(&database, user, &query("\u{4e00}\u{9ffe}")).await, ["long"]);
}
