//! Lasting shares: the list grows, shrinks and changes its way to the key.

use super::copying::organized;
use super::*;
use crate::custom_resource::Stack;

#[tokio::test(start_paused = true)]
async fn accounts_may_use_the_key_until_the_share_is_closed() {
    let sandbox = Sandbox::new(editing_world(&TWO));
    let before = key_policy(&sandbox).await;
    let reply = to_the_end(&sandbox, &share(&[ONE], &json!({}))).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(parts(&sandbox), ["Describe", "Use", "Grant"]);
    assert_eq!(
        ours(&sandbox)[1].1["Action"],
        json!([
            "kms:Decrypt",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo"
        ])
    );
    assert_eq!(
        ours(&sandbox)[0].1.get("Condition"),
        None,
        "whom the account lets"
    );
    // A second call adds an account, and another call may close it.
    to_the_end(&sandbox, &share(&[OTHER], &json!({}))).await;
    assert_eq!(named(&sandbox), [ONE, OTHER]);
    to_the_end(&sandbox, &share(&[ONE], &json!({"Unshare": true}))).await;
    assert_eq!(named(&sandbox), [OTHER]);
    // The closing need not repeat the words of the opening.
    let mut last = share(&[OTHER], &json!({"Unshare": true}));
    last["Distribute"]
        .as_object_mut()
        .unwrap()
        .remove("KeyAccess");
    let reply = to_the_end(&sandbox, &last).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_ended(&sandbox, &before).await;
    assert_eq!(calls(&sandbox, "CreateGrant"), 0);
}

