//! The valid events and states that are made wrong.

use std::sync::OnceLock;
use std::time::Duration;

use amiferry::event::custom_resource::CustomResource;
use amiferry_sandbox::Sandbox;
use serde_json::{Value, json};

use super::mutate::NOWHERE;
use crate::support::*;

/// Things in the first target that no run made, whatever a state claims.
pub const FOREIGN_COPY: &str = "snap-0123456789abcdef8";
pub const FOREIGN_IMAGE: &str = "ami-0123456789abcdef8";

const GOLDEN: [&str; 1] = [include_str!("../../../src/state/golden-1.json")];
const EVENTS: [&str; 13] = [
    include_str!("../../../events/ami-state-change.json"),
    include_str!("../../../events/custom-resource-create.json"),
    include_str!("../../../events/custom-resource-delete.json"),
    include_str!("../../../events/custom-resource-update.json"),
    include_str!("../../../events/distribute.json"),
    include_str!("../../../events/execution-status-change.json"),
    include_str!("../../../events/multi-account-share-create.json"),
    include_str!("../../../events/orchestrate-ami-copy-create.json"),
    include_str!("../../../events/policies.json"),
    include_str!("../../../events/preflight.json"),
    include_str!("../../../events/share-automation-create.json"),
    include_str!("../../../events/snapshot-notification.json"),
    include_str!("../../../events/sweep.json"),
];

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("a seed is JSON")
}

/// Returns real states of every step of a run, and those of the golden files.
pub fn states() -> &'static [Value] {
    static STATES: OnceLock<Vec<Value>> = OnceLock::new();
    STATES.get_or_init(|| {
        let gathering = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .expect("a runtime");
            runtime.block_on(gather())
        });
        gathering.join().expect("states are gathered")
    })
}

async fn gather() -> Vec<Value> {
    let mut states: Vec<Value> = GOLDEN.into_iter().map(read).collect();
    let mut alive = states[0].clone();
    alive["Source"]["Keys"] = json!([SOURCE_KEY]);
    alive["Targets"][0]["KmsKeyId"] = json!(key_arn(TWO[0]));
    states.push(alive);
    let share = json!({"Distribute": {"AmiId": AMI, "Mode": "Share",
        "TargetAccountIds": "222222222222,333333333333", "ShareSnapshots": true}});
    for event in [
        distribute(&TWO),
        share,
        json!({"Open": distribute(&TWO), "Execution": "execution"}),
    ] {
        let sandbox = Sandbox::new(slow_world(&TWO));
        let opening = event.clone();
        let mut event = event;
        while let Ok(reply) = call(&sandbox, &event).await {
            states.extend(reply.get("State").cloned());
            let parts = reply["Parts"].as_array().into_iter().flatten();
            states.extend(parts.map(|part| part["State"].clone()));
            if reply["Status"] != "Continue" {
                break;
            }
            tokio::time::sleep(Duration::from_secs(
                reply["WaitSeconds"].as_u64().unwrap_or(1),
            ))
            .await;
            event = if opening.get("Open").is_some() {
                json!({"Open": opening["Open"], "Execution": "execution", "Last": reply})
            } else {
                json!({"State": reply["State"]})
            };
        }
    }
    let whole = states.last().cloned().expect("there are states");
    states.extend(altered(&whole));
    states
}

/// Returns this state in every phase, claiming things of others, and as a share.
fn altered(whole: &Value) -> Vec<Value> {
    let mut states = Vec::new();
    for phase in [
        "Ready",
        "Registering",
        "Checking",
        "Tidying",
        "Undoing",
        "Removing",
        "Removed",
    ] {
        let mut state = whole.clone();
        state["Targets"][0]["Phase"] = json!(phase);
        state["Targets"][0]["Work"]["Copies"] = json!(format!("{},", &FOREIGN_COPY[5..]));
        state["Targets"][0]["ImageId"] = json!(FOREIGN_IMAGE);
        if phase == "Undoing" {
            state["Targets"][0]["Failure"] =
                json!({"Cause": "NotFaithful", "Reason": "BootMode is absent"});
        }
        states.push(state);
    }
    for (audience, only) in [
        (
            json!(["arn:aws:organizations::111111111111:organization/o-abcdefghij"]),
            true,
        ),
        (json!([]), false),
    ] {
        let mut state = whole.clone();
        state["Order"]["Share"] = json!({"Snapshots": true, "Audience": audience, "Only": only});
        state["Phase"] = json!("Sharing");
        state["Targets"][0]["Phase"] = json!("Ready");
        states.push(state);
    }
    states
}

