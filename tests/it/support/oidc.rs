//! OpenID Connect providers of other make: `tests/support/oidc.mjs`.

use std::process::Command;
use std::sync::OnceLock;

use pymd::domain::{AuthPolicy, ProviderPolicy, SigningAlgorithm};
use serde_json::{Value, json};

use super::client;
use crate::databases::Watched;

/// A provider of a test's own.
pub struct Oidc {
    /// Its name and address.
    pub issuer: String,
    /// What it calls the server,
    pub client_id: String,
    /// and the secret for that.
    pub client_secret: String,
    /// For whom its tokens are meant.
    pub audience: String,
}

impl Oidc {
    /// A new one: with keys and people of its own.
    pub async fn start() -> Self {
        static PROCESS: OnceLock<(Watched, String)> = OnceLock::new();
        let (_, address) = PROCESS.get_or_init(|| {
            let mut command = Command::new("node");
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/oidc.mjs"));
            Watched::start(command, |line| Some(line.strip_prefix("Running on ")?.to_owned()))
        });
        let made = client().post(format!("{address}/new")).send().await.unwrap();
        let made: Value = made.json().await.unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let (issuer, audience) = (text("issuer"), text("audience"));
        Self { issuer, client_id: text("client_id"), client_secret: text("client_secret"), audience }
    }

    /// To believe it.
    pub fn policy(&self) -> ProviderPolicy {
        ProviderPolicy {
            issuer: self.issuer.clone(),
            audiences: vec![self.audience.clone()],
            algorithms: vec![SigningAlgorithm::Rs256, SigningAlgorithm::Es256, SigningAlgorithm::EdDsa],
            role_claim: None,
            admin_value: "admin".to_owned(),
            tier_claim: None,
            clock_skew_s: 60,
            keys_max_age_s: 86_400,
            client_id: Some(self.client_id.clone()),
            client_secret: Some(self.client_secret.clone()),
            login_scope: "openid profile email".to_owned(),
        }
    }

    /// To let its people in.
    pub fn auth(&self) -> AuthPolicy {
        AuthPolicy { provider: Some(self.policy()), ..AuthPolicy::default() }
    }

    /// Opens one of its doors for tests.
    pub async fn door(&self, name: &str, body: Value) -> Value {
        let answer = client().post(format!("{}/test/{name}", self.issuer)).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    /// A token: the script says how.
    pub async fn mint(&self, how: Value) -> String {
        self.door("mint", how).await["token"].as_str().unwrap().to_owned()
    }

    /// A good token of somebody.
    pub async fn token_of(&self, subject: &str) -> String {
        self.mint(json!({"claims": {"sub": subject}})).await
    }

    /// How often its keys were asked for.
    pub async fn asked(&self) -> u64 {
        self.door("asked", json!({})).await["asked"].as_u64().unwrap()
    }
}
