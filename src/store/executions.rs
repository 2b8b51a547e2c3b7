//! Executions: cells that ran, and for a shorter time what they showed.
//!
//! Ids sort by the time at which they were made, which is when the cell began: what is too old is found by its id.

mod filter;
mod retention;
mod stats;

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::Database;
use super::error::StoreError;
use super::rows::{Columns as _, clean, micros, number, placeholders};
use super::transaction::Write;
use crate::domain::{
    Execution, ExecutionFilter, ExecutionId, ExecutionOutcome, KeptOutputs, Page, PageRequest, SortOrder, UserId,
};
use filter::Condition;

/// Of a cell's code so many bytes are kept.
const MAX_CODE_BYTES: usize = 1024;
/// A label, or the name of an exception's class, is not longer.
const MAX_NAME_BYTES: usize = 200;
/// Rows of one statement: few different statements, so that the database knows them already.
const AT_ONCE: [usize; 3] = [64, 8, 1];

/// An execution to be recorded.
#[derive(Debug, Clone)]
pub struct NewExecution {
    /// What is known of it.
    pub execution: Execution,
    /// What is kept of that which it showed.
    pub outputs: Option<NewOutputs>,
}

/// What a cell showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOutputs {
    /// JSON of a list of outputs.
    pub json: String,
    /// Whether there was more.
    pub is_truncated: bool,
}

/// The columns that [`read`] reads, in the order in which they are written.
macro_rules! columns {
    () => {
        "id, user_id, kind, outcome, ename, environment_id, document_id, kernel_id, fuel_used, wall_us, \
         peak_memory_bytes, output_bytes, backend, started_at, completed_at, cell_index, cell_label, cell_name, code"
    };
}
/// How many they are.
const COLUMNS: usize = 19;

impl Database {
    /// Records executions, all or none, but for those of users who are gone. One that is there already stays as it is.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_executions(&self, new: &[NewExecution]) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let users = present_users(&mut write, new).await?;
        let new: Vec<_> = new.iter().filter(|new| users.contains(&new.execution.user_id.to_string())).collect();
        for rows in pieces(&new) {
            let insert = format!(
                "INSERT INTO executions ({}) VALUES {} ON CONFLICT (id) DO NOTHING",
                columns!(),
                placeholders(rows.len(), COLUMNS)
            );
            // All that was put in are numbers of placeholders.
            let mut insert = sqlx::query(AssertSqlSafe(insert));
            for NewExecution { execution, .. } in rows {
                insert = bind(insert, execution);
            }
            insert.execute(write.on()).await?;
        }
        let outputs: Vec<_> = new.iter().filter_map(|new| Some((&new.execution, new.outputs.as_ref()?))).collect();
        for rows in pieces(&outputs) {
            let insert = format!(
                "INSERT INTO execution_outputs (execution_id, user_id, size_bytes, is_truncated, outputs) VALUES {}
                ON CONFLICT (execution_id) DO NOTHING",
                placeholders(rows.len(), 5)
            );
            let mut insert = sqlx::query(AssertSqlSafe(insert));
            for (execution, outputs) in rows {
                insert = insert
                    .bind(execution.id.to_string())
                    .bind(execution.user_id.to_string())
                    .bind(number(outputs.json.len() as u64))
                    .bind(i64::from(outputs.is_truncated))
                    .bind(outputs.json.clone());
            }
            insert.execute(write.on()).await?;
        }
        write.commit().await
    }

    /// The user's executions, by when they began; without what they showed.
    ///
    /// # Errors
    /// The database's.
    pub async fn executions(
        &self,
        user: UserId,
        filter: &ExecutionFilter,
        order: SortOrder,
        request: PageRequest,
    ) -> Result<Page<Execution>, StoreError> {
        let condition = Condition::of(user, filter);
        let total = format!("SELECT COUNT(*) AS total FROM executions WHERE {}", condition.sql);
        // All that was put in are words of this folder; so it is below.
        let total = condition.bind(sqlx::query(AssertSqlSafe(total)));
        let total = total.fetch_one(self.pool()).await?.count("total")?;
        let direction = match order {
            SortOrder::Asc => "ASC",
            SortOrder::Desc => "DESC",
        };
        let rows = format!(
            "SELECT {} FROM executions WHERE {} ORDER BY started_at {direction}, id {direction} LIMIT ${} OFFSET ${}",
            columns!(),
            condition.sql,
            condition.next(),
            condition.next() + 1
        );
        let rows = condition.bind(sqlx::query(AssertSqlSafe(rows)));
        let rows = rows.bind(i64::from(request.page_size())).bind(number(request.offset()));
        let rows = rows.fetch_all(self.pool()).await?;
        Ok(Page { items: rows.iter().map(read).collect::<Result<_, _>>()?, total, request })
    }

    /// An execution of the user, and what is kept of that which it showed.
    ///
    /// # Errors
    /// The user has no such execution, or no longer.
    pub async fn execution(
        &self,
        user: UserId,
        id: ExecutionId,
    ) -> Result<(Execution, Option<KeptOutputs>), StoreError> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM executions WHERE id = $1 AND user_id = $2"));
        let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(self.pool()).await?;
        let execution = read(&row.ok_or(StoreError::Missing { what: "execution" })?)?;
        let row = sqlx::query("SELECT is_truncated, outputs FROM execution_outputs WHERE execution_id = $1");
        let row = row.bind(id.to_string()).fetch_optional(self.pool()).await?;
        let outputs =
            row.map(|row| Ok(KeptOutputs { outputs: row.json("outputs")?, is_truncated: row.flag("is_truncated")? }));
        Ok((execution, outputs.transpose().map_err(|error: StoreError| error)?))
    }
}

