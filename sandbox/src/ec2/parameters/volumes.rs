//! The parameters of operations on volumes and zones.

use super::{Accepted, FILTERS, TAG_SPECIFICATION};

pub(super) static TABLE: &[Accepted] = &[
    Accepted {
        operation: "DescribeAvailabilityZones",
        modelled: &[],
        unmodelled: &[
            "ZoneName.N",
            "ZoneId.N",
            "AllAvailabilityZones",
            FILTERS[0],
            FILTERS[1],
        ],
    },
    Accepted {
        operation: "CreateVolume",
        modelled: &[
            "AvailabilityZone",
            "ClientToken",
            "Encrypted",
            "KmsKeyId",
            "Size",
            "VolumeType",
            TAG_SPECIFICATION[0],
            TAG_SPECIFICATION[1],
            TAG_SPECIFICATION[2],
        ],
        unmodelled: &[
            "AvailabilityZoneId",
            "Iops",
            "MultiAttachEnabled",
            "Operator",
            "OutpostArn",
            "SnapshotId",
            "Throughput",
            "VolumeInitializationRate",
        ],
    },
    Accepted {
        operation: "DescribeVolumes",
        modelled: &[
            "VolumeId.N",
            "MaxResults",
            "NextToken",
            FILTERS[0],
            FILTERS[1],
        ],
        unmodelled: &["IncludeManagedResources"],
    },
    Accepted {
        operation: "DeleteVolume",
        modelled: &["VolumeId"],
        unmodelled: &[],
    },
    Accepted {
        operation: "CreateSnapshot",
        modelled: &[
            "Description",
            "VolumeId",
            TAG_SPECIFICATION[0],
            TAG_SPECIFICATION[1],
            TAG_SPECIFICATION[2],
        ],
        unmodelled: &["Location", "OutpostArn"],
    },
];
