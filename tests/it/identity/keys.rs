//! The provider's keys: fetched, kept, exchanged, and what happens while the provider is away or out of its mind.

use std::time::Duration;

use pymd::auth::{Provider, Purpose, Refused};
use pymd::domain::ProviderPolicy;
use serde_json::{Value, json};

use crate::support::oidc::Oidc;

/// For so long a provider is not asked again.
const ASKED_EVERY: Duration = Duration::from_millis(3100);

async fn check(provider: &Provider, token: &str) -> Result<String, Refused> {
    provider.verify(token, Purpose::Access).await.map(|verified| verified.identity.subject)
}

#[tokio::test]
async fn exchanged_keys_are_found_and_withdrawn_ones_are_not_believed() {
    let oidc = Oidc::start().await;
    let provider = Provider::new(oidc.policy()).unwrap();
    let old = oidc.token_of("ada").await;
    assert_eq!(check(&provider, &old).await.as_deref(), Ok("ada"));
    assert_eq!(oidc.asked().await, 1);
    oidc.door("rotate", json!({})).await;
    tokio::time::sleep(ASKED_EVERY).await;
    let new = oidc.token_of("bob").await;
    assert_eq!(check(&provider, &new).await.as_deref(), Ok("bob"));
    assert_eq!(check(&provider, &old).await, Err(Refused::UnknownKey));
    app_is_asked_seldom(&oidc, &provider).await;
}

/// Whoever sends tokens with names that nobody knows must not have us ask the provider each time.
async fn app_is_asked_seldom(oidc: &Oidc, provider: &Provider) {
    let before = oidc.asked().await;
    let mut tokens = Vec::new();
    for number in 0..40 {
        tokens.push(oidc.mint(json!({"header": {"kid": format!("unknown-{number}")}})).await);
    }
    let checks = tokens.iter().map(|token| check(provider, token));
    assert!(futures::future::join_all(checks).await.iter().all(|found| *found == Err(Refused::UnknownKey)));
    assert!(oidc.asked().await - before <= 2, "{before} {}", oidc.asked().await);
}

#[tokio::test]
async fn many_at_once_ask_the_provider_once() {
    let oidc = Oidc::start().await;
    let provider = Provider::new(oidc.policy()).unwrap();
    let token = oidc.token_of("ada").await;
    let checks = (0..50).map(|_| check(&provider, &token));
    assert!(futures::future::join_all(checks).await.iter().all(Result::is_ok));
    assert_eq!(oidc.asked().await, 1);
    // What is no token for us in any case is not worth a question.
    let provider = Provider::new(oidc.policy()).unwrap();
    let wrong = oidc.mint(json!({"claims": {"aud": "other"}})).await;
    assert_eq!(check(&provider, &wrong).await, Err(Refused::Audience));
    assert_eq!(oidc.asked().await, 1);
}

#[tokio::test]
async fn known_keys_go_on_while_the_provider_is_away() {
    let oidc = Oidc::start().await;
    let known = Provider::new(oidc.policy()).unwrap();
    let token = oidc.token_of("ada").await;
    check(&known, &token).await.unwrap();
    oidc.door("away", json!({"away": true})).await;
    tokio::time::sleep(ASKED_EVERY).await;
    let strange = oidc.mint(json!({"header": {"kid": "other"}})).await;
    assert_eq!(check(&known, &strange).await, Err(Refused::UnknownKey), "and this has it asked");
    assert_eq!(check(&known, &token).await.as_deref(), Ok("ada"));
    // Who knows nothing yet can't tell, and finds out when it is back.
    let new = Provider::new(oidc.policy()).unwrap();
    assert_eq!(check(&new, &token).await, Err(Refused::Unavailable));
    oidc.door("away", json!({"away": false})).await;
    tokio::time::sleep(ASKED_EVERY).await;
    assert_eq!(check(&new, &token).await.as_deref(), Ok("ada"));
}

