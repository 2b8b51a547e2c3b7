//! Why a token is not accepted, and why a provider can't be used.

/// Why nobody comes with a token. The messages are for whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is longer than any token.
    #[error("it is too long")]
    TooLong,
    /// It is no signed token.
    #[error("it is not a signed JSON web token")]
    Malformed,
    /// It is signed in a way that is not accepted, or not at all.
    #[error("it is signed in a way that is not accepted here")]
    Algorithm,
    /// It is a token of another kind.
    #[error("it is a token of another kind")]
    Type,
    /// It demands something that is not known here.
    #[error("its header demands something that is not known here")]
    Critical,
    /// Somebody else made it.
    #[error("it comes from another issuer")]
    Issuer,
    /// It is meant for somebody else.
    #[error("it is meant for another audience")]
    Audience,
    /// Its time is over, or has no end.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("it is not valid yet")]
    NotYet,
    /// It names nobody.
    #[error("it has no usable subject")]
    Subject,
    /// It belongs to another login.
    #[error("it belongs to another login")]
    Nonce,
    /// Its key is none of the provider's.
    #[error("it is signed with a key that the provider does not have")]
    UnknownKey,
    /// The signature is not of that key.
    #[error("its signature is wrong")]
    Signature,
    /// The provider's keys can't be had.
    #[error("the identity provider does not answer, so tokens cannot be checked")]
    Unavailable,
}

/// Why the provider can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// There can be no HTTP client.
    #[error("cannot make an HTTP client for the identity provider: {reason}")]
    Client {
        /// The client's words.
        reason: String,
    },
    /// The provider does not answer, or not as it should.
    #[error("the identity provider's {what} can't be had: {reason}")]
    Fetch {
        /// What was asked for.
        what: &'static str,
        /// What happened.
        reason: String,
    },
    /// What the provider answers is not what it should be.
    #[error("the identity provider's {what} can't be used: {reason}")]
    Unusable {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The provider did not give a token for a login's code.
    #[error("the identity provider did not accept the login")]
    Login,
    /// The token that it gave is not accepted.
    #[error("the identity provider's token is not accepted: {0}")]
    Token(#[from] Refused),
}
