//! Provoking the refusals of IAM.

use crate::client::Answer;
use crate::worlds::{Bench, COPIER};

const SIMULATE: &str = "SimulatePrincipalPolicy";
const TRUST: &str = r#"{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
    "Principal": {"AWS": "arn:aws:iam::222222222222:role/Copier"}}}"#;
const ACTION: (&str, &str) = ("ActionNames.member.1", "ec2:CopySnapshot");

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let consumer = &bench.consumer;
    let link = async |service: &str, suffix: &str| {
        let mut params = vec![("AWSServiceName", service)];
        if !suffix.is_empty() {
            params.push(("CustomSuffix", suffix));
        }
        consumer.iam("CreateServiceLinkedRole", &params).await
    };
    let simulate = async |source: &str, more: (&str, &str)| {
        let params = [("PolicySourceArn", source), ACTION, more];
        consumer.iam(SIMULATE, &params).await
    };
    let create = async |name: &str, trust: &str| {
        let params = [("RoleName", name), ("AssumeRolePolicyDocument", trust)];
        consumer.iam("CreateRole", &params).await
    };
    let plain = ("ResourceArns.member.1", "*");
    Some(match name {
        "IAM_ACCESS_DENIED" => {
            let params = [("RoleName", "Copier")];
            bench.nobody.iam("GetRole", &params).await
        }
        "IAM_VALIDATION" => consumer.iam("GetRole", &[("RoleName", "a b")]).await,
        "IAM_NO_SUCH_ROLE" => consumer.iam("GetRole", &[("RoleName", "Nobody")]).await,
        "IAM_NO_SUCH_POLICY" => {
            let params = [("RoleName", "Copier"), ("PolicyName", "none")];
            consumer.iam("DeleteRolePolicy", &params).await
        }
        "IAM_ROLE_EXISTS" => create("copier", TRUST).await,
        "IAM_POLICY_MALFORMED" => create("New", "{}").await,
        "IAM_POLICY_PRINCIPAL" => create("New", &TRUST.replace("Copier", "Nobody")).await,
        "IAM_DELETE_CONFLICT" => consumer.iam("DeleteRole", &[("RoleName", "Copier")]).await,
        "IAM_PROTECTED_ROLE" => {
            let params = [("RoleName", "AWSServiceRoleForEC2Spot")];
            consumer.iam("DeleteRole", &params).await
        }
        "IAM_NO_SUCH_SOURCE" => simulate("arn:aws:iam::222222222222:role/Nobody", plain).await,
        "IAM_POLICY_SOURCE" => simulate("arn:aws:iam::222222222222:root", plain).await,
        "IAM_CALLER_ARN" => {
            let session = "arn:aws:sts::222222222222:assumed-role/Copier/test";
            simulate(COPIER, ("CallerArn", session)).await
        }
        "IAM_RESOURCE_POLICY" => simulate(COPIER, ("ResourcePolicy", "{}")).await,
        "ROLE_NAME_TAKEN" => link("autoscaling.amazonaws.com", "").await,
        "ROLE_NO_SUFFIX" => link("batch.amazonaws.com", "mine").await,
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn an_iam_call_that_is_not_modelled_is_refused() {
    let bench = Bench::new();
    for (action, params) in [
        ("ListRolePolicies", vec![]),
        ("ListRoles", vec![("PathPrefix", "/")]),
        ("GetRole", vec![("RoleName", "Copier"), ("Colour", "red")]),
        (
            "CreateServiceLinkedRole",
            vec![("AWSServiceName", "es.amazonaws.com")],
        ),
        (
            SIMULATE,
            vec![("PolicySourceArn", COPIER), ACTION, ("MaxItems", "5")],
        ),
    ] {
        let answer = bench.consumer.iam(action, &params).await;
        assert_eq!(
            answer.refusal.as_deref(),
            Some("NOT_IMPLEMENTED"),
            "{answer:?}"
        );
    }
    for params in [
        vec![("PolicySourceArn", COPIER)],
        vec![ACTION],
        vec![
            ("PolicySourceArn", COPIER),
            ("ActionNames.member.1", "ec2:Copy*"),
        ],
    ] {
        let answer = bench.consumer.iam(SIMULATE, &params).await;
        assert_eq!(
            answer.code.as_deref(),
            Some("ValidationError"),
            "{params:?}"
        );
    }
}
