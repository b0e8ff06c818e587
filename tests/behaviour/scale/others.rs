//! Other ways to carry images, as schedules in the same world: a shell script, which serves one
//! target after the other, and a handler that waits for its copies. Both make only the calls that
//! the work itself needs, and look for an end every fifteen seconds, as the waiters of AWS's own
//! tools do.

use std::time::Duration;

use amiferry_sandbox::{Account, Key, Role, Sandbox, World};
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_ec2::types::{
    ArchitectureValues, BlockDeviceMapping, EbsBlockDevice, ImageState, OperationType, Snapshot,
    SnapshotAttributeName, SnapshotState,
};
use aws_sdk_kms::types::GrantOperation;
use futures::future::join_all;

use super::{device, producer_of, snapshot, timed};
use crate::support::*;

/// The pause of AWS's waiters for snapshots and images (botocore).
const PAUSE: Duration = Duration::from_secs(15);
const ROLE: &str = "AmiCopyRole";

/// The order in which a schedule serves its targets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// One target after the other.
    Script,
    /// All at once, an invocation for each target.
    Waiting,
}

impl Schedule {
    pub fn name(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Waiting => "waiting handler",
        }
    }
}

/// The cost of a schedule.
pub struct Taken {
    pub wall: Duration,
    /// The time in which somebody waits and works, of all targets together.
    pub busy: Duration,
    pub calls: usize,
}

/// Returns a world of accounts in the source's Region, each with a role that may do everything.
fn world_of(accounts: &[&'static str], snapshots: usize) -> World {
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"sts:AssumeRole",
            "Principal":{{"AWS":"arn:aws:iam::{SOURCE}:root"}}}}]}}"#
    );
    let everything = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*",
        "Resource":"*"}]}"#;
    accounts.iter().fold(
        timed(World::new().account(producer_of(snapshots))),
        |world, account| {
            let role = Role::new(ROLE).trust_policy(&trust).policy(everything);
            let key = Key::new(HOME, KEY_ID).alias("alias/amis");
            world.account(Account::new(account).role(role).key(key))
        },
    )
}

/// Plays a schedule.
pub async fn played(schedule: Schedule, targets: usize, snapshots: usize) -> Taken {
    let accounts: Vec<&str> = super::places(targets * super::REGIONS.len())
        .iter()
        .step_by(super::REGIONS.len())
        .map(|(account, _)| *account)
        .collect();
    let sandbox = Sandbox::new(world_of(&accounts, snapshots));
    let own = config_in(HOME, sandbox.http_client(), sandbox.time_source()).await;
    let begun = tokio::time::Instant::now();
    let one = async |account: &'static str| {
        let begun = tokio::time::Instant::now();
        copied(&own, account, snapshots).await;
        begun.elapsed()
    };
    let busy = match schedule {
        Schedule::Script => {
            let mut busy = Duration::ZERO;
            for account in accounts {
                busy += one(account).await;
            }
            busy
        }
        Schedule::Waiting => join_all(accounts.into_iter().map(one)).await.iter().sum(),
    };
    Taken {
        wall: begun.elapsed(),
        busy,
        calls: sandbox.ledger().len(),
    }
}

