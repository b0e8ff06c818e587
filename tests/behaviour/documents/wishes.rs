//! The requests whose policies are tried, and worlds that have these policies and no others.

use amiferry_sandbox::{Account, Key, LaunchTemplate, Organization, Role, Sandbox, World};
use serde_json::{Value, json};

use super::{ACCOUNT, FIRST, SECOND, SPOT};
use crate::launch_grants::SCALING;
use crate::staging::regions::with_staging;
use crate::staging::{SHARED_KEY, under_aws_ebs};
use crate::support::*;

const ORGANIZATION: &str = "o-abcdefghij";
const ROOT_UNIT: &str = "r-ab12";
const UNIT: &str = "ou-ab12-11111111";

pub fn organization() -> Organization {
    Organization::new(ORGANIZATION, SOURCE, ROOT_UNIT).unit(UNIT, "team", ROOT_UNIT)
}

/// Returns a request with the words that all plays share.
pub fn wish(more: &Value) -> Value {
    let mut wish = json!({"SourceImageId": AMI, "ExternalId": "a-secret-between-us"});
    for (key, value) in more.as_object().expect("words") {
        wish[key] = value.clone();
    }
    if !more["OrganizationId"].is_null() || !more["OrganizationalUnitIds"].is_null() {
        // The organization has no accounts but those of the world.
    } else if more["Mode"] == "Share" {
        wish["TargetAccountIds"] = json!([ACCOUNT]);
    } else {
        wish["Targets"] = request(&[FIRST, SECOND])["Targets"].clone();
    }
    wish
}

/// Returns the source account, with a snapshot under `aws/ebs` if the request stages it under
/// another key.
pub fn source_of(wish: &Value) -> Account {
    let mut source = if !wish["StagingKmsKeyIds"].is_null() {
        with_staging(producer())
    } else if wish["ReencryptKmsKeyId"].is_null() {
        producer()
    } else {
        under_aws_ebs(1)
    };
    // A launch test needs an image that current instance types take.
    source.images[0].ena_support = !wish["Publish"].is_null();
    source
}

