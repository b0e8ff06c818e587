//! Comparing the registered image with its source and the target's key. No target succeeds before
//! this check.

use aws_sdk_ec2::types::Image;

use super::naming::{self, made_by};
use super::visit::Visit;
use super::{Aws, copies, image, remove, tags, whole_image};
use crate::command::{Checked, Left, image_key, tag};
use crate::error::{Refusal, RefusalKind};
use crate::ids::{ImageId, SnapshotId};
use crate::source::{DISABLED, Device, ImageFacts, Source};
use crate::state::{Renewal, RunRef, TargetState};

impl Aws {
    /// Compares the target's image with its source.
    pub(super) async fn check(
        &self,
        visit: &Visit<'_>,
        source: &Source,
        id: &ImageId,
    ) -> Result<Checked, Refusal> {
        let equals = equals(visit, source).await?;
        // EC2 gives CopyImage's images the same name without a word.
        if let Some(older) = older(visit.run, &equals, id) {
            return Ok(older);
        }
        let shown = equals
            .iter()
            .find(|one| one.image_id() == Some(id.as_str()));
        let there = match shown {
            Some(shown) => Some(shown.clone()),
            None => image::own_image(&visit.ec2, &visit.at, id).await?,
        };
        let Some(there) = there else {
            return Ok(Checked::NotYet(format!("{id} is not visible")));
        };
        let mut facts = image::facts(&there);
        match image::uefi_data(&visit.ec2, &visit.at, id, &mut facts).await {
            // Another process has deregistered it, or EC2 knows it not everywhere yet.
            Err(refusal) if refusal.kind() == RefusalKind::NotFound => {
                return Ok(Checked::NotYet(refusal.to_string()));
            }
            read => read?,
        }
        if facts.state == "failed" || facts.state == "invalid" {
            return Ok(Checked::Unfaithful(vec![format!(
                "{id} is {}: {}",
                facts.state,
                facts.state_reason.unwrap_or_default()
            )]));
        }
        if facts.state == DISABLED {
            return Ok(Checked::Disabled(id.clone()));
        }
        let used = used_in_order(source, &facts);
        let Some(used) = used.filter(|_| facts.state == "available") else {
            // A pending image may leave out its snapshots.
            return Ok(if facts.state == "available" {
                Checked::Unfaithful(without_snapshot(source, &facts))
            } else {
                Checked::NotYet(format!("{id} is {}", facts.state))
            });
        };
        let mut doubled = false;
        if whole_image::is_copy(&there, visit.run) {
            if let Some(said) = self.namesake(visit, &there).await? {
                return Ok(said);
            }
            let snapshots = whole_image::of_image(visit).await?;
            if whole_image::is_ours(&there, visit.run) {
                whole_image::tag_snapshots(visit, source, &used, &snapshots).await?;
            }
            let used: Vec<&SnapshotId> = used.iter().collect();
            let mut others = equals
                .iter()
                .filter(|one| one.image_id() != there.image_id());
            doubled = others.any(|other| whole_image::is_ours(other, visit.run))
                || (visit.run.order.renewal.is_none()
                    && !whole_image::surplus(visit, &snapshots, &used).is_empty());
        }
        let other_tags = other_tags(visit, &there);
        compare_copies(visit, source, &facts, used, doubled, other_tags).await
    }

    /// Deletes the copies of this target that its image does not stand on, and the images that an
    /// update replaces. Returns those that it could not delete.
    pub(super) async fn tidy(&self, visit: &Visit<'_>) -> Result<Left, Refusal> {
        if visit.run.order.renewal == Some(Renewal::Remove) {
            let left = self.remove_former(visit).await?;
            if !left.is_empty() {
                return Ok(left);
            }
        }
        let used: Vec<&SnapshotId> = visit.target.work.copies.iter().flatten().collect();
        let left = self.tidy_images(visit, &used).await?;
        if !left.is_empty() {
            return Ok(left);
        }
        let listed = copies::list(visit).await?;
        let mut surplus = listed.copies.into_iter().map(|copies| {
            let ids = copies.into_iter().map(|copy| copy.id);
            ids.filter(|id| !used.contains(&id))
                .collect::<Vec<SnapshotId>>()
        });
        let roots = surplus.next().unwrap_or_default();
        let others: Vec<SnapshotId> = surplus.flatten().collect();
        let deleted = copies::delete(&visit.ec2, &visit.at, &roots, &others, &[]).await;
        Ok(deleted.left)
    }
}

