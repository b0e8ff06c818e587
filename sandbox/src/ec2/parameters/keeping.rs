//! The parameters of operations that tell what keeps an image or a snapshot.

use super::Accepted;

pub(super) static TABLE: &[Accepted] = &[Accepted {
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
}];
