//! What documents' cells came to: which results are kept of whom, and where.
//!
//! A cell's row names the latest of its results. Whoever follows a document through these rows looks whether each result
//! came after the very one before it: rows of different runs of one document stand side by side.

mod sweep;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::Database;
use super::error::StoreError;
use super::rows::{Columns as _, json, micros, now, number, placeholders};
use super::tiers::lock_user;
use super::transaction::Write;
use crate::domain::{RenderSegment, SegmentId, UserId};

/// Cells that are asked for, or written, in one statement.
const CELLS_AT_ONCE: usize = 200;
/// Segments of one user: each costs a row, however small it is.
const MAX_SEGMENTS: usize = 2000;

/// Where a cell's result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownCell {
    /// The segment.
    pub segment: SegmentId,
    /// The place in it.
    pub place: u32,
    /// How long the cell ran, in milliseconds.
    pub wall_ms: u64,
}

/// A cell whose result is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellToKeep {
    /// Its key.
    pub key: String,
    /// How long it ran, in milliseconds.
    pub wall_ms: u64,
}

/// Where results of cells are, by the cells' keys, and the segments that they are in.
#[derive(Debug, Clone, Default)]
pub struct KnownCells {
    /// The cells.
    pub cells: HashMap<String, KnownCell>,
    /// The segments.
    pub segments: HashMap<SegmentId, RenderSegment>,
}

/// Why results can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// What they come after is not kept any more.
    #[error("the results that they come after are gone")]
    ParentGone,
    /// They take more than all that the user may keep.
    #[error("the results take more bytes than the tier allows")]
    TooLarge,
    /// The database's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for KeepError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The columns that [`read`] reads, of the table `render_segments s`.
macro_rules! columns {
    () => {
        "s.id, s.parent_id, s.parent_place, s.depth, s.is_based, s.reports_digest, s.reports_bytes, s.states_digest, \
         s.states_bytes, s.stateful"
    };
}

impl Database {
    /// Whether anything is kept of the user's renders.
    ///
    /// # Errors
    /// The database's.
    pub async fn has_renders(&self, user: UserId) -> Result<bool, StoreError> {
        let one = sqlx::query("SELECT 1 AS one FROM render_segments WHERE user_id = $1 LIMIT 1");
        Ok(one.bind(user.to_string()).fetch_optional(self.pool()).await?.is_some())
    }

    /// Where the results of the first of these cells are; the rest is left out where some are not there.
    ///
    /// # Errors
    /// The database's.
    pub async fn known_cells(&self, user: UserId, keys: &[String]) -> Result<KnownCells, StoreError> {
        let mut known = KnownCells::default();
        for keys in keys.chunks(CELLS_AT_ONCE) {
            let in_keys: Vec<_> = (2..keys.len() + 2).map(|number| format!("${number}")).collect();
            // Nothing but numbers of placeholders is put in.
            let select = format!(
                "SELECT c.cell_key, c.place, c.wall_ms, {} FROM render_cells c JOIN render_segments s ON s.id = c.segment_id
                WHERE c.user_id = $1 AND c.cell_key IN ({})",
                columns!(),
                in_keys.join(", ")
            );
            let mut select = sqlx::query(AssertSqlSafe(select)).bind(user.to_string());
            for key in keys {
                select = select.bind(key.clone());
            }
            let rows = select.fetch_all(self.pool()).await?;
            for row in &rows {
                let id: SegmentId = row.parsed("id")?;
                let cell = KnownCell { segment: id, place: place(row, "place")?, wall_ms: row.count("wall_ms")? };
                known.cells.insert(row.text("cell_key")?, cell);
                if let Entry::Vacant(unread) = known.segments.entry(id) {
                    unread.insert(read(row)?);
                }
            }
            if rows.len() < keys.len() {
                break;
            }
        }
        Ok(known)
    }

