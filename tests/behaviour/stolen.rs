//! Credentials of the function's role in a thief's hands (SECURITY.md, Stolen credentials): the
//! role has every documented policy.

use amiferry_sandbox::Sandbox;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::Tag;
use aws_sdk_kms::types::GrantOperation;

use crate::staging::under_aws_ebs;
use crate::support::*;

mod copy_role;
mod function_role;

async fn thief(sandbox: &Sandbox) -> (aws_sdk_ec2::Client, aws_sdk_kms::Client) {
    let config = config_in(HOME, sandbox.http_client(), sandbox.time_source()).await;
    (
        aws_sdk_ec2::Client::new(&config),
        aws_sdk_kms::Client::new(&config),
    )
}

fn world() -> Sandbox {
    let mut producer = under_aws_ebs(0);
    producer.roles[0].policies.push(documented("KeyPolicies"));
    Sandbox::new(world_with(producer, &TWO))
}

/// Snapshots that bear the tags of a staged copy may be deleted, so no existing snapshot can be
/// given these tags.
#[tokio::test(start_paused = true)]
async fn stolen_credentials_cannot_tag_a_snapshot_as_a_staged_copy() {
    let sandbox = world();
    let (ec2, _) = thief(&sandbox).await;
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    for tags in [
        vec![
            tag("amiferry:source-image", AMI),
            tag("amiferry:source-account", SOURCE),
        ],
        vec![
            tag("amiferry:sharing:0123456789abcdef", "+"),
            tag("amiferry:source-image", AMI),
        ],
        vec![tag("team", "mine")],
    ] {
        let said = ec2
            .create_tags()
            .resources(ROOT)
            .set_tags(Some(tags.clone()))
            .send()
            .await;
        let refused = said.expect_err("it may not");
        assert_eq!(refused.code(), Some("UnauthorizedOperation"), "{tags:?}");
    }
    let said = ec2.delete_snapshot().snapshot_id(ROOT).send().await;
    let refused = said.expect_err("it may not");
    assert_eq!(refused.code(), Some("UnauthorizedOperation"));
}

/// A DeleteTags call that names no tag deletes all.
#[tokio::test(start_paused = true)]
async fn stolen_credentials_delete_no_tags() {
    let sandbox = world();
    let (ec2, _) = thief(&sandbox).await;
    for tags in [None, Some(vec![Tag::builder().key("team").build()])] {
        let said = ec2
            .delete_tags()
            .resources(AMI)
            .set_tags(tags.clone())
            .send()
            .await;
        let refused = said.expect_err("it may not");
        assert_eq!(refused.code(), Some("UnauthorizedOperation"), "{tags:?}");
    }
    let image = sandbox.edit(|aws| aws.image(AMI)).expect("the image");
    assert!(image.tags.contains_key("team"));
}

/// The role grants to copy roles and whole accounts only, not to the thief or any principal of the
/// thief's choice.
#[tokio::test(start_paused = true)]
async fn stolen_credentials_cannot_grant_a_key_to_themselves() {
    let sandbox = world();
    let (_, kms) = thief(&sandbox).await;
    for (grantee, may) in [
        ("arn:aws:iam::111111111111:role/amiferry", false),
        ("arn:aws:iam::222222222222:role/Somebody", false),
        ("arn:aws:iam::222222222222:role/AmiCopyRole", true),
    ] {
        let said = kms
            .create_grant()
            .key_id(SOURCE_KEY)
            .grantee_principal(grantee)
            .operations(GrantOperation::Decrypt)
            .send()
            .await;
        let code = said.as_ref().err().and_then(ProvideErrorMetadata::code);
        assert_eq!(code, (!may).then_some("AccessDeniedException"), "{grantee}");
    }
}

#[tokio::test(start_paused = true)]
async fn stolen_credentials_make_no_snapshot_public_and_bypass_no_lockout_check() {
    let sandbox = world();
    let (ec2, kms) = thief(&sandbox).await;
    let said = ec2
        .modify_snapshot_attribute()
        .snapshot_id(ROOT)
        .operation_type("add".into())
        .group_names("all")
        .send()
        .await;
    let refused = said.expect_err("it may not");
    assert_eq!(refused.code(), Some("UnauthorizedOperation"));
    let policy = key_policy(&sandbox).await;
    let put = kms.put_key_policy().key_id(SOURCE_KEY).policy(policy);
    let bypassing = put.clone().bypass_policy_lockout_safety_check(true);
    let refused = bypassing.send().await.expect_err("it may not");
    assert_eq!(refused.code(), Some("AccessDeniedException"));
    put.send().await.expect("with the check it may");
}
