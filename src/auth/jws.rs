//! The form of a signed token (RFC 7515, compact): what is checked before anything in it is believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::Refused;
use crate::domain::SigningAlgorithm;

/// A token is not longer.
pub(super) const MAX_TOKEN_BYTES: usize = 16 << 10;
/// The name of a key is not longer.
const MAX_KID_BYTES: usize = 256;

/// A token as it came: nothing of it is proven.
pub(super) struct Jws<'a> {
    pub algorithm: SigningAlgorithm,
    /// The name of the key, to look it up and for nothing else.
    pub kid: Option<String>,
    pub claims: Map<String, Value>,
    /// What is signed.
    pub signed: &'a str,
    pub signature: Vec<u8>,
}

/// What is read of a header. `jku`, `jwk`, `x5u` and `x5c`, by which a token would bring its own key, are not.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
    #[serde(default, deserialize_with = "present")]
    b64: bool,
}

/// Whether there is something, whatever it is.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Jws<'a> {
    /// Reads a token that is signed by one of `algorithms`, as it says.
    pub fn read(token: &'a str, algorithms: &[SigningAlgorithm]) -> Result<Self, Refused> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refused::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refused::Malformed)?;
        if payload.contains('.') {
            return Err(Refused::Malformed);
        }
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Refused::Malformed)?;
        let algorithm: SigningAlgorithm = header.alg.parse().map_err(|_| Refused::Algorithm)?;
        if !algorithms.contains(&algorithm) {
            return Err(Refused::Algorithm);
        }
        let is_known = |typ: &str| ["jwt", "at+jwt", "application/at+jwt"].contains(&typ.to_ascii_lowercase().as_str());
        if header.typ.as_deref().is_some_and(|typ| !is_known(typ)) {
            return Err(Refused::Type);
        }
        if header.crit || header.b64 {
            return Err(Refused::Critical);
        }
        if header.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(Refused::UnknownKey);
        }
        let claims = serde_json::from_slice(&decode(payload)?).map_err(|_| Refused::Malformed)?;
        Ok(Self { algorithm, kid: header.kid, claims, signed, signature: decode(signature)? })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Malformed)
}
