//! Answers of CloudFormation that come late, or that it does not take at once.

use super::*;

/// The answer to a request with `Wait: false` comes once the work has begun.
#[tokio::test(start_paused = true)]
async fn a_create_without_wait_is_answered_once_when_work_begins() {
    let stack = Stack::new(&TWO);
    let started = stack
        .send(&stack.event("Create", &with(request(&TWO), "Wait", json!("false"))))
        .await;
    assert_eq!(
        (&started["Status"], &started["Reason"]),
        (&json!("SUCCESS"), &json!("started"))
    );
    assert_whole(&stack.sandbox, &TWO);
    assert_closed(&stack.sandbox);
}

/// The create takes longer than one invocation. The function invokes itself, and no payload on the
/// way holds the ResponseURL.
#[tokio::test(start_paused = true)]
async fn a_long_create_continues_in_invocations_of_itself_without_the_response_url() {
    let sandbox = Sandbox::new(world(&TWO).copy_mib_per_second(102.4));
    let stack = Stack::of_sandbox(sandbox);
    let mut payload = stack.event("Create", &request(&TWO)).to_string();
    let mut turns = 0;
    while stack.sandbox.answers().is_empty() {
        let mut short = invocation(&stack.sandbox);
        short.deadline = Some(stack.sandbox.now() + std::time::Duration::from_mins(5));
        function(&stack.sandbox)
            .await
            .handle(&payload, &short)
            .await
            .expect("a reply");
        if let Some(own) = stack.sandbox.lambda_invocations().pop() {
            payload = String::from_utf8(own.payload).unwrap();
            let own: Value = serde_json::from_str(&payload).unwrap();
            assert!(
                !own.to_string().contains("secret-of-the-stack"),
                "the payload holds the ResponseURL"
            );
            turns += 1;
        }
    }
    assert!(turns >= 2, "{turns} turns");
    assert_eq!(
        serde_json::from_str::<Value>(&stack.sandbox.answers()[0].body).unwrap()["Status"],
        "SUCCESS"
    );
    assert_whole(&stack.sandbox, &TWO);
    assert_closed(&stack.sandbox);
}

/// CloudFormation waits for an hour. A run that cannot finish by then is undone and reported as
/// failed before.
#[tokio::test(start_paused = true)]
async fn a_create_too_slow_for_cloudformation_is_undone_and_answered_in_time() {
    let sandbox = Sandbox::new(world(&TWO).copy_mib_per_second(1.0));
    let stack = Stack::of_sandbox(sandbox);
    let event = stack.event("Create", &request(&TWO));
    let mut short = invocation(&stack.sandbox);
    short.deadline = Some(stack.sandbox.now() + std::time::Duration::from_secs(16));
    function(&stack.sandbox)
        .await
        .handle(&event.to_string(), &short)
        .await
        .expect("a reply");
    let own = stack
        .sandbox
        .lambda_invocations()
        .pop()
        .expect("invokes itself");
    let mut own: Value = serde_json::from_slice(&own.payload).unwrap();
    assert!(stack.sandbox.answers().is_empty());
    own["State"]["EndBy"] = json!(own["State"]["EndBy"].as_i64().unwrap() - 3400);
    let answer = stack.send(&event_of(&own)).await;
    assert_eq!(answer["Status"], "FAILED");
    assert!(
        answer["Reason"].as_str().unwrap().contains("Wait: false"),
        "{answer}"
    );
    assert_nothing(&stack.sandbox, &TWO);
    assert_closed(&stack.sandbox);
}

/// Returns a turn as an event, with CloudFormation's own words where `Stack::send` compares them.
fn event_of(turn: &Value) -> Value {
    let mut event = turn.clone();
    for key in ["StackId", "RequestId", "LogicalResourceId"] {
        event[key] = turn["CustomResource"][key].clone();
    }
    event
}

/// Delivers an event to a function with a time-out of so many seconds, on the world's fast clock.
/// Returns how long before its deadline the function returned.
async fn delivered(
    stack: &Stack,
    event: &Value,
    seconds: u64,
) -> (Result<Value, String>, Duration) {
    let mut short = invocation(&stack.sandbox);
    let deadline = stack.sandbox.now() + Duration::from_secs(seconds);
    short.deadline = Some(deadline);
    let function = function(&stack.sandbox).await;
    let reply = function.handle(&event.to_string(), &short).await;
    let left = deadline.duration_since(stack.sandbox.now());
    (reply.map_err(|e| e.to_string()), left.unwrap_or_default())
}

/// S3 refuses the answer twice, and the function retries.
#[tokio::test(start_paused = true)]
async fn an_answer_refused_twice_is_sent_a_third_time() {
    let stack = Stack::new(&TWO);
    stack.sandbox.refuse_answers(AnswerRefusal::Status {
        status: 503,
        times: Some(2),
    });
    let event = stack.event("Create", &request(&TWO));
    let (reply, _) = delivered(&stack, &event, 900).await;
    assert!(reply.is_ok(), "{reply:?}");
    let statuses: Vec<u16> = stack.sandbox.answers().iter().map(|a| a.status).collect();
    assert_eq!(statuses, [503, 503, 200]);
    assert_whole(&stack.sandbox, &TWO);
    assert_closed(&stack.sandbox);
}

/// The ResponseURL refuses the answer. Before its deadline the function invokes itself with a
/// payload that holds no URL, and that invocation finds everything done. Nothing stays open
/// meanwhile, and no error contains the URL.
#[tokio::test(start_paused = true)]
async fn an_answer_refused_until_the_deadline_is_sent_by_another_invocation() {
    let refusals = [
        AnswerRefusal::Status {
            status: 403,
            times: None,
        },
        AnswerRefusal::Hang,
        AnswerRefusal::Close,
    ];
    let places = [TWO[0]];
    let one = |how: AnswerRefusal| async move {
        let stack = Stack::new(&places);
        stack.sandbox.refuse_answers(how);
        let event = stack.event("Create", &request(&places));
        let (reply, left) = delivered(&stack, &event, 120).await;
        let reply = reply.expect("no error, which would put the event into the dead letters");
        assert_eq!(reply["Status"], "Continue", "{how:?}: {reply}");
        let own = stack
            .sandbox
            .lambda_invocations()
            .pop()
            .expect("invokes itself");
        let own: Value = serde_json::from_slice(&own.payload).expect("JSON");
        assert!(!own.to_string().contains("secret-of-the-stack"), "{own}");
        assert!(
            left >= Duration::from_secs(10),
            "{how:?}: {left:?} before the deadline"
        );
        assert_whole(&stack.sandbox, &places);
        assert_closed(&stack.sandbox);
        stack.sandbox.accept_answers();
        let copies = calls(&stack.sandbox, "CopySnapshot");
        let (again, _) = delivered(&stack, &own, 900).await;
        assert!(again.is_ok(), "{how:?}: {again:?}");
        let answer = stack.sandbox.answers().pop().expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(
            calls(&stack.sandbox, "CopySnapshot"),
            copies,
            "copied once only"
        );
    };
    futures::future::join_all(refusals.map(one)).await;
}