impl Aws {
    /// Returns what to say of an image of the same name that is none of this target's.
    async fn namesake(&self, visit: &Visit<'_>, image: &Image) -> Result<Option<Checked>, Refusal> {
        let name = image.name().unwrap_or_default();
        let key = image_key(&visit.run.source.image_id, visit.target);
        let mut all = image::own_images_by(&visit.ec2, &visit.at, "name", name).await?;
        all.retain(|other| {
            let bears_key = tags::to_map(other.tags()).get(tag::KEY) == Some(&key);
            !bears_key && other.image_id() != image.image_id()
        });
        Ok(all.first().map(|other| {
            let said = format!("{} has the name {name}, too", naming::told(other));
            if other.tags().is_empty() && naming::is_young(other, self.now()) {
                Checked::NotYet(said)
            } else {
                Checked::Unfaithful(vec![said])
            }
        }))
    }

    /// Deregisters the images that this run copied beside the one that counts, and deletes their
    /// snapshots.
    async fn tidy_images(&self, visit: &Visit<'_>, used: &[&SnapshotId]) -> Result<Left, Refusal> {
        let run = visit.run;
        if !run.order.copies_image {
            return Ok(Left::new());
        }
        let all = naming::own_copies(visit).await?;
        let counts = |image: &&Image| image::id_of(image) == visit.target.image_id;
        // An update keeps the run's image of another name, or removes it by itself.
        let name = all.iter().find(counts).and_then(Image::name);
        let equal = |image: &&Image| run.order.renewal.is_none() || image.name() == name;
        let others = all.iter().filter(|image| !counts(image) && equal(image));
        let (mut left, mut deregistered) = (Left::new(), Vec::new());
        for image in others.filter(|image| whole_image::is_ours(image, run)) {
            if let Some(id) = image::id_of(image) {
                left.extend(remove::deregister(&visit.ec2, &visit.at, &id).await?);
                deregistered.push(id);
            }
        }
        left.extend(whole_image::delete_snapshots(visit, used, &deregistered).await?);
        Ok(left)
    }
}

/// Lists the images that may count in the place of a whole copy, the oldest first. An update makes
/// an image of another name beside the run's former one.
async fn equals(visit: &Visit<'_>, source: &Source) -> Result<Vec<Image>, Refusal> {
    let (run, target) = (visit.run, visit.target);
    if !run.order.copies_image {
        return Ok(Vec::new());
    }
    let mut equals = naming::own_copies(visit).await?;
    if run.order.renewal.is_some() {
        equals.retain(|image| naming::is_named(image, run, source, target));
    }
    Ok(equals)
}

/// Returns that an older image counts in the place of this one, if one has not failed.
fn older(run: RunRef<'_>, equals: &[Image], id: &ImageId) -> Option<Checked> {
    let mut sound = equals
        .iter()
        .filter(|other| !whole_image::has_failed(other, run) && !naming::is_disabled(other));
    let oldest = sound.next()?;
    let image = image::id_of(oldest).filter(|oldest| oldest != id)?;
    Some(Checked::Older {
        unfinished: whole_image::is_unfinished(oldest, run),
        image,
    })
}

