//! The worlds of the table: where a run goes, and what the snapshots of its image are under.

use amiferry_sandbox::{
    Account, BlockDeviceMapping, Bucket, Ebs, Image, Key, Organization, Role, Snapshot, World,
};
use serde_json::json;

use crate::support::{AMI, BUCKET, DATA, FUNCTION, ROOT, SOURCE, documented};

pub const ELSEWHERE: &str = "444444444444";
pub const ONE: &str = "222222222222";
pub const OTHER: &str = "333333333333";
pub const ORGANIZATION: &str = "o-abcdefghij";
pub const ROOT_UNIT: &str = "r-ab12";
pub const UNIT: &str = "ou-ab12-11111111";
pub const ACCESSES: [&str; 3] = ["Grant", "Policy", "None"];

/// The place to which a run goes.
pub struct Where {
    pub name: &'static str,
    pub partition: &'static str,
    pub source: &'static str,
    pub targets: &'static [(&'static str, &'static str)],
    pub enabled: bool,
}

pub const fn here(name: &'static str, targets: &'static [(&'static str, &'static str)]) -> Where {
    Where {
        name,
        partition: "aws",
        source: "us-west-2",
        targets,
        enabled: true,
    }
}

pub const HOME: Where = here("the same Region", &[(ONE, "us-west-2")]);
pub const CHINA: Where = Where {
    name: "China",
    partition: "aws-cn",
    source: "cn-north-1",
    targets: &[(ONE, "cn-northwest-1"), (OTHER, "cn-north-1")],
    enabled: true,
};
pub const GOVCLOUD: Where = Where {
    name: "GovCloud",
    partition: "aws-us-gov",
    source: "us-gov-west-1",
    targets: &[(ONE, "us-gov-east-1"), (OTHER, "us-gov-west-1")],
    enabled: true,
};
pub const WHERE: [Where; 8] = [
    HOME,
    here("another Region", &[(ONE, "us-east-1")]),
    here(
        "several",
        &[(ONE, "us-west-2"), (ONE, "us-east-1"), (OTHER, "eu-west-1")],
    ),
    here("opt-in Region", &[(ONE, "me-south-1")]),
    Where {
        enabled: false,
        ..here("opt-in Region, not enabled", &[(ONE, "me-south-1")])
    },
    CHINA,
    GOVCLOUD,
    here("across partitions", &[(ONE, "cn-north-1")]),
];

/// The keys that encrypt the snapshots of the image.
#[derive(Clone, Copy, PartialEq)]
pub enum Sources {
    Unencrypted,
    OneKey,
    OneKeyAndUnencrypted,
    TwoKeys,
    MultiRegionKey,
    KeyOfAnotherAccount,
    AwsEbs,
    AwsEbsReencrypted,
    AwsEbsAndKeyReencrypted,
}

use Sources::{
    AwsEbs, AwsEbsAndKeyReencrypted, AwsEbsReencrypted, KeyOfAnotherAccount, MultiRegionKey,
    OneKey, OneKeyAndUnencrypted, TwoKeys, Unencrypted,
};

pub const SOURCES: [(Sources, &str); 9] = [
    (Unencrypted, "unencrypted"),
    (OneKey, "one key"),
    (OneKeyAndUnencrypted, "one key, and unencrypted"),
    (TwoKeys, "two keys"),
    (MultiRegionKey, "a multi-Region key"),
    (KeyOfAnotherAccount, "a key of another account"),
    (AwsEbs, "`aws/ebs`"),
    (AwsEbsReencrypted, "`aws/ebs`, with `ReencryptKmsKeyId`"),
    (
        AwsEbsAndKeyReencrypted,
        "`aws/ebs` and a key, with `ReencryptKmsKeyId`",
    ),
];

pub const FIRST_KEY: &str = "11111111-aaaa-bbbb-cccc-000000000001";
pub const SECOND_KEY: &str = "11111111-aaaa-bbbb-cccc-000000000002";
pub const MRK: &str = "mrk-1111111111111111aaaaaaaaaaaaaaaa";
pub const FOREIGN_KEY: &str = "44444444-aaaa-bbbb-cccc-000000000004";
pub const TARGET_KEY: &str = "22222222-aaaa-bbbb-cccc-000000000002";
pub const TARGET_MRK: &str = "mrk-2222222222222222aaaaaaaaaaaaaaaa";

impl Sources {
    pub fn reencrypts(self) -> bool {
        matches!(self, AwsEbsReencrypted | AwsEbsAndKeyReencrypted)
    }

    /// Returns the keys of the two snapshots as the sandbox takes them.
    pub fn keys(self, place: &Where) -> [Option<String>; 2] {
        let key = |account: &str, id: &str| Some(key_arn(place, account, place.source, id));
        let managed = Some("alias/aws/ebs".to_owned());
        match self {
            Unencrypted => [None, None],
            OneKey => [key(SOURCE, FIRST_KEY), key(SOURCE, FIRST_KEY)],
            OneKeyAndUnencrypted => [key(SOURCE, FIRST_KEY), None],
            TwoKeys => [key(SOURCE, FIRST_KEY), key(SOURCE, SECOND_KEY)],
            MultiRegionKey => [key(SOURCE, MRK), key(SOURCE, MRK)],
            KeyOfAnotherAccount => [key(ELSEWHERE, FOREIGN_KEY), key(ELSEWHERE, FOREIGN_KEY)],
            AwsEbs | AwsEbsReencrypted => [managed.clone(), managed],
            AwsEbsAndKeyReencrypted => [managed, key(SOURCE, SECOND_KEY)],
        }
    }
}

