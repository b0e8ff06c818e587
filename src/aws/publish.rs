//! Publishing a verified image in its target. Each part reads what is in force before it changes
//! anything, so a repeated command changes nothing twice.

use aws_sdk_ec2::types::Image;

use super::naming::is_disabled;
use super::visit::Visit;
use super::{Aws, image};
use crate::command::{Publication, Rest};
use crate::error::Refusal;
use crate::ids::{ImageId, SnapshotId};
use crate::request::Publish;
use crate::state::Published;

mod attributes;
mod fast_restore;
mod launch_template;
mod launch_test;
mod parameter;
mod permissions;
mod test_group;

pub(super) use attributes::unprotect;
pub(super) use parameter::history as parameter_history;

/// The publishing of one image in one target.
struct Publishing<'a> {
    visit: &'a Visit<'a>,
    wish: &'a Publish,
    id: &'a ImageId,
    image: Image,
    done: Published,
    notes: Vec<String>,
    /// Unix seconds.
    now: i64,
}

impl Publishing<'_> {
    /// Returns the snapshots of the image.
    fn snapshots(&self) -> Vec<SnapshotId> {
        let mappings = self.image.block_device_mappings().iter();
        let named = mappings.filter_map(|mapping| mapping.ebs()?.snapshot_id());
        named.filter_map(|id| SnapshotId::parse(id).ok()).collect()
    }
}

impl From<Refusal> for Rest {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Aws {
    /// Publishes an image as far as it can be published now.
    pub(super) async fn publish(
        &self,
        visit: &Visit<'_>,
        wish: &Publish,
        id: &ImageId,
    ) -> Result<Publication, Refusal> {
        let done = visit.target.published.clone();
        let (notes, rest) = (Vec::new(), Rest::Nothing);
        let mut publication = Publication { done, notes, rest };
        let Some(image) = image::own_image(&visit.ec2, &visit.at, id).await? else {
            publication.rest = Rest::NotYet(format!("{id} is not visible"));
            return Ok(publication);
        };
        let mut publishing = Publishing {
            visit,
            wish,
            id,
            image,
            done: publication.done,
            notes: publication.notes,
            now: self.now(),
        };
        let ended = self.publish_all(&mut publishing).await;
        Ok(Publication {
            done: publishing.done,
            notes: publishing.notes,
            rest: ended.err().unwrap_or(Rest::Nothing),
        })
    }

    /// Publishes part after part: the launch test decides about the others, and the parameter, by
    /// which people find the image, comes last.
    async fn publish_all(&self, publishing: &mut Publishing<'_>) -> Result<(), Rest> {
        if is_disabled(&publishing.image) {
            return Err(Rest::Unfit(format!("{} is disabled", publishing.id)));
        }
        self.test_launch(publishing).await?;
        attributes::deprecate(publishing).await?;
        attributes::protect(publishing).await?;
        fast_restore::enable(publishing).await?;
        self.permit_launches(publishing).await?;
        launch_template::publish(publishing).await?;
        self.write_parameter(publishing).await
    }
}
