//! Copying an image as a whole by CopyImage: starting it, and reading how far it is.
//!
//! One token makes the call repeatable. EC2 tags the snapshots with the image's key, as one call
//! has one set of tags for all of them; their own tags follow when the image is checked.

use std::collections::BTreeMap;

use aws_sdk_ec2::operation::copy_image::builders::CopyImageFluentBuilder;
use aws_sdk_ec2::types::{Filter, Image, ImageState, ResourceType, Snapshot};
use futures::future::try_join_all;

use super::naming::made_by;
use super::visit::Visit;
use super::{Aws, copies, image, refusal, remove, tags};
use crate::command::{CopiedImage, ImageProgress, Left, image_key, image_token, tag};
use crate::copies::CopyStatus;
use crate::error::{Refusal, RefusalKind};
use crate::ids::{ImageId, SnapshotId};
use crate::source::Source;
use crate::state::RunRef;

/// Whether CopyImage made the image of the run's source, or is making it. RegisterImage notes no
/// source, and somebody's own copy of a copy, which may have its tags, notes that copy.
pub fn is_copy(image: &Image, run: RunRef<'_>) -> bool {
    image.source_image_id() == Some(run.source.image_id.as_str())
}

/// Whether CopyImage is still making the image, or has failed to.
pub fn is_unfinished(image: &Image, run: RunRef<'_>) -> bool {
    let ended = matches!(
        image.state(),
        Some(ImageState::Available | ImageState::Disabled)
    );
    is_copy(image, run) && !ended
}

/// Whether CopyImage has failed to make the image.
pub fn has_failed(image: &Image, run: RunRef<'_>) -> bool {
    is_unfinished(image, run) && image.state() != Some(&ImageState::Pending)
}

/// Whether this run had CopyImage make the image.
pub fn is_ours(image: &Image, run: RunRef<'_>) -> bool {
    is_copy(image, run) && made_by(image) == Some(run.id)
}

impl Aws {
    /// Copies the image, once the session reaches every source key.
    pub(super) async fn copy_image(
        &self,
        visit: &Visit<'_>,
        source: &Source,
    ) -> Result<CopiedImage, Refusal> {
        if let Err(refusal) = self.probe_source_keys(visit).await {
            return Ok(CopiedImage::KeyNotReady(refusal));
        }
        let name = self.new_name(visit, source).await?;
        let token = image_token(visit.run, visit.target);
        let answer = copying(visit, source, &name)
            .client_token(token)
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let refused = refusal("CopyImage", &visit.at, &source.id, &error);
                if refused.kind() == RefusalKind::Expired {
                    self.forget_session(visit.target);
                }
                return Ok(CopiedImage::Refused(refused));
            }
        };
        let id = answer.image_id().and_then(|id| ImageId::parse(id).ok());
        Ok(id.map_or_else(
            || {
                let said = "the answer carries no image ID";
                CopiedImage::Refused(Refusal::ours(
                    "CopyImage",
                    &visit.at,
                    &source.id,
                    "UnreadableAnswer",
                    said,
                ))
            },
            CopiedImage::Started,
        ))
    }

    /// Reads how far an image is. Deregisters one that this run made and that failed.
    pub(super) async fn poll_image(
        &self,
        visit: &Visit<'_>,
        id: &ImageId,
    ) -> Result<ImageProgress, Refusal> {
        let Some(found) = image::own_image(&visit.ec2, &visit.at, id).await? else {
            return Ok(ImageProgress::Absent);
        };
        if !is_unfinished(&found, visit.run) {
            return Ok(ImageProgress::Available);
        }
        let copies = of_image(visit).await?;
        if !has_failed(&found, visit.run) {
            return Ok(ImageProgress::Pending(progress(&copies)));
        }
        let said = why_failed(id, &found, &copies);
        // Another run's image was found by its tags; the tags of this run's own may not show yet.
        if made_by(&found).is_none_or(|maker| maker == visit.run.id) {
            let left = remove::deregister(&visit.ec2, &visit.at, id).await?;
            match left.into_iter().next() {
                // An image that is gone has no tags by which a policy would allow this. One that is
                // not is tidied away in the end.
                Some((_, refusal)) if refusal.kind() == RefusalKind::Denied => {}
                Some((_, refusal)) => return Err(refusal),
                None => {}
            }
            delete_snapshots(visit, &[], std::slice::from_ref(id)).await?;
        }
        Ok(ImageProgress::Failed(said))
    }
}

