//! The provider's public keys (RFC 7517, 7518, 8037).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

use super::error::Refused;
use super::jws::Jws;
use crate::domain::SigningAlgorithm;

/// Keys of one provider; more are not looked at.
const MAX_KEYS: usize = 100;
/// Keys of one name that are tried.
const MAX_TRIED: usize = 4;

/// The public keys of a provider.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    kid: Option<String>,
    /// The only algorithm that it is for, where it says so.
    only: Option<String>,
    public: Public,
}

#[derive(Debug)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// Reads a key set. Keys of other kinds, such as secret ones, are passed over.
    pub fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let set: Set = serde_json::from_slice(json)?;
        Ok(Self(set.keys.into_iter().take(MAX_KEYS).filter_map(Key::read).collect()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is a key that may have signed this.
    pub fn knows(&self, token: &Jws<'_>) -> bool {
        self.fitting(token).next().is_some()
    }

    /// Whether one of the keys of the token's name has signed it. A token that names none must leave no choice.
    pub fn check(&self, token: &Jws<'_>) -> Result<(), Refused> {
        if token.kid.is_none() && self.fitting(token).nth(1).is_some() {
            return Err(Refused::UnknownKey);
        }
        let mut refused = Refused::UnknownKey;
        for key in self.fitting(token).take(MAX_TRIED) {
            if key.public.has_signed(token) {
                return Ok(());
            }
            refused = Refused::Signature;
        }
        Err(refused)
    }

    fn fitting<'a>(&'a self, token: &'a Jws<'_>) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| {
            (token.kid.is_none() || key.kid == token.kid)
                && key.only.as_ref().is_none_or(|only| only == token.algorithm.as_str())
                && key.public.fits(token.algorithm)
        })
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let is_for_signatures = jwk.r#use.as_ref().is_none_or(|purpose| purpose == "sig")
            && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !is_for_signatures {
            return None;
        }
        let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let point = |length: usize, x: Option<String>, y: Option<String>| {
            let (x, y) = (bytes(x)?, bytes(y)?);
            (x.len() == length && y.len() == length).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
        };
        let public = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Public::Rsa { n: bytes(jwk.n)?, e: bytes(jwk.e)? },
            ("EC", Some("P-256")) => Public::P256(point(32, jwk.x, jwk.y)?),
            ("EC", Some("P-384")) => Public::P384(point(48, jwk.x, jwk.y)?),
            ("OKP", Some("Ed25519")) => Public::Ed25519(bytes(jwk.x)?),
            _ => return None,
        };
        Some(Self { kid: jwk.kid, only: jwk.alg, public })
    }
}

impl Public {
    fn fits(&self, algorithm: SigningAlgorithm) -> bool {
        use SigningAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256, Rs384, Rs512};
        match self {
            Self::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256),
            Self::P256(_) => algorithm == Es256,
            Self::P384(_) => algorithm == Es384,
            Self::Ed25519(_) => algorithm == EdDsa,
        }
    }

    fn has_signed(&self, token: &Jws<'_>) -> bool {
        let (message, signature) = (token.signed.as_bytes(), token.signature.as_slice());
        match self {
            Self::Rsa { n, e } => {
                let scheme: &RsaParameters = match token.algorithm {
                    SigningAlgorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
                    SigningAlgorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
                    SigningAlgorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
                    SigningAlgorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    SigningAlgorithm::Es256 | SigningAlgorithm::Es384 | SigningAlgorithm::EdDsa => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(scheme, message, signature).is_ok()
            }
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Self::P384(point) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok(),
        }
    }
}
