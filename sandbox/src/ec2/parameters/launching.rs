//! The parameters of operations on launch templates.

use super::{Accepted, FILTERS};

pub(super) static TABLE: &[Accepted] = &[
    Accepted {
        operation: "DescribeLaunchTemplates",
        modelled: &[
            "LaunchTemplateId.N",
            "LaunchTemplateName.N",
            "MaxResults",
            "NextToken",
            FILTERS[0],
            FILTERS[1],
        ],
        unmodelled: &["IncludeManagedResources"],
    },
    Accepted {
        operation: "DescribeLaunchTemplateVersions",
        modelled: &[
            "LaunchTemplateId",
            "LaunchTemplateName",
            "LaunchTemplateVersion.N",
            "MinVersion",
            "MaxVersion",
            "MaxResults",
            "NextToken",
            FILTERS[0],
            FILTERS[1],
        ],
        unmodelled: &["ResolveAlias", "IncludeManagedResources"],
    },
    Accepted {
        operation: "CreateLaunchTemplateVersion",
        modelled: &[
            "ClientToken",
            "LaunchTemplateId",
            "LaunchTemplateName",
            "SourceVersion",
            "VersionDescription",
            "LaunchTemplateData.ImageId",
            "LaunchTemplateData.InstanceType",
            "LaunchTemplateData.BlockDeviceMapping.N.DeviceName",
            "LaunchTemplateData.BlockDeviceMapping.N.Ebs.SnapshotId",
            "LaunchTemplateData.BlockDeviceMapping.N.Ebs.KmsKeyId",
        ],
        unmodelled: &["LaunchTemplateData", "ResolveAlias"],
    },
    Accepted {
        operation: "ModifyLaunchTemplate",
        modelled: &[
            "ClientToken",
            "LaunchTemplateId",
            "LaunchTemplateName",
            "SetDefaultVersion",
        ],
        unmodelled: &[],
    },
];
