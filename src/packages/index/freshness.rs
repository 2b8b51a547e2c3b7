//! How long an answer may be used, and how to ask whether it still may (RFC 9111, what of it matters to one client).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{
    AGE, CACHE_CONTROL, DATE, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED,
};
use serde::{Deserialize, Serialize};

/// No server is believed for longer: what is yanked should be noticed in the end.
const MAX_FRESH: Duration = Duration::from_secs(24 * 3600);
/// How long a project that an index did not know is not asked for again, at most.
const MAX_ABSENT: Duration = Duration::from_secs(60);

/// When an answer was made and until when it is fresh, and what it is known by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Freshness {
    since: u64,
    until: u64,
    etag: Option<String>,
    last_modified: Option<String>,
    /// Whether it may be kept at all.
    #[serde(skip, default = "yes")]
    pub(super) storable: bool,
}

fn yes() -> bool {
    true
}

/// Seconds since 1970.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Freshness {
    /// What an answer's headers say; `assumed` where they say nothing.
    pub(super) fn of(headers: &HeaderMap, assumed: Duration) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let directives: Vec<String> = headers
            .get_all(CACHE_CONTROL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|directive| directive.trim().to_ascii_lowercase())
            .collect();
        let has = |name: &str| directives.iter().any(|directive| directive.split('=').next() == Some(name));
        let max_age = directives.iter().find_map(|directive| directive.strip_prefix("max-age="));
        let fresh = if has("no-store") || has("no-cache") {
            0
        } else if let Some(seconds) = max_age {
            // What is no number makes the answer stale.
            let age = text(AGE).and_then(|age| age.trim().parse().ok()).unwrap_or(0);
            seconds.trim_matches('"').parse::<u64>().unwrap_or(0).saturating_sub(age)
        } else if let Some(expires) = text(EXPIRES) {
            let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp().as_second());
            let now = text(DATE).and_then(date).or_else(|| i64::try_from(unix_seconds()).ok());
            let left = date(expires).zip(now).map_or(0, |(expires, now)| expires.saturating_sub(now));
            u64::try_from(left).unwrap_or(0)
        } else {
            assumed.as_secs()
        };
        let since = unix_seconds();
        Self {
            since,
            until: since + fresh.min(MAX_FRESH.as_secs()),
            etag: text(ETAG).map(str::to_owned),
            last_modified: text(LAST_MODIFIED).map(str::to_owned),
            storable: !has("no-store"),
        }
    }

    /// The same, for the answer that there is nothing.
    pub(super) fn of_absence(headers: &HeaderMap, assumed: Duration) -> Self {
        let freshness = Self::of(headers, assumed);
        let until = freshness.until.min(freshness.since + MAX_ABSENT.as_secs());
        Self { until, etag: None, last_modified: None, ..freshness }
    }

    /// After the server said that the answer still holds: what it says now, and what it said before where it is silent.
    pub(super) fn renewed(self, headers: &HeaderMap, assumed: Duration) -> Self {
        let is_silent = !headers.contains_key(CACHE_CONTROL) && !headers.contains_key(EXPIRES);
        let lifetime = Duration::from_secs(self.until.saturating_sub(self.since));
        let new = Self::of(headers, if is_silent { lifetime } else { assumed });
        Self { etag: new.etag.or(self.etag), last_modified: new.last_modified.or(self.last_modified), ..new }
    }

    /// Whether the answer can be used without asking. One from the future can't: the clock was set back.
    pub(super) fn is_fresh(&self) -> bool {
        (self.since..self.until).contains(&unix_seconds())
    }

    /// The headers that ask whether the answer still holds.
    pub(super) fn conditions(&self) -> HeaderMap {
        let value = |text: &Option<String>| text.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
        let etag = value(&self.etag).map(|etag| (IF_NONE_MATCH, etag));
        let modified = value(&self.last_modified).map(|modified| (IF_MODIFIED_SINCE, modified));
        etag.into_iter().chain(modified).collect()
    }
}
