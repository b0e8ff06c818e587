//! Denials and full quotas: final ones end at once, and the words that decide stay in the Reason.

use std::time::Duration;

use amiferry_sandbox::{Account, FULL_AWS_ACCESS, Fault, Limits, Organization, Sandbox, World};
use serde_json::{Value, json};

use crate::preflight::{found, look};
use crate::support::*;

const TARGET: Place = ("222222222222", HOME);
const ABROAD: Place = ("222222222222", "us-east-1");
const MANAGEMENT: &str = "999999999999";

/// Returns a world with this service control policy on the target account.
fn controlled(statement: &Value, place: Place) -> Sandbox {
    let policy = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    let member = |account: Account| {
        account
            .parent("r-ab12")
            .service_control_policy(FULL_AWS_ACCESS)
    };
    let role = copy_role(place.0, &[place.1]).policy(documented("LookFirst"));
    let mut target = consumer(place.0, &[place.1]);
    target.roles = vec![role];
    Sandbox::new(
        World::new()
            .copy_mib_per_second(4096.0)
            .account(member(producer()))
            .account(member(target).service_control_policy(&policy))
            .account(Account::new(MANAGEMENT).parent("r-ab12"))
            .organization(Organization::new(ORG, MANAGEMENT, "r-ab12")),
    )
}

fn locked_to(region: &str) -> Value {
    json!({"Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:RequestedRegion": region}}})
}

