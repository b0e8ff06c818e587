//! Every way to let others use an image, with every kind of source, in every kind of Region: what docs/combinations.md shows is what
//! was seen here. After each run, whatever came of it, the source is as it was and no target has more than its copy.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use amiferry::handler::{Handler, Invocation};
use amiferry::setup::Settings;
use amiferry_sandbox::{
    Account, BlockDeviceMapping, Ebs, Image, Key, Organization, Role, Sandbox, Snapshot, World,
};
use aws_credential_types::Credentials;
use serde_json::{Value, json};

use crate::launch_grants::runs;
use crate::support::{AMI, DATA, ROOT, SOURCE, config_in, documented};
use crate::tables::shown;

const ELSEWHERE: &str = "444444444444";
const ONE: &str = "222222222222";
const OTHER: &str = "333333333333";
const ORGANIZATION: &str = "o-abcdefghij";
const ROOT_UNIT: &str = "r-ab12";
const UNIT: &str = "ou-ab12-11111111";
const ACCESSES: [&str; 3] = ["Grant", "Policy", "None"];

/// Where a run goes.
struct Where {
    name: &'static str,
    partition: &'static str,
    source: &'static str,
    targets: &'static [(&'static str, &'static str)],
    enabled: bool,
}

const fn here(name: &'static str, targets: &'static [(&'static str, &'static str)]) -> Where {
    Where {
        name,
        partition: "aws",
        source: "us-west-2",
        targets,
        enabled: true,
    }
}

