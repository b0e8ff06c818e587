//! Targets named by where they stand in AWS Organizations.

use std::collections::BTreeSet;

use amiferry_sandbox::{LaunchPermission, Organization, Sandbox, World};
use serde_json::{Value, json};

use crate::support::*;

const TEAM: &str = "ou-ab12-11111111";
const INNER: &str = "ou-ab12-22222222";
const EMPTY: &str = "ou-ab12-33333333";

/// Returns a world whose source is the management account. Two accounts are in the team's unit, one
/// of them in a unit inside, one is suspended, and one outside.
fn organized() -> World {
    let organization = Organization::new(ORG, SOURCE, "r-ab12")
        .unit(TEAM, "team", "r-ab12")
        .unit(INNER, "inner", TEAM)
        .unit(EMPTY, "empty", "r-ab12");
    World::new()
        .copy_mib_per_second(4096.0)
        .organization(organization)
        .account(producer().parent("r-ab12"))
        .account(consumer("222222222222", &[HOME, "us-east-1"]).parent(TEAM))
        .account(consumer("333333333333", &[HOME, "us-east-1"]).parent(INNER))
        .account(
            consumer("444444444444", &[HOME])
                .parent(INNER)
                .state("SUSPENDED"),
        )
        .account(consumer("555555555555", &[HOME]).parent("r-ab12"))
}

fn ask(more: &Value) -> Value {
    let mut request = json!({"SourceImageId": AMI});
    for (key, value) in more.as_object().expect("an object") {
        request[key] = value.clone();
    }
    json!({ "Distribute": request })
}

