//! The comparison of a copy with its source.

use super::{Device, ImageFacts, Source, text};
use crate::ids::SnapshotId;

impl Source {
    /// Returns the differences of `copy` from this image that matter; empty if it equals its
    /// source. `copies` are the copies of the snapshots, in their order.
    pub fn differences(&self, copy: &ImageFacts, copies: &[SnapshotId]) -> Vec<String> {
        let ours = &self.image;
        let pairs = [
            (
                "PlatformDetails",
                &ours.platform_details,
                &copy.platform_details,
            ),
            (
                "UsageOperation",
                &ours.usage_operation,
                &copy.usage_operation,
            ),
            ("Architecture", &ours.architecture, &copy.architecture),
            (
                "VirtualizationType",
                &ours.virtualization_type,
                &copy.virtualization_type,
            ),
            (
                "RootDeviceName",
                &ours.root_device_name,
                &copy.root_device_name,
            ),
            (
                "SriovNetSupport",
                &ours.sriov_net_support,
                &copy.sriov_net_support,
            ),
            ("BootMode", &ours.boot_mode, &copy.boot_mode),
            ("TpmSupport", &ours.tpm_support, &copy.tpm_support),
            ("UefiData", &ours.uefi_data, &copy.uefi_data),
        ];
        let mut found: Vec<String> = pairs
            .iter()
            .filter(|(_, source, copy)| source != copy)
            .map(|(what, source, copy)| {
                format!(
                    "{what} is {} where the source has {}",
                    text(copy.as_deref()),
                    text(source.as_deref())
                )
            })
            .collect();
        if ours.ena_support != copy.ena_support {
            found.push(format!(
                "EnaSupport is {} where the source has {}",
                copy.ena_support, ours.ena_support
            ));
        }
        if ours.imds_support.is_some() && copy.imds_support != ours.imds_support {
            found.push(format!(
                "ImdsSupport is {} where the source has {}",
                text(copy.imds_support.as_deref()),
                text(ours.imds_support.as_deref())
            ));
        }
        found.extend(self.mapping_differences(copy, copies));
        found
    }

    fn mapping_differences(&self, copy: &ImageFacts, copies: &[SnapshotId]) -> Vec<String> {
        let expected = self.mappings_onto(copies);
        let mut found = Vec::new();
        for mapping in &expected {
            let there = copy
                .mappings
                .iter()
                .find(|m| m.device_name == mapping.device_name);
            let device = &mapping.device_name;
            let Some(there) = there else {
                found.push(format!("there is no block device mapping of {device}"));
                continue;
            };
            let differences = device_differences(&mapping.device, &there.device);
            found.extend(
                differences
                    .into_iter()
                    .map(|difference| format!("block device mapping of {device}: {difference}")),
            );
        }
        for mapping in &copy.mappings {
            if !expected
                .iter()
                .any(|m| m.device_name == mapping.device_name)
            {
                found.push(format!(
                    "there is a block device mapping of {} that the source has not",
                    mapping.device_name
                ));
            }
        }
        found
    }
}

/// Returns the differences of a device, field by field. Encryption is ignored: the copies are
/// encrypted even if the source is not.
fn device_differences(expected: &Device, there: &Device) -> Vec<String> {
    match (expected.told(), there.told()) {
        (Some(expected), Some(there)) => expected
            .into_iter()
            .zip(there)
            .filter(|(expected, there)| expected.1 != there.1)
            .map(|((field, expected), (_, there))| {
                format!("{field} is {there} where the source has {expected}")
            })
            .collect(),
        _ if expected == there => Vec::new(),
        _ => vec![format!(
            "it is {} where the source has {}",
            there.kind(),
            expected.kind()
        )],
    }
}

impl Device {
    /// Returns the fields of an EBS volume, by AWS's names.
    fn told(&self) -> Option<[(&'static str, String); 6]> {
        fn word<T: ToString>(value: Option<&T>) -> String {
            value.map_or_else(|| "absent".to_owned(), ToString::to_string)
        }
        let Self::Ebs {
            snapshot,
            delete_on_termination,
            volume_type,
            size,
            iops,
            throughput,
            ..
        } = self
        else {
            return None;
        };
        Some([
            ("SnapshotId", word(snapshot.as_ref())),
            ("DeleteOnTermination", word(delete_on_termination.as_ref())),
            ("VolumeType", word(volume_type.as_ref())),
            ("VolumeSize", word(size.as_ref())),
            ("Iops", word(iops.as_ref())),
            ("Throughput", word(throughput.as_ref())),
        ])
    }

    fn kind(&self) -> String {
        match self {
            Self::Ebs { .. } => "an EBS volume".to_owned(),
            Self::Ephemeral(name) => name.clone(),
            Self::NoDevice => "no device".to_owned(),
        }
    }
}
