//! Sources that cannot be copied are refused before anything is shared; those that can, in all
//! their kinds, are copied.

use amiferry_sandbox::{Account, BlockDeviceMapping, Ebs, Image, Key, Sandbox, Snapshot};
use serde_json::Value;

use crate::support::*;

const PLACE: [Place; 1] = [("222222222222", HOME)];

/// Returns the refusal of a source, and checks that nothing was changed.
async fn refused(sandbox: &Sandbox, event: &Value) -> (String, String) {
    let error = call(sandbox, event).await.expect_err("must be refused");
    let changing = [
        "Modify", "Create", "Copy", "Register", "Delete", "Revoke", "Assume",
    ];
    let changed: Vec<String> = sandbox
        .ledger()
        .into_iter()
        .map(|c| c.operation)
        .filter(|o| changing.iter().any(|c| o.starts_with(c)))
        .collect();
    assert_eq!(changed, Vec::<String>::new());
    (error.error_type().to_owned(), error.to_string())
}

async fn refused_with(change: impl FnOnce(Account) -> Account, expected: &str) {
    let sandbox = Sandbox::new(world_with(change(producer()), &PLACE));
    let (kind, message) = refused(&sandbox, &distribute(&PLACE)).await;
    assert!(
        kind == "InvalidRequest"
            && message.starts_with("SourceImageId: ")
            && message.contains(expected),
        "{kind}: {message}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_source_image_is_refused() {
    let sandbox = Sandbox::new(world(&PLACE));
    let mut event = distribute(&PLACE);
    event["Distribute"]["SourceImageId"] = "ami-00000000000000000".into();
    let (kind, message) = refused(&sandbox, &event).await;
    assert_eq!(kind, "SourceNotFound");
    assert!(
        message.contains("there is no ami-00000000000000000 in us-west-2"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_image_of_another_account_is_refused() {
    let sandbox = Sandbox::new(world(&PLACE));
    let foreign = Image::new(HOME, "ami-00000000000000009", "theirs").with(|i| i.public = true);
    sandbox
        .edit(|aws| aws.add_image("222222222222", foreign))
        .unwrap();
    let mut event = distribute(&PLACE);
    event["Distribute"]["SourceImageId"] = "ami-00000000000000009".into();
    let (kind, message) = refused(&sandbox, &event).await;
    assert_eq!(kind, "SourceNotFound");
    assert!(
        message.contains("belongs to account 222222222222"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_image_that_is_not_available_is_refused() {
    refused_with(
        |mut account| {
            account.images[0].state = "failed".to_owned();
            account
        },
        "only an available image",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_source_with_an_archived_snapshot_is_refused() {
    refused_with(
        |mut account| {
            account.snapshots[1].storage_tier = "archive".to_owned();
            account
        },
        "restore-snapshot-tier",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_source_without_ebs_snapshots_is_refused() {
    refused_with(
        |mut account| {
            account.images[0].block_device_mappings =
                vec![BlockDeviceMapping::ephemeral("/dev/sda1", "ephemeral0")];
            account.images[0].root_device_type = "instance-store".to_owned();
            account
        },
        "no EBS snapshot",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_source_under_the_aws_managed_key_is_refused() {
    refused_with(
        |mut account| {
            account.snapshots[0].kms_key_arn = Some("alias/aws/ebs".to_owned());
            account
        },
        "aws ec2 copy-image",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_hint_of_another_image_is_refused() {
    let sandbox = Sandbox::new(world(&PLACE));
    let mut event = distribute(&PLACE);
    event["Distribute"]["SourceSnapshotId"] = "snap-00000000000000000".into();
    let (kind, message) = refused(&sandbox, &event).await;
    assert!(
        kind == "InvalidRequest" && message.starts_with("SourceSnapshotId: "),
        "{message}"
    );
    event["Distribute"]["SourceSnapshotId"] = DATA.into();
    assert_eq!(to_the_end(&sandbox, &event).await["Status"], "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_the_function_may_not_see_is_refused() {
    let mut account = producer();
    account.roles[0].policies = vec![
        r#"{"Version":"2012-10-17",
            "Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}"#
            .to_owned(),
    ];
    let sandbox = Sandbox::new(world_with(account, &PLACE));
    let (kind, message) = refused(&sandbox, &distribute(&PLACE)).await;
    assert!(
        kind == "AccessDenied"
            && message.contains("DescribeImages")
            && message.contains("request ID"),
        "{kind}: {message}"
    );
}

/// The source has two keys, an unencrypted snapshot, a snapshot behind two devices, an empty volume
/// and a suppressed device.
#[tokio::test(start_paused = true)]
async fn a_source_with_mixed_keys_and_mappings_is_copied_faithfully() {
    let other = "arn:aws:kms:us-west-2:111111111111:key/11111111-aaaa-bbbb-cccc-000000000009";
    let account = producer()
        .key(Key::new(HOME, "11111111-aaaa-bbbb-cccc-000000000009"))
        .snapshot(Snapshot::new(HOME, "snap-0123456789abcdef2", 4).key(other))
        .snapshot(Snapshot::new(HOME, "snap-0123456789abcdef3", 4));
    let account = Account {
        images: vec![
            image()
                .mapping(BlockDeviceMapping::ebs(
                    "/dev/sdd",
                    Ebs::snapshot("snap-0123456789abcdef2").gp3(4, 3000, 125),
                ))
                .mapping(BlockDeviceMapping::ebs(
                    "/dev/sde",
                    Ebs::snapshot("snap-0123456789abcdef3").gp3(4, 3000, 125),
                ))
                .mapping(BlockDeviceMapping::ebs(
                    "/dev/sdf",
                    Ebs::snapshot("snap-0123456789abcdef3").gp3(8, 3000, 125),
                )),
        ],
        ..account
    };
    let sandbox = Sandbox::new(world_with(account, &FOUR));
    let reply = to_the_end(&sandbox, &distribute(&FOUR)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(
        target(&reply, FOUR[0])["Snapshots"]
            .as_object()
            .unwrap()
            .len(),
        4
    );
    assert_whole(&sandbox, &FOUR);
    assert_closed(&sandbox);
    assert_eq!(sandbox.grants(other), Vec::new());
}

/// Billing cannot be carried over, so the copy is not delivered.
#[tokio::test(start_paused = true)]
async fn a_copy_that_lost_its_billing_is_discarded() {
    let mut account = producer();
    account.images[0].platform_details = "Red Hat Enterprise Linux".to_owned();
    account.images[0].usage_operation = "RunInstances:0010".to_owned();
    let sandbox = Sandbox::new(world_with(account, &PLACE));
    let mut event = distribute(&PLACE);
    event["Distribute"]["Strategy"] = "Snapshots".into();
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let result = target(&reply, PLACE[0]);
    assert_eq!(result["Cause"], "NotFaithful");
    assert!(
        result["Reason"]
            .as_str()
            .unwrap()
            .contains("PlatformDetails"),
        "{result}"
    );
    assert_nothing(&sandbox, &PLACE);
    assert_closed(&sandbox);
}
