//! Project pages: both languages, odd ones, and several indexes.

use pymd::packages::project::MetadataFile;

use super::*;

#[tokio::test]
async fn json_and_html_pages_say_the_same() {
    let mut files = vec![
        File::wheel("a_b", "1.0", &[]),
        File::wheel("a_b", "1.1", &[]).beside(Beside::Unhashed),
        File::wheel("a_b", "1.2", &[]).beside(Beside::Hashed),
        File::new("a-b-1.0.tar.gz", "sdist"),
    ];
    files[0].requires_python = Some(">=3.8, <4".to_owned());
    files[1].yanked = Some("\"broken\" & <old>".to_owned());
    files[2].yanked = Some(String::new());
    files[3].sha256 = None;
    for style in [Style::Json, Style::Html] {
        let fixture = Fixture::new().await;
        fixture.fake.publish("a-b", style, &files);
        let project = fixture.project("A.b").await.unwrap();
        assert_eq!(project.name.as_ref(), "a-b");
        assert_eq!(names(&project), files.iter().map(|file| file.filename.as_str()).collect::<Vec<_>>(), "{style:?}");
        let found = &project.files;
        assert_eq!(found[0].requires_python.as_ref().unwrap().to_string(), ">=3.8, <4");
        let yanked: Vec<_> = found.iter().map(|file| file.yanked.as_deref()).collect();
        assert_eq!(yanked, [None, Some("\"broken\" & <old>"), Some(""), None]);
        assert_eq!(found[0].metadata, MetadataFile::Absent);
        assert_eq!(found[1].metadata, MetadataFile::Beside { sha256: None });
        let digest = sha256(files[2].metadata_text.as_ref().unwrap());
        assert_eq!(found[2].metadata, MetadataFile::Beside { sha256: Some(digest) });
        for (file, given) in found.iter().zip(&files) {
            assert_eq!(file.sha256, given.sha256);
            assert_eq!(file.size_bytes, given.size.filter(|_| style == Style::Json));
            assert_eq!(file.url, fixture.fake.file_url(&given.filename));
        }
        let seen = &fixture.fake.seen("/simple/")[0];
        assert_eq!(seen.path, "/simple/a-b/");
        assert!(seen.header("accept").unwrap().starts_with("application/vnd.pypi.simple.v1+json, "));
        // What is on the disk says the same again.
        let again = fixture.project("a-b").await.unwrap();
        assert_eq!(format!("{again:?}"), format!("{project:?}"));
        assert_eq!(fixture.fake.hits("/simple/"), 1);
    }
}

#[tokio::test]
async fn hostile_links_are_left_out() {
    let digest = sha256(b"");
    let links = [
        "javascript:alert(1)//a-1.0-py3-none-any.whl",
        "file:///etc/a-1.0-py3-none-any.whl",
        "data:text/plain,a-1.0-py3-none-any.whl",
        "ftp://host/a-1.0-py3-none-any.whl",
        "http://[bad/a-1.0-py3-none-any.whl",
        "../..%2F..%2Fetc%2Fa-1.0-py3-none-any.whl",
        "x/a%5Cb.tar.gz",
        "x/a%00b.tar.gz",
        "x/a%0Ab.tar.gz",
        "x/%FF.tar.gz",
        "x/.tar.gz",
        "x/",
        "",
        "x/other-1.0-py3-none-any.whl",
        "x/a-1.0-py3-none-any.whl#sha256=beef",
    ];
    let bad: String = links.iter().map(|link| format!("<a href=\"{link}\">a</a>\n")).collect();
    let hidden = "<a href=\"x/a-9.0-py3-none-any.whl\">a</a>";
    let html = format!(
        "<html><title>{hidden}</title><SCRIPT a='>'>{hidden}</p></Script><body><!-- {hidden} -- > -->{bad}<a>no link</a><a href>empty</a>\n\
         <a href=\"y/a-7-py3-none-any.whl\" data-requires-python=\"three\">bad python</a>\n\
         <A\tHREF='y/a-1.0-py3-none-any.whl?x=1&amp;y=&#x32;&bad;#sha256={}' DATA-REQUIRES-PYTHON='>=3'>a</A>\n\
         <a data-yanked href=http://u:p@files.example/a-2.0-py3-none-any.whl data-requires-python data-core-metadata=false>a</a>\n\
         <a href=\"//files.example/a-3.0+x%2By-py3-none-any.whl\" data-dist-info-metadata=\"sha256={digest}\"\
         data-requires-python=\"&gt;=3&#46;6\">a</a>\n<a href=\"unclosed",
        digest.to_uppercase(),
    );
    let fixture = Fixture::new().await;
    fixture.fake.script("/simple/a/", [Reply::html(html)]);
    let project = fixture.project("a").await.unwrap();
    let urls: Vec<_> = project.files.iter().map(|file| file.url.to_string()).collect();
    let first = fixture.fake.url().join("a/y/a-1.0-py3-none-any.whl?x=1&y=2&bad;").unwrap();
    assert_eq!(
        urls,
        [
            first.as_str(),
            "http://files.example/a-2.0-py3-none-any.whl",
            "http://files.example/a-3.0+x%2By-py3-none-any.whl"
        ]
    );
    assert_eq!(project.files[0].sha256.as_ref(), Some(&digest));
    assert_eq!(project.files[1].yanked.as_deref(), Some(""));
    assert_eq!(project.files[2].filename, "a-3.0+x+y-py3-none-any.whl");
    assert_eq!(project.files[2].metadata, MetadataFile::Beside { sha256: Some(digest) });
    assert_eq!(project.files[2].requires_python.as_ref().unwrap().to_string(), ">=3.6");
}

