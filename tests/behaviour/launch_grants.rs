//! Launches by Auto Scaling and Spot: each needs a grant to its service-linked role, and the proof
//! is an instance that it launches.

use std::collections::BTreeSet;
use std::time::Duration;

use amiferry_sandbox::{Account, Grant, Role, Sandbox, World};
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_kms::types::GrantOperation;
use serde_json::{Value, json};

use crate::support::*;

mod copying;
mod ended;
mod interrupted;
mod removing;
mod sharing;

pub const SCALING: (&str, &str) = ("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling");
/// A role suffix with characters that a grant's name does not take.
pub const SUFFIXED: (&str, &str) = (
    "autoscaling.amazonaws.com",
    "AWSServiceRoleForAutoScaling_blue.green",
);
pub const SPOT: (&str, &str) = ("spot.amazonaws.com", "AWSServiceRoleForEC2Spot");
pub const ALL: [&str; 3] = [
    "autoscaling.amazonaws.com",
    "autoscaling.amazonaws.com_blue.green",
    "spot.amazonaws.com",
];

pub fn arn(account: &str, (service, role): (&str, &str)) -> String {
    format!("arn:aws:iam::{account}:role/aws-service-role/{service}/{role}")
}

/// Returns a target with service-linked roles, the copy role documented for such requests, and an
/// administrator.
pub fn target_account(account: &str, regions: &[&str], roles: &[(&str, &str)]) -> Account {
    let launch = documented("LetLaunch");
    let mut copying = copy_role(account, regions);
    for region in regions {
        let policy = launch.replace("us-west-2:222222222222", &format!("{region}:{account}"));
        copying = copying.policy(policy.replace("222222222222", account));
    }
    let mut target = consumer(account, regions);
    target.roles = vec![copying, Role::admin("Admin")];
    let admin = format!("arn:aws:iam::{account}:role/Admin");
    let target = target.access_key(&format!("AKIAADMIN{account}"), "admin-secret", &admin);
    roles.iter().fold(target, |target, (service, role)| {
        target.role(Role::service_linked(service, role))
    })
}

/// Returns a world in which both targets have all three roles.
pub fn launching_world() -> World {
    launching_world_with(&[SCALING, SUFFIXED, SPOT])
}

pub fn launching_world_with(roles: &[(&str, &str)]) -> World {
    let world = World::new().copy_mib_per_second(4096.0).account(producer());
    TWO.iter().fold(world, |world, (account, region)| {
        world.account(target_account(account, &[region], roles))
    })
}

pub fn distribute_to_launch(places: &[Place], roles: &[&str]) -> Value {
    let mut event = distribute(places);
    event["Distribute"]["ServiceLinkedRoles"] = json!(roles);
    event
}

/// Returns an SDK configuration for these credentials.
pub fn somebody(
    sandbox: &Sandbox,
    region: &str,
    credentials: Credentials,
) -> aws_config::SdkConfig {
    aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(
            aws_credential_types::provider::SharedCredentialsProvider::new(credentials),
        )
        .http_client(sandbox.http_client())
        .time_source(sandbox.time_source())
        .build()
}

/// Returns KMS as a target's administrator sees it.
pub fn administrator(sandbox: &Sandbox, (account, region): Place) -> aws_sdk_kms::Client {
    let id = format!("AKIAADMIN{account}");
    let credentials = Credentials::new(id, "admin-secret", None, None, "test");
    aws_sdk_kms::Client::new(&somebody(sandbox, region, credentials))
}

/// Makes a role as an administrator who follows a remedy.
pub async fn make_role(
    sandbox: &Sandbox,
    (account, region): Place,
    service: &str,
    suffix: Option<&str>,
) {
    let id = format!("AKIAADMIN{account}");
    let credentials = Credentials::new(id, "admin-secret", None, None, "test");
    let iam = aws_sdk_iam::Client::new(&somebody(sandbox, region, credentials));
    let making = iam
        .create_service_linked_role()
        .aws_service_name(service)
        .set_custom_suffix(suffix.map(str::to_owned));
    making.send().await.expect("an administrator may");
}

/// Returns whether the service launches an instance that runs. Without the key the instance ends.
pub async fn launches(sandbox: &Sandbox, role: &str, region: &str, image: &str) -> bool {
    let session = sandbox
        .edit(|aws| aws.act_as_service(role))
        .expect("the role is there");
    let credentials = Credentials::new(
        session.access_key_id,
        session.secret_access_key,
        Some(session.session_token),
        None,
        "service",
    );
    let account = role.split(':').nth(4).expect("an account");
    runs(sandbox, credentials, (account, region), image).await
}

/// Returns whether the holder of these credentials launches an instance that runs.
pub async fn runs(
    sandbox: &Sandbox,
    credentials: Credentials,
    (account, region): (&str, &str),
    image: &str,
) -> bool {
    let ec2 = aws_sdk_ec2::Client::new(&somebody(sandbox, region, credentials));
    let launched = ec2
        .run_instances()
        .image_id(image)
        .instance_type("t2.micro".into())
        .min_count(1)
        .max_count(1)
        .send()
        .await
        .expect("accepted");
    let id = launched.instances()[0]
        .instance_id()
        .expect("an ID")
        .to_owned();
    tokio::time::sleep(Duration::from_secs(15)).await;
    let instances = sandbox.instances(account, region);
    let instance = instances
        .into_iter()
        .find(|i| i.instance_id == id)
        .expect("it is there");
    match (instance.state.as_str(), instance.state_reason) {
        ("running", None) => true,
        ("terminated", Some((code, message))) => {
            assert_eq!(code, "Client.InternalError");
            assert_eq!(message, "Client.InternalError: Client error on launch");
            false
        }
        other => panic!("{other:?}"),
    }
}

/// Returns the grants to launch on a key, by grantee.
pub fn launch_grants(sandbox: &Sandbox, key: &str) -> Vec<Grant> {
    let grants = sandbox.grants(key).into_iter();
    grants
        .filter(|grant| grant.grantee_principal.contains("/aws-service-role/"))
        .collect()
}

pub fn grantees(sandbox: &Sandbox, key: &str) -> BTreeSet<String> {
    let grants = launch_grants(sandbox, key);
    grants
        .into_iter()
        .map(|grant| grant.grantee_principal)
        .collect()
}

pub fn all_of(account: &str) -> BTreeSet<String> {
    [SCALING, SUFFIXED, SPOT]
        .map(|role| arn(account, role))
        .into()
}

/// Checks that no grantee has the same grant twice.
pub fn assert_single(sandbox: &Sandbox, key: &str) {
    let mut seen = BTreeSet::new();
    for grant in sandbox.grants(key) {
        let mut operations = grant.operations.clone();
        operations.sort();
        let what = format!(
            "{} {operations:?} {:?}",
            grant.grantee_principal, grant.name
        );
        assert!(seen.insert(what.clone()), "twice: {what}");
    }
}

pub fn assert_granted(sandbox: &Sandbox, places: &[Place]) {
    for place in places {
        let key = key_arn(*place);
        assert_eq!(grantees(sandbox, &key), all_of(place.0), "{place:?}");
        assert_eq!(launch_grants(sandbox, &key).len(), 3);
    }
}

pub const OPERATIONS: [GrantOperation; 8] = [
    GrantOperation::Encrypt,
    GrantOperation::Decrypt,
    GrantOperation::ReEncryptFrom,
    GrantOperation::ReEncryptTo,
    GrantOperation::GenerateDataKey,
    GrantOperation::GenerateDataKeyWithoutPlaintext,
    GrantOperation::DescribeKey,
    GrantOperation::CreateGrant,
];
