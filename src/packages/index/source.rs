//! One configured index.

use url::Url;

use super::error::{IndexError, shown, strip_credentials};

/// An index: its address without credentials, and those.
pub(super) struct Source {
    /// Ends with a slash.
    pub(super) url: Url,
    /// User name and password as they stand in a URL.
    pub(super) credentials: Option<(String, String)>,
    /// What its pages are filed under.
    pub(super) key: String,
}

impl Source {
    pub(super) fn new(url: &Url) -> Result<Self, IndexError> {
        let credentials = (!url.username().is_empty() || url.password().is_some())
            .then(|| (url.username().to_owned(), url.password().unwrap_or_default().to_owned()));
        let refuse = |reason: &str| IndexError::BadIndexUrl { url: shown(url), reason: reason.to_owned() };
        let mut url = url.clone();
        strip_credentials(&mut url);
        url.set_fragment(None);
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("the scheme is another"));
        }
        if url.query().is_some() {
            return Err(refuse("it has a query"));
        }
        // Joining a name to a URL without a final slash would replace its last segment.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let key = blake3::hash(url.as_str().as_bytes()).to_hex()[..16].to_owned();
        Ok(Self { url, credentials, key })
    }
}

/// The bytes behind `%2B` and the like.
pub(super) fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let mut pair = [0];
        if byte == b'%'
            && bytes.get(at + 1..at + 3).is_some_and(|digits| hex::decode_to_slice(digits, &mut pair).is_ok())
        {
            decoded.push(pair[0]);
            at += 3;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    decoded
}
