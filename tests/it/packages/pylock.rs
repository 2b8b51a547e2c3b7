//! `pylock.toml`: what is written is read again, and what others write is read with care.

use pymd::domain::{LockedPackage, LockedWheel, Lockfile};
use pymd::packages::pylock::{MAX_BYTES, MAX_PACKAGES, PylockError, read, requirements_txt, write};

const PYTHON: &str = "3.15.0";
const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn package(name: &str, version: &str) -> LockedPackage {
    let filename = format!("{}-{version}-py3-none-any.whl", name.replace('-', "_"));
    LockedPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        requires_python: None,
        dependencies: Vec::new(),
        wheel: LockedWheel {
            url: format!("https://index.example/files/{filename}"),
            filename,
            size_bytes: Some(1_234),
            sha256: Some(HASH.to_owned()),
        },
    }
}

fn sample() -> Lockfile {
    let mut alpha = package("alpha", "1.0");
    alpha.dependencies = vec!["beta-thing".to_owned(), "numpy".to_owned()];
    alpha.requires_python = Some(">=3.9, !=3.10.*".to_owned());
    let mut beta = package("beta-thing", "2.0.post1");
    beta.wheel.size_bytes = None;
    let mut gamma = package("gamma", "3.0+local.1");
    gamma.wheel.filename = "gamma-3.0+local.1-py3-none-any.whl".to_owned();
    gamma.wheel.url = String::new();
    Lockfile { python_version: PYTHON.to_owned(), packages: vec![alpha, beta, gamma] }
}

/// A lockfile with one package, to be spoilt.
fn text() -> String {
    write(&Lockfile { python_version: PYTHON.to_owned(), packages: vec![package("alpha", "1.0")] }).unwrap()
}

#[track_caller]
fn refused(text: &str) -> PylockError {
    read(text, PYTHON).unwrap_err()
}

#[test]
fn what_is_written_is_read_again() {
    for lockfile in [sample(), Lockfile { python_version: PYTHON.to_owned(), packages: Vec::new() }] {
        let text = write(&lockfile).unwrap();
        assert_eq!(read(&text, PYTHON).unwrap(), lockfile);
        assert_eq!(write(&read(&text, PYTHON).unwrap()).unwrap(), text);
    }
}

#[test]
fn a_lockfile_looks_like_this() {
    let expected = r#"lock-version = "1.0"
environments = ['sys_platform == "wasi" and platform_machine == "wasm32"']
requires-python = ">=3.15"
created-by = "pymd"

[[packages]]
name = "alpha"
version = "1.0"
requires-python = ">=3.9, !=3.10.*"
dependencies = [{ name = "beta-thing" }]
wheels = [{ name = "alpha-1.0-py3-none-any.whl", url = "https://index.example/files/alpha-1.0-py3-none-any.whl", size = 1234, hashes = { sha256 = "HASH" } }]

[packages.tool.pymd]
runtime-dependencies = ["numpy"]

[[packages]]
name = "beta-thing"
version = "2.0.post1"
wheels = [{ name = "beta_thing-2.0.post1-py3-none-any.whl", url = "https://index.example/files/beta_thing-2.0.post1-py3-none-any.whl", hashes = { sha256 = "HASH" } }]

[[packages]]
name = "gamma"
version = "3.0+local.1"
wheels = [{ name = "gamma-3.0+local.1-py3-none-any.whl", path = "gamma-3.0+local.1-py3-none-any.whl", size = 1234, hashes = { sha256 = "HASH" } }]

[tool.pymd]
python-version = "3.15.0"
"#;
    assert_eq!(write(&sample()).unwrap(), expected.replace("HASH", HASH));
}

#[test]
fn the_order_of_packages_does_not_matter() {
    let mut turned = sample();
    turned.packages.reverse();
    assert_eq!(write(&turned).unwrap(), write(&sample()).unwrap());
    assert_eq!(requirements_txt(&turned), requirements_txt(&sample()));
}

#[test]
fn odd_text_cannot_break_out_of_its_value() {
    let mut lockfile = sample();
    lockfile.packages[0].wheel.url = "https://index.example/'\"\\\n[[packages]]".to_owned();
    let text = write(&lockfile).unwrap();
    assert_eq!(read(&text, PYTHON).unwrap().packages.len(), 3);
}

