//! The keys of `Publish`.

use super::{Key, Kind, kind};
use crate::request::Mode;

const PUBLISH: &str = "In `Publish`";
const PERMISSIONS: &str = "In `LaunchPermissions`";
const TEST: &str = "In `LaunchTest`";

/// Returns an entry whose key is for copies and has no other name.
const fn key(group: &'static str, name: &'static str, kind: Kind, texts: [&'static str; 4]) -> Key {
    Key {
        mode: Some(Mode::Copy),
        ..super::key(group, name, kind, texts)
    }
}

/// The keys of `Publish`, in the order of the page.
pub const PUBLISH_KEYS: [Key; 10] = [
    key(
        PUBLISH,
        "Parameter",
        Kind::Text(kind::ANY),
        [
            "the name of a parameter, with placeholders `{name}` `{image}` `{account}` `{region}` \
             `{source_account}`",
            "none; no parameter is written",
            r#""Parameter": "/golden/{name}""#,
            "The parameter of Systems Manager, of data type `aws:ec2:image`, that gets the ID of \
             the image. The former value stays in the parameter's history, and in the reply. A \
             parameter that had this image before and was changed since is left alone.",
        ],
    ),
    key(
        PUBLISH,
        "LaunchTemplateId",
        Kind::Text(kind::LAUNCH_TEMPLATE),
        [
            "a launch template ID: `lt-` and 8 or 17 hexadecimal digits",
            "none",
            r#""LaunchTemplateId": "lt-0a1b2c3d4e5f60718""#,
            "The launch template that gets a version with the image. The version takes everything \
             else over from the default version.",
        ],
    ),
    key(
        PUBLISH,
        "LaunchTemplateName",
        Kind::Text(kind::LAUNCH_TEMPLATE_NAME),
        [
            "the name of a launch template; in place of `LaunchTemplateId`",
            "none",
            r#""LaunchTemplateName": "web""#,
            "The same by its name, which may be the same in all targets.",
        ],
    ),
    key(
        PUBLISH,
        "SetDefaultVersion",
        Kind::Flag,
        [
            "`true` or `false`",
            "`false`",
            r#""SetDefaultVersion": true, "LaunchTemplateName": "web""#,
            "Whether the new version becomes the default. A default that is newer than this \
             version stays.",
        ],
    ),
    key(
        PUBLISH,
        "DeprecateAt",
        Kind::Text(kind::ANY),
        [
            "a time as in RFC 3339",
            "none",
            r#""DeprecateAt": "2027-12-31T00:00:00Z""#,
            "When the image is deprecated. EC2 rounds to whole minutes.",
        ],
    ),
    key(
        PUBLISH,
        "DeprecateAfterDays",
        Kind::Number(1, 3650),
        [
            "a number of days from 1 to 3650",
            "none",
            r#""DeprecateAfterDays": 90"#,
            "When the image is deprecated, counted from its creation in the target.",
        ],
    ),
    key(
        PUBLISH,
        "DeregistrationProtection",
        Kind::Word(&["true", "false", "WithCooldown"]),
        [
            "`true`, `false` or `WithCooldown`",
            "`false`",
            r#""DeregistrationProtection": "WithCooldown""#,
            "Whether the image is protected from deregistration. `WithCooldown` protects it for 24 \
             hours more once the protection is disabled.",
        ],
    ),
    key(
        PUBLISH,
        "LaunchPermissions",
        Kind::Object(&LAUNCH_PERMISSION_KEYS),
        [
            "an object with the keys of [`LaunchPermissions`](#in-launchpermissions)",
            "none",
            r#""LaunchPermissions": {"AccountIds": ["333333333333"]}"#,
            "Accounts, organizations and units that may launch from each copy. The setting \
             `AMIFERRY_ALLOW_SHARE` must allow it, and the settings must allow each of them. They \
             also need the key of the copy, which is theirs and the target's to arrange.",
        ],
    ),
    key(
        PUBLISH,
        "FastSnapshotRestore",
        Kind::List(kind::ZONE),
        [
            "a list of IDs of Availability Zones, of any Regions",
            "none",
            r#""FastSnapshotRestore": ["usw2-az1", "usw2-az2"]"#,
            "The zones in which the snapshots of the copies are restored fast. AWS charges for \
             each snapshot and zone by the hour. A target takes the zones of its Region.",
        ],
    ),
    key(
        PUBLISH,
        "LaunchTest",
        Kind::Object(&LAUNCH_TEST_KEYS),
        [
            "an object with the keys of [`LaunchTest`](#in-launchtest); `{}` takes the defaults",
            "none",
            r#""LaunchTest": {"InstanceType": "t3.small"}"#,
            "Launches an instance from the copy in the target, before anything else is published, \
             and waits until it runs and passes its status checks. The instance is terminated in \
             any case. A copy that does not pass is kept and not published.",
        ],
    ),
];

/// The keys of `LaunchPermissions`.
pub const LAUNCH_PERMISSION_KEYS: [Key; 3] = [
    key(
        PERMISSIONS,
        "AccountIds",
        Kind::List(kind::ACCOUNT),
        [
            "a list of account IDs",
            "none",
            r#""AccountIds": ["333333333333"]"#,
            "Accounts that may launch from each copy.",
        ],
    ),
    key(
        PERMISSIONS,
        "OrganizationArns",
        Kind::List(kind::AUDIENCE),
        [
            "a list of ARNs of organizations",
            "none",
            concat!(
                r#""OrganizationArns": ["#,
                r#""arn:aws:organizations::999999999999:organization/o-abcdefghij"]"#
            ),
            "Organizations whose accounts may launch from each copy.",
        ],
    ),
    key(
        PERMISSIONS,
        "OrganizationalUnitArns",
        Kind::List(kind::AUDIENCE),
        [
            "a list of ARNs of organizational units",
            "none",
            concat!(
                r#""OrganizationalUnitArns": ["#,
                r#""arn:aws:organizations::999999999999:ou/o-abcdefghij/ou-ab12-11111111"]"#
            ),
            "Units whose accounts may launch from each copy.",
        ],
    ),
];

/// The keys of `LaunchTest`.
pub const LAUNCH_TEST_KEYS: [Key; 4] = [
    key(
        TEST,
        "InstanceType",
        Kind::Text(kind::INSTANCE_TYPE),
        [
            "an instance type",
            "`t3.micro`; for an image of `arm64` `t4g.micro`, for one without ENA `t2.micro`",
            r#""InstanceType": "t3.small""#,
            "The type of the instance.",
        ],
    ),
    key(
        TEST,
        "SubnetId",
        Kind::Text(kind::SUBNET),
        [
            "a subnet ID",
            "the default subnet",
            r#""SubnetId": "subnet-0a1b2c3d4e5f60718""#,
            "The subnet of the instance. A subnet belongs to one account and Region, so name one \
             only where the request has one target.",
        ],
    ),
    key(
        TEST,
        "InstanceProfileName",
        Kind::Text(kind::ROLE),
        [
            "the name of an instance profile, without a path",
            "none",
            r#""InstanceProfileName": "launch-test""#,
            "The instance profile of the instance. The copy role must be allowed to pass its role.",
        ],
    ),
    key(
        TEST,
        "AutoScaling",
        Kind::Flag,
        [
            "`true` or `false`",
            "`false`",
            r#""AutoScaling": true"#,
            "Whether an Auto Scaling group of one launches the instance. So it is Auto Scaling's \
             service-linked role that must be able to use the key of the copy, as in production. \
             The group and its launch template are deleted in any case.",
        ],
    ),
];
