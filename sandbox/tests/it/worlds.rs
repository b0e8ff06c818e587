//! The world that most tests start from: a producer with an encrypted image, and a consumer that
//! may copy it.

use std::fmt::Display;

use amiferry_sandbox::{
    Account, BlockDeviceMapping, Ebs, Image, Key, Organization, Role, Sandbox, Snapshot, User,
    World,
};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::policies::{document, permit, permit_owner, root, when};

pub const PRODUCER: &str = "111111111111";
pub const CONSUMER: &str = "222222222222";
/// The account that manages the organization of both.
pub const MANAGEMENT: &str = "999999999999";
pub const ORGANIZATION: &str = "o-a1b2c3d4e5";
pub const ROOT_ID: &str = "r-ab12";
/// An OU in the root, which holds only the inner OU.
pub const OUTER: &str = "ou-ab12-11111111";
/// The OU that holds the consumer.
pub const INNER: &str = "ou-ab12-22222222";
pub const WEST: &str = "us-west-2";
pub const EAST: &str = "us-east-1";
pub const IMAGE: &str = "ami-0000000000000a001";
/// 8 GiB, under the producer's key, shared.
pub const ROOT: &str = "snap-0000000000000a001";
/// 100 GiB, under the producer's key, not shared.
pub const UNSHARED: &str = "snap-0000000000000a002";
/// 8 GiB, not encrypted, shared.
pub const PLAIN: &str = "snap-0000000000000a003";
/// Under the producer's `aws/ebs`.
pub const MANAGED: &str = "snap-0000000000000a004";
/// A snapshot of the consumer.
pub const OWN: &str = "snap-0000000000000b001";
pub const SOURCE_KEY: &str = "arn:aws:kms:us-west-2:111111111111:key/source";
pub const TARGET_KEY: &str = "arn:aws:kms:us-west-2:222222222222:key/target";
pub const FERRY: &str = "arn:aws:iam::111111111111:role/ferry";
/// The role by which Auto Scaling acts in the consumer's account.
pub const SCALER: &str = "arn:aws:iam::222222222222:role/aws-service-role/\
    autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling";
pub const COPIER: &str = "arn:aws:iam::222222222222:role/Copier";

pub fn world() -> World {
    let management = Account::new(MANAGEMENT)
        .name("Management")
        .user(User::admin("admin"))
        .access_key(
            "AKIAMANAGEMENT",
            "management",
            "arn:aws:iam::999999999999:user/admin",
        );
    World::new()
        .organization(organization())
        .account(producer())
        .account(consumer())
        .account(management)
}

fn producer() -> Account {
    Account::new(PRODUCER)
        .parent(ROOT_ID)
        .user(User::admin("admin"))
        .role(Role::admin("ferry"))
        .access_key(
            "AKIAPRODUCER",
            "producer",
            "arn:aws:iam::111111111111:user/admin",
        )
        .access_key("AKIAFERRY", "ferry", FERRY)
        .key(
            Key::new(WEST, "source")
                .alias("alias/source")
                .policy(source_key_policy()),
        )
        .key(Key::new(WEST, "private"))
        .snapshot(
            Snapshot::new(WEST, ROOT, 8)
                .key("source")
                .shared_with(CONSUMER)
                .tag("Name", "root"),
        )
        .snapshot(Snapshot::new(WEST, UNSHARED, 100).key("source"))
        .snapshot(Snapshot::new(WEST, PLAIN, 8).shared_with(CONSUMER))
        .snapshot(Snapshot::new(WEST, MANAGED, 8).key("alias/aws/ebs"))
        .image(
            Image::new(WEST, IMAGE, "golden")
                .tag("Name", "golden")
                .mapping(BlockDeviceMapping::ebs(
                    "/dev/xvda",
                    Ebs::snapshot(ROOT).gp3(8, 3000, 250),
                ))
                .mapping(BlockDeviceMapping::ephemeral("/dev/sdb", "ephemeral0")),
        )
}

fn consumer() -> Account {
    Account::new(CONSUMER)
        .parent(INNER)
        .user(User::admin("admin"))
        .user(User::new("nobody"))
        .role(
            Role::admin("Copier")
                .trusts(FERRY)
                .external_id("shared-secret"),
        )
        .role(Role::service_linked(
            "autoscaling.amazonaws.com",
            "AWSServiceRoleForAutoScaling",
        ))
        .role(Role::service_linked(
            "spot.amazonaws.com",
            "AWSServiceRoleForEC2Spot",
        ))
        .access_key(
            "AKIACONSUMER",
            "consumer",
            "arn:aws:iam::222222222222:user/admin",
        )
        .access_key(
            "AKIANOBODY",
            "nobody",
            "arn:aws:iam::222222222222:user/nobody",
        )
        .key(Key::new(WEST, "target").alias("alias/amis"))
        .key(Key::new(EAST, "east"))
        .snapshot(Snapshot::new(WEST, OWN, 8).key("target"))
}

