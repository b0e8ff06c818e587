//! Targets that cannot be served, each with its Reason and its Remedy, beside one that can.

use std::time::Duration;

use amiferry_sandbox::{Account, Key, Role, Sandbox, World};
use serde_json::{Value, json};

use crate::support::*;

const GOOD: Place = ("222222222222", HOME);
const BAD: Place = ("333333333333", HOME);

/// Runs with one good target and `bad` as the other, and checks that only `bad` failed, for
/// `cause`, and keeps nothing. Returns the result of the bad target.
async fn fails_alone(bad: Account, cause: &str, remedy: &str) -> Value {
    let world = World::new()
        .account(producer())
        .account(consumer(GOOD.0, &[GOOD.1]))
        .account(bad);
    let sandbox = Sandbox::new(world);
    let reply = to_the_end(&sandbox, &distribute(&[GOOD, BAD])).await;
    assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
    let outcome = target(&reply, BAD).clone();
    assert_eq!(
        (&outcome["Status"], &outcome["Cause"]),
        (&json!("Failed"), &json!(cause)),
        "{outcome}"
    );
    assert!(
        outcome["Remedy"].as_str().unwrap().contains(remedy),
        "{outcome}"
    );
    assert!(outcome["Reason"].as_str().unwrap().len() > 20, "{outcome}");
    assert_whole(&sandbox, &[GOOD]);
    assert_nothing(&sandbox, &[BAD]);
    assert_closed(&sandbox);
    outcome
}

fn keyed(role: Role) -> Account {
    Account::new(BAD.0)
        .role(role)
        .key(Key::new(HOME, "22222222-aaaa-bbbb-cccc-000000000002").alias("alias/amis"))
}

