//! Users as identity providers know them: by issuer and subject, and by nothing else. An address that two providers
//! know may be two people's.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::Database;
use super::error::StoreError;
use super::rows::{Columns as _, clean, json, micros, now};
use super::tiers::lock_user;
use super::transaction::{Lock, Write};
use super::users::{MAX_TEXT_BYTES, NewUser, columns as user_columns, insert_user, read_user};
use crate::domain::{Identity, Profile, Role, User};

/// The tier of who is seen first, where nobody says another.
const FIRST_TIER: &str = "FREE";
/// The URL of a picture is not longer.
const MAX_PICTURE_BYTES: usize = 2048;

/// What the database knows of an identity.
struct Seen {
    user: User,
    profile: Profile,
    issued_at: i64,
}

impl Seen {
    /// Whether `identity` says nothing that is not known. What was said earlier than what is known says nothing.
    fn says_all(&self, identity: &Identity) -> bool {
        identity.issued_at < self.issued_at
            || (merged(&self.profile, &identity.profile) == self.profile
                && identity.role.is_none_or(|role| role == self.user.role)
                && identity.tier.as_ref().is_none_or(|tier| *tier == self.user.tier))
    }
}

impl Database {
    /// The user whom a provider names so: made at first sight, and changed where the provider says something new. Any
    /// number of servers may call this at once.
    ///
    /// What the user has changed here stays until the provider changes its mind about it. A tier that is not there is
    /// as good as none.
    ///
    /// # Errors
    /// The database's.
    pub async fn user_of_identity(&self, identity: &Identity) -> Result<User, StoreError> {
        let mut connection = self.pool().acquire().await?;
        let seen = look(&mut connection, identity).await?;
        drop(connection);
        if let Some(seen) = &seen
            && seen.says_all(identity)
        {
            return Ok(seen.user.clone());
        }
        let identity = self.without_unknown_tier(identity.clone()).await?;
        if let Some(seen) = seen.filter(|seen| seen.says_all(&identity)) {
            return Ok(seen.user);
        }
        let mut write = self.write().await?;
        write.lock(Lock::Identities).await?;
        let user = match look(write.on(), &identity).await? {
            Some(seen) => update(&mut write, seen, &identity).await?,
            None => insert(&mut write, &identity).await?,
        };
        write.commit().await?;
        Ok(user)
    }

    async fn without_unknown_tier(&self, identity: Identity) -> Result<Identity, StoreError> {
        let Some(tier) = &identity.tier else { return Ok(identity) };
        let known = self.tier(tier).await?;
        Ok(Identity { tier: known.map(|tier| tier.name), ..identity })
    }
}

async fn look(connection: &mut AnyConnection, identity: &Identity) -> Result<Option<Seen>, StoreError> {
    let row = sqlx::query(concat!(
        "SELECT i.profile, i.issued_at, ",
        user_columns!(),
        " FROM identities i JOIN users u ON u.id = i.user_id WHERE i.issuer = $1 AND i.subject = $2"
    ));
    let row = row.bind(identity.issuer.clone()).bind(identity.subject.clone());
    row.fetch_optional(connection).await?.as_ref().map(read_seen).transpose()
}

fn read_seen(row: &AnyRow) -> Result<Seen, StoreError> {
    Ok(Seen { user: read_user(row)?, profile: row.json("profile")?, issued_at: row.int("issued_at")? })
}

async fn insert(write: &mut Write, identity: &Identity) -> Result<User, StoreError> {
    let Profile { name, email, picture } = identity.profile.clone();
    let new = NewUser {
        name: name.or_else(|| email.clone()).unwrap_or_else(|| identity.subject.clone()),
        email,
        role: identity.role.unwrap_or(Role::User),
        tier: identity.tier.clone().unwrap_or_else(|| FIRST_TIER.to_owned()),
    };
    let mut user = insert_user(write, &new).await?;
    if let Some(picture) = picture {
        user.picture = Some(clean(&picture, MAX_PICTURE_BYTES));
        write_user(write, &user).await?;
    }
    let insert = sqlx::query(
        "INSERT INTO identities (issuer, subject, user_id, profile, issued_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)",
    );
    let insert = insert.bind(identity.issuer.clone()).bind(identity.subject.clone()).bind(user.id.to_string());
    let insert = insert.bind(json(&identity.profile)?).bind(identity.issued_at).bind(micros(now()));
    insert.execute(write.on()).await?;
    tracing::info!(user = %user.id, issuer = identity.issuer, "a user of the identity provider came for the first time");
    Ok(user)
}

async fn update(write: &mut Write, seen: Seen, identity: &Identity) -> Result<User, StoreError> {
    if seen.says_all(identity) {
        return Ok(seen.user);
    }
    lock_user(write, seen.user.id).await?;
    let Seen { mut user, profile, .. } = seen;
    let merged = merged(&profile, &identity.profile);
    // Only what the provider says otherwise than before.
    let new = |before: &Option<String>, now: &Option<String>| now.clone().filter(|_| before != now);
    if let Some(name) = new(&profile.name, &merged.name) {
        user.name = clean(&name, MAX_TEXT_BYTES);
    }
    if let Some(email) = new(&profile.email, &merged.email) {
        user.email = Some(clean(&email, MAX_TEXT_BYTES));
    }
    if let Some(picture) = new(&profile.picture, &merged.picture) {
        user.picture = Some(clean(&picture, MAX_PICTURE_BYTES));
    }
    user.role = identity.role.unwrap_or(user.role);
    user.tier = identity.tier.clone().unwrap_or(user.tier);
    write_user(write, &user).await?;
    let update = sqlx::query("UPDATE identities SET profile = $3, issued_at = $4 WHERE issuer = $1 AND subject = $2");
    let update = update.bind(identity.issuer.clone()).bind(identity.subject.clone());
    update.bind(json(&merged)?).bind(identity.issued_at).execute(write.on()).await?;
    Ok(user)
}

async fn write_user(write: &mut Write, user: &User) -> Result<(), StoreError> {
    let update =
        sqlx::query("UPDATE users SET name = $2, email = $3, picture = $4, role = $5, tier = $6 WHERE id = $1");
    let update = update.bind(user.id.to_string()).bind(user.name.clone()).bind(user.email.clone());
    let update = update.bind(user.picture.clone()).bind(user.role.as_str()).bind(user.tier.clone());
    update.execute(write.on()).await?;
    Ok(())
}

/// What was said before, and what is said now in its place.
fn merged(before: &Profile, now: &Profile) -> Profile {
    let pick = |before: &Option<String>, now: &Option<String>| now.clone().or_else(|| before.clone());
    Profile {
        name: pick(&before.name, &now.name),
        email: pick(&before.email, &now.email),
        picture: pick(&before.picture, &now.picture),
    }
}
