//! Removing the copies of a run from a target: after a failure, and when a custom resource is
//! deleted with `OnDelete: Deregister`.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Image, Snapshot};
use tracing::warn;

use super::naming::{made_by, own_copies};
use super::publish::unprotect;
use super::visit::Visit;
use super::whole_image::{is_copy, is_unfinished};
use super::{Aws, Place, copies, image, refusal};
use crate::cause::Cause;
use crate::command::{Left, Removed, Undone, tag};
use crate::error::Refusal;
use crate::ids::{ImageId, SnapshotId};
use crate::ledger::{Counted, Counting, Fate};

impl Aws {
    /// Deletes the copies of this run in a target that failed. An image that is there for another
    /// reason than being unfaithful was registered by a process that got further: it is kept.
    pub(super) async fn undo(&self, visit: &Visit<'_>) -> Result<Undone, Refusal> {
        let (run, target) = (visit.run, visit.target);
        let failure = target.failure.as_ref();
        let discard = failure.is_some_and(|f| f.cause == Cause::NotFaithful);
        let (mut left, mut deregistered) = (Left::new(), Vec::new());
        let mut there = None;
        for found in own_copies(visit).await? {
            let Some(id) = image::id_of(&found) else {
                continue;
            };
            // Nothing comes of an image that is still copied: the source is closed next. Of equal
            // images the oldest counts.
            let unfinished = is_unfinished(&found, run);
            let surplus = there.is_some() && is_copy(&found, run);
            if !discard && !unfinished && !surplus {
                there.get_or_insert(id);
                continue;
            }
            // An image that stood before this run began may be in use: a source changed since is
            // no reason to take it away.
            let began_here = unfinished || surplus || image::created(&found) >= run.started;
            if made_by(&found) == Some(run.id) && began_here {
                left.extend(deregister(&visit.ec2, &visit.at, &id).await?);
                deregistered.push(id);
            }
        }
        match there {
            Some(id) if left.is_empty() => return Ok(Undone::ImageThere(id)),
            Some(_) => return Ok(Undone::Deleted(left)),
            None => {}
        }
        // Copies of another run are that run's to finish or to undo.
        let copies = copies::made_by(&visit.ec2, &visit.at, run.id).await?;
        let deleted = delete(visit, &copies, &deregistered).await;
        left.extend(deleted.left);
        if left.is_empty() {
            let keys = self.keys_of(visit, &[]).await?;
            left = self.revoke_unneeded(visit, keys, &deleted.gone).await?;
        }
        Ok(Undone::Deleted(left))
    }

    /// Deregisters the images of this run in a target, and deletes their snapshots. With the last
    /// copy under a key go the grants by which service-linked roles could launch from it. A copy
    /// that another run counts on stays until that run's copy is removed.
    pub(super) async fn remove(&self, visit: &Visit<'_>) -> Result<Removed, Refusal> {
        let before = copies::made_by(&visit.ec2, &visit.at, visit.run.id).await?;
        let keys = self.keys_of(visit, &before).await?;
        let (mut left, kept, deregistered) = self.remove_images(visit).await?;
        if kept.is_empty() {
            let copies = copies::made_by(&visit.ec2, &visit.at, visit.run.id).await?;
            let deleted = delete(visit, &copies, &deregistered).await;
            left.extend(deleted.left);
            if left.is_empty() {
                left = self.revoke_unneeded(visit, keys, &deleted.gone).await?;
            }
        }
        Ok(if left.is_empty() && !kept.is_empty() {
            Removed::Kept(kept)
        } else {
            Removed::Deleted(left)
        })
    }

    /// Deregisters the images of this run that no other run counts on. Returns what could not be
    /// removed, what stays, in words, and the images that are gone.
    async fn remove_images(
        &self,
        visit: &Visit<'_>,
    ) -> Result<(Left, Vec<String>, Vec<ImageId>), Refusal> {
        let (run, at) = (visit.run, &visit.at);
        let (of_source, images) = copies_and_images(visit).await?;
        let (mut left, mut kept, mut deregistered) = (Left::new(), Vec::new(), Vec::new());
        let makers = makers_of(&images);
        let runs = self.all_runs().await?;
        let counting = Counting::of(runs, run.id, counted(visit), &makers);
        for found in &images {
            let Some(id) = image::id_of(found) else {
                continue;
            };
            match counting.fate(made_by(found).unwrap_or_default()) {
                Fate::Others => {}
                Fate::Kept(why) => kept.push(format!("{id} stays: {why}")),
                // Somebody's own copy of the run's image has its tags, and stands on other
                // snapshots.
                Fate::Removed if stands_on(found, &of_source) => {
                    unprotect(visit, found, &id).await?;
                    left.extend(deregister(&visit.ec2, at, &id).await?);
                    deregistered.push(id);
                }
                Fate::Removed => {
                    let (account, region) = (&at.account, &at.region);
                    warn!(
                        run = run.id, image = %id, account, region,
                        "left: none of its snapshots is a copy of the source's"
                    );
                }
            }
        }
        Ok((left, kept, deregistered))
    }

