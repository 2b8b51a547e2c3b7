//! Users as a provider knows them, in both databases.

use jiff::SignedDuration;
use pymd::domain::{Actor, Identity, PageRequest, Profile, Role};
use pymd::store::{DeleteUserError, NewUser};

use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    one_subject_is_one_user_whoever_sees_it_first,
    what_the_provider_says_anew_is_taken_over,
    a_suspended_user_is_told_as_such,
    sessions_end_when_they_are_said_to,
    a_secret_is_the_same_for_all_servers,
    of_two_admins_who_go_at_once_one_stays,
];

fn identity(subject: &str) -> Identity {
    Identity {
        issuer: "https://issuer.example/".to_owned(),
        subject: subject.to_owned(),
        issued_at: 1000,
        profile: Profile::default(),
        role: None,
        tier: None,
    }
}

fn named(name: &str) -> Profile {
    Profile { name: Some(name.to_owned()), ..Profile::default() }
}

async fn one_subject_is_one_user_whoever_sees_it_first(at: TestDatabase) {
    let (one, two) = (at.open().await, at.open().await);
    let ada = identity("ada");
    let looks = (0..16).map(|number| if number % 2 == 0 { &one } else { &two }).map(|at| at.user_of_identity(&ada));
    let users: Vec<_> = futures::future::join_all(looks).await.into_iter().map(Result::unwrap).collect();
    assert!(users.iter().all(|user| user == &users[0]));
    let total = || async { one.users(PageRequest::default()).await.unwrap().total };
    assert_eq!(total().await, 1);
    // Another provider's `ada` is somebody else, whatever the address is.
    let other = Identity { issuer: "https://other.example".to_owned(), ..identity("ada") };
    assert_ne!(two.user_of_identity(&other).await.unwrap().id, users[0].id);
    let upper = identity("Ada");
    assert_ne!(two.user_of_identity(&upper).await.unwrap().id, users[0].id, "subjects are exact");
    assert_eq!(total().await, 3);
}

async fn what_the_provider_says_anew_is_taken_over(at: TestDatabase) {
    let database = at.open().await;
    let said = |at: i64, profile: Profile| Identity { issued_at: at, profile, ..identity("ada") };
    let look = |identity: Identity| {
        let database = database.clone();
        async move { database.user_of_identity(&identity).await.unwrap() }
    };
    let first = look(said(1000, named("Ada"))).await;
    assert_eq!((first.name.as_str(), first.email.as_deref(), first.role), ("Ada", None, Role::User));
    let mail = Profile { email: Some("ada@example.org".to_owned()), ..Profile::default() };
    let mailed = look(said(1001, mail)).await;
    assert_eq!((mailed.id, mailed.name.as_str(), mailed.email.as_deref()), (first.id, "Ada", Some("ada@example.org")));
    assert_eq!(look(said(1002, named("Ada L."))).await.name, "Ada L.");
    assert_eq!(look(said(1001, named("Ada"))).await.name, "Ada L.", "an earlier token says nothing new");
    let pro = Identity { tier: Some("PRO".to_owned()), role: Some(Role::Admin), ..said(1003, Profile::default()) };
    let changed = look(pro).await;
    assert_eq!((changed.tier.as_str(), changed.role), ("PRO", Role::Admin));
    let none = Identity { tier: Some("GOLD".to_owned()), ..said(1004, Profile::default()) };
    assert_eq!(look(none).await.tier, "PRO", "a tier that is not there is none");
    let unheard = Identity { tier: Some("GOLD".to_owned()), ..identity("bob") };
    assert_eq!(look(unheard).await.tier, "FREE");
}

async fn a_suspended_user_is_told_as_such(at: TestDatabase) {
    let database = at.open().await;
    let user = database.user_of_identity(&identity("a'; DROP TABLE identities; --")).await.unwrap();
    let again = database.user_of_identity(&identity("a'; DROP TABLE identities; --")).await.unwrap();
    assert_eq!(user, again);
    database.set_suspended(user.id, Some(user.created_at)).await.unwrap();
    let again = database.user_of_identity(&identity("a'; DROP TABLE identities; --")).await.unwrap();
    assert!(again.suspended_at.is_some(), "it says so to whoever decides");
}