/// Those of the users that are there, who stay until the end of the transaction.
async fn present_users(write: &mut Write, new: &[NewExecution]) -> Result<Vec<String>, StoreError> {
    let mut users: Vec<_> = new.iter().map(|new| new.execution.user_id).collect();
    users.sort_unstable();
    users.dedup();
    let mut present = Vec::new();
    for user in users {
        let select = write
            .dialect()
            .pick("SELECT id FROM users WHERE id = $1", "SELECT id FROM users WHERE id = $1 FOR KEY SHARE");
        let row = sqlx::query(select).bind(user.to_string()).fetch_optional(write.on()).await?;
        present.extend(row.map(|row| row.text("id")).transpose()?);
    }
    Ok(present)
}

/// The items in pieces of [`AT_ONCE`].
fn pieces<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = AT_ONCE.into_iter().find(|size| *size <= items.len())?;
        let (piece, rest) = items.split_at(size);
        items = rest;
        Some(piece)
    })
}

type Statement<'a> = sqlx::query::Query<'a, sqlx::Any, sqlx::any::AnyArguments>;

fn bind<'a>(insert: Statement<'a>, execution: &Execution) -> Statement<'a> {
    let wall_us = (execution.wall_ms * 1e3).round() as i64;
    insert
        .bind(execution.id.to_string())
        .bind(execution.user_id.to_string())
        .bind(execution.kind.as_str())
        .bind(execution.outcome.kind.as_str())
        .bind(execution.outcome.ename.as_ref().map(|ename| clean(ename, MAX_NAME_BYTES)))
        .bind(execution.environment_id.map(|id| id.to_string()))
        .bind(execution.document_id.map(|id| id.to_string()))
        .bind(execution.kernel_id.map(|id| id.to_string()))
        .bind(number(execution.fuel_used))
        .bind(wall_us)
        .bind(number(execution.peak_memory_bytes))
        .bind(number(execution.output_bytes))
        .bind(execution.backend.as_str())
        .bind(micros(execution.started_at))
        .bind(micros(execution.completed_at))
        .bind(execution.cell_index.map(number))
        .bind(execution.cell_label.as_ref().map(|label| clean(label, MAX_NAME_BYTES)))
        .bind(clean(&execution.cell_name, MAX_NAME_BYTES))
        .bind(clean(&execution.code, MAX_CODE_BYTES))
}

/// The execution in a row.
fn read(row: &AnyRow) -> Result<Execution, StoreError> {
    Ok(Execution {
        id: row.parsed("id")?,
        user_id: row.parsed("user_id")?,
        kind: row.parsed("kind")?,
        environment_id: row.maybe_parsed("environment_id")?,
        document_id: row.maybe_parsed("document_id")?,
        kernel_id: row.maybe_parsed("kernel_id")?,
        cell_index: row.maybe_int("cell_index")?.map(i64::unsigned_abs),
        cell_label: row.maybe_text("cell_label")?,
        cell_name: row.text("cell_name")?,
        code: row.text("code")?,
        outcome: ExecutionOutcome { kind: row.parsed("outcome")?, ename: row.maybe_text("ename")? },
        fuel_used: row.count("fuel_used")?,
        wall_ms: millis(row.count("wall_us")?),
        peak_memory_bytes: row.count("peak_memory_bytes")?,
        output_bytes: row.count("output_bytes")?,
        backend: row.parsed("backend")?,
        started_at: row.time("started_at")?,
        completed_at: row.time("completed_at")?,
    })
}

/// Milliseconds of microseconds, as they are shown.
#[expect(clippy::cast_precision_loss, reason = "2^52 microseconds are 142 years")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}
