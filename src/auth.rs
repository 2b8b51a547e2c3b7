//! Who comes with a token of an OpenID Connect provider.
//!
//! ```text
//! token ─> jws (form, header) ─> claims (issuer, audience, times) ─> keys (by `kid`) ─> ring (signature) ─> Identity
//!                                                                     ↑
//!                                    provider (discovery, JWKS: cached, fetched anew, within bounds)
//! ```
//!
//! Nothing in a token says how it is to be checked: which algorithms there may be is a setting, where keys come from is
//! a setting, and `kid` is only ever looked up among keys that are here. The signatures themselves are checked by ring,
//! which is in the program for TLS anyway; the crates for JWTs bring a second library of the kind.

mod claims;
mod error;
mod fetch;
mod jws;
mod keys;
mod login;
mod provider;

pub use claims::Purpose;
pub use error::{AuthError, Refused};
pub use login::LoginPlan;
pub use provider::{Provider, Verified};
