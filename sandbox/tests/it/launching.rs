//! RunInstances: the permission to launch an image, and the use of its keys.

use std::time::Duration;

use amiferry_sandbox::{BlockDeviceMapping, Ebs, Image};
use serde_json::json;

use crate::client::{Answer, Client, Params};
use crate::policies::{self, deny, document, permit, permit_owner, root, when};
use crate::worlds::{
    Bench, CONSUMER, IMAGE, MANAGEMENT, ORGANIZATION, OUTER, PLAIN, PRODUCER, ROOT, SOURCE_KEY,
    TARGET_KEY, WEST, world,
};

/// The operations of a snapshot's key that EC2 uses to create a volume.
pub const USES: [&str; 6] = [
    "DescribeKey",
    "CreateGrant",
    "Decrypt",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
];

pub async fn launch(client: &Client, image: &str, more: Params<'_>) -> Answer {
    let mut params = vec![
        ("ImageId", image),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("InstanceType", "t2.micro"),
    ];
    params.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
    params.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    client.ec2("RunInstances", &params).await
}

/// Launches an image and returns the ID of the pending instance.
pub async fn launched(client: &Client, image: &str) -> String {
    let answer = launch(client, image, &[]).await.ok();
    assert_eq!(
        answer.text("name").as_deref(),
        Some("pending"),
        "{answer:?}"
    );
    answer.text("instanceId").expect("an instance")
}

async fn described(client: &Client, id: &str) -> Answer {
    let params = [("InstanceId.1", id)];
    client.ec2("DescribeInstances", &params).await.ok()
}

/// Returns the reason why the instance was terminated, after the time of a start; nothing if it
/// runs.
pub async fn reason_of(client: &Client, id: &str) -> Option<(String, String)> {
    tokio::time::sleep(Duration::from_secs(15)).await;
    let shown = described(client, id).await;
    let state = shown.text("name").expect("a state");
    let reason = shown.text("stateReason");
    assert_eq!(
        state,
        if reason.is_some() {
            "terminated"
        } else {
            "running"
        }
    );
    reason?;
    let code = shown.texts("code").pop().expect("a code");
    Some((code, shown.text("message").expect("a message")))
}

/// Allows the consumer's account these operations of the source key, through EC2.
pub fn allow(bench: &Bench, operations: &[&str]) {
    let actions: Vec<String> = operations
        .iter()
        .map(|name| format!("kms:{name}"))
        .collect();
    let via_ec2 = json!({"StringEquals": {"kms:ViaService": "ec2.us-west-2.amazonaws.com"}});
    let policy = document(&[
        permit_owner(PRODUCER),
        when(permit(&root(CONSUMER), actions), via_ec2),
    ]);
    bench.set_key_policy(SOURCE_KEY, &policy);
}

/// Forbids every use of the key; the account may only describe it.
pub fn show_only(bench: &Bench, key: &str, account: &str) {
    let policy = document(&[permit(account, "kms:DescribeKey")]);
    bench.set_key_policy(key, &policy);
}

pub async fn share(bench: &Bench, parameter: &str, value: &str) {
    let params = [("ImageId", IMAGE), (parameter, value)];
    let answer = bench.producer.ec2("ModifyImageAttribute", &params).await;
    answer.ok();
}

fn code(reason: Option<(String, String)>) -> Option<String> {
    reason.map(|(code, _)| code)
}

#[tokio::test(start_paused = true)]
async fn an_own_image_launches_and_its_instance_terminates() {
    let bench = Bench::new();
    let producer = &bench.producer;
    let id = launched(producer, IMAGE).await;
    let pending = described(producer, &id).await;
    assert!(pending.texts("volumeId").is_empty(), "{pending:?}");
    assert_eq!(reason_of(producer, &id).await, None);
    let running = described(producer, &id).await;
    assert_eq!(running.text("imageId").as_deref(), Some(IMAGE));
    assert_eq!(
        running.texts("volumeId").len(),
        1,
        "ephemeral disks are no volumes"
    );
    let terminate = async || {
        let params = [("InstanceId.1", id.as_str())];
        producer.ec2("TerminateInstances", &params).await
    };
    let states = terminate().await.ok().texts("name");
    assert_eq!(states, ["shutting-down", "running"]);
    let (code, _) = reason_of(producer, &id).await.expect("terminated");
    assert_eq!(code, "Client.UserInitiatedShutdown");
    let again = terminate().await.ok().texts("name");
    assert_eq!(again, ["terminated", "terminated"]);
    let [instance] = &bench.sandbox.instances(PRODUCER, WEST)[..] else {
        panic!("one instance")
    };
    assert_eq!(instance.state, "terminated");
    let foreign = bench
        .consumer
        .ec2("DescribeInstances", &[("InstanceId.1", &id)])
        .await;
    assert_eq!(foreign.refusal.as_deref(), Some("INSTANCE_NOT_FOUND"));
}