pub fn key_arn(place: &Where, account: &str, region: &str, id: &str) -> String {
    format!("arn:{}:kms:{region}:{account}:key/{id}", place.partition)
}

/// Adapts a documented text for us-west-2 of the commercial partition to another place.
pub fn local(place: &Where, text: &str) -> String {
    let suffix = if place.partition == "aws-cn" {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    text.replace("arn:aws:", &format!("arn:{}:", place.partition))
        .replace("us-west-2", place.source)
        .replace("amazonaws.com", suffix)
}

/// Returns a key policy written by hand for `KeyAccess: None`. The key of another account admits
/// the function too.
pub fn key_policy(place: &Where, owner: &str, users: &[&str]) -> String {
    let root = |account: &str| format!("arn:{}:iam::{account}:root", place.partition);
    let users: Vec<String> = users.iter().map(|account| root(account)).collect();
    let mut statements = vec![
        json!({"Effect": "Allow", "Principal": {"AWS": root(owner)}, "Action": "kms:*",
            "Resource": "*"}),
    ];
    if !users.is_empty() {
        statements.push(
            json!({"Effect": "Allow", "Principal": {"AWS": users}, "Resource": "*",
            "Action": ["kms:DescribeKey", "kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant",
            "kms:Decrypt", "kms:ReEncrypt*",
                "kms:GenerateDataKeyWithoutPlaintext"]}),
        );
    }
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

pub fn source(place: &Where, sources: Sources, access: &str) -> Account {
    let by_hand: &[&str] = if access == "None" { &[ONE, OTHER] } else { &[] };
    let any_owner = |name: &str| {
        local(place, &documented(name)).replace(
            &format!("{}:{SOURCE}:key/*", place.source),
            &format!("{}:*:key/*", place.source),
        )
    };
    let role = Role::new("amiferry")
        .policy(any_owner("Find"))
        .policy(any_owner("ShareImages"))
        .policy(local(place, &documented("KeyPolicies")))
        .policy(local(place, &documented("Stage")));
    let policy = key_policy(place, SOURCE, by_hand);
    let account = [FIRST_KEY, SECOND_KEY, MRK].iter().fold(
        Account::new(SOURCE)
            .partition(place.partition)
            .parent(ROOT_UNIT)
            .function_key(
                "AKIAIOSFODNNPRODUCER",
                "producer-secret",
                &format!("arn:{}:iam::{SOURCE}:role/amiferry", place.partition),
                &local(place, FUNCTION),
            )
            .role(role)
            .bucket(Bucket::new(place.source, BUCKET)),
        |account, id| account.key(Key::new(place.source, id).policy(policy.clone())),
    );
    let snapshots = [(ROOT, 8), (DATA, 100)]
        .into_iter()
        .zip(sources.keys(place));
    let account = snapshots.fold(account, |account, ((id, size), key)| {
        let snapshot = Snapshot::new(place.source, id, size);
        account.snapshot(match key {
            Some(key) => snapshot.key(&key),
            None => snapshot,
        })
    });
    account.image(
        Image::new(place.source, AMI, "golden")
            .mapping(BlockDeviceMapping::ebs(
                "/dev/xvda",
                Ebs::snapshot(ROOT).gp3(8, 3000, 125),
            ))
            .mapping(BlockDeviceMapping::ebs(
                "/dev/sdb",
                Ebs::snapshot(DATA).gp3(100, 3000, 125),
            ))
            .with(|image| image.root_device_name = Some("/dev/xvda".to_owned())),
    )
}

pub fn target(place: &Where, id: &str) -> Account {
    let admin = format!("arn:{}:iam::{id}:role/Admin", place.partition);
    let role = Role::new("AmiCopyRole").trust_policy(local(place, &documented("aws:PrincipalArn")));
    let policy = local(place, &documented("TidyUp"))
        .replace(
            &format!("{}:222222222222:key/*", place.source),
            &format!("*:{id}:key/*"),
        )
        .replace(
            &format!("{}:{SOURCE}:key/*", place.source),
            &format!("{}:*:key/*", place.source),
        )
        .replace("222222222222", id);
    let mut account = Account::new(id)
        .partition(place.partition)
        .parent(UNIT)
        .access_key(&format!("AKIAADMIN{id}"), "admin-secret", &admin)
        .role(Role::admin("Admin"))
        .role(role.policy(policy));
    for (owner, region) in place.targets {
        let is_other_partition = region.starts_with("cn-") != (place.partition == "aws-cn");
        if *owner == id && !is_other_partition {
            account = account
                .key(Key::new(region, TARGET_KEY).alias("alias/amis"))
                .key(Key::new(region, TARGET_MRK));
            if !place.enabled {
                account = account.region_disabled(region);
            }
        }
    }
    account
}

pub fn world(place: &Where, sources: Sources, access: &str) -> World {
    let mut users = vec![SOURCE];
    if access == "None" {
        users.extend([ONE, OTHER]);
    }
    let foreign = Account::new(ELSEWHERE)
        .partition(place.partition)
        .parent(ROOT_UNIT)
        .key(Key::new(place.source, FOREIGN_KEY).policy(key_policy(place, ELSEWHERE, &users)));
    World::new()
        .copy_mib_per_second(4096.0)
        .organization(
            Organization::new(ORGANIZATION, SOURCE, ROOT_UNIT).unit(UNIT, "team", ROOT_UNIT),
        )
        .account(source(place, sources, access))
        .account(target(place, ONE))
        .account(target(place, OTHER))
        .account(foreign)
}