/// Carries the image into one account: opens, copies, waits, registers, waits, and closes.
async fn copied(own: &SdkConfig, account: &str, snapshots: usize) {
    let (ec2, kms) = (aws_sdk_ec2::Client::new(own), aws_sdk_kms::Client::new(own));
    let sources: Vec<String> = (0..snapshots).map(snapshot).collect();
    for source in &sources {
        share(&ec2, source, account, OperationType::Add).await;
    }
    let operations = vec![
        GrantOperation::CreateGrant,
        GrantOperation::Decrypt,
        GrantOperation::DescribeKey,
        GrantOperation::GenerateDataKeyWithoutPlaintext,
        GrantOperation::ReEncryptFrom,
        GrantOperation::ReEncryptTo,
    ];
    let grant = kms
        .create_grant()
        .key_id(SOURCE_KEY)
        .grantee_principal(format!("arn:aws:iam::{account}:root"))
        .set_operations(Some(operations))
        .send()
        .await
        .expect("a grant");
    let target = aws_sdk_ec2::Client::new(&session(own, account).await);
    // The permissions spread.
    tokio::time::sleep(PAUSE).await;
    let mut copies = Vec::new();
    for source in &sources {
        let copy = target
            .copy_snapshot()
            .source_region(HOME)
            .source_snapshot_id(source)
            .encrypted(true)
            .kms_key_id("alias/amis")
            .send();
        copies.push(copy.await.expect("a copy").snapshot_id.expect("an ID"));
    }
    wait_for(&target, &copies).await;
    let mappings = copies.iter().enumerate().map(|(n, copy)| {
        let ebs = EbsBlockDevice::builder().snapshot_id(copy).build();
        let mapping = BlockDeviceMapping::builder().device_name(device(n));
        mapping.ebs(ebs).build()
    });
    let image = target
        .register_image()
        .name("golden")
        .architecture(ArchitectureValues::X8664)
        .root_device_name(device(0))
        .virtualization_type("hvm")
        .set_block_device_mappings(Some(mappings.collect()))
        .send();
    let image = image.await.expect("an image").image_id.expect("an ID");
    loop {
        // Nothing shows at once.
        tokio::time::sleep(PAUSE).await;
        let told = target.describe_images().image_ids(&image).send().await;
        let told = told.expect("the image");
        if told
            .images()
            .iter()
            .any(|i| i.state == Some(ImageState::Available))
        {
            break;
        }
    }
    for source in &sources {
        share(&ec2, source, account, OperationType::Remove).await;
    }
    let revoking = kms.revoke_grant().key_id(SOURCE_KEY);
    let revoking = revoking.grant_id(grant.grant_id.expect("an ID")).send();
    revoking.await.expect("revoked");
}

async fn share(ec2: &aws_sdk_ec2::Client, snapshot: &str, account: &str, how: OperationType) {
    ec2.modify_snapshot_attribute()
        .snapshot_id(snapshot)
        .attribute(SnapshotAttributeName::CreateVolumePermission)
        .operation_type(how)
        .user_ids(account)
        .send()
        .await
        .expect("changed");
}

async fn session(own: &SdkConfig, account: &str) -> SdkConfig {
    let assumed = aws_sdk_sts::Client::new(own)
        .assume_role()
        .role_arn(format!("arn:aws:iam::{account}:role/{ROLE}"))
        .role_session_name("script")
        .send()
        .await
        .expect("a session");
    let given = assumed.credentials.expect("credentials");
    let token = Some(given.session_token);
    let credentials = Credentials::new(
        given.access_key_id,
        given.secret_access_key,
        token,
        None,
        "test",
    );
    let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
    own.to_builder().credentials_provider(provider).build()
}

async fn wait_for(ec2: &aws_sdk_ec2::Client, copies: &[String]) {
    loop {
        // Nothing shows at once.
        tokio::time::sleep(PAUSE).await;
        let told = ec2
            .describe_snapshots()
            .set_snapshot_ids(Some(copies.to_vec()))
            .send()
            .await;
        let told = told.expect("the copies");
        let state_is =
            |state: SnapshotState| move |one: &Snapshot| one.state.as_ref() == Some(&state);
        assert!(
            !told.snapshots().iter().any(state_is(SnapshotState::Error)),
            "{told:?}"
        );
        if told
            .snapshots()
            .iter()
            .all(state_is(SnapshotState::Completed))
        {
            return;
        }
    }
}

/// A script waits for one copy after the other, a handler for all at once, and both for each.
#[tokio::test(start_paused = true)]
async fn other_schedules_wait_for_each_copy() {
    let copy = super::copying(super::SIZES[0]);
    for (schedule, copies) in [(Schedule::Script, 3), (Schedule::Waiting, 1)] {
        let taken = played(schedule, 3, 1).await;
        assert!(taken.wall > copy * copies, "{:?}", taken.wall);
        assert!(taken.wall < copy * copies * 3 / 2, "{:?}", taken.wall);
        assert!(taken.busy > copy * 3, "{:?}", taken.busy);
        assert!(taken.calls > 3 * 9, "{}", taken.calls);
    }
}
