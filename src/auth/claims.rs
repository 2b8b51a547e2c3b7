//! What a token says, and whether it may say so.

use jiff::Timestamp;
use serde_json::{Map, Value};
use url::Url;

use super::error::Refused;
use crate::domain::{Identity, Profile, ProviderPolicy, Role};

/// A subject is not longer (OpenID Connect Core, section 2).
const MAX_SUBJECT_BYTES: usize = 255;
/// Names and addresses are not longer; what is longer is cut off.
const MAX_TEXT_BYTES: usize = 320;
/// The URL of a picture is not longer; a longer one is none.
const MAX_PICTURE_BYTES: usize = 2048;
/// Times in tokens lie within this, in seconds: 9999-12-30.
const LAST_SECOND: i64 = 253_402_200_000;

/// What a token is for.
#[derive(Debug, Clone, Copy)]
pub enum Purpose<'a> {
    /// To call the API: it must be meant for one of the audiences that are set.
    Access,
    /// To tell who has logged in: it must be meant for this client, and answer this login.
    Login {
        /// What this login was begun with.
        nonce: &'a str,
    },
}

/// Who a token names, and until when.
pub(super) fn check(
    claims: &Map<String, Value>,
    policy: &ProviderPolicy,
    purpose: Purpose<'_>,
    now: Timestamp,
) -> Result<(Identity, Timestamp), Refused> {
    if text(claims, "iss") != Some(policy.issuer.as_str()) {
        return Err(Refused::Issuer);
    }
    let is_meant_for = |name: &str| match claims.get("aud") {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    };
    match purpose {
        Purpose::Access if !policy.audiences.iter().any(|name| is_meant_for(name)) => return Err(Refused::Audience),
        Purpose::Access => {}
        Purpose::Login { nonce } => {
            let client = policy.client_id.as_deref().ok_or(Refused::Audience)?;
            let authorized = text(claims, "azp").is_none_or(|party| party == client);
            if !is_meant_for(client) || !authorized {
                return Err(Refused::Audience);
            }
            if text(claims, "nonce") != Some(nonce) {
                return Err(Refused::Nonce);
            }
        }
    }
    let skew = i64::from(policy.clock_skew_s);
    let now = now.as_second();
    let until = seconds(claims, "exp")?.ok_or(Refused::Expired)?.saturating_add(skew);
    if until <= now {
        return Err(Refused::Expired);
    }
    let issued_at = seconds(claims, "iat")?;
    let from = seconds(claims, "nbf")?.into_iter().chain(issued_at).max();
    if from.is_some_and(|from| from.saturating_sub(skew) > now) {
        return Err(Refused::NotYet);
    }
    let subject = text(claims, "sub").ok_or(Refused::Subject)?;
    if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES || subject.chars().any(char::is_control) {
        return Err(Refused::Subject);
    }
    let identity = Identity {
        issuer: policy.issuer.clone(),
        subject: subject.to_owned(),
        issued_at: issued_at.unwrap_or(0),
        profile: profile(claims),
        role: policy.role_claim.as_ref().map(|claim| role(claims.get(claim), &policy.admin_value)),
        tier: policy.tier_claim.as_ref().and_then(|claim| Some(cut(text(claims, claim)?))),
    };
    Ok((identity, Timestamp::from_second(until).map_err(|_| Refused::Malformed)?))
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

/// A time in whole seconds. What is there and is no time is no token of a provider.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Refused> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_i64().or_else(|| {
        let exact = value.as_f64()?;
        // Within what both numbers hold exactly.
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        (exact.abs() < 1e15).then_some(exact as i64)
    });
    let whole = whole.filter(|seconds| (0..=LAST_SECOND).contains(seconds));
    whole.map(Some).ok_or(Refused::Malformed)
}

fn role(claim: Option<&Value>, admin: &str) -> Role {
    let is_admin = match claim {
        Some(Value::String(one)) => one == admin,
        Some(Value::Array(several)) => several.iter().any(|one| one == admin),
        _ => false,
    };
    if is_admin { Role::Admin } else { Role::User }
}

/// What is said of somebody.
pub(super) fn profile(claims: &Map<String, Value>) -> Profile {
    let named = |name: &str| text(claims, name).map(str::trim).filter(|text| !text.is_empty()).map(cut);
    let names = ["name", "preferred_username", "nickname"];
    let picture = named("picture").filter(|picture| {
        picture.len() <= MAX_PICTURE_BYTES && Url::parse(picture).is_ok_and(|url| url.scheme() == "https")
    });
    Profile { name: names.into_iter().find_map(named), email: named("email"), picture }
}

/// Text as it is kept.
fn cut(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}
