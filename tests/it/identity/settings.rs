//! What can be set of all this.

use pymd::config::{Config, Settings};
use pymd::domain::{AuthPolicy, SigningAlgorithm};

fn load(text: &str) -> Result<AuthPolicy, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("cache_dir = \"/tmp\"\n[auth]\n{text}")).unwrap();
    Config::load(Some(file.path()), Settings::default()).map(|config| config.auth).map_err(|error| error.to_string())
}

#[test]
fn a_provider_is_set_whole_or_not_at_all() {
    assert_eq!(load("").unwrap(), AuthPolicy::default());
    let usual = "issuer = \"https://issuer.example/\"\naudience = \"one two\"\n";
    let policy = load(usual).unwrap().provider.unwrap();
    assert_eq!((policy.issuer.as_str(), policy.audiences.len()), ("https://issuer.example/", 2));
    assert_eq!((policy.algorithms, policy.clock_skew_s), (vec![SigningAlgorithm::Rs256], 60));
    load("issuer = \"http://127.0.0.1:9/\"\naudience = \"x\"\nalgorithms = \"ES256 EdDSA\"").unwrap();
    load("public_url = \"https://pymd.example/\"").unwrap();
    for (bad, names) in [
        ("issuer = \"https://issuer.example\"", "auth.audience"),
        ("audience = \"x\"", "auth.audience"),
        ("client_id = \"x\"", "auth.client_id"),
        ("issuer = \"http://issuer.example\"\naudience = \"x\"", "auth.issuer"),
        ("issuer = \"issuer.example\"\naudience = \"x\"", "auth.issuer"),
        ("issuer = \"https://issuer.example/?a\"\naudience = \"x\"", "auth.issuer"),
        ("public_url = \"http://pymd.example\"", "auth.public_url"),
        ("public_url = \"https://pymd.example/path\"", "auth.public_url"),
        ("public_url = \"https://user@pymd.example\"", "auth.public_url"),
        ("session_idle_s = 1", "auth.session_idle_s"),
        ("hats = 1", "hats"),
    ] {
        let error = load(bad).unwrap_err();
        assert!(error.contains(names), "{bad}: {error}");
    }
    for bad in [
        "algorithms = \"HS256\"",
        "algorithms = \"none\"",
        "algorithms = \"\"",
        "clock_skew_s = 6000",
        "jwks_max_age = 1",
    ] {
        assert!(load(&format!("{usual}{bad}")).is_err(), "{bad}");
    }
    let secret = load(&format!("{usual}client_id = \"x\"\nclient_secret = \"hidden words\"")).unwrap();
    assert!(!format!("{secret:?}").contains("hidden"), "secrets are not shown");
}
