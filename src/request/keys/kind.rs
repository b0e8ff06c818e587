//! The JSON of a key's value, for programs: JSON Schema, and the flags of the command line.

/// The JSON of a key's value. [`Key::form`](super::Key::form) says the same to people.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A string. The regular expression (ECMA 262) accepts everything that the parser accepts.
    Text(&'static str),
    /// A choice of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// Minutes, in steps of 15.
    Minutes,
    /// A whole number from the first to the second.
    Number(u32, u32),
    /// An object with these keys.
    Object(&'static [super::Key]),
    /// A list of strings, each as the regular expression says.
    List(&'static str),
    /// A map from strings to strings.
    Map,
    /// A list of objects with the keys of [`TARGET_KEYS`](super::TARGET_KEYS).
    Targets,
}

/// An account ID.
pub const ACCOUNT: &str = "^[0-9]{12}$";
/// A Region name.
pub const REGION: &str = "^[a-z]+(-[a-z]+){1,3}-[0-9]{1,2}$";
/// An AMI ID.
pub const IMAGE: &str = "^ami-([0-9a-f]{8}|[0-9a-f]{17})$";
/// A snapshot ID.
pub const SNAPSHOT: &str = "^snap-([0-9a-f]{8}|[0-9a-f]{17})$";
/// A KMS key as a person may name it.
pub const KMS_KEY: &str = concat!(
    "^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/.+|alias/.+|mrk-[0-9a-fA-F]{32}",
    "|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$"
);
/// The name of a role, with its path.
pub const ROLE: &str = "^[A-Za-z0-9+=,.@_-][A-Za-z0-9+=,.@_/-]*$";
/// An external ID.
pub const EXTERNAL_ID: &str = "^[A-Za-z0-9+=,.@:/\\\\_-]{2,1224}$";
/// An organization ID.
pub const ORGANIZATION: &str = "^o-[a-z0-9]{10,32}$";
/// A unit or root of an organization.
pub const UNIT: &str = "^(ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}|r-[a-z0-9]{4,32})$";
/// A launch template ID.
pub const LAUNCH_TEMPLATE: &str = "^lt-([0-9a-f]{8}|[0-9a-f]{17})$";
/// The name of a launch template.
pub const LAUNCH_TEMPLATE_NAME: &str = "^[A-Za-z0-9().\\/_-]{3,128}$";
/// The ID of an Availability Zone.
pub const ZONE: &str = "^[a-z0-9]+-az[0-9]+$";
/// An instance type.
pub const INSTANCE_TYPE: &str = "^[a-z0-9-]+\\.[a-z0-9-]+$";
/// A subnet ID.
pub const SUBNET: &str = "^subnet-([0-9a-f]{8}|[0-9a-f]{17})$";
/// The ARN of an organization or of one of its units.
pub const AUDIENCE: &str =
    "^arn:aws[a-z-]*:organizations::[0-9]{12}:(organization/o-|ou/o-)[a-z0-9/-]+$";
/// Any text.
pub const ANY: &str = ".";
