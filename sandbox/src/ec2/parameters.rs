//! The parameters of each operation. A parameter unknown to AWS is `UnknownParameter`. A parameter
//! that the sandbox does not model is refused by name, so that nothing is silently ignored.
//!
//! Source: the service model, `queryName` or capitalised `locationName`. `N` stands for a number.
//! The first part of a name stands for all names that begin with it and are not modelled.

mod keeping;
mod launching;
mod volumes;

use crate::refusals::{self, Refused};
use crate::wire::query::Query;

struct Accepted {
    operation: &'static str,
    modelled: &'static [&'static str],
    unmodelled: &'static [&'static str],
}

const FILTERS: [&str; 2] = ["Filter.N.Name", "Filter.N.Value.N"];
const TAG_SPECIFICATION: [&str; 3] = [
    "TagSpecification.N.ResourceType",
    "TagSpecification.N.Tag.N.Key",
    "TagSpecification.N.Tag.N.Value",
];

const CHANGE_FAST_RESTORES: &[&str] = &[
    "AvailabilityZone.N",
    "AvailabilityZoneId.N",
    "SourceSnapshotId.N",
];

static TABLE: &[Accepted] = &[
    Accepted {
        operation: "EnableFastSnapshotRestores",
        modelled: CHANGE_FAST_RESTORES,
        unmodelled: &[],
    },
    Accepted {
        operation: "DisableFastSnapshotRestores",
        modelled: CHANGE_FAST_RESTORES,
        unmodelled: &[],
    },
    Accepted {
        operation: "DescribeFastSnapshotRestores",
        modelled: &["MaxResults", "NextToken", FILTERS[0], FILTERS[1]],
        unmodelled: &[],
    },
    Accepted {
        operation: "DescribeImages",
        modelled: &[
            "ExecutableBy.N",
            "ImageId.N",
            "Owner.N",
            "IncludeDeprecated",
            "IncludeDisabled",
            "MaxResults",
            "NextToken",
            FILTERS[0],
            FILTERS[1],
        ],
        unmodelled: &[],
    },
    Accepted {
        operation: "DescribeImageAttribute",
        modelled: &["Attribute", "ImageId"],
        unmodelled: &[],
    },
    Accepted {
        operation: "ModifyImageAttribute",
        modelled: &[
            "Attribute",
            "ImageId",
            "OperationType",
            "Value",
            "Description.Value",
            "ImdsSupport.Value",
            "UserId.N",
            "UserGroup.N",
            "OrganizationArn.N",
            "OrganizationalUnitArn.N",
            "LaunchPermission.Add.N.UserId",
            "LaunchPermission.Add.N.Group",
            "LaunchPermission.Add.N.OrganizationArn",
            "LaunchPermission.Add.N.OrganizationalUnitArn",
            "LaunchPermission.Remove.N.UserId",
            "LaunchPermission.Remove.N.Group",
            "LaunchPermission.Remove.N.OrganizationArn",
            "LaunchPermission.Remove.N.OrganizationalUnitArn",
        ],
        unmodelled: &["ProductCode.N"],
    },
    Accepted {
        operation: "DescribeSnapshots",
        modelled: &[
            "SnapshotId.N",
            "Owner.N",
            "RestorableBy.N",
            "MaxResults",
            "NextToken",
            FILTERS[0],
            FILTERS[1],
        ],
        unmodelled: &[],
    },
    Accepted {
        operation: "DescribeSnapshotAttribute",
        modelled: &["Attribute", "SnapshotId"],
        unmodelled: &[],
    },
    Accepted {
        operation: "ModifySnapshotAttribute",
        modelled: &[
            "Attribute",
            "SnapshotId",
            "OperationType",
            "UserId.N",
            "UserGroup.N",
            "CreateVolumePermission.Add.N.UserId",
            "CreateVolumePermission.Add.N.Group",
            "CreateVolumePermission.Remove.N.UserId",
            "CreateVolumePermission.Remove.N.Group",
        ],
        unmodelled: &[],
    },
    Accepted {
        operation: "CopySnapshot",
        modelled: &[
            "Description",
            "DestinationRegion",
            "Encrypted",
            "KmsKeyId",
            "PresignedUrl",
            "SourceRegion",
            "SourceSnapshotId",
            "CompletionDurationMinutes",
            TAG_SPECIFICATION[0],
            TAG_SPECIFICATION[1],
            TAG_SPECIFICATION[2],
        ],
        unmodelled: &["DestinationOutpostArn", "DestinationAvailabilityZone"],
    },
    Accepted {
        operation: "RegisterImage",
        modelled: &[
            "Name",
            "Description",
            "Architecture",
            "RootDeviceName",
            "VirtualizationType",
            "SriovNetSupport",
            "EnaSupport",
            "BootMode",
            "TpmSupport",
            "UefiData",
            "ImdsSupport",
            "KernelId",
            "RamdiskId",
            "BlockDeviceMapping.N.DeviceName",
            "BlockDeviceMapping.N.VirtualName",
            "BlockDeviceMapping.N.NoDevice",
            "BlockDeviceMapping.N.Ebs.SnapshotId",
            "BlockDeviceMapping.N.Ebs.VolumeSize",
            "BlockDeviceMapping.N.Ebs.VolumeType",
            "BlockDeviceMapping.N.Ebs.Iops",
            "BlockDeviceMapping.N.Ebs.Throughput",
            "BlockDeviceMapping.N.Ebs.DeleteOnTermination",
            "BlockDeviceMapping.N.Ebs.Encrypted",
            "BlockDeviceMapping.N.Ebs.KmsKeyId",
            "BlockDeviceMapping.N.Ebs.OutpostArn",
            TAG_SPECIFICATION[0],
            TAG_SPECIFICATION[1],
            TAG_SPECIFICATION[2],
        ],
        unmodelled: &[
            "ImageLocation",
            "BillingProduct.N",
            "BlockDeviceMapping.N.Ebs.AvailabilityZone",
            "BlockDeviceMapping.N.Ebs.AvailabilityZoneId",
            "BlockDeviceMapping.N.Ebs.EbsCardIndex",
            "BlockDeviceMapping.N.Ebs.VolumeInitializationRate",
        ],
    },
    Accepted {
        operation: "CopyImage",
        modelled: &[
            "ClientToken",
            "Description",
            "Encrypted",
            "KmsKeyId",
            "Name",
            "SourceImageId",
            "SourceRegion",
            "CopyImageTags",
            "SnapshotCopyCompletionDurationMinutes",
            TAG_SPECIFICATION[0],
            TAG_SPECIFICATION[1],
            TAG_SPECIFICATION[2],
        ],
        unmodelled: &[
            "DestinationOutpostArn",
            "DestinationAvailabilityZone",
            "DestinationAvailabilityZoneId",
        ],
    },
    Accepted {
        operation: "DeregisterImage",
        modelled: &["ImageId", "DeleteAssociatedSnapshots"],
        unmodelled: &[],
    },
    Accepted {
        operation: "DisableImage",
        modelled: &["ImageId"],
        unmodelled: &[],
    },
    Accepted {
        operation: "EnableImage",
        modelled: &["ImageId"],
        unmodelled: &[],
    },
    Accepted {
        operation: "EnableImageDeprecation",
        modelled: &["ImageId", "DeprecateAt"],
        unmodelled: &[],
    },
    Accepted {
        operation: "DisableImageDeprecation",
        modelled: &["ImageId"],
        unmodelled: &[],
    },
    Accepted {
        operation: "EnableImageDeregistrationProtection",
        modelled: &["ImageId", "WithCooldown"],
        unmodelled: &[],
    },
    Accepted {
        operation: "DisableImageDeregistrationProtection",
        modelled: &["ImageId"],
        unmodelled: &[],
    },
    Accepted {
        operation: "DeleteSnapshot",
        modelled: &["SnapshotId"],
        unmodelled: &[],
    },
    Accepted {
        operation: "CreateTags",
        modelled: &["ResourceId.N", "Tag.N.Key", "Tag.N.Value"],
        unmodelled: &[],
    },
    Accepted {
        operation: "DeleteTags",
        modelled: &["ResourceId.N", "Tag.N.Key", "Tag.N.Value"],
        unmodelled: &[],
    },
    Accepted {
        operation: "DescribeRegions",
        modelled: &["RegionName.N", "AllRegions", FILTERS[0], FILTERS[1]],
        unmodelled: &[],
    },
    Accepted {
        operation: "GetAllowedImagesSettings",
        modelled: &[],
        unmodelled: &[],
    },
    Accepted {
        operation: "GetImageBlockPublicAccessState",
        modelled: &[],
        unmodelled: &[],
    },
    Accepted {
        operation: "GetSnapshotBlockPublicAccessState",
        modelled: &[],
        unmodelled: &[],
    },
    Accepted {
        operation: "GetEbsDefaultKmsKeyId",
        modelled: &[],
        unmodelled: &[],
    },
];

