//! Registering the copy with every attribute of the source that can be set. An allowlist: a field nobody listed is not
//! carried over, and the check that follows says so.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::register_image::builders::RegisterImageFluentBuilder;
use aws_sdk_ec2::types::{
    ArchitectureValues, BlockDeviceMapping, BootModeValues, EbsBlockDevice, ImdsSupportValues,
    ResourceType, TpmSupportValues, VolumeType,
};

use super::naming::{self, Holder};
use super::{Aws, image, refusal, tags};
use crate::command::{Outcome, image_key};
use crate::error::Refusal;
use crate::ids::SnapshotId;
use crate::source::{Device, Mapping, Source};
use crate::state::{State, TargetState};

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
        let renews = state.order.renewal.is_some();
        let former = renews
            && matches!(
                self.holder(&ec2, &at, state, source, target).await?,
                Holder::Former
            );
        let name = if former {
            naming::free_name(state, source, target)
        } else {
            naming::name(state, source, target)
        };
        let copies: Vec<SnapshotId> = target.copies.iter().flatten().cloned().collect();
        let mappings = source.mappings_onto(&copies);
        let answer = registering(&ec2, state, source, target, &mappings)
            .name(&name)
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
        match self.holder(&ec2, &at, state, source, target).await? {
            Holder::Ours(image) => Ok(Outcome::NameTaken(image::id_of(&image), refused)),
            Holder::Another(other) => {
                let message = format!("{} ({} has it)", refused.message, naming::told(&other));
                Err(Refusal { message, ..refused })
            }
            Holder::Former => {
                let ours = naming::own_copy(&ec2, &at, state, target).await?;
                let ours = ours.filter(|image| naming::is_named(image, state, source, target));
                Ok(Outcome::NameTaken(
                    ours.as_ref().and_then(image::id_of),
                    refused,
                ))
            }
            Holder::Nobody | Holder::Young => Ok(Outcome::NameTaken(None, refused)),
        }
    }
}

/// The request that registers a target's image, whether it is sent or only asked about.
pub fn registering(
    ec2: &Client,
    state: &State,
    source: &Source,
    target: &TargetState,
    mappings: &[Mapping],
) -> RegisterImageFluentBuilder {
    let from = &source.image;
    ec2.register_image()
        .name(naming::name(state, source, target))
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
        .set_block_device_mappings(Some(mappings.iter().map(to_register).collect()))
        .tag_specifications(tags::of_copy(
            state,
            &from.tags,
            &image_key(state, target),
            ResourceType::Image,
        ))
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
