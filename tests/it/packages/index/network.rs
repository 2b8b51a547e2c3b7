//! Redirects, private networks, credentials, requests at the same time, and servers that do not answer.

use std::fs;

use futures::future::join_all;

use super::*;

#[tokio::test]
async fn few_redirects_are_followed() {
    let fixture = Fixture::new().await;
    let wheel = File::wheel("a", "1.0", &[]);
    fixture.fake.publish("a", Style::Json, std::slice::from_ref(&wheel));
    for number in 1..=6 {
        let (from, to) = (format!("/simple/r{number}/"), format!("../r{}/", number - 1));
        fixture.fake.script(&from, [Reply::redirect(&to)]);
    }
    fixture.fake.script("/simple/r0/", [Reply::json(r#"{"files": [{"filename": "x.zip", "url": "x.zip"}]}"#)]);
    // Links are relative to where the page was found.
    let url = fixture.file("r5").await.url;
    assert_eq!(url.path(), "/simple/r0/x.zip");
    let error = fixture.project("r6").await.unwrap_err();
    assert!(matches!(error, IndexError::RefusedRedirect { .. }), "{error}");
    fixture.fake.script("/simple/loop/", [Reply::redirect("/simple/loop/")]);
    assert!(matches!(fixture.project("loop").await, Err(IndexError::RefusedRedirect { .. })));
    for status in [Reply::status(302), Reply::redirect("http://[")] {
        fixture.fake.script("/simple/b/", [status]);
        assert!(matches!(fixture.project("b").await, Err(IndexError::Status { status: 302, .. })));
    }
}

#[tokio::test]
async fn no_redirect_and_no_link_leads_into_a_private_network() {
    let fixture = Fixture::new().await;
    let inner = FakeIndex::start().await;
    inner.publish("a", Style::Json, &[File::wheel("a", "1.0", &[])]);
    let port = inner.root.port().unwrap();
    let own_port = fixture.fake.root.port().unwrap();
    let targets = [
        format!("http://127.0.0.1:{port}/simple/a/"),
        format!("http://127.1:{port}/simple/a/"),
        format!("http://2130706433:{port}/simple/a/"),
        format!("http://0x7f.0.0.1:{port}/simple/a/"),
        format!("http://localhost:{port}/simple/a/"),
        // The index's own port by another name: what is trusted is the address that was configured.
        format!("http://localhost:{own_port}/simple/a/"),
        format!("http://user:secret@localhost:{port}/simple/a/"),
        format!("http://[::1]:{port}/simple/a/"),
        format!("http://[::ffff:127.0.0.1]:{port}/simple/a/"),
        format!("http://[::ffff:7f00:1]:{port}/simple/a/"),
        format!("http://[64:ff9b::7f00:1]:{port}/simple/a/"),
        format!("http://[2002:7f00:1::]:{port}/simple/a/"),
        "http://0.0.0.0/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://172.16.0.1/".to_owned(),
        "http://192.168.0.1/".to_owned(),
        "http://100.64.0.1/".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[fe80::1]/".to_owned(),
        "http://[fd00::1]/".to_owned(),
        "http://224.0.0.1/".to_owned(),
        "ftp://files.example/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ];
    let mut file = DistFile {
        filename: "a-1.0-py3-none-any.whl".to_owned(),
        url: fixture.fake.url(),
        sha256: None,
        size_bytes: None,
        requires_python: None,
        yanked: None,
        metadata: pymd::packages::project::MetadataFile::Absent,
    };
    for target in &targets {
        fixture.fake.script("/simple/a/", [Reply::redirect(target)]);
        let error = fixture.project("a").await.unwrap_err();
        assert!(matches!(error, IndexError::RefusedRedirect { .. }), "{target}: {error}");
        assert!(!error.to_string().contains("secret"));
        file.url = Url::parse(target).unwrap();
        let error = fixture.index().download(&file, &mut Vec::new(), &|_, _| {}).await.unwrap_err();
        assert!(matches!(error, IndexError::RefusedAddress { .. }), "{target}: {error}");
        let error = fixture.index().metadata(&file).await.unwrap_err();
        assert!(matches!(error, IndexError::RefusedAddress { .. }), "{target}: {error}");
    }
    assert_eq!(inner.hits("/"), 0);
    assert_eq!(fixture.fake.hits("/"), targets.len());
}

#[tokio::test]
async fn an_administrator_can_trust_a_server() {
    let fixture = Fixture::new().await;
    let inner = FakeIndex::start().await;
    inner.publish("a", Style::Json, &[File::wheel("a", "1.0", &["b"])]);
    let port = inner.root.port().unwrap();
    for (host, trusted) in [("127.0.0.1", "127.0.0.1".to_owned()), ("localhost", format!("LOCALHOST:{port}"))] {
        let target = format!("http://{host}:{port}/simple/a/");
        fixture.fake.script("/simple/a/", [Reply::redirect(&target).header("cache-control", "no-store")]);
        let cache = TempDir::new().unwrap();
        let config = config(vec![fixture.fake.url()], cache.path());
        let index = Index::new(IndexConfig { trusted_hosts: vec![trusted], ..config }).unwrap();
        let project = index.project(&package("a")).await.unwrap();
        assert_eq!(index.metadata(&project.files[0]).await.unwrap().requires_dist.len(), 1);
    }
}

#[tokio::test]
async fn credentials_go_to_their_index_and_nowhere_else() {
    let fixture = Fixture::new().await;
    let other = FakeIndex::start().await;
    let wheel = File::wheel("a", "1.0", &["b"]);
    fixture.fake.publish("a", Style::Json, std::slice::from_ref(&wheel));
    fixture.fake.script("/simple/moved/", [Reply::redirect(other.root.join("simple/a/").unwrap().as_str())]);
    other.publish("a", Style::Json, &[wheel]);
    let mut url = fixture.fake.url();
    url.set_username("us%40er").unwrap();
    url.set_password(Some("se:cret")).unwrap();
    let config = config(vec![url], fixture.cache.path());
    let trusted_hosts = vec![format!("127.0.0.1:{}", other.root.port().unwrap())];
    let index = Index::new(IndexConfig { trusted_hosts, ..config }).unwrap();

    let project = index.project(&package("a")).await.unwrap();
    index.metadata(&project.files[0]).await.unwrap();
    index.download(&project.files[0], &mut Vec::new(), &|_, _| {}).await.unwrap();
    // Its page is another project's, but it was asked for.
    let moved = index.project(&package("moved")).await.unwrap_err();
    fixture.fake.script("/simple/private/", [Reply::status(401)]);
    let error = index.project(&package("private")).await.unwrap_err();
    assert!(error.hint().unwrap().contains("credentials"));

    // The Base64 of `us@er:se:cret`.
    let basic = Some("Basic dXNAZXI6c2U6Y3JldA==");
    assert!(fixture.fake.seen("/").iter().all(|seen| seen.header("authorization") == basic));
    assert_eq!(other.hits("/"), 1);
    assert!(other.seen("/").iter().all(|seen| seen.header("authorization").is_none()));
    let mut texts = format!("{project:?} {error} {error:?} {moved:?} {index:?}");
    for entry in walk(fixture.cache.path()) {
        texts.push_str(&String::from_utf8_lossy(&fs::read(&entry).unwrap()));
        texts.push_str(&entry.display().to_string());
    }
    assert!(texts.contains("127.0.0.1") && texts.contains("requires-dist: b"));
    for secret in ["se:cret", "se%3Acret", "us%40er", "us@er", "dXNAZXI6"] {
        assert!(!texts.contains(secret), "{secret} in {texts}");
    }
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn senseless_index_addresses_are_errors() {
    for url in ["file:///simple", "ftp://host/simple", "data:,x", "http://u:secret@host/simple?x=1"] {
        let error = Index::new(config(vec![Url::parse(url).unwrap()], Path::new("x"))).unwrap_err();
        assert!(matches!(error, IndexError::BadIndexUrl { .. }), "{url}: {error}");
        assert!(error.hint().is_some() && !error.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn the_same_question_is_asked_once() {
    let fixture = Fixture::new().await;
    let gate = Gate::closed();
    let wheel = File::wheel("a", "1.0", &[]).beside(Beside::Hashed);
    fixture.fake.publish("a", Style::Json, std::slice::from_ref(&wheel));
    let file = fixture.file("a").await;
    let beside = "/files/a-1.0-py3-none-any.whl.metadata";
    fixture.fake.script(beside, [Reply::ok(wheel.metadata_text.clone().unwrap()).gated(&gate)]);
    fixture.fake.script("/simple/b/", [page("b", Style::Json, &[]).gated(&gate)]);
    let index = fixture.index();
    let name = package("b");
    let projects = join_all((0..20).map(|_| index.project(&name)));
    let metadata = join_all((0..20).map(|_| index.metadata(&file)));
    let open = async {
        gate.arrived(2).await;
        gate.open(2);
    };
    let (projects, metadata, ()) = tokio::join!(projects, metadata, open);
    assert!(projects.iter().all(|project| Arc::ptr_eq(project.as_ref().unwrap(), projects[0].as_ref().unwrap())));
    assert!(metadata.iter().all(Result::is_ok));
    assert_eq!((fixture.fake.hits("/simple/b/"), fixture.fake.hits(beside)), (1, 1));
}

#[tokio::test]
async fn who_gives_up_takes_nobody_along() {
    let fixture = Fixture::new().await;
    let gate = Gate::closed();
    fixture.fake.script("/simple/a/", [page("a", Style::Json, &[]).gated(&gate)]);
    let index = fixture.index();
    let name = package("a");
    let mut first = Box::pin(index.project(&name));
    let second = index.project(&name);
    assert!(futures::poll!(&mut first).is_pending());
    let give_up = async {
        gate.arrived(1).await;
        drop(first);
        gate.open(1);
    };
    let (second, ()) = tokio::join!(second, give_up);
    second.unwrap();
    assert_eq!(fixture.fake.hits("/simple/a/"), 1);
    // All give up; who comes later starts anew.
    fixture.fake.script("/simple/b/", [page("b", Style::Json, &[]).gated(&gate), page("b", Style::Json, &[])]);
    let name = package("b");
    let mut only = Box::pin(index.project(&name));
    tokio::select! {
        _ = &mut only => panic!("the gate is closed"),
        () = gate.arrived(2) => {}
    }
    drop(only);
    index.project(&name).await.unwrap();
}

#[tokio::test]
async fn a_failure_is_not_remembered() {
    let fixture = Fixture::new().await;
    fixture.fake.script("/simple/a/", [Reply::status(403), page("a", Style::Json, &[])]);
    let index = fixture.index();
    assert!(index.project(&package("a")).await.is_err());
    index.project(&package("a")).await.unwrap();
}

#[tokio::test]
async fn requests_wait_for_their_turn() {
    let fixture = Fixture::new().await;
    let gate = Gate::closed();
    let names: Vec<_> = (0..10).map(|number| format!("p{number}")).collect();
    for name in &names {
        fixture.fake.script(&format!("/simple/{name}/"), [page(name, Style::Json, &[]).gated(&gate)]);
    }
    let index = Index::new(IndexConfig { max_requests: 3, ..fixture.config() }).unwrap();
    let packages: Vec<_> = names.iter().map(|name| package(name)).collect();
    let all = join_all(packages.iter().map(|name| index.project(name)));
    let open = async {
        gate.arrived(3).await;
        gate.open(10);
    };
    let (projects, ()) = tokio::join!(all, open);
    assert!(projects.iter().all(Result::is_ok));
    assert_eq!(fixture.fake.most_running(), 3);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let fixture = Fixture::new().await;
    let gate = Gate::closed();
    fixture.fake.script("/simple/a/", [page("a", Style::Json, &[]).gated(&gate)]);
    let brief = Duration::from_millis(20);
    for config in
        [IndexConfig { deadline: brief, ..fixture.config() }, IndexConfig { read_timeout: brief, ..fixture.config() }]
    {
        let index = Index::new(config).unwrap();
        let error = index.project(&package("a")).await.unwrap_err();
        assert!(matches!(error, IndexError::Unreachable { .. }), "{error}");
    }
    // The body must come in time too.
    let endless = Index::new(IndexConfig { deadline: brief, max_page_bytes: u64::MAX, ..fixture.config() }).unwrap();
    fixture.fake.script("/simple/b/", [Reply::json("").endless()]);
    assert!(matches!(endless.project(&package("b")).await, Err(IndexError::Unreachable { .. })));
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = Url::parse(&format!("http://user:secret@{address}/simple/")).unwrap();
    let index = Index::new(config(vec![url], fixture.cache.path())).unwrap();
    let error = index.project(&package("a")).await.unwrap_err();
    assert!(matches!(error, IndexError::Unreachable { .. }), "{error}");
    assert!(error.hint().is_some() && !format!("{error:?}").contains("secret"), "{error:?}");
}
