//! Project pages: from memory, from the disk, from the index.

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use pep508_rs::PackageName;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use url::{Origin, Url};

use super::error::{IndexError, shown};
use super::flight::Flights;
use super::freshness::Freshness;
use super::http::{Answer, Failure};
use super::page::{self, ACCEPTED};
use super::recent::Recent;
use super::source::Source;
use super::stored::{StoredFiles, StoredPage};
use super::{Shared, blocking};
use crate::packages::project::Project;

/// Files of all projects in memory; one weighs about half a kilobyte.
const MAX_FILES_IN_MEMORY: usize = 100_000;

/// A page on the disk may be somewhat longer than what it was read from.
const DISK_FACTOR: u64 = 4;

/// The number of an index, and a project.
type Key = (usize, PackageName);

/// What an index says of a project: nothing where it doesn't know it.
#[derive(Clone)]
struct Page {
    project: Option<Arc<Project>>,
    freshness: Arc<Freshness>,
}

/// The pages that are known, and those that are on their way.
pub(super) struct Pages {
    known: Recent<Key, Page>,
    flights: Flights<Key, Result<Page, IndexError>>,
}

impl Pages {
    pub(super) fn new() -> Self {
        Self { known: Recent::new(MAX_FILES_IN_MEMORY), flights: Flights::new() }
    }
}

/// What an index answered.
enum Fetched {
    NotModified(HeaderMap),
    Absent(HeaderMap),
    Page { headers: HeaderMap, base: Url, body: Vec<u8> },
}

impl Shared {
    /// The project according to the first index that knows it. An index that can't be asked is an error, not a reason to
    /// ask the next one: that one might serve another project by the same name.
    pub(super) async fn project(self: &Arc<Self>, name: &PackageName) -> Result<Arc<Project>, IndexError> {
        for number in 0..self.sources.len() {
            if let Some(project) = self.page(number, name).await?.project {
                return Ok(project);
            }
        }
        Err(IndexError::NotFound { name: name.to_string() })
    }

    async fn page(self: &Arc<Self>, number: usize, name: &PackageName) -> Result<Page, IndexError> {
        let key = (number, name.clone());
        if let Some(page) = self.pages.known.get(&key).filter(|page| page.freshness.is_fresh()) {
            return Ok(page);
        }
        let shared = Arc::clone(self);
        let name = name.clone();
        let load = async move {
            let page = shared.load_page(number, &name).await?;
            if page.freshness.storable {
                let weight = 1 + page.project.as_ref().map_or(0, |project| project.files.len());
                shared.pages.known.put((number, name), page.clone(), weight);
            }
            Ok(page)
        };
        self.pages.flights.join(key, || load.boxed()).await
    }

    async fn load_page(&self, number: usize, name: &PackageName) -> Result<Page, IndexError> {
        let source = &self.sources[number];
        let url = page_url(source, name)?;
        let path = PathBuf::from("pages").join(&source.key).join(format!("{name}.json"));
        let kept = self.kept_page(path.clone(), &url, name).await?;
        if let Some(page) = kept.clone().filter(|page| page.freshness.is_fresh()) {
            return Ok(page);
        }
        let kept = kept.filter(|page| page.project.is_some());
        let conditions = kept.as_ref().map(|page| page.freshness.conditions()).unwrap_or_default();
        let assumed = self.config.assumed_fresh;
        let page = match (self.fetch_page(&url, conditions).await?, kept) {
            (Fetched::NotModified(headers), Some(Page { project, freshness })) => {
                Page { project, freshness: Arc::new(Freshness::clone(&freshness).renewed(&headers, assumed)) }
            }
            (Fetched::NotModified(_), None) => {
                return Err(IndexError::Status { url: shown(&url), status: StatusCode::NOT_MODIFIED.as_u16() });
            }
            (Fetched::Absent(headers), _) => {
                Page { project: None, freshness: Arc::new(Freshness::of_absence(&headers, assumed)) }
            }
            (Fetched::Page { headers, base, body }, _) => {
                let freshness = Arc::new(Freshness::of(&headers, assumed));
                Page { project: Some(self.read_page(number, name, &headers, base, body).await?), freshness }
            }
        };
        self.keep_page(path, &url, &page).await;
        Ok(page)
    }