const HOME: Where = here("the same Region", &[(ONE, "us-west-2")]);
const CHINA: Where = Where {
    name: "China",
    partition: "aws-cn",
    source: "cn-north-1",
    targets: &[(ONE, "cn-northwest-1"), (OTHER, "cn-north-1")],
    enabled: true,
};
const GOVCLOUD: Where = Where {
    name: "GovCloud",
    partition: "aws-us-gov",
    source: "us-gov-west-1",
    targets: &[(ONE, "us-gov-east-1"), (OTHER, "us-gov-west-1")],
    enabled: true,
};
const WHERE: [Where; 8] = [
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

/// What the snapshots of the image are under.
#[derive(Clone, Copy, PartialEq)]
enum Sources {
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

const SOURCES: [(Sources, &str); 9] = [
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

const FIRST_KEY: &str = "11111111-aaaa-bbbb-cccc-000000000001";
const SECOND_KEY: &str = "11111111-aaaa-bbbb-cccc-000000000002";
const MRK: &str = "mrk-1111111111111111aaaaaaaaaaaaaaaa";
const FOREIGN_KEY: &str = "44444444-aaaa-bbbb-cccc-000000000004";
const TARGET_KEY: &str = "22222222-aaaa-bbbb-cccc-000000000002";
const TARGET_MRK: &str = "mrk-2222222222222222aaaaaaaaaaaaaaaa";

impl Sources {
    fn reencrypts(self) -> bool {
        matches!(self, AwsEbsReencrypted | AwsEbsAndKeyReencrypted)
    }

    /// The keys of the two snapshots, as the sandbox takes them.
    fn keys(self, place: &Where) -> [Option<String>; 2] {
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

fn key_arn(place: &Where, account: &str, region: &str, id: &str) -> String {
    format!("arn:{}:kms:{region}:{account}:key/{id}", place.partition)
}

/// What is documented for us-west-2 of the commercial partition, elsewhere.
fn local(place: &Where, text: &str) -> String {
    let suffix = if place.partition == "aws-cn" {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    text.replace("arn:aws:", &format!("arn:{}:", place.partition))
        .replace("us-west-2", place.source)
        .replace("amazonaws.com", suffix)
}

/// By hand, with `KeyAccess: None`; a key of another account also for the function.
fn key_policy(place: &Where, owner: &str, users: &[&str]) -> String {
    let root = |account: &str| format!("arn:{}:iam::{account}:root", place.partition);
    let users: Vec<String> = users.iter().map(|account| root(account)).collect();
    let mut statements = vec![
        json!({"Effect": "Allow", "Principal": {"AWS": root(owner)}, "Action": "kms:*", "Resource": "*"}),
    ];
    if !users.is_empty() {
        statements.push(json!({"Effect": "Allow", "Principal": {"AWS": users}, "Resource": "*",
            "Action": ["kms:DescribeKey", "kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant", "kms:Decrypt", "kms:ReEncrypt*",
                "kms:GenerateDataKeyWithoutPlaintext"]}));
    }
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn source(place: &Where, sources: Sources, access: &str) -> Account {
    let by_hand: &[&str] = if access == "None" { &[ONE, OTHER] } else { &[] };
    let role = Role::new("amiferry")
        .policy(local(place, &documented("Find")).replace(
            &format!("{}:{SOURCE}:key/*", place.source),
            &format!("{}:*:key/*", place.source),
        ))
        .policy(local(place, &documented("KeyPolicies")))
        .policy(local(place, &documented("Stage")));
    let policy = key_policy(place, SOURCE, by_hand);
    let account = [FIRST_KEY, SECOND_KEY, MRK].iter().fold(
        Account::new(SOURCE)
            .partition(place.partition)
            .parent(ROOT_UNIT)
            .access_key(
                "AKIAIOSFODNNPRODUCER",
                "producer-secret",
                &format!("arn:{}:iam::{SOURCE}:role/amiferry", place.partition),
            )
            .role(role),
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

fn target(place: &Where, id: &str) -> Account {
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
        );
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

fn world(place: &Where, sources: Sources, access: &str) -> World {
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

/// Drives a request to its end: the reply, or in a few words why there is none.
async fn run(sandbox: &Sandbox, place: &Where, request: &Value) -> Result<Value, String> {
    let config = config_in(place.source, sandbox.http_client(), sandbox.time_source()).await;
    let function = Handler::new(config, Settings::default());
    let mut event = json!({ "Distribute": request });
    for _ in 0..500 {
        let invocation = Invocation {
            deadline: Some(sandbox.now() + Duration::from_mins(15)),
            function_arn: format!(
                "arn:{}:lambda:{}:{SOURCE}:function:amiferry",
                place.partition, place.source
            ),
            function_name: "amiferry".to_owned(),
        };
        let reply = function.handle(&event.to_string(), &invocation).await;
        let reply = reply.map_err(|error| {
            let said = error.to_string();
            let key = said.split(':').next().unwrap_or_default();
            format!("{}: `{key}`", error.error_type())
        })?;
        if reply["Status"] != "Continue" {
            return Ok(reply);
        }
        let wait = reply["WaitSeconds"].as_u64().expect("a number");
        tokio::time::sleep(Duration::from_secs(wait)).await;
        event = json!({"State": reply["State"]});
    }
    panic!("the run does not end: {request}");
}

/// What became of it, in a word for each kind of end.
fn ends(reply: &Value) -> String {
    let targets = reply["Result"]["Targets"].as_array();
    let words: BTreeSet<&str> = targets
        .into_iter()
        .flatten()
        .filter_map(|t| t["Cause"].as_str().or(t["Status"].as_str()))
        .collect();
    let status = reply["Status"].as_str().unwrap_or_default();
    if words.is_empty() || words.contains(status) {
        return status.to_owned();
    }
    Vec::from_iter(words).join(", ")
}

/// The keys of the source as they are seen: their policies and grants.
fn keys(sandbox: &Sandbox, place: &Where) -> Vec<(Option<Value>, usize)> {
    [
        (SOURCE, FIRST_KEY),
        (SOURCE, SECOND_KEY),
        (SOURCE, MRK),
        (ELSEWHERE, FOREIGN_KEY),
    ]
    .iter()
    .map(|(account, id)| {
        let arn = key_arn(place, account, place.source, id);
        (sandbox.key_policy(&arn), sandbox.grants(&arn).len())
    })
    .collect()
}

fn assert_closed(sandbox: &Sandbox, place: &Where, before: &[(Option<Value>, usize)], case: &str) {
    let there = sandbox.snapshots(SOURCE, place.source);
    assert_eq!(there.len(), 2, "{case}: {there:#?}");
    for snapshot in there {
        assert!(snapshot.create_volume_permissions.is_empty(), "{case}");
        assert!(snapshot.tags.is_empty(), "{case}: {:?}", snapshot.tags);
    }
    let image = &sandbox.images(SOURCE, place.source)[0];
    assert!(
        image.launch_permissions.is_empty() && image.tags.is_empty(),
        "{case}"
    );
    assert_eq!(keys(sandbox, place), before, "{case}");
}

async fn copied(place: &Where, sources: Sources, access: &str) -> String {
    let case = format!("{}, {}, {access}", place.name, sources as usize);
    let sandbox = Sandbox::new(world(place, sources, access));
    let before = keys(&sandbox, place);
    let targets: Vec<Value> = place
        .targets
        .iter()
        .map(|(account, region)| json!({"AccountId": account, "Region": region, "KmsKeyId": "alias/amis"}))
        .collect();
    let mut request = json!({"SourceImageId": AMI, "KeyAccess": access, "Targets": targets});
    if sources.reencrypts() {
        request["ReencryptKmsKeyId"] = json!(FIRST_KEY);
    }
    let end = match run(&sandbox, place, &request).await {
        Ok(reply) => ends(&reply),
        Err(refused) => refused,
    };
    for (account, region) in place.targets {
        let images = sandbox.images(account, region);
        let snapshots = sandbox.snapshots(account, region);
        if end != "Succeeded" {
            assert!(images.is_empty() && snapshots.is_empty(), "{case}: {end}");
            continue;
        }
        assert_eq!((images.len(), snapshots.len()), (1, 2), "{case}");
        let under = key_arn(place, account, region, TARGET_KEY);
        for snapshot in snapshots {
            assert_eq!(snapshot.kms_key_arn, Some(under.clone()), "{case}");
            assert_eq!(snapshot.state, "completed", "{case}");
        }
        let admin = Credentials::new(
            format!("AKIAADMIN{account}"),
            "admin-secret",
            None,
            None,
            "test",
        );
        let place = (*account, *region);
        assert!(
            runs(&sandbox, admin, place, &images[0].image_id).await,
            "{case}"
        );
    }
    assert_closed(&sandbox, place, &before, &case);
    let wanted = if place.name == "across partitions"
        || sources == AwsEbs
        || (sources, access) == (KeyOfAnotherAccount, "Policy")
    {
        "InvalidRequest: "
    } else if place.enabled {
        "Succeeded"
    } else {
        "RegionNotEnabled"
    };
    assert!(end.starts_with(wanted), "{case}: {end}");
    end
}

#[tokio::test(start_paused = true)]
async fn copying() {
    let names = WHERE.map(|place| place.name).join(" | ");
    let mut table = format!(
        "| source | `KeyAccess` | {names} |\n|---|---|{}\n",
        "---|".repeat(WHERE.len())
    );
    for (sources, name) in SOURCES {
        for access in ACCESSES {
            let mut cells = Vec::new();
            for place in &WHERE {
                cells.push(copied(place, sources, access).await);
            }
            writeln!(table, "| {name} | `{access}` | {} |", cells.join(" | ")).expect("text");
        }
    }
    shown("docs/combinations.md", "copying", &table);
}

/// With whom an image is shared.
const AUDIENCES: [&str; 3] = ["accounts", "an organisation", "a unit"];

async fn shared(place: &Where, sources: Sources, access: &str, audience: &str) -> String {
    let case = format!("{}, {}, {access}, {audience}", place.name, sources as usize);
    let sandbox = Sandbox::new(world(place, sources, access));
    let before = keys(&sandbox, place);
    let mut request = json!({"SourceImageId": AMI, "Mode": "Share", "KeyAccess": access});
    match audience {
        "accounts" => request["TargetAccountIds"] = json!([ONE, OTHER]),
        "a unit" => request["OrganizationalUnitIds"] = json!([UNIT]),
        _ => request["OrganizationId"] = json!(ORGANIZATION),
    }
    if sources.reencrypts() {
        request["ReencryptKmsKeyId"] = json!(FIRST_KEY);
    }
    let end = match run(&sandbox, place, &request).await {
        Ok(reply) => ends(&reply),
        Err(refused) => {
            assert_closed(&sandbox, place, &before, &case);
            let wanted = sources == AwsEbs
                || sources.reencrypts()
                || (sources, access) == (KeyOfAnotherAccount, "Policy");
            assert!(
                wanted && refused.starts_with("InvalidRequest: "),
                "{case}: {refused}"
            );
            return refused;
        }
    };
    assert_eq!(end, "Succeeded", "{case}");
    for account in [ONE, OTHER] {
        let admin = Credentials::new(
            format!("AKIAADMIN{account}"),
            "admin-secret",
            None,
            None,
            "test",
        );
        // Policies and grants may count late.
        tokio::time::sleep(Duration::from_mins(5)).await;
        let launched = runs(&sandbox, admin, (account, place.source), AMI).await;
        assert!(launched, "{case}: {account}");
    }
    request["Unshare"] = json!(true);
    let back = run(&sandbox, place, &request).await.expect("taken back");
    assert_eq!(back["Status"], "Succeeded", "{case}: {back}");
    assert_closed(&sandbox, place, &before, &case);
    end
}

#[tokio::test(start_paused = true)]
async fn sharing() {
    let titles = AUDIENCES.join(" | ");
    let mut table = format!("| source | `KeyAccess` | {titles} |\n|---|---|---|---|---|\n");
    for (sources, name) in SOURCES {
        for access in ACCESSES {
            let mut cells = Vec::new();
            for audience in AUDIENCES {
                let mut ends = BTreeSet::new();
                for place in [&HOME, &CHINA, &GOVCLOUD] {
                    ends.insert(shared(place, sources, access, audience).await);
                }
                assert_eq!(ends.len(), 1, "{name}, {access}, {audience}: {ends:?}");
                cells.extend(ends);
            }
            writeln!(table, "| {name} | `{access}` | {} |", cells.join(" | ")).expect("text");
        }
    }
    shown("docs/combinations.md", "sharing", &table);
}

/// A target's key by all the names that AWS takes, and by none.
#[tokio::test(start_paused = true)]
async fn the_names_of_a_targets_key() {
    let names = |place: &Where| {
        let (account, region) = place.targets[0];
        let alias = format!("arn:{}:kms:{region}:{account}:alias/amis", place.partition);
        [
            ("ID", Some(TARGET_KEY.to_owned()), TARGET_KEY),
            (
                "ARN",
                Some(key_arn(place, account, region, TARGET_KEY)),
                TARGET_KEY,
            ),
            ("alias", Some("alias/amis".to_owned()), TARGET_KEY),
            ("ARN of an alias", Some(alias), TARGET_KEY),
            ("multi-Region key", Some(TARGET_MRK.to_owned()), TARGET_MRK),
            ("none: `aws/ebs`", None, ""),
        ]
    };
    let places = [&HOME, &WHERE[1], &CHINA, &GOVCLOUD];
    let titles = places.map(|place| place.name).join(" | ");
    let mut table = format!("| `KmsKeyId` | {titles} |\n|---|---|---|---|---|\n");
    for n in 0..names(&HOME).len() {
        let mut cells = Vec::new();
        for place in places {
            let (account, region) = place.targets[0];
            let (name, key, under) = names(place)[n].clone();
            let sandbox = Sandbox::new(world(place, OneKey, "Grant"));
            let mut target = json!({"AccountId": account, "Region": region});
            if let Some(key) = key {
                target["KmsKeyId"] = json!(key);
            }
            let request = json!({"SourceImageId": AMI, "Targets": [target]});
            let end = run(&sandbox, place, &request).await;
            let end = end.as_ref().map_or_else(Clone::clone, ends);
            assert_eq!(end, "Succeeded", "{name}, {}", place.name);
            cells.push(end);
            for snapshot in sandbox.snapshots(account, region) {
                let arn = snapshot.kms_key_arn.expect("encrypted");
                let home = format!("arn:{}:kms:{region}:{account}:key/", place.partition);
                assert!(
                    arn.starts_with(&home) && arn.ends_with(under),
                    "{name}: {arn}"
                );
            }
        }
        let name = names(&HOME)[n].0;
        writeln!(table, "| {name} | {} |", cells.join(" | ")).expect("text");
    }
    shown("docs/combinations.md", "keys", &table);
}
