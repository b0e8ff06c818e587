//! The old copies of one target: which there are, what uses them, and the steps of their removal.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    Filter, Image, ImageReferenceOptionName as OptionName, ImageReferenceResourceType as Kind,
    LockState, ResourceTypeOption, ResourceTypeRequest,
};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::copies::FILTER_VALUES;
use super::permission::launchers;
use super::{Actor, Aws, Place, copies, image, refusal, tags};
use crate::command::tag;
use crate::error::Refusal;
use crate::ids::{AccountId, ImageId, Region, SnapshotId};
use crate::policy::retention_policy;
use crate::request::{Lineage, Retain};
use crate::retention::{Decision, OldCopy};
use crate::state::TargetState;

/// The number of images whose references one call may ask for.
const IMAGES_PER_CALL: usize = 10;
/// The number of versions of a launch template that EC2 looks through at most.
const EVERY_VERSION: &str = "10000";
const PAGE: i32 = 1000;
/// Seconds from now to the deprecation of a copy: EC2 takes no time in the past.
const DEPRECATED_IN: i64 = 60;

/// A target whose old copies are looked at.
#[derive(Debug)]
pub struct OldCopies {
    /// The copies.
    pub copies: Vec<OldCopy>,
    /// Keys of copies that cannot be used, with their states and the copies under them.
    pub retired_keys: BTreeMap<String, (String, Vec<ImageId>)>,
    actor: Actor,
    ec2: Client,
    at: Place,
}

impl Aws {
    /// Reads the copies of a lineage in one target. Users are looked for only of copies that
    /// `beyond` picks, by their places.
    pub async fn old_copies(
        &self,
        rule: &Retain,
        target: &TargetState,
        owner: &AccountId,
        beyond: impl Fn(&[OldCopy]) -> Vec<bool>,
    ) -> Result<OldCopies, Refusal> {
        let policy = retention_policy(owner, rule.apply);
        let actor = self
            .session_for("amiferry-retain", owner, target, policy)
            .await?;
        let (ec2, at) = (self.ec2(&actor, &target.region), actor.at(&target.region));
        let images = images_of(&ec2, &at, &rule.lineage, owner).await?;
        let mut copies: Vec<OldCopy> = images.iter().filter_map(old_copy).collect();
        let beyond = beyond(&copies);
        let mut asked: Vec<&mut OldCopy> = copies
            .iter_mut()
            .zip(&beyond)
            .filter_map(|(copy, beyond)| beyond.then_some(copy))
            .collect();
        let counted = self.counted_copies(&images, target).await?;
        let ids: Vec<ImageId> = asked.iter().map(|copy| copy.id.clone()).collect();
        let users = references(&ec2, &at, &ids).await?;
        let snapshots = asked
            .iter()
            .flat_map(|copy| copy.snapshots.clone())
            .collect();
        let locked = locked(&ec2, &at, snapshots).await?;
        for copy in &mut asked {
            let others = launchers(&ec2, &at, &copy.id).await?;
            let users = users.get(&copy.id).into_iter().flatten();
            copy.held_by
                .extend(users.map(|user| format!("used by {user}")));
            copy.held_by
                .extend(others.iter().map(|who| format!("{who} may launch from it")));
            let locks = copy.snapshots.iter().filter(|id| locked.contains(*id));
            let locks: Vec<String> = locks.map(|id| format!("{id} is locked")).collect();
            copy.held_by.extend(locks);
            copy.held_by.extend(counted.get(&copy.id).cloned());
        }
        let retired_keys = self
            .retired_keys(&actor, &target.region, &ec2, &at, &copies)
            .await?;
        Ok(OldCopies {
            copies,
            retired_keys,
            actor,
            ec2,
            at,
        })
    }

    /// Returns the copies that custom resources count on, with words for each.
    async fn counted_copies(
        &self,
        images: &[Image],
        target: &TargetState,
    ) -> Result<BTreeMap<ImageId, String>, Refusal> {
        let runs = self.all_runs().await?;
        let (account, region) = (target.account_id.as_str(), target.region.as_str());
        let counts = |image: &Image| {
            let tags = tags::to_map(image.tags());
            let source = tags.get(tag::SOURCE_IMAGE)?;
            let mut resources = runs.iter().filter(|run| run.is_counted_by());
            let run = resources.find(|run| run.counts_on(source, account, region))?;
            let words = format!("run {} ({}) counts on it", run.run, run.asked_by);
            Some((image::id_of(image)?, words))
        };
        Ok(images.iter().filter_map(counts).collect())
    }

