//! The findings about opening the source.

use amiferry_sandbox::{Account, Sandbox, World};
use serde_json::{Value, json};

use super::{TARGET, found, look, looked_into, only, world_of};
use crate::staging::{SHARED_KEY, under_aws_ebs};
use crate::support::*;

/// Obstacles of the source are reported together with those of the targets.
#[tokio::test(start_paused = true)]
async fn obstacles_of_source_and_targets_are_found_at_once() {
    let sandbox = Sandbox::new(world_of(Account::new(TARGET.0)));
    sandbox.edit(|aws| assert!(aws.archive_snapshot(ROOT)));
    sandbox.edit(|aws| assert!(aws.archive_snapshot(DATA)));
    let policy = r#"{"Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Resource": "*",
        "Action": ["ec2:Describe*", "kms:Describe*", "sts:*"]}]}"#;
    let role = "arn:aws:iam::111111111111:role/amiferry";
    assert_eq!(
        sandbox.edit(|aws| aws.set_policies(role, &[policy])),
        Ok(true)
    );
    let reply = look(&sandbox, &request(&[TARGET, ("333333333333", HOME)])).await;
    assert_eq!(reply["Status"], "NotReady");
    let checks: Vec<&str> = reply["Findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["Check"].as_str().unwrap())
        .collect();
    let wanted = [
        "Source",
        "Source",
        "ShareSnapshots",
        "Ledger",
        "SourceKey",
        "AssumeRole",
        "AssumeRole",
    ];
    assert_eq!(checks, wanted, "{reply}");
    // Without the image Preflight can look at nothing.
    let mut wish = request(&[TARGET]);
    wish["SourceImageId"] = json!("ami-00000000000000000");
    only(
        &look(&Sandbox::new(world(&[TARGET])), &wish).await,
        "Error",
        "Source",
        "",
    );
}

/// Snapshots under `aws/ebs` need staged copies, so Preflight checks the permission for these too.
#[tokio::test(start_paused = true)]
async fn a_source_that_needs_staged_copies_is_looked_at_too() {
    let world_of = |source: Account| World::new().account(source).account(looked_into(TARGET.0));
    let mut wish = request(&[TARGET]);
    let reply = look(&Sandbox::new(world_of(under_aws_ebs(1))), &wish).await;
    let said = found(&reply, "Source").expect("a finding");
    assert!(
        said["Remedy"].to_string().contains("ReencryptKmsKeyId"),
        "{said}"
    );
    wish["ReencryptKmsKeyId"] = json!(SHARED_KEY);
    let sandbox = Sandbox::new(world_of(under_aws_ebs(1)));
    let reply = look(&sandbox, &wish).await;
    assert_eq!(reply["Status"], "Ready", "{reply}");
    assert_eq!(reply["Findings"], json!([]), "{reply}");
    assert!(
        reply["Plan"]
            .to_string()
            .contains("First copied in 111111111111"),
        "{reply}"
    );
    let run = to_the_end(&sandbox, &json!({ "Distribute": wish })).await;
    assert_eq!(run["Status"], "Succeeded", "{run}");
    // The function lacks a permission.
    let mut poor = under_aws_ebs(1);
    poor.roles[0].policies.pop();
    let reply = look(&Sandbox::new(world_of(poor)), &wish).await;
    only(&reply, "Error", "Staging", "ec2:CopySnapshot");
    // The request has no key for staging.
    wish["ReencryptKmsKeyId"] = json!("alias/nobody");
    let reply = look(&Sandbox::new(world_of(under_aws_ebs(1))), &wish).await;
    let said = found(&reply, "ReencryptKmsKeyId").expect("a finding");
    assert!(
        said["Reason"]
            .to_string()
            .contains("there is no alias/nobody"),
        "{said}"
    );
    assert_eq!(reply["Status"], "NotReady");
}