/// A launch needs the launch permission and the key, but no createVolumePermission.
#[tokio::test(start_paused = true)]
async fn a_foreign_image_launches_with_launch_permission_and_key() {
    let organization = format!("arn:aws:organizations::{MANAGEMENT}:organization/{ORGANIZATION}");
    let unit = format!("arn:aws:organizations::{MANAGEMENT}:ou/{ORGANIZATION}/{OUTER}");
    for (parameter, value) in [
        ("LaunchPermission.Add.1.UserId", CONSUMER),
        ("LaunchPermission.Add.1.OrganizationArn", &organization),
        ("LaunchPermission.Add.1.OrganizationalUnitArn", &unit),
    ] {
        let bench = Bench::new();
        assert!(
            bench
                .sandbox
                .edit(|aws| aws.unshare_snapshot(ROOT, CONSUMER))
        );
        allow(&bench, &USES);
        let hidden = launch(&bench.consumer, IMAGE, &[]).await;
        assert_eq!(hidden.code.as_deref(), Some("InvalidAMIID.NotFound"));
        share(&bench, parameter, value).await;
        let id = launched(&bench.consumer, IMAGE).await;
        assert_eq!(reason_of(&bench.consumer, &id).await, None, "{value}");
        let elsewhere = bench.consumer.in_region("us-east-1");
        let elsewhere = launch(&elsewhere, IMAGE, &[]).await;
        assert_eq!(elsewhere.code.as_deref(), Some("InvalidAMIID.NotFound"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_launch_fails_without_any_one_use_of_the_key() {
    let bench = Bench::new();
    share(&bench, "LaunchPermission.Add.1.UserId", CONSUMER).await;
    for missing in USES {
        let others: Vec<&str> = USES.into_iter().filter(|name| *name != missing).collect();
        allow(&bench, &others);
        let id = launched(&bench.consumer, IMAGE).await;
        let (code, message) = reason_of(&bench.consumer, &id).await.expect(missing);
        assert_eq!(code, "Client.InternalError", "without {missing}");
        assert_eq!(message, "Client.InternalError: Client error on launch");
    }
    // The key policy is not enough for another account: the caller's own policies must allow the
    // use too.
    allow(&bench, &USES);
    let user = "arn:aws:iam::222222222222:user/admin";
    let policy = document(&[policies::allow("ec2:*", "*")]).to_string();
    bench.set_policies(user, &[&policy]);
    let id = launched(&bench.consumer, IMAGE).await;
    assert_eq!(
        code(reason_of(&bench.consumer, &id).await).as_deref(),
        Some("Client.InternalError")
    );
}

/// EBS encrypts a volume of a foreign snapshot under the caller's default key.
#[tokio::test(start_paused = true)]
async fn a_launch_of_a_foreign_snapshot_needs_the_default_key() {
    let mut world = world();
    world.accounts[1]
        .ebs_default_keys
        .push((WEST.to_owned(), "target".to_owned()));
    let bench = Bench::of(world);
    share(&bench, "LaunchPermission.Add.1.UserId", CONSUMER).await;
    allow(&bench, &USES);
    let id = launched(&bench.consumer, IMAGE).await;
    assert_eq!(reason_of(&bench.consumer, &id).await, None);
    show_only(&bench, TARGET_KEY, CONSUMER);
    let id = launched(&bench.consumer, IMAGE).await;
    assert_eq!(
        code(reason_of(&bench.consumer, &id).await).as_deref(),
        Some("Client.InternalError")
    );
    bench.sandbox.edit(|aws| aws.disable_key(TARGET_KEY));
    let id = launched(&bench.consumer, IMAGE).await;
    let state = Some("Client.InvalidKMSKey.InvalidState");
    assert_eq!(
        code(reason_of(&bench.consumer, &id).await).as_deref(),
        state
    );
    // Volumes of the owner keep the snapshot's key.
    let id = launched(&bench.producer, IMAGE).await;
    assert_eq!(reason_of(&bench.producer, &id).await, None);
}

/// Registers a copy with AWS's defaults, which fit no instance type of today.
#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_fit_the_instance_type_is_refused() {
    let bench = Bench::new();
    let image = |id: &str, change: fn(&mut Image)| {
        let image = Image::new(WEST, id, id)
            .mapping(BlockDeviceMapping::ebs("/dev/xvda", Ebs::snapshot(PLAIN)))
            .with(change);
        let added = bench.sandbox.edit(|aws| aws.add_image(PRODUCER, image));
        assert_eq!(added, Ok(()));
    };
    image("ami-0000000000000c001", |image| image.ena_support = true);
    image("ami-0000000000000c002", |image| {
        "paravirtual".clone_into(&mut image.virtualization_type);
    });
    image("ami-0000000000000c003", |image| {
        "arm64".clone_into(&mut image.architecture);
        image.ena_support = true;
    });
    for (id, kind, refusal) in [
        ("ami-0000000000000c001", "t3.micro", None),
        ("ami-0000000000000c001", "t2.micro", None),
        ("ami-0000000000000c001", "", Some("LAUNCH_VIRTUALIZATION")),
        ("ami-0000000000000c002", "", None),
        (
            "ami-0000000000000c002",
            "t2.micro",
            Some("LAUNCH_VIRTUALIZATION"),
        ),
        ("ami-0000000000000c003", "m7g.large", None),
        (
            "ami-0000000000000c003",
            "t3.micro",
            Some("LAUNCH_ARCHITECTURE"),
        ),
        (
            "ami-0000000000000c001",
            "mac2.metal",
            Some("NOT_IMPLEMENTED"),
        ),
    ] {
        let answer = launch(&bench.producer, id, &[("InstanceType", kind)]).await;
        assert_eq!(
            answer.refusal.as_deref(),
            refusal,
            "{id} on {kind:?}: {answer:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_token_launches_one_instance() {
    let bench = Bench::new();
    let run = async |token: &str, kind: &str| {
        let params = [("ClientToken", token), ("InstanceType", kind)];
        launch(&bench.producer, IMAGE, &params).await
    };
    let ids: Vec<_> = [
        run("one", "t2.micro").await,
        run("one", "t2.micro").await,
        run("two", "t2.micro").await,
    ]
    .map(|answer| answer.ok().text("instanceId"))
    .into();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
    let other = run("one", "t2.small").await;
    assert_eq!(other.refusal.as_deref(), Some("CLIENT_TOKEN_REUSED"));
}

#[tokio::test(start_paused = true)]
async fn a_launch_needs_permission_on_every_resource() {
    let bench = Bench::new();
    let user = "arn:aws:iam::111111111111:user/admin";
    let rehearse = || launch(&bench.producer, IMAGE, &[("DryRun", "true")]);
    assert_eq!(
        rehearse().await.refusal.as_deref(),
        Some("DRY_RUN_OPERATION")
    );
    for kind in [
        "image",
        "instance",
        "volume",
        "network-interface",
        "security-group",
        "subnet",
    ] {
        let mut denied = deny("ec2:RunInstances");
        denied["Resource"] = json!(format!("arn:aws:ec2:*:*:{kind}/*"));
        let policy = document(&[policies::allow("ec2:*", "*"), denied]);
        bench.set_policies(user, &[&policy.to_string()]);
        let denied = rehearse().await;
        assert_eq!(
            denied.refusal.as_deref(),
            Some("UNAUTHORIZED_OPERATION"),
            "{kind}"
        );
    }
    assert!(bench.sandbox.instances(PRODUCER, WEST).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_launch_with_a_parameter_that_is_not_modelled_is_refused() {
    let bench = Bench::new();
    for more in [
        ("MaxCount", "2"),
        ("Placement.AvailabilityZone", "us-west-2a"),
        ("BlockDeviceMapping.1.Ebs.KmsKeyId", "alias/amis"),
    ] {
        let answer = launch(&bench.producer, IMAGE, &[more]).await;
        assert_eq!(
            answer.refusal.as_deref(),
            Some("NOT_IMPLEMENTED"),
            "{more:?}"
        );
    }
    let unknown = launch(&bench.producer, IMAGE, &[("Colour", "red")]).await;
    assert_eq!(unknown.refusal.as_deref(), Some("UNKNOWN_PARAMETER"));
    for state in ["failed", "disabled"] {
        let changed = bench
            .sandbox
            .edit(|aws| aws.change_image(IMAGE, |image| state.clone_into(&mut image.state)));
        assert!(changed);
        let answer = launch(&bench.producer, IMAGE, &[]).await;
        assert_eq!(
            answer.code.as_deref(),
            Some("InvalidAMIID.Unavailable"),
            "{state}"
        );
    }
}
