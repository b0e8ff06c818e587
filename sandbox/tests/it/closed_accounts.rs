//! Suspended and closed accounts: nobody can act in them or assume their roles.

use serde_json::json;

use crate::worlds::{Bench, CONSUMER, COPIER, world};

#[tokio::test(start_paused = true)]
async fn a_suspended_accounts_roles_and_sessions_are_refused() {
    let bench = Bench::new();
    let with_id = [("ExternalId", "shared-secret")];
    let session = bench.ferry.assume(COPIER, &with_id).await;
    session.ec2("DescribeRegions", &[]).await.ok();
    assert!(bench.sandbox.edit(|aws| aws.suspend_account(CONSUMER)));
    let answer = session.ec2("DescribeRegions", &[]).await;
    assert_eq!(answer.code.as_deref(), Some("Blocked"));
    for operation in ["DescribeOrganization", "ListRoots"] {
        let answer = bench.consumer.organizations(operation, json!({})).await;
        assert_eq!(answer.refusal.as_deref(), Some("KMS_ACCOUNT_SUSPENDED"));
    }
    let params = [("RoleArn", COPIER), ("RoleSessionName", "test"), with_id[0]];
    let answer = bench.ferry.sts("AssumeRole", &params).await;
    assert_eq!(answer.refusal.as_deref(), Some("STS_ACCESS_DENIED"));
    let back = |aws: &mut amiferry_sandbox::Aws| aws.set_account_state(CONSUMER, "ACTIVE");
    assert!(bench.sandbox.edit(back));
    session.ec2("DescribeRegions", &[]).await.ok();
    assert!(
        !bench
            .sandbox
            .edit(|aws| aws.suspend_account("333333333333"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_account_in_any_closing_state_is_refused() {
    for (state, acts) in [
        ("ACTIVE", true),
        ("SUSPENDED", false),
        ("PENDING_CLOSURE", false),
        ("CLOSED", false),
    ] {
        let mut world = world();
        world.accounts[1] = world.accounts[1].clone().state(state);
        let bench = Bench::of(world);
        let answer = bench.consumer.sts("GetCallerIdentity", &[]).await;
        assert_eq!(answer.status == 200, acts, "{state}: {answer:?}");
        // The management account still sees it.
        let body = json!({"AccountId": CONSUMER});
        let seen = bench
            .management
            .organizations("DescribeAccount", body)
            .await;
        assert_eq!(seen.ok().json()["Account"]["State"], state);
    }
}