#[tokio::test(start_paused = true)]
async fn a_key_policy_that_cannot_be_edited_is_found() {
    let may_ask = r#"{"Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Resource": "arn:aws:iam::111111111111:role/amiferry",
        "Action": "iam:SimulatePrincipalPolicy"}]}"#;
    let mut wish = request(&[TARGET]);
    wish["KeyAccess"] = json!("Policy");
    let looked = |policies: &[&str], key_policy: Option<&str>| {
        let mut source = producer();
        source.roles[0]
            .policies
            .extend(policies.iter().map(|p| (*p).to_owned()));
        source.keys[0].policy = key_policy.map(str::to_owned);
        Sandbox::new(World::new().account(source).account(looked_into(TARGET.0)))
    };
    let keys = documented("KeyPolicies");
    let sandbox = looked(&[&keys, may_ask], None);
    let reply = look(&sandbox, &wish).await;
    assert_eq!(
        (&reply["Status"], &reply["Findings"]),
        (&json!("Ready"), &json!([])),
        "{reply}"
    );
    let run = to_the_end(&sandbox, &json!({ "Distribute": wish })).await;
    assert_eq!(run["Status"], "Succeeded", "{run}");
    let reply = look(&looked(&[&keys], None), &wish).await;
    only(
        &reply,
        "Unknown",
        "SourceKeyPolicy",
        "iam:SimulatePrincipalPolicy",
    );
    let reading = keys.replace(", \"kms:PutKeyPolicy\"", "");
    let reply = look(&looked(&[&reading, may_ask], None), &wish).await;
    only(&reply, "Error", "SourceKeyPolicy", "kms:PutKeyPolicy");
    let reply = look(&looked(&[may_ask], None), &wish).await;
    only(&reply, "Error", "SourceKeyPolicy", "kms:GetKeyPolicy");
    let long = json!({"Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
         "Action": "kms:*", "Resource": "*"},
        {"Sid": "x".repeat(32_000), "Effect": "Allow",
         "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "kms:Verify",
         "Resource": "*"}]});
    let reply = look(&looked(&[&keys, may_ask], Some(&long.to_string())), &wish).await;
    only(&reply, "Error", "SourceKeyPolicy", "KeyAccess: Grant");
}

/// Policies may name the accounts that the function opens to, so each account is asked about.
#[tokio::test(start_paused = true)]
async fn an_account_that_the_function_may_not_open_to_is_found() {
    let other = ("333333333333", HOME);
    let denied = |action: &str, condition: Value| {
        let mut source = producer();
        let deny = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny",
            "Action": action, "Resource": "*", "Condition": condition}]});
        source.roles[0].policies.push(deny.to_string());
        let world = World::new().account(source).account(looked_into(TARGET.0));
        Sandbox::new(world.account(looked_into(other.0)))
    };
    let wish = request(&[TARGET, other]);
    let grantee = json!({"StringEquals":
        {"kms:GranteePrincipal": "arn:aws:iam::333333333333:role/AmiCopyRole"}});
    let sandbox = denied("kms:CreateGrant", grantee);
    let reply = look(&sandbox, &wish).await;
    only(&reply, "Error", "SourceKey", "kms:CreateGrant");
    assert_eq!(reply["Findings"][0]["AccountId"], other.0, "{reply}");
    let run = to_the_end(&sandbox, &json!({ "Distribute": wish })).await;
    assert_eq!(run["Status"], "PartiallySucceeded", "{run}");

    let user = json!({"StringEquals": {"ec2:Add/userId": other.0}});
    let sandbox = denied("ec2:ModifySnapshotAttribute", user);
    let reply = look(&sandbox, &wish).await;
    only(
        &reply,
        "Error",
        "ShareSnapshots",
        "ec2:ModifySnapshotAttribute",
    );
    let run = to_the_end(&sandbox, &json!({ "Distribute": wish })).await;
    assert_eq!(run["Status"], "Failed", "{run}");
}
