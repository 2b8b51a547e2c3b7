//! Metadata of wheels: beside them, out of pieces of them, out of the whole.

use zip::CompressionMethod;

use super::*;

async fn metadata(fixture: &Fixture, file: &DistFile) -> Result<Vec<String>, IndexError> {
    let metadata = fixture.index().metadata(file).await?;
    Ok(metadata.requires_dist.iter().map(ToString::to_string).collect())
}

/// Publishes the wheel with honest words about it.
async fn published(fixture: &Fixture, wheel: &Wheel) -> DistFile {
    fixture.fake.publish("a", Style::Json, &[File::new(&wheel.filename(), wheel.bytes())]);
    fixture.file("a").await
}

#[tokio::test]
async fn metadata_beside_a_wheel_costs_one_request() {
    for beside in [Beside::Hashed, Beside::Unhashed] {
        let fixture = Fixture::new().await;
        fixture.fake.publish("a", Style::Html, &[File::wheel("a", "1.0", &["b"]).beside(beside)]);
        let file = fixture.file("a").await;
        assert_eq!(metadata(&fixture, &file).await.unwrap(), ["b"]);
        assert_eq!(fixture.fake.hits("/files/"), 1);
        assert_eq!(fixture.fake.hits("/files/a-1.0-py3-none-any.whl.metadata"), 1);
    }
}

#[tokio::test]
async fn a_lie_about_the_metadata_is_not_passed_over() {
    let fixture = Fixture::new().await;
    fixture.fake.publish("a", Style::Json, &[File::wheel("a", "1.0", &["b"]).beside(Beside::Hashed)]);
    let file = fixture.file("a").await;
    let path = "/files/a-1.0-py3-none-any.whl.metadata";
    fixture.fake.script(path, [Reply::ok("Metadata-Version: 2.1\nName: a\nVersion: 1.0\n")]);
    let error = metadata(&fixture, &file).await.unwrap_err();
    assert!(matches!(error, IndexError::WrongHash { .. }), "{error}");
    assert_eq!(fixture.fake.hits("/files/"), 1);
    fixture.fake.script(path, [Reply::ok("").endless()]);
    assert!(matches!(metadata(&fixture, &file).await, Err(IndexError::TooLarge { .. })));
    // Promised and not there is only a pity.
    fixture.fake.script(path, [Reply::status(404)]);
    assert_eq!(metadata(&fixture, &file).await.unwrap(), ["b"]);
}

