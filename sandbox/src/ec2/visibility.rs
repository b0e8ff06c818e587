//! The visibility of snapshots and images: owners always see them, other accounts by permission.

use crate::aws::Aws;
use crate::model::{Image, LaunchPermission, Snapshot};

/// Returns whether the account may describe and copy the snapshot.
pub(crate) fn may_restore(aws: &Aws, snapshot: &Snapshot, account: &str) -> bool {
    snapshot.owner_id == account
        || aws.is_public(snapshot)
        || snapshot.create_volume_permissions.contains(account)
}

/// Returns whether the account may describe and, unless it is disabled, launch the image. An image
/// that Allowed AMIs hides is not there (model, EnableAllowedImagesSettings: neither discoverable
/// nor usable; the code of a launch is unproved).
pub(crate) fn may_launch(aws: &Aws, image: &Image, account: &str) -> bool {
    let shared = image.public || is_permitted(aws, image, account);
    image.owner_id == account || (shared && !aws.image_hidden(image, account))
}

/// Returns whether the account has a launch permission, by name, by organization or by OU.
pub(crate) fn is_permitted(aws: &Aws, image: &Image, account: &str) -> bool {
    let mut permissions = image.launch_permissions.iter();
    permissions.any(|permission| match permission {
        LaunchPermission::User(id) => id == account,
        LaunchPermission::Organization(arn) => aws.is_in_organization(account, arn),
        LaunchPermission::OrganizationalUnit(arn) => aws.is_in_unit(account, arn),
    })
}

/// Returns whether the account has a launch permission by name.
pub(crate) fn is_named(image: &Image, account: &str) -> bool {
    let named = LaunchPermission::User(account.to_owned());
    image.launch_permissions.contains(&named)
}