/// Checks the cause, and that the reason keeps the decisive words at the end of AWS's message.
fn denied_by_scp(reply: &Value, place: Place, cause: &str, region: &str) {
    let result = target(reply, place);
    assert_eq!(result["Cause"], cause, "{reply}");
    let reason = result["Reason"].as_str().unwrap();
    assert!(
        reason
            .trim_end_matches('.')
            .ends_with("explicit deny in a service control policy"),
        "{reason}"
    );
    let remedy = result["Remedy"].as_str().unwrap();
    for word in ["management account", place.0, region, "service control"] {
        assert!(remedy.contains(word), "{word}: {remedy}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_control_policy_that_forbids_registering_is_named() {
    let deny = json!({"Effect": "Deny", "Action": "ec2:RegisterImage", "Resource": "*"});
    let sandbox = controlled(&deny, TARGET);
    let looked = look(&sandbox, &request(&[TARGET])).await;
    let finding = found(&looked, "RegisterImage").unwrap_or_else(|| panic!("{looked}"));
    assert!(
        finding["Remedy"]
            .as_str()
            .unwrap()
            .contains("management account")
    );
    let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
    denied_by_scp(&reply, TARGET, "AccessDenied", HOME);
    assert_nothing(&sandbox, &[TARGET]);
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_region_lock_is_not_reported_as_a_missing_key() {
    let sandbox = controlled(&locked_to(HOME), ABROAD);
    let reply = to_the_end(&sandbox, &distribute(&[ABROAD])).await;
    denied_by_scp(&reply, ABROAD, "AccessDenied", ABROAD.1);
}

#[tokio::test(start_paused = true)]
async fn a_lock_of_the_sources_region_fails_at_once_and_names_the_region() {
    let sandbox = controlled(&locked_to(ABROAD.1), ABROAD);
    let looked = look(&sandbox, &request(&[ABROAD])).await;
    let finding = found(&looked, "RolePolicy").unwrap_or_else(|| panic!("{looked}"));
    assert!(
        finding["Remedy"].as_str().unwrap().contains(HOME),
        "{finding}"
    );
    sandbox.clear_ledger();
    let begun = sandbox.now();
    let reply = to_the_end(&sandbox, &distribute(&[ABROAD])).await;
    denied_by_scp(&reply, ABROAD, "SourceKeyDenied", HOME);
    let took = sandbox.now().duration_since(begun).unwrap();
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_key_at_its_grant_quota_is_named_with_the_quota() {
    let limits = Limits {
        grants_per_key: 1,
        ..Limits::default()
    };
    let places = [TARGET, ("333333333333", HOME)];
    let sandbox = Sandbox::new(world(&places).limits(limits));
    let reply = to_the_end(&sandbox, &distribute(&places)).await;
    let targets = reply["Result"]["Targets"].as_array().unwrap();
    let failed: Vec<&Value> = targets.iter().filter(|t| t["Status"] == "Failed").collect();
    assert!(!failed.is_empty(), "{reply}");
    for result in failed {
        assert_eq!(result["Cause"], "SharingFailed", "{reply}");
        let (reason, remedy) = (result["Reason"].as_str(), result["Remedy"].as_str());
        assert!(
            reason.unwrap().contains("LimitExceededException"),
            "{result}"
        );
        assert!(remedy.unwrap().contains("grants per key"), "{result}");
        assert!(
            !remedy.unwrap().contains("accounts named exist"),
            "{result}"
        );
    }
}

/// Only a person can raise such a quota, so waiting is useless.
#[tokio::test(start_paused = true)]
async fn only_the_copy_quota_is_waited_for() {
    let sandbox = Sandbox::new(world(&[TARGET]));
    sandbox.set_fault(|call| match call.operation.as_str() {
        "RegisterImage" => refuse(400, "ResourceLimitExceeded"),
        _ => Fault::None,
    });
    let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
    assert_eq!(target(&reply, TARGET)["Cause"], "Other", "{reply}");
    assert_eq!(calls(&sandbox, "RegisterImage"), 1);
}

/// An operation that meets a full quota, its code, whether the request is a share, the cause, and
/// words of the remedy.
const FULL_QUOTAS: [(&str, &str, bool, &str, [&str; 2]); 6] = [
    (
        "ModifySnapshotAttribute",
        "ResourceLimitExceeded",
        false,
        "SharingFailed",
        ["In account 111111111111", "quota"],
    ),
    (
        "ModifyImageAttribute",
        "ResourceLimitExceeded",
        true,
        "SharingFailed",
        ["In account 111111111111", "quota"],
    ),
    (
        "CreateGrant",
        "LimitExceededException",
        false,
        "SharingFailed",
        ["In account 111111111111", "grants per key"],
    ),
    (
        "RegisterImage",
        "ResourceLimitExceeded",
        false,
        "Other",
        ["In account 222222222222", "quota"],
    ),
    (
        "RegisterImage",
        "AMIQuotaExceeded",
        false,
        "Other",
        ["In account 222222222222", "quota"],
    ),
    (
        "RegisterImage",
        "InvalidParameterValue",
        false,
        "Other",
        ["Read what AWS said", "run again"],
    ),
];

/// Each quota has a remedy of its own, which suggests no change to anything that is right.
#[tokio::test(start_paused = true)]
async fn each_full_quota_has_its_own_cause_and_remedy() {
    let share =
        json!({"SourceImageId": AMI, "Mode": "Share", "Targets": [{"AccountId": TARGET.0}]});
    for (operation, code, shared, cause, words) in FULL_QUOTAS {
        let wish = if shared {
            share.clone()
        } else {
            request(&[TARGET])
        };
        let sandbox = Sandbox::new(world(&[TARGET]));
        sandbox.set_fault(move |call| {
            let opening = call.params.keys().all(|key| !key.contains(".Remove."));
            if call.operation == operation && opening {
                refuse(400, code)
            } else {
                Fault::None
            }
        });
        let reply = to_the_end(&sandbox, &json!({ "Distribute": wish })).await;
        let result = target(&reply, TARGET);
        assert_eq!(result["Cause"], cause, "{operation} {code}: {reply}");
        let remedy = result["Remedy"].as_str().unwrap_or_default();
        for word in words {
            assert!(
                remedy.contains(word),
                "{operation} {code}: {word}: {remedy}"
            );
        }
        assert!(
            !remedy.contains("accounts named exist"),
            "{operation} {code}: {remedy}"
        );
    }
}

/// A resource control policy belongs to the organization of the resource's owner, not to the
/// caller's.
#[tokio::test(start_paused = true)]
async fn a_resource_control_policy_is_named_with_the_organization_that_has_it() {
    for (operation, caller, cause, owner) in [
        ("AssumeRole", SOURCE, "RoleNotAssumable", TARGET.0),
        ("CreateGrant", SOURCE, "SharingFailed", SOURCE),
        ("DescribeKey", TARGET.0, "SourceKeyDenied", SOURCE),
        ("RegisterImage", TARGET.0, "AccessDenied", TARGET.0),
    ] {
        let sandbox = Sandbox::new(world(&[TARGET]));
        sandbox.set_fault(move |call| {
            let key = call.params.get("KeyId");
            let own = key.is_some_and(|key| !key.contains(SOURCE));
            if call.operation != operation || call.account != caller || own {
                return Fault::None;
            }
            Fault::Refuse {
                status: 403,
                code: "AccessDenied".to_owned(),
                message: format!(
                    "User: arn:aws:sts::{caller}:assumed-role/x/y is not authorized to perform: \
                     {operation} on resource: r with an explicit deny in a resource control policy"
                ),
            }
        });
        let begun = sandbox.now();
        let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
        let result = target(&reply, TARGET);
        assert_eq!(result["Cause"], cause, "{operation}: {reply}");
        let remedy = result["Remedy"].as_str().unwrap_or_default();
        let wanted = format!(
            "In the management account of the organization of {owner}: \
             let each resource control policy"
        );
        assert!(remedy.starts_with(&wanted), "{operation}: {remedy}");
        let took = sandbox.now().duration_since(begun).unwrap();
        assert!(
            took < Duration::from_mins(2),
            "{operation} is final: {took:?}"
        );
    }
}

/// A policy that demands a tag denies like one that forbids, so the remedy mentions tags. `${*}`
/// stands for a resource without a name yet.
#[tokio::test(start_paused = true)]
async fn a_policy_that_demands_a_tag_is_satisfied_by_the_requests_tags() {
    let demand = json!({"Effect": "Deny", "Action": "ec2:CopySnapshot",
        "Resource": "arn:aws:ec2:*::snapshot/${*}",
        "Condition": {"Null": {"aws:RequestTag/cost-center": "true"}}});
    let sandbox = controlled(&demand, TARGET);
    let looked = look(&sandbox, &request(&[TARGET])).await;
    let finding = found(&looked, "CopySnapshot").unwrap_or_else(|| panic!("{looked}"));
    let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
    for result in [finding, target(&reply, TARGET)] {
        let remedy = result["Remedy"].as_str().unwrap_or_default();
        assert!(
            remedy.contains("give the request these as Tags"),
            "{result}"
        );
    }
    assert_nothing(&sandbox, &[TARGET]);
    let mut wish = request(&[TARGET]);
    wish["Tags"] = json!({"cost-center": "12"});
    let sandbox = controlled(&demand, TARGET);
    let reply = to_the_end(&sandbox, &json!({ "Distribute": wish })).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
}

/// Another process deleted the copies, which are listed without their tags for a while.
#[tokio::test(start_paused = true)]
async fn a_deleted_copy_that_is_still_listed_does_not_leave_the_run_stuck() {
    let sandbox = Sandbox::new(world(&[TARGET]));
    sandbox.set_fault(|call| match call.operation.as_str() {
        "RegisterImage" => refuse(400, "InvalidParameterValue"),
        "DeleteSnapshot" => refuse(403, "UnauthorizedOperation"),
        "DescribeSnapshots"
            if call.params.contains_key("SnapshotId.1") && call.account == TARGET.0 =>
        {
            refuse(400, "InvalidSnapshot.NotFound")
        }
        _ => Fault::None,
    });
    let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
    assert_eq!(target(&reply, TARGET)["Status"], "Failed", "{reply}");
}

pub fn refuse(status: u16, code: &str) -> Fault {
    Fault::Refuse {
        status,
        code: code.to_owned(),
        message: "as the test wants it".to_owned(),
    }
}
