//! The audit log: it is written with what it tells of, in one transaction, and never changed.

use sqlx::any::AnyRow;
use uuid::Uuid;

use super::Database;
use super::error::StoreError;
use super::rows::{Columns as _, clean, json, micros, now, number};
use super::transaction::Write;
use crate::domain::{Actor, AuditEntry, AuditFilter, Page, PageRequest};

/// What an act is done to is not named at greater length.
const MAX_SUBJECT_BYTES: usize = 500;

/// Something to be written down.
#[derive(Debug, Clone, Default)]
pub struct Act {
    /// What is done, such as `tier.change`.
    pub act: &'static str,
    /// To what, such as `tier FREE`.
    pub subject: String,
    /// What it was before.
    pub before: Option<serde_json::Value>,
    /// What it is since.
    pub after: Option<serde_json::Value>,
}

impl Database {
    /// Writes down what is done elsewhere than in the database.
    ///
    /// # Errors
    /// The database's.
    pub async fn write_down(&self, actor: &Actor, act: Act) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        note(&mut write, actor, act).await?;
        write.commit().await
    }

    /// The audit log, the latest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn audit(&self, filter: &AuditFilter, request: PageRequest) -> Result<Page<AuditEntry>, StoreError> {
        // Each condition lets all through where nothing is said: one text for the database to know.
        const WHERE: &str = "($1 = '' OR act = $1 OR act LIKE $2) AND ($3 = '' OR subject = $3)
            AND ($4 = '' OR actor_id = $4) AND at >= $5 AND at < $6";
        let act = filter.act.clone().unwrap_or_default();
        let family = format!("{}.%", act.replace(['%', '_', '\\'], ""));
        let (subject, actor) = (filter.subject.clone().unwrap_or_default(), filter.actor);
        let actor = actor.map(|actor| actor.to_string()).unwrap_or_default();
        let from = filter.from.map_or(i64::MIN, micros);
        let until = filter.until.map_or(i64::MAX, micros);
        macro_rules! asked {
            ($sql:expr) => {
                sqlx::query(sqlx::AssertSqlSafe($sql))
                    .bind(act.clone())
                    .bind(family.clone())
                    .bind(subject.clone())
                    .bind(actor.clone())
                    .bind(from)
                    .bind(until)
            };
        }
        let total = asked!(format!("SELECT COUNT(*) AS total FROM audit WHERE {WHERE}"));
        let total = total.fetch_one(self.pool()).await?.count("total")?;
        let rows = asked!(format!(
            "SELECT id, at, actor_id, act, subject, request_id, before_act, after_act FROM audit WHERE {WHERE}
            ORDER BY at DESC, id DESC LIMIT $7 OFFSET $8"
        ));
        let rows = rows.bind(i64::from(request.page_size())).bind(number(request.offset()));
        let rows = rows.fetch_all(self.pool()).await?;
        Ok(Page { items: rows.iter().map(read).collect::<Result<_, _>>()?, total, request })
    }
}

/// Writes an act down in the transaction that does it.
pub(super) async fn note(write: &mut Write, actor: &Actor, act: Act) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO audit (id, at, actor_id, act, subject, request_id, before_act, after_act)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    insert
        .bind(Uuid::now_v7().to_string())
        .bind(micros(now()))
        .bind(actor.user.map(|user| user.to_string()))
        .bind(act.act)
        .bind(clean(&act.subject, MAX_SUBJECT_BYTES))
        .bind(actor.request_id.clone())
        .bind(act.before.as_ref().map(json).transpose()?)
        .bind(act.after.as_ref().map(json).transpose()?)
        .execute(write.on())
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        id: row.parsed("id")?,
        at: row.time("at")?,
        actor_id: row.maybe_parsed("actor_id")?,
        act: row.text("act")?,
        subject: row.text("subject")?,
        request_id: row.maybe_text("request_id")?,
        before: row.maybe_json("before_act")?,
        after: row.maybe_json("after_act")?,
    })
}
