//! Registering the copy with every attribute of the source that can be set. The list is an
//! allowlist: the check that follows reports a field that is missing here.

use aws_sdk_ec2::operation::register_image::builders::RegisterImageFluentBuilder;
use aws_sdk_ec2::types::{
    ArchitectureValues, BlockDeviceMapping, BootModeValues, EbsBlockDevice, ImdsSupportValues,
    ResourceType, TpmSupportValues, VolumeType,
};

use super::naming::{self, Holder};
use super::visit::Visit;
use super::{Aws, image, refusal, tags};
use crate::command::{Registered, image_key};
use crate::error::Refusal;
use crate::ids::{ImageId, SnapshotId};
use crate::source::{Device, Mapping, Source};

impl Aws {
    /// Registers the target's image, or finds the image that has its name.
    pub(super) async fn register(
        &self,
        visit: &Visit<'_>,
        source: &Source,
    ) -> Result<Registered, Refusal> {
        let name = self.new_name(visit, source).await?;
        let copies: Vec<SnapshotId> = visit.target.work.copies.iter().flatten().cloned().collect();
        let mappings = source.mappings_onto(&copies);
        let asked = registering(visit, source, &mappings).name(&name);
        let refused = match asked.send().await {
            Ok(answer) => {
                let id = answer.image_id().and_then(|id| ImageId::parse(id).ok());
                return Ok(id.map_or_else(
                    || Registered::NotYet(format!("RegisterImage of {name} told no image ID")),
                    Registered::Image,
                ));
            }
            Err(error) => refusal("RegisterImage", &visit.at, &name, &error),
        };
        if refused.code == "InvalidAMIName.Duplicate" {
            self.name_taken(visit, source, refused).await
        } else {
            Err(refused)
        }
    }

    /// Finds out who was first: another process of the run, this process before a crash, or a
    /// stranger.
    async fn name_taken(
        &self,
        visit: &Visit<'_>,
        source: &Source,
        refused: Refusal,
    ) -> Result<Registered, Refusal> {
        match self.holder(visit, source).await? {
            Holder::Ours(image) => Ok(Registered::NameTaken(image::id_of(&image), refused)),
            Holder::Another(other) => {
                let message = format!("{} ({} has it)", refused.message, naming::told(&other));
                Err(Refusal { message, ..refused })
            }
            Holder::Former => {
                let ours = naming::own_copy(visit).await?;
                let (run, target) = (visit.run, visit.target);
                let ours = ours.filter(|image| naming::is_named(image, run, source, target));
                let id = ours.as_ref().and_then(image::id_of);
                Ok(Registered::NameTaken(id, refused))
            }
            Holder::Nobody | Holder::Young => Ok(Registered::NameTaken(None, refused)),
        }
    }
}

/// Returns the request that registers a target's image, whether it is sent or only asked about.
pub(super) fn registering(
    visit: &Visit<'_>,
    source: &Source,
    mappings: &[Mapping],
) -> RegisterImageFluentBuilder {
    let (run, target) = (visit.run, visit.target);
    let from = &source.image;
    let key = image_key(&run.source.image_id, target);
    let tags = tags::of_copy(run, &from.tags, &key, ResourceType::Image);
    visit
        .ec2
        .register_image()
        .name(naming::name(run, source, target))
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
        .tag_specifications(tags)
}

/// Returns a mapping as RegisterImage takes it, which refuses `Encrypted`, `KmsKeyId` and
/// `OutpostArn` beside a snapshot.
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
