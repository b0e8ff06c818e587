//! A custom resource's life, answered as CloudFormation wants it: by PUT, with an empty
//! Content-Type, in 4,096 bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use amiferry::setup::Settings;
use amiferry_sandbox::{AnswerRefusal, BlockDeviceMapping, Ebs, Image, Sandbox, Snapshot, World};
use serde_json::{Value, json};

use crate::support::*;

mod answers;

pub const STACK: &str = "arn:aws:cloudformation:us-west-2:111111111111:\
    stack/golden-image/6b0b2c70-3c1d-11ee-a1b2-0a58a9feac02";

pub struct Stack {
    pub sandbox: Sandbox,
    /// Each event is one of its own.
    requests: AtomicU64,
}

impl Stack {
    pub fn new(places: &[Place]) -> Self {
        Self::of(world(places))
    }

    pub fn of(world: World) -> Self {
        Self::of_sandbox(Sandbox::new(world))
    }

    pub fn of_sandbox(sandbox: Sandbox) -> Self {
        Self {
            sandbox,
            requests: AtomicU64::default(),
        }
    }

    pub fn event(&self, kind: &str, properties: &Value) -> Value {
        json!({
            "RequestType": kind,
            "ResponseURL": "http://127.0.0.1/_sandbox/answers/secret-of-the-stack",
            "StackId": STACK,
            "RequestId": format!("request-{}", self.requests.fetch_add(1, Ordering::SeqCst)),
            "LogicalResourceId": "GoldenImage",
            "ResourceType": "Custom::AmiDistribution",
            "ResourceProperties": properties,
        })
    }

    /// Sends an event, and whatever the function sends itself, and returns the one answer that
    /// CloudFormation got.
    pub async fn send(&self, event: &Value) -> Value {
        self.send_with(&settings(), event).await
    }

    /// Sends an event to a function with other settings.
    pub async fn send_with(&self, settings: &Settings, event: &Value) -> Value {
        let before = self.sandbox.answers().len();
        let mut payloads = vec![event.to_string()];
        while let Some(payload) = payloads.pop() {
            let result = function_with(&self.sandbox, settings.clone())
                .await
                .handle(&payload, &invocation(&self.sandbox))
                .await;
            result.expect("a custom resource is answered, not failed");
            for own in self.sandbox.lambda_invocations() {
                assert_eq!(own.function_name, "amiferry");
                payloads.push(String::from_utf8(own.payload).expect("JSON"));
            }
        }
        let answers = self.sandbox.answers();
        assert_eq!(answers.len(), before + 1, "one answer");
        let answer = answers.last().expect("one");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.len() <= 4096, "{} bytes", answer.body.len());
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        for key in ["StackId", "RequestId", "LogicalResourceId"] {
            assert_eq!(body[key], event[key]);
        }
        assert!(
            !body["PhysicalResourceId"]
                .as_str()
                .expect("PhysicalResourceId")
                .is_empty()
        );
        body
    }
}

pub fn with(mut properties: Value, key: &str, value: Value) -> Value {
    properties[key] = value;
    properties
}