pub fn organization() -> Organization {
    Organization::new(ORGANIZATION, MANAGEMENT, ROOT_ID)
        .unit(INNER, "Production", OUTER)
        .unit(OUTER, "Workloads", ROOT_ID)
}

/// Returns the policy of the source key: its account decides by IAM, and the consumer's account may
/// use it through EC2.
pub fn source_key_policy() -> Value {
    let uses = json!([
        "kms:DescribeKey",
        "kms:Decrypt",
        "kms:ReEncrypt*",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:CreateGrant",
    ]);
    let via_ec2 = json!({"StringLike": {"kms:ViaService": "ec2.*.amazonaws.com"}});
    document(&[
        permit_owner(PRODUCER),
        when(permit(&root(CONSUMER), uses), via_ec2),
    ])
}

/// A sandbox and its clients.
pub struct Bench {
    pub sandbox: Sandbox,
    /// An administrator of the producer's account.
    pub producer: Client,
    /// An administrator of the consumer's account.
    pub consumer: Client,
    /// An administrator of the management account.
    pub management: Client,
    /// A user without any policy.
    pub nobody: Client,
    /// A role session in the producer's account.
    pub ferry: Client,
}

impl Bench {
    pub fn new() -> Self {
        Self::of(world())
    }

    pub fn of(world: World) -> Self {
        let sandbox = Sandbox::new(world);
        let client = |key: &str, secret: &str| Client::new(&sandbox, WEST, key, secret);
        Self {
            producer: client("AKIAPRODUCER", "producer"),
            consumer: client("AKIACONSUMER", "consumer"),
            management: client("AKIAMANAGEMENT", "management"),
            nobody: client("AKIANOBODY", "nobody"),
            ferry: client("AKIAFERRY", "ferry"),
            sandbox,
        }
    }

    /// Replaces a key policy at once.
    pub fn set_key_policy(&self, key: &str, policy: impl Display) {
        let policy = policy.to_string();
        let changed = self.sandbox.edit(|aws| aws.set_key_policy(key, &policy));
        assert_eq!(changed, Ok(true));
    }

    /// Replaces the identity policies of a role or user.
    pub fn set_policies(&self, principal: &str, policies: &[&str]) {
        let changed = self
            .sandbox
            .edit(|aws| aws.set_policies(principal, policies));
        assert_eq!(changed, Ok(true));
    }

    /// Copies the shared root snapshot into the consumer's account, under the consumer's own key.
    pub async fn copy(&self) -> String {
        self.copy_of(ROOT, &[])
            .await
            .ok()
            .text("snapshotId")
            .expect("a snapshot")
    }

    pub async fn copy_of(&self, source: &str, more: &[(&str, &str)]) -> Answer {
        let mut params = vec![
            ("SourceRegion", WEST),
            ("SourceSnapshotId", source),
            ("Encrypted", "true"),
            ("KmsKeyId", "alias/amis"),
        ];
        params.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
        params.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        self.consumer.ec2("CopySnapshot", &params).await
    }

    /// Returns state and message of this snapshot as the consumer sees it, once its copy has ended.
    pub async fn end_of(&self, snapshot: &str) -> (String, String) {
        tokio::time::sleep(std::time::Duration::from_hours(2)).await;
        self.state_of(snapshot).await
    }

    pub async fn state_of(&self, snapshot: &str) -> (String, String) {
        let answer = self
            .consumer
            .ec2("DescribeSnapshots", &[("SnapshotId.1", snapshot)])
            .await
            .ok();
        let state = answer.text("status").expect("a state");
        (state, answer.text("statusMessage").unwrap_or_default())
    }

    pub async fn register(&self, name: &str, more: &[(&str, &str)]) -> Answer {
        let mut params = vec![
            ("Name", name),
            ("RootDeviceName", "/dev/xvda"),
            ("Architecture", "x86_64"),
            ("VirtualizationType", "hvm"),
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.SnapshotId", OWN),
        ];
        params.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
        params.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        self.consumer.ec2("RegisterImage", &params).await
    }
}