#[tokio::test(start_paused = true)]
async fn a_target_without_the_role_fails_alone_as_role_not_assumable() {
    let outcome = fails_alone(
        keyed(Role::admin("Other")),
        "RoleNotAssumable",
        "create the role AmiCopyRole",
    )
    .await;
    let reason = outcome["Reason"].as_str().unwrap();
    assert!(
        reason.contains("AssumeRole")
            && reason.contains("AccessDenied")
            && reason.contains("request ID"),
        "{reason}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_role_that_trusts_another_account_fails_its_target_alone() {
    let role = Role::admin("AmiCopyRole").trusts("arn:aws:iam::999999999999:root");
    fails_alone(keyed(role), "RoleNotAssumable", "trust policy").await;
}

#[tokio::test(start_paused = true)]
async fn a_role_that_demands_an_external_id_fails_a_target_without_one() {
    let role = Role::admin("AmiCopyRole")
        .trusts("arn:aws:iam::111111111111:role/amiferry")
        .external_id("expected");
    fails_alone(keyed(role), "RoleNotAssumable", "ExternalId").await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_target_key_fails_its_target_alone() {
    let bad = Account::new(BAD.0).role(copy_role(BAD.0, &[HOME]));
    fails_alone(bad, "TargetKeyMissing", "check that alias/amis exists").await;
}

#[tokio::test(start_paused = true)]
async fn a_disabled_target_key_fails_its_target_alone() {
    let key = Key::new(HOME, "22222222-aaaa-bbbb-cccc-000000000002")
        .alias("alias/amis")
        .state("Disabled");
    let bad = Account::new(BAD.0).role(copy_role(BAD.0, &[HOME])).key(key);
    fails_alone(bad, "TargetKeyDisabled", "enable").await;
}

/// The copy is accepted and ends in error: EC2's own way of saying that the key cannot be used.
#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_use_its_key_fails_its_target_alone() {
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":["ec2:*","kms:DescribeKey"],"Resource":"*"},
        {"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:*:111111111111:key/*"}]}"#;
    let role = Role::new("AmiCopyRole")
        .trusts("arn:aws:iam::111111111111:role/amiferry")
        .policy(policy);
    let outcome = fails_alone(
        keyed(role),
        "KeyNotAccessible",
        "kms:GenerateDataKeyWithoutPlaintext",
    )
    .await;
    assert!(
        outcome["Reason"]
            .as_str()
            .unwrap()
            .contains("Given key ID is not accessible"),
        "{outcome}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_use_the_source_key_fails_its_target_alone() {
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"ec2:*","Resource":"*"},
        {"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:*:333333333333:key/*"}]}"#;
    let role = Role::new("AmiCopyRole")
        .trusts("arn:aws:iam::111111111111:role/amiferry")
        .policy(policy);
    fails_alone(keyed(role), "SourceKeyDenied", "kms:Decrypt").await;
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_copy_fails_its_target_alone() {
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
        "Action":["ec2:Describe*","ec2:DeleteSnapshot","kms:*"],"Resource":"*"}]}"#;
    let role = Role::new("AmiCopyRole")
        .trusts("arn:aws:iam::111111111111:role/amiferry")
        .policy(policy);
    let outcome = fails_alone(keyed(role), "AccessDenied", "service control policy").await;
    assert!(
        outcome["Reason"].as_str().unwrap().contains("CopySnapshot"),
        "{outcome}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_taken_by_another_image_fails_its_target_and_leaves_that_image() {
    let taken = amiferry_sandbox::Image::new(
        HOME,
        "ami-00000000000000001",
        "golden-copied-from-111111111111",
    )
    .tag("team", "somebody else's");
    let sandbox = Sandbox::new(world(&[GOOD, BAD]));
    sandbox.edit(|aws| aws.add_image(BAD.0, taken)).unwrap();
    let reply = to_the_end(&sandbox, &distribute(&[GOOD, BAD])).await;
    let outcome = target(&reply, BAD);
    assert_eq!(outcome["Cause"], "NameTaken", "{outcome}");
    assert!(
        outcome["Reason"]
            .as_str()
            .unwrap()
            .contains("ami-00000000000000001"),
        "{outcome}"
    );
    assert_eq!(sandbox.snapshots(BAD.0, BAD.1).len(), 0);
    assert_whole(&sandbox, &[GOOD]);
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_is_not_enabled_fails_its_target_alone() {
    let place = ("333333333333", "ap-east-1");
    let sandbox = Sandbox::new(world(&[GOOD, place]));
    sandbox.edit(|aws| aws.disable_region(place.0, place.1));
    let reply = to_the_end(&sandbox, &distribute(&[GOOD, place])).await;
    let outcome = target(&reply, place);
    assert_eq!(outcome["Cause"], "RegionNotEnabled", "{outcome}");
    assert!(
        outcome["Remedy"]
            .as_str()
            .unwrap()
            .contains("enable-region --region-name ap-east-1"),
        "{outcome}"
    );
    assert_closed(&sandbox);
}

/// A target without a key gets its account's `aws/ebs`; a role with an external ID is assumed with
/// it.
#[tokio::test(start_paused = true)]
async fn a_target_without_a_key_uses_aws_ebs_and_an_external_id_is_sent() {
    let role = copy_role(BAD.0, &[HOME]);
    let trust = role.trust_policy.clone().unwrap().replace(
        "\"Condition\": {",
        "\"Condition\": {\"StringEquals\": {\"sts:ExternalId\": \"agreed\"}, ",
    );
    let bad = keyed(role.trust_policy(trust));
    let sandbox = Sandbox::new(
        World::new()
            .account(producer())
            .account(consumer(GOOD.0, &[GOOD.1]))
            .account(bad),
    );
    let mut event = distribute(&[GOOD, BAD]);
    event["Distribute"]["Targets"][0]
        .as_object_mut()
        .unwrap()
        .remove("KmsKeyId");
    event["Distribute"]["Targets"][1]["ExternalId"] = json!("agreed");
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let ebs = sandbox.edit(|aws| aws.aws_ebs_key(GOOD.0, GOOD.1));
    assert_eq!(target(&reply, GOOD)["KmsKeyArn"], ebs);
    assert!(
        sandbox
            .snapshots(GOOD.0, GOOD.1)
            .iter()
            .all(|s| s.kms_key_arn.as_deref() == Some(ebs.as_str()))
    );
    assert_whole(&sandbox, &[BAD]);
    assert_closed(&sandbox);
}

/// A slow or dead account neither delays the others nor keeps the source open for ever.
#[tokio::test(start_paused = true)]
async fn an_account_that_never_answers_fails_alone_and_in_bounded_time() {
    let sandbox = Sandbox::new(world(&[GOOD, BAD]));
    sandbox.set_fault(|call| {
        let about_bad = call.account == BAD.0
            || call
                .params
                .values()
                .any(|v| v.contains("333333333333:role/"));
        if about_bad {
            amiferry_sandbox::Fault::HangBefore
        } else {
            amiferry_sandbox::Fault::None
        }
    });
    let begun = sandbox.now();
    let reply = to_the_end(&sandbox, &distribute(&[GOOD, BAD])).await;
    assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
    assert_eq!(target(&reply, BAD)["Cause"], "Unreachable");
    assert!(sandbox.now().duration_since(begun).unwrap() < Duration::from_mins(30));
    assert_whole(&sandbox, &[GOOD]);
    assert_closed(&sandbox);
}

/// With `KeyAccess: None` the policy of the source key, which a person wrote, admits the role; the
/// run makes no grant.
#[tokio::test(start_paused = true)]
async fn a_copy_with_key_access_none_relies_on_the_key_policy_and_makes_no_grant() {
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
         "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::222222222222:role/AmiCopyRole"},
         "Resource": "*",
         "Action": ["kms:DescribeKey", "kms:CreateGrant", "kms:Decrypt", "kms:ReEncrypt*",
         "kms:GenerateDataKeyWithoutPlaintext"]}]});
    let mut source = producer();
    source.keys[0].policy = Some(policy.to_string());
    let sandbox = Sandbox::new(world_with(source, &[GOOD, BAD]));
    let mut event = distribute(&[GOOD, BAD]);
    event["Distribute"]["KeyAccess"] = json!("None");
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
    assert_eq!(calls(&sandbox, "CreateGrant"), 0);
    assert_whole(&sandbox, &[GOOD]);
    // The key policy does not name the other account: the target fails with that cause, and keeps
    // nothing.
    assert_eq!(target(&reply, BAD)["Cause"], "SourceKeyDenied", "{reply}");
    assert_nothing(&sandbox, &[BAD]);
    assert_closed(&sandbox);
}

