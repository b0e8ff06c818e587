//! Mistakes of people who copy encrypted images by hand. Each is made here, and the run reports
//! what to change.

use std::fmt::Write as _;
use std::time::Duration;

use amiferry_sandbox::{Account, FULL_AWS_ACCESS, Role, Sandbox, World};
use serde_json::{Value, json};

use crate::support::*;
use crate::tables::{shown, wrapped};

mod keys;

const TARGET: Place = ("222222222222", HOME);
const ABROAD: Place = ("222222222222", "us-east-1");
const MANAGEMENT: &str = "999999999999";

/// A mistake, and the run's report of it.
struct Pitfall {
    /// The symptom, as a person sees it.
    seen: &'static str,
    /// The reason for the symptom.
    made: &'static str,
    world: World,
    request: Value,
    /// Another person removes the permission on the snapshots, again and again.
    unshared: bool,
    cause: &'static str,
    /// Words that the remedy must contain.
    remedy: &'static [&'static str],
}

fn pitfall(
    (seen, made): (&'static str, &'static str),
    world: World,
    request: Value,
    cause: &'static str,
    remedy: &'static [&'static str],
) -> Pitfall {
    Pitfall {
        seen,
        made,
        world,
        request,
        unshared: false,
        cause,
        remedy,
    }
}

fn asked(place: Place, more: &Value) -> Value {
    let mut asked = request(&[place]);
    for (key, value) in more.as_object().expect("words") {
        asked[key] = value.clone();
    }
    asked
}

/// Returns a target whose copy role lacks some words of its policies.
fn without(words: &str) -> Account {
    let mut account = consumer(TARGET.0, &[HOME]);
    let policies = account.roles[0].policies.iter();
    let fewer: Vec<String> = policies.map(|policy| policy.replace(words, "")).collect();
    assert_ne!(account.roles[0].policies, fewer, "{words}");
    account.roles[0].policies = fewer;
    account
}

fn two(source: Account, target: Account) -> World {
    World::new()
        .copy_mib_per_second(4096.0)
        .account(source)
        .account(target)
}

/// Returns the source account with this policy on its key.
fn key_policy(statements: &Value) -> Account {
    let mut source = producer();
    let policy = json!({"Version": "2012-10-17", "Statement": statements});
    source.keys[0].policy = Some(policy.to_string());
    source
}

/// Returns the source account whose key admits the target under this condition.
fn on_condition(condition: &Value) -> Account {
    let root = |account: &str| json!({"AWS": format!("arn:aws:iam::{account}:root")});
    key_policy(&json!([
        {"Effect": "Allow", "Principal": root(SOURCE), "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": root(TARGET.0), "Action": "kms:DescribeKey",
         "Resource": "*"},
        {"Effect": "Allow", "Principal": root(TARGET.0), "Resource": "*", "Condition": condition,
         "Action": ["kms:CreateGrant", "kms:Decrypt", "kms:ReEncrypt*",
         "kms:GenerateDataKeyWithoutPlaintext"]}
    ]))
}

/// Returns an organization that denies this action to one of the accounts.
fn denied(account: &str, action: &str) -> World {
    let policy = json!({"Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": action, "Resource": "*"}]});
    let bound = |member: Account| {
        let member = member
            .parent("r-ab12")
            .service_control_policy(FULL_AWS_ACCESS);
        if member.id == account {
            member.service_control_policy(&policy)
        } else {
            member
        }
    };
    let organization = amiferry_sandbox::Organization::new("o-abcdefghij", MANAGEMENT, "r-ab12");
    two(bound(producer()), bound(consumer(TARGET.0, &[HOME])))
        .organization(organization)
        .account(Account::new(MANAGEMENT).parent("r-ab12"))
}

fn plain() -> Value {
    asked(TARGET, &json!({}))
}

fn by_hand() -> Value {
    asked(TARGET, &json!({"KeyAccess": "None"}))
}

/// The target cannot see the snapshot: other automation removes its permission.
fn unshared() -> Vec<Pitfall> {
    let unshared = |made, world| Pitfall {
        unshared: true,
        ..pitfall(
            ("the target cannot see the snapshot", made),
            world,
            plain(),
            "SnapshotNotVisible",
            &["createVolumePermission", SOURCE],
        )
    };
    vec![
        unshared(
            "other automation takes the permission away before the copy begins",
            world(&[TARGET]).grant_delay(Duration::from_secs(20)),
        ),
        unshared(
            "other automation takes the permission away while it is copied",
            world(&[TARGET]),
        ),
    ]
}

/// The target cannot launch.
fn launching() -> Vec<Pitfall> {
    let scaling = || {
        asked(
            TARGET,
            &json!({"ServiceLinkedRoles": "autoscaling.amazonaws.com"}),
        )
    };
    let mut roleless = consumer(TARGET.0, &[HOME]);
    roleless.roles[0].policies.push(documented("LetLaunch"));
    let launching = consumer(TARGET.0, &[HOME]).role(Role::service_linked(
        "autoscaling.amazonaws.com",
        "AWSServiceRoleForAutoScaling",
    ));
    vec![
        pitfall(
            ("the target cannot launch", "Auto Scaling has no role there"),
            two(producer(), roleless),
            scaling(),
            "ServiceLinkedRoleMissing",
            &["create-service-linked-role", "autoscaling.amazonaws.com"],
        ),
        pitfall(
            (
                "the target cannot launch",
                "Auto Scaling's role may not get a grant on the target's key",
            ),
            two(producer(), launching),
            scaling(),
            "LaunchGrantMissing",
            &["kms:ListGrants", "kms:CreateGrant"],
        ),
    ]
}

