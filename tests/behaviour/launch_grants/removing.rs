//! Grants to launch stay while a copy stands that needs them, and go with the last.

use super::*;
use crate::custom_resource::{Stack, with};

pub fn properties(name: &str) -> Value {
    let mut wish = distribute_to_launch(&TWO, &ALL)["Distribute"].clone();
    wish["OnDelete"] = json!("Deregister");
    wish["Name"] = json!(name);
    wish
}

pub async fn send(
    stack: &Stack,
    kind: &str,
    logical: &str,
    wish: &Value,
    id: Option<&Value>,
) -> Value {
    let mut event = stack.event(kind, wish);
    event["LogicalResourceId"] = json!(logical);
    if let Some(id) = id {
        event["PhysicalResourceId"] = id.clone();
    }
    let answer = stack.send(&event).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    answer
}

/// Deletes the resource that was created with this answer.
async fn delete(stack: &Stack, wish: &Value, created: &Value) {
    let id = Some(&created["PhysicalResourceId"]);
    send(stack, "Delete", "One", wish, id).await;
}

#[tokio::test(start_paused = true)]
async fn launch_grants_go_with_the_last_copy_under_the_key() {
    let stack = Stack::of(launching_world());
    grant_by_hand(&stack.sandbox).await;
    let wish = properties("golden");
    let one = send(&stack, "Create", "One", &wish, None).await;
    // Another image stands on this copy of another run, so the grants must stay.
    let place = TWO[0];
    let mut other =
        amiferry_sandbox::Snapshot::new(place.1, "snap-0123456789abcdeff", 8).key(&key_arn(place));
    other
        .tags
        .insert("amiferry:key".to_owned(), "of another run".to_owned());
    stack
        .sandbox
        .edit(|aws| aws.add_snapshot(place.0, other))
        .expect("it can be");

    delete(&stack, &wish, &one).await;
    assert_nothing(&stack.sandbox, &TWO[1..]);
    assert_eq!(
        grantees(&stack.sandbox, &key_arn(TWO[0])),
        all_of(TWO[0].0),
        "a copy stands"
    );
    assert_eq!(
        launch_grants(&stack.sandbox, &key_arn(TWO[1])),
        Vec::new(),
        "none stands"
    );

    // The next run removes the grants with the last copy.
    stack
        .sandbox
        .edit(|aws| assert!(aws.delete_snapshot("snap-0123456789abcdeff")));
    let one = send(&stack, "Create", "One", &wish, None).await;
    delete(&stack, &wish, &one).await;
    let left: Vec<Option<String>> = sandbox_names(&stack);
    assert_eq!(
        left,
        [Some("by-hand".to_owned())],
        "what we did not make stays"
    );
    assert_nothing(&stack.sandbox, &TWO);
    assert_closed(&stack.sandbox);
}

fn sandbox_names(stack: &Stack) -> Vec<Option<String>> {
    let grants = launch_grants(&stack.sandbox, &key_arn(TWO[0])).into_iter();
    grants.map(|grant| grant.name).collect()
}

/// The remaining target keeps its grants.
#[tokio::test(start_paused = true)]
async fn a_target_taken_off_the_list_loses_its_launch_grants() {
    let stack = Stack::of(launching_world());
    let wish = properties("golden");
    let created = send(&stack, "Create", "One", &wish, None).await;
    assert_granted(&stack.sandbox, &TWO);
    let fewer = with(wish.clone(), "Targets", json!([wish["Targets"][0]]));
    let mut update = stack.event("Update", &fewer);
    update["LogicalResourceId"] = json!("One");
    update["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    update["OldResourceProperties"] = wish;
    assert_eq!(stack.send(&update).await["Status"], "SUCCESS");
    assert_eq!(grantees(&stack.sandbox, &key_arn(TWO[0])), all_of(TWO[0].0));
    assert_eq!(launch_grants(&stack.sandbox, &key_arn(TWO[1])), Vec::new());
    assert_nothing(&stack.sandbox, &TWO[1..]);
}

/// CloudFormation's rollback of the failed Create deletes the copies.
#[tokio::test(start_paused = true)]
async fn a_create_that_lacks_a_service_linked_role_fails_and_its_rollback_leaves_nothing() {
    let stack = Stack::of(launching_world_with(&[SCALING]));
    let wish = properties("golden");
    let failed = stack.send(&stack.event("Create", &wish)).await;
    assert_eq!(failed["Status"], "FAILED");
    let reason = failed["Reason"].as_str().unwrap();
    assert!(
        reason.starts_with("222222222222 us-west-2: no role AWSServiceRole")
            && reason.contains("aws iam create-service-linked-role")
            && reason.contains("the AMI and its snapshots are kept"),
        "{reason}"
    );
    assert_whole(&stack.sandbox, &TWO);
    let mut delete = stack.event("Delete", &wish);
    delete["PhysicalResourceId"] = failed["PhysicalResourceId"].clone();
    assert_eq!(stack.send(&delete).await["Status"], "SUCCESS");
    assert_nothing(&stack.sandbox, &TWO);
    for place in TWO {
        assert_eq!(launch_grants(&stack.sandbox, &key_arn(place)), Vec::new());
    }
    assert_closed(&stack.sandbox);
}