#[tokio::test]
async fn a_base_moves_the_links() {
    let fixture = Fixture::new().await;
    let link = "<a href=\"a-1.0-py3-none-any.whl\">a</a>";
    for (base, expected) in [("/x/", "/x/a-1.0-py3-none-any.whl"), ("../y/z", "/simple/y/a-1.0-py3-none-any.whl")] {
        let html = format!("<head><BASE href=\"{base}\"></head>{link}");
        fixture.fake.script("/simple/a/", [Reply::html(html).header("cache-control", "no-store")]);
        assert_eq!(fixture.file("a").await.url.path(), expected);
    }
    for base in ["javascript:x", "file:///", "http://[", "data:,"] {
        let html = format!("<base href=\"{base}\">{link}");
        fixture.fake.script("/simple/a/", [Reply::html(html)]);
        let error = fixture.project("a").await.unwrap_err();
        assert!(matches!(error, IndexError::BadPage { .. }), "{base}: {error}");
    }
}

#[tokio::test]
async fn bad_entries_of_a_json_page_are_left_out() {
    let fixture = Fixture::new().await;
    let entry =
        |filename: &str, rest: &str| format!(r#"{{"filename": "{filename}", "url": "x/f", "hashes": {{}}{rest}}}"#);
    let wheel = "a-1.0-py3-none-any.whl";
    let files = [
        entry("../a-1.0-py3-none-any.whl", ""),
        entry("..", ""),
        entry("", ""),
        entry(&format!("{}.whl", "a".repeat(300)), ""),
        entry("b-1.0-py3-none-any.whl", ""),
        entry(wheel, r#", "requires-python": "no""#),
        entry(wheel, r#", "hashes": {"sha256": "12"}"#).replacen(r#", "hashes": {}"#, "", 1),
        entry(wheel, r#", "core-metadata": {"sha256": "12"}"#),
        entry(wheel, "").replace("x/f", "file:///etc/passwd"),
        entry(
            "a-2.0-py3-none-any.whl",
            r#", "requires-python": ">=3.6,", "yanked": 7, "core-metadata": null, "new": []"#,
        ),
        entry("a-3.0-py3-none-any.whl", r#", "yanked": {"a": [1]}, "core-metadata": [0, [1], {"sha256": 2}]"#),
        entry("a-4.0-py3-none-any.whl", &format!(r#", "requires-python": "{}""#, vec![">=3"; 1000].join(","))),
    ];
    let json = format!(r#"{{"meta": {{"api-version": "1.9"}}, "name": "A", "files": [{}]}}"#, files.join(","));
    fixture.fake.script("/simple/a/", [Reply::json(json)]);
    let project = fixture.project("a").await.unwrap();
    assert_eq!(names(&project), ["a-2.0-py3-none-any.whl", "a-3.0-py3-none-any.whl"]);
    assert!(project.files.iter().all(|file| file.yanked.is_none() && file.metadata == MetadataFile::Absent));
    assert_eq!(project.files[0].requires_python.as_ref().unwrap().to_string(), ">=3.6");
}

#[tokio::test]
async fn what_is_no_page_is_an_error() {
    let fixture = Fixture::new().await;
    let replies = [
        Reply::json("<html>"),
        Reply::json(r#"{"files": [{"filename": 1}]}"#),
        Reply::json(r#"{"name": "a"}"#),
        Reply::json(r#"{"meta": {"api-version": "2.0"}, "files": []}"#),
        Reply::json(r#"{"name": "b", "files": []}"#),
        Reply::json(format!(r#"{{"files": [{}]}}"#, vec![r#"{"filename":"","url":""}"#; 100_001].join(","))),
        Reply::html("<a>".repeat(100_001)),
        Reply::html("<meta name=\"pypi:repository-version\" content=\"2.0\">"),
        Reply::ok("hello").header("content-type", "text/plain"),
        Reply::ok("hello"),
        Reply::json("{}").header("content-encoding", "gzip"),
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        fixture.fake.script("/simple/a/", [reply]);
        let error = fixture.project("a").await.unwrap_err();
        assert!(matches!(error, IndexError::BadPage { .. }), "{number}: {error}");
    }
    assert_eq!(fixture.fake.hits("/simple/a/"), 11, "none is tried again");
}

#[tokio::test]
async fn depth_is_passed_over() {
    let fixture = Fixture::new().await;
    let deep = format!(
        r#"{{"files": [{{"filename": "", "url": "", "yanked": {}{}}}]}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    fixture.fake.script("/simple/a/", [Reply::json(deep)]);
    assert!(fixture.project("a").await.unwrap().files.is_empty());
}

#[tokio::test]
async fn html_of_any_shape_is_no_panic() {
    let fixture = Fixture::new().await;
    let shapes = [
        "<",
        "<!",
        "<!-",
        "<!--",
        "<!-->",
        "</",
        "<a",
        "<a href",
        "<a href=",
        "<a href='",
        "<a =",
        "< a >",
        "<a/",
        "<!doctype",
        "&",
        "<a href='&#'>",
        "<a href='&#x110000;'>",
        "<\u{e9}",
        "\0",
    ];
    for shape in shapes {
        for page in [shape.to_owned(), format!("<p>{shape}"), format!("{shape}<a href='x'>"), shape.repeat(1000)] {
            fixture.fake.script("/simple/a/", [Reply::html(page).header("cache-control", "no-store")]);
            let project = fixture.project("a").await;
            assert!(matches!(project, Ok(_) | Err(IndexError::BadPage { .. })), "{shape}: {project:?}");
        }
    }
}

#[tokio::test]
async fn huge_pages_are_refused() {
    let fixture = Fixture::new().await;
    let index = Index::new(IndexConfig { max_page_bytes: 1000, ..fixture.config() }).unwrap();
    let long = " ".repeat(1001);
    let replies = [Reply::json(long.clone()), Reply::html(long).chunked(), Reply::json("").endless()];
    for reply in replies {
        fixture.fake.script("/simple/a/", [reply]);
        let error = index.project(&package("a")).await.unwrap_err();
        assert!(matches!(error, IndexError::TooLarge { max_bytes: 1000, .. }), "{error}");
    }
    assert_eq!(fixture.fake.hits("/simple/a/"), 3);
}

#[tokio::test]
async fn the_first_index_that_knows_a_project_wins() {
    let first = Fixture::new().await;
    let second = FakeIndex::start().await;
    first.fake.publish("a", Style::Json, &[File::wheel("a", "1.0", &[])]);
    second.publish("a", Style::Json, &[File::wheel("a", "2.0", &[])]);
    second.publish("b", Style::Json, &[File::wheel("b", "2.0", &[])]);
    let index = || Index::new(config(vec![first.fake.url(), second.url()], first.cache.path())).unwrap();
    let client = index();
    assert_eq!(names(&client.project(&package("a")).await.unwrap()), ["a-1.0-py3-none-any.whl"]);
    assert_eq!(second.hits("/"), 0);
    assert_eq!(names(&client.project(&package("b")).await.unwrap()), ["b-2.0-py3-none-any.whl"]);
    let error = client.project(&package("c")).await.unwrap_err();
    assert!(matches!(&error, IndexError::NotFound { name } if name == "c"), "{error}");
    // That the first one doesn't know it is remembered, for a while.
    index().project(&package("b")).await.unwrap();
    assert_eq!((first.fake.hits("/simple/b/"), second.hits("/simple/b/")), (1, 1));
    // One that can't be asked is not passed over: the next might serve somebody else's project by that name.
    for status in [401, 403, 500] {
        first.fake.script("/simple/d/", [Reply::status(status)]);
        let error = client.project(&package("d")).await.unwrap_err();
        assert!(matches!(error, IndexError::Status { status: found, .. } if found == status), "{error}");
    }
    assert_eq!(second.hits("/simple/d/"), 0);
}

#[tokio::test]
async fn a_page_has_no_business_with_another_index() {
    let first = Fixture::new().await;
    let second = FakeIndex::start().await;
    let entry = |url: &Url| format!(r#"{{"filename": "a-1.tar.gz", "url": "{url}", "hashes": {{}}}}"#);
    let json = format!(
        r#"{{"files": [{}, {}]}}"#,
        entry(&second.file_url("a-1.tar.gz")),
        entry(&first.fake.file_url("a-1.tar.gz"))
    );
    first.fake.script("/simple/a/", [Reply::json(json)]);
    first.fake.script("/simple/b/", [Reply::redirect(second.root.join("simple/b/").unwrap().as_str())]);
    let index = Index::new(config(vec![first.fake.url(), second.url()], first.cache.path())).unwrap();
    let project = index.project(&package("a")).await.unwrap();
    assert_eq!(project.files.len(), 1);
    assert_eq!(project.files[0].url, first.fake.file_url("a-1.tar.gz"));
    let error = index.project(&package("b")).await.unwrap_err();
    assert!(matches!(error, IndexError::RefusedRedirect { .. }), "{error}");
    assert_eq!(second.hits("/"), 0);
}
