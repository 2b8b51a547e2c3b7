//! The side of the server that holds a kernel: taking it, saving it, letting it go.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{ALONE, KernelError, Reach, add_segments, columns, keep_packages, keys_of, read, unnamed};
use crate::domain::{
    CheckpointId, KernelAtRest, KernelHistory, KernelId, KernelInfo, KernelPackages, KernelSegment, KernelState, UserId,
};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, json, micros, number};
use crate::store::servers::Server;

/// A kernel that was taken.
#[derive(Debug, Clone)]
pub struct KernelTake {
    /// Whose it is.
    pub user: UserId,
    /// What is shown of it.
    pub info: KernelInfo,
    /// What it is woken from.
    pub rest: KernelAtRest,
    /// To be said with all that is written of it.
    pub fence: i64,
}

/// What is to be kept of a kernel from now on.
#[derive(Debug, Clone)]
pub struct KernelSave {
    /// The kernel.
    pub id: KernelId,
    /// What it was taken with.
    pub fence: i64,
    /// How it is: idle, hibernated, or dead.
    pub state: KernelState,
    /// Whether the server lets it go.
    pub released: bool,
    /// Cells so far.
    pub execution_count: u64,
    /// The checkpoint that it is at.
    pub checkpoint_id: Option<CheckpointId>,
    /// Bytes in memory.
    pub size_bytes: u64,
    /// When it was used last.
    pub used_at: Timestamp,
    /// The digest of the image that it began in, where that may be another than before.
    pub image: Option<String>,
    /// Which of its states are what.
    pub history: KernelHistory,
    /// So many of its segments stay.
    pub kept_segments: u64,
    /// And these come behind them.
    pub new_segments: Vec<KernelSegment>,
    /// The object among these that was written for another kernel, which must name it at this moment.
    pub shared: Option<String>,
    /// Its last state by itself, where it is kept so; another one than before is forgotten.
    pub alone: Option<KernelSegment>,
}

/// What another server wants of the one that holds a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// That it lets it go.
    Release,
    /// That it cancels the cell that runs.
    Interrupt,
}

impl Asked {
    fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Interrupt => "interrupt",
        }
    }
}

impl Database {
    /// Takes a kernel of the user that no server holds which lives. Where one does, it is asked to let it go: try again.
    ///
    /// # Errors
    /// The user has no such kernel.
    pub async fn take_kernel(
        &self,
        server: &Server,
        user: UserId,
        id: KernelId,
    ) -> Result<Result<KernelTake, Reach>, KernelError> {
        let mut write = self.write().await?;
        let select = write.dialect().pick(
            "SELECT server_id FROM kernels WHERE id = $1 AND user_id = $2",
            "SELECT server_id FROM kernels WHERE id = $1 AND user_id = $2 FOR UPDATE",
        );
        let row = sqlx::query(select).bind(id.to_string()).bind(user.to_string()).fetch_optional(write.on()).await?;
        let holder = row.ok_or(KernelError::NotFound)?.maybe_text("server_id")?;
        if let Some(holder) = holder.filter(|holder| holder != server.id())
            && self.is_alive(&mut write, &holder).await?
        {
            drop(write);
            self.ask_for_kernel(id, Asked::Release).await?;
            return Ok(Err(Reach::Elsewhere));
        }
        let update = sqlx::query(concat!(
            "UPDATE kernels SET server_id = $2, fence = fence + 1, asked = NULL WHERE id = $1
            RETURNING fence, image, packages, history, asked_limits, ",
            columns!()
        ));
        let row = update.bind(id.to_string()).bind(server.id().to_owned()).fetch_one(write.on()).await?;
        let packages: Option<KernelPackages> = match row.maybe_text("packages")? {
            Some(key) => {
                let packages = sqlx::query("SELECT content FROM kernel_packages WHERE key = $1").bind(key);
                Some(packages.fetch_one(write.on()).await?.json("content")?)
            }
            None => None,
        };
        let select = sqlx::query(
            "SELECT number, object_key, digest, size_bytes, states FROM kernel_segments WHERE kernel_id = $1
            ORDER BY number",
        );
        let (mut segments, mut alone) = (Vec::new(), None);
        for row in select.bind(id.to_string()).fetch_all(write.on()).await? {
            let segment = KernelSegment {
                object_key: row.text("object_key")?,
                digest: row.text("digest")?,
                size_bytes: row.count("size_bytes")?,
                states: row.count("states")?,
            };
            match row.int("number")? {
                ALONE => alone = Some(segment),
                _ => segments.push(segment),
            }
        }
        let rest = KernelAtRest {
            image: row.text("image")?,
            packages,
            history: row.json("history")?,
            segments,
            alone,
            asked_limits: row.json("asked_limits")?,
        };
        let taken = KernelTake { user, info: read(&row)?, rest, fence: row.int("fence")? };
        write.commit().await?;
        Ok(Ok(taken))
    }

