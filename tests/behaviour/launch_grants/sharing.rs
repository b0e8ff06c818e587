//! After `Mode: Share`: on each source key, made in the target account.

use std::time::Duration;

use super::*;
use crate::custom_resource::{Stack, with};

const ONE: &str = "222222222222";
const OTHER: &str = "333333333333";

pub fn share(accounts: &[&str], roles: &[&str]) -> Value {
    json!({ "Distribute": wish(accounts, roles) })
}

fn wish(accounts: &[&str], roles: &[&str]) -> Value {
    let mut wish = json!({"SourceImageId": AMI, "Mode": "Share", "TargetAccountIds": accounts});
    if !roles.is_empty() {
        wish["ServiceLinkedRoles"] = json!(roles);
    }
    wish
}

pub fn unshare(accounts: &[&str]) -> Value {
    let mut event = share(accounts, &[]);
    event["Distribute"]["Unshare"] = json!(true);
    event
}

pub fn sharing_world() -> World {
    let world = World::new().copy_mib_per_second(4096.0).account(producer());
    [ONE, OTHER].iter().fold(world, |world, account| {
        world.account(target_account(account, &[HOME], &[SCALING, SUFFIXED, SPOT]))
    })
}

/// Returns the grants of runs on the source key, by their names without the run.
fn names(sandbox: &Sandbox) -> BTreeSet<String> {
    let names = sandbox
        .grants(SOURCE_KEY)
        .into_iter()
        .filter_map(|g| g.name);
    names
        .map(|name| name.splitn(3, '-').nth(2).unwrap_or_default().to_owned())
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn services_of_another_account_launch_from_the_source_image_until_the_share_is_closed() {
    let sandbox = Sandbox::new(sharing_world());
    let reply = to_the_end(&sandbox, &share(&[ONE, OTHER], &[])).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(calls(&sandbox, "AssumeRole"), 0, "nobody asked for roles");
    assert!(!launches(&sandbox, &arn(ONE, SCALING), HOME, AMI).await);

    let reply = to_the_end(&sandbox, &share(&[ONE, OTHER], &ALL)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    for account in [ONE, OTHER] {
        for role in [SCALING, SUFFIXED, SPOT] {
            assert!(launches(&sandbox, &arn(account, role), HOME, AMI).await);
        }
    }
    assert_single(&sandbox, SOURCE_KEY);
    for grant in launch_grants(&sandbox, SOURCE_KEY) {
        assert_ne!(
            grant.issuing_account, "arn:aws:iam::111111111111:root",
            "{grant:?}"
        );
    }

    let reply = to_the_end(&sandbox, &unshare(&[ONE])).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert!(launches(&sandbox, &arn(OTHER, SPOT), HOME, AMI).await);
    assert_eq!(grantees(&sandbox, SOURCE_KEY), all_of(OTHER));
    let reply = to_the_end(&sandbox, &unshare(&[OTHER])).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_closed(&sandbox);
}

/// A grant takes minutes to take effect, and until then the account can make none by virtue of it.
#[tokio::test(start_paused = true)]
async fn launch_grants_wait_until_the_accounts_own_grant_works() {
    let sandbox = Sandbox::new(sharing_world().grant_delay(Duration::from_mins(5)));
    let reply = to_the_end(&sandbox, &share(&[ONE], &ALL[..1])).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(launches(&sandbox, &arn(ONE, SCALING), HOME, AMI).await);
}

/// The key's policy lets one account make grants, and the other not.
#[tokio::test(start_paused = true)]
async fn launch_grants_with_key_access_none_rely_on_the_key_policy() {
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
         "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::222222222222:root"}, "Resource": "*",
         "Action": ["kms:DescribeKey", "kms:CreateGrant", "kms:Decrypt", "kms:Encrypt",
         "kms:ReEncrypt*", "kms:GenerateDataKey*"]}]});
    let mut source = producer();
    source.keys[0].policy = Some(policy.to_string());
    let mut world = sharing_world();
    world.accounts[0] = source;
    let sandbox = Sandbox::new(world);
    let mut event = share(&[ONE, OTHER], &ALL[..1]);
    event["Distribute"]["KeyAccess"] = json!("None");
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
    assert!(launches(&sandbox, &arn(ONE, SCALING), HOME, AMI).await);
    assert_eq!(
        names(&sandbox),
        set(&["222222222222/AWSServiceRoleForAutoScaling"])
    );
    // The other account keeps its share, and the reply names the missing permission.
    let result = target(&reply, (OTHER, HOME));
    assert_eq!(
        (&result["Cause"], &result["ImageId"]),
        (&json!("LaunchGrantMissing"), &json!(AMI))
    );
    let remedy = result["Remedy"].as_str().unwrap();
    assert!(
        remedy.contains("kms:GrantIsForAWSResource") && remedy.contains("the AMI stays shared"),
        "{remedy}"
    );
    let image = sandbox.edit(|aws| aws.image(AMI)).expect("the image");
    assert_eq!(image.launch_permissions.len(), 2);
    let mut event = unshare(&[ONE, OTHER]);
    event["Distribute"]["KeyAccess"] = json!("None");
    to_the_end(&sandbox, &event).await;
    assert_closed(&sandbox);
}

