//! Objects, in a directory and in S3.

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::TryStreamExt as _;
use futures::future::join_all;
use pymd::store::{ObjectError, Objects};
use tempfile::TempDir;

use crate::databases::Watched;

/// A store of a test's own.
struct TestObjects {
    url: String,
    variables: Vec<(String, String)>,
    _directory: Option<TempDir>,
}

impl TestObjects {
    fn directory() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("file://{}/new/objects", directory.path().display());
        Self { url, variables: Vec::new(), _directory: Some(directory) }
    }

    async fn s3() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let endpoint = tokio::task::spawn_blocking(s3_server).await.unwrap();
        let bucket = format!("bucket-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = reqwest::Client::new().put(format!("{endpoint}/{bucket}")).send().await.unwrap();
        assert!(made.status().is_success(), "{made:?}");
        let variables = [
            ("AWS_ENDPOINT", endpoint),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "ada"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { url: format!("s3://{bucket}/pymd/objects"), variables, _directory: None }
    }

    fn open(&self) -> Objects {
        Objects::open_with(&self.url, self.variables.clone()).unwrap()
    }
}

/// Address of an S3 server of other make (moto, from PyPI), which this process starts once.
fn s3_server() -> &'static str {
    static SERVER: OnceLock<(Watched, String)> = OnceLock::new();
    let (_, endpoint) = SERVER.get_or_init(|| {
        let program = std::env::var_os("PYMD_TEST_MOTO").unwrap_or_else(|| "moto_server".into());
        let script = r#""$1" -H 127.0.0.1 -p 0 2>&1 </dev/null & cat >/dev/null; kill $!"#;
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(program).env("PYTHONUNBUFFERED", "1");
        Watched::start(command, |line| {
            let (_, address) = line.split_once("Running on ")?;
            Some(address.trim().to_owned())
        })
    });
    endpoint
}

macro_rules! in_both_stores {
    ($($test:ident),+ $(,)?) => {
        mod in_a_directory {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::TestObjects::directory()).await;
            }
        )+}

        mod in_s3 {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::TestObjects::s3().await).await;
            }
        )+}
    };
}

in_both_stores![
    what_is_put_is_got,
    of_many_who_put_if_absent_one_does,
    what_is_not_there_is_not_found,
    a_reader_says_how_much_it_takes,
    ranges_are_exact_or_refused,
    a_list_has_what_is_below_a_key,
    only_plain_keys_are_keys,
];

async fn what_is_put_is_got(at: TestObjects) {
    let objects = at.open();
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    for content in [Vec::new(), b"x".to_vec(), large.clone()] {
        objects.put("a/b-c_d.e=f+g/0", content.clone()).await.unwrap();
        assert_eq!(objects.get("a/b-c_d.e=f+g/0", 1 << 24).await.unwrap(), content);
    }
    let info = objects.info("a/b-c_d.e=f+g/0").await.unwrap();
    assert_eq!((info.key.as_str(), info.size_bytes), ("a/b-c_d.e=f+g/0", 3_000_000));
    assert_eq!(at.open().get("a/b-c_d.e=f+g/0", 1 << 24).await.unwrap(), large, "another server has it, too");
    objects.delete("a/b-c_d.e=f+g/0").await.unwrap();
    objects.delete("a/b-c_d.e=f+g/0").await.unwrap();
    let error = objects.get("a/b-c_d.e=f+g/0", 1).await.unwrap_err();
    assert!(matches!(error, ObjectError::NotFound { .. }), "{error}");
}

async fn of_many_who_put_if_absent_one_does(at: TestObjects) {
    let servers = [at.open(), at.open()];
    let tries = (0..8_u8).map(|n| servers[usize::from(n % 2)].put_if_absent("once", vec![n; 100]));
    let did: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<_> = (0..8_u8).filter(|n| did[usize::from(*n)]).collect();
    let [winner] = winners[..] else { panic!("{did:?}") };
    assert_eq!(servers[0].get("once", 100).await.unwrap(), vec![winner; 100]);
    servers[1].put("once", b"over".to_vec()).await.unwrap();
    assert_eq!(servers[0].get("once", 100).await.unwrap(), b"over");
}

async fn what_is_not_there_is_not_found(at: TestObjects) {
    let objects = at.open();
    objects.put("a/b", b"x".to_vec()).await.unwrap();
    for key in ["b", "a/c", "a/b.c"] {
        let errors = [
            objects.get(key, 10).await.map(|_| ()).unwrap_err(),
            objects.get_range(key, 0..1).await.map(|_| ()).unwrap_err(),
            objects.get_range(key, 0..0).await.map(|_| ()).unwrap_err(),
            objects.info(key).await.map(|_| ()).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(&error, ObjectError::NotFound { key: missing } if missing == key), "{key}: {error}");
        }
    }
}

