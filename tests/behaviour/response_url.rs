//! Where a ResponseURL goes, and where it never does: to no other host, and into no payload, log,
//! state or reply.

use amiferry_sandbox::{AnswerRefusal, Sandbox};
use serde_json::{Value, json};

use crate::custom_resource::Stack;
use crate::hostile::{Log, tells_no_secret};
use crate::support::*;

const SECRET: &str = "secret-of-the-stack";

fn event_to(url: &str) -> Value {
    json!({"RequestType": "Create", "ResponseURL": url, "StackId": crate::custom_resource::STACK,
        "RequestId": "request-1",
        "LogicalResourceId": "GoldenImage", "ResourceType": "Custom::AmiDistribution",
        "ResourceProperties": request(&TWO)})
}

fn without(event: &Value, key: &str) -> Value {
    let mut event = event.clone();
    event.as_object_mut().expect("an object").remove(key);
    event
}

/// Returns payloads that mention a ResponseURL, each with the beginning of its refusal.
fn malformed() -> Vec<(String, &'static str)> {
    let good = format!("http://127.0.0.1:1/{SECRET}");
    let changed = |key: &str, value: Value| {
        let mut event = event_to(&good);
        event[key] = value;
        event
    };
    let missing = |key: &str| without(&event_to(&good), key).to_string();
    let wrapped = json!({"Records": [{"Sns": {"Message": event_to(&good).to_string()}}]});
    let escaped = event_to(&good)
        .to_string()
        .replace("ResponseURL", "Response\\u0055RL");
    let at = |url: &str| event_to(url).to_string();
    let endless = format!("https://example.com/{SECRET}{}", "x".repeat(9000));
    let huge = changed("ResourceProperties", json!({"Name": "x".repeat(7_000_000)}));
    vec![
        (
            at(&format!("https://example.com/{SECRET}")),
            "ResponseURL: does not lead",
        ),
        (
            at(&format!("https://evil.s3.amazonaws.com/{SECRET}")),
            "ResponseURL: does not lead",
        ),
        (
            at(&format!("http://example.com/{SECRET}")),
            "ResponseURL: must be an https URL",
        ),
        (
            at(&format!("ftp://127.0.0.1/{SECRET}")),
            "ResponseURL: must be",
        ),
        (at(&endless), "ResponseURL: must be"),
        (at(""), "ResponseURL: must be"),
        (
            changed("ResponseURL", json!([SECRET])).to_string(),
            "ResponseURL: must be",
        ),
        (
            changed("RequestType", json!("Recreate")).to_string(),
            "RequestType: ",
        ),
        (
            changed("StackId", json!("x".repeat(1025))).to_string(),
            "StackId: ",
        ),
        (missing("RequestId"), "RequestId: "),
        (missing("StackId"), "event: must be"),
        (missing("RequestType"), "event: must be"),
        (wrapped.to_string(), "event: must be"),
        (
            escaped.replace("\"StackId\"", "\"Stack\""),
            "event: must be",
        ),
        (huge.to_string(), "event: has"),
        (format!("{}]", event_to(&good)), "event: is not JSON"),
    ]
}

/// Lambda would put an event that ends in an error into the dead letters, its ResponseURL included.
#[tokio::test(start_paused = true)]
async fn a_malformed_event_with_a_response_url_ends_without_an_error() {
    for (payload, begin) in malformed() {
        let log = Log::default();
        let listening = log.listen();
        let sandbox = Sandbox::new(world(&TWO));
        let served = function(&sandbox)
            .await
            .handle(&payload, &invocation(&sandbox))
            .await;
        drop(listening);
        let shown: String = payload.chars().take(200).collect();
        let reply = served.unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(
            (&reply["Status"], &reply["ErrorType"]),
            (&json!("Failed"), &json!("InvalidRequest")),
            "{shown}: {reply}"
        );
        let reason = reply["Reason"].as_str().expect("a reason");
        assert!(
            reason.starts_with(begin),
            "{reason:?} does not begin with {begin:?}"
        );
        assert!(log.text().contains("not served"), "{shown}");
        for (what, text) in [("the reply", reply.to_string()), ("the log", log.text())] {
            tells_no_secret(what, &text).unwrap_or_else(|said| panic!("{said}"));
            assert!(!text.contains("example.com"), "{what}: {text}");
        }
        assert_eq!(sandbox.ledger().len(), 0, "{shown}");
    }
}

/// A caller that waits gets the error, whatever its event mentions.
#[tokio::test(start_paused = true)]
async fn a_malformed_direct_call_fails_by_name_though_it_mentions_a_response_url() {
    let sandbox = Sandbox::new(world(&TWO));
    let event = json!({"Distribute": {"SourceImageId": AMI, "ResponseURL": "https://example.com"}});
    let error = call(&sandbox, &event).await.expect_err("no targets");
    assert_eq!(error.error_type(), "InvalidRequest");
    let hidden = json!({"Open": {"CustomResource": event_to("https://example.com/x")},
        "Execution": "run-1"});
    let error = call(&sandbox, &hidden).await.expect_err("another host");
    assert!(
        error.to_string().starts_with("ResponseURL: does not lead"),
        "{error}"
    );
    assert_eq!(sandbox.ledger().len(), 0);
}

