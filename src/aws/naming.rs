//! The image a target has already, and the name its image gets. A run and Preflight ask the same questions here.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Image, ImageState};

use super::{Aws, Place, image, tags};
use crate::command::{image_key, tag};
use crate::error::Refusal;
use crate::name::NameFacts;
use crate::source::Source;
use crate::state::{State, TargetState};

/// Seconds after which the tags of a new image are surely visible.
const TAGS_SHOW_WITHIN: i64 = 300;
/// Characters of an image's name (EC2 API reference, RegisterImage).
const LONGEST_NAME: usize = 128;

/// Whose the name of a target's image is.
pub enum Holder {
    Nobody,
    /// An image of this target: it bears its key.
    Ours(Image),
    /// An image so young that its tags may not show yet: perhaps ours.
    Young,
    Another(Image),
    /// The run's own image of before an update, under another key.
    Former,
}

/// The name that the image gets where the run's image of before has the one that is asked for.
pub fn free_name(state: &State, source: &Source, target: &TargetState) -> String {
    let name = name(state, source, target);
    let end = name.floor_char_boundary(LONGEST_NAME - 9);
    format!("{}-{}", &name[..end], &image_key(state, target)[..8])
}

/// Whether an image has a name that this target's image may have.
pub fn is_named(image: &Image, state: &State, source: &Source, target: &TargetState) -> bool {
    let named = |name: String| image.name() == Some(name.as_str());
    named(name(state, source, target)) || named(free_name(state, source, target))
}

/// The run that an image says it was made by.
pub fn made_by(image: &Image) -> Option<&str> {
    let mut tags = image.tags().iter();
    tags.find(|tag| tag.key() == Some(tag::RUN))?.value()
}

/// The name the copy gets in this target.
pub fn name(state: &State, source: &Source, target: &TargetState) -> String {
    state.order.name.fill(NameFacts {
        source_name: &source.image.name,
        source_image: &source.id,
        source_account: &source.owner,
        account: &target.account_id,
        region: &target.region,
    })
}

/// The image of this target that is found by its tag, one that can be launched before a disabled one.
pub async fn own_copy(
    ec2: &Client,
    at: &Place,
    state: &State,
    target: &TargetState,
) -> Result<Option<Image>, Refusal> {
    let filter = format!("tag:{}", tag::KEY);
    let images = image::own_images_by(ec2, at, &filter, &image_key(state, target)).await?;
    Ok(images.into_iter().min_by_key(is_disabled))
}

pub fn is_disabled(image: &Image) -> bool {
    image.state() == Some(&ImageState::Disabled)
}

/// For a message: the image's ID, and that it is disabled if it is.
pub fn told(image: &Image) -> String {
    let id = image.image_id().unwrap_or("another image");
    if is_disabled(image) {
        format!("{id}, which is disabled,")
    } else {
        id.to_owned()
    }
}

impl Aws {
    /// Asks whose the name is that the target's image gets.
    pub(super) async fn holder(
        &self,
        ec2: &Client,
        at: &Place,
        state: &State,
        source: &Source,
        target: &TargetState,
    ) -> Result<Holder, Refusal> {
        let name = &name(state, source, target);
        let key = image_key(state, target);
        let mut holders = image::own_images_by(ec2, at, "name", name).await?;
        let is_ours = |image: &Image| {
            let bears_key = tags::to_map(image.tags()).get(tag::KEY) == Some(&key);
            bears_key || (target.image_id.is_some() && image::id_of(image) == target.image_id)
        };
        if let Some(ours) = holders.iter().position(is_ours) {
            return Ok(Holder::Ours(holders.swap_remove(ours)));
        }
        Ok(match holders.into_iter().next() {
            None => Holder::Nobody,
            Some(holder)
                if state.order.renewal.is_some() && made_by(&holder) == Some(&state.run) =>
            {
                Holder::Former
            }
            Some(holder) if self.may_be_ours(ec2, at, &holder, source).await? => Holder::Young,
            Some(holder) => Holder::Another(holder),
        })
    }

    /// Whether an image may be a copy of the source that was registered a moment ago, and does not show its tags yet.
    async fn may_be_ours(
        &self,
        ec2: &Client,
        at: &Place,
        holder: &Image,
        source: &Source,
    ) -> Result<bool, Refusal> {
        let young = self.now() - image::created(holder) < TAGS_SHOW_WITHIN;
        let Some(id) = image::id_of(holder).filter(|_| young && holder.tags().is_empty()) else {
            return Ok(false);
        };
        let mut facts = image::facts(holder);
        image::uefi_data(ec2, at, &id, &mut facts).await?;
        let copies = facts.snapshots();
        Ok(facts.state == "pending" || source.differences(&facts, &copies).is_empty())
    }
}
