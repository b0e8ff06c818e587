//! The status checks of instances, and the ways to find them.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::client::{Answer, Params};
use crate::launching::{launch, launched};
use crate::policies::{allow, deny, document, when};
use crate::worlds::{Bench, IMAGE, PRODUCER, WEST, world};

const ADMIN: &str = "arn:aws:iam::111111111111:user/admin";
const TAGGED: Params<'_> = &[
    ("TagSpecification.1.ResourceType", "instance"),
    ("TagSpecification.1.Tag.1.Key", "run"),
    ("TagSpecification.1.Tag.1.Value", "one"),
    ("TagSpecification.2.ResourceType", "volume"),
    ("TagSpecification.2.Tag.1.Key", "run"),
    ("TagSpecification.2.Tag.1.Value", "one"),
];

async fn status(bench: &Bench, more: Params<'_>) -> Vec<String> {
    let answer = bench.producer.ec2("DescribeInstanceStatus", more).await;
    answer.ok().texts("status")
}

async fn found(bench: &Bench, filter: &str, value: &str) -> Vec<String> {
    let params = [("Filter.1.Name", filter), ("Filter.1.Value.1", value)];
    let answer = bench.producer.ec2("DescribeInstances", &params).await;
    answer.ok().texts("instanceId")
}

#[tokio::test(start_paused = true)]
async fn a_running_instance_passes_its_checks_after_a_while() {
    let bench = Bench::new();
    let id = launched(&bench.producer, IMAGE).await;
    let by_id = [("InstanceId.1", id.as_str())];
    assert_eq!(status(&bench, &by_id).await, [""; 0], "not yet running");
    let all = [by_id[0], ("IncludeAllInstances", "true")];
    assert_eq!(status(&bench, &all).await, ["not-applicable"; 2]);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(status(&bench, &by_id).await, ["initializing"; 4]);
    sleep(Duration::from_mins(2)).await;
    let passed = ["ok", "passed", "ok", "passed"];
    assert_eq!(status(&bench, &by_id).await, passed);
    let ok = [
        ("Filter.1.Name", "instance-status.status"),
        ("Filter.1.Value.1", "ok"),
    ];
    assert_eq!(status(&bench, &ok).await, passed);
    bench.producer.ec2("TerminateInstances", &by_id).await.ok();
    assert_eq!(status(&bench, &by_id).await, [""; 0]);
    let missing = [("InstanceId.1", "i-12345678")];
    let missing = bench.producer.ec2("DescribeInstanceStatus", &missing).await;
    assert_eq!(missing.refusal.as_deref(), Some("INSTANCE_NOT_FOUND"));
}