/// Returns the request that copies the image, whether it is sent or only asked about.
pub(super) fn copying(visit: &Visit<'_>, source: &Source, name: &str) -> CopyImageFluentBuilder {
    let (run, target) = (visit.run, visit.target);
    let key = image_key(&run.source.image_id, target);
    let minutes = run.order.copy_completion_minutes;
    visit
        .ec2
        .copy_image()
        .source_image_id(source.id.as_str())
        .source_region(run.source.region.as_str())
        .name(name)
        .set_description(source.image.description.clone())
        .encrypted(true)
        .kms_key_id(target.kms_key_id.as_str())
        .set_snapshot_copy_completion_duration_minutes(minutes.map(i64::from))
        .tag_specifications(tags::of_copy(
            run,
            &source.image.tags,
            &key,
            ResourceType::Image,
        ))
        .tag_specifications(tags::of_copy(
            run,
            &BTreeMap::new(),
            &key,
            ResourceType::Snapshot,
        ))
}

/// Lists the snapshots that CopyImage made for this target's image, of every run.
pub(super) async fn of_image(visit: &Visit<'_>) -> Result<Vec<Snapshot>, Refusal> {
    let key = image_key(&visit.run.source.image_id, visit.target);
    let filter = Filter::builder()
        .name(format!("tag:{}", tag::KEY))
        .values(key);
    copies::own_snapshots(&visit.ec2, &visit.at, filter.build()).await
}

/// Returns the percentage of all snapshots together; 0 while none shows.
fn progress(snapshots: &[Snapshot]) -> u8 {
    let percent = |snapshot: &Snapshot| match copies::copy(snapshot)?.status {
        CopyStatus::Completed => Some(100),
        CopyStatus::Pending(percent) => Some(usize::from(percent)),
        CopyStatus::Error(_) => Some(0),
    };
    let all: Vec<usize> = snapshots.iter().filter_map(percent).collect();
    u8::try_from(all.iter().sum::<usize>() / all.len().max(1)).map_or(99, |all| all.min(99))
}

/// Returns what EC2 says of a failed image: of its snapshots, which know more, or of the image.
fn why_failed(id: &ImageId, image: &Image, snapshots: &[Snapshot]) -> String {
    let of_snapshot = |snapshot: &Snapshot| match copies::copy(snapshot)?.status {
        CopyStatus::Error(said) => Some(format!(
            "{} ended in error: {said}",
            snapshot.snapshot_id()?
        )),
        _ => None,
    };
    let said = snapshots.iter().find_map(of_snapshot).or_else(|| {
        let reason = image.state_reason()?;
        reason.message().or(reason.code()).map(str::to_owned)
    });
    let state = image.state().map_or("gone", ImageState::as_str);
    let said = said.unwrap_or_else(|| "no reason".to_owned());
    format!("CopyImage: {id} is {state}: {said}")
}

/// Gives each snapshot of an available image the tags of its original. CopyImage takes one set of
/// tags for all of them.
pub(super) async fn tag_snapshots(
    visit: &Visit<'_>,
    source: &Source,
    used: &[SnapshotId],
    there: &[Snapshot],
) -> Result<(), Refusal> {
    let tagging = source.snapshots.iter().zip(used).filter_map(|(from, id)| {
        let mut wanted = crate::tags::of_copy(visit.run, &from.tags, "").all;
        wanted.retain(|name, _| !name.starts_with(tag::OURS));
        // A snapshot whose tags do not show yet gets them again.
        let mut there = there.iter();
        let copy = there.find(|one| one.snapshot_id() == Some(id.as_str()));
        let has = copy.map(|copy| tags::to_map(copy.tags()));
        let has = has.unwrap_or_default();
        wanted.retain(|name, value| has.get(name) != Some(value));
        (!wanted.is_empty()).then_some((id, wanted))
    });
    let tagging = tagging.map(|(id, wanted)| async move {
        let asked = visit.ec2.create_tags().resources(id.as_str());
        let done = asked.set_tags(Some(tags::list(wanted))).send().await;
        done.map_err(|e| refusal("CreateTags", &visit.at, id, &e))
    });
    try_join_all(tagging).await?;
    Ok(())
}

/// Returns those of these snapshots that CopyImage made for this run, and that are not in use.
pub(super) fn surplus(
    visit: &Visit<'_>,
    there: &[Snapshot],
    used: &[&SnapshotId],
) -> Vec<SnapshotId> {
    let copies = there.iter().filter_map(copies::copy);
    let surplus = copies.filter(|copy| copy.run == visit.run.id && !used.contains(&&copy.id));
    surplus.map(|copy| copy.id).collect()
}

/// Deletes the surplus snapshots. Returns those that it could not delete.
pub(super) async fn delete_snapshots(
    visit: &Visit<'_>,
    used: &[&SnapshotId],
    deregistered: &[ImageId],
) -> Result<Left, Refusal> {
    let surplus = surplus(visit, &of_image(visit).await?, used);
    if surplus.is_empty() {
        return Ok(Left::new());
    }
    let deleted = copies::delete(&visit.ec2, &visit.at, &[], &surplus, deregistered).await;
    Ok(deleted.left)
}