/// The account of the Auto Scaling group makes the grant directly, only on request, and only for
/// its role.
#[tokio::test(start_paused = true)]
async fn service_linked_roles_may_be_granted_the_key_only_on_request() {
    let mut world = editing_world(&TWO);
    for account in world.accounts.iter_mut().filter(|a| a.id == ONE) {
        account.roles[0].policies.push(documented("LetLaunch"));
        for name in [
            "AWSServiceRoleForAutoScaling",
            "AWSServiceRoleForAutoScaling_batch",
        ] {
            let role = Role::service_linked("autoscaling.amazonaws.com", name);
            account.roles.push(role);
        }
    }
    let sandbox = Sandbox::new(world);
    let before = key_policy(&sandbox).await;
    let asked =
        json!({"ServiceLinkedRoles": "autoscaling.amazonaws.com,autoscaling.amazonaws.com_batch"});
    let reply = to_the_end(&sandbox, &share(&[ONE], &asked)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(parts(&sandbox), ["Describe", "Use", "Grant", "GrantRoles"]);
    let condition = &ours(&sandbox)[3].1["Condition"];
    let role = "arn:aws:iam::*:role/aws-service-role/autoscaling.amazonaws.com/\
        AWSServiceRoleForAutoScaling";
    assert_eq!(
        condition["StringLike"]["kms:GranteePrincipal"],
        json!([role, format!("{role}_batch")])
    );
    assert_eq!(condition.get("Bool"), None);
    assert!(condition["ForAllValues:StringEquals"]["kms:GrantOperations"].is_array());
    to_the_end(&sandbox, &share(&[ONE], &json!({"Unshare": true}))).await;
    assert_ended(&sandbox, &before).await;
}

/// A share with an organization needs no list of its accounts.
#[tokio::test(start_paused = true)]
async fn an_organization_and_a_unit_may_use_the_key_until_the_share_is_closed() {
    for whom in [
        json!({"OrganizationId": "o-abcdefghij"}),
        json!({"OrganizationalUnitIds": "ou-ab12-11111111"}),
        json!({"OrganizationalUnitIds": "r-ab12", "TargetAccountIds": ONE}),
    ] {
        let sandbox = Sandbox::new(organized());
        let before = key_policy(&sandbox).await;
        let reply = to_the_end(&sandbox, &share(&[], &whom)).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_eq!(reply["Result"]["Audience"]["Status"], "Succeeded");
        assert_eq!(
            calls(&sandbox, "ListAccounts") + calls(&sandbox, "ListAccountsForParent"),
            0
        );
        let members = parts(&sandbox)
            .iter()
            .filter(|part| part.ends_with("Members"))
            .count();
        assert_eq!(members, 3);
        let mut end = whom.clone();
        end["Unshare"] = json!(true);
        let reply = to_the_end(&sandbox, &share(&[], &end)).await;
        assert_eq!(reply["Result"]["Audience"]["Status"], "Unshared", "{reply}");
        assert_ended(&sandbox, &before).await;
    }
}

/// A request that names another way to the key closes the former way.
#[tokio::test(start_paused = true)]
async fn a_share_changed_from_grants_to_policies_and_back_closes_the_former_way() {
    let sandbox = Sandbox::new(editing_world(&TWO));
    let before = key_policy(&sandbox).await;
    let by = |way: &str| share(&[ONE], &json!({"KeyAccess": way}));
    to_the_end(&sandbox, &share(&[OTHER], &json!({"KeyAccess": "Grant"}))).await;
    to_the_end(&sandbox, &by("Grant")).await;
    assert_eq!(
        (sandbox.grants(SOURCE_KEY).len(), parts(&sandbox).len()),
        (2, 0)
    );
    to_the_end(&sandbox, &by("Policy")).await;
    assert_eq!(
        (sandbox.grants(SOURCE_KEY).len(), parts(&sandbox).len()),
        (1, 3),
        "the other keeps its grant"
    );
    to_the_end(&sandbox, &by("Grant")).await;
    assert_eq!(
        (sandbox.grants(SOURCE_KEY).len(), parts(&sandbox).len()),
        (2, 0)
    );
    assert_eq!(key_policy(&sandbox).await, before);
    to_the_end(&sandbox, &by("Policy")).await;
    to_the_end(&sandbox, &by("None")).await;
    assert_eq!(
        (sandbox.grants(SOURCE_KEY).len(), parts(&sandbox).len()),
        (1, 0)
    );
    to_the_end(&sandbox, &share(&[ONE, OTHER], &json!({"Unshare": true}))).await;
    assert_ended(&sandbox, &before).await;
}

/// A resource's request is the whole list. Its statements go with the resource, even if the image
/// is gone.
#[tokio::test(start_paused = true)]
async fn a_resource_that_shares_by_policy_is_created_updated_and_deleted() {
    let stack = Stack::new(&TWO);
    stack.sandbox.edit(|aws| {
        let policies = ["Find", "ShareImages", "KeyPolicies"].map(documented);
        let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
        aws.set_policies("arn:aws:iam::111111111111:role/amiferry", &policies)
            .unwrap()
    });
    let before = key_policy(&stack.sandbox).await;
    let properties = |accounts: &[&str], way: &str| {
        json!({"AmiId": AMI, "Mode": "Share", "KeyAccess": way,
            "TargetAccountIds": accounts})
    };
    let created = stack
        .send(&stack.event("Create", &properties(&[ONE], "Policy")))
        .await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    assert_eq!(named(&stack.sandbox), [ONE]);
    let mut last = json!({});
    for (accounts, way, grants) in [
        (vec![OTHER], "Policy", 0),
        (vec![ONE, OTHER], "Grant", 2),
        (vec![ONE], "Policy", 0),
    ] {
        let mut update = stack.event("Update", &properties(&accounts, way));
        update["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
        let updated = stack.send(&update).await;
        assert_eq!(updated["Status"], "SUCCESS", "{updated}");
        assert_eq!(stack.sandbox.grants(SOURCE_KEY).len(), grants);
        assert_eq!(
            named(&stack.sandbox).len(),
            if grants == 0 { accounts.len() } else { 0 }
        );
        last = update;
    }
    assert!(stack.sandbox.edit(|aws| aws.delete_image(AMI)));
    last["RequestType"] = json!("Delete");
    for _ in 0..2 {
        assert_eq!(stack.send(&last).await["Status"], "SUCCESS");
        assert_eq!(key_policy(&stack.sandbox).await, before);
    }
    let snapshots = stack.sandbox.snapshots(SOURCE, HOME);
    assert!(
        snapshots
            .iter()
            .all(|s| !s.tags.keys().any(|key| key.starts_with("amiferry:")))
    );
}