    /// Deregisters the images of the run that an update has replaced in a target, unless another
    /// run counts on them. With the last copy under a former key go the grants by which
    /// service-linked roles could launch from it. Returns what could not be removed.
    pub(super) async fn remove_former(&self, visit: &Visit<'_>) -> Result<Left, Refusal> {
        let (run, target) = (visit.run, visit.target);
        let (of_source, images) = copies_and_images(visit).await?;
        let makers = makers_of(&images);
        let runs = self.all_runs().await?;
        let counting = Counting::of(runs, run.id, counted(visit), &makers);
        let replaced = |found: &&Image| {
            let ours = made_by(found) == Some(run.id) && stands_on(found, &of_source);
            let fate = counting.fate(made_by(found).unwrap_or_default());
            ours && fate == Fate::Removed && image::id_of(found) != target.image_id
        };
        let former: Vec<&Image> = images.iter().filter(replaced).collect();
        let left = self.end_former_launches(visit, &former).await?;
        if !left.is_empty() {
            // The images tell the next try which keys the grants are on.
            return Ok(left);
        }
        let mut left = Left::new();
        for (image, id) in former
            .iter()
            .filter_map(|one| Some((one, image::id_of(one)?)))
        {
            unprotect(visit, image, &id).await?;
            left.extend(deregister(&visit.ec2, &visit.at, &id).await?);
        }
        Ok(left)
    }

    /// Revokes the grants to launch on the keys that only these images' copies are under, before
    /// the images go: nothing else tells which keys these are.
    async fn end_former_launches(
        &self,
        visit: &Visit<'_>,
        former: &[&Image],
    ) -> Result<Left, Refusal> {
        let (ec2, at, run) = (&visit.ec2, &visit.at, visit.run);
        if former.is_empty() || !run.order.has_launch_grants() {
            return Ok(Left::new());
        }
        let of_former: Vec<SnapshotId> = former.iter().copied().flat_map(snapshots_of).collect();
        let ids: Vec<ImageId> = former.iter().copied().filter_map(image::id_of).collect();
        // EC2 keeps a copy that another image uses, whoever made that image.
        let using = image::using(ec2, at, &of_former).await?;
        let used = copies::used_by(&using, &ids);
        let going: Vec<SnapshotId> = of_former
            .into_iter()
            .filter(|id| !used.contains(id.as_str()))
            .collect();
        let mut copies = copies::made_by(ec2, at, run.id).await?;
        copies.retain(|copy| copy.snapshot_id().is_some_and(|id| is_among(id, &going)));
        let mut keys = self.keys_of(visit, &copies).await?;
        keys.remove(visit.target.kms_key_id.as_str());
        self.revoke_unneeded(visit, keys, &going).await
    }
}

fn is_among(id: &str, snapshots: &[SnapshotId]) -> bool {
    snapshots.iter().any(|snapshot| snapshot.as_str() == id)
}

/// Lists the copies of any run and of any image of the source account, then the images of the
/// source image. Another run may have begun the copies that this run's image stands on, of this
/// image or of another that shares a snapshot.
async fn copies_and_images(visit: &Visit<'_>) -> Result<(Vec<SnapshotId>, Vec<Image>), Refusal> {
    let (ec2, at, source) = (&visit.ec2, &visit.at, visit.run.source);
    let of_source = copies::made_in(ec2, at, source.account_id.as_str()).await?;
    let of_image = format!("tag:{}", tag::SOURCE_IMAGE);
    let images = image::own_images_by(ec2, at, &of_image, source.image_id.as_str()).await?;
    Ok((ids_of(&of_source), images))
}

fn makers_of(images: &[Image]) -> Vec<&str> {
    images.iter().filter_map(made_by).collect()
}

fn counted<'a>(visit: &Visit<'a>) -> Counted<'a> {
    Counted {
        source_image: visit.run.source.image_id.as_str(),
        account: visit.target.account_id.as_str(),
        region: visit.target.region.as_str(),
    }
}

/// Deletes copies of this run, those of the source's root snapshot first.
async fn delete(
    visit: &Visit<'_>,
    copies: &[Snapshot],
    deregistered: &[ImageId],
) -> copies::Deleted {
    let root = visit.run.source.snapshots.first();
    let is_of_root =
        |copy: &Snapshot| root.is_some_and(|root| copies::is_copy_of(copy, root, visit.target));
    let (roots, others): (Vec<Snapshot>, Vec<Snapshot>) =
        copies.iter().cloned().partition(is_of_root);
    let (roots, others) = (ids_of(&roots), ids_of(&others));
    copies::delete(&visit.ec2, &visit.at, &roots, &others, deregistered).await
}

fn ids_of(snapshots: &[Snapshot]) -> Vec<SnapshotId> {
    let ids = snapshots.iter().filter_map(|s| s.snapshot_id());
    ids.filter_map(|id| SnapshotId::parse(id).ok()).collect()
}

/// Whether the image uses any of these snapshots. An image without snapshots counts as using them:
/// none of its snapshots can be somebody else's.
fn stands_on(image: &Image, snapshots: &[SnapshotId]) -> bool {
    let mut used = snapshots_of(image).peekable();
    used.peek().is_none() || used.any(|id| snapshots.contains(&id))
}

fn snapshots_of(image: &Image) -> impl Iterator<Item = SnapshotId> {
    let mappings = image.block_device_mappings().iter();
    let used = mappings.filter_map(|m| m.ebs()?.snapshot_id());
    used.filter_map(|id| SnapshotId::parse(id).ok())
}

/// Deregisters an image with its snapshots. A snapshot that this call could not delete is found by
/// its tags, and deleted, later.
pub(super) async fn deregister(ec2: &Client, at: &Place, id: &ImageId) -> Result<Left, Refusal> {
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