#[tokio::test(start_paused = true)]
async fn an_instance_of_an_impaired_image_fails_its_own_checks() {
    for by_world in [true, false] {
        let mut world = world();
        if by_world {
            let producer = world.accounts.remove(0).impaired_image("golden");
            world.accounts.insert(0, producer);
        }
        let bench = Bench::of(world);
        if !by_world {
            bench.sandbox.edit(|aws| aws.impair_instances_of(IMAGE));
        }
        launched(&bench.producer, IMAGE).await;
        sleep(Duration::from_secs(15)).await;
        assert_eq!(status(&bench, &[]).await, ["initializing"; 4]);
        sleep(Duration::from_mins(2)).await;
        assert_eq!(
            status(&bench, &[]).await,
            ["impaired", "failed", "ok", "passed"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn instances_are_found_by_client_token_tag_and_state() {
    let bench = Bench::new();
    let params = [&[("ClientToken", "one")], TAGGED].concat();
    let answer = launch(&bench.producer, IMAGE, &params).await.ok();
    let id = answer.text("instanceId").expect("an instance");
    let other = launched(&bench.producer, IMAGE).await;
    sleep(Duration::from_secs(15)).await;
    assert_eq!(found(&bench, "client-token", "one").await, [id.as_str()]);
    assert_eq!(found(&bench, "tag:run", "one").await, [id.as_str()]);
    assert_eq!(
        found(&bench, "instance-state-name", "running").await.len(),
        2
    );
    assert_eq!(
        found(&bench, "instance-state-name", "pending").await.len(),
        0
    );
    let mut pages = Vec::new();
    for i in 0..9 {
        launch(&bench.producer, IMAGE, &[("ClientToken", &i.to_string())])
            .await
            .ok();
    }
    let mut token = None;
    loop {
        let mut params = vec![("MaxResults", "5")];
        params.extend(token.as_deref().map(|token| ("NextToken", token)));
        let page = bench.producer.ec2("DescribeInstances", &params).await.ok();
        pages.push(page.texts("instanceId").len());
        token = page.text("nextToken");
        if token.is_none() {
            break;
        }
    }
    assert_eq!(pages, [5, 5, 1]);
    let filter = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", "x")];
    let unknown = bench.producer.ec2("DescribeInstances", &filter).await;
    assert_eq!(unknown.refusal.as_deref(), Some("NOT_IMPLEMENTED"));
    let foreign = bench.consumer.ec2("DescribeInstances", &[]).await.ok();
    assert!(foreign.texts("instanceId").is_empty(), "{other}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_keeps_what_its_launch_named() {
    let bench = Bench::new();
    let more = [
        &[
            ("SubnetId", "subnet-12345678"),
            ("IamInstanceProfile.Name", "ferry"),
            ("InstanceInitiatedShutdownBehavior", "terminate"),
            ("MetadataOptions.HttpTokens", "required"),
        ],
        TAGGED,
    ]
    .concat();
    let answer = launch(&bench.producer, IMAGE, &more).await.ok();
    assert_eq!(answer.text("subnetId").as_deref(), Some("subnet-12345678"));
    assert_eq!(answer.text("httpTokens").as_deref(), Some("required"));
    let [instance] = &bench.sandbox.instances(PRODUCER, WEST)[..] else {
        panic!("one instance")
    };
    let profile = "arn:aws:iam::111111111111:instance-profile/ferry";
    assert_eq!(instance.profile_arn.as_deref(), Some(profile));
    assert_eq!(instance.tags["run"], "one");
    for (more, refusal) in [
        (
            ("InstanceInitiatedShutdownBehavior", "hibernate"),
            "INVALID_PARAMETER_VALUE",
        ),
        (
            ("MetadataOptions.HttpTokens", "yes"),
            "INVALID_PARAMETER_VALUE",
        ),
        (
            ("MetadataOptions.HttpEndpoint", "enabled"),
            "NOT_IMPLEMENTED",
        ),
        (("IamInstanceProfile.Arn", profile), "NOT_IMPLEMENTED"),
        (
            ("TagSpecification.1.ResourceType", "network-interface"),
            "NOT_IMPLEMENTED",
        ),
        (
            ("TagSpecification.1.ResourceType", "image"),
            "TAG_RESOURCE_TYPE",
        ),
    ] {
        let answer = launch(&bench.producer, IMAGE, &[more]).await;
        assert_eq!(answer.refusal.as_deref(), Some(refusal), "{more:?}");
    }
}

async fn rehearse(bench: &Bench, more: Params<'_>) -> Option<String> {
    let more = [more, &[("DryRun", "true")]].concat();
    launch(&bench.producer, IMAGE, &more).await.refusal
}

#[tokio::test(start_paused = true)]
async fn a_launch_with_profile_and_tags_needs_permission_for_them() {
    let bench = Bench::new();
    let may = Some("DRY_RUN_OPERATION".to_owned());
    let may_not = Some("UNAUTHORIZED_OPERATION".to_owned());
    let profile = [("IamInstanceProfile.Name", "ferry")];
    let subnet = [("SubnetId", "subnet-12345678")];
    let set = |statements: &[serde_json::Value]| {
        bench.set_policies(ADMIN, &[&document(statements).to_string()]);
    };
    set(&[allow("ec2:RunInstances", "*")]);
    assert_eq!(rehearse(&bench, &[]).await, may);
    assert_eq!(rehearse(&bench, &profile).await, may_not);
    assert_eq!(rehearse(&bench, TAGGED).await, may_not);
    let passes = when(
        allow("iam:PassRole", "arn:aws:iam::111111111111:role/ferry"),
        json!({"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}),
    );
    let tags = when(
        allow("ec2:CreateTags", "*"),
        json!({"StringEquals": {"ec2:CreateAction": "RunInstances", "aws:RequestTag/run": "one"}}),
    );
    set(&[allow("ec2:RunInstances", "*"), passes, tags]);
    assert_eq!(rehearse(&bench, &profile).await, may);
    assert_eq!(rehearse(&bench, TAGGED).await, may);
    let mut denied = deny("ec2:RunInstances");
    denied["Resource"] = json!("arn:aws:ec2:*:*:subnet/subnet-12345678");
    set(&[allow("ec2:RunInstances", "*"), denied]);
    assert_eq!(rehearse(&bench, &[]).await, may);
    assert_eq!(rehearse(&bench, &subnet).await, may_not);
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_terminated_by_permission_on_its_tags() {
    let bench = Bench::new();
    let tagged = launch(&bench.producer, IMAGE, TAGGED).await.ok();
    let tagged = tagged.text("instanceId").expect("an instance");
    let other = launched(&bench.producer, IMAGE).await;
    let mine = json!({"StringEquals": {"aws:ResourceTag/run": "one"}});
    let policy = document(&[when(allow("ec2:TerminateInstances", "*"), mine)]);
    bench.set_policies(ADMIN, &[&policy.to_string()]);
    for (id, refusal) in [(other, Some("UNAUTHORIZED_OPERATION")), (tagged, None)] {
        let params = [("InstanceId.1", id.as_str())];
        let answer = bench.producer.ec2("TerminateInstances", &params).await;
        assert_eq!(answer.refusal.as_deref(), refusal);
    }
}

pub async fn launch_again(bench: &Bench) -> Answer {
    let params = [("ClientToken", "one")];
    let first = launch(&bench.producer, IMAGE, &params).await.ok();
    let id = first.text("instanceId").expect("an instance");
    let by_id = [("InstanceId.1", id.as_str())];
    bench.producer.ec2("TerminateInstances", &by_id).await.ok();
    let ending = launch(&bench.producer, IMAGE, &params).await.ok();
    assert_eq!(ending.text("instanceId"), Some(id), "shutting down");
    sleep(Duration::from_secs(15)).await;
    launch(&bench.producer, IMAGE, &params).await
}
