//! The keys of one target.

use super::{Key, Kind, kind};
use crate::request::Mode;

/// The group of the keys of one target.
const TARGET: &str = "One item of `Targets`";

/// The keys of one item of `Targets`.
pub const TARGET_KEYS: [Key; 5] = [
    Key {
        name: "AccountId",
        also: None,
        group: TARGET,
        mode: None,
        kind: Kind::Text(kind::ACCOUNT),
        form: "an account ID, 12 digits",
        default: "none; the key is required",
        example: r#""AccountId": "222222222222""#,
        about: "The account. Quote it: YAML and JSON take `012345678901` for a number and drop the \
            zero. With `Mode: Copy` it may be the source account, for copies in its other Regions \
            or under another key.",
    },
    Key {
        name: "Region",
        also: None,
        group: TARGET,
        mode: None,
        kind: Kind::Text(kind::REGION),
        form: "a Region name of the source's partition; with `Mode: Share` the source's Region",
        default: "the source's Region",
        example: r#""Region": "us-west-2", "AccountId": "222222222222""#,
        about: "The Region that the target's copy is made in.",
    },
    Key {
        name: "KmsKeyId",
        also: None,
        group: TARGET,
        mode: Some(Mode::Copy),
        kind: Kind::Text(kind::KMS_KEY),
        form: "a key of that account in that Region: key ID, key ARN, `alias/name` or alias ARN",
        default: "the target's key `aws/ebs`",
        example: r#""KmsKeyId": "alias/amis", "AccountId": "222222222222""#,
        about: "The key that the target's snapshots are encrypted under.",
    },
    Key {
        name: "RoleName",
        also: None,
        group: TARGET,
        mode: None,
        kind: Kind::Text(kind::ROLE),
        form: "as `TargetRoleName`",
        default: "the request's `TargetRoleName`",
        example: r#""RoleName": "AmiCopyRole", "AccountId": "222222222222""#,
        about: "The role to assume for this target.",
    },
    Key {
        name: "ExternalId",
        also: None,
        group: TARGET,
        mode: None,
        kind: Kind::Text(kind::EXTERNAL_ID),
        form: "as the request's `ExternalId`",
        default: "the request's `ExternalId`",
        example: r#""ExternalId": "images-4711", "AccountId": "222222222222""#,
        about: "The external ID for this target.",
    },
];