/// Compares an available image and its snapshots with the source and the target's key.
async fn compare_copies(
    visit: &Visit<'_>,
    source: &Source,
    facts: &ImageFacts,
    used: Vec<SnapshotId>,
    doubled: bool,
    other_tags: Option<String>,
) -> Result<Checked, Refusal> {
    let listed = copies::list(visit).await?;
    let mut differences = source.differences(facts, &used);
    let mut unlisted = Vec::new();
    for id in &used {
        match listed.details.iter().find(|copy| copy.id == *id) {
            Some(copy) => differences.extend(wrong_key(id, copy.key.as_deref(), visit.target)),
            None => unlisted.push(id.clone()),
        }
    }
    if !unlisted.is_empty() {
        differences.extend(wrong_keys_of(visit, &unlisted).await?);
    }
    if !differences.is_empty() {
        return Ok(Checked::Unfaithful(differences));
    }
    let mut copies = listed.copies.iter().flatten();
    let surplus = doubled || copies.any(|copy| !used.contains(&copy.id));
    Ok(Checked::Faithful {
        used,
        surplus,
        other_tags,
    })
}

/// Tells which of the request's tags an image lacks that another run made. Only an update of a
/// custom resource changes them.
fn other_tags(visit: &Visit<'_>, there: &Image) -> Option<String> {
    let run = visit.run;
    let maker = made_by(there).filter(|maker| *maker != run.id)?;
    if run.order.retag.is_some() {
        return None;
    }
    let shown = tags::to_map(there.tags());
    let differ = run.order.tags.iter();
    let mut differ = differ.filter(|(name, value)| shown.get(*name) != Some(value));
    let (name, _) = differ.next()?;
    let is = shown
        .get(name)
        .map_or("absent".to_owned(), |value| format!("{value:?}"));
    let more = match differ.count() {
        0 => String::new(),
        others => format!(", and {others} more differ"),
    };
    Some(format!(
        "the image of run {maker} keeps its tags: {name} is {is}{more}"
    ))
}

/// Returns the image's snapshot behind each of the source's, by device; `None` if a device has
/// none.
pub(super) fn used_in_order(source: &Source, copy: &ImageFacts) -> Option<Vec<SnapshotId>> {
    let snapshot_at = |facts: &ImageFacts, wanted: &dyn Fn(&str, &SnapshotId) -> bool| {
        facts.mappings.iter().find_map(|m| match &m.device {
            Device::Ebs {
                snapshot: Some(id), ..
            } if wanted(&m.device_name, id) => Some((m.device_name.clone(), id.clone())),
            _ => None,
        })
    };
    source
        .snapshots
        .iter()
        .map(|s| {
            let (device, _) = snapshot_at(&source.image, &|_, id| *id == s.id)?;
            snapshot_at(copy, &|name, _| name == device).map(|(_, id)| id)
        })
        .collect()
}

/// Names the source's devices behind which the copy has no snapshot.
fn without_snapshot(source: &Source, copy: &ImageFacts) -> Vec<String> {
    let has = |facts: &ImageFacts, device: &str| {
        let mut mappings = facts.mappings.iter().filter(|m| m.device_name == device);
        mappings.any(|m| m.device.snapshot().is_some())
    };
    let devices = source.image.mappings.iter().map(|m| &m.device_name);
    let lacking = devices.filter(|d| has(&source.image, d) && !has(copy, d));
    lacking
        .map(|device| {
            format!(
                "block device mapping of {device}: SnapshotId is absent where the source has one"
            )
        })
        .collect()
}

/// Names the key of a copy that is not under the target's key.
fn wrong_key(id: &SnapshotId, key: Option<&str>, target: &TargetState) -> Option<String> {
    (key != Some(target.kms_key_id.as_str())).then(|| {
        format!(
            "{id} is encrypted with {} instead of {}",
            key.unwrap_or("nothing"),
            target.kms_key_id
        )
    })
}

/// Does the same for snapshots that have lost our tags since.
async fn wrong_keys_of(visit: &Visit<'_>, ids: &[SnapshotId]) -> Result<Vec<String>, Refusal> {
    let there = copies::of_ids(&visit.ec2, &visit.at, ids).await?;
    let wrong = |id: &SnapshotId| match there.iter().find(|s| s.snapshot_id() == Some(id.as_str()))
    {
        Some(snapshot) => wrong_key(id, snapshot.kms_key_id(), visit.target),
        None => Some(format!(
            "{id}, which the image stands on, is not there any more"
        )),
    };
    Ok(ids.iter().filter_map(wrong).collect())
}
