//! The validated request. This module calls nothing, so every fault of the request itself is
//! reported before the first call.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::ids::{
    AccountId, ExternalId, ImageId, KeyRef, OrganizationId, OrganizationalUnitId, Region, RoleName,
    SnapshotId,
};
use crate::name::NameTemplate;
use crate::service_linked_role::ServiceLinkedRole;

mod channel;
mod checks;
mod enroll;
mod fields;
pub mod keys;
mod places;
mod publish;
mod retain;
mod targets;

pub use channel::{Channel, Move};
use checks::{
    WORDS_OF_COPY, check_count, check_targets, parse_completion_minutes, refuse_words_of,
    service_linked_roles, staging_keys,
};
pub use checks::{check_tags, shared_with_itself};
pub use enroll::Enroll;
use fields::Fields;
use keys::KEYS;
pub use places::Places;
pub use publish::{
    Deprecate, LaunchPermissions, LaunchTemplate, LaunchTest, ParameterName, Protection, Publish,
};
pub use retain::{Lineage, Retain};
pub use targets::DEFAULT_ROLE;

/// The number of targets of one request: Step Functions runs so many children at once, and the
/// organizations with more accounts are few.
pub const MAX_TARGETS: usize = 10_000;
/// The number of targets of one request for a function without a state machine, which carries its
/// state on in asynchronous invocations (1 MB).
pub const MAX_TARGETS_ALONE: usize = 900;
/// The result of a request in its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An image of the target's own, under its own key.
    Copy,
    /// The right to launch from the source image, in its Region.
    Share,
}

/// How a target reaches the source keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyAccess {
    /// By a grant on each source key, revoked after the copy.
    Grant,
    /// By statements in the policy of each source key, removed after the copy.
    Policy,
    /// By an arrangement of somebody else.
    None,
}

/// The way in which copies are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// By CopyImage where RegisterImage would lose something that matters, else by snapshots.
    #[default]
    Auto,
    /// By CopySnapshot and RegisterImage.
    Snapshots,
    /// By CopyImage.
    Image,
}

/// The effect of deleting the custom resource on the copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelete {
    /// The copies stay.
    Retain,
    /// The images are deregistered, and their snapshots deleted.
    Deregister,
}

/// One account and Region, which gets its own AMI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The target account.
    pub account: AccountId,
    /// The Region of the copies.
    pub region: Region,
    /// The key for the copies.
    pub key: KeyRef,
    /// The role that the function assumes in the account.
    pub role: RoleName,
    /// The external ID for assuming the role.
    pub external_id: Option<ExternalId>,
    /// Whether the target is named by its organization or unit, not by its account ID.
    pub member: bool,
}

/// Accounts named by their organization or units, and their properties as targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// The organization whose accounts are meant.
    pub organization: Option<OrganizationId>,
    /// The units whose accounts are meant.
    pub units: Vec<OrganizationalUnitId>,
    /// Accounts in the organization or units that are no targets.
    pub excluded: BTreeSet<AccountId>,
    each: targets::Each,
    copies: bool,
}

impl Audience {
    /// Returns the ARN of the role that copies for a member, and its external ID; `None` if nothing
    /// is copied.
    pub fn copy_role(&self, account: &AccountId) -> Option<(String, Option<&ExternalId>)> {
        let partition = self.each.partition()?;
        let (role, external_id) = self.each.role();
        self.copies
            .then(|| (role.arn(partition, account), external_id))
    }
}

/// The keys that only `Mode: Share` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// Whether the snapshots are shared too, for accounts that make volumes or copies of them.
    pub snapshots: bool,
    /// Whether the request takes a share back.
    pub unshare: bool,
}

/// A checked request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word of the request"
)]
pub struct Request {
    /// The result in the targets.
    pub mode: Mode,
    /// The source image.
    pub source_image: ImageId,
    /// The Region of the source image.
    pub source_region: Region,
    /// The snapshot that the request names. The hint is compared with the snapshots of the image;
    /// finding them never depends on the hint.
    pub source_snapshot_hint: Option<SnapshotId>,
    /// The targets named by account; [`Request::with_members`] adds those of the audience.
    pub targets: Vec<Target>,
    /// The organization or units, if the request names any.
    pub audience: Option<Audience>,
    /// The keys of `Mode: Share`.
    pub sharing: Sharing,
    /// The template for the names of the copies.
    pub name: NameTemplate,
    /// Tags for the copies.
    pub tags: BTreeMap<String, String>,
    /// Whether the copies get the tags of the source.
    pub copy_tags: bool,
    /// The way in which the copies are made.
    pub strategy: Strategy,
    /// How the targets reach the source keys.
    pub key_access: KeyAccess,
    /// The service-linked roles of each target that need to launch from the image.
    pub service_linked_roles: Vec<ServiceLinkedRole>,
    /// Whether the function creates missing service-linked roles.
    pub create_service_linked_roles: bool,
    /// A key of the source account. Snapshots that cannot be shared (`aws/ebs`) are copied under it
    /// first.
    pub reencrypt_key: Option<KeyRef>,
    /// Keys of the source account by their Regions. The image is copied once into each of these
    /// Regions, and the targets there copy from that.
    pub staging_keys: BTreeMap<Region, KeyRef>,
    /// The wishes for each target's image once it is verified.
    pub publish: Option<Publish>,
    /// Minutes within which EC2 completes each copy: a multiple of 15, from 15 to 2880.
    pub copy_completion_minutes: Option<u16>,
    /// Whether the source is closed after the copies.
    pub revoke_after_copy: bool,
    /// The effect of deleting the custom resource on the copies.
    pub on_delete: OnDelete,
    /// Whether CloudFormation waits for the copies.
    pub wait: bool,
}

