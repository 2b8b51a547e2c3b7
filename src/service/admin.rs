//! What admins do: tiers, what is different for some, users, and the log of all that.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ServiceError;
use super::workspace::Workspace;
use crate::domain::{
    Actor, AuditEntry, AuditFilter, EnvironmentId, Limits, LimitsPatch, Overrides, Page, PageRequest, Quotas, Role,
    Tier, TierError, TierInUse, Traffic, User, UserAs, UserFilter, UserId,
};
use crate::store::{StoreError, UserChange};

/// The tier of those for whom nothing else was said; it can't be deleted.
const FIRST_TIER: &str = "FREE";

/// A tier to be made. What is absent is as in FREE by default.
#[derive(Debug, Clone, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTier {
    /// Its name: 1 to 50 of letters, digits, `-` and `_`.
    pub name: String,
    /// What may be kept: some of the fields.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub quotas: Map<String, Value>,
    /// What an execution may use: some of the fields.
    #[serde(default)]
    pub limits: LimitsPatch,
    /// How much may be asked for at once: some of the fields.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub traffic: Map<String, Value>,
}

/// What is to change of a tier: some of the fields of each.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChangeTier {
    /// What may be kept.
    #[schema(value_type = Object)]
    pub quotas: Map<String, Value>,
    /// What an execution may use.
    pub limits: LimitsPatch,
    /// How much may be asked for at once.
    #[schema(value_type = Object)]
    pub traffic: Map<String, Value>,
}

/// What is to change of a user. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChangeUser {
    /// What they may do.
    pub role: Option<Role>,
    /// The tier's name.
    pub tier: Option<String>,
    /// Whether they are shut out.
    pub suspended: Option<bool>,
    /// What is different for them than for others of the tier, as a whole; `{}`: nothing.
    pub overrides: Option<Overrides>,
}

/// A user, and what they may do at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct UserDetail {
    /// The user, and what is different for them.
    #[serde(flatten)]
    pub user: UserAs,
    /// What an execution of theirs may use.
    pub limits: Limits,
    /// What they may keep.
    pub quotas: Quotas,
    /// How much they may ask for at once.
    pub traffic: Traffic,
}