async fn a_reader_says_how_much_it_takes(at: TestObjects) {
    let objects = at.open();
    objects.put("ten", vec![1; 10]).await.unwrap();
    assert_eq!(objects.get("ten", 10).await.unwrap().len(), 10);
    let error = objects.get("ten", 9).await.unwrap_err();
    assert!(matches!(error, ObjectError::TooLarge { size_bytes: 10, max_bytes: 9, .. }), "{error}");
}

async fn ranges_are_exact_or_refused(at: TestObjects) {
    let objects = at.open();
    objects.put("ten", (0..10).collect()).await.unwrap();
    assert_eq!(objects.get_range("ten", 3..6).await.unwrap(), [3, 4, 5]);
    assert_eq!(objects.get_range("ten", 0..10).await.unwrap().len(), 10);
    assert_eq!(objects.get_range("ten", 5..5).await.unwrap(), [0_u8; 0]);
    for range in [5..11, 10..11, 100..200] {
        let error = objects.get_range("ten", range.clone()).await.unwrap_err();
        assert!(matches!(error, ObjectError::OutOfRange { end, .. } if end == range.end), "{range:?}: {error}");
    }
}

async fn a_list_has_what_is_below_a_key(at: TestObjects) {
    let objects = at.open();
    for key in ["a/b/1", "a/b/2/3", "a/bc", "d"] {
        objects.put(key, key.as_bytes().to_vec()).await.unwrap();
    }
    let list = async |below| {
        let found: Vec<_> = objects.list(below).unwrap().try_collect().await.unwrap();
        assert!(found.iter().all(|object| object.size_bytes == object.key.len() as u64), "{found:?}");
        let mut keys: Vec<_> = found.into_iter().map(|object| object.key).collect();
        keys.sort();
        keys
    };
    assert_eq!(list(None).await, ["a/b/1", "a/b/2/3", "a/bc", "d"]);
    assert_eq!(list(Some("a/b")).await, ["a/b/1", "a/b/2/3"]);
    assert_eq!(list(Some("nothing")).await, <[&str; 0]>::default());
}