fn served(reply: &Value) -> BTreeSet<String> {
    let targets = reply["Result"]["Targets"].as_array().expect("Targets");
    let name = |t: &Value| {
        assert_eq!(t["Status"], "Succeeded", "{t}");
        format!(
            "{}/{}",
            t["AccountId"].as_str().unwrap(),
            t["Region"].as_str().unwrap()
        )
    };
    targets.iter().map(name).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_unit_stands_for_its_active_accounts_at_every_depth() {
    let sandbox = Sandbox::new(organized());
    let event = ask(
        &json!({"OrganizationalUnitIds": TEAM, "TargetKmsKeyIds": "alias/amis",
            "TargetRegions": "us-west-2,us-east-1"}),
    );
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let places = [
        ("222222222222", HOME),
        ("222222222222", "us-east-1"),
        ("333333333333", HOME),
        ("333333333333", "us-east-1"),
    ];
    assert_eq!(
        served(&reply),
        places.iter().map(|(a, r)| format!("{a}/{r}")).collect()
    );
    assert_whole(&sandbox, &places);
    assert_closed(&sandbox);
}

/// The next run serves the new account, and copies nothing for the others.
#[tokio::test(start_paused = true)]
async fn an_account_that_joins_is_served_by_the_next_run() {
    let sandbox = Sandbox::new(organized());
    let event = ask(&json!({"OrganizationalUnitIds": [TEAM], "TargetKmsKeyIds": ["alias/amis"]}));
    to_the_end(&sandbox, &event).await;
    let copied = calls(&sandbox, "CopySnapshot");
    sandbox.edit(|aws| assert!(aws.set_account_state("444444444444", "ACTIVE")));
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(
        served(&reply),
        set(&[
            "222222222222/us-west-2",
            "333333333333/us-west-2",
            "444444444444/us-west-2"
        ])
    );
    assert_eq!(
        calls(&sandbox, "CopySnapshot"),
        copied + 2,
        "two snapshots for the new one"
    );
    assert_whole(&sandbox, &[("444444444444", HOME)]);
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn an_organization_stands_for_all_accounts_but_the_source() {
    let sandbox = Sandbox::new(organized());
    let event = ask(&json!({"OrganizationId": ORG, "TargetKmsKeyIds": "alias/amis"}));
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(
        served(&reply),
        set(&[
            "222222222222/us-west-2",
            "333333333333/us-west-2",
            "555555555555/us-west-2"
        ])
    );
}

/// The launch permission names the organization, the grants name its accounts, and nothing is
/// public.
#[tokio::test(start_paused = true)]
async fn an_image_is_shared_with_the_organization_and_a_unit_until_closed() {
    let sandbox = Sandbox::new(organized());
    let arn = "arn:aws:organizations::111111111111";
    for (whom, permission, grants) in [
        (
            json!({"OrganizationId": ORG}),
            LaunchPermission::Organization(format!("{arn}:organization/{ORG}")),
            3,
        ),
        (
            json!({"OrganizationalUnitIds": TEAM}),
            LaunchPermission::OrganizationalUnit(format!("{arn}:ou/{ORG}/{TEAM}")),
            2,
        ),
        // The root stands for the whole organization.
        (
            json!({"OrganizationalUnitIds": "r-ab12"}),
            LaunchPermission::Organization(format!("{arn}:organization/{ORG}")),
            3,
        ),
    ] {
        let mut wish = whom.clone();
        wish["Mode"] = json!("Share");
        let reply = to_the_end(&sandbox, &ask(&wish)).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_eq!(reply["Result"]["Audience"]["Status"], "Succeeded");
        let image = sandbox.edit(|aws| aws.image(AMI)).expect("the image");
        assert!(!image.public);
        assert_eq!(
            image.launch_permissions.into_iter().collect::<Vec<_>>(),
            [permission]
        );
        assert_eq!(sandbox.grants(SOURCE_KEY).len(), grants);
        wish["Unshare"] = json!(true);
        let reply = to_the_end(&sandbox, &ask(&wish)).await;
        assert_eq!(reply["Result"]["Audience"]["Status"], "Unshared", "{reply}");
        assert_closed(&sandbox);
    }
}

/// A plain member may not list the accounts, and a share without grants needs no list.
#[tokio::test(start_paused = true)]
async fn a_share_with_an_organization_without_grants_lists_no_accounts() {
    let sandbox = Sandbox::new(organized());
    let reply = to_the_end(
        &sandbox,
        &ask(&json!({"OrganizationId": ORG, "Mode": "Share", "KeyAccess": "None"})),
    )
    .await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(reply["Result"]["Targets"], json!([]));
    assert_eq!(calls(&sandbox, "ListAccounts"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_organization_or_unit_is_refused_with_the_reason() {
    let elsewhere = Organization::new(ORG, "555555555555", "r-ab12");
    let member = World::new()
        .organization(elsewhere)
        .account(producer().parent("r-ab12"))
        .account(consumer("555555555555", &[HOME]).parent("r-ab12"));
    let alone = world(&TWO);
    let share = json!({"OrganizationId": ORG, "Mode": "Share"});
    for (world, wish, kind, said) in [
        (
            organized(),
            json!({"OrganizationId": "o-zzzzzzzzzz"}),
            "InvalidRequest",
            "AMIFERRY_ALLOWED_ORGANIZATION: is o-abcdefghij, but OrganizationId names o-zzzzzzzzzz",
        ),
        (
            organized(),
            json!({"OrganizationalUnitIds": "ou-ab12-99999999"}),
            "InvalidRequest",
            "OrganizationalUnitIds: names a unit that is not in",
        ),
        (
            organized(),
            json!({"OrganizationalUnitIds": EMPTY}),
            "InvalidRequest",
            "holds no active account",
        ),
        (
            alone,
            share.clone(),
            "InvalidRequest",
            "the source account is in no organization",
        ),
        (member, share, "AccessDenied", "delegated administrator"),
    ] {
        let sandbox = Sandbox::new(world);
        let error = call(&sandbox, &ask(&wish)).await.expect_err("refused");
        assert_eq!(error.error_type(), kind, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert_closed(&sandbox);
    }
    let unbounded = amiferry::setup::Settings {
        allowed_accounts: None,
        allowed_organization: None,
        ..settings()
    };
    let sandbox = Sandbox::new(organized());
    let function = function_with(&sandbox, unbounded).await;
    let event = ask(&json!({"OrganizationId": "o-zzzzzzzzzz"})).to_string();
    let refused = function.handle(&event, &invocation(&sandbox)).await;
    let error = refused.expect_err("of another organization");
    assert!(
        error.to_string().contains("belongs to o-abcdefghij"),
        "{error}"
    );
}

/// The management account is a target only where it has the copy role: service-managed StackSets
/// deploy nothing to it.
#[tokio::test(start_paused = true)]
async fn the_management_account_is_a_target_only_with_the_copy_role() {
    const MANAGEMENT: &str = "999999999999";
    for has_role in [false, true] {
        let organization = Organization::new(ORG, MANAGEMENT, "r-ab12")
            .unit(TEAM, "team", "r-ab12")
            .delegated_administrator(SOURCE);
        let mut management = consumer(MANAGEMENT, &[HOME]).parent("r-ab12");
        if !has_role {
            management.roles.clear();
        }
        let world = World::new()
            .copy_mib_per_second(4096.0)
            .organization(organization)
            .account(producer().parent("r-ab12"))
            .account(management)
            .account(consumer("222222222222", &[HOME]).parent(TEAM));
        let sandbox = Sandbox::new(world);
        let wish = json!({"OrganizationId": ORG, "TargetKmsKeyIds": "alias/amis"});
        let reply = to_the_end(&sandbox, &ask(&wish)).await;
        let others = ["222222222222/us-west-2"];
        let all = ["222222222222/us-west-2", "999999999999/us-west-2"];
        let expected = if has_role { set(&all) } else { set(&others) };
        assert_eq!(served(&reply), expected);
        assert_closed(&sandbox);
        if !has_role {
            // A request that names the management account gets the reason for its failure.
            let named = json!({"OrganizationId": ORG, "TargetKmsKeyIds": "alias/amis",
                "Targets": [{"AccountId": MANAGEMENT, "KmsKeyId": "alias/amis"}]});
            let reply = to_the_end(&sandbox, &ask(&named)).await;
            let result = target(&reply, (MANAGEMENT, HOME));
            assert_eq!(result["Cause"], "RoleNotAssumable", "{result}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn excluded_accounts_are_no_targets() {
    let sandbox = Sandbox::new(organized());
    let event = ask(
        &json!({"OrganizationalUnitIds": TEAM, "TargetKmsKeyIds": "alias/amis",
            "ExcludeAccountIds": ["333333333333"]}),
    );
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(served(&reply), set(&["222222222222/us-west-2"]));
    assert!(sandbox.images("333333333333", HOME).is_empty());
}
