//! Roles that calls create, with their inline policies.

use std::time::Duration;

use serde_json::json;

use crate::client::{Answer, Params};
use crate::policies::{allow, document, permit_owner};
use crate::worlds::{Bench, CONSUMER, FERRY, SOURCE_KEY, world};

const NOBODY: &str = "arn:aws:iam::222222222222:user/nobody";
const ARN: &str = "arn:aws:iam::222222222222:role/New";
const NAME: (&str, &str) = ("RoleName", "New");

fn trust(principal: &str) -> String {
    let statement = json!({"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"AWS": principal}});
    document(&[statement]).to_string()
}

async fn create(bench: &Bench, more: Params<'_>) -> Answer {
    let trust = trust(FERRY);
    let mut params = vec![NAME, ("AssumeRolePolicyDocument", trust.as_str())];
    params.extend_from_slice(more);
    bench.consumer.iam("CreateRole", &params).await
}

async fn put(bench: &Bench, name: &str, action: &str) {
    let policy = document(&[allow(action, "*")]).to_string();
    let params = [NAME, ("PolicyName", name), ("PolicyDocument", &policy)];
    bench.consumer.iam("PutRolePolicy", &params).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_new_role_is_assumed_at_once_and_reads_back() {
    let bench = Bench::new();
    let more = [
        ("Description", "for tests"),
        ("MaxSessionDuration", "7200"),
        ("Tags.member.1.Key", "run"),
        ("Tags.member.1.Value", "one"),
    ];
    let answer = create(&bench, &more).await.ok();
    assert_eq!(answer.text("Arn").as_deref(), Some(ARN));
    let read = bench.consumer.iam("GetRole", &[NAME]).await.ok();
    assert_eq!(read.text("Description").as_deref(), Some("for tests"));
    assert_eq!(read.text("MaxSessionDuration").as_deref(), Some("7200"));
    assert_eq!(read.text("Key").as_deref(), Some("run"));
    let role = bench.ferry.assume(ARN, &[]).await;
    assert_eq!(role.ec2("DescribeRegions", &[]).await.status, 403);
    put(&bench, "reads", "ec2:DescribeRegions").await;
    role.ec2("DescribeRegions", &[]).await.ok();
    put(&bench, "reads", "ec2:DescribeImages").await;
    assert_eq!(role.ec2("DescribeRegions", &[]).await.status, 403);
    role.ec2("DescribeImages", &[]).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_role_is_deleted_once_it_has_no_policies() {
    let bench = Bench::new();
    create(&bench, &[]).await.ok();
    put(&bench, "reads", "ec2:Describe*").await;
    let role = bench.ferry.assume(ARN, &[]).await;
    let answer = bench.consumer.iam("DeleteRole", &[NAME]).await;
    assert_eq!(answer.refusal.as_deref(), Some("IAM_DELETE_CONFLICT"));
    let policy = [NAME, ("PolicyName", "reads")];
    bench.consumer.iam("DeleteRolePolicy", &policy).await.ok();
    let answer = bench.consumer.iam("DeleteRolePolicy", &policy).await;
    assert_eq!(answer.refusal.as_deref(), Some("IAM_NO_SUCH_POLICY"));
    bench.consumer.iam("DeleteRole", &[NAME]).await.ok();
    let answer = bench.consumer.iam("GetRole", &[NAME]).await;
    assert_eq!(answer.refusal.as_deref(), Some("IAM_NO_SUCH_ROLE"));
    let answer = role.ec2("DescribeRegions", &[]).await;
    assert_eq!(answer.code.as_deref(), Some("AuthFailure"));
}

#[tokio::test(start_paused = true)]
async fn the_policies_of_a_declared_role_have_names() {
    let bench = Bench::new();
    let copier = ("RoleName", "Copier");
    let policy = [copier, ("PolicyName", "policy-1")];
    bench.consumer.iam("DeleteRolePolicy", &policy).await.ok();
    bench.consumer.iam("DeleteRole", &[copier]).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_new_role_is_a_principal_after_a_delay() {
    let bench = Bench::of(world().principal_delay(Duration::from_secs(10)));
    create(&bench, &[]).await.ok();
    let grant = json!({"KeyId": SOURCE_KEY, "GranteePrincipal": ARN, "Operations": ["Decrypt"]});
    let early = bench.producer.kms("CreateGrant", grant.clone()).await;
    assert_eq!(early.refusal.as_deref(), Some("GRANTEE_INVALID"));
    let trust = trust(ARN);
    let params = [("RoleName", "Other"), ("AssumeRolePolicyDocument", &trust)];
    let early = bench.consumer.iam("CreateRole", &params).await;
    assert_eq!(early.refusal.as_deref(), Some("IAM_POLICY_PRINCIPAL"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    bench.producer.kms("CreateGrant", grant).await.ok();
    bench.consumer.iam("CreateRole", &params).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_copy_breaks_with_the_policies_of_its_role() {
    let bench = Bench::new();
    create(&bench, &[]).await.ok();
    put(&bench, "all", "*").await;
    let role = bench.ferry.assume(ARN, &[]).await;
    let params = [
        ("SourceRegion", "us-west-2"),
        ("SourceSnapshotId", crate::worlds::ROOT),
        ("Encrypted", "true"),
        ("KmsKeyId", "target"),
    ];
    let answer = role.ec2("CopySnapshot", &params).await.ok();
    let id = answer.text("snapshotId").expect("a snapshot");
    tokio::time::sleep(Duration::from_secs(10)).await;
    put(&bench, "all", "ec2:*").await;
    let end = bench.end_of(&id).await;
    assert_eq!(end.1, "Given key ID is not accessible");
}

#[tokio::test(start_paused = true)]
async fn roles_are_listed_page_by_page() {
    let bench = Bench::new();
    create(&bench, &[]).await.ok();
    let most = ("MaxItems", "3");
    let first = bench.consumer.iam("ListRoles", &[most]).await.ok();
    let linked = ["AWSServiceRoleForAutoScaling", "AWSServiceRoleForEC2Spot"];
    let names = first.texts("RoleName");
    assert!(names.len() == 3 && names[0] == "Copier" && names[1] == "New");
    assert_eq!(first.text("IsTruncated").as_deref(), Some("true"));
    let marker = first.text("Marker").expect("a marker");
    let params = [most, ("Marker", marker.as_str())];
    let rest = bench.consumer.iam("ListRoles", &params).await.ok();
    assert_eq!([&names[2], &rest.texts("RoleName")[0]], linked);
    assert_eq!(rest.text("IsTruncated").as_deref(), Some("false"));
    for bad in [("MaxItems", "0"), ("Marker", "elsewhere")] {
        let answer = bench.consumer.iam("ListRoles", &[bad]).await;
        assert_eq!(answer.refusal.as_deref(), Some("IAM_VALIDATION"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_iam_would_not_create_is_refused() {
    let bench = Bench::new();
    for (name, value, refusal) in [
        ("MaxSessionDuration", "3599", "IAM_VALIDATION"),
        ("Tags.member.1.Key", "aws:a", "IAM_VALIDATION"),
        ("Tags.member.1.Value", "no key", "IAM_VALIDATION"),
        ("Path", "/x/", "NOT_IMPLEMENTED"),
        ("PermissionsBoundary", "arn", "NOT_IMPLEMENTED"),
    ] {
        let answer = create(&bench, &[(name, value)]).await;
        assert_eq!(answer.refusal.as_deref(), Some(refusal), "{name} {value}");
    }
    let long = "x".repeat(1001);
    let answer = create(&bench, &[("Description", &long)]).await;
    assert_eq!(answer.refusal.as_deref(), Some("IAM_VALIDATION"));
    create(&bench, &[]).await.ok();
    let policy = [NAME, ("PolicyName", "bad"), ("PolicyDocument", "{}")];
    let answer = bench.consumer.iam("PutRolePolicy", &policy).await;
    assert_eq!(answer.refusal.as_deref(), Some("IAM_POLICY_MALFORMED"));
}

#[tokio::test(start_paused = true)]
async fn roles_need_permissions_on_their_arn() {
    let bench = Bench::new();
    let trust = trust(CONSUMER);
    let policy = document(&[permit_owner(CONSUMER)]).to_string();
    let plain = [NAME, ("AssumeRolePolicyDocument", trust.as_str())];
    let other = [
        ("RoleName", "Other"),
        ("AssumeRolePolicyDocument", trust.as_str()),
    ];
    let tagged = [
        NAME,
        ("AssumeRolePolicyDocument", trust.as_str()),
        ("Tags.member.1.Key", "run"),
    ];
    let inline = [NAME, ("PolicyName", "x"), ("PolicyDocument", &policy)];
    for (action, operation, params, status) in [
        ("iam:GetRole", "CreateRole", &plain[..], 403),
        ("iam:CreateRole", "CreateRole", &other, 403),
        ("iam:CreateRole", "CreateRole", &tagged, 403),
        ("iam:CreateRole", "CreateRole", &plain, 200),
        ("iam:CreateRole", "PutRolePolicy", &inline, 403),
        ("iam:CreateRole", "DeleteRolePolicy", &inline[..2], 403),
        ("iam:CreateRole", "ListRoles", &[], 403),
        ("iam:CreateRole", "DeleteRole", &[NAME], 403),
        ("iam:DeleteRole", "DeleteRole", &[NAME], 200),
        ("iam:*Role", "CreateRole", &tagged, 200),
    ] {
        let policy = document(&[allow(action, ARN)]).to_string();
        bench.set_policies(NOBODY, &[&policy]);
        let answer = bench.nobody.iam(operation, params).await;
        assert_eq!(answer.status, status, "{action} {operation}: {answer:?}");
    }
}
