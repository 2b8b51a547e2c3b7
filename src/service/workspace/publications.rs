//! Published documents: anybody who has the link sees what the last render came to. Nothing is run for them.
//!
//! A token is made of a random seed, which is in the database beside the token's hash, and of a secret in the object
//! store. So the owner can be told the link again, and who has a copy of the database alone can open nothing. Who can read
//! the object store needs no links: the pages lie in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::OnceCell;

use super::Workspace;
use crate::domain::{DocumentId, PublicToken, Publication, UserId};
use crate::service::ServiceError;
use crate::service::admission::Admission;
use crate::store::{ObjectError, StoreError, StoredPublication};

/// Where the secret of all servers of an object store is.
const SECRET_KEY: &str = "secrets/publications";
const SECRET_BYTES: usize = 32;
/// Readers whose page is being looked for, and those who wait; more are refused.
const MAX_LOOKING: usize = 16;
const MAX_WAITING: usize = 256;
/// Bytes of all pages that are on their way to readers, each counted once however many read it.
const MAX_SENT_BYTES: usize = 256 << 20;
/// And of all that are one owner's: readers who read slowly hold up theirs alone.
const MAX_SENT_OF_ONE_BYTES: usize = 64 << 20;
/// And how many they are.
const MAX_SENT: usize = 4096;
/// When a reader should come again who finds too many others.
const RETRY_AFTER_S: u64 = 5;

/// A page for readers.
#[derive(Debug)]
pub struct PublicPage {
    /// Its HTML.
    pub html: Vec<u8>,
    /// Stands for it.
    pub digest: String,
}

/// What somebody finds who comes with a link.
#[derive(Debug, Clone)]
pub enum Found {
    /// The page; nothing where the reader has it already.
    Page(Option<Arc<PublicPage>>, String),
    /// The document was not rendered yet, or its page is too large to be kept.
    NotRendered,
    /// No document.
    Nothing,
}

/// What all readers share.
pub struct Publications {
    admission: Admission,
    secret: OnceCell<[u8; SECRET_BYTES]>,
    /// The pages that are being sent, by whose they are and their digests.
    sent: Mutex<HashMap<(UserId, String), Weak<PublicPage>>>,
}

impl Default for Publications {
    fn default() -> Self {
        let admission = Admission::new(MAX_LOOKING, MAX_WAITING);
        Self { admission, secret: OnceCell::new(), sent: Mutex::default() }
    }
}

impl Publications {
    fn being_sent(&self, page: &(UserId, String)) -> Option<Arc<PublicPage>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).get(page).and_then(Weak::upgrade)
    }

    /// Counts a page among those that are being sent, if there is room.
    fn send(&self, owner: UserId, page: PublicPage) -> Result<Arc<PublicPage>, ServiceError> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (owner, page.digest.clone());
        if let Some(same) = sent.get(&key).and_then(Weak::upgrade) {
            return Ok(same);
        }
        let mut all = page.html.len();
        let mut owners = all;
        sent.retain(|(of, _), page| {
            let page = page.upgrade();
            let bytes = page.as_ref().map_or(0, |page| page.html.len());
            all = all.saturating_add(bytes);
            owners = owners.saturating_add(if *of == owner { bytes } else { 0 });
            page.is_some()
        });
        if all > MAX_SENT_BYTES || owners > MAX_SENT_OF_ONE_BYTES || sent.len() >= MAX_SENT {
            return Err(ServiceError::Busy { retry_after_s: RETRY_AFTER_S });
        }
        let page = Arc::new(page);
        sent.insert(key, Arc::downgrade(&page));
        Ok(page)
    }
}

impl Workspace {
    /// Publishes a document, and tells whether it was not yet.
    ///
    /// # Errors
    /// There is no such document, the tier allows no more, or the object store does not answer.
    pub async fn publish_document(&self, user: UserId, id: DocumentId) -> Result<(Publication, bool), ServiceError> {
        let secret = self.publication_secret().await?;
        let mut seed = [0_u8; 32];
        getrandom::fill(&mut seed)
            .map_err(|error| ServiceError::from(StoreError::Random { reason: error.to_string() }))?;
        let seed = hex::encode(seed);
        let is_new = self.0.database.publish(user, id, &seed, &token(secret, &seed)?).await?;
        self.0.renders.forget(id);
        Ok((self.publication(user, id).await?, is_new))
    }