#[test]
fn a_wheel_without_digest_cannot_be_written() {
    let mut lockfile = sample();
    lockfile.packages[1].wheel.sha256 = None;
    assert_eq!(write(&lockfile), Err(PylockError::Unhashed { package: "beta-thing".to_owned() }));
}

#[test]
fn requirements_pin_every_package_with_its_digest() {
    let expected = format!(
        "alpha==1.0 \\\n    --hash=sha256:{HASH}\nbeta-thing==2.0.post1 \\\n    --hash=sha256:{HASH}\n\
         gamma==3.0+local.1 \\\n    --hash=sha256:{HASH}\n"
    );
    assert_eq!(requirements_txt(&sample()), expected);
    // One digest would make all of them required.
    let mut lockfile = sample();
    lockfile.packages[1].wheel.sha256 = None;
    assert_eq!(requirements_txt(&lockfile), "alpha==1.0\nbeta-thing==2.0.post1\ngamma==3.0+local.1\n");
}

#[test]
fn lockfiles_of_other_programs_are_read() {
    let text = format!(
        r#"
lock-version = "1.0"
created-by = "another"
requires-python = ">=3.9"
environments = ["sys_platform == 'linux'"]
extras = []

[[packages]]
name = "Alpha.Thing"
version = "1.0.0"
index = "https://index.example/simple"
sdist = {{ name = "alpha-1.0.tar.gz", url = "https://index.example/alpha-1.0.tar.gz", upload-time = 2025-01-01T00:00:00Z, size = 1, hashes = {{ sha256 = "{HASH}" }} }}
wheels = [
    {{ url = "https://index.example/alpha_thing-1.0.0-cp315-cp315-manylinux_2_17_x86_64.whl", hashes = {{ sha256 = "{HASH}" }} }},
    {{ url = "https://user:secret@index.example/alpha_thing-1.0.0-py3-none-any.whl", hashes = {{ md5 = "x", sha256 = "{upper}" }} }},
]

[packages.tool.another]
key = 1

[tool.another]
key = 1
"#,
        upper = HASH.to_uppercase()
    );
    let lockfile = read(&text, PYTHON).unwrap();
    assert_eq!(lockfile.python_version, PYTHON);
    let package = &lockfile.packages[0];
    assert_eq!((package.name.as_str(), package.version.as_str()), ("alpha-thing", "1.0.0"));
    assert_eq!(package.wheel.filename, "alpha_thing-1.0.0-py3-none-any.whl");
    assert_eq!(package.wheel.url, "https://index.example/alpha_thing-1.0.0-py3-none-any.whl");
    assert_eq!(package.wheel.sha256.as_deref(), Some(HASH));
}

#[test]
fn what_is_no_lockfile_is_refused_with_its_line() {
    match refused("lock-version = \"1.0\"\n\npackages = [\n") {
        PylockError::Toml { reason } => assert!(reason.starts_with("line "), "{reason}"),
        other => panic!("{other}"),
    }
    for text in ["", "packages = []", "lock-version = 1.0\npackages = []", "lock-version = \"1.0\"\npackages = 1"] {
        assert!(matches!(refused(text), PylockError::Toml { .. }), "{text}");
    }
    let newer = refused("lock-version = \"1.1\"\npackages = []");
    assert_eq!(newer, PylockError::Version { version: "1.1".to_owned() });
}

