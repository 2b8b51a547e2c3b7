//! Tokens of a provider, good ones and all kinds of bad ones.

use std::time::Duration;

use jiff::Timestamp;
use pymd::domain::{AuthPolicy, ProviderPolicy};
use serde_json::{Value, json};

use super::me;
use crate::support::oidc::Oidc;
use crate::support::{TestApp, client};
use crate::watch::Ear;

async fn server(policy: ProviderPolicy) -> TestApp {
    TestApp::builder().preparing().auth(AuthPolicy { provider: Some(policy), ..AuthPolicy::default() }).start().await
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

#[tokio::test]
async fn a_token_of_the_provider_makes_a_user_once() {
    let oidc = Oidc::start().await;
    let app = server(oidc.policy()).await;
    let about =
        json!({"sub": "auth0|ada", "name": "Ada", "email": "ada@example.org", "picture": "https://example.org/a.png"});
    let first = me(&app, &oidc.mint(json!({"claims": about})).await).await.json();
    for (name, value) in [
        ("name", "Ada"),
        ("email", "ada@example.org"),
        ("picture", "https://example.org/a.png"),
        ("role", "user"),
        ("tier", "FREE"),
        ("means", "access_token"),
    ] {
        assert_eq!(first[name], value, "{first}");
    }
    assert_eq!(first["scopes"], json!(["read", "write", "execute"]));
    assert!(first["expires_at"].is_string());
    // The same, signed in each way that is accepted, and of every type that there is.
    for how in [
        json!({"alg": "ES256"}),
        json!({"alg": "EdDSA"}),
        json!({"header": {"typ": "at+jwt"}}),
        json!({"header": {"typ": null}}),
        json!({"claims": {"aud": ["https://other.example", oidc.audience]}}),
    ] {
        let mut how = how;
        how["claims"]["sub"] = json!("auth0|ada");
        let again = me(&app, &oidc.mint(how.clone()).await).await.json();
        assert_eq!((&again["id"], &again["name"]), (&first["id"], &json!("Ada")), "{how}");
    }
    let other = me(&app, &oidc.token_of("auth0|bob").await).await.json();
    assert_ne!(other["id"], first["id"]);
    assert_eq!(other["name"], "auth0|bob", "there is no better name");
    app.stop().await;
}

/// What the provider itself gives out for its API.
#[tokio::test]
async fn an_access_token_as_the_provider_makes_it_opens() {
    let oidc = Oidc::start().await;
    let app = server(oidc.policy()).await;
    let form = format!("grant_type=client_credentials&resource={}&scope=api", oidc.audience);
    let given = client()
        .post(format!("{}/token", oidc.issuer))
        .basic_auth("pymd", Some("a+secret%3A+of+%2B+the%2Fclient"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let given: Value = given.send().await.unwrap().json().await.unwrap();
    assert_eq!(me(&app, given["access_token"].as_str().unwrap()).await.json()["name"], "pymd");
    app.stop().await;
}

#[tokio::test]
async fn what_is_not_right_in_a_token_is_refused() {
    let oidc = Oidc::start().await;
    let app = server(oidc.policy()).await;
    let mut cases: Vec<(Value, &str)> = vec![
        // Signed by nobody, or by what is no secret.
        (json!({"how": "none", "header": {"alg": "none"}}), "way that is not accepted"),
        (json!({"how": "none", "header": {"alg": "None"}}), "way that is not accepted"),
        (json!({"how": "none", "header": {"alg": ""}}), "way that is not accepted"),
        (json!({"how": "public pem", "header": {"alg": "HS256"}}), "way that is not accepted"),
        (json!({"how": "public der", "header": {"alg": "HS256"}}), "way that is not accepted"),
        (json!({"how": "empty secret", "header": {"alg": "HS256"}}), "way that is not accepted"),
        (json!({"how": "none"}), "signature is wrong"),
        (json!({"how": "public pem"}), "signature is wrong"),
        (json!({"how": "other key"}), "signature is wrong"),
        (json!({"alg": "ES256", "how": "der"}), "signature is wrong"),
        // Good ones, in a way that is not set.
        (json!({"alg": "ES384"}), "way that is not accepted"),
        (json!({"header": {"alg": "RS512"}}), "way that is not accepted"),
        (json!({"header": {"alg": "PS256"}}), "way that is not accepted"),
        // The key of one algorithm with the name of another.
        (json!({"alg": "ES256", "header": {"alg": "RS256"}}), "key that the provider does not have"),
        (json!({"header": {"alg": "EdDSA"}}), "key that the provider does not have"),
        (json!({"header": {"kid": "../../../../dev/null"}}), "key that the provider does not have"),
        (json!({"header": {"kid": "' OR 1=1 --"}}), "key that the provider does not have"),
        (json!({"header": {"kid": "x".repeat(2000)}}), "key that the provider does not have"),
        (json!({"header": {"kid": ["RS256-1"]}}), "not a signed"),
        // Tokens of other kinds.
        (json!({"header": {"typ": "JWE"}}), "another kind"),
        (json!({"header": {"typ": "logout+jwt"}}), "another kind"),
        (json!({"header": {"typ": "dpop+jwt"}}), "another kind"),
        (json!({"header": {"typ": 7}}), "not a signed"),
        // What is not understood must not be passed over.
        (json!({"header": {"crit": ["exp"]}}), "demands"),
        (json!({"header": {"crit": []}}), "demands"),
        (json!({"header": {"b64": false}}), "demands"),
        // For somebody else, or of somebody else.
        (json!({"claims": {"iss": "https://evil.example"}}), "another issuer"),
        (json!({"claims": {"iss": format!("{}/", oidc.issuer)}}), "another issuer"),
        (json!({"claims": {"iss": [oidc.issuer]}}), "another issuer"),
        (json!({"claims": {"iss": null}}), "another issuer"),
        (json!({"claims": {"aud": "https://other.example"}}), "another audience"),
        (json!({"claims": {"aud": oidc.client_id}}), "another audience"),
        (json!({"claims": {"aud": []}}), "another audience"),
        (json!({"claims": {"aud": {"0": oidc.audience}}}), "another audience"),
        (json!({"claims": {"aud": format!("{}/x", oidc.audience)}}), "another audience"),
        (json!({"claims": {"aud": null}}), "another audience"),
        // Out of time.
        (json!({"claims": {"exp": now() - 61}}), "expired"),
        (json!({"claims": {"exp": null}}), "expired"),
        (json!({"claims": {"exp": "9999999999"}}), "not a signed"),
        (json!({"claims": {"exp": 1e300}}), "not a signed"),
        (json!({"claims": {"exp": -1}}), "not a signed"),
        (json!({"claims": {"exp": i64::MAX}}), "not a signed"),
        (json!({"claims": {"nbf": now() + 120}}), "not valid yet"),
        (json!({"claims": {"nbf": "0"}}), "not a signed"),
        (json!({"claims": {"iat": now() + 120}}), "not valid yet"),
        // Of nobody.
        (json!({"claims": {"sub": null}}), "no usable subject"),
        (json!({"claims": {"sub": ""}}), "no usable subject"),
        (json!({"claims": {"sub": 7}}), "no usable subject"),
        (json!({"claims": {"sub": "a\u{0}b"}}), "no usable subject"),
        (json!({"claims": {"sub": "x".repeat(256)}}), "no usable subject"),
        (json!({"claims": {"pad": "x".repeat(17_000)}}), "too long"),
    ];
    // A token that brings its own key.
    let key = oidc.door("mint", json!({})).await["public_jwk"].clone();
    for header in [
        json!({"jwk": key, "kid": null}),
        json!({"jku": format!("{}/evil", oidc.issuer)}),
        json!({"x5u": format!("{}/evil", oidc.issuer)}),
        json!({"x5c": ["MIIB"]}),
    ] {
        cases.push((json!({"how": "other key", "header": header}), "signature is wrong"));
    }
    oidc.door("answers", json!({"/evil": {"keys": [key]}})).await;
    for (how, reason) in cases {
        let answer = me(&app, &oidc.mint(how.clone()).await).await;
        let problem = answer.problem(401, "unauthorized");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(reason), "{how}: {detail}");
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{how}");
    }
    // Clocks may be a little apart, and numbers have parts.
    for claims in [
        json!({"exp": now() - 30}),
        json!({"nbf": now() + 30, "iat": now() + 30}),
        json!({"exp": now() as f64 + 100.5, "nbf": now() as f64 - 0.5}),
    ] {
        me(&app, &oidc.mint(json!({"claims": claims})).await).await.json();
    }
    app.stop().await;
}

#[tokio::test]
async fn what_only_looks_like_a_token_is_refused() {
    let oidc = Oidc::start().await;
    let app = server(oidc.policy()).await;
    let good = oidc.token_of("ada").await;
    let parts: Vec<_> = good.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { panic!("{good}") };
    let deep = "W1tb".repeat(3000);
    for bad in [
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}..{signature}"),
        format!("{header}.{claims}.{signature}.{signature}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}x.{signature}"),
        format!("{header}.{claims}.{}", &signature[..signature.len() - 4]),
        format!("{header}.{claims}.{signature}AAAA"),
        format!("{header}.{deep}.{signature}"),
        format!("eyJ{deep}.{claims}.{signature}"),
        "eyJ.".to_owned(),
        "eyJ....".to_owned(),
        format!("eyJ{}", ".".repeat(8000)),
        // {"alg":"RS256","alg":"none"}
        format!("eyJhbGciOiJSUzI1NiIsImFsZyI6Im5vbmUifQ.{claims}.{signature}"),
        good.replace('.', "\t."),
    ] {
        let answer = me(&app, &bad).await;
        answer.problem(401, "unauthorized");
    }
    me(&app, &good).await.json();
    app.stop().await;
}

/// The admin's token is chosen freely: it may look like one of the provider's.
#[tokio::test]
async fn keys_and_the_servers_token_open_beside_tokens() {
    let oidc = Oidc::start().await;
    let app = server(oidc.policy()).await;
    assert_eq!(me(&app, app.token()).await.json()["means"], "server_token");
    let key = app.user("script").await;
    assert_eq!(me(&app, &key).await.json()["means"], "api_key");
    app.workspace.database().ensure_admin("eyJhbGciOi.J9.x").await.unwrap();
    assert_eq!(me(&app, "eyJhbGciOi.J9.x").await.json()["means"], "server_token");
    app.stop().await;
}

#[tokio::test]
async fn roles_and_tiers_come_from_the_claims_that_are_set() {
    let oidc = Oidc::start().await;
    let role = "https://pymd.example/roles".to_owned();
    let policy = ProviderPolicy {
        role_claim: Some(role.clone()),
        admin_value: "pymd-admin".to_owned(),
        tier_claim: Some("tier".to_owned()),
        ..oidc.policy()
    };
    let app = server(policy).await;
    let at = now() - 40;
    let said = |at: i64, roles: Value, tier: Value| {
        let claims = json!({"sub": "ada", "iat": at, "tier": tier, (role.clone()): roles});
        oidc.mint(json!({"claims": claims}))
    };
    let admin = said(at, json!(["user", "pymd-admin"]), json!("PRO")).await;
    let seen = me(&app, &admin).await.json();
    assert_eq!((&seen["role"], &seen["tier"]), (&json!("admin"), &json!("PRO")), "{seen}");
    assert_eq!(seen["scopes"], json!(["read", "write", "execute", "admin"]));
    for (roles, tier) in [
        (json!("pymd-admins"), json!("pro")),
        (json!(["admin"]), json!(7)),
        (json!({"pymd-admin": true}), json!(["PRO"])),
        (json!(true), json!("'; DROP TABLE users; --")),
        // Without the claim somebody is a plain user: else who is no admin any more would stay one.
        (Value::Null, Value::Null),
    ] {
        let seen = me(&app, &said(at + 10, roles.clone(), tier.clone()).await).await.json();
        assert_eq!((&seen["role"], &seen["tier"]), (&json!("user"), &json!("PRO")), "{roles} {tier}");
    }
    // What an earlier token says was taken back by a later one.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(me(&app, &admin).await.json()["role"], "user");
    assert_eq!(me(&app, &said(at + 20, json!("pymd-admin"), json!("FREE")).await).await.json()["role"], "admin");
    app.stop().await;
}

/// Streams included, though their token is still good.
#[tokio::test]
async fn who_is_shut_out_is_out_within_five_seconds() {
    let oidc = Oidc::start().await;
    let app = server(oidc.policy()).await;
    let token = oidc.token_of("ada").await;
    let id = me(&app, &token).await.json()["id"].as_str().unwrap().to_owned();
    let mut ear = Ear::of_key(&app, &token).await;
    let mut other = Ear::of_key(&app, &oidc.token_of("bob").await).await;
    app.workspace.database().set_suspended(id.parse().unwrap(), Some(Timestamp::now())).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), ear.next()).await;
    assert!(matches!(ended, Ok(None)), "{ended:?}");
    me(&app, &token).await.problem(403, "suspended");
    me(&app, &oidc.token_of("ada").await).await.problem(403, "suspended");
    let told = other.subscribe(json!({"kernel_id": "01890a5d-ac96-774b-bcce-b302099a8057"})).await;
    assert_eq!(told["type"], "error", "others go on");
    app.stop().await;
}

/// A stream ends with the token that opened it.
#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let oidc = Oidc::start().await;
    let app = server(ProviderPolicy { clock_skew_s: 0, ..oidc.policy() }).await;
    let token = oidc.mint(json!({"claims": {"exp": now() + 3}})).await;
    let mut ear = Ear::of_key(&app, &token).await;
    assert!(tokio::time::timeout(Duration::from_secs(10), ear.next()).await.unwrap().is_none());
    me(&app, &token).await.problem(401, "unauthorized");
    app.stop().await;
}