async fn only_plain_keys_are_keys(at: TestObjects) {
    let objects = at.open();
    let long = "x".repeat(513);
    for key in ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a b", "a#1", "a%2f", "\u{e9}", "a\0", "a\\b", &long]
    {
        let errors = [
            objects.put(key, Vec::new()).await.unwrap_err(),
            objects.put_if_absent(key, Vec::new()).await.map(|_| ()).unwrap_err(),
            objects.get(key, 1).await.map(|_| ()).unwrap_err(),
            objects.delete(key).await.unwrap_err(),
            objects.list(Some(key)).map(|_| ()).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| matches!(error, ObjectError::Key { .. })), "{key:?}: {errors:?}");
    }
    assert!(objects.list(None).unwrap().try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_directory_is_for_its_owner_only_and_left_clean() {
    use std::os::unix::fs::PermissionsExt as _;
    let at = TestObjects::directory();
    let objects = at.open();
    let directory = std::path::Path::new(at.url.strip_prefix("file://").unwrap());
    assert_eq!(std::fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
    objects.put("a", vec![1]).await.unwrap();
    assert!(!objects.put_if_absent("a", vec![2]).await.unwrap());
    let names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["a"]);
}

#[tokio::test]
async fn a_store_that_is_not_there_is_unavailable_and_its_key_is_not_shown() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let variables = [
        ("AWS_ENDPOINT", format!("http://127.0.0.1:{port}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", "ada".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "hunter2".to_owned()),
    ];
    let objects = Objects::open_with("s3://bucket/x", variables.map(|(name, value)| (name.to_owned(), value))).unwrap();
    assert!(!format!("{objects:?} {}", objects.place()).contains("hunter2"));
    let error = objects.get("a", 1).await.unwrap_err();
    assert!(matches!(error, ObjectError::Unavailable { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_said_so() {
    let at = TestObjects::s3().await;
    let objects = Objects::open_with("s3://no-such-bucket", at.variables.clone()).unwrap();
    let error = objects.put("a", vec![1]).await.unwrap_err();
    assert!(error.to_string().contains("no object `a`") || error.to_string().contains("bucket"), "{error}");
}

#[test]
fn addresses_that_name_no_store_are_refused_without_their_secrets() {
    let bad = [
        "",
        "objects",
        "ftp://hidden@host/x",
        "file://host/objects",
        "s3://",
        "s3://hidden:hidden@bucket",
        "s3://bucket?secret=hidden",
        "s3://bucket/a b",
    ];
    for url in bad {
        let error = Objects::open_with(url, []).unwrap_err();
        assert!(matches!(error, ObjectError::Url { .. } | ObjectError::Key { .. }), "{url}: {error:?}");
        assert!(!format!("{error:?}").contains("hidden"), "{url}: {error:?}");
    }
    let endpoint = ("AWS_ENDPOINT".to_owned(), "http://hidden:hidden@localhost".to_owned());
    let error = Objects::open_with("s3://bucket", [endpoint]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hidden"), "{error:?}");
}

#[tokio::test]
async fn what_a_killed_writer_left_is_swept_up() {
    let at = TestObjects::directory();
    let objects = at.open();
    objects.put("a/b", vec![1]).await.unwrap();
    let directory = std::path::Path::new(at.url.strip_prefix("file://").unwrap());
    std::fs::write(directory.join("a/b#12"), "half").unwrap();
    let listed: Vec<_> = objects.list(None).unwrap().try_collect().await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(objects.sweep(std::time::Duration::from_secs(3600)).await.unwrap(), 0, "somebody may be writing it");
    assert_eq!(objects.sweep(std::time::Duration::ZERO).await.unwrap(), 1);
    assert!(!directory.join("a/b#12").exists());
    assert_eq!(objects.get("a/b", 1).await.unwrap(), [1]);
    assert_eq!(TestObjects::s3().await.open().sweep(std::time::Duration::ZERO).await.unwrap(), 0);
}

/// What never changes comes from this machine the next time, as long as it is whole; anything else from the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_on_this_machine_stand_in_for_a_bucket() {
    let at = TestObjects::s3().await;
    let directory = tempfile::tempdir().unwrap();
    let copies = || {
        let files = std::fs::read_dir(directory.path()).unwrap();
        files.map(|file| file.unwrap().path()).collect::<Vec<_>>()
    };
    let open = || at.open().with_copies(directory.path().to_owned(), 1 << 20).unwrap();
    let (plain, objects) = (at.open(), open());
    objects.put("kernels/one", vec![1; 1000]).await.unwrap();
    objects.put("documents/one", vec![2; 1000]).await.unwrap();
    assert_eq!(copies().len(), 1);
    // The bucket need not have it any more; a later server finds the copies, too.
    plain.delete("kernels/one").await.unwrap();
    plain.delete("documents/one").await.unwrap();
    for objects in [&objects, &open()] {
        assert_eq!(objects.get("kernels/one", 1000).await.unwrap(), vec![1; 1000]);
        assert!(matches!(objects.get("documents/one", 1000).await, Err(ObjectError::NotFound { .. })));
        assert!(objects.get("kernels/one", 999).await.is_err(), "a reader says how much it takes");
    }
    // One that is damaged is fetched again.
    objects.put("kernels/two", vec![3; 1000]).await.unwrap();
    for copy in copies() {
        let mut content = std::fs::read(&copy).unwrap();
        content[500] ^= 1;
        std::fs::write(&copy, content).unwrap();
    }
    assert_eq!(objects.get("kernels/two", 1000).await.unwrap(), vec![3; 1000]);
    assert!(matches!(objects.get("kernels/one", 1000).await, Err(ObjectError::NotFound { .. })));
    plain.delete("kernels/two").await.unwrap();
    assert_eq!(objects.get("kernels/two", 1000).await.unwrap(), vec![3; 1000], "and copied again");
    // What is deleted is gone, and what was used longest ago makes room.
    objects.delete("kernels/two").await.unwrap();
    assert!(matches!(objects.get("kernels/two", 1000).await, Err(ObjectError::NotFound { .. })));
    for number in 0..30 {
        objects.put(&format!("cells/{number}"), vec![number; 50_000]).await.unwrap();
        objects.get("cells/0", 50_000).await.unwrap();
    }
    let bytes: u64 = copies().iter().map(|copy| copy.metadata().unwrap().len()).sum();
    assert!(bytes <= 1 << 20 && bytes > 800_000, "{bytes}");
    plain.delete("cells/0").await.unwrap();
    plain.delete("cells/1").await.unwrap();
    assert_eq!(objects.get("cells/0", 50_000).await.unwrap(), vec![0; 50_000]);
    assert!(objects.get("cells/1", 50_000).await.is_err());
    // One that is much of all there is room for is not worth it.
    objects.put("cells/large", vec![7; 200_000]).await.unwrap();
    plain.delete("cells/large").await.unwrap();
    assert!(objects.get("cells/large", 200_000).await.is_err());
}
