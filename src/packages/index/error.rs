//! Why the index client can't answer.

use std::io;

use url::Url;

/// Why a package index, or a file of it, is of no use. No message shows a URL's user name, password or query.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IndexError {
    /// The address of an index is not one.
    #[error("`{url}` is not the http(s) address of a package index: {reason}")]
    BadIndexUrl {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client cannot work here.
    #[error("cannot set up HTTP: {reason}")]
    Client {
        /// What failed.
        reason: String,
    },
    /// No index knows the project.
    #[error("there is no package `{name}`")]
    NotFound {
        /// Its normalised name.
        name: String,
    },
    /// No answer, none in time, or the connection broke.
    #[error("cannot read {url}: {reason}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// The chain of causes.
        reason: String,
    },
    /// The server answered with something else than success.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// An answer is longer than it may be.
    #[error("{url} is longer than {max_bytes} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// What it may have.
        max_bytes: u64,
    },
    /// A file has other contents than the index says.
    #[error("{url} has the SHA-256 {computed}, not {expected} as the index says")]
    WrongHash {
        /// Address of the file.
        url: String,
        /// What the index says.
        expected: String,
        /// What was received.
        computed: String,
    },
    /// A file changed while it was read.
    #[error("{url} is another file than before the connection broke")]
    Changed {
        /// Address of the file.
        url: String,
    },
    /// A file has another length than the index says.
    #[error("{url} has {received} bytes, not {expected} as the index says")]
    WrongLength {
        /// Address of the file.
        url: String,
        /// What the index says.
        expected: u64,
        /// What the server says or sent; of an overlong file, where reading stopped.
        received: u64,
    },
    /// A project page cannot be understood.
    #[error("{url} is no page of a package index: {reason}")]
    BadPage {
        /// Address of the page.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A wheel's metadata cannot be understood, or is another's.
    #[error("`{filename}` has no usable metadata: {reason}")]
    BadMetadata {
        /// Name of the wheel.
        filename: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A server sends us where we do not go.
    #[error("{url} redirects to {target}, which is refused: {reason}")]
    RefusedRedirect {
        /// What was asked for.
        url: String,
        /// Where it should have come from.
        target: String,
        /// Why not.
        reason: String,
    },
    /// An index links to where we do not go.
    #[error("{url} is refused: {reason}")]
    RefusedAddress {
        /// The address.
        url: String,
        /// Why not.
        reason: String,
    },
    /// What was downloaded cannot be stored.
    #[error("cannot store `{filename}`: {reason}")]
    Write {
        /// Name of the file.
        filename: String,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// The system's words.
        reason: String,
    },
}

impl IndexError {
    /// What a person can do about it, where that is not plain.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::BadIndexUrl { .. } => Some("give the index's simple API, like https://index.example/simple"),
            Self::Unreachable { .. } | Self::Client { .. } => Some("check the network, or choose another index"),
            Self::Status { status: 401 | 403, .. } => Some("the index wants credentials: put them into its URL"),
            Self::Status { .. } | Self::BadPage { .. } => Some("check the address of the index"),
            Self::WrongHash { .. } | Self::WrongLength { .. } => {
                Some("the index, or something on the way, serves another file than it says: do not use it")
            }
            Self::RefusedRedirect { .. } | Self::RefusedAddress { .. } => {
                Some("if that server is meant, an administrator can name it as trusted")
            }
            _ => None,
        }
    }
}

/// A URL without its credentials, its query, which may hold a signature, and its fragment.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    strip_credentials(&mut url);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Takes user name and password away. A URL that cannot have them has none: neither call fails then.
pub(super) fn strip_credentials(url: &mut Url) {
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

/// An error and its causes in one line: the outermost alone says too little ("error sending request").
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
