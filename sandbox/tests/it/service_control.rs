//! Service control policies limit a member account, whatever its own policies allow.

use amiferry_sandbox::{Account, FULL_AWS_ACCESS, World};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::policies::{self, document};
use crate::refused_keys::grant;
use crate::worlds::{
    Bench, CONSUMER, COPIER, ORGANIZATION, PRODUCER, SCALER, SOURCE_KEY, TARGET_KEY, world,
};

const DENIED: &str = "with an explicit deny in a service control policy";

fn deny(action: &str) -> String {
    document(&[policies::deny(action)]).to_string()
}

fn limit(bench: &Bench, account: &str, policies: &[&str]) {
    let changed = bench
        .sandbox
        .edit(|aws| aws.set_service_control_policies(account, policies));
    assert_eq!(changed, Ok(true));
}

async fn assume(ferry: &Client) -> Answer {
    let params = [
        ("RoleArn", COPIER),
        ("RoleSessionName", "test"),
        ("ExternalId", "shared-secret"),
    ];
    ferry.sts("AssumeRole", &params).await
}

#[track_caller]
fn refused(answer: &Answer, refusal: &str, reason: &str) {
    assert_eq!(answer.refusal.as_deref(), Some(refusal), "{answer:?}");
    assert!(answer.body.contains(reason), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_control_deny_wins_in_every_service() {
    let bench = Bench::new();
    let all = deny("*");
    limit(&bench, PRODUCER, &[FULL_AWS_ACCESS, &all]);
    let (producer, ferry) = (&bench.producer, &bench.ferry);
    let ec2 = producer.ec2("DescribeImages", &[]).await;
    refused(&ec2, "UNAUTHORIZED_OPERATION", DENIED);
    // The deny also wins over a key policy that names the account.
    let kms = producer
        .kms("DescribeKey", json!({"KeyId": SOURCE_KEY}))
        .await;
    refused(&kms, "KMS_ACCESS_DENIED", DENIED);
    let kms = producer.kms("ListAliases", json!({})).await;
    refused(&kms, "KMS_ACCESS_DENIED", DENIED);
    refused(&assume(ferry).await, "STS_ACCESS_DENIED", DENIED);
    let organizations = producer
        .organizations("DescribeOrganization", json!({}))
        .await;
    refused(&organizations, "ORG_ACCESS_DENIED", DENIED);
    let lambda = producer
        .answer(producer.invoke("ferry", "Event", b"{}".to_vec()))
        .await;
    refused(&lambda, "LAMBDA_ACCESS_DENIED", DENIED);
    // GetCallerIdentity needs no permission, and other accounts have policies of their own.
    producer.sts("GetCallerIdentity", &[]).await.ok();
    bench.consumer.ec2("DescribeImages", &[]).await.ok();
    limit(&bench, PRODUCER, &[]);
    producer.ec2("DescribeImages", &[]).await.ok();
    assume(ferry).await.ok();
}

#[tokio::test(start_paused = true)]
async fn an_action_that_no_service_control_policy_allows_is_denied() {
    let allow = document(&[
        policies::allow("ec2:*", "*"),
        policies::allow("kms:ListAliases", "*"),
    ]);
    let mut world = world();
    world.accounts[1] = world.accounts[1].clone().service_control_policy(allow);
    let bench = Bench::of(world);
    let consumer = &bench.consumer;
    consumer.ec2("DescribeImages", &[]).await.ok();
    consumer.kms("ListAliases", json!({})).await.ok();
    let answer = consumer
        .kms("DescribeKey", json!({"KeyId": TARGET_KEY}))
        .await;
    let reason = "because no service control policy allows the kms:DescribeKey action";
    refused(&answer, "KMS_ACCESS_DENIED", reason);
    let own = "because no identity-based policy allows";
    let nobody = bench.nobody.ec2("DescribeImages", &[]).await;
    refused(&nobody, "UNAUTHORIZED_OPERATION", own);
}

#[tokio::test(start_paused = true)]
async fn a_service_control_deny_wins_over_grant_and_key_policy() {
    let bench = Bench::new();
    let session = bench
        .ferry
        .assume(COPIER, &[("ExternalId", "shared-secret")])
        .await;
    bench.producer.kms("CreateGrant", grant()).await.ok();
    let describe = json!({"KeyId": SOURCE_KEY});
    session.kms("DescribeKey", describe.clone()).await.ok();
    limit(&bench, CONSUMER, &[FULL_AWS_ACCESS, &deny("kms:Decrypt")]);
    session.kms("DescribeKey", describe.clone()).await.ok();
    limit(&bench, CONSUMER, &[FULL_AWS_ACCESS, &deny("kms:*")]);
    let answer = session.kms("DescribeKey", describe).await;
    refused(&answer, "KMS_ACCESS_DENIED", DENIED);
    limit(
        &bench,
        PRODUCER,
        &[FULL_AWS_ACCESS, &deny("kms:RetireGrant")],
    );
    let mut other = grant();
    other["RetiringPrincipal"] = json!("arn:aws:iam::111111111111:user/admin");
    let made = bench.producer.kms("CreateGrant", other).await.ok().json();
    let retire = json!({"KeyId": SOURCE_KEY, "GrantId": made["GrantId"]});
    let answer = bench.producer.kms("RetireGrant", retire).await;
    refused(&answer, "KMS_ACCESS_DENIED", DENIED);
    // EC2 uses the key with the permissions of the principal that copies.
    let id = bench.copy().await;
    assert_eq!(bench.end_of(&id).await.0, "error");
}

#[tokio::test(start_paused = true)]
async fn a_copy_ends_in_error_when_its_key_is_denied_half_way() {
    let bench = Bench::new();
    let id = bench.copy().await;
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    limit(&bench, CONSUMER, &[FULL_AWS_ACCESS, &deny("kms:Decrypt")]);
    assert_eq!(bench.state_of(&id).await.0, "error");
}

#[tokio::test(start_paused = true)]
async fn a_service_control_condition_sees_region_and_role() {
    let bench = Bench::new();
    let west_only = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "NotAction": "organizations:*", "Resource": "*",
        "Condition": {
            "StringNotEquals": {"aws:RequestedRegion": "us-west-2"},
            "ArnNotLike": {"aws:PrincipalArn": COPIER},
        },
    }]});
    limit(&bench, CONSUMER, &[FULL_AWS_ACCESS, &west_only.to_string()]);
    let consumer = &bench.consumer;
    consumer.ec2("DescribeImages", &[]).await.ok();
    consumer.kms("ListAliases", json!({})).await.ok();
    let east = consumer.in_region("us-east-1");
    refused(
        &east.ec2("DescribeImages", &[]).await,
        "UNAUTHORIZED_OPERATION",
        DENIED,
    );
    let answer = east.kms("DescribeKey", json!({"KeyId": "east"})).await;
    refused(&answer, "KMS_ACCESS_DENIED", DENIED);
    let session = bench
        .ferry
        .assume(COPIER, &[("ExternalId", "shared-secret")])
        .await;
    let session = session.in_region("us-east-1");
    session.ec2("DescribeImages", &[]).await.ok();
}