/// Returns the requests whose policies are tried.
pub fn wishes() -> [(&'static str, Value); 16] {
    let roles = json!(["autoscaling.amazonaws.com", "spot.amazonaws.com"]);
    [
        (
            "Copy, Grant, roles",
            json!({"Mode": "Copy", "ServiceLinkedRoles": roles, "CreateServiceLinkedRoles": true}),
        ),
        (
            "Copy, Grant, publish",
            json!({"Mode": "Copy", "Publish": publish()}),
        ),
        (
            "Copy, Grant, test by a group",
            json!({"Mode": "Copy", "ServiceLinkedRoles": ["autoscaling.amazonaws.com"],
                "CreateServiceLinkedRoles": true,
                "Publish": {"LaunchTest": {"AutoScaling": true}}}),
        ),
        (
            "Copy, Grant, image",
            json!({"Mode": "Copy", "Strategy": "Image"}),
        ),
        ("Copy, None", json!({"Mode": "Copy", "KeyAccess": "None"})),
        (
            "Copy, Grant, aws/ebs",
            json!({"Mode": "Copy", "ReencryptKmsKeyId": SHARED_KEY}),
        ),
        (
            "Copy, Grant, staged elsewhere",
            json!({"Mode": "Copy", "StagingKmsKeyIds": {SECOND.1: SHARED_KEY}}),
        ),
        (
            "Copy, Policy",
            json!({"Mode": "Copy", "KeyAccess": "Policy"}),
        ),
        (
            "Share, Policy",
            json!({"Mode": "Share", "KeyAccess": "Policy"}),
        ),
        (
            "Share, None, organization",
            json!({"Mode": "Share", "KeyAccess": "None", "OrganizationId": ORGANIZATION}),
        ),
        (
            "Share, None, unit",
            json!({"Mode": "Share", "KeyAccess": "None", "OrganizationalUnitIds": UNIT}),
        ),
        (
            "Copy, Grant, unit",
            json!({"Mode": "Copy", "OrganizationalUnitIds": UNIT,
                "TargetRegions": [FIRST.1, SECOND.1], "TargetKmsKeyIds": "alias/amis"}),
        ),
        (
            "Share, None, unit, roles",
            json!({"Mode": "Share", "KeyAccess": "None", "OrganizationalUnitIds": UNIT,
                "ServiceLinkedRoles": roles}),
        ),
        (
            "Share, Grant, roles",
            json!({"Mode": "Share", "ServiceLinkedRoles": roles, "CreateServiceLinkedRoles": true}),
        ),
        (
            "Share, None, snapshots",
            json!({"Mode": "Share", "KeyAccess": "None", "ShareSnapshots": true}),
        ),
        (
            "Share, None, roles",
            json!({"Mode": "Share", "KeyAccess": "None", "ServiceLinkedRoles": roles}),
        ),
    ]
}

/// Returns every wish for a verified image.
fn publish() -> Value {
    json!({
        "Parameter": "/golden/web",
        "LaunchTemplateName": "web",
        "SetDefaultVersion": true,
        "DeprecateAfterDays": 30,
        "DeregistrationProtection": true,
        "LaunchPermissions": {"AccountIds": ["333333333333"]},
        "FastSnapshotRestore": ["usw2-az1", "use1-az1"],
        "LaunchTest": {"InstanceProfileName": "launch-test"},
    })
}

/// Adds what the request publishes to.
fn with_templates(mut target: Account, wish: &Value) -> Account {
    if wish["Publish"].is_null() {
        return target;
    }
    for (place, id) in [FIRST, SECOND]
        .iter()
        .zip(["lt-0a1b2c3d4e5f60718", "lt-0a1b2c3d4e5f60719"])
    {
        let template = LaunchTemplate::new(place.1, id, "web");
        target = target.launch_template(template.image("ami-0a1b2c3d4e5f60720"));
    }
    target = target.role(Role::new("launch-test"));
    target
}

/// Returns the function's answer in a world whose roles may do more.
pub async fn answer(wish: &Value) -> Value {
    let mut world = world_with(source_of(wish), &[FIRST, SECOND]).organization(organization());
    world.accounts[0].parent = Some(ROOT_UNIT.to_owned());
    world.accounts[1].parent = Some(UNIT.to_owned());
    let sandbox = Sandbox::new(world);
    let before = sandbox.ledger().len();
    let reply = call(&sandbox, &json!({"Policies": wish}))
        .await
        .expect("a reply");
    let changing = sandbox.ledger().split_off(before);
    let changing = changing.iter().find(|call| {
        !["Describe", "List", "GetCallerIdentity"]
            .iter()
            .any(|reading| call.operation.starts_with(reading))
    });
    assert_eq!(changing.map(|call| call.operation.clone()), None);
    reply
}

/// Returns a world with these policies and no others.
pub fn world_of(policies: &[Value], wish: &Value) -> World {
    let of = |purpose: &str, region: Option<&str>| -> Option<String> {
        let mut all = policies.iter();
        let found =
            all.find(|p| p["For"] == purpose && region.is_none_or(|region| p["Region"] == region));
        found.map(|p| p["Document"].to_string())
    };
    let mut source = source_of(wish);
    source.roles[0].policies = of("function role", None).into_iter().collect();
    for key in &mut source.keys {
        key.policy = of("source key", Some(&key.region));
    }
    let mut target = Account::new(ACCOUNT)
        .access_key(
            "AKIAADMIN222222222222",
            "admin-secret",
            "arn:aws:iam::222222222222:role/Admin",
        )
        .role(Role::admin("Admin"))
        .role(Role::service_linked(SCALING.0, SCALING.1));
    if let (Some(trust), Some(policy)) = (of("trust of the copy role", None), of("copy role", None))
    {
        let role = Role::new("AmiCopyRole").trust_policy(trust).policy(policy);
        target = target.role(role);
    }
    for place in [FIRST, SECOND] {
        if let Some(policy) = of("target key", Some(place.1)) {
            let arn = key_arn(place);
            let id = arn.rsplit('/').next().expect("an ID");
            let key = Key::new(place.1, id).alias("alias/amis").policy(policy);
            target = target.key(key);
        }
    }
    let target = with_templates(target, wish);
    World::new()
        .copy_mib_per_second(250.0)
        .organization(organization())
        .account(source.parent(ROOT_UNIT))
        .account(target.parent(UNIT))
}

/// Returns the world for one play.
pub fn sandbox_of(policies: &[Value], wish: &Value) -> Sandbox {
    let mut world = world_of(policies, wish);
    if wish["CreateServiceLinkedRoles"] != true {
        let spot = Role::service_linked("spot.amazonaws.com", SPOT);
        let last = world.accounts.last_mut().expect("the target");
        last.roles.push(spot);
    }
    Sandbox::new(world)
}
