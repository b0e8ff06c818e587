//! Executions that are overtaken, stopped or started again.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_overtaken_execution_ends_without_failing() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let properties = request(&TWO);
    let job = |kind: &str| {
        let event = unread(kind, &properties);
        json!({"CustomResource": event["CustomResource"], "ResponseUrlAt": event["ResponseUrlAt"]})
    };
    let (create, end) = (job("Create"), job("Delete"));
    let deleting = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        execute(&sandbox, &end).await
    };
    let (created, deleted) = tokio::join!(execute(&sandbox, &create), deleting);
    assert_eq!(created["Status"], "Overtaken", "{created}");
    assert_eq!(deleted["Status"], "Succeeded", "{deleted}");
    assert_nothing(&sandbox, &TWO);
    assert_closed(&sandbox);
}

/// An execution has answered and is about to end when its event is delivered again.
#[tokio::test(start_paused = true)]
async fn an_event_delivered_again_stores_no_response_url() {
    let stack = Stack::of_sandbox(Sandbox::new(with_machine()));
    let settings = Settings {
        state_machine: Some(MACHINE.to_owned()),
        ..settings()
    };
    let create = stack.event("Create", &request(&TWO)).to_string();
    for used in [false, true] {
        let function = function_with(&stack.sandbox, settings.clone()).await;
        let served = function.handle(&create, &invocation(&stack.sandbox)).await;
        let name = served.expect("serves")["Execution"].clone();
        let url = format!("answers/{}", name.as_str().expect("an execution"));
        let kept = stack.sandbox.objects(BUCKET).contains_key(&url);
        assert_eq!(kept, !used, "used: {used}");
        stack.sandbox.edit(|aws| aws.delete_object(BUCKET, &url));
    }
}

/// A stopped or timed-out execution answers CloudFormation at once. Its targets are tidied, and its
/// source is closed.
#[tokio::test(start_paused = true)]
async fn a_stopped_execution_is_answered_and_leaves_nothing() {
    let stack = Stack::of_sandbox(Sandbox::new(with_machine()));
    let sandbox = &stack.sandbox;
    let settings = Settings {
        state_machine: Some(MACHINE.to_owned()),
        ..settings()
    };
    let serve = async |event: &Value| {
        let function = function_with(sandbox, settings.clone()).await;
        let (text, invocation) = (event.to_string(), invocation(sandbox));
        function.handle(&text, &invocation).await.expect("serves")
    };
    let create = stack.event("Create", &request(&TWO));
    let started = serve(&create).await;
    let name = started["Execution"].as_str().expect("an execution");
    let url = format!("answers/{name}");
    assert!(sandbox.objects(BUCKET).contains_key(&url));
    let execution = sandbox.execution_input(MACHINE, name).expect("started");
    let job: Value = serde_json::from_str(&execution).expect("JSON");
    let opened = serve(&json!({"Open": job, "Execution": name, "Last": {}})).await;
    // The first part has begun its copies, and is never called again.
    let mut short = invocation(sandbox);
    short.deadline = Some(sandbox.now() + Duration::from_secs(15));
    let part = json!({"State": opened["Parts"][0]["State"]});
    let begun = function(sandbox)
        .await
        .handle(&part.to_string(), &short)
        .await;
    assert_eq!(begun.expect("begins")["Status"], "Continue");
    assert_eq!(calls(sandbox, "CopySnapshot"), 2);
    assert!(sandbox.end_execution(MACHINE, name, "ABORTED"));
    let ended = json!({"version": "0", "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change", "region": HOME,
        "detail": {"stateMachineArn": MACHINE, "name": name, "status": "ABORTED"}});
    for _ in 0..2 {
        serve(&ended).await;
        let answers = sandbox.answers();
        assert_eq!(answers.len(), 1, "answered once");
        // The event delivered again stores no URL, which nothing would use.
        serve(&create).await;
        assert!(!sandbox.objects(BUCKET).contains_key(&url));
        let answer: Value = serde_json::from_str(&answers[0].body).expect("JSON");
        assert_eq!(answer["Status"], "FAILED");
        assert!(
            answer["Reason"]
                .as_str()
                .expect("a reason")
                .contains("stopped"),
            "{answer}"
        );
        assert_nothing(sandbox, &TWO);
        assert_closed(sandbox);
    }
}

/// Returns a world with the stack's policies for the function, in which copies take a while.
pub fn with_machine() -> World {
    let mut world = slow_world(&TWO).copy_mib_per_second(0.1);
    let source = world
        .accounts
        .iter_mut()
        .find(|account| account.id == SOURCE);
    let role = function_role()
        .policy(documented("Watch"))
        .policy(documented("Start"));
    source.expect("it").roles = vec![role];
    world
}
