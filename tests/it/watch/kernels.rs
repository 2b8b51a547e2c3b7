use std::time::Duration;

use pymd::domain::{KernelPolicy, Limits};
use reqwest::Method;
use serde_json::json;

use super::{Ear, kernel, names, position, run, seqs, with};
use crate::support::TestApp;

/// A kernel that is not saved while a test looks at its events.
fn unsaved() -> KernelPolicy {
    KernelPolicy { save_after_ms: 3_600_000, ..KernelPolicy::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_watchers_hear_the_same_whoever_runs_the_cells() {
    let app = TestApp::builder().kernels(unsaved()).start().await;
    let kernel = kernel(&app).await;
    let (mut ada, mut bob) = (Ear::of(&app).await, Ear::of(&app).await);
    let begun = ada.subscribe(json!({"kernel_id": kernel, "id": "a"})).await;
    assert_eq!((&begun["type"], &begun["id"], &begun["seq"]), (&json!("subscribed"), &json!("a"), &json!(0)));
    assert_eq!((&begun["kernel"]["id"], &begun["kernel"]["state"]), (&json!(kernel), &json!("idle")));
    assert_eq!(begun["resumed"], false);
    bob.subscribe(json!({"kernel_id": kernel})).await;
    let report = run(&app, &kernel, "import sys\nprint('a')\nprint('b', file=sys.stderr)\n6 * 7").await;
    run(&app, &kernel, "raise ValueError('no' * 5000)").await;
    let mut heard = Vec::new();
    for _ in 0..2 {
        heard.extend(ada.until_state("idle").await);
    }
    assert_eq!(seqs(&heard), (1..=heard.len() as u64).collect::<Vec<_>>());
    for told in &heard {
        let mut same = bob.hear().await;
        assert_eq!(same.get("id"), None);
        same["id"] = json!("a");
        assert_eq!(same, *told);
    }
    let first = ["state", "cell_started", "output", "output", "output", "checkpoint", "cell_done", "state"];
    let second = ["state", "cell_started", "output", "checkpoint", "cell_done", "state"];
    assert_eq!(names(&heard), [&first[..], &second[..]].concat());
    assert_eq!((&heard[0]["event"]["state"], &heard[7]["event"]["state"]), (&json!("busy"), &json!("idle")));
    assert_eq!(heard[1]["event"]["execution_count"], 1);
    assert!(heard[1]["event"]["code"].as_str().unwrap().starts_with("import sys"));
    assert_eq!(heard[2]["event"], json!({"event": "output", "output": report["outputs"][0]}));
    assert_eq!(heard[4]["event"]["output"]["data"]["text/plain"], "42");
    let done = &heard[6]["event"];
    assert_eq!((&done["outcome"], &done["fuel_used"]), (&report["outcome"], &report["fuel_used"]));
    assert_eq!((&done["wall_ms"], &done["execution_id"]), (&report["wall_ms"], &report["execution_id"]));
    assert_eq!(heard[5]["event"]["checkpoint"]["id"], heard[7]["event"]["checkpoint_id"]);
    let failed = &heard[12]["event"]["outcome"];
    assert_eq!((&failed["kind"], failed["evalue"].as_str().unwrap().len()), (&json!("python_error"), 1000));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_else_is_done_with_a_kernel_is_heard() {
    let app = TestApp::builder().kernels(unsaved()).start().await;
    let kernel = kernel(&app).await;
    let mut ear = Ear::of(&app).await;
    ear.subscribe(json!({"kernel_id": kernel})).await;
    let path = format!("/api/v1/kernels/{kernel}");
    run(&app, &kernel, "x = 1").await;
    let heard = ear.until_state("idle").await;
    let checkpoint = heard.iter().find(|told| told["event"]["event"] == "checkpoint").unwrap();
    let checkpoint = checkpoint["event"]["checkpoint"]["id"].clone();
    run(&app, &kernel, "x = 2").await;
    ear.until_state("idle").await;
    app.post(&format!("{path}/restore"), &json!({"checkpoint_id": checkpoint})).await.json();
    let heard = ear.until_event("state").await;
    assert_eq!((names(&heard), &heard[0]["event"]["checkpoint_id"]), (vec!["restored", "state"], &checkpoint));
    // A cell that is cancelled, by somebody else; who comes in the middle of it hears the rest.
    let endless = json!({"code": "import time\nprint('begun')\nwhile True: time.sleep(0.01)"});
    let mut events = app.stream(&format!("{path}/execute"), &endless).await;
    while !String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()).contains("begun") {}
    ear.until_event("output").await;
    let mut late = Ear::of(&app).await;
    let begun = late.subscribe(json!({"kernel_id": kernel})).await;
    assert_eq!(begun["kernel"]["state"], "busy");
    app.post(&format!("{path}/interrupt"), &json!({})).await.json();
    for ear in [&mut ear, &mut late] {
        let heard = ear.until_state("idle").await;
        assert_eq!(names(&heard), ["cell_done", "state"]);
        assert_eq!(heard[0]["event"]["outcome"]["kind"], "cancelled");
    }
    app.post(&format!("{path}/restart"), &json!({})).await.json();
    assert_eq!(names(&ear.until_event("state").await), ["restarted", "state"]);
    // What it hears no more.
    ear.say(&json!({"type": "unsubscribe", "kernel_id": kernel})).await;
    assert_eq!(ear.hear().await["type"], "unsubscribed");
    run(&app, &kernel, "x = 3").await;
    ear.say(&json!({"type": "unsubscribe", "kernel_id": kernel})).await;
    assert_eq!(ear.hear().await["type"], "unsubscribed");
    app.ask(Method::DELETE, &path, None).await;
    late.until_event("deleted").await;
    let gone = late.subscribe(json!({"kernel_id": kernel})).await;
    assert_eq!((&gone["type"], &gone["code"]), (&json!("error"), &json!("not_found")));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_misses_nothing_and_hears_nothing_twice() {
    let app = TestApp::builder().kernels(unsaved()).start().await;
    let kernel = kernel(&app).await;
    let (mut steady, mut shaky) = (Ear::of(&app).await, Ear::of(&app).await);
    steady.subscribe(json!({"kernel_id": kernel})).await;
    let mut begun = shaky.subscribe(json!({"kernel_id": kernel})).await;
    let (mut all, mut pieces) = (Vec::new(), Vec::new());
    for round in 0..5 {
        run(&app, &kernel, &format!("print({round})")).await;
        pieces.extend(shaky.until_event("cell_done").await);
        drop(shaky);
        // This one is missed.
        run(&app, &kernel, &format!("print({round}); {round}")).await;
        shaky = Ear::of(&app).await;
        let from = position(&begun, &pieces);
        begun = shaky.subscribe(with(json!({"kernel_id": kernel}), &from)).await;
        assert_eq!(
            (&begun["type"], &begun["resumed"], &begun["seq"]),
            (&json!("subscribed"), &json!(true), &from["after"])
        );
        pieces.extend(shaky.until_event("cell_done").await);
    }
    while all.len() < pieces.len() {
        all.push(steady.hear().await);
    }
    assert_eq!(pieces, all);
    for (from, reason) in [
        (json!({"epoch": "of another server", "after": 1}), "epoch"),
        (json!({"epoch": begun["epoch"], "after": 1_000_000}), "epoch"),
    ] {
        let reset = Ear::of(&app).await.subscribe(with(json!({"kernel_id": kernel}), &from)).await;
        assert_eq!((&reset["type"], &reset["reason"]), (&json!("reset"), &json!(reason)));
        assert_eq!(reset["kernel"]["execution_count"], 10);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_is_kept_is_a_gap() {
    let app = TestApp::builder().kernels(unsaved()).start().await;
    let kernel = kernel(&app).await;
    let mut ear = Ear::of(&app).await;
    let begun = ear.subscribe(json!({"kernel_id": kernel})).await;
    drop(ear);
    run(&app, &kernel, "for _ in range(40): print('x' * 100_000)").await;
    let mut ear = Ear::of(&app).await;
    let from = position(&begun, &[]);
    let reset = ear.subscribe(with(json!({"kernel_id": kernel}), &from)).await;
    assert_eq!((&reset["type"], &reset["reason"], &reset["epoch"]), (&json!("reset"), &json!("gap"), &begun["epoch"]));
    assert_eq!(reset["kernel"]["execution_count"], 1);
    // An output that is too large to be told is said to be there.
    run(&app, &kernel, "from IPython.display import display, HTML\ndisplay(HTML('x' * 2_000_000))").await;
    let heard = ear.until_event("cell_done").await;
    assert_eq!(seqs(&heard)[0], reset["seq"].as_u64().unwrap() + 1);
    let left_out = heard.iter().find(|told| told["event"]["event"] == "left_out").unwrap();
    assert!(left_out["event"]["size_bytes"].as_u64().unwrap() > 2_000_000, "{left_out}");
    app.stop().await;
}

/// The same as a stream of events, which an `EventSource` goes on with by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_of_events_goes_on_where_it_was_cut_off() {
    let app = TestApp::builder().kernels(unsaved()).start().await;
    let kernel = kernel(&app).await;
    let path = format!("/api/v1/kernels/{kernel}/events");
    let read = async |from: Option<&str>, until: &str| {
        let mut request = app.request(Method::GET, &path);
        if let Some(from) = from {
            request = request.header("last-event-id", from);
        }
        let mut response = request.send().await.unwrap();
        let mut text = String::new();
        while !text.contains(until) || !text.ends_with("\n\n") {
            text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
        }
        let ids: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect();
        (text, ids)
    };
    let (text, ids) = read(None, "subscribed").await;
    assert!(text.contains("\"state\":\"idle\"") && ids[0].ends_with("-0"), "{text}");
    run(&app, &kernel, "print('one')").await;
    let (text, ids) = read(Some(&ids[0]), "cell_done").await;
    assert!(text.contains("\"resumed\":true") && text.contains("one\\n"), "{text}");
    let last: u64 = ids.last().unwrap().rsplit_once('-').unwrap().1.parse().unwrap();
    run(&app, &kernel, "print('two')").await;
    let (text, ids) = read(ids.last().map(String::as_str), "two\\n").await;
    assert!(!text.contains("one\\n") && ids[1].ends_with(&format!("-{}", last + 1)), "{text}");
    assert!(read(Some("another-3"), "event: reset").await.0.contains("\"epoch\""));
    for wrong in ["3", "", "a-b"] {
        let refused = app.request(Method::GET, &path).header("last-event-id", wrong).send().await.unwrap();
        assert_eq!(refused.status(), 400, "{wrong}");
    }
    app.get("/api/v1/kernels/01890a5d-ac96-774b-bcce-b302099a8057/events").await.problem(404, "not_found");
    app.stop().await;
}

/// Nothing waits for one who does not read: not the cell, not another who does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_does_not_read_is_dropped_and_holds_up_nobody() {
    let limits = Limits { wall_ms: 20_000, output_bytes: 64 << 20, ..Limits::default() };
    let app = TestApp::builder().limits(limits).kernels(unsaved()).start().await;
    let kernel = kernel(&app).await;
    let code = "for _ in range(4000): print('x' * 10_000)";
    let timed = async || {
        let report = run(&app, &kernel, code).await;
        assert_eq!(report["outcome"]["kind"], "completed");
        Duration::from_secs_f64(report["wall_ms"].as_f64().unwrap() / 1e3)
    };
    timed().await;
    let alone = timed().await;
    let mut deaf = Ear::of(&app).await;
    let begun = deaf.subscribe(json!({"kernel_id": kernel})).await;
    let watched = timed().await;
    eprintln!("40 MB printed: {alone:?} unwatched, {watched:?} with one who does not read");
    assert!(watched < alone * 2 + Duration::from_secs(1), "{watched:?} instead of {alone:?}");
    let heard = deaf.until(|told| told["type"] == "too_slow").await;
    let (last, events) = heard.split_last().unwrap();
    assert_eq!(seqs(events), (1..=events.len() as u64).collect::<Vec<_>>());
    assert_eq!((&last["after"], &last["epoch"]), (&json!(events.len()), &begun["epoch"]));
    let reset = deaf.subscribe(with(json!({"kernel_id": kernel}), &position(&begun, events))).await;
    assert_eq!((&reset["type"], &reset["reason"]), (&json!("reset"), &json!("gap")));
    run(&app, &kernel, "print('again')").await;
    assert_eq!(seqs(&deaf.until_event("cell_done").await)[0], reset["seq"].as_u64().unwrap() + 1);
    app.stop().await;
}

/// A loop that prints without end in small pieces: texts join, whoever listens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_pieces_are_joined() {
    let app = TestApp::builder().kernels(unsaved()).start().await;
    let kernel = kernel(&app).await;
    let mut ear = Ear::of(&app).await;
    ear.subscribe(json!({"kernel_id": kernel})).await;
    run(&app, &kernel, "import sys\nfor i in range(50_000):\n    print(i); sys.stdout.flush()").await;
    let heard = ear.until_event("cell_done").await;
    let texts: Vec<_> = heard.iter().filter_map(|told| told["event"]["output"]["text"].as_str()).collect();
    let expected: String = (0..50_000).map(|i| format!("{i}\n")).collect();
    assert_eq!(texts.concat(), expected);
    eprintln!("50,000 lines in {} events", texts.len());
    assert!(texts.len() < 1000, "{} events", texts.len());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hibernation_and_waking_are_heard_and_watching_wakes_nobody() {
    let app = TestApp::start().await;
    let kernel = kernel(&app).await;
    let mut ear = Ear::of(&app).await;
    ear.subscribe(json!({"kernel_id": kernel})).await;
    run(&app, &kernel, "x = 41").await;
    let is_saved = |told: &serde_json::Value| told["event"]["saved"] == true && told["event"]["execution_count"] == 1;
    let saved = ear.until(is_saved).await.pop().unwrap();
    assert_eq!((&saved["event"]["state"], &saved["event"]["execution_count"]), (&json!("idle"), &json!(1)));
    app.post(&format!("/api/v1/kernels/{kernel}/hibernate"), &json!({})).await.json();
    let asleep = ear.until_state("hibernated").await.pop().unwrap();
    assert_eq!((&asleep["event"]["saved"], &asleep["event"]["execution_count"]), (&json!(true), &json!(1)));
    let mut other = Ear::of(&app).await;
    assert_eq!(other.subscribe(json!({"kernel_id": kernel})).await["kernel"]["state"], "hibernated");
    // Not for those who look now and then, either.
    tokio::time::timeout(Duration::from_millis(2500), other.next()).await.unwrap_err();
    assert_eq!(app.workspace.kernels().live_count(), 0);
    run(&app, &kernel, "print(x + 1)").await;
    for ear in [&mut ear, &mut other] {
        let heard = ear.until_event("cell_done").await;
        let states: Vec<_> = heard.iter().filter_map(|told| told["event"]["state"].as_str()).collect();
        assert_eq!(states, ["starting", "idle", "busy"]);
        let output = heard.iter().find(|told| told["event"]["event"] == "output").unwrap();
        assert_eq!(output["event"]["output"]["text"], "42\n");
    }
    app.stop().await;
}
