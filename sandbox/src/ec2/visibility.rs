//! Who sees what: owners always, others by permission.

use crate::aws::Aws;
use crate::model::{Image, LaunchPermission, Snapshot};

/// Whether this account may describe and copy the snapshot.
pub(crate) fn may_restore(aws: &Aws, snapshot: &Snapshot, account: &str) -> bool {
    snapshot.owner_id == account
        || aws.is_public(snapshot)
        || snapshot.create_volume_permissions.contains(account)
}

/// Whether this account may describe and, unless it is disabled, launch the image. To an account that does not allow it, the image is not
/// there (model, EnableAllowedImagesSettings: neither discoverable nor usable; the code of a launch is unproved).
pub(crate) fn may_launch(aws: &Aws, image: &Image, account: &str) -> bool {
    let shared = image.public || is_permitted(aws, image, account);
    image.owner_id == account || (shared && !aws.image_hidden(image, account))
}

/// By name, by organization or by OU.
pub(crate) fn is_permitted(aws: &Aws, image: &Image, account: &str) -> bool {
    let mut permissions = image.launch_permissions.iter();
    permissions.any(|permission| match permission {
        LaunchPermission::User(id) => id == account,
        LaunchPermission::Organization(arn) => aws.is_in_organization(account, arn),
        LaunchPermission::OrganizationalUnit(arn) => aws.is_in_unit(account, arn),
    })
}

/// By name only.
pub(crate) fn is_named(image: &Image, account: &str) -> bool {
    let named = LaunchPermission::User(account.to_owned());
    image.launch_permissions.contains(&named)
}
