//! Core metadata of wheels: kept, beside the wheel, from pieces of it, or from the whole of it.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use futures::FutureExt;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use url::Url;

use super::error::{IndexError, shown};
use super::flight::Flights;
use super::http::{Answer, Failure};
use super::recent::Recent;
use super::sparse::{Found, Pieces};
use super::{Shared, blocking};
use crate::packages::metadata;
use crate::packages::project::{CoreMetadata, DistFile, MetadataFile};
use crate::packages::wheel_name::WheelName;

/// What is asked for first: of most wheels the directory and the metadata, which lie at the end.
const TAIL_BYTES: u64 = 32 << 10;
/// The longest piece that is asked for at once, and how many.
const MAX_PIECE_BYTES: u64 = 4 << 20;
const MAX_PIECES: usize = 12;
/// Metadata in memory; each weighs one and one more for each requirement.
const MAX_IN_MEMORY: usize = 100_000;
/// Wheels that are in memory as a whole at the same time.
const MAX_WHOLE_WHEELS: usize = 2;

/// The metadata that is known, and what is on its way.
pub(super) struct Wheels {
    known: Recent<String, Arc<CoreMetadata>>,
    flights: Flights<String, Result<Arc<CoreMetadata>, IndexError>>,
    whole: Semaphore,
}

impl Wheels {
    pub(super) fn new() -> Self {
        Self { known: Recent::new(MAX_IN_MEMORY), flights: Flights::new(), whole: Semaphore::new(MAX_WHOLE_WHEELS) }
    }
}

/// What a request for a piece came to.
enum Piece {
    Part {
        total: u64,
        from: u64,
        bytes: Vec<u8>,
    },
    /// The server doesn't do parts.
    Refused,
}

impl Shared {
    /// What the wheel says of itself.
    pub(super) async fn metadata(self: &Arc<Self>, file: &DistFile) -> Result<Arc<CoreMetadata>, IndexError> {
        let key = key(file);
        if let Some(metadata) = self.wheels.known.get(&key) {
            return Ok(metadata);
        }
        let (shared, file, known_as) = (Arc::clone(self), file.clone(), key.clone());
        let load = async move {
            let metadata = Arc::new(shared.load_metadata(&file, &known_as).await?);
            shared.wheels.known.put(known_as, Arc::clone(&metadata), 1 + metadata.requires_dist.len());
            Ok(metadata)
        };
        self.wheels.flights.join(key, || load.boxed()).await
    }

    async fn load_metadata(&self, file: &DistFile, key: &str) -> Result<CoreMetadata, IndexError> {
        let bad = |reason: String| IndexError::BadMetadata { filename: file.filename.clone(), reason };
        let wheel = WheelName::from_str(&file.filename).map_err(|error| bad(error.reason))?;
        let path = PathBuf::from("metadata").join(&key[..2]).join(key);
        let kept = {
            let (disk, path) = (self.disk.clone(), path.clone());
            let read = move || metadata::parse(&disk.read(&path, 2 * metadata::MAX_BYTES as u64)?).ok();
            blocking(read).await.map_err(bad)?
        };
        if let Some(metadata) = kept.filter(|metadata| disagreement(metadata, &wheel).is_none()) {
            return Ok(metadata);
        }
        let text = self.fetch_metadata(file).await?;
        let disk = self.disk.clone();
        let read = move || {
            let metadata = metadata::parse(&text).map_err(|error| error.to_string())?;
            if let Some(reason) = disagreement(&metadata, &wheel) {
                return Err(reason);
            }
            match metadata::essence(&text) {
                Ok(essence) => disk.write(&path, essence.as_bytes()),
                Err(error) => tracing::warn!(%error, "metadata can't be kept"),
            }
            Ok(metadata)
        };
        blocking(read).await.flatten().map_err(bad)
    }

    async fn fetch_metadata(&self, file: &DistFile) -> Result<Vec<u8>, IndexError> {
        if let MetadataFile::Beside { sha256 } = &file.metadata
            && let Some(text) = self.beside(file, sha256.as_deref()).await?
        {
            return Ok(text);
        }
        match self.read_pieces(file).await? {
            Some(text) => Ok(text),
            None => self.read_whole(file).await,
        }
    }

