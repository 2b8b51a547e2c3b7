//! The wheels of a lockfile, from the cache or from the index.

use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWrite;
use url::Url;

use super::{InstallError, InstallEvents, Installer};
use crate::domain::{InstallEvent, LockedPackage, Lockfile};
use crate::packages::cache::{CacheError, CachedWheel, Incoming};
use crate::packages::project::{DistFile, MetadataFile};

/// Wheels that are fetched at once.
const DOWNLOADS: usize = 16;
/// How often a download tells how far it is.
const TELL_EVERY: Duration = Duration::from_millis(100);

impl Installer {
    /// The wheels of a lockfile in its order; those that the cache does not have are downloaded, checked and unpacked.
    /// Hashes that the index did not say are filled in.
    ///
    /// # Errors
    /// A wheel can't be had, is not what the lockfile says, or is refused.
    pub async fn fetch(
        &self,
        lock: &mut Lockfile,
        events: &InstallEvents<'_>,
    ) -> Result<Vec<CachedWheel>, InstallError> {
        let cached = self.cached(lock.packages.clone()).await?;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let downloads = cached.iter().filter(|wheel| wheel.is_none()).count();
        events(InstallEvent::Resolved { packages: count(cached.len()), downloads: count(downloads) });
        let mut wheels = Vec::with_capacity(cached.len());
        for (package, cached) in lock.packages.iter().zip(cached) {
            wheels.push(match cached {
                Some(wheel) => futures::future::ready(Ok(wheel)).boxed(),
                None => self.download(package, events).boxed(),
            });
        }
        let wheels: Vec<CachedWheel> = stream::iter(wheels).buffered(DOWNLOADS).try_collect().await?;
        for (package, wheel) in lock.packages.iter_mut().zip(&wheels) {
            package.wheel.sha256 = Some(wheel.sha256().to_owned());
        }
        Ok(wheels)
    }

    async fn cached(&self, packages: Vec<LockedPackage>) -> Result<Vec<Option<CachedWheel>>, InstallError> {
        let wheels = self.wheels().clone();
        let look = move || {
            let get = |package: &LockedPackage| match &package.wheel.sha256 {
                Some(sha256) => wheels.get(sha256),
                None => Ok(None),
            };
            packages.iter().map(get).collect::<Result<Vec<_>, CacheError>>()
        };
        Ok(tokio::task::spawn_blocking(look).await.map_err(gave_up)??)
    }

    async fn download(&self, package: &LockedPackage, events: &InstallEvents<'_>) -> Result<CachedWheel, InstallError> {
        let url = Url::parse(&package.wheel.url).map_err(|error| InstallError::Broken {
            reason: format!("the address of {} is none: {error}", package.wheel.filename),
        })?;
        let file = DistFile {
            filename: package.wheel.filename.clone(),
            url,
            sha256: package.wheel.sha256.clone(),
            size_bytes: package.wheel.size_bytes,
            requires_python: None,
            yanked: None,
            metadata: MetadataFile::Absent,
        };
        let incoming = self.wheels().receive(&file.filename, file.sha256.as_deref())?;
        let mut into = Receiving { incoming, refused: None };
        let told = Mutex::new(None::<Instant>);
        let tell = |done_bytes: u64, total_bytes: Option<u64>| {
            let Ok(mut told) = told.lock() else { return };
            if Some(done_bytes) == total_bytes || told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                *told = Some(Instant::now());
                events(InstallEvent::Download { package: package.name.clone(), done_bytes, total_bytes });
            }
        };
        let downloaded = self.0.index.download(&file, &mut into, &tell).await;
        if let Some(error) = into.refused {
            return Err(error.into());
        }
        downloaded?;
        events(InstallEvent::Unpack { package: package.name.clone() });
        let incoming = into.incoming;
        Ok(tokio::task::spawn_blocking(move || incoming.finish()).await.map_err(gave_up)??)
    }
}

fn gave_up(error: tokio::task::JoinError) -> InstallError {
    InstallError::Broken { reason: error.to_string() }
}

/// A download on its way into the cache. What it writes goes to the page cache: that does not block for long.
struct Receiving {
    incoming: Incoming,
    /// Why the cache takes no more.
    refused: Option<CacheError>,
}

impl AsyncWrite for Receiving {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(match self.incoming.write(piece) {
            Ok(()) => Ok(piece.len()),
            Err(error) => {
                let message = io::Error::other(error.to_string());
                self.refused = Some(error);
                Err(message)
            }
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
