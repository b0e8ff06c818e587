//! CopyImage of the image of another account, and the billing data by both ways of copying.

use amiferry::error::Refusal;
use aws_sdk_ec2::types::{
    Image, ImageState, LaunchPermission, LaunchPermissionModifications, OperationType, ResourceType,
};

use super::Course;
use crate::live_check::copies::Copied;
use crate::live_check::fact::{Fact, Seen};
use crate::live_check::party::Party;
use crate::live_check::patience::Waiting;
use crate::live_check::scene::{LONGEST, Scene};

const IMAGE: Fact = Fact {
    name: "copy-image",
    claim: "CopyImage copies another account's encrypted image under the target's key, and the \
            copy names its source",
    otherwise: "Strategy: Image fails for such images; use Snapshots",
};
const BILLED_IMAGE: Fact = Fact {
    name: "copy-image-billing",
    claim: "CopyImage copies another account's image that has billing data, and keeps these",
    otherwise: "Such an image has to be made in the target account",
};
const BILLED_SNAPSHOT: Fact = Fact {
    name: "snapshot-billing",
    claim: "An image on copied snapshots of another account keeps the source's billing data",
    otherwise: "Strategy: Snapshots loses them; a run discards such copies",
};

/// An image to copy, as the source account sees it.
struct Original {
    id: String,
    image: Image,
}

impl Course<'_> {
    /// Lets the target launch the image for the time of a copy of it.
    pub(super) async fn images(&mut self, told: &impl Fn(&str)) -> Result<(), Refusal> {
        told("copying the image as a whole");
        let scene = self.scene;
        let seen = self.copied_as_whole(&scene.image).await;
        self.note(IMAGE, seen);
        let Some(billed) = self.billed else {
            for fact in [BILLED_IMAGE, BILLED_SNAPSHOT] {
                self.note(fact, Seen::unknown("not tried: needs --billed-image"));
            }
            return Ok(());
        };
        told("copying an image with billing data");
        match scene.take_over(billed).await {
            Err(refusal) => {
                for fact in [BILLED_IMAGE, BILLED_SNAPSHOT] {
                    self.note(fact, Seen::unknown(refusal.to_string()));
                }
            }
            Ok(own) => {
                let seen = self.copied_as_whole(&own).await;
                self.note(BILLED_IMAGE, seen);
                let seen = self.copied_by_snapshots(&own).await;
                self.note(BILLED_SNAPSHOT, seen);
            }
        }
        Ok(())
    }

    async fn copied_as_whole(&self, id: &str) -> Result<Seen, Refusal> {
        let scene = self.scene;
        let original = scene.original(id).await?;
        scene.permit_launch(id, OperationType::Add).await?;
        for snapshot in snapshots(&original.image) {
            scene.permit_snapshot(&snapshot, OperationType::Add).await?;
        }
        let mut waiting = Waiting::at_most(scene.check.patience);
        let seen = loop {
            match self.scene.copy_image(&self.role, id).await {
                Ok(copy) => break self.compared(&original, &copy).await,
                // The permission spreads.
                Err(refusal)
                    if refusal.code == "InvalidAMIID.NotFound" && waiting.goes_on().await => {}
                Err(refusal) => {
                    break Ok(Seen::no(format!("{} {}", refusal.code, refusal.message)));
                }
            }
        };
        scene.permit_launch(id, OperationType::Remove).await?;
        seen
    }

    /// Waits for the copy, and compares what only CopyImage keeps.
    async fn compared(&self, original: &Original, copy: &str) -> Result<Seen, Refusal> {
        let (role, home) = (&self.role, self.scene.check.home.as_str());
        let image = self.scene.end_of_image(role, home, copy).await?;
        if image.state != Some(ImageState::Available) {
            let why = image.state_reason.and_then(|reason| reason.message);
            return Ok(Seen::no(format!(
                "the copy failed: {}",
                why.unwrap_or_else(|| "no reason".to_owned())
            )));
        }
        let ancestor = image.source_image_id.as_deref().unwrap_or("nothing");
        let words = format!("{}; it names {ancestor} as its source", billing(&image));
        let kept = billing(&image) == billing(&original.image) && ancestor == original.id;
        Ok(Seen::that(kept, words))
    }

    /// Copies the root snapshot of an image, and registers an image on the copy.
    async fn copied_by_snapshots(&self, id: &str) -> Result<Seen, Refusal> {
        let (scene, check) = (self.scene, &self.scene.check);
        let original = scene.original(id).await?;
        let Some(root) = snapshots(&original.image).into_iter().next() else {
            return Ok(Seen::unknown("the image has no snapshot"));
        };
        let attempt = crate::live_check::copies::Attempt {
            snapshot: &root,
            ..scene.attempt(&check.home)
        };
        let copied = scene.copy_until(&self.role, &attempt, Copied::is_completed);
        let copy = match copied.await? {
            (Copied::Completed(copy), _) => copy,
            (other, _) => return Ok(Seen::unknown(other.words())),
        };
        let name = format!("{}-billed", check.name());
        let image = check
            .register(&self.role, &check.home, &name, &copy)
            .await?;
        let image = scene.end_of_image(&self.role, &check.home, &image).await?;
        let (is, was) = (billing(&image), billing(&original.image));
        let kept = is == was;
        Ok(Seen::that(
            kept,
            format!("{is}, where the source has {was}"),
        ))
    }
}