    /// The metadata file beside the wheel; nothing if the index promised it for nothing.
    async fn beside(&self, file: &DistFile, sha256: Option<&str>) -> Result<Option<Vec<u8>>, IndexError> {
        let mut url = file.url.clone();
        url.set_path(&format!("{}.metadata", file.url.path()));
        let url = &url;
        let attempt = || {
            self.http.in_turn(url, self.config.deadline, move |slot| async move {
                let answer = self.http.get(slot, url, &HeaderMap::new()).await?;
                match answer.response.status() {
                    StatusCode::OK => answer.body(metadata::MAX_BYTES as u64).await.map(Some),
                    StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
                    _ => Err(answer.bad_status().into()),
                }
            })
        };
        let text = self.http.retrying(attempt).await?;
        if let (Some(text), Some(expected)) = (&text, sha256) {
            check_hash(url, expected, text)?;
        }
        Ok(text)
    }

    /// The metadata out of a few pieces of the wheel; nothing if the server doesn't do that, or not properly.
    async fn read_pieces(&self, file: &DistFile) -> Result<Option<Vec<u8>>, IndexError> {
        let tail = match file.size_bytes {
            Some(size) if size > 0 => (size.saturating_sub(TAIL_BYTES), Some(size - 1)),
            _ => (TAIL_BYTES, None),
        };
        let Piece::Part { total, from, bytes } = self.piece(&file.url, tail).await? else { return Ok(None) };
        if let Some(expected) = file.size_bytes.filter(|size| *size != total) {
            return Err(IndexError::WrongLength { url: shown(&file.url), expected, received: total });
        }
        if total > self.config.max_file_bytes {
            return Err(IndexError::TooLarge { url: shown(&file.url), max_bytes: self.config.max_file_bytes });
        }
        let mut pieces = Pieces::of(total, from, bytes);
        let mut length = TAIL_BYTES;
        for _ in 0..MAX_PIECES {
            if let (Some(all), Some(expected)) = (pieces.all(), &file.sha256) {
                check_hash(&file.url, expected, all)?;
            }
            let (back, found) = self.look_into(file, pieces).await?;
            pieces = back;
            let (from, to) = match found {
                Found::Metadata(text) => return Ok(Some(text)),
                Found::Bad(reason) => {
                    return Err(IndexError::BadMetadata { filename: file.filename.clone(), reason });
                }
                Found::Missing { from, to } => (from, to.min(from.saturating_add(length))),
            };
            length = (length * 2).min(MAX_PIECE_BYTES);
            match self.piece(&file.url, (from, Some(to - 1))).await? {
                Piece::Part { total, from: start, bytes } if total == pieces.total() && start == from => {
                    pieces.add(from, bytes);
                }
                // The file changed, or the server stopped doing parts.
                _ => return Ok(None),
            }
        }
        let reason = "its directory is too long, or is made to look so".to_owned();
        Err(IndexError::BadMetadata { filename: file.filename.clone(), reason })
    }

    /// Asks for the bytes `from..=to`, or for the last `from` bytes.
    async fn piece(&self, url: &Url, (from, to): (u64, Option<u64>)) -> Result<Piece, IndexError> {
        let range = to.map_or_else(|| format!("bytes=-{from}"), |to| format!("bytes={from}-{to}"));
        let mut headers = HeaderMap::new();
        headers.insert(
            RANGE,
            HeaderValue::from_str(&range).map_err(|error| IndexError::Client { reason: error.to_string() })?,
        );
        let headers = &headers;
        let most = to.map_or(from, |to| to - from + 1);
        let attempt = || {
            self.http.in_turn(url, self.config.deadline, move |slot| async move {
                part(self.http.get(slot, url, headers).await?, most).await
            })
        };
        match self.http.retrying(attempt).await {
            // Not every server that can't do parts says so properly.
            Err(IndexError::Status { status: 400 | 405 | 416 | 501, .. }) => Ok(Piece::Refused),
            other => other,
        }
    }