#[tokio::test]
async fn keys_that_are_too_old_are_not_believed() {
    let oidc = Oidc::start().await;
    let provider = Provider::new(ProviderPolicy { keys_max_age_s: 1, ..oidc.policy() }).unwrap();
    let token = oidc.token_of("ada").await;
    check(&provider, &token).await.unwrap();
    oidc.door("away", json!({"away": true})).await;
    tokio::time::sleep(ASKED_EVERY).await;
    assert_eq!(check(&provider, &token).await, Err(Refused::Unavailable));
}

#[tokio::test]
async fn descriptions_that_cannot_be_right_are_not_used() {
    let oidc = Oidc::start().await;
    let token = oidc.token_of("ada").await;
    let about = "/.well-known/openid-configuration";
    let usual = json!({"issuer": oidc.issuer, "jwks_uri": format!("{}/jwks", oidc.issuer)});
    let with = |name: &str, value: Value| {
        let mut about = usual.clone();
        about[name] = value;
        about
    };
    for answers in [
        json!({about: with("issuer", json!("https://evil.example"))}),
        json!({about: with("issuer", json!(format!("{}/", oidc.issuer)))}),
        json!({about: with("jwks_uri", json!("http://evil.example/jwks"))}),
        json!({about: with("jwks_uri", json!("file:///etc/passwd"))}),
        json!({about: with("jwks_uri", json!("not a URL"))}),
        json!({about: with("token_endpoint", json!("http://evil.example/token"))}),
        json!({about: "[]"}),
        json!({about: "<html>"}),
        json!({about: usual, "/jwks": "{\"keys\": 7}"}),
        json!({about: usual, "/jwks": {"keys": []}}),
        json!({about: usual, "/jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "x"}, 7, null]}}),
        json!({about: usual, "/jwks": "x".repeat(300 << 10)}),
    ] {
        oidc.door("answers", answers.clone()).await;
        let provider = Provider::new(oidc.policy()).unwrap();
        assert_eq!(check(&provider, &token).await, Err(Refused::Unavailable), "{}", &answers.to_string()[..80]);
    }
    oidc.door("answers", json!({about: usual})).await;
    let provider = Provider::new(oidc.policy()).unwrap();
    assert_eq!(check(&provider, &token).await.as_deref(), Ok("ada"));
}

/// Keys for other things, and keys that leave a choice.
#[tokio::test]
async fn a_key_is_used_for_what_it_is_for() {
    let oidc = Oidc::start().await;
    let keys = crate::support::client().get(format!("{}/jwks", oidc.issuer)).send().await.unwrap();
    let keys: Value = keys.json().await.unwrap();
    let rsa = keys["keys"].as_array().unwrap().iter().find(|key| key["alg"] == "RS256").unwrap().clone();
    let token = oidc.token_of("ada").await;
    let nameless = oidc.mint(json!({"header": {"kid": null}})).await;
    let changed = |name: &str, value: Value| {
        let mut key = rsa.clone();
        key[name] = value;
        key
    };
    for (keys, expected) in [
        (json!([changed("use", json!("enc"))]), Refused::Unavailable),
        (json!([changed("key_ops", json!(["encrypt"]))]), Refused::Unavailable),
        (json!([changed("alg", json!("RS512"))]), Refused::UnknownKey),
        (json!([changed("kid", json!("other"))]), Refused::UnknownKey),
        (json!([changed("n", json!("AQAB"))]), Refused::Signature),
        (json!([changed("e", json!("AQ"))]), Refused::Signature),
    ] {
        oidc.door("answers", json!({"/jwks": {"keys": keys}})).await;
        let provider = Provider::new(oidc.policy()).unwrap();
        assert_eq!(check(&provider, &token).await, Err(expected), "{keys}");
    }
    // A name is no must where there is one key.
    oidc.door("answers", json!({"/jwks": {"keys": [rsa]}})).await;
    check(&Provider::new(oidc.policy()).unwrap(), &nameless).await.unwrap();
    oidc.door("answers", json!({"/jwks": {"keys": [rsa, changed("kid", json!("other"))]}})).await;
    let provider = Provider::new(oidc.policy()).unwrap();
    assert_eq!(check(&provider, &nameless).await, Err(Refused::UnknownKey));
    check(&provider, &token).await.unwrap();
}