/// An account without the copy role may still launch by itself.
#[tokio::test(start_paused = true)]
async fn a_share_whose_copy_role_is_missing_stays_open_and_reports_it() {
    let sandbox = Sandbox::new(sharing_world());
    sandbox.edit(|aws| assert!(aws.drop_principal("arn:aws:iam::333333333333:role/AmiCopyRole")));
    let reply = to_the_end(&sandbox, &share(&[ONE, OTHER], &ALL)).await;
    assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
    let result = target(&reply, (OTHER, HOME));
    assert_eq!(result["Cause"], "RoleNotAssumable", "{result}");
    let image = sandbox.edit(|aws| aws.image(AMI)).expect("the image");
    assert_eq!(image.launch_permissions.len(), 2);
    assert_eq!(grantees(&sandbox, SOURCE_KEY), all_of(ONE));
}

/// Another share of the same image has grants of its own, and ends by itself.
#[tokio::test(start_paused = true)]
async fn a_resource_closes_launch_grants_of_roles_it_no_longer_lists() {
    let stack = Stack::of(sharing_world());
    let properties = with(wish(&[ONE], &ALL), "ServiceToken", json!(FUNCTION));
    let created = stack.send(&stack.event("Create", &properties)).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    assert_eq!(grantees(&stack.sandbox, SOURCE_KEY), all_of(ONE));

    // Meanwhile a direct call shares with another account, and with the same one.
    let reply = to_the_end(&stack.sandbox, &share(&[ONE, OTHER], &ALL[..1])).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let of_scaling = |sandbox: &Sandbox| {
        let grants = launch_grants(sandbox, SOURCE_KEY).into_iter();
        grants
            .filter(|g| g.grantee_principal == arn(ONE, SCALING))
            .count()
    };
    assert_eq!(of_scaling(&stack.sandbox), 2, "one for each");

    let mut update = stack.event("Update", &wish(&[ONE], &ALL[1..2]));
    update["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    update["OldResourceProperties"] = properties;
    let updated = stack.send(&update).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_eq!(of_scaling(&stack.sandbox), 1, "that of the direct call");
    let there = grantees(&stack.sandbox, SOURCE_KEY);
    assert!(
        there.contains(&arn(ONE, SUFFIXED)) && !there.contains(&arn(ONE, SPOT)),
        "{there:?}"
    );

    let mut delete = stack.event("Delete", &wish(&[ONE], &ALL[1..2]));
    delete["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    assert_eq!(stack.send(&delete).await["Status"], "SUCCESS");
    let there = grantees(&stack.sandbox, SOURCE_KEY);
    assert_eq!(
        there,
        BTreeSet::from([arn(ONE, SCALING), arn(OTHER, SCALING)])
    );
    to_the_end(&stack.sandbox, &unshare(&[ONE, OTHER])).await;
    assert_closed(&stack.sandbox);
}
