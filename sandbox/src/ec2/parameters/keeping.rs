//! The parameters of operations that tell what keeps an image or a snapshot.

use super::{Accepted, FILTERS};

pub(super) static TABLE: &[Accepted] = &[
    Accepted {
        operation: "DescribeImageReferences",
        modelled: &[
            "ImageId.N",
            "IncludeAllResourceTypes",
            "MaxResults",
            "NextToken",
            "ResourceType.N.ResourceType",
            "ResourceType.N.ResourceTypeOption.N.OptionName",
            "ResourceType.N.ResourceTypeOption.N.OptionValue.N",
        ],
        unmodelled: &[],
    },
    Accepted {
        operation: "DescribeLockedSnapshots",
        modelled: &[
            "SnapshotId.N",
            "MaxResults",
            "NextToken",
            FILTERS[0],
            FILTERS[1],
        ],
        unmodelled: &[],
    },
    Accepted {
        operation: "LockSnapshot",
        modelled: &["SnapshotId", "LockMode", "LockDuration", "CoolOffPeriod"],
        unmodelled: &["ExpirationDate"],
    },
    Accepted {
        operation: "UnlockSnapshot",
        modelled: &["SnapshotId"],
        unmodelled: &[],
    },
];