#[tokio::test(start_paused = true)]
async fn the_management_account_and_service_linked_roles_are_not_limited() {
    let bench = Bench::new();
    let all = deny("*");
    limit(&bench, "999999999999", &[&all]);
    bench.management.ec2("DescribeImages", &[]).await.ok();
    limit(&bench, CONSUMER, &[&all]);
    let scaler = bench.consumer.as_service(SCALER);
    scaler.ec2("DescribeImages", &[]).await.ok();
    assert_eq!(
        bench
            .consumer
            .ec2("DescribeImages", &[])
            .await
            .code
            .as_deref(),
        Some("UnauthorizedOperation")
    );
}

#[tokio::test]
async fn service_control_policies_need_an_organization() {
    let alone = Account::new(PRODUCER).service_control_policy(FULL_AWS_ACCESS);
    let error = amiferry_sandbox::Sandbox::try_new(World::new().account(alone));
    assert_eq!(
        error.expect_err("an account without an organization").key,
        "account[0].service_control_policies"
    );
    let text = format!(
        "[[account]]\nid = '{PRODUCER}'\norganization = '{ORGANIZATION}'\n\
         service_control_policies = ['{{']"
    );
    let error = World::from_toml(&text).expect_err("no policy");
    assert_eq!(error.key, "account[0].service_control_policies[0]");
    let bench = Bench::new();
    let changed = bench
        .sandbox
        .edit(|aws| aws.set_service_control_policies("333333333333", &[]));
    assert_eq!(changed, Ok(false));
    let wrong: Value = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]});
    let wrong = wrong.to_string();
    let refused = bench
        .sandbox
        .edit(|aws| aws.set_service_control_policies(CONSUMER, &[&wrong]));
    assert!(
        refused.is_err(),
        "a service control policy has no principal"
    );
}
