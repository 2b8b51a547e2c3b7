//! The bearer token of the one who runs the server.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Name of the token's file in the data directory.
const TOKEN_FILE: &str = "admin-token";
/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;
/// A token is not longer than this.
const MAX_TOKEN_BYTES: usize = 512;

/// The bearer token: 1 to 512 of letters, digits, `-`, `.`, `_`, `~`, so that it can stand in a URL as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(String);

/// What is given as the token, before it is checked: no message about other settings shows it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct TokenText(String);

/// Text that can't be a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_TOKEN_BYTES} of letters, digits, `-`, `.`, `_` and `~`")]
pub struct BadToken;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Somebody else may have read it.
    #[error("others can read `{}`: delete it, and a new token is made", path.display())]
    Open {
        /// The token's file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("`{}` holds no token: delete it, and a new one is made", path.display())]
    Malformed {
        /// The token's file.
        path: PathBuf,
    },
    /// The system has no randomness.
    #[error("the system gives no random numbers: {reason}")]
    Random {
        /// The system's words.
        reason: String,
    },
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

impl From<String> for TokenText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl TokenText {
    /// The token.
    ///
    /// # Errors
    /// It is none.
    pub fn check(&self) -> Result<AdminToken, BadToken> {
        self.0.parse()
    }
}

impl FromStr for AdminToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        if text.is_empty() || text.len() > MAX_TOKEN_BYTES || !text.bytes().all(plain) {
            return Err(BadToken);
        }
        Ok(Self(text.to_owned()))
    }
}

impl AdminToken {
    /// A new one from the system's random numbers.
    ///
    /// # Errors
    /// The system gives none.
    pub fn random() -> Result<Self, TokenError> {
        let mut bytes = [0_u8; TOKEN_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| TokenError::Random { reason: error.to_string() })?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The token that is kept in `data_dir`, made now if there is none. Any number of processes may do so at once:
    /// all get the same.
    ///
    /// # Errors
    /// The directory cannot be used, or the file there is not a token that only its owner can read.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, TokenError> {
        let path = data_dir.join(TOKEN_FILE);
        match Self::read(&path) {
            Err(TokenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let io_error = |action, path: &Path| {
            let path = path.to_owned();
            move |source| TokenError::Io { action, path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data_dir)
            .map_err(io_error("create the directory", data_dir))?;
        let token = Self::random()?;
        // Written whole under another name first, and given its own only if nobody was faster: nobody ever reads
        // half a token.
        let staging = data_dir.join(format!(".{TOKEN_FILE}.{}", Uuid::now_v7()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&staging)
            .and_then(|mut file| file.write_all(format!("{}\n", token.0).as_bytes()).and_then(|()| file.sync_all()))
            .map_err(io_error("write", &staging));
        let linked = written.and_then(|()| match fs::hard_link(&staging, &path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(io_error("create", &path)(source)),
            _ => Ok(()),
        });
        let _ = fs::remove_file(&staging);
        linked?;
        Self::read(&path)
    }

    fn read(path: &Path) -> Result<Self, TokenError> {
        let io_error = |source| TokenError::Io { action: "read", path: path.to_owned(), source };
        let file = File::open(path).map_err(io_error)?;
        if file.metadata().map_err(io_error)?.mode() & 0o077 != 0 {
            return Err(TokenError::Open { path: path.to_owned() });
        }
        let malformed = || TokenError::Malformed { path: path.to_owned() };
        let mut text = String::new();
        file.take(4096).read_to_string(&mut text).map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData => malformed(),
            _ => io_error(source),
        })?;
        text.trim_end().parse().map_err(|_| malformed())
    }

    /// The token itself, for the URL that is shown to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is the token, in a time that does not tell how much of it is right.
    pub fn matches(&self, candidate: &str) -> bool {
        same(&Sha256::digest(candidate), &Sha256::digest(&self.0))
    }

    /// What a browser's cookie holds: proof of the token that is of no use as a bearer token.
    pub fn session(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::new().chain_update("pymd session\0").chain_update(&self.0).finalize())
    }

    /// Whether `candidate` is the session, in a time that does not tell how much of it is right.
    pub fn matches_session(&self, candidate: &str) -> bool {
        same(&Sha256::digest(candidate), &Sha256::digest(self.session()))
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && black_box(a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b))) == 0
}
