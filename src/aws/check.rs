//! Is the registered image what the source is, and under the target's key? Nothing counts as done before this says so.

use aws_sdk_ec2::types::Filter;

use super::{Aws, Place, copies, image};
use crate::command::Outcome;
use crate::error::Refusal;
use crate::ids::SnapshotId;
use crate::source::{DISABLED, ImageFacts, Source};
use crate::state::{Renewal, State, TargetState};

impl Aws {
    pub(super) async fn check(&self, state: &State, source: &Source, i: usize) -> Outcome {
        match self.check_image(state, source, &state.targets[i]).await {
            Ok(outcome) => outcome,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    async fn check_image(
        &self,
        state: &State,
        source: &Source,
        target: &TargetState,
    ) -> Result<Outcome, Refusal> {
        let Some(id) = &target.image_id else {
            return Ok(Outcome::NotYet("no image to check".to_owned()));
        };
        let actor = self.session(state, target).await?;
        let ec2 = self.ec2(&actor, &target.region);
        let at = actor.at(&target.region);
        let Some(there) = image::own_image(&ec2, &at, id).await? else {
            return Ok(Outcome::NotYet(format!("{id} is not visible")));
        };
        let mut facts = image::facts(&there);
        image::uefi_data(&ec2, &at, id, &mut facts).await?;
        if facts.state == "failed" || facts.state == "invalid" {
            return Ok(Outcome::Unfaithful(vec![format!(
                "{id} is {}: {}",
                facts.state,
                facts.state_reason.unwrap_or_default()
            )]));
        }
        if facts.state == DISABLED {
            return Ok(Outcome::Disabled(id.clone()));
        }
        let used = used_in_order(source, &facts);
        let Some(used) = used.filter(|_| facts.state == "available") else {
            // A pending image may leave out its snapshots.
            return Ok(if facts.state == "available" {
                Outcome::Unfaithful(without_snapshot(source, &facts))
            } else {
                Outcome::NotYet(format!("{id} is {}", facts.state))
            });
        };
        let listed = copies::list(&ec2, &at, state, target).await?;
        let mut differences = source.differences(&facts, &used);
        let mut unlisted = Vec::new();
        for id in &used {
            match listed.details.iter().find(|copy| copy.id == *id) {
                Some(copy) => differences.extend(wrong_key(id, copy.key.as_deref(), target)),
                None => unlisted.push(id.clone()),
            }
        }
        if !unlisted.is_empty() {
            differences.extend(wrong_keys_of(&ec2, &at, &unlisted, target).await?);
        }
        if !differences.is_empty() {
            return Ok(Outcome::Unfaithful(differences));
        }
        let surplus = listed
            .copies
            .iter()
            .flatten()
            .any(|copy| !used.contains(&copy.id));
        Ok(Outcome::Faithful { used, surplus })
    }

    /// Deletes the copies of this target that its image does not stand on, and what an update replaces.
    pub(super) async fn tidy(&self, state: &State, i: usize) -> Outcome {
        let target = &state.targets[i];
        let tidied = async {
            let actor = self.session(state, target).await?;
            let ec2 = self.ec2(&actor, &target.region);
            let at = actor.at(&target.region);
            if state.order.renewal == Some(Renewal::Remove) {
                let left = self.remove_former(&ec2, &at, state, target).await?;
                if !left.is_empty() {
                    return Ok(left);
                }
            }
            let listed = copies::list(&ec2, &at, state, target).await?;
            let used: Vec<&SnapshotId> = target.copies.iter().flatten().collect();
            let mut surplus = listed.copies.into_iter().map(|copies| {
                let ids = copies.into_iter().map(|copy| copy.id);
                ids.filter(|id| !used.contains(&id))
                    .collect::<Vec<SnapshotId>>()
            });
            let roots = surplus.next().unwrap_or_default();
            let others: Vec<SnapshotId> = surplus.flatten().collect();
            let deleted = copies::delete(&ec2, &at, &roots, &others, &[]).await;
            Ok::<_, Refusal>(deleted.left)
        };
        match tidied.await {
            Ok(left) if left.is_empty() => Outcome::Done,
            Ok(left) => Outcome::Left(left),
            Err(refusal) => Outcome::Refused(refusal),
        }
    }
}

/// The image's snapshot behind each of the source's, by device; `None` if a device has none.
pub(super) fn used_in_order(source: &Source, copy: &ImageFacts) -> Option<Vec<SnapshotId>> {
    use crate::source::Device;
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

/// The source's devices behind which the copy has no snapshot.
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

fn wrong_key(id: &SnapshotId, key: Option<&str>, target: &TargetState) -> Option<String> {
    (key != Some(target.kms_key_id.as_str())).then(|| {
        format!(
            "{id} is encrypted with {} instead of {}",
            key.unwrap_or("nothing"),
            target.kms_key_id
        )
    })
}

/// The same for snapshots that have lost our tags since.
async fn wrong_keys_of(
    ec2: &aws_sdk_ec2::Client,
    at: &Place,
    ids: &[SnapshotId],
    target: &TargetState,
) -> Result<Vec<String>, Refusal> {
    let filter = Filter::builder()
        .name("snapshot-id")
        .set_values(Some(ids.iter().map(ToString::to_string).collect()))
        .build();
    let there = copies::own_snapshots(ec2, at, filter).await?;
    let wrong = |id: &SnapshotId| match there.iter().find(|s| s.snapshot_id() == Some(id.as_str()))
    {
        Some(snapshot) => wrong_key(id, snapshot.kms_key_id(), target),
        None => Some(format!(
            "{id}, which the image stands on, is not there any more"
        )),
    };
    Ok(ids.iter().filter_map(wrong).collect())
}
