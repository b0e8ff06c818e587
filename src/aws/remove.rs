//! Taking back what was made in a target: after a failure, and when a custom resource is deleted with `OnDelete: Deregister`.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Image, Snapshot};
use tracing::warn;

use super::counting::{Counting, Fate};
use super::naming::made_by;
use super::{Aws, Place, copies, image, refusal};
use crate::cause::Cause;
use crate::command::{Outcome, image_key, tag};
use crate::error::Refusal;
use crate::ids::{ImageId, SnapshotId};
use crate::state::{State, TargetState};

impl Aws {
    /// Deletes what this run made in a target that failed. An image that is there for another reason than being unfaithful
    /// was registered by a process that got further: it is kept, and said.
    pub(super) async fn undo(&self, state: &State, i: usize) -> Outcome {
        match self.undo_target(state, i).await {
            Ok(outcome) => outcome,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    async fn undo_target(&self, state: &State, i: usize) -> Result<Outcome, Refusal> {
        let target = &state.targets[i];
        let actor = self.session(state, target).await?;
        let ec2 = self.ec2(&actor, &target.region);
        let at = actor.at(&target.region);
        let discard = target
            .failure
            .as_ref()
            .is_some_and(|f| f.cause == Cause::NotFaithful);
        let (mut left, mut deregistered) = (Vec::new(), Vec::new());
        for found in image::own_images_by(
            &ec2,
            &at,
            &format!("tag:{}", tag::KEY),
            &image_key(state, target),
        )
        .await?
        {
            let Some(id) = image::id_of(&found) else {
                continue;
            };
            let made_by = found
                .tags()
                .iter()
                .find(|t| t.key() == Some(tag::RUN))
                .and_then(|t| t.value());
            if !discard {
                return Ok(Outcome::ImageThere(id));
            }
            // One that stood before this run began may be in use: a source changed since is no reason to take it away.
            if made_by == Some(state.run.as_str()) && image::created(&found) >= state.started {
                left.extend(deregister(&ec2, &at, &id).await?);
                deregistered.push(id);
            }
        }
        // Copies of another run are that run's to finish or to undo.
        let copies = copies::made_by(&ec2, &at, &state.run).await?;
        let deleted = delete(&ec2, &at, state, target, &copies, &deregistered).await;
        left.extend(deleted.left);
        if left.is_empty() {
            let keys = self.keys_of(state, &actor, target, &[]).await?;
            left = self
                .revoke_unneeded(&actor, target, keys, &deleted.gone)
                .await?;
        }
        Ok(if left.is_empty() {
            Outcome::Done
        } else {
            Outcome::Left(left)
        })
    }

    /// Deregisters what the run of this name made in a target, and deletes its snapshots. With the last copy under a key go the grants by
    /// which service-linked roles could launch from it. What another run counts on stays until that one's is removed.
    pub(super) async fn remove(&self, state: &State, i: usize) -> Outcome {
        match self.remove_target(state, i).await {
            Ok((left, _)) if !left.is_empty() => Outcome::Left(left),
            Ok((_, kept)) if !kept.is_empty() => Outcome::Kept(kept),
            Ok(_) => Outcome::Done,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Returns what could not be deleted, and what stays, in words.
    async fn remove_target(
        &self,
        state: &State,
        i: usize,
    ) -> Result<(Vec<(String, Refusal)>, Vec<String>), Refusal> {
        let target = &state.targets[i];
        let actor = self.session(state, target).await?;
        let ec2 = self.ec2(&actor, &target.region);
        let at = actor.at(&target.region);
        let before = copies::made_by(&ec2, &at, &state.run).await?;
        let keys = self.keys_of(state, &actor, target, &before).await?;
        // Another run may have begun the copies that this one's image stands on, of this image or of another that shares a snapshot.
        let of_source = copies::made_in(&ec2, &at, state.source.account_id.as_str()).await?;
        let of_source = ids_of(&of_source);
        let (mut left, mut kept, mut deregistered) = (Vec::new(), Vec::new(), Vec::new());
        let of_image = format!("tag:{}", tag::SOURCE_IMAGE);
        let source = state.source.image_id.as_str();
        let images = image::own_images_by(&ec2, &at, &of_image, source).await?;
        let counting = Counting::of(self.all_runs().await?, state, target, &images);
        for found in &images {
            let Some(id) = image::id_of(found) else {
                continue;
            };
            match counting.fate(found) {
                Fate::Others => {}
                Fate::Kept(why) => kept.push(format!("{id} stays: {why}")),
                // Somebody's own copy of the run's image has its tags, and stands on other snapshots.
                Fate::Removed if stands_on(found, &of_source) => {
                    left.extend(deregister(&ec2, &at, &id).await?);
                    deregistered.push(id);
                }
                Fate::Removed => {
                    warn!(run = state.run, image = %id, account = at.account, region = at.region, "left: none of its snapshots is a copy of the source's");
                }
            }
        }
        if !kept.is_empty() {
            return Ok((left, kept));
        }
        let copies = copies::made_by(&ec2, &at, &state.run).await?;
        let deleted = delete(&ec2, &at, state, target, &copies, &deregistered).await;
        left.extend(deleted.left);
        if left.is_empty() {
            left = self
                .revoke_unneeded(&actor, target, keys, &deleted.gone)
                .await?;
        }
        Ok((left, kept))
    }

    /// Deregisters the images of the run that an update has replaced in a target, unless another run counts on them. Returns what could
    /// not be.
    pub(super) async fn remove_former(
        &self,
        ec2: &Client,
        at: &Place,
        state: &State,
        target: &TargetState,
    ) -> Result<Vec<(String, Refusal)>, Refusal> {
        let of_source = copies::made_in(ec2, at, state.source.account_id.as_str()).await?;
        let of_source = ids_of(&of_source);
        let of_image = format!("tag:{}", tag::SOURCE_IMAGE);
        let source = state.source.image_id.as_str();
        let images = image::own_images_by(ec2, at, &of_image, source).await?;
        let counting = Counting::of(self.all_runs().await?, state, target, &images);
        let mut left = Vec::new();
        for found in &images {
            let ours = made_by(found) == Some(&state.run) && stands_on(found, &of_source);
            let replaced = image::id_of(found).filter(|id| target.image_id.as_ref() != Some(id));
            if let Some(id) = replaced.filter(|_| ours && counting.fate(found) == Fate::Removed) {
                left.extend(deregister(ec2, at, &id).await?);
            }
        }
        Ok(left)
    }
}

/// Deletes copies of this run, those of the source's root snapshot first.
async fn delete(
    ec2: &Client,
    at: &Place,
    state: &State,
    target: &TargetState,
    copies: &[Snapshot],
    deregistered: &[ImageId],
) -> copies::Deleted {
    let root = state.source.snapshots.first();
    let (roots, others): (Vec<Snapshot>, Vec<Snapshot>) = copies
        .iter()
        .cloned()
        .partition(|copy| root.is_some_and(|root| copies::is_copy_of(copy, root, target)));
    copies::delete(ec2, at, &ids_of(&roots), &ids_of(&others), deregistered).await
}

fn ids_of(snapshots: &[Snapshot]) -> Vec<SnapshotId> {
    let ids = snapshots.iter().filter_map(|s| s.snapshot_id());
    ids.filter_map(|id| SnapshotId::parse(id).ok()).collect()
}

/// Whether the image uses any of these; one without snapshots uses none, and none that could be anybody else's.
fn stands_on(image: &Image, snapshots: &[SnapshotId]) -> bool {
    let mappings = image.block_device_mappings().iter();
    let mut used = mappings.filter_map(|m| m.ebs()?.snapshot_id()).peekable();
    used.peek().is_none() || used.any(|id| snapshots.iter().any(|s| s.as_str() == id))
}

/// Deregisters an image with its snapshots. Snapshots that it could not delete are found, and deleted, by their tags.
async fn deregister(
    ec2: &Client,
    at: &Place,
    id: &ImageId,
) -> Result<Vec<(String, Refusal)>, Refusal> {
    let answer = ec2
        .deregister_image()
        .image_id(id.as_str())
        .delete_associated_snapshots(true)
        .send()
        .await;
    match answer.map_err(|e| refusal("DeregisterImage", at, id, &e)) {
        Err(refusal)
            if refusal.code != "InvalidAMIID.NotFound"
                && refusal.code != "InvalidAMIID.Unavailable" =>
        {
            Ok(vec![(id.to_string(), refusal)])
        }
        _ => Ok(Vec::new()),
    }
}