/// Facts that a request may omit because the function knows them.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The function's own Region.
    pub region: Region,
    /// The function's own account, if it is known without a call.
    pub account: Option<AccountId>,
}

const KEY_ACCESS: [(&str, KeyAccess); 3] = [
    ("Grant", KeyAccess::Grant),
    ("Policy", KeyAccess::Policy),
    ("None", KeyAccess::None),
];
const STRATEGY: [(&str, Strategy); 3] = [
    ("Auto", Strategy::Auto),
    ("Snapshots", Strategy::Snapshots),
    ("Image", Strategy::Image),
];
const ON_DELETE: [(&str, OnDelete); 2] = [
    ("Retain", OnDelete::Retain),
    ("Deregister", OnDelete::Deregister),
];

impl Request {
    /// Checks `value`, which is a task, the properties of a custom resource, or the function's
    /// configuration. Fails with `InvalidRequest`.
    pub fn parse(value: &Value, defaults: &Defaults) -> Result<Self, Error> {
        Self::parse_as(Mode::Copy, value, defaults)
    }

    /// Checks `value` as [`Request::parse`] does. `mode` is the mode of a request without `Mode`.
    pub fn parse_as(mode: Mode, value: &Value, defaults: &Defaults) -> Result<Self, Error> {
        let Value::Object(object) = value else {
            return Err(Error::invalid(
                "Distribute",
                "must be an object with the request's keys",
            ));
        };
        Self::parse_object(mode, object, defaults)
    }

    fn parse_object(
        mode: Mode,
        object: &Map<String, Value>,
        defaults: &Defaults,
    ) -> Result<Self, Error> {
        let mut fields = Fields::new("", &KEYS, object);
        let mode = mode_of(&mut fields, mode)?;
        let source_image = fields
            .checked(&["SourceImageId", "AmiId"], ImageId::parse)?
            .ok_or_else(|| Error::invalid("SourceImageId", "is required: the AMI (ami-…)"))?;
        let source_region = fields
            .checked(&["SourceRegion", "Region"], Region::parse)?
            .unwrap_or_else(|| defaults.region.clone());
        let source_snapshot_hint =
            fields.checked(&["SourceSnapshotId", "SnapshotId"], SnapshotId::parse)?;
        let sharing = Sharing {
            // The former design named a snapshot in order to share it.
            snapshots: fields
                .flag("ShareSnapshots")?
                .unwrap_or(mode == Mode::Share && source_snapshot_hint.is_some()),
            unshare: fields.flag("Unshare")?.unwrap_or(false),
        };
        let (targets, audience) = targets::read(&mut fields, mode, &source_region)?;
        let lender = defaults.account.as_ref().filter(|_| mode == Mode::Share);
        check_targets(&targets, &source_region, lender)?;
        if targets.is_empty() && audience.is_none() {
            return Err(targets::missing());
        }
        let (service_linked_roles, create_service_linked_roles) =
            service_linked_roles(&mut fields)?;
        let staging_keys = staging_keys(&mut fields, &source_region)?;
        let name = fields.checked(&["Name"], NameTemplate::parse)?;
        let tags = fields.map("Tags")?;
        check_tags(&tags)?;
        let request = Self {
            mode,
            source_image,
            source_region,
            source_snapshot_hint,
            targets,
            audience,
            sharing,
            name: name.unwrap_or_default(),
            tags,
            copy_tags: fields.flag("CopyTags")?.unwrap_or(true),
            strategy: fields.choice("Strategy", &STRATEGY)?.unwrap_or_default(),
            key_access: fields
                .choice("KeyAccess", &KEY_ACCESS)?
                .unwrap_or(KeyAccess::Grant),
            service_linked_roles,
            create_service_linked_roles,
            reencrypt_key: fields.checked(&["ReencryptKmsKeyId"], KeyRef::parse)?,
            staging_keys,
            publish: publish::read(&mut fields)?,
            copy_completion_minutes: fields
                .checked(&["CopyCompletionMinutes"], parse_completion_minutes)?,
            revoke_after_copy: fields.flag("RevokeAfterCopy")?.unwrap_or(true),
            on_delete: fields
                .choice("OnDelete", &ON_DELETE)?
                .unwrap_or(OnDelete::Retain),
            wait: fields.flag("Wait")?.unwrap_or(true),
        };
        fields.finish()?;
        request.check_staging()?;
        Ok(request)
    }

