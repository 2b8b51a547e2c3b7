//! An environment's packages change as a whole, once, and within the quotas.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use pymd::domain::{
    EnvironmentId, EnvironmentStatus, JobState, LockedPackage, LockedWheel, Lockfile, QuotaKind, Quotas, UserId,
};
use pymd::store::{Database, EnvironmentError, InstalledPackage, Lease, NewEnvironment, NewJob, Switch};
use serde_json::json;

use super::{at_once, named, new_user, set_quotas};
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    a_switch_changes_everything_at_once,
    packages_that_stay_keep_their_time,
    of_many_switches_one_wins,
    numbers_of_generations_are_given_out_once,
    numbers_that_were_not_given_out_are_refused,
    an_environment_deleted_meanwhile_stays_deleted,
    the_quotas_hold,
    an_environment_over_its_quota_may_shrink,
    a_job_has_its_effect_once,
];

/// Packages `p0`, `p1`, ... of 10 bytes each, with the lockfile for them.
fn packages(count: usize, version: &str) -> (Vec<InstalledPackage>, Lockfile) {
    let installed = (0..count).map(|n| InstalledPackage {
        name: format!("p{n}"),
        version: version.to_owned(),
        size_bytes: 10,
        requested: n == 0,
    });
    let locked = (0..count).map(|n| LockedPackage {
        name: format!("p{n}"),
        version: version.to_owned(),
        requires_python: Some(">=3.8".to_owned()),
        dependencies: Vec::new(),
        wheel: LockedWheel {
            filename: format!("p{n}-{version}-py3-none-any.whl"),
            url: format!("https://index.invalid/p{n}-{version}-py3-none-any.whl"),
            size_bytes: Some(10),
            sha256: Some("0".repeat(64)),
        },
    });
    (installed.collect(), Lockfile { python_version: "3.15.0".to_owned(), packages: locked.collect() })
}

struct World {
    database: Database,
    user: UserId,
    id: EnvironmentId,
}

impl World {
    async fn new(at: &TestDatabase) -> Self {
        let database = at.open().await;
        let user = new_user(&database).await.id;
        let new = NewEnvironment { status: EnvironmentStatus::Creating, ..named("x") };
        let id = database.create_environment(user, &new).await.unwrap().id;
        Self { database, user, id }
    }

    /// Switches from `expected` to so many packages, and tells the generation then.
    async fn switch(&self, expected: u64, count: usize, version: &str) -> Result<u64, EnvironmentError> {
        let generation = self.database.reserve_generation(self.id).await?;
        self.switch_to(expected, generation, count, version, None).await
    }

    async fn switch_to(
        &self,
        expected_generation: u64,
        generation: u64,
        count: usize,
        version: &str,
        lease: Option<&Lease>,
    ) -> Result<u64, EnvironmentError> {
        let (packages, lock) = packages(count, version);
        let requested = [format!("p0=={version}")];
        let warm = json!({"imported": [version]});
        let switch = Switch {
            environment: self.id,
            expected_generation,
            generation,
            requested: &requested,
            lock: &lock,
            packages: &packages,
            warm: Some((&[], &warm)),
            at: Timestamp::now(),
            completes: lease.map(|lease| (lease, json!({"count": count}))),
        };
        self.database.switch_generation(&switch).await.map(|environment| environment.generation)
    }

    async fn check(&self, generation: u64, count: usize, version: &str) {
        let environment = self.database.environment(self.user, self.id).await.unwrap();
        assert_eq!(environment.generation, generation);
        let size = 10 * count as u64;
        assert_eq!((environment.package_count, environment.total_size_bytes), (count as u64, size));
        let contents = self.database.environment_contents(self.user, self.id).await.unwrap();
        assert_eq!(contents.generation, generation);
        let (_, lock) = packages(count, version);
        assert_eq!(contents.lock.packages, lock.packages);
        let listed = self.database.environment_packages(self.user, self.id).await.unwrap();
        assert_eq!(listed.len(), count);
        assert!(listed.is_sorted_by(|a, b| a.name < b.name) && listed.iter().all(|package| package.version == version));
    }
}

async fn a_switch_changes_everything_at_once(at: TestDatabase) {
    let world = World::new(&at).await;
    world.database.set_tier(world.user, "PRO").await.unwrap();
    world.database.set_error(world.id, 0, "could not be made").await.unwrap();
    world.switch(0, 400, "1.0").await.unwrap();
    world.check(1, 400, "1.0").await;
    let environment = world.database.environment(world.user, world.id).await.unwrap();
    assert_eq!((environment.status, environment.error), (EnvironmentStatus::Active, None));
    let contents = world.database.environment_contents(world.user, world.id).await.unwrap();
    assert_eq!(contents.requested, ["p0==1.0"]);
    let stats = world.database.environment_stats(world.user).await.unwrap();
    assert_eq!((stats.packages, stats.total_size_bytes), (400, 4000));
    assert_eq!(world.switch(1, 0, "1.0").await.unwrap(), 2);
    world.check(2, 0, "1.0").await;
}

async fn packages_that_stay_keep_their_time(at: TestDatabase) {
    let world = World::new(&at).await;
    let listed = async || world.database.environment_packages(world.user, world.id).await.unwrap();
    world.switch(0, 1, "1.0").await.unwrap();
    let first = listed().await;
    world.switch(1, 2, "1.0").await.unwrap();
    let second = listed().await;
    assert_eq!(second[0], first[0]);
    assert!(second[1].installed_at > first[0].installed_at && !second[1].requested);
    world.switch(2, 1, "2.0").await.unwrap();
    assert!(listed().await[0].installed_at > second[1].installed_at, "another version is another package");
}