    async fn read_whole(&self, file: &DistFile) -> Result<Vec<u8>, IndexError> {
        let url = &file.url;
        let closed = |_| IndexError::Client { reason: "it is shut down".to_owned() };
        let _room = self.wheels.whole.acquire().await.map_err(closed)?;
        let max_bytes = self.config.max_metadata_wheel_bytes;
        if file.size_bytes.is_some_and(|size| size > max_bytes) {
            return Err(IndexError::TooLarge { url: shown(url), max_bytes });
        }
        let attempt = || {
            self.http.in_turn(url, self.config.deadline, move |slot| async move {
                let answer = self.http.get(slot, url, &HeaderMap::new()).await?;
                if answer.response.status() != StatusCode::OK {
                    return Err(answer.bad_status().into());
                }
                answer.body(max_bytes).await
            })
        };
        let bytes = self.http.retrying(attempt).await?;
        let received = bytes.len() as u64;
        if let Some(expected) = file.size_bytes.filter(|size| *size != received) {
            return Err(IndexError::WrongLength { url: shown(url), expected, received });
        }
        if let Some(expected) = &file.sha256 {
            check_hash(url, expected, &bytes)?;
        }
        let reason = match self.look_into(file, Pieces::whole(bytes)).await?.1 {
            Found::Metadata(text) => return Ok(text),
            Found::Bad(reason) => reason,
            Found::Missing { .. } => "it is cut off".to_owned(),
        };
        Err(IndexError::BadMetadata { filename: file.filename.clone(), reason })
    }

    async fn look_into(&self, file: &DistFile, pieces: Pieces) -> Result<(Pieces, Found), IndexError> {
        let look = move || {
            let found = pieces.metadata();
            (pieces, found)
        };
        blocking(look).await.map_err(|reason| IndexError::BadMetadata { filename: file.filename.clone(), reason })
    }
}

/// A partial answer's body, which is what its `Content-Range` says and no more than was asked for.
async fn part(answer: Answer, most: u64) -> Result<Piece, Failure> {
    match answer.response.status() {
        StatusCode::PARTIAL_CONTENT => {}
        StatusCode::OK => return Ok(Piece::Refused),
        _ => return Err(answer.bad_status().into()),
    }
    let range = answer.header(CONTENT_RANGE.as_str()).and_then(content_range);
    let Some((from, to, total)) = range.filter(|(from, to, _)| to - from < most) else { return Ok(Piece::Refused) };
    let bytes = answer.body(most).await?;
    if bytes.len() as u64 == to - from + 1 { Ok(Piece::Part { total, from, bytes }) } else { Ok(Piece::Refused) }
}

/// First and last byte and length of the file, out of `bytes 0-99/1234`.
pub(super) fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    let (from, to, total) = (from.trim().parse().ok()?, to.trim().parse().ok()?, total.trim().parse().ok()?);
    (from <= to && to < total).then_some((from, to, total))
}

/// What a wheel's metadata is kept under. The server counts: one may lie about another's wheel, but only for itself.
fn key(file: &DistFile) -> String {
    let place = match &file.sha256 {
        Some(sha256) => format!("{} {sha256}", file.url.origin().ascii_serialization()),
        None => file.url.to_string(),
    };
    blake3::hash(format!("{} {place}", file.filename).as_bytes()).to_hex().to_string()
}

/// How metadata and file name contradict each other.
fn disagreement(metadata: &CoreMetadata, wheel: &WheelName) -> Option<String> {
    if metadata.name != wheel.name {
        return Some(format!("it is the metadata of `{}`", metadata.name));
    }
    (metadata.version != wheel.version).then(|| format!("it is the metadata of version {}", metadata.version))
}

fn check_hash(url: &Url, expected: &str, bytes: &[u8]) -> Result<(), IndexError> {
    let computed = hex::encode(Sha256::digest(bytes));
    if computed == expected {
        return Ok(());
    }
    Err(IndexError::WrongHash { url: shown(url), expected: expected.to_owned(), computed })
}