/// Returns what AWS bills an image by.
fn billing(image: &Image) -> String {
    let platform = image.platform_details.as_deref().unwrap_or("no platform");
    let usage = image.usage_operation.as_deref().unwrap_or("no operation");
    format!("{platform} ({usage})")
}

/// Returns the snapshots of an image, its root first.
fn snapshots(image: &Image) -> Vec<String> {
    let root = image.root_device_name.as_deref();
    let mut mappings: Vec<_> = image.block_device_mappings().iter().collect();
    mappings.sort_by_key(|mapping| mapping.device_name() != root);
    let disks = mappings.into_iter().filter_map(|mapping| mapping.ebs());
    disks.filter_map(|disk| disk.snapshot_id.clone()).collect()
}

impl Scene {
    async fn original(&self, id: &str) -> Result<Original, Refusal> {
        let image = self
            .end_of_image(&self.check.source, &self.check.home, id)
            .await?;
        Ok(Original {
            id: id.to_owned(),
            image,
        })
    }

    async fn permit_launch(&self, image: &str, change: OperationType) -> Result<(), Refusal> {
        let (source, region) = (&self.check.source, self.check.home.as_str());
        let account = LaunchPermission::builder()
            .user_id(&self.check.target.account)
            .build();
        let modifications = LaunchPermissionModifications::builder();
        let modifications = if change == OperationType::Add {
            modifications.add(account)
        } else {
            modifications.remove(account)
        };
        let changed = source
            .ec2(region)
            .modify_image_attribute()
            .image_id(image)
            .launch_permission(modifications.build())
            .send()
            .await;
        changed.map_err(|e| source.refused("ModifyImageAttribute", region, image, &e))?;
        Ok(())
    }

    async fn copy_image(&self, role: &Party, id: &str) -> Result<String, Refusal> {
        let key = self.key_in(&self.check.home);
        let name = format!("{}-{id}", self.check.name());
        self.image_copied(role, id, key, &name).await
    }

    /// Makes the source account's own copy of an image, under the source key.
    async fn take_over(&self, id: &str) -> Result<String, Refusal> {
        let name = format!("{}-own", self.check.name());
        let source = &self.check.source;
        let own = self.image_copied(source, id, &self.source_key, &name);
        let own = own.await?;
        self.end_of_image(source, &self.check.home, &own).await?;
        Ok(own)
    }

    async fn image_copied(
        &self,
        party: &Party,
        id: &str,
        key: &str,
        name: &str,
    ) -> Result<String, Refusal> {
        let region = self.check.home.as_str();
        let copied = party
            .ec2(region)
            .copy_image()
            .source_region(region)
            .source_image_id(id)
            .name(name)
            .encrypted(true)
            .kms_key_id(key)
            .client_token(name)
            .tag_specifications(self.check.tags(ResourceType::Image))
            .tag_specifications(self.check.tags(ResourceType::Snapshot))
            .send()
            .await;
        let copied = copied.map_err(|e| party.refused("CopyImage", region, id, &e))?;
        Ok(copied.image_id.unwrap_or_default())
    }

    /// Waits until an image is available or has failed.
    async fn end_of_image(&self, party: &Party, region: &str, id: &str) -> Result<Image, Refusal> {
        let mut waiting = Waiting::at_most(LONGEST);
        loop {
            let asked = party
                .ec2(region)
                .describe_images()
                .image_ids(id)
                .send()
                .await;
            let refusal = match asked {
                Ok(shown) => {
                    let found = shown.images.unwrap_or_default().pop();
                    match found {
                        Some(image) if image.state != Some(ImageState::Pending) => {
                            return Ok(image);
                        }
                        _ => None,
                    }
                }
                Err(e) => Some(party.refused("DescribeImages", region, id, &e)),
            };
            if let Some(refusal) = refusal.filter(|r| r.code != "InvalidAMIID.NotFound") {
                return Err(refusal);
            }
            if !waiting.goes_on().await {
                let at = party.place(region);
                return Err(Refusal::ours(
                    "DescribeImages",
                    &at,
                    id,
                    "Timeout",
                    "not available",
                ));
            }
        }
    }
}
