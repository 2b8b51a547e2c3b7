//! Kernels: who has which, what is kept of them, and which server holds them.
//!
//! A kernel is held by one server at a time, which runs its cells, and by none while it hibernates. Whoever takes it
//! raises its *fence*, and whoever writes of it says the fence it was taken with: what a server writes that was thought
//! dead, and is not, changes nothing.

mod hold;
mod sweep;

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::Database;
use super::error::StoreError;
use super::rows::{Columns as _, json, micros, number};
use super::servers::Server;
use super::tiers::{lock_user, quotas_of};
use super::transaction::Write;
use crate::domain::{
    KernelAtRest, KernelHistory, KernelId, KernelInfo, KernelPackages, KernelSegment, KernelState, Page, PageRequest,
    QuotaExceeded, QuotaKind, UserId,
};
pub use hold::{Asked, KernelSave, KernelTake};

/// The number of the segment that holds a kernel's last state by itself.
const ALONE: i64 = -1;

/// A kernel to be kept.
#[derive(Debug, Clone)]
pub struct NewKernel {
    /// Whose it is.
    pub user: UserId,
    /// What is shown of it.
    pub info: KernelInfo,
    /// What it is woken from: no states, or those that it shares with others.
    pub rest: KernelAtRest,
}

/// Whether a kernel can be had here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nobody holds it, or a server that is dead.
    Free,
    /// Another server does.
    Elsewhere,
}

/// Why something could not be done with a kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The user has no such kernel, or no longer.
    #[error("there is no such kernel")]
    NotFound,
    /// The server does not hold it, or no longer: it was deleted, or taken by another one.
    #[error("the kernel is not held by this server any more")]
    Lost,
    /// No kernel names the object any more that this one was to share: it may be deleted.
    #[error("nobody names the object any more that the kernel was to share")]
    Unshared,
    /// The tier allows no more.
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
    /// The database's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for KernelError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The columns that [`read`] reads.
macro_rules! columns {
    () => {
        "id, name, environment_id, forked_from, limits, state, execution_count, checkpoint_id, size_bytes, created_at, \
         used_at, server_id"
    };
}
use columns;

impl Database {
    /// Keeps new kernels of one user, which `server` holds: all of them, or none where the tier does not allow so many. Two
    /// requests at once never pass together.
    ///
    /// # Errors
    /// [`KernelError::QuotaExceeded`].
    pub async fn insert_kernels(&self, server: &Server, new: &[NewKernel]) -> Result<(), KernelError> {
        let Some(user) = new.first().map(|kernel| kernel.user) else { return Ok(()) };
        let mut write = self.write().await?;
        let quotas = lock_user(&mut write, user).await?;
        let row = sqlx::query("SELECT COUNT(*) AS used FROM kernels WHERE user_id = $1");
        let used = row.bind(user.to_string()).fetch_one(write.on()).await?.count("used")?;
        let wanted = used.saturating_add(new.len() as u64);
        if wanted > quotas.kernels {
            return Err(QuotaExceeded { what: QuotaKind::Kernels, used, wanted, allowed: quotas.kernels }.into());
        }
        if let Some(over) = room(write.on(), user).await? {
            return Err(over.into());
        }
        for kernel in new {
            insert(&mut write, server, kernel).await?;
        }
        Ok(write.commit().await?)
    }

    /// Where the kernels of a user take more than the tier allows: how much.
    ///
    /// # Errors
    /// The database's.
    pub async fn kernel_room(&self, user: UserId) -> Result<Option<QuotaExceeded>, StoreError> {
        room(&mut *self.pool().acquire().await?, user).await
    }