async fn sessions_end_when_they_are_said_to(at: TestDatabase) {
    let database = at.open().await;
    let user = database.user_of_identity(&identity("ada")).await.unwrap();
    let (hour, none) = (SignedDuration::from_hours(1), SignedDuration::ZERO);
    let text = database.begin_session(user.id, hour).await.unwrap();
    let found = database.session(&text, hour).await.unwrap().unwrap();
    assert_eq!(found.user, user);
    assert_eq!(database.session(&text, none).await.unwrap(), None, "it was not used for so long");
    let short = database.begin_session(user.id, none).await.unwrap();
    assert_eq!(database.session(&short, hour).await.unwrap(), None, "it is over however much it is used");
    for bad in [String::new(), text.to_uppercase(), format!("{text} "), "'; --".to_owned(), "x".repeat(10_000)] {
        assert_eq!(database.session(&bad, hour).await.unwrap(), None, "{bad}");
    }
    database.end_session(&text).await.unwrap();
    database.end_session(&text).await.unwrap();
    assert_eq!(database.session(&text, hour).await.unwrap(), None);
    // Who logs in without end has the latest ones.
    let mut texts = Vec::new();
    for _ in 0..55 {
        texts.push(database.begin_session(user.id, hour).await.unwrap());
    }
    let mut live = 0;
    for text in &texts {
        live += usize::from(database.session(text, hour).await.unwrap().is_some());
    }
    assert_eq!(live, 50);
    assert!(database.session(&texts[54], hour).await.unwrap().is_some());
}

async fn a_secret_is_the_same_for_all_servers(at: TestDatabase) {
    let (one, two) = (at.open().await, at.open().await);
    let asked = (0..8).map(|number| if number % 2 == 0 { &one } else { &two }).map(|at| at.secret("login"));
    let secrets: Vec<_> = futures::future::join_all(asked).await.into_iter().map(Result::unwrap).collect();
    assert!(secrets.iter().all(|secret| secret.len() == 32 && *secret == secrets[0]));
    assert_ne!(one.secret("other").await.unwrap(), secrets[0]);
}

async fn of_two_admins_who_go_at_once_one_stays(at: TestDatabase) {
    let database = at.open().await;
    let admin = |name: &str| NewUser { name: name.to_owned(), email: None, role: Role::Admin, tier: "FREE".to_owned() };
    let (one, two) =
        (database.create_user(&admin("one")).await.unwrap(), database.create_user(&admin("two")).await.unwrap());
    let actor = Actor::default();
    let both = tokio::join!(database.begin_user_deletion(&actor, one.id), database.begin_user_deletion(&actor, two.id));
    let (gone, left) = if both.0.is_ok() { (one, two) } else { (two, one) };
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    let error = database.begin_user_deletion(&actor, left.id).await.unwrap_err();
    assert!(matches!(error, DeleteUserError::LastAdmin), "{error:?}");
    // What was begun is found, and may be begun again.
    assert_eq!(database.users_to_remove().await.unwrap(), [gone.id]);
    database.begin_user_deletion(&actor, gone.id).await.unwrap();
    database.remove_user(left.id).await.unwrap();
    assert!(database.user(left.id).await.unwrap().is_some(), "nobody goes who does not want to");
    database.remove_user(gone.id).await.unwrap();
    database.remove_user(gone.id).await.unwrap();
    assert_eq!(database.user(gone.id).await.unwrap(), None);
    assert!(database.users_to_remove().await.unwrap().is_empty());
    let runs_it = database.ensure_admin("the token").await.unwrap();
    let error = database.begin_user_deletion(&actor, runs_it.id).await.unwrap_err();
    assert!(matches!(error, DeleteUserError::Bootstrap), "{error:?}");
}