#[test]
fn values_that_are_not_what_they_should_be_are_refused() {
    let good = text();
    let url = "https://index.example/files/alpha-1.0-py3-none-any.whl";
    for (from, to, expected) in [
        ("name = \"alpha\"", "name = \"../alpha\"", "name"),
        ("version = \"1.0\"\nwheels", "version = \"one\"\nwheels", "version"),
        ("version = \"1.0\"\nwheels", "version = \"1.1\"\nwheels", "wheels"),
        ("name = \"alpha\"", "name = \"beta\"", "wheels"),
        ("requires-python = \">=3.15\"", "requires-python = \"new\"", "requires-python"),
        (url, "ftp://index.example/alpha-1.0-py3-none-any.whl", "url"),
        (url, "file:///etc/passwd", "url"),
        (url, "alpha-1.0-py3-none-any.whl", "url"),
        ("url = \"https://index.example/files/", "path = \"../", "wheels"),
        ("url = \"https://index.example/files/", "path = \"/", "wheels"),
        ("url = \"", "other = \"", "wheels"),
        ("alpha-1.0-py3-none-any.whl\", url", "alpha-1.0.zip\", url", "wheels"),
        ("alpha-1.0-py3-none-any.whl\", url", "alpha-1.0-py3-none-any/../x.whl\", url", "wheels"),
        (HASH, "abc", "hashes"),
        ("sha256", "md5", "hashes"),
        ("python-version = \"3.15.0\"", "python-version = \"x\"", "python-version"),
        ("wheels = ", "dependencies = [{ name = \"/\" }]\nwheels = ", "dependencies"),
    ] {
        assert!(good.contains(from), "{from}");
        match refused(&good.replacen(from, to, 1)) {
            PylockError::Value { key, .. } => assert_eq!(key, expected, "{to}"),
            other => panic!("{to}: {other}"),
        }
    }
    assert!(matches!(refused(&good.replacen("size = 1234", "size = -1", 1)), PylockError::Toml { .. }));
}

#[test]
fn a_lockfile_for_another_python_is_refused() {
    let error = read(&text(), "3.14.2").unwrap_err();
    assert_eq!(error.to_string(), "the lockfile is for Python >=3.15, not for 3.14.2");
    // A later one reads it, and it keeps what it was made for.
    assert_eq!(read(&text(), "3.16.1").unwrap().python_version, PYTHON);
}

#[test]
fn what_an_environment_of_wheels_cannot_hold_is_refused() {
    let good = text();
    for key in
        ["marker = \"os_name == 'nt'\"", "vcs = { type = \"git\" }", "directory = { path = \".\" }", "archive = {}"]
    {
        let error = refused(&good.replacen("wheels", &format!("{key}\nwheels"), 1));
        assert!(
            matches!(&error, PylockError::Unsupported { package, key: found } if package == "alpha" && key.starts_with(found)),
            "{error}"
        );
    }
    let wheels = good.find("wheels").unwrap();
    let without = format!("{}\n", &good[..wheels]);
    assert!(matches!(refused(&without), PylockError::Unsupported { key: "sdist", .. }));
    let two = good.replacen(
        "wheels = [{",
        "wheels = [{ url = \"https://x.example/alpha-1.0-cp315-cp315-win32.whl\", hashes = { sha256 = \"HASH\" } }, {",
        1,
    );
    let two = two.replace("HASH", HASH).replace("py3-none-any", "cp315-cp315-win_amd64");
    assert!(matches!(refused(&two), PylockError::NoWheel { .. }));
}

#[test]
fn a_package_twice_is_refused() {
    let good = text();
    let (start, end) = (good.find("[[packages]]").unwrap(), good.find("[tool.pymd]").unwrap());
    let twice = format!("{}{}{}", &good[..end], &good[start..end], &good[end..]);
    assert_eq!(refused(&twice), PylockError::Duplicate { package: "alpha".to_owned() });
}

#[test]
fn a_huge_or_deep_lockfile_is_refused_in_time() {
    let long = format!("lock-version = \"1.0\"\npackages = []\n#{}", "x".repeat(MAX_BYTES));
    assert!(matches!(refused(&long), PylockError::TooLarge { what: "bytes", .. }));
    let many = "[[packages]]\nname = \"a\"\n".repeat(MAX_PACKAGES + 1);
    let many = format!("lock-version = \"1.0\"\n{many}");
    assert!(matches!(refused(&many), PylockError::TooLarge { what: "packages", .. }));
    let deep = 200_000;
    for text in [
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("a = {}", "{a = ".repeat(deep / 2)),
        format!("a{} = 1", ".a".repeat(deep)),
        format!("[a{}]", ".a".repeat(deep)),
    ] {
        assert!(matches!(refused(&text), PylockError::Toml { .. }));
    }
    let markers = format!("lock-version = \"1.0\"\nenvironments = [\"{}\"]\npackages = []", "(".repeat(deep));
    read(&markers, PYTHON).unwrap();
    let numbers =
        text().replacen("version = \"1.0\"\nwheels", &format!("version = \"{}\"\nwheels", "9.".repeat(deep) + "1"), 1);
    assert!(matches!(refused(&numbers), PylockError::Value { .. }));
}