/// AWS denies a call: a policy of a role or key lacks it.
fn denied_by_policies() -> Vec<Pitfall> {
    let without_grants = json!([{"Effect": "Allow", "Resource": "*",
        "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
        "Action": ["kms:DescribeKey", "kms:ListGrants", "kms:RevokeGrant", "kms:PutKeyPolicy"]}]);
    vec![
        pitfall(
            (
                "AccessDeniedException",
                "the function may not make grants on the source key",
            ),
            two(key_policy(&without_grants), consumer(TARGET.0, &[HOME])),
            plain(),
            "SharingFailed",
            &["kms:CreateGrant", SOURCE_KEY],
        ),
        pitfall(
            (
                "AccessDeniedException",
                "the copy role's own policy lacks the source key: a grant alone does not suffice",
            ),
            two(
                producer(),
                without(&format!("\"arn:aws:kms:{HOME}:{SOURCE}:key/*\",")),
            ),
            plain(),
            "SourceKeyDenied",
            &["kms:DescribeKey", SOURCE_KEY, "AmiCopyRole"],
        ),
        pitfall(
            (
                "AccessDeniedException",
                "the copy role may not describe the target's key",
            ),
            two(
                producer(),
                without(", \"arn:aws:kms:*:222222222222:key/*\""),
            ),
            plain(),
            "TargetKeyMissing",
            &["kms:DescribeKey", "alias/amis"],
        ),
        pitfall(
            (
                "AccessDeniedException",
                "the copy role does not trust the function",
            ),
            two(
                producer(),
                Account::new(TARGET.0).role(
                    Role::new("AmiCopyRole").trusts("arn:aws:iam::111111111111:role/somebody"),
                ),
            ),
            plain(),
            "RoleNotAssumable",
            &["trust policy", "sts:AssumeRole"],
        ),
    ]
}

/// The AMI is not made in another Region.
fn in_another_region() -> Vec<Pitfall> {
    let mut in_the_wrong_region = asked(ABROAD, &json!({}));
    in_the_wrong_region["Targets"][0]["KmsKeyId"] = json!(key_arn(TARGET).rsplit('/').next());
    let mut key_at_home = consumer(ABROAD.0, &[HOME, ABROAD.1]);
    key_at_home.keys.retain(|key| key.region == HOME);
    vec![
        pitfall(
            (
                "the AMI is not made in another Region",
                "the key named for it is in another Region",
            ),
            two(producer(), key_at_home),
            in_the_wrong_region,
            "TargetKeyMissing",
            &["us-east-1"],
        ),
        pitfall(
            (
                "the AMI is not made in another Region",
                "the account has not enabled it",
            ),
            two(
                producer(),
                consumer(ABROAD.0, &[ABROAD.1]).region_disabled(ABROAD.1),
            ),
            asked(ABROAD, &json!({})),
            "RegionNotEnabled",
            &["enable the Region us-east-1"],
        ),
    ]
}

fn pitfalls() -> Vec<Pitfall> {
    [
        unshared(),
        launching(),
        denied_by_policies(),
        in_another_region(),
        keys::inaccessible_keys(),
        keys::controlled(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn meet(sandbox: &Sandbox, pitfall: &Pitfall) -> Value {
    let event = json!({ "Distribute": pitfall.request });
    let others = async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if pitfall.unshared {
                for snapshot in [ROOT, DATA] {
                    sandbox.edit(|aws| aws.unshare_snapshot(snapshot, TARGET.0));
                }
            }
        }
    };
    tokio::select! {
        reply = to_the_end(sandbox, &event) => reply,
        () = others => unreachable!("they never stop"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_pitfall_is_reported_with_what_to_change() {
    let mut cases = String::new();
    let mut group = "";
    for pitfall in pitfalls() {
        let case = format!("{}: {}", pitfall.seen, pitfall.made);
        let sandbox = Sandbox::new(pitfall.world.clone());
        let reply = meet(&sandbox, &pitfall).await;
        let result = &reply["Result"]["Targets"][0];
        assert_eq!(result["Cause"], pitfall.cause, "{case}: {reply}");
        let remedy = result["Remedy"].as_str().expect("a Remedy");
        for word in pitfall.remedy {
            assert!(remedy.contains(word), "{case}: no {word} in: {remedy}");
        }
        let said = result["Reason"].as_str().expect("a Reason");
        assert!(said.len() > 20, "{case}: {said}");
        assert_closed(&sandbox);
        if result["ImageId"].is_null() {
            assert_nothing(&sandbox, &[TARGET, ABROAD]);
        }
        let Pitfall {
            seen, made, cause, ..
        } = pitfall;
        if group != seen {
            writeln!(cases, "### Seen: {seen}\n").expect("text");
            group = seen;
        }
        cases += &wrapped(
            &format!("**Because** {made}: `{cause}`. **Remedy**: {remedy}."),
            "- ",
            "  ",
        );
        cases += "\n";
    }
    shown("docs/troubleshooting.md", "pitfalls", &cases);
}
