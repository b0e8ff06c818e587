//! Direct calls whose state or result is larger than a reply: the bucket has them.

use std::time::Duration;

use amiferry_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::support::*;

/// Less than the state of two targets.
const REPLY_BYTES: usize = 300;

async fn call_for_little(sandbox: &Sandbox, event: &Value) -> Value {
    let function = function(sandbox).await.with_largest_reply(REPLY_BYTES);
    let (text, invocation) = (event.to_string(), invocation(sandbox));
    let reply = function.handle(&text, &invocation).await.expect("a reply");
    assert!(reply.to_string().len() < 2 * REPLY_BYTES, "{reply}");
    reply
}

#[tokio::test(start_paused = true)]
async fn a_state_larger_than_a_reply_is_carried_in_the_bucket() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let mut reply = call_for_little(&sandbox, &distribute(&TWO)).await;
    let mut calls = 1;
    while reply["Status"] == "Continue" {
        assert_eq!(reply["State"], Value::Null);
        let seconds = reply["WaitSeconds"].as_u64().expect("WaitSeconds");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let event = json!({"StateAt": reply["StateAt"], "Retries": 0});
        reply = call_for_little(&sandbox, &event).await;
        calls += 1;
    }
    assert!(calls > 2, "{calls} calls");
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
    let at = &reply["Result"]["ResultAt"];
    assert_eq!(at["Bucket"], BUCKET);
    let objects = sandbox.objects(BUCKET);
    let result = &objects[at["Key"].as_str().expect("a key")];
    let result: Value = serde_json::from_slice(result).expect("JSON");
    assert_eq!(result["Targets"].as_array().expect("a list").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_state_at_a_place_that_is_not_the_functions_is_refused_by_name() {
    let sandbox = Sandbox::new(world(&TWO));
    for (at, said) in [
        (
            json!({"Bucket": "somebodys-bucket", "Key": "payloads/x/state.json"}),
            "State: is kept in bucket \"somebodys-bucket\", which is not this function's",
        ),
        (
            json!({"Bucket": BUCKET, "Key": "payloads/x/state.json"}),
            "State: s3://amiferry-bucket/payloads/x/state.json is not there any more",
        ),
        (
            json!({"Bucket": BUCKET, "Key": "runs/x.json"}),
            "State: is kept at \"runs/x.json\", which is no place of a state",
        ),
    ] {
        let refused = call(&sandbox, &json!({"StateAt": at})).await;
        let refused = refused.expect_err("no state").to_string();
        assert!(refused.starts_with(said), "{refused}");
    }
    let beside = json!({"State": {}, "StateAt": {}});
    let refused = call(&sandbox, &beside).await.expect_err("two states");
    assert!(refused.to_string().starts_with("StateAt: "), "{refused}");
}