    /// Keeps what a kernel has come to, also where it is more than its owner's tier allows. Answers the objects that nobody
    /// names any more.
    ///
    /// # Errors
    /// [`KernelError::Lost`]: it was deleted, or another server has it.
    pub async fn save_kernel(&self, server: &Server, save: &KernelSave) -> Result<Vec<String>, KernelError> {
        let mut write = self.write().await?;
        let holder = Some(server.id().to_owned()).filter(|_| !save.released);
        let update = sqlx::query(
            "UPDATE kernels SET state = $4, execution_count = $5, checkpoint_id = $6, size_bytes = $7, used_at = $8,
                image = COALESCE($9, image), history = $10, server_id = $11,
                asked = CASE WHEN CAST($11 AS TEXT) IS NULL THEN NULL ELSE asked END
            WHERE id = $1 AND server_id = $2 AND fence = $3",
        );
        let update = update
            .bind(save.id.to_string())
            .bind(server.id().to_owned())
            .bind(save.fence)
            .bind(save.state.as_str())
            .bind(number(save.execution_count))
            .bind(save.checkpoint_id.map(|id| id.to_string()))
            .bind(number(save.size_bytes))
            .bind(micros(save.used_at))
            .bind(save.image.clone())
            .bind(json(&save.history)?)
            .bind(holder);
        if update.execute(write.on()).await?.rows_affected() == 0 {
            return Err(KernelError::Lost);
        }
        if let Some(key) = &save.shared {
            // Whoever deletes the last kernel that names it comes before, and is seen, or waits.
            let named = write.dialect().pick(
                "SELECT 1 AS one FROM kernel_segments WHERE object_key = $1 LIMIT 1",
                "SELECT 1 AS one FROM kernel_segments WHERE object_key = $1 LIMIT 1 FOR SHARE",
            );
            if sqlx::query(named).bind(key.clone()).fetch_optional(write.on()).await?.is_none() {
                return Err(KernelError::Unshared);
            }
        }
        let before = keys_of(&mut write, save.id).await?;
        let delete = sqlx::query("DELETE FROM kernel_segments WHERE kernel_id = $1 AND (number >= $2 OR number = $3)");
        let delete = delete.bind(save.id.to_string()).bind(number(save.kept_segments)).bind(ALONE);
        let gone = delete.execute(write.on()).await?;
        add_segments(&mut write, save.id, number(save.kept_segments), &save.new_segments).await?;
        add_segments(&mut write, save.id, ALONE, save.alone.as_slice()).await?;
        let sum = sqlx::query(
            "UPDATE kernels SET stored_bytes = (SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT)
                FROM kernel_segments WHERE kernel_id = $1)
            WHERE id = $1",
        );
        sum.bind(save.id.to_string()).execute(write.on()).await?;
        let unnamed = if gone.rows_affected() > 0 { unnamed(&mut write, before).await? } else { Vec::new() };
        write.commit().await?;
        Ok(unnamed)
    }

    /// What other servers want of the kernels that this one holds. Each is answered once.
    ///
    /// # Errors
    /// The database's.
    pub async fn asked_of(&self, server: &Server) -> Result<Vec<(KernelId, Asked)>, StoreError> {
        // Most often there is nothing, and then nothing is written.
        let asked = sqlx::query("SELECT id, asked FROM kernels WHERE server_id = $1 AND asked IS NOT NULL");
        let rows = asked.bind(server.id().to_owned()).fetch_all(self.pool()).await?;
        let mut found = Vec::new();
        for row in rows {
            let asked = if row.text("asked")? == Asked::Interrupt.as_str() { Asked::Interrupt } else { Asked::Release };
            found.push((row.parsed::<KernelId>("id")?, asked));
        }
        if !found.is_empty() {
            let mut write = self.write().await?;
            for (id, asked) in &found {
                // What was asked meanwhile is heard the next time.
                let clear =
                    sqlx::query("UPDATE kernels SET asked = NULL WHERE id = $1 AND server_id = $2 AND asked = $3");
                let clear = clear.bind(id.to_string()).bind(server.id().to_owned()).bind(asked.as_str());
                clear.execute(write.on()).await?;
            }
            write.commit().await?;
        }
        Ok(found)
    }

    /// The kernels that a server holds, each with what it was taken with last.
    ///
    /// # Errors
    /// The database's.
    pub async fn held_by(&self, server: &Server) -> Result<HashMap<KernelId, i64>, StoreError> {
        let held = sqlx::query("SELECT id, fence FROM kernels WHERE server_id = $1").bind(server.id().to_owned());
        held.fetch_all(self.pool()).await?.iter().map(|row| Ok((row.parsed("id")?, row.int("fence")?))).collect()
    }

    /// Asks the server that holds a kernel for something.
    ///
    /// # Errors
    /// The database's.
    pub async fn ask_for_kernel(&self, id: KernelId, asked: Asked) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        // Whoever wants it released asks again and again; whoever wants its cell to end asks once.
        let update = sqlx::query(
            "UPDATE kernels SET asked = $2
            WHERE id = $1 AND server_id IS NOT NULL AND (asked IS NULL OR CAST($2 AS TEXT) = 'interrupt')",
        );
        update.bind(id.to_string()).bind(asked.as_str()).execute(write.on()).await?;
        write.commit().await
    }

    /// The packages and the image of a kernel that was saved are those of its new beginning from now on.
    ///
    /// # Errors
    /// [`KernelError::Lost`]: it was deleted, or another server has it.
    pub async fn rebase_kernel(
        &self,
        server: &Server,
        (id, fence): (KernelId, i64),
        packages: Option<&KernelPackages>,
    ) -> Result<(), KernelError> {
        let mut write = self.write().await?;
        let key = keep_packages(&mut write, packages).await?;
        let update = sqlx::query("UPDATE kernels SET packages = $4 WHERE id = $1 AND server_id = $2 AND fence = $3");
        let update = update.bind(id.to_string()).bind(server.id().to_owned()).bind(fence).bind(key);
        if update.execute(write.on()).await?.rows_affected() == 0 {
            return Err(KernelError::Lost);
        }
        Ok(write.commit().await?)
    }
}
