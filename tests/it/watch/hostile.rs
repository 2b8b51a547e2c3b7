use std::mem::size_of;

use futures::{SinkExt as _, StreamExt as _};
use pymd::domain::{Event, MimeBundle, Output};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Ear, document, edit, kernel, made, names, run};
use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_hears_nothing() {
    let app = TestApp::start().await;
    let eve = app.user("Eve").await;
    let (kernel, document) = (kernel(&app).await, document(&app).await);
    let mut own = Ear::of(&app).await;
    let begun = own.subscribe(json!({"kernel_id": kernel})).await;
    own.subscribe(json!({"document_id": document})).await;
    let mut ear = Ear::of_key(&app, &eve).await;
    for what in [
        json!({"kernel_id": kernel}),
        json!({"kernel_id": kernel, "epoch": begun["epoch"], "after": 0}),
        json!({"document_id": document}),
    ] {
        let refused = ear.subscribe(what).await;
        assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("not_found")));
    }
    run(&app, &kernel, "print('secret')").await;
    edit(&app, &document, "secret").await;
    own.until_event("changed").await;
    // The next that she hears is the answer to what she says next.
    ear.say(&json!({"type": "unsubscribe", "kernel_id": kernel})).await;
    assert_eq!(ear.hear().await["type"], "unsubscribed");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_messages_are_refused_and_harm_nothing() {
    let app = TestApp::start().await;
    let kernel = kernel(&app).await;
    let mut ear = Ear::of(&app).await;
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let long = "x".repeat(65);
    for message in [
        json!(null),
        json!([]),
        json!({}),
        json!({"type": "subscribe"}),
        json!({"type": "subscribe", "kernel_id": 1}),
        json!({"type": "subscribe", "kernel_id": "../../etc"}),
        json!({"type": "subscribe", "kernel_id": id, "document_id": id}),
        json!({"type": "subscribe", "kernel_id": id, "after": 1}),
        json!({"type": "subscribe", "kernel_id": id, "epoch": "e"}),
        json!({"type": "subscribe", "kernel_id": id, "epoch": "e", "after": -1}),
        json!({"type": "subscribe", "kernel_id": id, "epoch": "e", "after": 1e300}),
        json!({"type": "subscribe", "job_id": id, "epoch": "e", "after": 1}),
        json!({"type": "subscribe", "kernel_id": id, "id": long}),
        json!({"type": "subscribe", "kernel_id": id, "surprise": true}),
        json!({"type": "SUBSCRIBE", "kernel_id": id}),
        json!({"type": "unsubscribe"}),
    ] {
        ear.say(&message).await;
        let answer = ear.hear().await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("bad_message")), "{message}: {answer}");
    }
    let begun = ear.subscribe(json!({"kernel_id": kernel, "epoch": "e", "after": u64::MAX})).await;
    assert_eq!(begun["type"], "reset");
    run(&app, &kernel, "1").await;
    ear.until_event("cell_done").await;
    for (message, code) in [(Message::binary(vec![0]), 1003), (Message::text("x".repeat(20_000)), 1009)] {
        let mut ear = Ear::of(&app).await;
        ear.0.send(message).await.unwrap();
        // A frame that is too long may end the connection without a word.
        if let Some(Ok(Message::Close(Some(frame)))) = ear.0.next().await {
            assert_eq!(u16::from(frame.code), code);
        }
        assert!(ear.next().await.is_none());
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_subscribes_without_end() {
    let app = TestApp::start().await;
    let mut documents = Vec::new();
    for number in 0..65 {
        documents.push(made(&app, "/api/v1/documents", json!({"title": format!("{number}")})).await);
    }
    // One connection hears of so many things.
    let mut ears = Vec::new();
    for _ in 0..4 {
        let mut ear = Ear::of(&app).await;
        for document in &documents[..64] {
            assert_eq!(ear.subscribe(json!({"document_id": document})).await["type"], "subscribed");
        }
        let refused = ear.subscribe(json!({"document_id": documents[64]})).await;
        assert_eq!((&refused["code"], &refused["document_id"]), (&json!("too_many"), &json!(documents[64])));
        ears.push(ear);
    }
    // And one user, however many connections they have.
    let mut more = Ear::of(&app).await;
    let refused = more.subscribe(json!({"document_id": documents[0]})).await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("too_many")));
    drop(ears.pop());
    // The server notices soon that it is gone.
    for _ in 0..1000 {
        if more.subscribe(json!({"document_id": documents[64]})).await["type"] == "subscribed" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    }
    edit(&app, &documents[64], "changed").await;
    more.until_event("changed").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_subscriptions_are_too_many() {
    let app = TestApp::start().await;
    let kernel = kernel(&app).await;
    let ear = Ear::of(&app).await;
    let (mut out, mut incoming) = ear.0.split();
    let shouting = tokio::spawn(async move {
        for number in 0..10_000 {
            let id = format!("01890a5d-ac96-774b-bcce-{number:012x}");
            let message = json!({"type": "subscribe", "kernel_id": id}).to_string();
            if out.send(Message::text(message)).await.is_err() {
                break;
            }
        }
    });
    let (mut answers, mut reason) = (0, None);
    while let Some(Ok(message)) = incoming.next().await {
        match message {
            Message::Text(text) => {
                answers += 1;
                assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["type"], "error", "{text}");
            }
            Message::Close(frame) => reason = frame.map(|frame| u16::from(frame.code)),
            _ => {}
        }
    }
    shouting.await.unwrap();
    assert!(answers < 1000, "{answers}");
    // A client that is still writing may not read why it was cut off.
    assert!(reason.is_none_or(|code| code == 1008), "{reason:?}");
    run(&app, &kernel, "1").await;
    app.stop().await;
}

/// What is kept for those who watch counts as what it takes in memory, however short it is as text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_values_count_as_what_they_take() {
    let count = |value: Value| {
        let data = MimeBundle::from_iter([("application/json".to_owned(), value)]);
        Event::Output { output: Output::DisplayData { data, metadata: MimeBundle::new(), display_id: None } }
            .size_bytes()
    };
    let (value, deep) = (size_of::<Value>(), |inner: Value| (0..100).fold(inner, |inner, _| json!([inner])));
    assert!(count(json!(vec![0; 10_000])) >= 10_000 * value);
    assert!(count(json!(vec![json!([]); 10_000])) >= 10_000 * value);
    assert!(count(json!(vec![deep(json!({})); 1000])) >= 100_000 * value);
    // A map has room for more than one field.
    assert!(count(json!(vec![json!({"": null}); 1000])) >= 1000 * (value + 10 * size_of::<(String, Value)>()));
    assert!((1_000_000..1_010_000).contains(&count(json!("x".repeat(1_000_000)))), "text is what it is");

    let app = TestApp::start().await;
    let kernel = kernel(&app).await;
    let mut ear = Ear::of(&app).await;
    ear.subscribe(json!({"kernel_id": kernel})).await;
    let show = "from IPython.display import display\n\
        inner = {}\nfor _ in range(100): inner = {'': inner}\n\
        display({'application/json': [inner] * 100}, raw=True)";
    run(&app, &kernel, show).await;
    let heard = ear.until_event("cell_done").await;
    assert!(heard.iter().any(|told| told["event"]["event"] == "left_out"), "{:?}", names(&heard));
    app.stop().await;
}