/// Returns a request with every key.
fn rich() -> Value {
    let mut rich = request(&FOUR);
    for (key, value) in [
        ("SourceRegion", json!(HOME)),
        ("SourceSnapshotId", json!(ROOT)),
        (
            "Name",
            json!("{name}-{image}-{account}-{region}-{source_account}"),
        ),
        (
            "Tags",
            json!({"stage": "test", "owner": "a team", "empty": ""}),
        ),
        ("CopyTags", json!("true")),
        ("KeyAccess", json!("Grant")),
        ("CopyCompletionMinutes", json!(60)),
        ("RevokeAfterCopy", json!(true)),
        ("OnDelete", json!("Deregister")),
        ("Wait", json!("false")),
        ("TargetRoleName", json!("AmiCopyRole")),
        ("ExternalId", json!("agreed")),
        ("ServiceToken", json!(FUNCTION)),
    ] {
        rich[key] = value;
    }
    rich
}

/// Returns an event of every shape.
pub fn events() -> &'static [Value] {
    static EVENTS_AND_MORE: OnceLock<Vec<Value>> = OnceLock::new();
    EVENTS_AND_MORE.get_or_init(|| {
        let mut events: Vec<Value> = EVENTS.into_iter().map(read).collect();
        for event in &mut events {
            if event.get("ResponseURL").is_some() {
                event["ResponseURL"] = json!(NOWHERE);
            }
        }
        let resource = events[1].clone();
        let lists = json!({"AmiId": AMI, "TargetAccountIds": "222222222222,333333333333",
            "TargetKmsKeyIds": ["alias/amis", "alias/amis"],
            "TargetRegions": "us-west-2,us-east-1"});
        let organization = json!({"AmiId": AMI, "OrganizationId": "o-abcdefghij",
            "OrganizationalUnitIds": ["ou-ab12-11111111"],
            "TargetKmsKeyIds": "alias/amis"});
        let share = json!({"AmiId": AMI, "Mode": "Share", "TargetAccountIds": "222222222222",
            "ShareSnapshots": "true", "Unshare": false});
        for request in [rich(), request(&TWO), lists, organization, share] {
            events.push(json!({ "Distribute": request }));
        }
        let states = states();
        let state = |n: usize| states[n * 7 % states.len()].clone();
        events.extend((0..4).map(|n| json!({"State": state(n)})));
        events.push(json!({"Turn": 1, "State": state(5), "Answered": false,
            "CustomResource": resource}));
        events.push(json!({"Turn": 3, "State": state(6), "Answered": true}));
        let job = distribute(&TWO);
        let for_resource = json!({"CustomResource": resource,
            "ResponseUrlAt": CustomResource::parse(&resource).expect("an event").url_at()});
        let at = json!({"Bucket": "amiferry-bucket", "Key": "runs/execution/state.json"});
        let failed = json!({"Error": "Throttled", "Cause": "by chance"});
        let parts = json!([{"State": state(8)}, {"State": state(9), "Error": failed}]);
        for job in [&job, &for_resource] {
            events.push(json!({"Open": job, "Execution": "execution", "Last": {}}));
            events.push(json!({"Open": job, "Execution": "execution",
                "Last": {"Status": "Continue", "WaitSeconds": 5, "State": state(7)}}));
            events.push(json!({"Open": job, "Execution": "execution", "Last": {"StateAt": at}}));
            events.push(json!({"Conclude": job, "Execution": "execution",
                "Last": {"State": state(7)}, "Parts": parts, "Failed": {}}));
            events.push(
                json!({"Conclude": job, "Execution": "execution", "Last": {}, "Parts": [],
                "Failed": failed}),
            );
            events.push(json!({"Conclude": job, "Execution": "execution",
                "Last": {"State": state(7), "Concluding": true}, "Parts": []}));
            events.push(json!({"Conclude": job, "Execution": "execution",
                "Last": {"State": state(7)}, "Failed": failed,
                "Parts": {"MapRunArn": "arn:aws:states:x",
                "ResultWriterDetails": {"Bucket": "amiferry-bucket",
                "Key": "results/manifest.json"}}}));
        }
        events
    })
}