/// One invocation hands its state to the next.
#[tokio::test]
async fn a_function_without_a_state_machine_refuses_more_targets_than_it_can_carry() {
    let stack = Stack::new(&TWO);
    let targets = |count: u64| -> Vec<Value> {
        let account = |n: u64| format!("{:012}", 500_000_000_000 + n);
        (0..count)
            .map(|n| json!({"AccountId": account(n), "KmsKeyId": "alias/amis"}))
            .collect()
    };
    let properties = json!({"SourceImageId": AMI, "Targets": targets(901)});
    let answer = stack.send(&stack.event("Create", &properties)).await;
    assert_eq!(answer["Status"], "FAILED");
    let reason = answer["Reason"].as_str().expect("a reason");
    assert!(
        reason.contains("Targets: are 901; a function without a state machine takes 900 at most"),
        "{reason}"
    );
    assert_eq!(calls(&stack.sandbox, "AssumeRole"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_resource_is_created_updated_and_deleted() {
    let stack = Stack::new(&FOUR);
    let first = with(
        with(request(&FOUR[..2]), "OnDelete", json!("Deregister")),
        "ServiceToken",
        json!(FUNCTION),
    );
    let created = stack.send(&stack.event("Create", &first)).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    assert_whole(&stack.sandbox, &FOUR[..2]);
    let data = &created["Data"];
    let image = assert_one_image(&stack.sandbox, FOUR[0]);
    assert_eq!(data["Image.222222222222.us-west-2"], image.image_id);
    assert_eq!(data["Count"], "2");
    assert_eq!(data["Images"], data["ImageIds"]);
    assert!(
        data["ImageIds"]
            .as_str()
            .unwrap()
            .contains(&format!("222222222222/us-west-2={}", image.image_id))
    );

    // Exchanges one target for another: the copy in the remaining target stays the same, the copy
    // in the former target goes.
    let second = with(
        request(&[FOUR[0], FOUR[2]]),
        "OnDelete",
        json!("Deregister"),
    );
    let mut update = stack.event("Update", &second);
    update["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    update["OldResourceProperties"] = first;
    let updated = stack.send(&update).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_eq!(updated["PhysicalResourceId"], created["PhysicalResourceId"]);
    assert_eq!(
        assert_one_image(&stack.sandbox, FOUR[0]).image_id,
        image.image_id
    );
    assert_whole(&stack.sandbox, &[FOUR[2]]);
    assert_nothing(&stack.sandbox, &[FOUR[1]]);

    let mut delete = stack.event("Delete", &second);
    delete["PhysicalResourceId"] = updated["PhysicalResourceId"].clone();
    assert_eq!(stack.send(&delete).await["Status"], "SUCCESS");
    assert_nothing(&stack.sandbox, &FOUR);
    assert_closed(&stack.sandbox);
    // A second Delete finds nothing, and succeeds.
    assert_eq!(stack.send(&delete).await["Status"], "SUCCESS");
}

#[tokio::test(start_paused = true)]
async fn a_delete_with_retain_keeps_the_copies_and_copies_nothing() {
    let stack = Stack::new(&TWO);
    let created = stack.send(&stack.event("Create", &request(&TWO))).await;
    stack.sandbox.clear_ledger();
    let mut delete = stack.event("Delete", &request(&TWO));
    delete["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    assert_eq!(stack.send(&delete).await["Status"], "SUCCESS");
    assert_eq!(
        calls(&stack.sandbox, "CopySnapshot") + calls(&stack.sandbox, "AssumeRole"),
        0
    );
    assert_whole(&stack.sandbox, &TWO);
}

/// CloudFormation deletes a resource after its Create failed, and the resource may not exist.
#[tokio::test(start_paused = true)]
async fn a_failed_create_is_answered_with_the_reason_and_its_delete_succeeds() {
    let stack = Stack::new(&TWO);
    let wrong = with(request(&TWO), "Targets", json!([{"AccountId": "12"}]));
    let failed = stack.send(&stack.event("Create", &wrong)).await;
    assert_eq!(failed["Status"], "FAILED");
    assert!(
        failed["Reason"]
            .as_str()
            .unwrap()
            .starts_with("InvalidRequest: Targets[0].AccountId: "),
        "{failed}"
    );
    stack.sandbox.clear_ledger();
    let mut delete = stack.event("Delete", &wrong);
    delete["PhysicalResourceId"] = failed["PhysicalResourceId"].clone();
    assert_eq!(stack.send(&delete).await["Status"], "SUCCESS");
    assert_eq!(stack.sandbox.ledger().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_target_is_named_in_the_answer_with_the_count_of_the_others() {
    let stack = Stack::new(&FOUR);
    stack.sandbox.edit(|aws| {
        for account in ["333333333333", "444444444444"] {
            assert!(aws.drop_principal(&format!("arn:aws:iam::{account}:role/AmiCopyRole")));
        }
    });
    let failed = stack.send(&stack.event("Create", &request(&FOUR))).await;
    assert_eq!(failed["Status"], "FAILED");
    let reason = failed["Reason"].as_str().unwrap();
    assert!(
        reason.starts_with("333333333333 us-west-2: AssumeRole")
            && reason.contains("(1 other targets failed too"),
        "{reason}"
    );
    assert_closed(&stack.sandbox);
}

/// The properties are those of the source design's orchestrator: strings, parallel lists, its own
/// names.
#[tokio::test(start_paused = true)]
async fn the_orchestrators_properties_are_accepted_unchanged() {
    let places = [("222222222222", HOME), ("333333333333", HOME)];
    let stack = Stack::new(&places);
    let mut event = stack.event(
        "Create",
        &json!({
            "ServiceToken": FUNCTION,
            "AmiId": AMI,
            "Region": HOME,
            "SourceSnapshotId": ROOT,
            "TargetAccountIds": "222222222222,333333333333",
            "TargetKmsKeyIds": places.map(key_arn).join(","),
            "TargetRoleName": "AmiCopyRole",
        }),
    );
    event["ResourceType"] = json!("Custom::OrchestrateAmiCopy");
    assert_eq!(stack.send(&event).await["Status"], "SUCCESS");
    assert_whole(&stack.sandbox, &places);
    assert_closed(&stack.sandbox);
}

/// A person copied the image, with its tags, and one of its snapshots. Both belong to that person.
#[tokio::test(start_paused = true)]
async fn a_delete_leaves_what_others_made_from_a_copy() {
    let stack = Stack::new(&TWO);
    let properties = with(request(&TWO), "OnDelete", json!("Deregister"));
    let created = stack.send(&stack.event("Create", &properties)).await;
    let ours = assert_one_image(&stack.sandbox, TWO[0]);
    let (account, region) = TWO[0];
    let (image, snapshot) = ("ami-0fffffffffffffff1", "snap-0fffffffffffffff1");
    stack.sandbox.edit(|aws| {
        let copied = Snapshot::new(region, snapshot, 8)
            .tag("amiferry:run", &ours.tags["amiferry:run"])
            .tag("amiferry:source-image", AMI);
        aws.add_snapshot(account, copied).expect("fits");
        let mapping = BlockDeviceMapping::ebs("/dev/xvda", Ebs::snapshot(snapshot));
        let copy = Image::new(region, image, "a copy of the copy").mapping(mapping);
        let copy = copy.with(|copy| copy.tags.clone_from(&ours.tags));
        aws.add_image(account, copy).expect("fits");
    });
    let mut delete = stack.event("Delete", &properties);
    delete["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    let deleted = stack.send(&delete).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    let images = stack.sandbox.images(account, region);
    let images: Vec<&str> = images.iter().map(|i| i.image_id.as_str()).collect();
    let snapshots = stack.sandbox.snapshots(account, region);
    let snapshots: Vec<&str> = snapshots.iter().map(|s| s.snapshot_id.as_str()).collect();
    assert_eq!((images, snapshots), (vec![image], vec![snapshot]));
    assert_nothing(&stack.sandbox, &TWO[1..]);
}

/// The image may be long gone when its copies are deleted.
#[tokio::test(start_paused = true)]
async fn a_delete_succeeds_after_the_source_is_gone() {
    let stack = Stack::new(&TWO);
    let properties = with(request(&TWO), "OnDelete", json!("Deregister"));
    let created = stack.send(&stack.event("Create", &properties)).await;
    stack
        .sandbox
        .edit(|aws| assert!(aws.delete_image(AMI) && aws.delete_snapshot(ROOT)));
    let mut delete = stack.event("Delete", &properties);
    delete["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    let deleted = stack.send(&delete).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert_nothing(&stack.sandbox, &TWO);
}

/// Both deliveries return the same physical resource and the same images.
#[tokio::test(start_paused = true)]
async fn a_create_delivered_twice_at_once_makes_one_image_per_target() {
    let stack = Stack::new(&TWO);
    let event = stack.event("Create", &request(&TWO)).to_string();
    let (one, two) = (
        function(&stack.sandbox).await,
        function(&stack.sandbox).await,
    );
    let now = invocation(&stack.sandbox);
    let (first, second) = tokio::join!(one.handle(&event, &now), two.handle(&event, &now));
    assert!(first.is_ok() && second.is_ok());
    let answers = stack.sandbox.answers();
    let bodies: Vec<Value> = answers
        .iter()
        .map(|a| serde_json::from_str(&a.body).expect("JSON"))
        .collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0]["Status"], "SUCCESS", "{bodies:?}");
    assert_eq!(
        bodies[0]["PhysicalResourceId"],
        bodies[1]["PhysicalResourceId"]
    );
    assert_eq!(bodies[0]["Data"], bodies[1]["Data"]);
    assert_whole(&stack.sandbox, &TWO);
    assert_closed(&stack.sandbox);
}