const ORGANIZATION: &str = "o-abcdefghij";

/// Returns a world whose accounts are members of an organization: service control policies bind
/// members only.
fn members(places: &[Place]) -> Sandbox {
    let mut world = slow_world(places);
    for account in &mut world.accounts {
        account.organization = Some(ORGANIZATION.to_owned());
    }
    Sandbox::new(world)
}

/// The target fails with AWS's message, and the remedy names the service control policy.
#[tokio::test(start_paused = true)]
async fn a_service_control_policy_added_during_a_run_fails_its_target_and_is_named() {
    for (action, said) in [
        ("ec2:RegisterImage", "RegisterImage"),
        ("ec2:DescribeSnapshots", "DescribeSnapshots"),
    ] {
        let sandbox = members(&TWO);
        let reply = call(&sandbox, &distribute(&TWO)).await.unwrap();
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": action, "Resource": "*"}]})
        .to_string();
        let bound = sandbox.edit(|aws| aws.set_service_control_policies(TWO[0].0, &[&policy]));
        assert_eq!(bound, Ok(true));
        let reply = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
        let outcome = target(&reply, TWO[0]);
        let reason = outcome["Reason"].as_str().unwrap();
        assert!(reason.starts_with(said), "{reason}");
        let remedy = outcome["Remedy"].as_str().unwrap();
        assert!(remedy.contains("service control policy"), "{remedy}");
        assert_eq!(target(&reply, TWO[1])["Status"], "Succeeded");
        assert_whole(&sandbox, &[TWO[1]]);
        assert_closed(&sandbox);
        if action == "ec2:RegisterImage" {
            assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
            assert_nothing(&sandbox, &[TWO[0]]);
        } else {
            // The role may not look for copies in that account any more: the reply says how to look
            // later.
            assert_eq!(reply["Status"], "Stuck", "{reply}");
            assert_eq!(reply["Result"]["Stuck"][0]["AccountId"], TWO[0].0);
        }
    }
}

/// The contents of a closed account go with it; the other targets succeed.
#[tokio::test(start_paused = true)]
async fn an_account_suspended_during_a_run_fails_alone() {
    let sandbox = members(&TWO);
    let reply = call(&sandbox, &distribute(&TWO)).await.unwrap();
    sandbox.edit(|aws| assert!(aws.suspend_account(TWO[0].0)));
    let reply = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "Stuck", "{reply}");
    let outcome = target(&reply, TWO[0]);
    let remedy = outcome["Remedy"].as_str().unwrap();
    assert!(remedy.contains("suspended"), "{outcome}");
    assert_whole(&sandbox, &[TWO[1]]);
    assert_closed(&sandbox);
}

/// EC2 holds a grant for the copies under way. A copy that has to be made again cannot use the key
/// any more.
#[tokio::test(start_paused = true)]
async fn a_target_key_policy_narrowed_during_a_run_fails_copies_made_again() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let reply = call(&sandbox, &distribute(&TWO)).await.unwrap();
    let nobody = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*",
        "Principal": {"AWS": format!("arn:aws:iam::{}:root", TWO[0].0)},
        "Action": ["kms:Describe*", "kms:PutKeyPolicy"]}]})
    .to_string();
    sandbox.edit(|aws| {
        assert_eq!(aws.set_key_policy(&key_arn(TWO[0]), &nobody), Ok(true));
        for copy in aws.pending_copies() {
            let here = aws.snapshot(&copy).is_some_and(|s| s.owner_id == TWO[0].0);
            assert!(!here || aws.fail_copy(&copy, "internal error"));
        }
    });
    let reply = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
    let outcome = target(&reply, TWO[0]);
    assert_eq!(outcome["Cause"], "KeyNotAccessible", "{outcome}");
    assert!(
        outcome["Remedy"]
            .as_str()
            .unwrap()
            .contains("kms:ReEncrypt*"),
        "{outcome}"
    );
    assert_nothing(&sandbox, &[TWO[0]]);
    assert_closed(&sandbox);
}

/// The copies queue until the quota has room.
#[tokio::test(start_paused = true)]
async fn a_quota_full_for_an_hour_delays_the_copy_and_does_not_fail_it() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let full = amiferry_sandbox::Limits {
        concurrent_copies: 0,
        ..amiferry_sandbox::Limits::default()
    };
    sandbox.edit(|aws| aws.set_limits(full));
    let freed = async {
        tokio::time::sleep(std::time::Duration::from_hours(1)).await;
        sandbox.edit(|aws| aws.set_limits(amiferry_sandbox::Limits::default()));
    };
    let event = distribute(&TWO);
    let (reply, ()) = tokio::join!(to_the_end(&sandbox, &event), freed);
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
}
