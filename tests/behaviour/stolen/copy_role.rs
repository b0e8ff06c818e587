//! A stolen session of `AmiCopyRole`: it cannot give its account's key away, whatever the session
//! or the role lacks.

use amiferry::ids::AccountId;
use amiferry::policy::session_policies;
use amiferry::state::State;
use amiferry_sandbox::{Role, Sandbox, Snapshot};
use aws_credential_types::Credentials;
use aws_sdk_kms::error::ProvideErrorMetadata;
use aws_sdk_kms::types::GrantOperation;

use crate::launch_grants::{SCALING, SPOT, arn, launching_world, launching_world_with, somebody};
use crate::support::*;

const TARGET: Place = TWO[0];
/// Principals in another account, in the key's own, and the thief itself.
const GRANTEES: [&str; 4] = [
    "arn:aws:iam::333333333333:root",
    "arn:aws:iam::111111111111:role/amiferry",
    "arn:aws:iam::222222222222:root",
    "arn:aws:iam::222222222222:role/AmiCopyRole",
];

/// Returns KMS as a session of the target's copy role sees it.
async fn thief(sandbox: &Sandbox, session_policy: Option<String>) -> aws_sdk_kms::Client {
    aws_sdk_kms::Client::new(&session(sandbox, session_policy).await)
}

async fn session(sandbox: &Sandbox, session_policy: Option<String>) -> aws_config::SdkConfig {
    let config = config_in(HOME, sandbox.http_client(), sandbox.time_source()).await;
    let answer = aws_sdk_sts::Client::new(&config)
        .assume_role()
        .role_arn(format!("arn:aws:iam::{}:role/AmiCopyRole", TARGET.0))
        .role_session_name("thief")
        .set_policy(session_policy)
        .send()
        .await
        .expect("a session");
    let given = answer.credentials().expect("credentials");
    let credentials = Credentials::new(
        given.access_key_id(),
        given.secret_access_key(),
        Some(given.session_token().to_owned()),
        None,
        "test",
    );
    somebody(sandbox, TARGET.1, credentials)
}

/// Returns the error code of a refused grant.
async fn granted(
    kms: &aws_sdk_kms::Client,
    key: &str,
    grantee: &str,
    operation: GrantOperation,
) -> Option<String> {
    let said = kms
        .create_grant()
        .key_id(key)
        .grantee_principal(grantee)
        .operations(operation)
        .send()
        .await;
    let refused = said.err()?;
    Some(refused.code().unwrap_or("no code").to_owned())
}

const DENIED: Option<&str> = Some("AccessDeniedException");

