//! IAM's roles: read, linked to a service, and known to KMS after a delay.

use std::time::Duration;

use serde_json::json;

use crate::policies::{allow, deny, document, permit, permit_owner};
use crate::worlds::{Bench, CONSUMER, COPIER, SOURCE_KEY, TARGET_KEY, world};

const LINK: &str = "CreateServiceLinkedRole";
const SCALING: (&str, &str) = ("AWSServiceName", "autoscaling.amazonaws.com");

#[tokio::test(start_paused = true)]
async fn a_role_is_read_by_its_name() {
    let bench = Bench::new();
    let answer = bench
        .consumer
        .iam("GetRole", &[("RoleName", "Copier")])
        .await;
    let answer = answer.ok();
    assert_eq!(answer.text("Arn").as_deref(), Some(COPIER));
    assert_eq!(answer.text("Path").as_deref(), Some("/"));
    assert_eq!(answer.text("MaxSessionDuration").as_deref(), Some("3600"));
    let trust = answer.text("AssumeRolePolicyDocument").expect("a policy");
    assert!(trust.contains("shared%2Dsecret"), "{trust}");
    let linked = [("RoleName", "AWSServiceRoleForEC2Spot")];
    let answer = bench.consumer.iam("GetRole", &linked).await.ok();
    let path = "/aws-service-role/spot.amazonaws.com/";
    assert_eq!(answer.text("Path").as_deref(), Some(path));
    // Another account has no such role.
    let answer = bench.producer.iam("GetRole", &linked).await;
    assert_eq!(answer.code.as_deref(), Some("NoSuchEntity"));
    let calls = bench.sandbox.ledger();
    let last = calls.last().expect("a call");
    assert_eq!(
        (last.service.as_str(), last.operation.as_str()),
        ("iam", "GetRole")
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_linked_role_has_its_services_name() {
    let bench = Bench::new();
    for (service, name) in [
        ("autoscaling", "AWSServiceRoleForAutoScaling"),
        ("spot", "AWSServiceRoleForEC2Spot"),
        ("spotfleet", "AWSServiceRoleForEC2SpotFleet"),
        ("ec2fleet", "AWSServiceRoleForEC2Fleet"),
        ("eks-nodegroup", "AWSServiceRoleForAmazonEKSNodegroup"),
        ("batch", "AWSServiceRoleForBatch"),
    ] {
        let service = format!("{service}.amazonaws.com");
        let params = [
            ("AWSServiceName", service.as_str()),
            ("Description", "for tests"),
        ];
        let answer = bench.producer.iam(LINK, &params).await.ok();
        let arn = format!("arn:aws:iam::111111111111:role/aws-service-role/{service}/{name}");
        assert_eq!(answer.text("Arn"), Some(arn.clone()));
        assert_eq!(answer.text("Description").as_deref(), Some("for tests"));
        let again = bench.producer.iam(LINK, &params).await;
        assert_eq!(again.refusal.as_deref(), Some("ROLE_NAME_TAKEN"));
        assert!(bench.sandbox.edit(|aws| aws.act_as_service(&arn)).is_some());
    }
    let suffix = [SCALING, ("CustomSuffix", "mine")];
    let answer = bench.producer.iam(LINK, &suffix).await.ok();
    assert_eq!(
        answer.text("RoleName").as_deref(),
        Some("AWSServiceRoleForAutoScaling_mine")
    );
}

#[tokio::test(start_paused = true)]
async fn creating_a_service_linked_role_needs_permission_for_role_and_service() {
    let bench = Bench::new();
    let statement = |service: &str| {
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "iam:CreateServiceLinkedRole",
            "Resource": "arn:aws:iam::*:role/aws-service-role/*",
            "Condition": {"StringEquals": {"iam:AWSServiceName": service}}}]})
        .to_string()
    };
    let nobody = "arn:aws:iam::222222222222:user/nobody";
    let params = [SCALING, ("CustomSuffix", "mine")];
    for (service, status) in [("spot.amazonaws.com", 403), (SCALING.1, 200)] {
        let policy = statement(service);
        bench.set_policies(nobody, &[&policy]);
        assert_eq!(bench.nobody.iam(LINK, &params).await.status, status);
    }
    let denied = document(&[allow("*", "*"), deny("iam:*")]).to_string();
    let changed = bench
        .sandbox
        .edit(|aws| aws.set_service_control_policies(CONSUMER, &[&denied]));
    assert_eq!(changed, Ok(true));
    let answer = bench
        .consumer
        .iam("GetRole", &[("RoleName", "Copier")])
        .await;
    assert!(
        answer.body.contains("in a service control policy"),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn kms_knows_a_new_role_after_a_delay() {
    let bench = Bench::of(world().principal_delay(Duration::from_secs(30)));
    let params = [SCALING, ("CustomSuffix", "mine")];
    let answer = bench.consumer.iam(LINK, &params).await.ok();
    let arn = answer.text("Arn").expect("an ARN");
    let grant = json!({"KeyId": SOURCE_KEY, "GranteePrincipal": arn, "Operations": ["Decrypt"]});
    let policy = document(&[permit_owner(CONSUMER), permit(&arn, "kms:Decrypt")]);
    let put = json!({"KeyId": TARGET_KEY, "Policy": policy.to_string()});
    let early = bench.producer.kms("CreateGrant", grant.clone()).await;
    assert_eq!(early.refusal.as_deref(), Some("GRANTEE_INVALID"));
    let early = bench.consumer.kms("PutKeyPolicy", put.clone()).await;
    assert_eq!(early.refusal.as_deref(), Some("POLICY_UNKNOWN_PRINCIPAL"));
    // The role exists at once, and KMS knows declared roles from the start.
    let role = [("RoleName", "AWSServiceRoleForAutoScaling_mine")];
    bench.consumer.iam("GetRole", &role).await.ok();
    bench
        .producer
        .kms("CreateGrant", crate::refused_keys::grant())
        .await
        .ok();
    tokio::time::sleep(Duration::from_secs(30)).await;
    bench.producer.kms("CreateGrant", grant).await.ok();
    bench.consumer.kms("PutKeyPolicy", put).await.ok();
}
