//! The validated wish. Nothing here calls AWS: whatever is wrong with the words is said before the first call.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::ids::{AccountId, ExternalId, ImageId, KeyRef, Region, RoleName, SnapshotId};
use crate::name::NameTemplate;

mod fields;
mod targets;

use fields::Fields;

/// Past this many targets one step state no longer fits what Lambda carries asynchronously (1 MB).
pub const MAX_TARGETS: usize = 900;
/// What a resource can hold (50), less the four this project adds.
const MAX_TAGS: usize = 46;

const ACCEPTED: &str = "SourceImageId (AmiId), SourceRegion (Region), Mode, Targets, TargetAccountIds, TargetKmsKeyIds, TargetRegions, \
     TargetRoleName (RoleName), ExternalId, SourceSnapshotId (SnapshotId), Name, Tags, CopyTags, KeyAccess, CopyCompletionMinutes, \
     RevokeAfterCopy, OnDelete, Wait";

/// How the target reaches the source key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyAccess {
    /// By a grant on each source key, revoked afterwards.
    Grant,
    /// Somebody else arranged it.
    None,
}

/// What deleting the custom resource does to the copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelete {
    Retain,
    Deregister,
}

/// One account and Region that is to have its own AMI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub account: AccountId,
    pub region: Region,
    pub key: KeyRef,
    pub role: RoleName,
    pub external_id: Option<ExternalId>,
}

/// What somebody asked for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub source_image: ImageId,
    pub source_region: Region,
    /// Only compared with what the image really has; discovery never depends on it.
    pub source_snapshot_hint: Option<SnapshotId>,
    pub targets: Vec<Target>,
    pub name: NameTemplate,
    pub tags: BTreeMap<String, String>,
    pub copy_tags: bool,
    pub key_access: KeyAccess,
    pub copy_completion_minutes: Option<u16>,
    pub revoke_after_copy: bool,
    pub on_delete: OnDelete,
    pub wait: bool,
}

/// What the request may leave unsaid because the function knows it.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The function's own Region.
    pub region: Region,
    /// The function's own account, where it is known without a call.
    pub account: Option<AccountId>,
}

impl Request {
    /// Checks `value`, which comes from a task, a custom resource's properties or the function's configuration.
    pub fn parse(value: &Value, defaults: &Defaults) -> Result<Self, Error> {
        let Value::Object(object) = value else {
            return Err(Error::invalid(
                "Distribute",
                "must be an object with the request's keys",
            ));
        };
        Self::parse_object(object, defaults)
    }

    fn parse_object(object: &Map<String, Value>, defaults: &Defaults) -> Result<Self, Error> {
        let mut fields = Fields::new("", object);
        refuse_what_is_not_there_yet(&mut fields)?;
        let source_image = fields
            .checked(&["SourceImageId", "AmiId"], ImageId::parse)?
            .ok_or_else(|| {
                Error::invalid("SourceImageId", "is required: the AMI to copy (ami-…)")
            })?;
        let source_region = fields
            .checked(&["SourceRegion", "Region"], Region::parse)?
            .unwrap_or_else(|| defaults.region.clone());
        let source_snapshot_hint =
            fields.checked(&["SourceSnapshotId", "SnapshotId"], SnapshotId::parse)?;
        let targets = targets::read(&mut fields, &source_region)?;
        check_targets(&targets, &source_region, defaults.account.as_ref())?;
        let name = fields
            .checked(&["Name"], NameTemplate::parse)?
            .unwrap_or_default();
        let tags = fields.map("Tags")?;
        check_tags(&tags)?;
        let request = Self {
            source_image,
            source_region,
            source_snapshot_hint,
            targets,
            name,
            tags,
            copy_tags: fields.flag("CopyTags")?.unwrap_or(true),
            key_access: fields
                .choice(
                    "KeyAccess",
                    &[("Grant", KeyAccess::Grant), ("None", KeyAccess::None)],
                )?
                .unwrap_or(KeyAccess::Grant),
            copy_completion_minutes: fields
                .checked(&["CopyCompletionMinutes"], parse_completion_minutes)?,
            revoke_after_copy: fields.flag("RevokeAfterCopy")?.unwrap_or(true),
            on_delete: fields
                .choice(
                    "OnDelete",
                    &[
                        ("Retain", OnDelete::Retain),
                        ("Deregister", OnDelete::Deregister),
                    ],
                )?
                .unwrap_or(OnDelete::Retain),
            wait: fields.flag("Wait")?.unwrap_or(true),
        };
        fields.finish(ACCEPTED)?;
        Ok(request)
    }
}

