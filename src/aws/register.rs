//! Registering the copy with every attribute of the source that can be set. An allowlist: a field nobody listed is not
//! carried over, and the check that follows says so.

use aws_sdk_ec2::types::{
    ArchitectureValues, BlockDeviceMapping, BootModeValues, EbsBlockDevice, Image,
    ImdsSupportValues, ResourceType, TpmSupportValues, VolumeType,
};

use super::{Aws, image, refusal, tags};
use crate::command::{Outcome, image_key, tag};
use crate::error::Refusal;
use crate::ids::SnapshotId;
use crate::name::NameFacts;
use crate::source::{Device, Mapping, Source};
use crate::state::{State, TargetState};

/// Seconds after which the tags of a new image are surely visible.
const TAGS_SHOW_WITHIN: i64 = 300;

impl Aws {
    pub(super) async fn register(&self, state: &State, source: &Source, i: usize) -> Outcome {
        match self.register_image(state, source, &state.targets[i]).await {
            Ok(outcome) => outcome,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    async fn register_image(
        &self,
        state: &State,
        source: &Source,
        target: &TargetState,
    ) -> Result<Outcome, Refusal> {
        let actor = self.session(state, target).await?;
        let ec2 = self.ec2(&actor, &target.region);
        let at = actor.at(&target.region);
        let name = name(state, source, target);
        let copies: Vec<SnapshotId> = target.copies.iter().flatten().cloned().collect();
        let from = &source.image;
        let answer = ec2
            .register_image()
            .name(&name)
            .set_description(from.description.clone())
            .set_architecture(from.architecture.as_deref().map(ArchitectureValues::from))
            .set_virtualization_type(from.virtualization_type.clone())
            .set_root_device_name(from.root_device_name.clone())
            .ena_support(from.ena_support)
            .set_sriov_net_support(from.sriov_net_support.clone())
            .set_boot_mode(from.boot_mode.as_deref().map(BootModeValues::from))
            .set_tpm_support(from.tpm_support.as_deref().map(TpmSupportValues::from))
            .set_imds_support(from.imds_support.as_deref().map(ImdsSupportValues::from))
            .set_uefi_data(from.uefi_data.clone())
            .set_block_device_mappings(Some(
                source
                    .mappings_onto(&copies)
                    .iter()
                    .map(to_register)
                    .collect(),
            ))
            .tag_specifications(tags::of_copy(
                state,
                &from.tags,
                &image_key(state, target),
                ResourceType::Image,
            ))
            .send()
            .await;
        let refused = match answer {
            Ok(answer) => {
                let id = answer
                    .image_id()
                    .and_then(|id| crate::ids::ImageId::parse(id).ok());
                return Ok(id.map_or_else(
                    || Outcome::NotYet(format!("RegisterImage of {name} told no image ID")),
                    Outcome::Registered,
                ));
            }
            Err(error) => refusal("RegisterImage", &at, &name, &error),
        };
        if refused.code != "InvalidAMIName.Duplicate" {
            return Err(refused);
        }
        // Somebody was first: another process of ours, or this one in a former life.
        let key = image_key(state, target);
        let holders = image::own_images_by(&ec2, &at, "name", &name).await?;
        let is_ours = |i: &&aws_sdk_ec2::types::Image| {
            i.tags()
                .iter()
                .any(|t| t.key() == Some(tag::KEY) && t.value() == Some(key.as_str()))
        };
        let ours = holders.iter().find(is_ours).and_then(image::id_of);
        match (ours, holders.first()) {
            (Some(ours), _) => Ok(Outcome::NameTaken(Some(ours), refused)),
            // Too young to be sure that its tags would show: perhaps ours after all.
            (None, Some(other)) if !self.is_young(other) => {
                let holder = other.image_id().unwrap_or("another image");
                let message = format!("{} ({holder} has it)", refused.message);
                Err(Refusal { message, ..refused })
            }
            (None, _) => Ok(Outcome::NameTaken(None, refused)),
        }
    }

    fn is_young(&self, image: &Image) -> bool {
        self.now() - image::created(image) < TAGS_SHOW_WITHIN
    }
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

/// A mapping as RegisterImage takes it: `Encrypted`, `KmsKeyId` and `OutpostArn` beside a snapshot make it refuse.
fn to_register(mapping: &Mapping) -> BlockDeviceMapping {
    let builder = BlockDeviceMapping::builder().device_name(&mapping.device_name);
    match &mapping.device {
        Device::Ephemeral(name) => builder.virtual_name(name).build(),
        Device::NoDevice => builder.no_device("").build(),
        Device::Ebs {
            snapshot,
            delete_on_termination,
            volume_type,
            size,
            iops,
            throughput,
            encrypted,
        } => {
            let ebs = EbsBlockDevice::builder()
                .set_delete_on_termination(*delete_on_termination)
                .set_volume_type(volume_type.as_deref().map(VolumeType::from))
                .set_volume_size(*size)
                .set_iops(*iops)
                .set_throughput(*throughput)
                .set_snapshot_id(snapshot.as_ref().map(ToString::to_string))
                .set_encrypted((snapshot.is_none() && *encrypted).then_some(true));
            builder.ebs(ebs.build()).build()
        }
    }
}