impl Workspace {
    /// All tiers, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn tiers(&self) -> Result<Vec<TierInUse>, ServiceError> {
        Ok(self.database().tiers_in_use().await?)
    }

    /// The tier of that name.
    ///
    /// # Errors
    /// There is none.
    pub async fn tier(&self, name: &str) -> Result<TierInUse, ServiceError> {
        self.database().tier_in_use(name).await?.ok_or(ServiceError::NotFound { what: "tier" })
    }

    /// Makes a tier.
    ///
    /// # Errors
    /// There is one of that name, or there can't be such a tier.
    pub async fn create_tier(&self, actor: &Actor, request: CreateTier) -> Result<TierInUse, ServiceError> {
        let CreateTier { name, quotas, limits, traffic } = request;
        let first = Tier {
            name,
            quotas: Quotas::default(),
            limits: Limits { cpu_share: 0.5, ..Limits::default() },
            traffic: Traffic::default(),
        };
        let tier = changed(&first, &ChangeTier { quotas, limits, traffic })?;
        self.database().create_tier(actor, &tier).await.map_err(|error| match error {
            StoreError::Taken => {
                ServiceError::Conflict { message: format!("there is a tier of the name `{}` already", tier.name) }
            }
            error => error.into(),
        })?;
        self.tier(&tier.name).await
    }

    /// Changes a tier; it holds for the next cell, on every server. `expected`: the versions one of which it must have.
    ///
    /// # Errors
    /// There is none, there can't be such a tier, or somebody else has changed it.
    pub async fn change_tier(
        &self,
        actor: &Actor,
        name: &str,
        change: &ChangeTier,
        expected: Option<&[u64]>,
    ) -> Result<TierInUse, ServiceError> {
        loop {
            let before = self.tier(name).await?;
            if expected.is_some_and(|expected| !expected.contains(&before.version)) {
                let message = format!("the tier is at version {} now: look at it, and change it again", before.version);
                return Err(ServiceError::Changed { message });
            }
            let after = changed(&before.tier, change)?;
            // Somebody was quicker: the change is made to what they have left.
            if after == before.tier
                || self.database().change_tier(actor, (&before.tier, before.version), &after).await?
            {
                return self.tier(name).await;
            }
        }
    }

    /// Deletes a tier.
    ///
    /// # Errors
    /// There is none, or it is in use.
    pub async fn delete_tier(&self, actor: &Actor, name: &str) -> Result<(), ServiceError> {
        if name == FIRST_TIER {
            let message = format!("`{FIRST_TIER}` is the tier of new users: it can be changed, not deleted");
            return Err(ServiceError::Conflict { message });
        }
        if self.database().delete_tier(actor, name).await? {
            return Ok(());
        }
        let message = "users have the tier: give them another one first".to_owned();
        Err(ServiceError::Conflict { message })
    }

    /// Users, the eldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn users(&self, filter: &UserFilter, request: PageRequest) -> Result<Page<User>, ServiceError> {
        Ok(self.database().find_users(filter, request).await?)
    }

    /// A user, and what they may do at this moment.
    ///
    /// # Errors
    /// There is none.
    pub async fn user_detail(&self, id: UserId) -> Result<UserDetail, ServiceError> {
        let user = self.database().user_as_admin(id).await?;
        let grant = self.database().grant(id, None).await?;
        let limits = self.service().limits_of(&grant);
        Ok(UserDetail { user, limits, quotas: grant.quotas, traffic: grant.traffic })
    }

    /// Changes a user; it holds for the next cell, on every server. One who is shut out gets in nowhere within two seconds,
    /// and what their kernels run is cancelled.
    ///
    /// # Errors
    /// There is none, or no such tier, or nobody would be left to run the system.
    pub async fn change_user(&self, actor: &Actor, id: UserId, change: ChangeUser) -> Result<UserDetail, ServiceError> {
        if let Some(overrides) = &change.overrides {
            overrides.check()?;
        }
        let ChangeUser { role, tier, suspended, overrides } = change;
        let change = UserChange { role, tier, is_suspended: suspended, overrides };
        let changed = self.database().change_user(actor, id, &change).await.map_err(|error| match error {
            StoreError::Missing { what: "tier" } => {
                ServiceError::Invalid { field: "tier".to_owned(), message: "there is no such tier".to_owned() }
            }
            error => error.into(),
        })?;
        let Some(changed) = changed else {
            let message = "nobody would be left to run the system: make somebody else an admin first".to_owned();
            return Err(ServiceError::Conflict { message });
        };
        if changed.user.suspended_at.is_some() {
            self.stop_kernels(id).await?;
        }
        self.user_detail(id).await
    }

    /// What is different in an environment.
    ///
    /// # Errors
    /// There is none.
    pub async fn environment_limits(&self, id: EnvironmentId) -> Result<LimitsPatch, ServiceError> {
        Ok(self.database().environment_limits(id).await?.1)
    }

    /// What is different in an environment from now on, as a whole.
    ///
    /// # Errors
    /// There is none, or there can't be such limits.
    pub async fn set_environment_limits(
        &self,
        actor: &Actor,
        id: EnvironmentId,
        limits: LimitsPatch,
    ) -> Result<LimitsPatch, ServiceError> {
        limits.check()?;
        self.database().set_environment_limits(actor, id, &limits).await?;
        Ok(limits)
    }

    /// The audit log, the latest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn audit(&self, filter: &AuditFilter, request: PageRequest) -> Result<Page<AuditEntry>, ServiceError> {
        Ok(self.database().audit(filter, request).await?)
    }
}

/// A tier as it is after a change, where there can be such a one.
fn changed(tier: &Tier, change: &ChangeTier) -> Result<Tier, ServiceError> {
    let mut traffic = match serde_json::to_value(tier.traffic) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    traffic.extend(change.traffic.clone());
    let traffic = serde_json::from_value(traffic.into())
        .map_err(|error| ServiceError::Invalid { field: "traffic".to_owned(), message: error.to_string() })?;
    let (name, limits) = (tier.name.clone(), tier.limits.with(&change.limits));
    let after = Tier { name, quotas: tier.quotas.with(&change.quotas)?, limits, traffic };
    after.check()?;
    Ok(after)
}

impl From<TierError> for ServiceError {
    fn from(error: TierError) -> Self {
        match error {
            TierError::Limit(error) => error.into(),
            TierError::Range { field, min, max, asked } => {
                let message = format!("must be between {min} and {max}, not {asked}");
                Self::Invalid { field: field.to_owned(), message }
            }
            TierError::Name => {
                let message = "must have 1 to 50 of letters, digits, `-` and `_`".to_owned();
                Self::Invalid { field: "name".to_owned(), message }
            }
            TierError::Quota { reason } => Self::Invalid { field: "quotas".to_owned(), message: reason },
        }
    }
}
