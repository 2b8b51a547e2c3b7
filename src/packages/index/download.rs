//! Downloads: streamed, counted and hashed, and continued where a connection broke.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

use super::Shared;
use super::error::{IndexError, shown};
use super::http::{Answer, Failure, unreachable};
use super::wheel::content_range;
use crate::packages::project::DistFile;

/// Hears of a download: bytes written so far, and bytes in all where that is known.
pub type Progress<'a> = &'a (dyn Fn(u64, Option<u64>) + Send + Sync);

/// A file that was downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// SHA-256 of its bytes in lower-case hex.
    pub sha256: String,
    /// Its bytes.
    pub size_bytes: u64,
}

/// A download, over all its attempts.
struct Transfer<'a, W: ?Sized> {
    file: &'a DistFile,
    max_bytes: u64,
    into: &'a mut W,
    progress: Progress<'a>,
    /// Of what is written.
    hasher: Sha256,
    written: u64,
    /// A write has begun and not ended: how much of it is there, nobody knows.
    is_torn: bool,
    /// The strong name of the file that is being written.
    etag: Option<HeaderValue>,
}

impl Shared {
    pub(super) async fn download<W: AsyncWrite + Unpin + Send + ?Sized>(
        &self,
        file: &DistFile,
        into: &mut W,
        progress: Progress<'_>,
    ) -> Result<Downloaded, IndexError> {
        let max_bytes = self.config.max_file_bytes;
        if file.size_bytes.is_some_and(|size| size > max_bytes) {
            return Err(IndexError::TooLarge { url: shown(&file.url), max_bytes });
        }
        // Only one attempt runs at a time.
        let transfer = Mutex::new(Transfer {
            file,
            max_bytes,
            into,
            progress,
            hasher: Sha256::new(),
            written: 0,
            is_torn: false,
            etag: None,
        });
        let transfer = &transfer;
        let attempt = || {
            self.http.in_turn(&file.url, self.config.download_deadline, move |slot| async move {
                let mut transfer = transfer.lock().await;
                if transfer.is_torn {
                    return Err(transfer.write_error(&std::io::ErrorKind::TimedOut.into()).into());
                }
                let headers = transfer.headers();
                let answer = self.http.get(slot, &file.url, &headers).await?;
                transfer.receive(answer).await
            })
        };
        self.http.retrying(attempt).await?;
        let mut transfer = transfer.lock().await;
        transfer.into.flush().await.map_err(|error| transfer.write_error(&error))?;
        let sha256 = hex::encode(transfer.hasher.clone().finalize());
        Ok(Downloaded { sha256, size_bytes: transfer.written })
    }
}

impl<W: AsyncWrite + Unpin + Send + ?Sized> Transfer<'_, W> {
    /// What the next attempt asks for: the rest, if that is still of the same file.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.written > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", self.written))
        {
            headers.insert(RANGE, range);
            headers.extend(self.etag.clone().map(|etag| (IF_RANGE, etag)));
        }
        headers
    }

    async fn receive(&mut self, answer: Answer) -> Result<(), Failure> {
        // What comes again is not written again, but must be the same.
        let (repeated, total) = match answer.response.status() {
            StatusCode::OK => (self.written, answer.response.content_length()),
            StatusCode::PARTIAL_CONTENT if self.written > 0 => {
                let range = answer.header(CONTENT_RANGE.as_str()).and_then(content_range);
                let Some((_, _, total)) = range.filter(|(from, _, _)| *from == self.written) else {
                    return Err(self.changed().into());
                };
                (0, Some(total))
            }
            // There is no rest: what is here is all that the server has.
            StatusCode::RANGE_NOT_SATISFIABLE if self.written > 0 => return self.finish(),
            _ => return Err(answer.bad_status().into()),
        };
        self.check_total(total)?;
        self.etag = answer.response.headers().get(ETAG).filter(|etag| etag.as_bytes().starts_with(b"\"")).cloned();
        self.copy(answer, repeated, total.or(self.file.size_bytes)).await?;
        if total.is_none() && self.file.size_bytes.is_some_and(|size| self.written < size) {
            // Without a declared length, an early end may be a broken connection.
            return Err(Failure::passing(self.wrong_length(self.written)));
        }
        self.finish()
    }

    async fn copy(&mut self, answer: Answer, mut repeated: u64, total: Option<u64>) -> Result<(), Failure> {
        let Answer { mut response, url, .. } = answer;
        let mut again = Sha256::new();
        let is_restarted = repeated > 0;
        (self.progress)(self.written, total);
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&url, error))? {
            let (old, new) = chunk.split_at(chunk.len().min(usize::try_from(repeated).unwrap_or(usize::MAX)));
            if repeated > 0 {
                again.update(old);
                repeated -= old.len() as u64;
                if repeated == 0 && again.clone().finalize() != self.hasher.clone().finalize() {
                    return Err(self.changed().into());
                }
            }
            if !new.is_empty() {
                self.write(new).await?;
                (self.progress)(self.written, total);
            }
        }
        if is_restarted && repeated > 0 {
            return Err(self.changed().into());
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        let written = self.written + bytes.len() as u64;
        if self.file.size_bytes.is_some_and(|size| written > size) {
            return Err(self.wrong_length(written));
        }
        if written > self.max_bytes {
            return Err(IndexError::TooLarge { url: shown(&self.file.url), max_bytes: self.max_bytes });
        }
        self.is_torn = true;
        self.into.write_all(bytes).await.map_err(|error| self.write_error(&error))?;
        self.is_torn = false;
        self.hasher.update(bytes);
        self.written = written;
        Ok(())
    }

    fn check_total(&self, total: Option<u64>) -> Result<(), IndexError> {
        let Some(total) = total else { return Ok(()) };
        match self.file.size_bytes {
            Some(size) if size != total => Err(self.wrong_length(total)),
            _ if total > self.max_bytes => {
                Err(IndexError::TooLarge { url: shown(&self.file.url), max_bytes: self.max_bytes })
            }
            _ => Ok(()),
        }
    }

    fn finish(&self) -> Result<(), Failure> {
        if self.file.size_bytes.is_some_and(|size| size != self.written) {
            return Err(self.wrong_length(self.written).into());
        }
        let computed = hex::encode(self.hasher.clone().finalize());
        match &self.file.sha256 {
            Some(expected) if *expected != computed => {
                let url = shown(&self.file.url);
                Err(IndexError::WrongHash { url, expected: expected.clone(), computed }.into())
            }
            _ => Ok(()),
        }
    }

    fn changed(&self) -> IndexError {
        IndexError::Changed { url: shown(&self.file.url) }
    }

    fn wrong_length(&self, received: u64) -> IndexError {
        let expected = self.file.size_bytes.unwrap_or_default();
        IndexError::WrongLength { url: shown(&self.file.url), expected, received }
    }

    fn write_error(&self, error: &std::io::Error) -> IndexError {
        let filename = self.file.filename.clone();
        IndexError::Write { filename, kind: error.kind(), reason: error.to_string() }
    }
}