    /// How a document is published.
    ///
    /// # Errors
    /// There is no such document, it is not published, or the object store does not answer.
    pub async fn publication(&self, user: UserId, id: DocumentId) -> Result<Publication, ServiceError> {
        let found = self.0.database.publication(user, id).await?;
        let stored = found.ok_or(ServiceError::NotFound { what: "publication: the document is not published" })?;
        let token = token(self.publication_secret().await?, &stored.seed)?;
        let path = stored.is_opened_by(&token).then(|| format!("/p/{}", token.expose()));
        let StoredPublication { created_at, render, .. } = stored;
        Ok(Publication { path, created_at, last_render: render.map(|render| render.about) })
    }

    /// Takes a document's page away from everybody, at once.
    ///
    /// # Errors
    /// There is no such document, or it is not published.
    pub async fn unpublish_document(&self, user: UserId, id: DocumentId) -> Result<(), ServiceError> {
        match self.0.database.unpublish(user, id).await? {
            true => Ok(()),
            false => Err(ServiceError::NotFound { what: "publication: the document is not published" }),
        }
    }

    /// What somebody finds who comes with a link. `has` tells whether they have the page of that digest already.
    ///
    /// # Errors
    /// Too many come at once, or the object store does not answer.
    pub async fn published(&self, token: &PublicToken, has: impl Fn(&str) -> bool) -> Result<Found, ServiceError> {
        let publications = &self.0.publications;
        let _permit = publications.admission.enter().await?;
        // Another render may come between the two looks.
        for _ in 0..3 {
            let Some(page) = self.0.database.published_page(token).await? else { return Ok(Found::Nothing) };
            let Some(render) = page.render else { return Ok(Found::NotRendered) };
            let Some(key) = render.object_key else { return Ok(Found::NotRendered) };
            let digest = render.digest;
            if has(&digest) {
                return Ok(Found::Page(None, digest));
            }
            let of = (page.owner, digest);
            if let Some(page) = publications.being_sent(&of) {
                return Ok(Found::Page(Some(page), of.1));
            }
            let (owner, digest) = of;
            if let Some(html) = self.kept_page(&key, &digest).await? {
                let page = publications.send(owner, PublicPage { html, digest: digest.clone() })?;
                return Ok(Found::Page(Some(page), digest));
            }
        }
        Ok(Found::NotRendered)
    }

    /// The secret of which tokens are made: the same on all servers of an object store.
    async fn publication_secret(&self) -> Result<&[u8; SECRET_BYTES], ServiceError> {
        let objects = &self.0.objects;
        let load = || async {
            let mut new = [0_u8; SECRET_BYTES];
            getrandom::fill(&mut new)
                .map_err(|error| ServiceError::from(StoreError::Random { reason: error.to_string() }))?;
            match objects.get(SECRET_KEY, SECRET_BYTES as u64).await {
                Err(ObjectError::NotFound { .. }) => {
                    if objects.put_if_absent(SECRET_KEY, new.to_vec()).await? {
                        return Ok(new);
                    }
                }
                other => drop(other?),
            }
            let secret = objects.get(SECRET_KEY, SECRET_BYTES as u64).await?;
            let wrong = |_| ServiceError::internal(&std::io::Error::other("the secret of publications is damaged"));
            <[u8; SECRET_BYTES]>::try_from(secret).map_err(wrong)
        };
        self.0.publications.secret.get_or_try_init(load).await
    }
}

fn token(secret: &[u8; SECRET_BYTES], seed: &str) -> Result<PublicToken, ServiceError> {
    let token = blake3::keyed_hash(secret, seed.as_bytes());
    URL_SAFE_NO_PAD.encode(token.as_bytes()).parse().map_err(|error| ServiceError::internal(&error))
}
