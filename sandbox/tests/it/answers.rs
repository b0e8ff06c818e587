//! The `ResponseURL` sink that refuses, hangs or breaks the connection.

use std::time::Duration;

use amiferry_sandbox::{AnswerRefusal, Sandbox};
use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::worlds::world;

async fn send(sandbox: &Sandbox, method: &str, path: &str, body: &str) -> Option<u16> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1/_sandbox/{path}"))
        .body(Bytes::from(body.to_owned()));
    let answer = sandbox.send(request.expect("a request")).await;
    answer.ok().map(|answer| answer.status().as_u16())
}

async fn put(sandbox: &Sandbox) -> Option<u16> {
    send(sandbox, "PUT", "answers/stack", "{}").await
}

fn statuses(sandbox: &Sandbox) -> Vec<u16> {
    let answers = sandbox.answers();
    answers.iter().map(|answer| answer.status).collect()
}

#[tokio::test(start_paused = true)]
async fn a_refusing_sink_answers_its_status_a_number_of_times_or_always() {
    let sandbox = Sandbox::new(world());
    sandbox.refuse_answers(AnswerRefusal::Status {
        status: 503,
        times: Some(2),
    });
    for expected in [503, 503, 200] {
        // A GET of the answers does not use up a refusal.
        assert_eq!(send(&sandbox, "GET", "answers", "").await, Some(200));
        assert_eq!(put(&sandbox).await, Some(expected));
    }
    sandbox.refuse_answers(AnswerRefusal::Status {
        status: 403,
        times: None,
    });
    for _ in 0..3 {
        assert_eq!(put(&sandbox).await, Some(403));
    }
    sandbox.accept_answers();
    assert_eq!(put(&sandbox).await, Some(200));
    assert_eq!(statuses(&sandbox), [503, 503, 200, 403, 403, 403, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_refusing_sink_breaks_the_connection_or_hangs() {
    let sandbox = Sandbox::new(world());
    sandbox.refuse_answers(AnswerRefusal::Close);
    assert_eq!(put(&sandbox).await, None);
    sandbox.refuse_answers(AnswerRefusal::Hang);
    let patience = Duration::from_hours(3);
    let outcome = tokio::time::timeout(patience, put(&sandbox)).await;
    assert!(outcome.is_err(), "{outcome:?}");
    sandbox.hung().await;
    sandbox.accept_answers();
    assert_eq!(put(&sandbox).await, Some(200));
    assert_eq!(statuses(&sandbox), [0, 0, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_sink_is_made_to_refuse_over_http() {
    let sandbox = Sandbox::new(world());
    let ask = json!({"how": "status", "status": 500, "times": 1}).to_string();
    assert_eq!(send(&sandbox, "POST", "answers", &ask).await, Some(200));
    assert_eq!(put(&sandbox).await, Some(500));
    assert_eq!(put(&sandbox).await, Some(200));
    for ask in ["{\"how\": \"close\"}", "{\"how\": \"hang\"}", "null"] {
        assert_eq!(send(&sandbox, "POST", "answers", ask).await, Some(200));
    }
    assert_eq!(put(&sandbox).await, Some(200));
    let wrong = "{\"how\": \"politely\"}";
    assert_eq!(send(&sandbox, "POST", "answers", wrong).await, Some(400));
}