    /// Refuses staged copies in other Regions together with what they cannot serve.
    fn check_staging(&self) -> Result<(), Error> {
        let problem = if self.staging_keys.is_empty() {
            return Ok(());
        } else if self.key_access == KeyAccess::Policy {
            "goes with KeyAccess Grant or None: the policies of these keys are not edited"
        } else if self.strategy == Strategy::Image {
            "goes with copies of snapshots: say Strategy Snapshots, or leave Strategy out"
        } else {
            return Ok(());
        };
        Err(Error::invalid("StagingKmsKeyIds", problem))
    }

    /// Returns the keys for copies of the source in its own account, each with the request's name
    /// for it and its Region. Those that no target needs are left out.
    pub fn keys_of_staging(&mut self, owner: &AccountId) -> Vec<(String, Region, &mut KeyRef)> {
        let others = self.targets.iter().filter(|t| t.account != *owner);
        let regions: BTreeSet<&Region> = others.map(|target| &target.region).collect();
        let home = self.reencrypt_key.iter_mut().map(|key| {
            let word = "ReencryptKmsKeyId".to_owned();
            (word, self.source_region.clone(), key)
        });
        let elsewhere = self.staging_keys.iter_mut();
        let elsewhere = elsewhere.filter(|(region, _)| regions.contains(region));
        let elsewhere = elsewhere.map(|(region, key)| {
            let word = format!("StagingKmsKeyIds.{region}");
            (word, region.clone(), key)
        });
        home.chain(elsewhere).collect()
    }

    /// Returns whether the accounts of the audience must be known one by one. An image can be
    /// shared with an organization, but grants and snapshot permissions go to accounts.
    pub fn needs_members(&self) -> bool {
        self.mode == Mode::Copy
            || !self.service_linked_roles.is_empty()
            || self.sharing.snapshots
            || self.key_access == KeyAccess::Grant
            || self.sharing.unshare
    }

    /// Returns whether the source's own snapshots must be shared: others copy them, and nothing is
    /// copied for these others first.
    pub fn needs_sharing(&self, owner: &AccountId) -> bool {
        let mut targets = self.targets.iter();
        let shared = |target: &Target| {
            target.account != *owner && !self.staging_keys.contains_key(&target.region)
        };
        self.reencrypt_key.is_none() && targets.any(shared)
    }

    /// Adds the accounts of the audience as targets. A target named by account has precedence, and
    /// the source's own account is never a target.
    pub fn with_members(mut self, members: &[AccountId], owner: &AccountId) -> Result<Self, Error> {
        let Some(audience) = &self.audience else {
            return Ok(self);
        };
        let mut seen: BTreeSet<(AccountId, Region)> = self
            .targets
            .iter()
            .map(|t| (t.account.clone(), t.region.clone()))
            .collect();
        let added = members
            .iter()
            .filter(|account| *account != owner && !audience.excluded.contains(*account))
            .flat_map(|account| audience.each.targets(account))
            .filter(|t| seen.insert((t.account.clone(), t.region.clone())))
            .take(MAX_TARGETS + 1);
        self.targets.extend(added);
        if self.targets.is_empty() && self.mode == Mode::Copy {
            return Err(Error::invalid(
                "OrganizationalUnitIds",
                "holds no active account but the source account's",
            ));
        }
        check_count(self.targets.len())?;
        Ok(self)
    }
}

/// Reads the mode, and refuses the keys of the other one. `mode` is that of a request without one.
fn mode_of(fields: &mut Fields, mode: Mode) -> Result<Mode, Error> {
    let mode = fields
        .choice("Mode", &[("Copy", Mode::Copy), ("Share", Mode::Share)])?
        .unwrap_or(mode);
    match mode {
        Mode::Copy => refuse_words_of("Share", fields, &["ShareSnapshots", "Unshare"])?,
        Mode::Share => refuse_words_of("Copy", fields, &WORDS_OF_COPY)?,
    }
    Ok(mode)
}

#[cfg(test)]
mod tests;
