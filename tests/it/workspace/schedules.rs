//! Documents that are rendered when it is time, over REST.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pymd::domain::{DocumentId, JobPolicy, UserId};
use pymd::store::NewSchedule;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use super::stored;
use crate::databases::TestDatabase;
use crate::support::TestApp;

async fn put(app: &TestApp, id: &str, body: Value) -> Value {
    app.ask(Method::PUT, &format!("/api/v1/documents/{id}/schedule"), Some(body)).await.json()
}

async fn me(app: &TestApp) -> UserId {
    app.get("/api/v1/auth/me").await.json()["id"].as_str().unwrap().parse().unwrap()
}

/// Waits until the job is over, and tells how it is then.
async fn ended(app: &TestApp, job: &str) -> Value {
    let job = app.workspace.queue().wait(me(app).await, job.parse().unwrap()).await.unwrap();
    app.get(&format!("/api/v1/jobs/{}", job.id)).await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_rendered_when_it_is_time() {
    let app = TestApp::start().await;
    let id = stored(&app, "Report", "```\nprint('sum', 20 + 1)\n```\n").await;
    app.get(&format!("/api/v1/documents/{id}/schedule")).await.problem(404, "not_found");
    let schedule = put(&app, &id, json!({"cron": "30 6 * * MON-FRI", "time_zone": "Europe/Berlin"})).await;
    assert_eq!((schedule["enabled"].as_bool(), schedule["fresh"].as_bool()), (Some(true), Some(true)));
    assert_eq!((&schedule["last_job_id"], &schedule["document_id"]), (&Value::Null, &json!(id)));
    let due: Timestamp = schedule["next_run_at"].as_str().unwrap().parse().unwrap();
    let local = due.in_tz("Europe/Berlin").unwrap();
    assert_eq!((local.hour(), local.minute()), (6, 30));
    assert!(due > Timestamp::now());

    assert_eq!(app.workspace.run_due(due - SignedDuration::from_secs(1)).await.unwrap(), 0);
    assert_eq!(app.workspace.run_due(due).await.unwrap(), 1);
    assert_eq!(app.workspace.run_due(due).await.unwrap(), 0, "once");
    let schedule = app.get(&format!("/api/v1/documents/{id}/schedule")).await.json();
    let next: Timestamp = schedule["next_run_at"].as_str().unwrap().parse().unwrap();
    assert!(next > due);
    let job = ended(&app, schedule["last_job_id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    assert!(job["result"]["rendered"].as_str().unwrap().contains("sum 21"));
    let list = app.get("/api/v1/schedules").await.json();
    assert_eq!((list["total"].as_u64(), &list["schedules"][0]["last_outcome"]), (Some(1), &json!("succeeded")));
    // All cells are run each time.
    assert_eq!(app.workspace.run_due(next).await.unwrap(), 1);
    let schedule = app.get(&format!("/api/v1/documents/{id}/schedule")).await.json();
    let job = ended(&app, schedule["last_job_id"].as_str().unwrap()).await;
    assert_eq!(job["result"]["cells"][0]["status"], "executed");

    let disabled = put(&app, &id, json!({"cron": "@daily", "enabled": false})).await;
    assert_eq!((&disabled["next_run_at"], disabled["time_zone"].as_str()), (&Value::Null, Some("UTC")));
    let years = Timestamp::now() + SignedDuration::from_hours(24 * 900);
    assert_eq!(app.workspace.run_due(years).await.unwrap(), 0);
    let path = format!("/api/v1/documents/{id}/schedule");
    assert_eq!(app.ask(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    app.ask(Method::DELETE, &path, None).await.problem(404, "not_found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_done_once_when_a_server_is_back() {
    let at = TestDatabase::sqlite();
    let database = at.open().await;
    let first = TestApp::builder().database_url(at.url()).preparing().start().await;
    let id = stored(&first, "Report", "```\nprint('made up for')\n```\n").await;
    let (user, document): (UserId, DocumentId) = (me(&first).await, id.parse().unwrap());
    first.stop().await;
    let week_ago = Timestamp::now() - SignedDuration::from_hours(24 * 7);
    let missed = NewSchedule {
        // Rare: no time of it comes while this runs.
        cron: "0 0 29 2 *".parse().unwrap(),
        time_zone: "UTC".parse().unwrap(),
        environment_id: None,
        fresh: true,
        enabled: true,
        next_run_at: week_ago,
    };
    database.put_schedule(user, document, &missed, 5).await.unwrap();
    // Two servers, each with its clock.
    let one = TestApp::builder().database_url(at.url()).start().await;
    let other = TestApp::builder().database_url(at.url()).start().await;
    let made = async {
        loop {
            if let Some(job) = database.schedule(user, document).await.unwrap().last_job_id {
                break job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let job = tokio::time::timeout(Duration::from_secs(30), made).await.unwrap();
    let job = one.workspace.queue().wait(user, job).await.unwrap();
    assert!(job.result.unwrap()["rendered"].as_str().unwrap().contains("made up for"));
    assert!(database.schedule(user, document).await.unwrap().next_run_at.unwrap() > Timestamp::now());
    assert_eq!(one.get("/api/v1/jobs").await.json()["total"], 1, "one for all that was missed");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_fails_holds_up_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pymd.db");
    let app = TestApp::builder().database_url(format!("sqlite://{}", path.display())).start().await;
    let bad = stored(&app, "Bad", "text").await;
    let bad_schedule = put(&app, &bad, json!({"cron": "29 6 * * *"})).await;
    let good = stored(&app, "Good", "text").await;
    put(&app, &good, json!({"cron": "30 6 * * *"})).await;
    let mut other = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    let spoil = format!("UPDATE documents SET render_format = 'nonsense' WHERE id = '{bad}'");
    other.execute(sqlx::AssertSqlSafe(spoil)).await.unwrap();
    other.close().await.unwrap();
    let days = Timestamp::now() + SignedDuration::from_hours(48);
    assert_eq!(app.workspace.run_due(days).await.unwrap(), 1);
    let list = app.get("/api/v1/schedules").await.json();
    let of = |id: &str| {
        let all = list["schedules"].as_array().unwrap();
        all.iter().find(|one| one["document_id"] == id).unwrap().clone()
    };
    let job = ended(&app, of(&good)["last_job_id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    let bad = of(&bad);
    assert!(bad["last_skipped"].as_str().unwrap().contains("internal error"), "{bad}");
    let times = [&bad, &bad_schedule].map(|one| one["next_run_at"].as_str().unwrap().parse::<Timestamp>().unwrap());
    assert!(times[0] > days && times[0] > times[1], "it waits for its next time: {bad}");
    assert_eq!(app.workspace.run_due(days).await.unwrap(), 0);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_schedules_are_refused() {
    let app = TestApp::start().await;
    let id = stored(&app, "Report", "text").await;
    let path = format!("/api/v1/documents/{id}/schedule");
    for body in [
        json!({"cron": "* * * * *"}),
        json!({"cron": "*/14 * * * *"}),
        json!({"cron": "0,58 0,23 * * *"}),
        json!({"cron": "1,2 3 29 2 *"}),
        json!({"cron": "0 0 30 2 *"}),
        json!({"cron": "* * * * * *"}),
        json!({"cron": "@reboot"}),
        json!({"cron": ""}),
        json!({"cron": "1,".repeat(1_000_000)}),
        json!({"cron": "@daily", "time_zone": "../../etc/passwd"}),
        json!({"cron": "@daily", "time_zone": "Europe/Atlantis"}),
        json!({"cron": "@daily", "environment_id": "01890a5d-ac96-774b-bcce-b302099a8057"}),
        json!({"cron": "@daily", "every": 1}),
        json!({"cron": 5}),
        json!({}),
    ] {
        let problem = app.ask(Method::PUT, &path, Some(body)).await.problem(422, "invalid_request");
        assert!(problem["detail"].as_str().unwrap().len() < 2000, "{problem}");
    }
    let nobodys = "/api/v1/documents/01890a5d-ac96-774b-bcce-b302099a8057/schedule";
    app.ask(Method::PUT, nobodys, Some(json!({"cron": "@daily"}))).await.problem(404, "not_found");
    app.get(&path).await.problem(404, "not_found");
    app.stop().await;

    let app = TestApp::builder().jobs(JobPolicy { schedule_minutes: 1, ..JobPolicy::default() }).start().await;
    let id = stored(&app, "Report", "text").await;
    put(&app, &id, json!({"cron": "* * * * *"})).await;
    for number in 0..19 {
        let id = stored(&app, &format!("{number}"), "text").await;
        put(&app, &id, json!({"cron": "@daily"})).await;
    }
    let id = stored(&app, "One more", "text").await;
    let body = Some(json!({"cron": "@daily"}));
    app.ask(Method::PUT, &format!("/api/v1/documents/{id}/schedule"), body).await.problem(409, "conflict");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_does_not_put_schedules_all_the_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pymd.db");
    let app = TestApp::builder().database_url(format!("sqlite://{}", path.display())).start().await;
    let id = stored(&app, "Report", "text").await;
    let mut other = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let path = format!("/api/v1/documents/{id}/schedule");
    let ask = || Box::pin(app.ask(Method::PUT, &path, Some(json!({"cron": "@daily"}))));
    let (refused, _, others) = futures::future::select_all([ask(), ask(), ask()]).await;
    refused.problem(429, "too_many");
    other.execute("ROLLBACK").await.unwrap();
    for answer in futures::future::join_all(others).await {
        answer.json();
    }
    ask().await.json();
    other.close().await.unwrap();
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_of_what_cannot_be_rendered_is_given_up() {
    let app = TestApp::start().await;
    let id = stored(&app, "Report", "---\nenvironment: none\n---\n").await;
    put(&app, &id, json!({"cron": "@hourly"})).await;
    let path = format!("/api/v1/documents/{id}/schedule");
    // Ten that fail, and the one that finds it out.
    for _ in 0..11 {
        let schedule = app.get(&path).await.json();
        let Some(due) = schedule["next_run_at"].as_str() else { break };
        let made = app.workspace.run_due(due.parse().unwrap()).await.unwrap();
        if made == 1 {
            let schedule = app.get(&path).await.json();
            let job = ended(&app, schedule["last_job_id"].as_str().unwrap()).await;
            assert_eq!(job["state"], "failed", "{job}");
        }
    }
    let last = app.get(&path).await.json();
    assert_eq!((last["failures"].as_u64(), last["enabled"].as_bool()), (Some(10), Some(false)));
    assert!(last["disabled_reason"].as_str().unwrap().contains("`none`"), "{last}");
    assert_eq!(app.get("/api/v1/jobs").await.json()["total"], 10);
    app.stop().await;
}