    /// The kernels of a user, the eldest first, as they were when they were saved last.
    ///
    /// # Errors
    /// The database's.
    pub async fn kernels(&self, user: UserId, request: PageRequest) -> Result<Page<KernelInfo>, StoreError> {
        let total = sqlx::query("SELECT COUNT(*) AS total FROM kernels WHERE user_id = $1");
        let total = total.bind(user.to_string()).fetch_one(self.pool()).await?.count("total")?;
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM kernels WHERE user_id = $1 ORDER BY id LIMIT $2 OFFSET $3"
        ));
        let rows = rows.bind(user.to_string()).bind(i64::from(request.page_size())).bind(number(request.offset()));
        let rows = rows.fetch_all(self.pool()).await?;
        Ok(Page { items: rows.iter().map(read).collect::<Result<_, _>>()?, total, request })
    }

    /// A kernel of the user, as it was when it was saved last, and its checkpoints.
    ///
    /// # Errors
    /// The user has no such kernel.
    pub async fn kernel(&self, user: UserId, id: KernelId) -> Result<(KernelInfo, KernelHistory), KernelError> {
        let row = sqlx::query(concat!("SELECT ", columns!(), ", history FROM kernels WHERE id = $1 AND user_id = $2"));
        let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(self.pool()).await?;
        let row = row.ok_or(KernelError::NotFound)?;
        Ok((read(&row)?, row.json("history")?))
    }

    /// Those of these kernels that there are, whosever, as they were when they were saved last.
    ///
    /// # Errors
    /// The database's.
    pub async fn kernels_of_ids(&self, ids: &[KernelId]) -> Result<Vec<KernelInfo>, StoreError> {
        let rows = self.rows_of_ids(concat!("SELECT ", columns!(), " FROM kernels WHERE id"), ids).await?;
        rows.iter().map(read).collect()
    }

    /// Deletes a kernel; whichever server holds it is told when it writes of it. Answers the objects that nobody names
    /// any more.
    ///
    /// # Errors
    /// The user has no such kernel.
    pub async fn delete_kernel(&self, user: UserId, id: KernelId) -> Result<Vec<String>, KernelError> {
        let mut write = self.write().await?;
        let keys = keys_of(&mut write, id).await?;
        let delete = sqlx::query("DELETE FROM kernels WHERE id = $1 AND user_id = $2");
        let delete = delete.bind(id.to_string()).bind(user.to_string());
        if delete.execute(write.on()).await?.rows_affected() == 0 {
            return Err(KernelError::NotFound);
        }
        let unnamed = unnamed(&mut write, keys).await?;
        write.commit().await?;
        Ok(unnamed)
    }
}

/// Where the kernels of a user take more than the tier allows: how much. What forks share counts once.
async fn room(connection: &mut AnyConnection, user: UserId) -> Result<Option<QuotaExceeded>, StoreError> {
    let quotas = quotas_of(connection, user).await?;
    let sum =
        sqlx::query("SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) AS bytes FROM kernels WHERE user_id = $1");
    let at_most = sum.bind(user.to_string()).fetch_one(&mut *connection).await?.count("bytes")?;
    // Most often that is little, and what forks share need not be told apart.
    if at_most <= quotas.kernel_bytes {
        return Ok(None);
    }
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes FROM (SELECT DISTINCT s.object_key, s.size_bytes
            FROM kernel_segments s JOIN kernels k ON k.id = s.kernel_id WHERE k.user_id = $1) AS kept",
    );
    let used = row.bind(user.to_string()).fetch_one(connection).await?.count("bytes")?;
    let (what, allowed) = (QuotaKind::KernelBytes, quotas.kernel_bytes);
    Ok((used > allowed).then_some(QuotaExceeded { what, used, wanted: used, allowed }))
}