/// Keys of the request schema that this version knows of but does not serve: refused with that word, never half-served.
fn refuse_what_is_not_there_yet(fields: &mut Fields) -> Result<(), Error> {
    match fields.text(&["Mode"])?.as_deref() {
        None | Some("Copy") => {}
        Some("Share") => {
            return Err(Error::invalid(
                "Mode",
                "Share is not available in this version; Copy is",
            ));
        }
        Some(_) => return Err(Error::invalid("Mode", "must be Copy or Share")),
    }
    for name in [
        "OrganizationId",
        "OrganizationalUnitIds",
        "ServiceLinkedRoles",
    ] {
        if fields.list(name)?.is_some() {
            return Err(Error::invalid(
                name,
                "is not available in this version; name the accounts in Targets",
            ));
        }
    }
    Ok(())
}

fn parse_completion_minutes(text: &str) -> Result<u16, &'static str> {
    let minutes: u16 = text
        .parse()
        .map_err(|_| "must be a number of minutes, in steps of 15, from 15 to 2880")?;
    if minutes.is_multiple_of(15) && (15..=2880).contains(&minutes) {
        Ok(minutes)
    } else {
        Err("must be a number of minutes, in steps of 15, from 15 to 2880")
    }
}

fn check_targets(
    targets: &[Target],
    source_region: &Region,
    own_account: Option<&AccountId>,
) -> Result<(), Error> {
    if targets.is_empty() {
        return Err(Error::invalid(
            "Targets",
            "is required: a list of {AccountId, Region?, KmsKeyId?, RoleName?, ExternalId?}",
        ));
    }
    if targets.len() > MAX_TARGETS {
        return Err(Error::invalid(
            "Targets",
            format!(
                "has {} targets; at most {MAX_TARGETS} go into one run",
                targets.len()
            ),
        ));
    }
    let mut seen = BTreeSet::new();
    for (i, target) in targets.iter().enumerate() {
        let key = |name: &str| format!("Targets[{i}].{name}");
        if own_account == Some(&target.account) {
            return Err(Error::invalid(
                key("AccountId"),
                source_among_targets(&target.account),
            ));
        }
        if !seen.insert((&target.account, &target.region)) {
            let twice = format!(
                "{} in {} is named twice; each account and Region once",
                target.account, target.region
            );
            return Err(Error::invalid(key("AccountId"), twice));
        }
        if target.region.partition() != source_region.partition() {
            let problem = format!(
                "{} is in partition {}, the source in {}: images cannot cross partitions",
                target.region,
                target.region.partition(),
                source_region.partition()
            );
            return Err(Error::invalid(key("Region"), problem));
        }
        if let Some((partition, region, account)) = target.key.home()
            && (partition, region, account)
                != (
                    target.region.partition(),
                    target.region.as_str(),
                    target.account.as_str(),
                )
        {
            let problem = format!(
                "{} belongs to account {account} in {region}; the key of this target must be in account {} in {}",
                target.key, target.account, target.region
            );
            return Err(Error::invalid(key("KmsKeyId"), problem));
        }
    }
    Ok(())
}

/// Said before any call where the function knows its account, and again once the image has told its owner.
pub fn source_among_targets(account: &AccountId) -> String {
    format!("{account} is the source account itself; a target must be another account")
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Error> {
    if tags.len() > MAX_TAGS {
        return Err(Error::invalid(
            "Tags",
            format!(
                "has {} tags; at most {MAX_TAGS} fit beside the ones this function adds",
                tags.len()
            ),
        ));
    }
    for (name, value) in tags {
        let key = || format!("Tags.{}", name.chars().take(80).collect::<String>());
        if name.is_empty() || name.chars().count() > 128 {
            return Err(Error::invalid(key(), "a tag key has 1 to 128 characters"));
        }
        if value.chars().count() > 256 {
            return Err(Error::invalid(
                key(),
                "a tag value has at most 256 characters",
            ));
        }
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("aws:") || lower.starts_with("amiferry:") {
            return Err(Error::invalid(
                key(),
                "keys that begin with aws: or amiferry: are reserved",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
