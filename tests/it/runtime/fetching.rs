//! Package indexes that are down, lie or break off, and several processes that need the runtime at the same time.

use super::*;

#[test]
fn both_kinds_of_index_pages_are_read() {
    for answer in [Answer::Json, Answer::Html] {
        let (fixture, index) = Fixture::from_index(answer);
        let heard = Heard::default();
        let files = ensure(&fixture.request, &engine(), &heard).unwrap();
        assert_eq!(heard.stages(), ["Compile", "Download", "Extract", "Split", "Store"]);
        assert_eq!(index.hits(), (1, 1));
        // The wheel is kept: another engine's runtime needs no network.
        fs::remove_dir_all(&files.dir).unwrap();
        fixture.ensure().unwrap();
        assert_eq!(index.hits(), (1, 1));
    }
}

#[test]
fn credentials_are_used_and_never_shown() {
    let (mut fixture, index) = Fixture::from_index(Answer::Private);
    let with = |user: &str| index.url.replace("http://", &format!("http://{user}@"));
    let error = fixture.ensure_fetch_error();
    assert!(matches!(error, FetchError::Status { status: 401, .. }), "{error}");
    assert!(error.hint().unwrap().contains("credentials"));
    fixture.request.source = Source::Index { url: with("user:wrong-secret") };
    let error = format!("{:?}", fixture.ensure_fetch_error());
    assert!(!error.contains("wrong-secret") && !error.contains("user"), "{error}");
    fixture.request.source = Source::Index { url: with("user:secret") };
    fixture.ensure().unwrap();
}

#[test]
fn passing_failures_are_tried_again() {
    for (answer, hits) in [(Answer::FailFirst(2), (3, 3)), (Answer::TruncateFirst(2), (1, 3))] {
        let (fixture, index) = Fixture::from_index(answer);
        let heard = Heard::default();
        ensure(&fixture.request, &engine(), &heard).unwrap();
        assert!(heard.stages().contains(&"Retry".to_owned()));
        assert_eq!(index.hits(), hits, "{answer:?}");
    }
    let (fixture, index) = Fixture::from_index(Answer::FailFirst(9));
    assert!(matches!(fixture.ensure_fetch_error(), FetchError::Status { status: 503, .. }));
    assert_eq!(index.hits(), (3, 0));
    let (fixture, _index) = Fixture::from_index(Answer::TruncateFirst(9));
    assert!(matches!(fixture.ensure_fetch_error(), FetchError::Size { received: 7, .. }));
}

#[test]
fn lies_are_refused_at_once_and_leave_nothing() {
    for (answer, hits) in [
        (Answer::WrongBytes, (1, 1)),
        (Answer::Endless, (1, 1)),
        (Answer::WrongListing, (1, 0)),
        (Answer::NotListed, (1, 0)),
        (Answer::MissingFile, (1, 1)),
        (Answer::Gibberish, (1, 0)),
    ] {
        let (fixture, index) = Fixture::from_index(answer);
        let error = fixture.ensure_fetch_error();
        let expected = match answer {
            Answer::WrongBytes | Answer::WrongListing => matches!(error, FetchError::Sha256 { .. }),
            Answer::Endless => matches!(error, FetchError::Size { .. }),
            Answer::NotListed => matches!(error, FetchError::NotListed { .. }),
            Answer::MissingFile => matches!(error, FetchError::Status { status: 404, .. }),
            _ => matches!(error, FetchError::Page { .. }),
        };
        assert!(expected, "{answer:?}: {error:?}");
        assert!(error.hint().is_some(), "{error}");
        assert_eq!(index.hits(), hits, "{answer:?}");
        let downloads = names(&fixture.request.cache_dir.join("downloads"));
        assert!(downloads.iter().all(|name| name.ends_with(".lock")), "{downloads:?}");
    }
}

#[test]
fn a_damaged_download_is_fetched_again() {
    let (fixture, index) = Fixture::from_index(Answer::Json);
    let files = fixture.ensure().unwrap();
    fs::remove_dir_all(&files.dir).unwrap();
    let downloads = fixture.request.cache_dir.join("downloads");
    let name = names(&downloads).into_iter().find(|name| !name.starts_with('.')).unwrap();
    let wheel = downloads.join(name).join("fake_python-1.0-py3-none-any.whl");
    let mut bytes = fs::read(&wheel).unwrap();
    bytes[1000] ^= 1;
    fs::write(&wheel, bytes).unwrap();
    fixture.ensure().unwrap();
    assert_eq!(index.hits(), (2, 2));
}

#[test]
fn unreachable_and_senseless_indexes_are_errors() {
    let mut fixture = Fixture::new();
    for url in ["", "index", "file:///simple", "ftp://host/simple", "http://u:secret@/"] {
        fixture.request.source = Source::Index { url: url.to_owned() };
        let error = fixture.ensure_fetch_error();
        assert!(matches!(error, FetchError::IndexUrl { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("secret"));
    }
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fixture.request.source = Source::Index { url: format!("http://{address}/simple/") };
    let error = fixture.ensure_fetch_error();
    assert!(matches!(error, FetchError::Network { .. }), "{error}");
    assert!(error.hint().unwrap().contains("--wheel"));
}

#[test]
fn threads_that_start_at_once_do_the_work_once() {
    let (fixture, index) = Fixture::from_index(Answer::Slow);
    let heard = Heard::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| ensure(&fixture.request, &engine(), &heard).unwrap());
        }
    });
    assert_eq!(index.hits(), (1, 1));
    assert!(heard.stages().contains(&"Waiting".to_owned()));
}

const CHILD: &str = "PYMD_TEST_CHILD_INDEX";

/// Not a test of its own: what a child process of the next one runs.
#[test]
fn child_process_installs() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let mut fixture = Fixture::new();
    fixture.request.cache_dir = std::env::var_os("PYMD_TEST_CHILD_CACHE").unwrap().into();
    fixture.request.source = Source::Index { url };
    fixture.ensure().unwrap();
}

#[test]
fn processes_that_start_at_once_do_the_work_once() {
    let (fixture, index) = Fixture::from_index(Answer::Slow);
    let (_, module) = module_path!().split_once("::").unwrap();
    let spawn = |_| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{module}::child_process_installs")])
            .env(CHILD, &index.url)
            .env("PYMD_TEST_CHILD_CACHE", &fixture.request.cache_dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..3).map(spawn).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
    assert_eq!(index.hits(), (1, 1));
    let installed = installed(&fixture.request.cache_dir).unwrap();
    verify(&installed[0].dir).unwrap();
}