async fn insert(write: &mut Write, server: &Server, kernel: &NewKernel) -> Result<(), StoreError> {
    let NewKernel { user, info, rest } = kernel;
    let packages = keep_packages(write, rest.packages.as_ref()).await?;
    let stored = rest.segments.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.size_bytes));
    sqlx::query(
        "INSERT INTO kernels (id, user_id, name, environment_id, forked_from, limits, state, execution_count,
            size_bytes, stored_bytes, created_at, used_at, server_id, fence, image, packages, history, asked_limits)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, $14, $15, $16, $17)",
    )
    .bind(info.id.to_string())
    .bind(user.to_string())
    .bind(info.name.clone())
    .bind(info.environment_id.map(|id| id.to_string()))
    .bind(info.forked_from.map(|id| id.to_string()))
    .bind(json(&info.limits)?)
    .bind(KernelState::Idle.as_str())
    .bind(number(info.execution_count))
    .bind(number(info.size_bytes))
    .bind(number(stored))
    .bind(micros(info.created_at))
    .bind(micros(info.last_used_at))
    .bind(server.id().to_owned())
    .bind(rest.image.clone())
    .bind(packages)
    .bind(json(&rest.history)?)
    .bind(json(&rest.asked_limits)?)
    .execute(write.on())
    .await?;
    add_segments(write, info.id, 0, &rest.segments).await?;
    add_segments(write, info.id, ALONE, rest.alone.as_slice()).await
}

/// Keeps a set of packages under a key that says what it holds.
async fn keep_packages(write: &mut Write, packages: Option<&KernelPackages>) -> Result<Option<String>, StoreError> {
    let Some(packages) = packages else { return Ok(None) };
    let content = json(packages)?;
    let key = blake3::hash(content.as_bytes()).to_hex().to_string();
    // (Whoever purges holds the table: the row stays there until the kernel that names it does.)
    let insert = sqlx::query("INSERT INTO kernel_packages (key, content) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING");
    insert.bind(key.clone()).bind(content).execute(write.on()).await?;
    Ok(Some(key))
}

async fn add_segments(
    write: &mut Write,
    id: KernelId,
    from: i64,
    segments: &[KernelSegment],
) -> Result<(), StoreError> {
    for (segment, at) in segments.iter().zip(from..) {
        let insert = sqlx::query(
            "INSERT INTO kernel_segments (kernel_id, number, object_key, digest, size_bytes, states)
            VALUES ($1, $2, $3, $4, $5, $6)",
        );
        let insert = insert.bind(id.to_string()).bind(at).bind(segment.object_key.clone());
        let insert = insert.bind(segment.digest.clone()).bind(number(segment.size_bytes)).bind(number(segment.states));
        insert.execute(write.on()).await?;
    }
    Ok(())
}

async fn keys_of(write: &mut Write, id: KernelId) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query("SELECT object_key FROM kernel_segments WHERE kernel_id = $1");
    rows.bind(id.to_string()).fetch_all(write.on()).await?.iter().map(|row| row.text("object_key")).collect()
}

/// Those of the objects that no kernel names.
async fn unnamed(write: &mut Write, keys: Vec<String>) -> Result<Vec<String>, StoreError> {
    let mut unnamed = Vec::new();
    for key in keys {
        let named = sqlx::query("SELECT 1 AS one FROM kernel_segments WHERE object_key = $1 LIMIT 1");
        if named.bind(key.clone()).fetch_optional(write.on()).await?.is_none() {
            unnamed.push(key);
        }
    }
    Ok(unnamed)
}

fn read(row: &AnyRow) -> Result<KernelInfo, StoreError> {
    let state: KernelState = row.parsed("state")?;
    let is_held = row.maybe_text("server_id")?.is_some();
    Ok(KernelInfo {
        id: row.parsed("id")?,
        name: row.maybe_text("name")?,
        environment_id: row.maybe_parsed("environment_id")?,
        forked_from: row.maybe_parsed("forked_from")?,
        state: if state == KernelState::Dead || is_held { state } else { KernelState::Hibernated },
        execution_count: row.count("execution_count")?,
        checkpoint_id: row.maybe_parsed("checkpoint_id")?,
        limits: row.json("limits")?,
        size_bytes: row.count("size_bytes")?,
        saved: !is_held,
        created_at: row.time("created_at")?,
        last_used_at: row.time("used_at")?,
    })
}
