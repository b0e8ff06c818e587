//! Looking at a target before acting on it.

use aws_sdk_ec2::types::Image;

use super::naming::{self, Holder};
use super::visit::Visit;
use super::{Aws, Place, copies, image, whole_image};
use crate::command::Looked;
use crate::error::Refusal;
use crate::source::Source;

impl Aws {
    /// Reads the key, the image and the copies of a target. Without its source, an image is found
    /// by its tag only.
    pub(super) async fn look(
        &self,
        visit: &Visit<'_>,
        source: Option<&Source>,
    ) -> Result<Looked, Refusal> {
        let mut target = visit.target.clone();
        self.probed.forget(target.account_id.as_str());
        let key = match target.kms_key_id.arn() {
            // Once copies have begun under it, the key is settled.
            Some(key) if target.work.since != 0 => key,
            _ => self.target_key(&visit.actor, &target).await?,
        };
        target.kms_key_id = key.clone().into();
        let visit = visit.with(&target);
        let mut image = naming::own_copy(&visit).await?;
        if let (true, Some(source)) = (visit.run.order.renewal.is_some(), source) {
            image = image.filter(|image| naming::is_named(image, visit.run, source, &target));
        }
        if let (None, Some(source)) = (&image, source) {
            image = match self.holder(&visit, source).await? {
                Holder::Ours(image) => Some(image),
                Holder::Another(other) => {
                    let name = naming::name(visit.run, source, &target);
                    return Err(taken(&visit.at, &name, &other));
                }
                Holder::Nobody | Holder::Young | Holder::Former => None,
            };
        }
        let copies = copies::list(&visit).await?.copies;
        let is_unfinished = |image| whole_image::is_unfinished(image, visit.run);
        Ok(Looked {
            key,
            image: image.as_ref().and_then(image::id_of),
            unfinished: image.as_ref().is_some_and(is_unfinished),
            copies,
        })
    }
}

/// Returns the refusal that RegisterImage would give after hours of copying.
fn taken(at: &Place, name: &str, holder: &Image) -> Refusal {
    let message = format!("not sent: {} has this name", naming::told(holder));
    Refusal::ours(
        "RegisterImage",
        at,
        name,
        "InvalidAMIName.Duplicate",
        message,
    )
}
