//! Schedules: when a document is rendered without anybody asking.

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use super::{DocumentId, EnvironmentId, JobId, JobState, ScheduleId, UserId};

/// When something happens, as cron has it: five fields (minute, hour, day of the month, month, day of the week) or
/// `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
///
/// By the clock of a time zone, where some nights have an hour twice and some lack one: what happens at one time of day
/// happens once in each, at the first of two times, or right after the gap. What happens at several (`*`, `*/20`, `0,30`)
/// follows the clock: twice in the one night, and left out in the other.
#[derive(Clone)]
pub struct CronExpression {
    text: String,
    cron: Box<Cron>,
}

/// Text that is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{reason}; an expression has five fields, like `30 6 * * MON-FRI`, or is `@hourly`, `@daily`, `@weekly`, `@monthly` or `@yearly`"
)]
pub struct BadCronExpression {
    reason: String,
}

impl CronExpression {
    const MAX_BYTES: usize = 100;
    /// The next time may lie in a gap that begins so much later.
    const FARTHEST_GAP: SignedDuration = SignedDuration::from_hours(72);
    /// What cron's calendar repeats after.
    const STRETCH_DAYS: i64 = 8 * 366;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first time after `after`; none where there never is one. It is looked for for up to 3,000 years, which may
    /// take a fifth of a second.
    pub fn next_after(&self, zone: &TimeZoneName, after: Timestamp) -> Option<Timestamp> {
        let start = after.to_zoned(zone.zone.clone());
        // A zone that leaves out a whole day (as Samoa's did in 2011) ends the search: it goes on behind the day.
        let behind = || {
            let set = zone.zone.following(after).next()?.timestamp();
            let is_near = set.duration_since(after) < Self::FARTHEST_GAP;
            is_near.then(|| self.cron.find_next_occurrence(&set.to_zoned(zone.zone.clone()), true).ok()).flatten()
        };
        let next = self.next_zoned(&start).or_else(behind);
        next.map(|next| next.timestamp())
    }

    /// The shortest time between two times after `after` by a clock that is never set, in eight years; none where there
    /// are no two.
    pub fn shortest_gap(&self, after: Timestamp) -> Option<SignedDuration> {
        let mut time = self.next_zoned(&after.to_zoned(TimeZone::UTC))?;
        let end = time.checked_add(Span::new().days(Self::STRETCH_DAYS)).ok()?;
        let mut shortest: Option<SignedDuration> = None;
        let mut note = |gap: SignedDuration| shortest = Some(shortest.map_or(gap, |shortest| shortest.min(gap)));
        // The times of day are the same each day. The first day may have begun already.
        let midnight = time.date().tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?;
        time = self.next_zoned(&midnight.checked_sub(Span::new().seconds(1)).ok()?)?;
        let day = time.date();
        let first = time.time();
        let mut last = first;
        while let Some(next) = self.next_zoned(&time).filter(|next| next.date() == day) {
            note(next.duration_since(&time));
            (last, time) = (next.time(), next);
        }
        // From the last of a day to the first of the next: only where there are days in a row.
        while let Some(next) = self.next_zoned(&time).filter(|next| *next < end) {
            note(next.duration_since(&time));
            if next.date() == time.date().tomorrow().ok()? {
                break;
            }
            time = at(&next, last)?;
        }
        shortest
    }

    fn next_zoned(&self, after: &Zoned) -> Option<Zoned> {
        self.cron.find_next_occurrence(after, false).ok()
    }
}

fn at(day: &Zoned, time: Time) -> Option<Zoned> {
    day.with().time(time).build().ok()
}

impl FromStr for CronExpression {
    type Err = BadCronExpression;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |reason: &str| BadCronExpression { reason: reason.to_owned() };
        let text = text.trim();
        if text.len() > Self::MAX_BYTES || !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(bad("it is too long, or has characters that none has"));
        }
        let fields: Vec<_> = text.split_whitespace().collect();
        let plain = |field: &str| field.bytes().all(|b| b.is_ascii_digit() || b"*/,-".contains(&b));
        let whole = |field: &&str| field.split(',').all(|part| !part.is_empty() && part != "+");
        match fields.as_slice() {
            [name] if name.starts_with('@') => {}
            [minute, hour, ..] if fields.len() == 5 => {
                if !plain(minute) || !plain(hour) {
                    return Err(bad("minutes and hours are numbers, lists, ranges and steps of them"));
                }
                if !fields.iter().all(whole) {
                    return Err(bad("a part of a list is empty"));
                }
            }
            _ => return Err(bad("it has another number of fields")),
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| bad(error.to_string().trim_end_matches('.')))?;
        Ok(Self { text: text.to_owned(), cron: Box::new(cron) })
    }
}

impl fmt::Display for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CronExpression").field(&self.text).finish()
    }
}

impl PartialEq for CronExpression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A time zone of the IANA database: `Europe/Berlin`, `UTC`.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeZoneName {
    name: String,
    zone: TimeZone,
}

/// Text that names no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such time zone; one is named like `Europe/Berlin` or `UTC`")]
pub struct BadTimeZone;

impl TimeZoneName {
    const MAX_BYTES: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl Default for TimeZoneName {
    fn default() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }
}

impl FromStr for TimeZoneName {
    type Err = BadTimeZone;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_BYTES {
            return Err(BadTimeZone);
        }
        let zone = TimeZone::get(text).map_err(|_| BadTimeZone)?;
        let name = zone.iana_name().filter(|_| !zone.is_unknown()).ok_or(BadTimeZone)?.to_owned();
        Ok(Self { name, zone })
    }
}

impl fmt::Display for TimeZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Shown and read as text.
macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

as_text!(CronExpression, TimeZoneName);

/// When a document is rendered without anybody asking, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Schedule {
    /// The id.
    pub id: ScheduleId,
    /// Whose it is.
    #[serde(skip)]
    #[schema(ignore)]
    pub user_id: UserId,
    /// What is rendered.
    pub document_id: DocumentId,
    /// When: five fields, or `@daily` and its like.
    #[schema(value_type = String)]
    pub cron: CronExpression,
    /// By the clock of which time zone.
    #[schema(value_type = String)]
    pub time_zone: TimeZoneName,
    /// The environment to run it in; none: as the document has it.
    pub environment_id: Option<EnvironmentId>,
    /// Whether all cells are run, also those whose result is known.
    pub fresh: bool,
    /// Whether it runs at all.
    pub enabled: bool,
    /// Why the server has disabled it.
    pub disabled_reason: Option<String>,
    /// When it is due next; none while it is disabled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_run_at: Option<Timestamp>,
    /// When a job was made for it last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_run_at: Option<Timestamp>,
    /// That job.
    pub last_job_id: Option<JobId>,
    /// How far that job is, as long as it is kept.
    pub last_outcome: Option<JobState>,
    /// Why the last time it was due no job was made; none where one was.
    pub last_skipped: Option<String>,
    /// Times in a row that came to nothing. After some the server disables it.
    pub failures: u32,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}