    /// Returns the keys of copies that are disabled or about to be deleted.
    async fn retired_keys(
        &self,
        actor: &Actor,
        region: &Region,
        ec2: &Client,
        at: &Place,
        copies: &[OldCopy],
    ) -> Result<BTreeMap<String, (String, Vec<ImageId>)>, Refusal> {
        let all: Vec<SnapshotId> = copies.iter().flat_map(|c| c.snapshots.clone()).collect();
        let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for some in all.chunks(FILTER_VALUES) {
            for snapshot in copies::of_ids(ec2, at, some).await? {
                if let (Some(key), Some(id)) = (snapshot.kms_key_id(), snapshot.snapshot_id()) {
                    keys.entry(key.to_owned())
                        .or_default()
                        .insert(id.to_owned());
                }
            }
        }
        let mut retired = BTreeMap::new();
        for (key, snapshots) in keys {
            let asked = self.kms(actor, region).describe_key().key_id(&key);
            let answer = asked.send().await;
            let answer = answer.map_err(|e| refusal("DescribeKey", at, &key, &e))?;
            let state = answer.key_metadata().and_then(|key| key.key_state());
            let state = state.map_or("unknown", |state| state.as_str());
            if state == "Enabled" {
                continue;
            }
            let under = |copy: &&OldCopy| {
                let mut ids = copy.snapshots.iter();
                ids.any(|id| snapshots.contains(id.as_str()))
            };
            let under = copies.iter().filter(under).map(|copy| copy.id.clone());
            retired.insert(key, (state.to_owned(), under.collect()));
        }
        Ok(retired)
    }
}

impl OldCopies {
    /// Returns the account that is looked at.
    pub fn account(&self) -> &str {
        &self.actor.account
    }

    /// Takes the step that was decided for a copy. Returns what is left of it.
    pub async fn take_step(
        &self,
        copy: &OldCopy,
        decision: &Decision,
        now: i64,
    ) -> Result<Vec<String>, Refusal> {
        let (ec2, at, id) = (&self.ec2, &self.at, &copy.id);
        match decision {
            Decision::Keep(_) | Decision::Wait { .. } => {}
            Decision::Deprecate => {
                let when = DateTime::from_secs(now + DEPRECATED_IN);
                let asked = ec2.enable_image_deprecation().image_id(id.as_str());
                let answer = asked.deprecate_at(when).send().await;
                answer.map_err(|e| refusal("EnableImageDeprecation", at, id, &e))?;
            }
            Decision::Disable => {
                let answer = ec2.disable_image().image_id(id.as_str()).send().await;
                answer.map_err(|e| refusal("DisableImage", at, id, &e))?;
            }
            Decision::Deregister => {
                let asked = ec2.deregister_image().image_id(id.as_str());
                let answer = asked.delete_associated_snapshots(true).send().await;
                let answer = answer.map_err(|e| refusal("DeregisterImage", at, id, &e))?;
                let results = answer.delete_snapshot_results().iter();
                let left = results.filter_map(|one| {
                    let code = one.return_code().map_or("", |code| code.as_str());
                    (code != "success")
                        .then(|| format!("{}: {code}", one.snapshot_id().unwrap_or_default()))
                });
                return Ok(left.collect());
            }
        }
        Ok(Vec::new())
    }
}

/// Lists the copies of a lineage that were made from images of this account.
async fn images_of(
    ec2: &Client,
    at: &Place,
    lineage: &Lineage,
    owner: &AccountId,
) -> Result<Vec<Image>, Refusal> {
    let filter = |name: String, value: &str| Filter::builder().name(name).values(value).build();
    let of_lineage = match lineage {
        Lineage::Name(pattern) => filter("name".to_owned(), pattern),
        Lineage::Tag(name, value) => filter(format!("tag:{name}"), value),
    };
    let ours = filter(format!("tag:{}", tag::SOURCE_ACCOUNT), owner.as_str());
    let asked = ec2.describe_images().owners("self").include_disabled(true);
    let asked = asked.max_results(PAGE);
    let mut pages = asked
        .filters(of_lineage)
        .filters(ours)
        .into_paginator()
        .send();
    let mut images = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| refusal("DescribeImages", at, lineage, &e))?;
        images.extend(page.images.unwrap_or_default());
    }
    // An image without the tag of its source is no copy of ours.
    images.retain(|image| tags::to_map(image.tags()).contains_key(tag::SOURCE_IMAGE));
    Ok(images)
}

