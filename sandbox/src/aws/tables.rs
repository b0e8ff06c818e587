//! AWS's own lists that the sandbox knows.

/// The Regions of all partitions: (name, whether an account must opt in).
pub(crate) const REGIONS: &[(&str, bool)] = &[
    ("af-south-1", true),
    ("ap-east-1", true),
    ("ap-northeast-1", false),
    ("ap-northeast-2", false),
    ("ap-northeast-3", false),
    ("ap-south-1", false),
    ("ap-south-2", true),
    ("ap-southeast-1", false),
    ("ap-southeast-2", false),
    ("ap-southeast-3", true),
    ("ap-southeast-4", true),
    ("ca-central-1", false),
    ("ca-west-1", true),
    ("cn-north-1", false),
    ("cn-northwest-1", false),
    ("eu-central-1", false),
    ("eu-central-2", true),
    ("eu-north-1", false),
    ("eu-south-1", true),
    ("eu-south-2", true),
    ("eu-west-1", false),
    ("eu-west-2", false),
    ("eu-west-3", false),
    ("il-central-1", true),
    ("me-central-1", true),
    ("me-south-1", true),
    ("sa-east-1", false),
    ("us-east-1", false),
    ("us-east-2", false),
    ("us-gov-east-1", false),
    ("us-gov-west-1", false),
    ("us-west-1", false),
    ("us-west-2", false),
];

pub(crate) fn is_region(name: &str) -> bool {
    REGIONS.iter().any(|(region, _)| *region == name)
}

pub(crate) fn is_opt_in(name: &str) -> bool {
    REGIONS.contains(&(name, true))
}