#[tokio::test(start_paused = true)]
async fn a_stolen_session_without_a_session_policy_grants_its_key_to_nobody() {
    let sandbox = Sandbox::new(world(&TWO));
    let kms = thief(&sandbox, None).await;
    let key = key_arn(TARGET);
    kms.describe_key()
        .key_id(&key)
        .send()
        .await
        .expect("looking is allowed");
    for grantee in GRANTEES {
        let said = granted(&kms, &key, grantee, GrantOperation::Decrypt).await;
        assert_eq!(said.as_deref(), DENIED, "{grantee}");
    }
    assert!(sandbox.grants(&key).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stolen_session_for_service_linked_roles_grants_to_no_other_principal() {
    let sandbox = Sandbox::new(launching_world());
    let kms = thief(&sandbox, None).await;
    let key = key_arn(TARGET);
    for grantee in GRANTEES {
        let said = granted(&kms, &key, grantee, GrantOperation::Decrypt).await;
        assert_eq!(said.as_deref(), DENIED, "{grantee}");
    }
    let others = arn(TWO[1].0, SPOT);
    let said = granted(&kms, &key, &others, GrantOperation::Decrypt).await;
    assert_eq!(
        said.as_deref(),
        DENIED,
        "a service-linked role of another account"
    );
    let scaling = arn(TARGET.0, SCALING);
    let beyond = GrantOperation::RetireGrant;
    let said = granted(&kms, &key, &scaling, beyond).await;
    assert_eq!(said.as_deref(), DENIED);
    let launching = GrantOperation::Decrypt;
    assert_eq!(granted(&kms, &key, &scaling, launching).await, None);
}

/// The template names the services; other services have roles in the account too.
#[tokio::test(start_paused = true)]
async fn a_stolen_session_grants_to_roles_of_the_named_services_only() {
    let unnamed = ("rds.amazonaws.com", "AWSServiceRoleForRDS");
    let sandbox = Sandbox::new(launching_world_with(&[SCALING, SPOT, unnamed]));
    let kms = thief(&sandbox, None).await;
    let key = key_arn(TARGET);
    for (role, expected) in [(SCALING, None), (SPOT, None), (unnamed, DENIED)] {
        let said = granted(&kms, &key, &arn(TARGET.0, role), GrantOperation::Decrypt).await;
        assert_eq!(said.as_deref(), expected, "{role:?}");
    }
}

/// Copies of another source account, made by another function, bear that account's tag.
#[tokio::test(start_paused = true)]
async fn a_stolen_session_deletes_copies_of_its_source_account_only() {
    let copy = |id: &str| Snapshot::new(TARGET.1, id, 8).tag("amiferry:source-image", AMI);
    let mut world = world(&TWO);
    let target = &mut world.accounts[1];
    assert_eq!(target.id, TARGET.0);
    let (ours, theirs, untold) = (
        "snap-0aaaaaaaaaaaaaaa1",
        "snap-0aaaaaaaaaaaaaaa2",
        "snap-0aaaaaaaaaaaaaaa3",
    );
    target.snapshots.extend([
        copy(ours).tag("amiferry:source-account", SOURCE),
        copy(theirs).tag("amiferry:source-account", "999999999999"),
        copy(untold),
    ]);
    let sandbox = Sandbox::new(world);
    let ec2 = aws_sdk_ec2::Client::new(&session(&sandbox, None).await);
    for (id, refused) in [(theirs, true), (untold, true), (ours, false)] {
        let said = ec2.delete_snapshot().snapshot_id(id).send().await;
        let code = said.err().map(|e| e.code().unwrap_or_default().to_owned());
        let expected = refused.then_some("UnauthorizedOperation");
        assert_eq!(code.as_deref(), expected, "{id}");
    }
}

/// The role is wider than documented, and the session policy of the run limits it.
#[tokio::test(start_paused = true)]
async fn the_session_policy_of_a_run_protects_the_key_under_an_unlimited_role() {
    for (roles, linked_roles_are_granted) in
        [(vec![], false), (vec!["autoscaling.amazonaws.com"], true)]
    {
        let mut world = launching_world().copy_mib_per_second(250.0);
        for account in &mut world.accounts[1..] {
            let trust = documented("aws:PrincipalArn");
            account.roles[0] = Role::admin("AmiCopyRole").trust_policy(trust);
        }
        let sandbox = Sandbox::new(world);
        let mut event = distribute(&TWO);
        if !roles.is_empty() {
            event["Distribute"]["ServiceLinkedRoles"] = roles.into();
        }
        let reply = call(&sandbox, &event).await.expect("a reply");
        let state = State::open(&reply["State"]).expect("a state");
        let account = AccountId::parse(TARGET.0).expect("an account");
        let kms = thief(&sandbox, Some(session_policies(&state, &account).remove(0))).await;
        let key = key_arn(TARGET);
        for grantee in GRANTEES {
            let said = granted(&kms, &key, grantee, GrantOperation::Decrypt).await;
            assert_eq!(said.as_deref(), DENIED, "{grantee}");
        }
        let scaling = arn(TARGET.0, SCALING);
        let said = granted(&kms, &key, &scaling, GrantOperation::Decrypt).await;
        assert_eq!(said.is_none(), linked_roles_are_granted, "{said:?}");
    }
}
