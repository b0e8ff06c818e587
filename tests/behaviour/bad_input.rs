//! Events that the function refuses before any call to AWS, and the words of each refusal.

use amiferry_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::support::*;

/// Returns the error's type and message, and checks that the function made no call.
async fn refused(payload: &str) -> (String, String) {
    let sandbox = Sandbox::new(world(&TWO));
    let error = function(&sandbox)
        .await
        .handle(payload, &invocation(&sandbox))
        .await
        .expect_err("must be refused");
    assert_eq!(sandbox.ledger().len(), 0, "{error}");
    let diagnostic: lambda_runtime::Diagnostic = error.into();
    (diagnostic.error_type, diagnostic.error_message)
}

/// A payload, the type of its error, and the beginning of the message.
type Mistake = (String, &'static str, &'static str);

fn mistaken_requests() -> Vec<Mistake> {
    let with = |change: fn(&mut Value), begin: &'static str| {
        let mut event = distribute(&TWO);
        change(&mut event["Distribute"]);
        (event.to_string(), "InvalidRequest", begin)
    };
    vec![
        with(
            |r| r["Targets"][0]["AccountId"] = json!("22222222222"),
            "Targets[0].AccountId: ",
        ),
        with(
            |r| r["Publish"] = json!({"Parameters": "/golden/web"}),
            "Publish.Parameters: ",
        ),
        with(
            |r| r["Targets"][1] = r["Targets"][0].clone(),
            "Targets[1].AccountId: ",
        ),
        with(|r| r["Targets"] = json!([]), "Targets: "),
        with(|r| r["Colour"] = json!("red"), "Colour: "),
        with(
            |r| r["Targets"][0]["KmsKeyId"] = json!(key_arn(TWO[1])),
            "Targets[0].KmsKeyId: ",
        ),
    ]
}

fn mistaken_payloads() -> Vec<Mistake> {
    vec![
        (
            "{\"Distribute\": ".to_owned(),
            "InvalidRequest",
            "event: is not JSON",
        ),
        ("[]".to_owned(), "InvalidRequest", "event: must be"),
        ("{}".to_owned(), "InvalidRequest", "event: must be"),
        (
            json!({"State": {"Schema": 6}}).to_string(),
            "InvalidState",
            "State: Schema 6 was written by a newer version",
        ),
        (
            json!({"State": {"Schema": "1"}}).to_string(),
            "InvalidState",
            "State: Schema must be",
        ),
        (
            json!({"State": null}).to_string(),
            "InvalidState",
            "State: must be",
        ),
        (
            json!({"State": {"Schema": 1, "Run": "0123456789abcdef"}}).to_string(),
            "InvalidState",
            "State: is not whole",
        ),
        (
            format!("\"{}\"", "x".repeat(7_000_000)),
            "InvalidRequest",
            "event: has 7000002 bytes",
        ),
        ("[".repeat(100_000), "InvalidRequest", "event: is not JSON"),
    ]
}

/// The parsers have tests of each mistake; this one goes through the whole function.
#[tokio::test(start_paused = true)]
async fn a_mistaken_event_is_refused_by_name_before_any_call() {
    for (payload, kind, begin) in mistaken_requests().into_iter().chain(mistaken_payloads()) {
        let (error_type, message) = refused(&payload).await;
        assert_eq!(error_type, kind, "{message}");
        assert!(
            message.starts_with(begin),
            "{message:?} does not begin with {begin:?}"
        );
        assert!(message.len() < 1000, "{}", message.len());
    }
}

/// The state is cut at any place, or lacks any one field.
#[tokio::test(start_paused = true)]
async fn a_truncated_state_is_refused_wherever_it_is_cut() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let reply = call(&sandbox, &distribute(&TWO)).await.unwrap();
    let whole = json!({"State": reply["State"]}).to_string();
    for cut in (1..whole.len()).step_by(7) {
        let (error_type, _) = refused(&whole[..cut]).await;
        assert_eq!(error_type, "InvalidRequest");
    }
    for field in [
        "Schema", "Run", "Started", "Phase", "Source", "Order", "Targets",
    ] {
        let mut state = reply["State"].clone();
        state.as_object_mut().unwrap().remove(field);
        let (error_type, message) = refused(&json!({ "State": state }).to_string()).await;
        assert!(
            error_type == "InvalidState" && message.contains(field),
            "{error_type}: {message}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_out_too_short_to_begin_is_refused_with_the_time_needed() {
    let sandbox = Sandbox::new(world(&TWO));
    let mut short = invocation(&sandbox);
    short.deadline = Some(sandbox.now() + std::time::Duration::from_secs(9));
    let error = function(&sandbox)
        .await
        .handle(&distribute(&TWO).to_string(), &short)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("Timeout of at least 30 s"),
        "{error}"
    );
    assert_eq!(sandbox.ledger().len(), 0);
}
