//! What executions came to together.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::filter::Condition;
use super::millis;
use crate::domain::{ExecutionFilter, ExecutionGroup, ExecutionStats, OutcomeKind, Page, PageRequest, UserId};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, number};

/// Seconds of a day.
const DAY_S: i64 = 86_400;

impl Database {
    /// What the user's executions came to, by what they have in common: the group that was used last comes first.
    ///
    /// # Errors
    /// The database's.
    pub async fn execution_stats(
        &self,
        user: UserId,
        filter: &ExecutionFilter,
        by: ExecutionGroup,
        request: PageRequest,
    ) -> Result<Page<ExecutionStats>, StoreError> {
        let condition = Condition::of(user, filter);
        let (sql, group, limit) = (&condition.sql, group(by), condition.next());
        let outcomes: Vec<_> = OutcomeKind::ALL
            .iter()
            .map(|kind| format!("CAST(SUM(CASE WHEN outcome = '{kind}' THEN 1 ELSE 0 END) AS BIGINT) AS {kind}"))
            .collect();
        // All that was put in are words of this folder; so it is below.
        let rows = format!(
            "SELECT {group} AS shared, COUNT(*) AS executions, {}, CAST(SUM(fuel_used) AS BIGINT) AS fuel_used,
                CAST(SUM(wall_us) AS BIGINT) AS wall_us, MAX(wall_us) AS max_wall_us,
                MAX(peak_memory_bytes) AS peak_memory_bytes, CAST(SUM(output_bytes) AS BIGINT) AS output_bytes,
                MAX(started_at) AS last_started_at, COUNT(*) OVER () AS total
            FROM executions WHERE {sql} GROUP BY {group} ORDER BY last_started_at DESC, shared LIMIT ${limit} OFFSET ${}",
            outcomes.join(", "),
            limit + 1
        );
        let rows = condition.bind(sqlx::query(AssertSqlSafe(rows)));
        let rows = rows.bind(i64::from(request.page_size())).bind(number(request.offset()));
        let rows = rows.fetch_all(self.pool()).await?;
        let total = match rows.first() {
            Some(row) => row.count("total")?,
            None if request.page() == 1 => 0,
            None => {
                let total = format!("SELECT COUNT(DISTINCT {group}) AS total FROM executions WHERE {sql}");
                let total = condition.bind(sqlx::query(AssertSqlSafe(total)));
                total.fetch_one(self.pool()).await?.count("total")?
            }
        };
        let shared = rows.iter().map(|row| row.text("shared")).collect::<Result<Vec<_>, _>>()?;
        let medians = self.medians(&condition, group, &shared).await?;
        let items = rows.iter().map(|row| read(row, by, &medians)).collect::<Result<_, _>>()?;
        Ok(Page { items, total, request })
    }

    /// The middle times of some groups: neither database lacks window functions, and only one has a median.
    async fn medians(
        &self,
        condition: &Condition,
        group: &str,
        shared: &[String],
    ) -> Result<HashMap<String, u64>, StoreError> {
        if shared.is_empty() {
            return Ok(HashMap::new());
        }
        let places: Vec<_> = (0..shared.len()).map(|number| format!("${}", condition.next() + number)).collect();
        let rows = format!(
            "SELECT shared, wall_us FROM (
                SELECT {group} AS shared, wall_us,
                    ROW_NUMBER() OVER (PARTITION BY {group} ORDER BY wall_us) AS place,
                    COUNT(*) OVER (PARTITION BY {group}) AS executions
                FROM executions WHERE {} AND {group} IN ({})
            ) AS ordered WHERE place = (executions + 1) / 2",
            condition.sql,
            places.join(", ")
        );
        let mut rows = condition.bind(sqlx::query(AssertSqlSafe(rows)));
        for shared in shared {
            rows = rows.bind(shared.clone());
        }
        let rows = rows.fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((row.text("shared")?, row.count("wall_us")?))).collect()
    }
}

/// What executions have in common, as a text that is never null.
fn group(by: ExecutionGroup) -> &'static str {
    match by {
        ExecutionGroup::Document => "COALESCE(document_id, '')",
        ExecutionGroup::Environment => "COALESCE(environment_id, '')",
        ExecutionGroup::Kind => "kind",
        ExecutionGroup::Day => "CAST(started_at / 86400000000 AS TEXT)",
    }
}

fn read(row: &AnyRow, by: ExecutionGroup, medians: &HashMap<String, u64>) -> Result<ExecutionStats, StoreError> {
    let shared = row.text("shared")?;
    let mut outcomes = BTreeMap::new();
    for kind in OutcomeKind::ALL {
        let count = row.count(kind.as_str())?;
        if count > 0 {
            outcomes.insert(*kind, count);
        }
    }
    let median_us = medians.get(&shared).copied().unwrap_or_default();
    Ok(ExecutionStats {
        group: match by {
            ExecutionGroup::Day => Some(day(&shared)),
            _ => Some(shared).filter(|shared| !shared.is_empty()),
        },
        executions: row.count("executions")?,
        outcomes,
        fuel_used: row.count("fuel_used")?,
        wall_ms: millis(row.count("wall_us")?),
        median_wall_ms: millis(median_us),
        max_wall_ms: millis(row.count("max_wall_us")?),
        peak_memory_bytes: row.count("peak_memory_bytes")?,
        output_bytes: row.count("output_bytes")?,
        last_started_at: row.time("last_started_at")?,
    })
}

/// The day of that number since 1970.
fn day(number: &str) -> String {
    let seconds = number.parse::<i64>().unwrap_or_default().saturating_mul(DAY_S);
    let at = Timestamp::from_second(seconds).unwrap_or_default();
    at.to_zoned(TimeZone::UTC).date().to_string()
}
