//! STS: sessions and their permissions.

use std::time::Duration;

use crate::policies::{allow, document};
use crate::worlds::{Bench, CONSUMER, COPIER, PRODUCER, WEST};

#[tokio::test(start_paused = true)]
async fn an_assumed_role_acts_in_the_other_account_for_an_hour() {
    let bench = Bench::new();
    let copier = bench
        .ferry
        .assume(COPIER, &[("ExternalId", "shared-secret")])
        .await;
    let who = copier.sts("GetCallerIdentity", &[]).await.ok();
    assert_eq!(who.text("Account").as_deref(), Some(CONSUMER));
    assert_eq!(
        who.text("Arn").as_deref(),
        Some("arn:aws:sts::222222222222:assumed-role/Copier/test")
    );
    tokio::time::sleep(Duration::from_mins(59)).await;
    copier.ec2("DescribeRegions", &[]).await.ok();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(
        copier.ec2("DescribeRegions", &[]).await.refusal.as_deref(),
        Some("EC2_REQUEST_EXPIRED")
    );
}

#[tokio::test(start_paused = true)]
async fn assuming_a_role_needs_its_trust_and_the_callers_own_policy() {
    let bench = Bench::new();
    let assume = [
        ("RoleArn", COPIER),
        ("RoleSessionName", "test"),
        ("ExternalId", "shared-secret"),
    ];
    let by = |client: crate::client::Client| async move { client.sts("AssumeRole", &assume).await };
    assert_eq!(
        by(bench.producer.clone()).await.status,
        403,
        "not named by the trust policy"
    );
    assert_eq!(
        by(bench.consumer.clone()).await.status,
        403,
        "own account, not named either"
    );
    by(bench.ferry.clone()).await.ok();
    bench.set_policies(crate::worlds::FERRY, &[]);
    let denied = by(bench.ferry.clone()).await;
    assert!(
        denied
            .body
            .contains("is not authorized to perform: sts:AssumeRole on resource"),
        "{denied:?}"
    );
    let nowhere = [
        ("RoleArn", "arn:aws:iam::999999999999:role/Nowhere"),
        ("RoleSessionName", "test"),
    ];
    assert_eq!(
        bench
            .producer
            .sts("AssumeRole", &nowhere)
            .await
            .refusal
            .as_deref(),
        Some("STS_ACCESS_DENIED")
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_policy_narrows_the_role() {
    let bench = Bench::new();
    let policy = document(&[allow("ec2:DescribeSnapshots", "*")]).to_string();
    let copier = bench
        .ferry
        .assume(
            COPIER,
            &[("ExternalId", "shared-secret"), ("Policy", &policy)],
        )
        .await;
    copier.ec2("DescribeSnapshots", &[]).await.ok();
    let denied = copier.ec2("DescribeImages", &[]).await;
    assert!(
        denied.body.contains("because no session policy allows"),
        "{denied:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_without_its_token_or_role_is_refused() {
    let bench = Bench::new();
    let copier = bench
        .ferry
        .assume(COPIER, &[("ExternalId", "shared-secret")])
        .await;
    let mut stolen = copier.clone();
    stolen.token = None;
    assert_eq!(
        stolen
            .ec2("DescribeRegions", &[])
            .await
            .text("Code")
            .as_deref(),
        Some("AuthFailure")
    );
    assert!(bench.sandbox.edit(|aws| aws.drop_principal(COPIER)));
    assert_eq!(
        copier
            .ec2("DescribeRegions", &[])
            .await
            .text("Code")
            .as_deref(),
        Some("AuthFailure")
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_changed_byte_is_refused() {
    let bench = Bench::new();
    let mut request = bench
        .consumer
        .query("ec2", "DescribeRegions", "2016-11-15", &[]);
    *request.body_mut() = "Action=DescribeRegions&Version=2016-11-15&AllRegions=true".into();
    let answer = bench.consumer.answer(request).await;
    assert_eq!(answer.text("Code").as_deref(), Some("AuthFailure"));
    let calls = bench.sandbox.ledger();
    assert_eq!(calls[0].outcome, Some(Err("AuthFailure".to_owned())));
    assert_eq!(
        (calls[0].account.as_str(), calls[0].region.as_str()),
        (CONSUMER, WEST)
    );
    assert_ne!(calls[0].account, PRODUCER);
}
