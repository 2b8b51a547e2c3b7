//! Files that are too large for the database, under keys: in a directory, or in a bucket of an S3-compatible store.
//!
//! A key is a path of plain names, `warm/0190.../image.zst`. A name that is an object has no objects below it.

use std::fmt;
use std::fs::DirBuilder;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientConfigKey, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, RetryConfig};
use url::Url;

mod error;
mod near;
mod sweep;

pub use error::ObjectError;
use near::Near;

/// Keys below these are never written with something else: what is there is named by what it holds, or by a new id.
const UNCHANGING: [&str; 3] = ["kernels", "images", "cells"];
/// A key is not longer.
const MAX_KEY_BYTES: usize = 512;
/// A request that failed for no fault of its own is sent again so often, for so long.
const RETRIES: usize = 3;
const RETRY_FOR: Duration = Duration::from_secs(30);
/// A store that does not let us in for so long is not there. Settings of the environment (`AWS_TIMEOUT`, ...) win.
const CONNECT_TIMEOUT: &str = "5s";
const REQUEST_TIMEOUT: &str = "60s";

/// A store of objects. Cloning shares it.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    place: String,
    /// Where it is a directory.
    directory: Option<PathBuf>,
    /// Copies on this machine, where it is elsewhere.
    near: Option<Arc<Near>>,
}

/// What a list tells of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// When it was written last.
    pub modified_at: Timestamp,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Objects").field(&self.place).finish()
    }
}