    /// A segment of the user, and those above it, the uppermost first. None where it is gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn render_chain(&self, user: UserId, id: SegmentId) -> Result<Option<Vec<RenderSegment>>, StoreError> {
        let select = concat!(
            "WITH RECURSIVE chain (id, parent_id) AS (
                SELECT id, parent_id FROM render_segments WHERE id = $1 AND user_id = $2
                UNION ALL SELECT up.id, up.parent_id FROM render_segments up JOIN chain ON up.id = chain.parent_id
            ) SELECT ",
            columns!(),
            " FROM render_segments s JOIN chain ON chain.id = s.id ORDER BY s.depth"
        );
        let rows = sqlx::query(select).bind(id.to_string()).bind(user.to_string()).fetch_all(self.pool()).await?;
        let chain = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(chain).filter(|chain| !chain.is_empty()))
    }

    /// Keeps a segment with the results of these cells. What was used longest ago goes where the tier allows no more.
    /// Answers the segments that are gone.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub async fn keep_cells(
        &self,
        user: UserId,
        segment: &RenderSegment,
        cells: &[CellToKeep],
    ) -> Result<Vec<SegmentId>, KeepError> {
        let mut write = self.write().await?;
        let allowed = lock_user(&mut write, user).await?.checkpoint_bytes;
        if segment.size_bytes() > allowed {
            return Err(KeepError::TooLarge);
        }
        if let Some((parent, _)) = segment.parent {
            touch(&mut write, user, parent).await?;
            let there = sqlx::query("SELECT 1 AS one FROM render_segments WHERE id = $1 AND user_id = $2");
            let there = there.bind(parent.to_string()).bind(user.to_string()).fetch_optional(write.on()).await?;
            there.ok_or(KeepError::ParentGone)?;
        }
        insert(&mut write, user, segment).await?;
        for (cells, at) in cells.chunks(CELLS_AT_ONCE).zip((0..).step_by(CELLS_AT_ONCE)) {
            let insert = format!(
                "INSERT INTO render_cells (user_id, cell_key, segment_id, place, wall_ms) VALUES {}
                ON CONFLICT (user_id, cell_key) DO UPDATE
                SET segment_id = excluded.segment_id, place = excluded.place, wall_ms = excluded.wall_ms",
                placeholders(cells.len(), 5)
            );
            let mut insert = sqlx::query(AssertSqlSafe(insert));
            for (CellToKeep { key, wall_ms }, place) in cells.iter().zip(at..) {
                insert = insert.bind(user.to_string()).bind(key.clone()).bind(segment.id.to_string());
                insert = insert.bind(number(place)).bind(number(*wall_ms));
            }
            insert.execute(write.on()).await?;
        }
        let mut gone = remove_unnamed(&mut write, user).await?;
        gone.extend(make_room(&mut write, user, segment, allowed).await?);
        write.commit().await?;
        Ok(gone)
    }

    /// Deletes a segment, and those that come after it. Answers all that are gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_render(&self, user: UserId, id: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
        let mut write = self.write().await?;
        lock_user(&mut write, user).await?;
        let gone = remove(&mut write, user, id).await?;
        write.commit().await?;
        Ok(gone)
    }

    /// Notes that a segment is used, and with it those above it.
    ///
    /// # Errors
    /// The database's.
    pub async fn touch_render(&self, user: UserId, id: SegmentId) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        touch(&mut write, user, id).await?;
        write.commit().await
    }
}

async fn insert(write: &mut Write, user: UserId, segment: &RenderSegment) -> Result<(), StoreError> {
    let now = micros(now());
    sqlx::query(
        "INSERT INTO render_segments (id, user_id, parent_id, parent_place, depth, is_based, reports_digest,
            reports_bytes, states_digest, states_bytes, size_bytes, created_at, used_at, stateful)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13)",
    )
    .bind(segment.id.to_string())
    .bind(user.to_string())
    .bind(segment.parent.map(|(id, _)| id.to_string()))
    .bind(segment.parent.map_or(0, |(_, place)| i64::from(place)))
    .bind(i64::from(segment.depth))
    .bind(i64::from(segment.is_based))
    .bind(segment.reports_digest.clone())
    .bind(number(segment.reports_bytes))
    .bind(segment.states_digest.clone())
    .bind(number(segment.states_bytes))
    .bind(number(segment.size_bytes()))
    .bind(now)
    .bind(json(&segment.stateful)?)
    .execute(write.on())
    .await?;
    Ok(())
}

