//! The image that a target has already, and the name of its new image. A run and Preflight ask the
//! same questions here.

use aws_sdk_ec2::types::{Image, ImageState};

use super::visit::Visit;
use super::whole_image::has_failed;
use super::{Aws, image, tags};
use crate::command::{image_key, tag};
use crate::error::{Refusal, RefusalKind};
use crate::name::{NameFacts, with_suffix};
use crate::source::Source;
use crate::state::{RunRef, TargetState};

/// Seconds after which the tags of a new image are surely visible.
const TAGS_SHOW_WITHIN: i64 = 300;

/// The holder of the name that a target's image gets.
pub enum Holder {
    Nobody,
    /// An image of this target: it bears the target's key.
    Ours(Image),
    /// An image so young that its tags may not show yet: perhaps ours.
    Young,
    Another(Image),
    /// The run's own image of before an update, under another key.
    Former,
}

/// Returns the name of a target's image where the run's former image has the requested name.
pub fn free_name(run: RunRef<'_>, source: &Source, target: &TargetState) -> String {
    let key = image_key(&run.source.image_id, target);
    with_suffix(&name(run, source, target), &key[..8])
}

/// Whether an image has one of the names that this target's image may have.
pub fn is_named(image: &Image, run: RunRef<'_>, source: &Source, target: &TargetState) -> bool {
    let named = |name: String| image.name() == Some(name.as_str());
    named(name(run, source, target)) || named(free_name(run, source, target))
}

/// Returns the run that made an image, by the image's tag.
pub fn made_by(image: &Image) -> Option<&str> {
    let mut tags = image.tags().iter();
    tags.find(|tag| tag.key() == Some(tag::RUN))?.value()
}

/// Returns the name that the copy gets in this target.
pub fn name(run: RunRef<'_>, source: &Source, target: &TargetState) -> String {
    run.order.name.fill(NameFacts {
        source_name: &source.image.name,
        source_image: &source.id,
        source_account: &source.owner,
        account: &target.account_id,
        region: &target.region,
    })
}

/// Lists the images of this target by their tag, the oldest first. Somebody's own copy of one may
/// have its tags, and notes that image as its source.
pub(super) async fn own_copies(visit: &Visit<'_>) -> Result<Vec<Image>, Refusal> {
    let filter = format!("tag:{}", tag::KEY);
    let key = image_key(&visit.run.source.image_id, visit.target);
    let mut images = image::own_images_by(&visit.ec2, &visit.at, &filter, &key).await?;
    images.retain(|image| {
        let from = image.source_image_id().filter(|id| !id.is_empty());
        from.is_none_or(|id| id == visit.run.source.image_id.as_str())
    });
    Ok(images)
}

/// Finds the image of this target by its tag. An image that can be launched goes before a disabled
/// one, and that before one that CopyImage failed to make. Another run clears its failed image away
/// itself.
pub(super) async fn own_copy(visit: &Visit<'_>) -> Result<Option<Image>, Refusal> {
    let mut images = own_copies(visit).await?;
    let failed = |image: &Image| has_failed(image, visit.run);
    images.retain(|image| !failed(image) || made_by(image) == Some(visit.run.id));
    let last = |image: &Image| (failed(image), is_disabled(image));
    Ok(images.into_iter().min_by_key(last))
}

/// Whether the tags of an image may not show yet.
pub fn is_young(image: &Image, now: i64) -> bool {
    now - image::created(image) < TAGS_SHOW_WITHIN
}

/// Whether somebody has disabled an image.
pub fn is_disabled(image: &Image) -> bool {
    image.state() == Some(&ImageState::Disabled)
}

/// Returns an image's ID for a message, with a word where the image is disabled.
pub fn told(image: &Image) -> String {
    let id = image.image_id().unwrap_or("another image");
    if is_disabled(image) {
        format!("{id}, which is disabled,")
    } else {
        id.to_owned()
    }
}

impl Aws {
    /// Returns the name that the target's new image gets now.
    pub(super) async fn new_name(
        &self,
        visit: &Visit<'_>,
        source: &Source,
    ) -> Result<String, Refusal> {
        let (run, target) = (visit.run, visit.target);
        let renews = run.order.renewal.is_some();
        let former = renews && matches!(self.holder(visit, source).await?, Holder::Former);
        Ok(if former {
            free_name(run, source, target)
        } else {
            name(run, source, target)
        })
    }

    /// Finds the holder of the name that the target's image gets.
    pub(super) async fn holder(
        &self,
        visit: &Visit<'_>,
        source: &Source,
    ) -> Result<Holder, Refusal> {
        let (run, target) = (visit.run, visit.target);
        let name = &name(run, source, target);
        let key = image_key(&run.source.image_id, target);
        let mut holders = image::own_images_by(&visit.ec2, &visit.at, "name", name).await?;
        let is_ours = |image: &Image| {
            let bears_key = tags::to_map(image.tags()).get(tag::KEY) == Some(&key);
            bears_key || (target.image_id.is_some() && image::id_of(image) == target.image_id)
        };
        if let Some(ours) = holders.iter().position(is_ours) {
            return Ok(Holder::Ours(holders.swap_remove(ours)));
        }
        let renews = run.order.renewal.is_some();
        Ok(match holders.into_iter().next() {
            None => Holder::Nobody,
            Some(holder) if renews && made_by(&holder) == Some(run.id) => Holder::Former,
            Some(holder) if self.may_be_ours(visit, &holder, source).await? => Holder::Young,
            Some(holder) => Holder::Another(holder),
        })
    }

    /// Whether an image may be a copy of the source that was registered a moment ago, and does not
    /// show its tags yet.
    async fn may_be_ours(
        &self,
        visit: &Visit<'_>,
        holder: &Image,
        source: &Source,
    ) -> Result<bool, Refusal> {
        let young = is_young(holder, self.now());
        let Some(id) = image::id_of(holder).filter(|_| young && holder.tags().is_empty()) else {
            return Ok(false);
        };
        let mut facts = image::facts(holder);
        match image::uefi_data(&visit.ec2, &visit.at, &id, &mut facts).await {
            // The image is gone, or so new that EC2 knows it not everywhere.
            Err(refusal) if refusal.kind() == RefusalKind::NotFound => return Ok(true),
            read => read?,
        }
        let copies = facts.snapshots();
        Ok(facts.state == "pending" || source.differences(&facts, &copies).is_empty())
    }
}