impl Objects {
    /// Opens `file:///DIRECTORY`, which is made if it is not there, or `s3://BUCKET/PREFIX`. What S3 needs besides is in
    /// the environment: `AWS_ENDPOINT`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ALLOW_HTTP`, ...
    ///
    /// # Errors
    /// The address names no store, or the directory cannot be made. That a bucket is there shows at its first use.
    pub fn open(url: &str) -> Result<Self, ObjectError> {
        let variables = std::env::vars_os();
        Self::open_with(
            url,
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// The same with an environment of the caller's choice.
    ///
    /// # Errors
    /// As [`Objects::open`].
    pub fn open_with(url: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ObjectError> {
        let error = |reason: &str| ObjectError::Url { reason: reason.to_owned() };
        // Messages never repeat the address: it may hold a key.
        let url = Url::parse(url).map_err(|source| error(&source.to_string()))?;
        match url.scheme() {
            "file" => {
                let directory = url.to_file_path().map_err(|()| error("`file://` is followed by an absolute path"))?;
                open_directory(directory)
            }
            "s3" => open_bucket(&url, variables),
            _ => Err(error("it must begin with `file:///` or `s3://`")),
        }
    }

    /// Keeps copies of what never changes in a directory of this machine, of at most so many bytes. Nothing for a store that
    /// is a directory itself.
    ///
    /// # Errors
    /// The directory can't be used.
    pub fn with_copies(mut self, directory: PathBuf, most_bytes: u64) -> Result<Self, ObjectError> {
        if self.directory.is_none() && most_bytes > 0 {
            let near = Near::open(directory.clone(), self.place.clone(), most_bytes);
            let near = near.map_err(|source| ObjectError::Directory { path: directory, source })?;
            self.near = Some(Arc::new(near));
        }
        Ok(self)
    }

    /// The copies, for a key that is never written with something else.
    fn near(&self, key: &str) -> Option<&Arc<Near>> {
        let is_settled = key.split_once('/').is_some_and(|(top, _)| UNCHANGING.contains(&top));
        self.near.as_ref().filter(|_| is_settled)
    }

    /// Where it is, without keys.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Writes an object, in place of one that was there. Readers see the old or the new one, and what was written stays
    /// after a power cut.
    ///
    /// # Errors
    /// Nothing was written.
    pub async fn put(&self, key: &str, content: Vec<u8>) -> Result<(), ObjectError> {
        let path = path(key)?;
        let content = Bytes::from(content);
        self.store.put(&path, content.clone().into()).await.map_err(|error| ObjectError::of(key, error))?;
        self.copy(key, content).await;
        Ok(())
    }

    /// Keeps a copy on this machine, where that is worth it.
    async fn copy(&self, key: &str, content: Bytes) {
        if let Some(near) = self.near(key).cloned() {
            let key = key.to_owned();
            // Nothing hangs on it.
            let _ = tokio::task::spawn_blocking(move || near.put(&key, &content)).await;
        }
    }

    /// Writes an object unless there is one, and tells whether it did: of several who try, one does.
    ///
    /// # Errors
    /// Nothing was written.
    pub async fn put_if_absent(&self, key: &str, content: Vec<u8>) -> Result<bool, ObjectError> {
        let path = path(key)?;
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&path, content.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(ObjectError::of(key, error)),
        }
    }

    /// An object of at most `max_bytes`.
    ///
    /// # Errors
    /// It is not there, or larger.
    pub async fn get(&self, key: &str, max_bytes: u64) -> Result<Vec<u8>, ObjectError> {
        if let Some(near) = self.near(key).cloned() {
            let key = key.to_owned();
            if let Ok(Some(content)) = tokio::task::spawn_blocking(move || near.get(&key, max_bytes)).await {
                return Ok(content);
            }
        }
        let answer = self.store.get(&path(key)?).await.map_err(|error| ObjectError::of(key, error))?;
        let size_bytes = answer.meta.size;
        let too_large = |size_bytes| ObjectError::TooLarge { key: key.to_owned(), size_bytes, max_bytes };
        if size_bytes > max_bytes {
            return Err(too_large(size_bytes));
        }
        // The size is what the store says: what comes is counted.
        let mut content = Vec::new();
        let mut chunks = answer.into_stream();
        while let Some(chunk) = chunks.try_next().await.map_err(|error| ObjectError::of(key, error))? {
            content.extend_from_slice(&chunk);
            let so_far = u64::try_from(content.len()).unwrap_or(u64::MAX);
            if so_far > max_bytes {
                return Err(too_large(so_far));
            }
        }
        if self.near(key).is_some() {
            let content = Bytes::from(content);
            self.copy(key, content.clone()).await;
            return Ok(content.into());
        }
        Ok(content)
    }

    /// These bytes of an object.
    ///
    /// # Errors
    /// It is not there, or has fewer.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Vec<u8>, ObjectError> {
        let out_of_range = || ObjectError::OutOfRange { key: key.to_owned(), end: range.end };
        let wanted = range.end.saturating_sub(range.start);
        // Stores do not agree on what they answer to a range that lies outside, or has nothing in it.
        if wanted == 0 {
            return if self.info(key).await?.size_bytes < range.end { Err(out_of_range()) } else { Ok(Vec::new()) };
        }
        match self.store.get_range(&path(key)?, range.clone()).await {
            Ok(bytes) if u64::try_from(bytes.len()) == Ok(wanted) => Ok(bytes.into()),
            Ok(_) => Err(out_of_range()),
            Err(error @ object_store::Error::NotFound { .. }) => Err(ObjectError::of(key, error)),
            Err(_) if self.info(key).await?.size_bytes < range.end => Err(out_of_range()),
            Err(error) => Err(ObjectError::of(key, error)),
        }
    }

    /// What is known of an object without its content.
    ///
    /// # Errors
    /// It is not there.
    pub async fn info(&self, key: &str) -> Result<ObjectInfo, ObjectError> {
        let meta = self.store.head(&path(key)?).await.map_err(|error| ObjectError::of(key, error))?;
        Ok(info(&meta))
    }

    /// Whether there is such an object.
    ///
    /// # Errors
    /// The store does not say.
    pub async fn exists(&self, key: &str) -> Result<bool, ObjectError> {
        match self.info(key).await {
            Ok(_) => Ok(true),
            Err(ObjectError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object. One that is not there is as good as deleted.
    ///
    /// # Errors
    /// It may still be there.
    pub async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        if let Some(near) = self.near(key).cloned() {
            let key = key.to_owned();
            let _ = tokio::task::spawn_blocking(move || near.remove(&key)).await;
        }
        match self.store.delete(&path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ObjectError::of(key, error)),
        }
    }

    /// The objects below a key, in no order: `a/b` has `a/b/c` below it, and not `a/bc`. Without a key, all objects.
    ///
    /// # Errors
    /// The key can't be one.
    pub fn list(
        &self,
        below: Option<&str>,
    ) -> Result<BoxStream<'static, Result<ObjectInfo, ObjectError>>, ObjectError> {
        let prefix = below.map(path).transpose()?;
        let below = below.unwrap_or_default().to_owned();
        let found = self.store.list(prefix.as_ref());
        Ok(found.map(move |meta| meta.map(|meta| info(&meta)).map_err(|error| ObjectError::of(&below, error))).boxed())
    }
}

fn open_directory(directory: PathBuf) -> Result<Objects, ObjectError> {
    let error = |source| ObjectError::Directory { path: directory.clone(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(error)?;
    let store = LocalFileSystem::new_with_prefix(&directory).map_err(|error| ObjectError::of("", error))?;
    let place = format!("directory `{}`", directory.display());
    Ok(Objects { store: Arc::new(store.with_fsync(true)), place, directory: Some(directory), near: None })
}

fn open_bucket(url: &Url, variables: impl IntoIterator<Item = (String, String)>) -> Result<Objects, ObjectError> {
    let error = |reason: &str| ObjectError::Url { reason: reason.to_owned() };
    let bucket = url.host_str().filter(|bucket| !bucket.is_empty());
    let bucket = bucket.ok_or_else(|| error("`s3://` is followed by the name of a bucket"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(error("keys and options of S3 are set in the environment (AWS_ACCESS_KEY_ID, ...)"));
    }
    // Somebody else may have chosen the provider for the process already: any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = AmazonS3Builder::new()
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT)
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), REQUEST_TIMEOUT);
    for (name, value) in variables {
        let key = name.starts_with("AWS_").then(|| name.to_ascii_lowercase().parse().ok()).flatten();
        if let Some(key) = key {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = builder.get_config_value(&AmazonS3ConfigKey::Endpoint) {
        let endpoint = Url::parse(&endpoint).map_err(|_| error("AWS_ENDPOINT is no address"))?;
        if !endpoint.username().is_empty() || endpoint.password().is_some() {
            return Err(error("AWS_ENDPOINT has a user name or password in it: it would be shown in messages"));
        }
    }
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_FOR, ..RetryConfig::default() };
    let store = builder.with_bucket_name(bucket).with_retry(retry).build();
    let store = store.map_err(|source| ObjectError::Url { reason: source.to_string() })?;
    let prefix = url.path().trim_matches('/');
    let place = format!("bucket `{bucket}`, below `/{prefix}`");
    if prefix.is_empty() {
        return Ok(Objects { store: Arc::new(store), place, directory: None, near: None });
    }
    let prefix = path(prefix)?;
    Ok(Objects { store: Arc::new(PrefixStore::new(store, prefix)), place, directory: None, near: None })
}

/// The key as a path. What is not plain is refused: it would mean different things to different stores.
fn path(key: &str) -> Result<Path, ObjectError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=' | b'+');
    let name = |name: &str| !name.is_empty() && name != "." && name != ".." && name.bytes().all(plain);
    if key.len() > MAX_KEY_BYTES || !key.split('/').all(name) {
        return Err(ObjectError::Key { key: key.chars().take(MAX_KEY_BYTES).collect() });
    }
    Path::parse(key).map_err(|_| ObjectError::Key { key: key.to_owned() })
}

fn info(meta: &ObjectMeta) -> ObjectInfo {
    let modified = Timestamp::from_microsecond(meta.last_modified.timestamp_micros());
    ObjectInfo {
        key: meta.location.to_string(),
        size_bytes: meta.size,
        modified_at: modified.unwrap_or(Timestamp::UNIX_EPOCH),
    }
}
