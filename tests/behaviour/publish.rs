//! `Publish`: what is done in each target once its image is verified.

use amiferry_sandbox::{BlockDeviceMapping, Ebs, Image, Parameter, Role, Sandbox, Snapshot, World};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::{Value, json};

use crate::support::*;

mod attributes;
mod fast_restore;
mod interrupted;
mod launch_by_group;
mod launch_permissions;
mod launch_template;
mod launch_test;
mod parameter;

/// The account and Region of most tests, and the parameter's name.
const PLACE: Place = ("222222222222", HOME);
const NAME: &str = "/golden/web";
const OLD: &str = "ami-0a1b2c3d4e5f60719";

/// Gives the copy roles of a world the documented permissions for publishing.
fn permitted(mut world: World) -> World {
    for account in world.accounts.iter_mut().filter(|one| one.id != SOURCE) {
        for name in ["PublishImage", "TestImage"] {
            let policy = documented(name).replace("222222222222", &account.id);
            account.roles[0].policies.push(policy);
        }
    }
    world
}

/// Returns a world with targets that may publish.
fn publishing_world(places: &[Place]) -> World {
    permitted(world(places))
}

/// Returns the event of a distribution that publishes so.
fn publishing(places: &[Place], publish: &Value) -> Value {
    let mut event = distribute(places);
    event["Distribute"]["Publish"] = publish.clone();
    event
}

/// Returns the values of a parameter, the oldest first.
fn values(sandbox: &Sandbox, (account, region): Place, name: &str) -> Vec<String> {
    let versions = sandbox.parameter(account, region, name).into_iter();
    versions.map(|version| version.value).collect()
}

/// Adds an older image to the account of [`PLACE`], and a parameter of this data type with it.
fn with_parameter(mut world: World, data_type: &str) -> World {
    let mut accounts = world.accounts.iter_mut();
    let account = accounts.find(|one| one.id == PLACE.0).expect("the target");
    let (snapshot, image) = older_image();
    let mut parameter = Parameter::new(PLACE.1, NAME, OLD);
    parameter.data_type = Some(data_type.to_owned());
    let with = account.clone().snapshot(snapshot).image(image);
    *account = with.parameter(parameter);
    world
}

/// Returns the world with an administrator in the account of [`PLACE`], who works by hand.
fn with_administrator(mut world: World) -> World {
    let mut accounts = world.accounts.iter_mut();
    let account = accounts.find(|one| one.id == PLACE.0).expect("the target");
    let arn = "arn:aws:iam::222222222222:role/Admin";
    let with = account.clone().role(Role::admin("Admin"));
    *account = with.access_key("AKIAADMIN222222222222", "admin-secret", arn);
    world
}

async fn administrator(sandbox: &Sandbox) -> aws_config::SdkConfig {
    let own = config_in(HOME, sandbox.http_client(), sandbox.time_source()).await;
    let key = "AKIAADMIN222222222222";
    let credentials = Credentials::new(key, "admin-secret", None, None, "test");
    let provider = SharedCredentialsProvider::new(credentials);
    own.into_builder().credentials_provider(provider).build()
}

fn older_image() -> (Snapshot, Image) {
    let root = "snap-0aaaaaaaaaaaaaaa1";
    let snapshot = Snapshot::new(PLACE.1, root, 8).key(&key_arn(PLACE));
    let image = Image::new(PLACE.1, OLD, "older")
        .mapping(BlockDeviceMapping::ebs("/dev/xvda", Ebs::snapshot(root)))
        .with(|image| image.root_device_name = Some("/dev/xvda".to_owned()));
    (snapshot, image)
}

/// Returns the only copy in the account of [`PLACE`].
fn copy(sandbox: &Sandbox) -> Image {
    let images = sandbox.images(PLACE.0, PLACE.1).into_iter();
    let mut copies: Vec<Image> = images.filter(|image| image.image_id != OLD).collect();
    assert_eq!(copies.len(), 1);
    copies.remove(0)
}