#[tokio::test]
async fn pieces_of_a_wheel_are_enough() {
    for method in [CompressionMethod::Deflated, CompressionMethod::Stored] {
        for (before, behind) in [(0, 0), (3_000_000, 0), (0, 3_000_000), (3_000_000, 3_000_000), (40_000, 20_000)] {
            for knows_size in [true, false] {
                let fixture = Fixture::new().await;
                let mut wheel = Wheel::new("a", "1.0", &["b>2"]);
                wheel.method = method;
                wheel.before.push(("a/before.bin".to_owned(), noise(before)));
                wheel.behind.push(("a/behind.bin".to_owned(), noise(behind)));
                let mut file = published(&fixture, &wheel).await;
                file.size_bytes = file.size_bytes.filter(|_| knows_size);
                assert_eq!(metadata(&fixture, &file).await.unwrap(), ["b>2"]);
                let seen = fixture.fake.seen("/files/");
                assert!(seen.len() <= 3, "{}", seen.len());
                assert!(seen.iter().all(|seen| seen.header("range").is_some()));
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_lies_about_the_length_is_refused() {
    let fixture = Fixture::new().await;
    let file = published(&fixture, &Wheel::new("a", "1.0", &[])).await;
    let file = DistFile { size_bytes: None, sha256: None, ..file };
    for range in
        ["bytes 0-0/18446744073709551615", "bytes 18446744073709551613-18446744073709551613/18446744073709551614"]
    {
        let lie = Reply::ok("x").with_status(206).header("content-range", range);
        fixture.fake.script("/files/a-1.0-py3-none-any.whl", [lie]);
        let error = metadata(&fixture, &file).await.unwrap_err();
        assert!(matches!(error, IndexError::TooLarge { .. }), "{range}: {error}");
    }
}

#[tokio::test]
async fn a_long_directory_is_read_in_pieces() {
    let fixture = Fixture::new().await;
    let mut wheel = Wheel::new("a", "1.0", &["b>2"]);
    wheel.before = (0..20_000).map(|number| (format!("a/{number:0>60}.py"), Vec::new())).collect();
    let file = published(&fixture, &wheel).await;
    assert_eq!(metadata(&fixture, &file).await.unwrap(), ["b>2"]);
    assert!(fixture.fake.hits("/files/") < 10);
}

#[tokio::test]
async fn without_parts_the_whole_wheel_is_read() {
    let wheel = Wheel::new("a", "1.0", &["b"]);
    let bytes = wheel.bytes();
    let part = |range: &str| Reply::status(206).header("content-range", range);
    let shorter = bytes.len() - 1;
    for refusal in [
        Reply::ok(bytes.clone()),
        Reply::status(416),
        Reply::status(501),
        part(""),
        part("bytes 0-9"),
        part(&format!("bytes 0-{shorter}/*")),
        part(&format!("bytes 9-0/{}", bytes.len())),
        part(&format!("bytes 0-18446744073709551615/{}", bytes.len())),
        part(&format!("bytes 0-{shorter}/{}", bytes.len())),
    ] {
        let fixture = Fixture::new().await;
        let file = published(&fixture, &wheel).await;
        fixture.fake.script("/files/a-1.0-py3-none-any.whl", [refusal, Reply::ok(bytes.clone())]);
        assert_eq!(metadata(&fixture, &file).await.unwrap(), ["b"]);
        assert_eq!(fixture.fake.hits("/files/"), 2);
        assert!(fixture.fake.seen("/files/")[1].header("range").is_none());
    }
}

#[tokio::test]
async fn a_whole_wheel_is_checked_and_bounded() {
    let fixture = Fixture::new().await;
    let wheel = Wheel::new("a", "1.0", &["b"]);
    let file = published(&fixture, &wheel).await;
    let path = "/files/a-1.0-py3-none-any.whl";
    let other = Wheel::new("a", "1.0", &["c"]).bytes();
    fixture.fake.script(path, [Reply::ok(other.clone())]);
    let error = metadata(&fixture, &file).await.unwrap_err();
    assert!(matches!(error, IndexError::WrongHash { .. }), "{error}");
    // A small wheel comes whole in one piece, and is checked likewise.
    fixture.fake.script(path, [Reply::ok(other.clone()).ranges()]);
    assert!(matches!(metadata(&fixture, &file).await, Err(IndexError::WrongHash { .. })));
    fixture.fake.script(path, [Reply::ok([other, vec![0]].concat())]);
    assert!(matches!(metadata(&fixture, &file).await, Err(IndexError::WrongLength { .. })));
    fixture.fake.script(path, [Reply::ok(vec![0; 4000]).ranges()]);
    assert!(matches!(metadata(&fixture, &file).await, Err(IndexError::WrongLength { received: 4000, .. })));
    let small = Index::new(IndexConfig { max_metadata_wheel_bytes: 100, ..fixture.config() }).unwrap();
    fixture.fake.script(path, [Reply::ok("").endless()]);
    let unsized_file = DistFile { size_bytes: None, sha256: None, ..file };
    let error = small.metadata(&unsized_file).await.unwrap_err();
    assert!(matches!(error, IndexError::TooLarge { max_bytes: 100, .. }), "{error}");
}

#[tokio::test]
async fn metadata_must_be_the_wheels_own() {
    let with = |metadata: &str| Wheel { metadata: metadata.to_owned(), ..Wheel::new("a", "1.0", &[]) };
    let extra =
        |path: &str| Wheel { behind: vec![(path.to_owned(), b"Name: a\n".to_vec())], ..Wheel::new("a", "1.0", &[]) };
    let bomb = format!("Metadata-Version: 2.1\nName: a\nVersion: 1.0\n\n{}", " ".repeat(20 << 20));
    let cases = [
        (with("Metadata-Version: 2.1\nName: b\nVersion: 1.0\n").bytes(), "metadata of `b`"),
        (with("Metadata-Version: 2.1\nName: a\nVersion: 2.0\n").bytes(), "version 2.0"),
        (with("Metadata-Version: 2.1\nName: a\n").bytes(), "no `Version`"),
        (with("Name: a\nVersion: 1.0\nRequires-Dist: b ==\n").bytes(), "line 3 of the metadata, `Requires-Dist: b ==`"),
        (with(&bomb).bytes(), "longer than 8388608 bytes"),
        (extra("b-1.0.dist-info/METADATA").bytes(), "2 files"),
        (b"no zip at all".to_vec(), "no sound zip"),
        (noise(500_000), "directory is too long"),
        (Wheel::new("a", "1.0", &[]).bytes()[..100].to_vec(), "no sound zip"),
    ];
    for (bytes, expected) in cases {
        let fixture = Fixture::new().await;
        fixture.fake.publish("a", Style::Json, &[File::new("a-1.0-py3-none-any.whl", bytes)]);
        let error = metadata(&fixture, &fixture.file("a").await).await.unwrap_err();
        assert!(matches!(error, IndexError::BadMetadata { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(fixture.fake.hits("/files/") <= 13);
    }
    // Directories deeper in are none of the wheel's.
    let fixture = Fixture::new().await;
    let file = published(&fixture, &extra("a/_vendor/c-1.0.dist-info/METADATA")).await;
    metadata(&fixture, &file).await.unwrap();
}

#[tokio::test]
async fn names_and_versions_agree_in_their_normal_form() {
    let fixture = Fixture::new().await;
    let mut wheel = Wheel::new("A_b", "1.0", &[]);
    wheel.metadata = "Metadata-Version: 2.1\nName: a.B\nVersion: 1.0.0\n".to_owned();
    fixture.fake.publish("a-b", Style::Json, &[File::new(&wheel.filename(), wheel.bytes())]);
    metadata(&fixture, &fixture.file("a-b").await).await.unwrap();
    fixture.fake.publish("a", Style::Json, &[File::new("a-1.0.tar.gz", "x")]);
    let error = metadata(&fixture, &fixture.file("a").await).await.unwrap_err();
    assert!(error.to_string().contains("does not end in .whl"), "{error}");
}

#[tokio::test]
async fn one_server_does_not_speak_for_another() {
    let fixture = Fixture::new().await;
    let wheel = Wheel::new("a", "1.0", &["b"]);
    let file = published(&fixture, &wheel).await;
    let liar = FakeIndex::start().await;
    let mut lie = File::wheel("a", "1.0", &["evil"]).beside(Beside::Hashed);
    lie.sha256.clone_from(&file.sha256);
    liar.publish("a", Style::Json, &[lie]);
    let index = Index::new(config(vec![liar.url()], fixture.cache.path())).unwrap();
    let lying = index.project(&package("a")).await.unwrap();
    assert_eq!(lying.files[0].sha256, file.sha256);
    assert_eq!(index.metadata(&lying.files[0]).await.unwrap().requires_dist[0].to_string(), "evil");
    assert_eq!(metadata(&fixture, &file).await.unwrap(), ["b"]);
}
