//! The source and the request of a run, as its state keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{copies, is_default};
use crate::ids::{AccountId, ImageId, KeyArn, KeyRef, Region, SnapshotId};
use crate::name::NameTemplate;
use crate::request::{KeyAccess, Publish};
use crate::service_linked_role::ServiceLinkedRole;

/// The source image, by IDs only: each call reads its facts anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SourceRef {
    /// The image's ID.
    pub image_id: ImageId,
    /// The image's Region.
    pub region: Region,
    /// The account that owns the image.
    pub account_id: AccountId,
    /// The image's snapshots, the root device's first.
    pub snapshots: Vec<SnapshotId>,
    /// The distinct keys of the snapshots.
    pub keys: Vec<KeyArn>,
    /// The AWS-managed keys among `keys`: snapshots under them are copied in the source account
    /// first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed_keys: Vec<KeyArn>,
    /// The snapshots that are shared and copied, for each stage of the run one for each source
    /// snapshot: itself, or its staged copy.
    #[serde(default, with = "copies", skip_serializing_if = "copies::none")]
    pub staged: Vec<Option<SnapshotId>>,
}

/// The part of the request that all targets have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a wish of the request, independent of the others"
)]
pub struct Order {
    /// The template for the names of the copies.
    pub name: NameTemplate,
    /// Tags for the copies.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Whether the copies get the tags of the source.
    pub copy_tags: bool,
    /// Whether the image is copied as a whole, by CopyImage.
    #[serde(default, skip_serializing_if = "is_default")]
    pub copies_image: bool,
    /// How the targets reach the source keys.
    pub key_access: KeyAccess,
    /// Whether the source is closed after the copies.
    pub revoke_after_copy: bool,
    /// Minutes within which EC2 completes each copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_completion_minutes: Option<u16>,
    /// The number of targets whose time-based copies of one snapshot EC2 makes one after another.
    #[serde(default, skip_serializing_if = "is_default")]
    pub serial: usize,
    /// `Mode: Share`: the targets launch from the source image, and nothing is copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// The service-linked roles of each target that get a grant to launch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_linked_roles: Vec<ServiceLinkedRole>,
    /// Service-linked roles that an update took off. Their grants on the targets' own keys are
    /// revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended_roles: Vec<ServiceLinkedRole>,
    /// Whether missing service-linked roles are created.
    #[serde(default, skip_serializing_if = "is_default")]
    pub create_service_linked_roles: bool,
    /// ARNs of the organization and units whose members are the targets; key policies name these
    /// ARNs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// An update asks for another name or key, so the run's former image does not count as the
    /// result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// An update asks for other tags, so those of existing copies are changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retag: Option<Retag>,
    /// The wishes for each target's image once it is verified. The parameter's name is settled,
    /// except for account and Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Publish>,
    /// The key for staged copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reencrypt_key: Option<KeyRef>,
    /// The keys for staged copies in other Regions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub staging_keys: BTreeMap<Region, KeyRef>,
    /// Losses of the copies, for the reply about each target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Order {
    /// Returns whether the run tests the launch of each image.
    pub fn tests_launch(&self) -> bool {
        let publish = self.publish.as_ref();
        publish.is_some_and(|publish| publish.launch_test.is_some())
    }

    /// Returns whether the run makes or revokes grants by which service-linked roles launch.
    pub fn has_launch_grants(&self) -> bool {
        !self.service_linked_roles.is_empty() || !self.ended_roles.is_empty()
    }
}

/// The end of a run's former image, once the image that an update asks for is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Renewal {
    /// The former image stays.
    Keep,
    /// The former image is removed.
    Remove,
}

/// The difference between the tags of a run's former request and those of the present one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Retag {
    /// The former value of each changed tag; `None` if the former request did not set the tag.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub former: BTreeMap<String, Option<String>>,
    /// The former `CopyTags`.
    pub copy_tags: bool,
}

/// The goal of a lasting share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Share {
    /// Whether the snapshots are shared too.
    #[serde(skip_serializing_if = "is_default")]
    pub snapshots: bool,
    /// ARNs of the organizations and units that may launch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// ARNs of the organizations and units that may launch no longer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
    /// Whether the request is the whole list: all other principals of this run lose the share.
    #[serde(skip_serializing_if = "is_default")]
    pub only: bool,
}