    async fn fetch_page(&self, url: &Url, conditions: HeaderMap) -> Result<Fetched, IndexError> {
        let mut headers = conditions;
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let headers = &headers;
        let attempt = || {
            self.http.in_turn(url, self.config.deadline, move |slot| async move {
                let answer = self.http.get(slot, url, headers).await?;
                self.fetched(answer).await
            })
        };
        self.http.retrying(attempt).await
    }

    async fn fetched(&self, answer: Answer) -> Result<Fetched, Failure> {
        let headers = answer.response.headers().clone();
        match answer.response.status() {
            StatusCode::OK => {
                let base = answer.url.clone();
                let encoding = answer.header(CONTENT_ENCODING.as_str()).unwrap_or("identity").to_owned();
                if encoding != "identity" {
                    let reason = "it is compressed, which was not asked for".to_owned();
                    return Err(IndexError::BadPage { url: shown(&base), reason }.into());
                }
                let body = answer.body(self.config.max_page_bytes).await?;
                Ok(Fetched::Page { headers, base, body })
            }
            StatusCode::NOT_MODIFIED => Ok(Fetched::NotModified(headers)),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Fetched::Absent(headers)),
            _ => Err(answer.bad_status().into()),
        }
    }

    async fn read_page(
        &self,
        number: usize,
        name: &PackageName,
        headers: &HeaderMap,
        base: Url,
        body: Vec<u8>,
    ) -> Result<Arc<Project>, IndexError> {
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let own = self.sources[number].url.origin();
        let origins = self.sources.iter().map(|source| source.url.origin());
        let others: Vec<Origin> = origins.filter(|origin| *origin != own).collect();
        let name = name.clone();
        let shown_url = shown(&base);
        let read = blocking(move || page::read(&body, &content_type, &base, &name, &others)).await;
        match read {
            Ok(Ok(project)) => Ok(Arc::new(project)),
            Ok(Err(reason)) | Err(reason) => Err(IndexError::BadPage { url: shown_url, reason }),
        }
    }

    async fn kept_page(&self, path: PathBuf, url: &Url, name: &PackageName) -> Result<Option<Page>, IndexError> {
        let (disk, url, name) = (self.disk.clone(), url.to_string(), name.clone());
        let max_bytes = self.config.max_page_bytes.saturating_mul(DISK_FACTOR);
        let read = move || {
            let stored: StoredPage = serde_json::from_slice(&disk.read(&path, max_bytes)?).ok()?;
            if stored.url != url {
                return None;
            }
            let project = match stored.files {
                None => None,
                Some(files) => Some(Arc::new(files.project(name)?)),
            };
            Some(Page { project, freshness: Arc::new(stored.freshness) })
        };
        blocking(read).await.map_err(|reason| IndexError::Client { reason })
    }

    async fn keep_page(&self, path: PathBuf, url: &Url, page: &Page) {
        if !page.freshness.storable {
            return;
        }
        let (disk, url, page) = (self.disk.clone(), url.to_string(), page.clone());
        let write = move || {
            let files = page.project.as_deref().map(StoredFiles::of);
            let stored = StoredPage { url, freshness: Freshness::clone(&page.freshness), files };
            match serde_json::to_vec(&stored) {
                Ok(json) => disk.write(&path, &json),
                Err(error) => tracing::warn!(%error, "a project page can't be kept"),
            }
        };
        if let Err(reason) = blocking(write).await {
            tracing::warn!(reason, "a project page can't be kept");
        }
    }
}

fn page_url(source: &Source, name: &PackageName) -> Result<Url, IndexError> {
    source
        .url
        .join(&format!("{name}/"))
        .map_err(|error| IndexError::BadIndexUrl { url: shown(&source.url), reason: error.to_string() })
}