async fn touch(write: &mut Write, user: UserId, id: SegmentId) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE render_segments SET used_at = $3 WHERE id IN (
            WITH RECURSIVE chain (id, parent_id) AS (
                SELECT id, parent_id FROM render_segments WHERE id = $1 AND user_id = $2
                UNION ALL SELECT up.id, up.parent_id FROM render_segments up JOIN chain ON up.id = chain.parent_id
            ) SELECT id FROM chain)",
    );
    update.bind(id.to_string()).bind(user.to_string()).bind(micros(now())).execute(write.on()).await?;
    Ok(())
}

/// Removes a segment and those that come after it.
async fn remove(write: &mut Write, user: UserId, id: SegmentId) -> Result<Vec<SegmentId>, StoreError> {
    let select = sqlx::query(
        "WITH RECURSIVE below (id) AS (
            SELECT id FROM render_segments WHERE id = $1 AND user_id = $2
            UNION ALL SELECT next.id FROM render_segments next JOIN below ON next.parent_id = below.id
        ) SELECT id FROM below",
    );
    let rows = select.bind(id.to_string()).bind(user.to_string()).fetch_all(write.on()).await?;
    let gone = rows.iter().map(|row| row.parsed("id")).collect::<Result<Vec<_>, _>>()?;
    let delete = sqlx::query("DELETE FROM render_segments WHERE id = $1 AND user_id = $2");
    delete.bind(id.to_string()).bind(user.to_string()).execute(write.on()).await?;
    Ok(gone)
}

/// Removes segments that no cell names, and that nothing comes after: what they hold was run anew.
async fn remove_unnamed(write: &mut Write, user: UserId) -> Result<Vec<SegmentId>, StoreError> {
    let mut gone = Vec::new();
    loop {
        let rows = sqlx::query(
            "SELECT s.id FROM render_segments s WHERE s.user_id = $1
                AND NOT EXISTS (SELECT 1 FROM render_cells c WHERE c.segment_id = s.id)
                AND NOT EXISTS (SELECT 1 FROM render_segments next WHERE next.parent_id = s.id)",
        );
        let rows = rows.bind(user.to_string()).fetch_all(write.on()).await?;
        if rows.is_empty() {
            return Ok(gone);
        }
        for row in &rows {
            gone.extend(remove(write, user, row.parsed("id")?).await?);
        }
    }
}

/// Removes what was used longest ago until the rest fits. What is new goes last.
async fn make_room(
    write: &mut Write,
    user: UserId,
    new: &RenderSegment,
    allowed: u64,
) -> Result<Vec<SegmentId>, StoreError> {
    // What comes after something was never used later than that.
    let rows = sqlx::query(
        "SELECT id, size_bytes FROM render_segments WHERE user_id = $1 ORDER BY used_at, depth DESC, created_at, id",
    );
    let rows = rows.bind(user.to_string()).fetch_all(write.on()).await?;
    let mut left = HashMap::new();
    let mut order: Vec<SegmentId> = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = row.parsed("id")?;
        left.insert(id, row.count("size_bytes")?);
        order.push(id);
    }
    let mut bytes = left.values().copied().fold(0, u64::saturating_add);
    let mut removed = Vec::new();
    for id in order {
        if bytes <= allowed && left.len() <= MAX_SEGMENTS {
            break;
        }
        if id == new.id || !left.contains_key(&id) {
            continue;
        }
        for gone in remove(write, user, id).await? {
            bytes = bytes.saturating_sub(left.remove(&gone).unwrap_or_default());
            removed.push(gone);
        }
    }
    Ok(removed)
}

fn place(row: &AnyRow, column: &str) -> Result<u32, StoreError> {
    let place = row.count(column)?;
    let corrupt =
        |error: std::num::TryFromIntError| StoreError::Corrupt { column: column.to_owned(), reason: error.to_string() };
    u32::try_from(place).map_err(corrupt)
}

fn read(row: &AnyRow) -> Result<RenderSegment, StoreError> {
    let parent: Option<SegmentId> = row.maybe_parsed("parent_id")?;
    let parent_place = place(row, "parent_place")?;
    Ok(RenderSegment {
        id: row.parsed("id")?,
        parent: parent.map(|parent| (parent, parent_place)),
        depth: place(row, "depth")?,
        is_based: row.flag("is_based")?,
        reports_digest: row.text("reports_digest")?,
        reports_bytes: row.count("reports_bytes")?,
        states_digest: row.text("states_digest")?,
        states_bytes: row.count("states_bytes")?,
        stateful: row.json("stateful")?,
    })
}
