//! The comparison of a copy with its source, attribute by attribute.

use super::{Device, ImageFacts, Mapping, Source, text};
use crate::ids::SnapshotId;

/// One attribute of an image, in the source and in its copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// AWS's name, after the device of a block device mapping.
    pub name: String,
    /// The value of the source.
    pub source: String,
    /// The value of the copy.
    pub copy: String,
    /// The difference in words; `None` if the copy is as it has to be.
    pub difference: Option<String>,
}

impl Attribute {
    fn new(name: &str, source: &str, copy: &str) -> Self {
        Self {
            name: name.to_owned(),
            source: source.to_owned(),
            copy: copy.to_owned(),
            difference: (source != copy)
                .then(|| format!("{name} is {copy} where the source has {source}")),
        }
    }
}

impl Source {
    /// Returns the differences of `copy` from this image that matter; empty if it equals its
    /// source. `copies` are the copies of the snapshots, in their order.
    pub fn differences(&self, copy: &ImageFacts, copies: &[SnapshotId]) -> Vec<String> {
        let attributes = self.attributes(copy, copies).into_iter();
        attributes.filter_map(|one| one.difference).collect()
    }

    /// Returns every attribute that a copy must have as its source has it.
    pub fn attributes(&self, copy: &ImageFacts, copies: &[SnapshotId]) -> Vec<Attribute> {
        let ours = &self.image;
        let texts = [
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
        let texts = texts.map(|(name, source, copy)| {
            Attribute::new(name, text(source.as_deref()), text(copy.as_deref()))
        });
        let ena = [ours, copy].map(|facts| facts.ena_support.to_string());
        let imds = [ours, copy].map(|facts| text(facts.imds_support.as_deref()));
        let mut imds = Attribute::new("ImdsSupport", imds[0], imds[1]);
        if ours.imds_support.is_none() {
            // A source that says nothing leaves it to the target's account.
            imds.difference = None;
        }
        let mut all: Vec<Attribute> = texts.into();
        all.extend([Attribute::new("EnaSupport", &ena[0], &ena[1]), imds]);
        all.extend(self.of_mappings(copy, copies));
        all
    }

    fn of_mappings(&self, copy: &ImageFacts, copies: &[SnapshotId]) -> Vec<Attribute> {
        let expected = self.mappings_onto(copies);
        let at = |mappings: &[Mapping], device: &str| {
            let mut mappings = mappings.iter();
            mappings.find(|m| m.device_name == device).cloned()
        };
        let mut found = Vec::new();
        for Mapping {
            device_name: name,
            device,
        } in &expected
        {
            match at(&copy.mappings, name) {
                Some(there) => found.extend(of_device(name, device, &there.device)),
                None => found.push(Attribute {
                    name: name.clone(),
                    source: device.kind(),
                    copy: text(None).to_owned(),
                    difference: Some(format!("there is no block device mapping of {name}")),
                }),
            }
        }
        let surplus = copy.mappings.iter();
        let surplus = surplus.filter(|mapping| at(&expected, &mapping.device_name).is_none());
        found.extend(surplus.map(
            |Mapping {
                 device_name,
                 device,
             }| Attribute {
                name: device_name.clone(),
                source: text(None).to_owned(),
                copy: device.kind(),
                difference: Some(format!(
                    "there is a block device mapping of {device_name} that the source has not"
                )),
            },
        ));
        found
    }
}

/// Compares a device field by field. Encryption is ignored: the copies are encrypted even if the
/// source is not.
fn of_device(name: &str, expected: &Device, there: &Device) -> Vec<Attribute> {
    let (Some(fields), Some(those)) = (expected.told(), there.told()) else {
        let mut kind = Attribute::new(name, &expected.kind(), &there.kind());
        kind.difference = (expected != there).then(|| {
            format!(
                "block device mapping of {name}: it is {} where the source has {}",
                there.kind(),
                expected.kind()
            )
        });
        return vec![kind];
    };
    let both = fields.into_iter().zip(those);
    both.map(|((field, source), (_, copy))| {
        let compared = Attribute::new(field, &source, &copy);
        let difference = compared.difference.as_ref();
        Attribute {
            name: format!("{name} {field}"),
            difference: difference.map(|said| format!("block device mapping of {name}: {said}")),
            ..compared
        }
    })
    .collect()
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
