//! Launches by Auto Scaling: by its service-linked role, whose policies do not allow the use of
//! keys.

use serde_json::json;

use crate::client::Client;
use crate::launching::{launched, reason_of, share};
use crate::policies::{document, permit, permit_owner, root, when};
use crate::worlds::{Bench, CONSUMER, IMAGE, PRODUCER, SCALER, SOURCE_KEY};

/// The operations that Auto Scaling documents for its role.
const OPERATIONS: [&str; 8] = [
    "Encrypt",
    "Decrypt",
    "ReEncryptFrom",
    "ReEncryptTo",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "DescribeKey",
    "CreateGrant",
];

/// Shares the image. The consumer's account may use its key, and create grants under this
/// condition.
async fn shared(bench: &Bench, condition: serde_json::Value) -> Client {
    share(bench, "LaunchPermission.Add.1.UserId", CONSUMER).await;
    let uses = json!([
        "kms:DescribeKey",
        "kms:Decrypt",
        "kms:Encrypt",
        "kms:ReEncrypt*",
        "kms:GenerateDataKey*",
    ]);
    let policy = document(&[
        permit_owner(PRODUCER),
        permit(&root(CONSUMER), uses),
        when(permit(&root(CONSUMER), "kms:CreateGrant"), condition),
    ]);
    bench.set_key_policy(SOURCE_KEY, &policy);
    bench.consumer.as_service(SCALER)
}

fn grant(grantee: &str) -> serde_json::Value {
    json!({"KeyId": SOURCE_KEY, "GranteePrincipal": grantee, "Operations": OPERATIONS})
}

async fn starts(client: &Client) -> bool {
    let id = launched(client, IMAGE).await;
    match reason_of(client, &id).await {
        None => true,
        Some((code, _)) => {
            assert_eq!(code, "Client.InternalError");
            false
        }
    }
}

#[tokio::test(start_paused = true)]
async fn auto_scaling_needs_a_grant_made_in_its_own_account() {
    let bench = Bench::new();
    let scaler = shared(&bench, json!({})).await;
    assert!(
        starts(&bench.consumer).await,
        "a user whose policies allow it"
    );
    assert!(
        !starts(&scaler).await,
        "a role whose policies do not know keys"
    );
    let spot = SCALER
        .replace("autoscaling", "spot")
        .replace("AutoScaling", "EC2Spot");
    let made = bench.consumer.kms("CreateGrant", grant(SCALER)).await.ok();
    assert!(starts(&scaler).await);
    assert!(
        !starts(&bench.consumer.as_service(&spot)).await,
        "a grant is for whom it names"
    );
    let instances = bench.sandbox.instances(CONSUMER, crate::worlds::WEST);
    let by = instances.iter().filter(|instance| {
        instance.launched_by
            == "arn:aws:sts::222222222222:assumed-role/AWSServiceRoleForAutoScaling/autoscaling"
    });
    assert_eq!(by.count(), 2);
    let id = made.json()["GrantId"].as_str().expect("an ID").to_owned();
    assert!(bench.sandbox.edit(|aws| aws.revoke_grant(SOURCE_KEY, &id)));
    assert!(!starts(&scaler).await);
}

/// A grant to an account takes effect through the account's policies, which a service-linked role
/// lacks.
#[tokio::test(start_paused = true)]
async fn a_grant_to_an_account_does_not_reach_a_service_linked_role() {
    let bench = Bench::new();
    share(&bench, "LaunchPermission.Add.1.UserId", CONSUMER).await;
    let account = grant("arn:aws:iam::222222222222:root");
    bench.producer.kms("CreateGrant", account).await.ok();
    assert!(
        starts(&bench.consumer).await,
        "a user whose policies allow it"
    );
    assert!(!starts(&bench.consumer.as_service(SCALER)).await);
}

#[tokio::test(start_paused = true)]
async fn a_service_launch_needs_every_operation_that_ec2_uses() {
    let bench = Bench::new();
    let scaler = shared(&bench, json!({})).await;
    for missing in crate::launching::USES {
        let mut wish = grant(SCALER);
        wish["Operations"] = OPERATIONS
            .iter()
            .filter(|name| **name != missing)
            .copied()
            .collect();
        let made = bench.consumer.kms("CreateGrant", wish).await.ok().json();
        assert!(!starts(&scaler).await, "without {missing}");
        let id = made["GrantId"].as_str().expect("an ID").to_owned();
        assert!(bench.sandbox.edit(|aws| aws.revoke_grant(SOURCE_KEY, &id)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_policy_for_aws_resources_only_refuses_the_services_grant() {
    let bench = Bench::new();
    let condition = json!({"Bool": {"kms:GrantIsForAWSResource": "true"}});
    let scaler = shared(&bench, condition).await;
    let direct = bench.consumer.kms("CreateGrant", grant(SCALER)).await;
    assert_eq!(direct.refusal.as_deref(), Some("KMS_ACCESS_DENIED"));
    assert!(!starts(&scaler).await);
    // The condition does not apply to the key's owner.
    bench.producer.kms("CreateGrant", grant(SCALER)).await.ok();
    assert!(starts(&scaler).await);
}

#[tokio::test(start_paused = true)]
async fn only_a_service_linked_role_acts_as_a_service() {
    let bench = Bench::new();
    for role in [
        crate::worlds::COPIER,
        "arn:aws:iam::222222222222:role/aws-service-role/x",
        "",
    ] {
        assert_eq!(bench.sandbox.edit(|aws| aws.act_as_service(role)), None);
    }
    let gone = SCALER.replace("222222222222", "111111111111");
    assert_eq!(bench.sandbox.edit(|aws| aws.act_as_service(&gone)), None);
    let params = [("RoleArn", SCALER), ("RoleSessionName", "me")];
    let assumed = bench.consumer.sts("AssumeRole", &params).await;
    assert_eq!(assumed.refusal.as_deref(), Some("STS_ACCESS_DENIED"));
    let scaler = bench.consumer.as_service(SCALER);
    let denied = scaler.ec2("DeregisterImage", &[("ImageId", IMAGE)]).await;
    assert_eq!(denied.refusal.as_deref(), Some("UNAUTHORIZED_OPERATION"));
}