fn old_copy(image: &Image) -> Option<OldCopy> {
    let time = |text: &str| DateTime::from_str(text, Format::DateTime).ok();
    let mappings = image.block_device_mappings().iter();
    let snapshots = mappings.filter_map(|mapping| mapping.ebs()?.snapshot_id());
    let protection = image.deregistration_protection().unwrap_or_default();
    let protected = !matches!(protection, "" | "disabled");
    let held_by = protected.then(|| format!("deregistration protection is {protection}"));
    Some(OldCopy {
        id: image::id_of(image)?,
        name: image.name().unwrap_or_default().to_owned(),
        created: image::created(image),
        state: image.state().map_or("", |state| state.as_str()).to_owned(),
        deprecated: image
            .deprecation_time()
            .and_then(time)
            .map(|time| time.secs()),
        snapshots: snapshots
            .filter_map(|id| SnapshotId::parse(id).ok())
            .collect(),
        held_by: held_by.into_iter().collect(),
    })
}

/// Returns the resources of the account that use these images. Terminated instances use nothing any
/// more, and every version of a launch template counts.
async fn references(
    ec2: &Client,
    at: &Place,
    ids: &[ImageId],
) -> Result<BTreeMap<ImageId, Vec<String>>, Refusal> {
    let option = |name: OptionName, values: &[&str]| {
        let values = values.iter().map(ToString::to_string).collect();
        let option = ResourceTypeOption::builder().option_name(name);
        option.set_option_values(Some(values)).build()
    };
    let states = ["pending", "running", "shutting-down", "stopping", "stopped"];
    let of_instances = ResourceTypeRequest::builder()
        .resource_type(Kind::Ec2Instance)
        .resource_type_options(option(OptionName::StateName, &states))
        .build();
    let of_templates = ResourceTypeRequest::builder()
        .resource_type(Kind::Ec2LaunchTemplate)
        .resource_type_options(option(OptionName::VersionDepth, &[EVERY_VERSION]))
        .build();
    let mut users: BTreeMap<ImageId, Vec<String>> = BTreeMap::new();
    for some in ids.chunks(IMAGES_PER_CALL) {
        let named = some.iter().map(ToString::to_string).collect();
        let asked = ec2.describe_image_references().set_image_ids(Some(named));
        let asked = asked.include_all_resource_types(true);
        let asked = asked.resource_types(of_instances.clone());
        let asked = asked.resource_types(of_templates.clone());
        let mut pages = asked.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| refusal("DescribeImageReferences", at, &some[0], &e))?;
            for one in page.image_references() {
                let id = one.image_id().and_then(|id| ImageId::parse(id).ok());
                if let (Some(id), Some(arn)) = (id, one.arn()) {
                    users.entry(id).or_default().push(arn.to_owned());
                }
            }
        }
    }
    Ok(users)
}

/// Returns those of the snapshots that are locked, so that they cannot be deleted.
async fn locked(
    ec2: &Client,
    at: &Place,
    snapshots: Vec<SnapshotId>,
) -> Result<BTreeSet<SnapshotId>, Refusal> {
    let mut locked = BTreeSet::new();
    for some in snapshots.chunks(FILTER_VALUES) {
        let named = some.iter().map(ToString::to_string).collect();
        let asked = ec2
            .describe_locked_snapshots()
            .set_snapshot_ids(Some(named));
        let answer = asked.send().await;
        let answer = answer.map_err(|e| refusal("DescribeLockedSnapshots", at, &some[0], &e))?;
        for one in answer.snapshots() {
            let holds = one
                .lock_state()
                .is_some_and(|state| *state != LockState::Expired);
            let id = one.snapshot_id().and_then(|id| SnapshotId::parse(id).ok());
            locked.extend(id.filter(|_| holds));
        }
    }
    Ok(locked)
}