pub(super) fn check(operation: &str, query: &Query) -> Result<(), Refused> {
    let Some(accepted) = TABLE
        .iter()
        .chain(launching::TABLE)
        .chain(keeping::TABLE)
        .chain(volumes::TABLE)
        .find(|accepted| accepted.operation == operation)
    else {
        return Ok(());
    };
    for name in query.params().keys() {
        let pattern = pattern(name);
        let is_in = |list: &[&str]| list.contains(&pattern.as_str());
        if is_in(accepted.modelled) || pattern == "DryRun" {
            continue;
        }
        let first = pattern.split('.').next().unwrap_or_default();
        if is_in(accepted.unmodelled) || accepted.unmodelled.contains(&first) {
            return Err(
                refusals::NOT_IMPLEMENTED.with(&[&format!("parameter {name} of {operation}")])
            );
        }
        return Err(refusals::UNKNOWN_PARAMETER.with(&[name]));
    }
    Ok(())
}

/// Replaces numbers: `Filter.2.Value.1` becomes `Filter.N.Value.N`.
fn pattern(name: &str) -> String {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let parts = name
        .split('.')
        .map(|part| if number(part) { "N" } else { part });
    parts.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_pattern_matches_any_number() {
        assert_eq!(pattern("Filter.12.Value.3"), "Filter.N.Value.N");
        assert_eq!(pattern("Filter..Value"), "Filter..Value");
    }
}