async fn of_many_switches_one_wins(at: TestDatabase) {
    let world = World::new(&at).await;
    let mut generations = Vec::new();
    for _ in 0..10 {
        generations.push(world.database.reserve_generation(world.id).await.unwrap());
    }
    let answers = at_once(&at, generations.len(), |database, number| {
        let (world, generation) = (World { database, ..world }, generations[number]);
        async move { world.switch_to(0, generation, number + 1, "1.0", None).await }
    });
    let answers = answers.await;
    let mut winner = None;
    for (count, answer) in (1..).zip(answers) {
        match answer {
            Ok(generation) => assert!(winner.replace((generation, count)).is_none(), "one wins"),
            Err(EnvironmentError::Conflict { expected: 0, current }) => assert_ne!(current, 0),
            Err(error) => panic!("{error}"),
        }
    }
    let (generation, count) = winner.unwrap();
    world.check(generation, count, "1.0").await;
}

async fn numbers_of_generations_are_given_out_once(at: TestDatabase) {
    let world = World::new(&at).await;
    let mut numbers: Vec<_> = join_all((0..20).map(|_| world.database.reserve_generation(world.id)))
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
}

async fn numbers_that_were_not_given_out_are_refused(at: TestDatabase) {
    let world = World::new(&at).await;
    let early = world.database.reserve_generation(world.id).await.unwrap();
    world.switch(0, 1, "1.0").await.unwrap();
    for number in [0, early, 2, 3, u64::MAX] {
        let error = world.switch_to(2, number, 2, "2.0", None).await.unwrap_err();
        assert!(matches!(error, EnvironmentError::Conflict { .. }), "{number}: {error}");
    }
    world.check(2, 1, "1.0").await;
}

async fn an_environment_deleted_meanwhile_stays_deleted(at: TestDatabase) {
    let world = World::new(&at).await;
    let generation = world.database.reserve_generation(world.id).await.unwrap();
    world.database.delete_environment(world.user, world.id).await.unwrap();
    let error = world.switch_to(0, generation, 1, "1.0", None).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::NotFound), "{error}");

    let world = World::new(&at).await;
    let (deleted, _) = tokio::join!(world.database.delete_environment(world.user, world.id), world.switch(0, 1, "1.0"));
    deleted.unwrap();
    assert_eq!(world.database.environment_stats(world.user).await.unwrap().environments, 0);
}

async fn the_quotas_hold(at: TestDatabase) {
    let world = World::new(&at).await;
    let quotas = Quotas { packages_per_environment: 5, environment_bytes: 45, ..Quotas::default() };
    set_quotas(&world.database, quotas).await;
    world.switch(0, 4, "1.0").await.unwrap();
    let refusal = |answer| match answer {
        Err(EnvironmentError::QuotaExceeded(refusal)) => (refusal.what, refusal.used, refusal.wanted, refusal.allowed),
        other => panic!("{other:?}"),
    };
    let packages = refusal(world.switch(1, 6, "1.0").await);
    assert_eq!(packages, (QuotaKind::PackagesPerEnvironment, 4, 6, 5));
    let bytes = refusal(world.switch(1, 5, "1.0").await);
    assert_eq!(bytes, (QuotaKind::EnvironmentBytes, 40, 50, 45));
    world.check(1, 4, "1.0").await;
}

async fn an_environment_over_its_quota_may_shrink(at: TestDatabase) {
    let world = World::new(&at).await;
    world.switch(0, 10, "1.0").await.unwrap();
    let quotas = Quotas { packages_per_environment: 2, environment_bytes: 1, ..Quotas::default() };
    set_quotas(&world.database, quotas).await;
    world.switch(1, 11, "1.0").await.unwrap_err();
    assert_eq!(world.switch(1, 9, "1.0").await.unwrap(), 3);
}

async fn a_job_has_its_effect_once(at: TestDatabase) {
    let world = World::new(&at).await;
    let new = NewJob { user: world.user, environment: Some(world.id), kind: "install".to_owned(), request: json!({}) };
    let job = world.database.enqueue(&new, 1).await.unwrap().id;
    let (_, slow) = world.database.claim("slow", &["install"], Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(world.database.requeue_expired().await.unwrap().requeued, 1);
    let (_, quick) = world.database.claim("quick", &["install"], Duration::from_secs(60)).await.unwrap().unwrap();

    let numbers = [0; 3].map(|_| world.database.reserve_generation(world.id));
    let [first, second, third] = join_all(numbers).await.try_into().unwrap();
    let [first, second, third] = [first, second, third].map(Result::unwrap);
    let error = world.switch_to(0, first, 1, "1.0", Some(&slow)).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::LeaseLost(_)), "{error}");
    world.check(0, 0, "1.0").await;
    world.switch_to(0, second.max(third), 2, "2.0", Some(&quick)).await.unwrap();
    let done = world.database.job(world.user, job).await.unwrap();
    assert_eq!((done.state, done.result), (JobState::Succeeded, Some(json!({"count": 2}))));
    world.check(second.max(third), 2, "2.0").await;
    let fourth = world.database.reserve_generation(world.id).await.unwrap();
    let error = world.switch_to(third.max(second), fourth, 3, "3.0", Some(&quick)).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::LeaseLost(_)), "{error}");
    world.check(second.max(third), 2, "2.0").await;
}