/// While the function invokes itself, the URL is stored in the bucket, appears in no payload, state
/// or log, and is deleted after use.
#[tokio::test(start_paused = true)]
async fn the_response_url_is_stored_in_the_bucket_while_the_function_invokes_itself() {
    let log = Log::default();
    let _listening = log.listen();
    let stack = Stack::of_sandbox(Sandbox::new(world(&TWO).copy_mib_per_second(102.4)));
    let event = stack.event("Create", &request(&TWO));
    let url = event["ResponseURL"].as_str().expect("a URL").to_owned();
    let mut payload = event.to_string();
    let mut turns = 0;
    while stack.sandbox.answers().is_empty() {
        let mut short = invocation(&stack.sandbox);
        short.deadline = Some(stack.sandbox.now() + std::time::Duration::from_mins(5));
        let function = function(&stack.sandbox).await;
        let reply = function.handle(&payload, &short).await.expect("a reply");
        assert!(!reply.to_string().contains(SECRET), "{reply}");
        let Some(own) = stack.sandbox.lambda_invocations().pop() else {
            continue;
        };
        payload = String::from_utf8(own.payload).expect("text");
        assert!(
            !payload.contains(SECRET) && !payload.contains("http"),
            "{payload}"
        );
        let kept = stack.sandbox.objects(BUCKET);
        let answers: Vec<_> = kept
            .iter()
            .filter(|(k, _)| k.starts_with("answers/"))
            .collect();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].1, url.as_bytes());
        turns += 1;
    }
    assert!(turns >= 2, "{turns} turns");
    assert!(!log.text().contains(SECRET), "the log holds the URL");
    let kept = stack.sandbox.objects(BUCKET);
    assert!(
        !kept.keys().any(|key| key.starts_with("answers/")),
        "{kept:?}"
    );
    assert_whole(&stack.sandbox, &TWO);
    assert_closed(&stack.sandbox);
}

/// Not even the lowest level of the log, which shows requests and answers of AWS, shows the request
/// that answers CloudFormation.
#[tokio::test(start_paused = true)]
async fn no_level_of_the_log_shows_the_response_url() {
    let log = Log::of_everything();
    let _listening = log.listen();
    let stack = Stack::new(&TWO);
    let answer = stack.send(&stack.event("Create", &json!({}))).await;
    assert_eq!(answer["Status"], "FAILED");
    assert!(log.text().contains("stack"), "it is a log");
    assert!(!log.text().contains(SECRET), "the log holds the URL");
}

/// Any caller may forge a turn: the function uses neither the URL in it nor the stored URL of
/// another event.
#[tokio::test(start_paused = true)]
async fn a_forged_turn_reveals_no_response_url() {
    let sandbox = Sandbox::new(world(&TWO));
    let event = event_to(&format!("https://example.com/{SECRET}"));
    let elsewhere =
        json!({"Turn": 1, "CustomResource": event, "ResponseUrlAt": "answers/amiferry-of-another"});
    let reply = call(&sandbox, &elsewhere).await.expect("no error");
    assert!(
        reply["Reason"]
            .as_str()
            .expect("a reason")
            .starts_with("ResponseUrlAt: "),
        "{reply}"
    );
    let with_url = json!({"Turn": 1, "CustomResource": event, "State": {}});
    let reply = call(&sandbox, &with_url).await.expect("no error");
    assert_eq!(reply["Status"], "Failed", "{reply}");
    assert!(!reply.to_string().contains(SECRET), "{reply}");
    assert_eq!(sandbox.ledger().len(), 0);
}

/// CloudFormation takes no answer. The function retries in further invocations, without the URL in
/// their payloads.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_never_taken_is_retried_a_bounded_number_of_times() {
    for words in [request(&[TWO[0]]), json!({"SourceImageId": AMI})] {
        let stack = Stack::new(&[TWO[0]]);
        stack.sandbox.refuse_answers(AnswerRefusal::Status {
            status: 403,
            times: None,
        });
        let mut payloads = vec![stack.event("Create", &words).to_string()];
        let mut turns = 0;
        while let Some(payload) = payloads.pop() {
            assert!(turns == 0 || !payload.contains(SECRET), "{payload}");
            turns += 1;
            assert!(turns < 30, "it does not end");
            let function = function(&stack.sandbox).await;
            let mut short = invocation(&stack.sandbox);
            // Only the first turn has time for more than one attempt.
            let seconds = if turns == 1 { 40 } else { 12 };
            short.deadline = Some(stack.sandbox.now() + std::time::Duration::from_secs(seconds));
            let served = function.handle(&payload, &short).await;
            if turns == 1 {
                assert!(served.is_ok(), "{served:?}");
            }
            let said = format!("{served:?}");
            assert!(!said.contains(SECRET), "{said}");
            let own = stack.sandbox.lambda_invocations().into_iter();
            payloads.extend(own.map(|own| String::from_utf8(own.payload).expect("text")));
        }
        assert!(turns > 3, "{turns}");
    }
}
