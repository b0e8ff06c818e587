//! All keys of a request. Refusals name the accepted keys from this list, and `make tables` writes
//! docs/requests.md from it. A reader in `fields` that asks for a key without an entry fails in
//! every test.

use std::sync::LazyLock;

use super::Mode;

mod channel;
mod enroll;
pub mod kind;
mod publish;
mod retain;
mod target;

pub use channel::{PROMOTE_KEYS, ROLLBACK_KEYS};
pub use enroll::ENROLL_KEYS;
pub use kind::Kind;
pub use publish::{LAUNCH_PERMISSION_KEYS, LAUNCH_TEST_KEYS, PUBLISH_KEYS};
pub use retain::RETAIN_KEYS;
pub use target::TARGET_KEYS;

/// One key, with the facts that the author of a request needs.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name of the key.
    pub name: &'static str,
    /// Another name of the same key, kept from the former design.
    pub also: Option<&'static str>,
    /// The question under which the page lists the key.
    pub group: &'static str,
    /// The only mode that accepts the key; `None` if both do.
    pub mode: Option<Mode>,
    /// The JSON of the value, for programs.
    pub kind: Kind,
    /// The accepted form, in Markdown.
    pub form: &'static str,
    /// The default, in Markdown.
    pub default: &'static str,
    /// An example as the members of a JSON object, with the other keys that this key needs.
    pub example: &'static str,
    /// The meaning, in Markdown.
    pub about: &'static str,
}

/// Returns an entry without another name, for both modes.
const fn key(
    group: &'static str,
    name: &'static str,
    kind: Kind,
    [form, default, example, about]: [&'static str; 4],
) -> Key {
    Key {
        name,
        also: None,
        group,
        mode: None,
        kind,
        form,
        default,
        example,
        about,
    }
}

const IMAGE: &str = "What to distribute";
const WHOM: &str = "To whom";
const ROLE: &str = "By which role";
const RESULT: &str = "What the copies are like";
const ACCESS: &str = "How the targets reach the source";
const LAUNCH: &str = "Who launches from the image";
const PUBLISH: &str = "Where the image is published";
const TIME: &str = "When it ends, and what stays";

/// The keys of the request itself, in the order of the page.
pub const KEYS: [Key; 30] = [
    Key {
        name: "SourceImageId",
        also: Some("AmiId"),
        group: IMAGE,
        mode: None,
        kind: Kind::Text(kind::IMAGE),
        form: "an AMI ID: `ami-` and 8 or 17 hexadecimal digits",
        default: "none; the key is required",
        example: r#""SourceImageId": "ami-0a1b2c3d4e5f60718""#,
        about: "The AMI to distribute. The source account must own it, and it must be `available`.",
    },
    Key {
        name: "SourceRegion",
        also: Some("Region"),
        group: IMAGE,
        mode: None,
        kind: Kind::Text(kind::REGION),
        form: "a Region name",
        default: "the Region of the function",
        example: r#""SourceRegion": "us-west-2""#,
        about: "The Region that the AMI is in.",
    },
    Key {
        name: "Mode",
        also: None,
        group: IMAGE,
        mode: None,
        kind: Kind::Word(&["Copy", "Share"]),
        form: "`Copy` or `Share`",
        default: "`Copy`; `Share` for `Custom::ShareAutomation` and `Custom::MultiAccountAmiShare`",
        example: r#""Mode": "Copy""#,
        about: "`Copy` gives each target an AMI of its own under its own key. `Share` gives each \
            target the right to launch from the source AMI, in its Region and under its key, until \
            the share is taken back.",
    },
    Key {
        name: "SourceSnapshotId",
        also: Some("SnapshotId"),
        group: IMAGE,
        mode: None,
        kind: Kind::Text(kind::SNAPSHOT),
        form: "a snapshot ID: `snap-` and 8 or 17 hexadecimal digits",
        default: "none",
        example: r#""SourceSnapshotId": "snap-0a1b2c3d4e5f60722""#,
        about: "A hint that is checked: the snapshot must belong to the AMI. All snapshots of the \
            AMI are copied in any case.",
    },
    Key {
        name: "Targets",
        also: None,
        group: WHOM,
        mode: None,
        kind: Kind::Targets,
        form: "a list of objects, [below](#one-item-of-targets); at most 10,000 targets in all",
        default: "none; one of `Targets`, `TargetAccountIds`, `OrganizationId` and \
            `OrganizationalUnitIds` is required",
        example: r#""Targets": [{"AccountId": "222222222222", "KmsKeyId": "alias/amis"}]"#,
        about: "The targets one by one: each an account, with its own Region and key if need be. \
            Each account and Region once.",
    },
    Key {
        name: "TargetAccountIds",
        also: None,
        group: WHOM,
        mode: None,
        kind: Kind::List(kind::ACCOUNT),
        form: "a list of account IDs, 12 digits each",
        default: "none",
        example: r#""TargetAccountIds": ["222222222222", "333333333333"]"#,
        about: "The targets as accounts only, each of them in every Region of `TargetRegions`. \
            Instead of `Targets`.",
    },
    Key {
        name: "TargetAccountId",
        also: None,
        group: WHOM,
        mode: None,
        kind: Kind::Text(kind::ACCOUNT),
        form: "an account ID, 12 digits",
        default: "none",
        example: r#""TargetAccountId": "222222222222""#,
        about: "One account, instead of a list in `TargetAccountIds`.",
    },
    Key {
        name: "TargetKmsKeyIds",
        also: None,
        group: WHOM,
        mode: Some(Mode::Copy),
        kind: Kind::List(kind::KMS_KEY),
        form: "a list of keys in the order of `TargetAccountIds`, or of one key for all: IDs, ARNs \
            or aliases",
        default: "the key `aws/ebs` of each target",
        example: concat!(
            r#""TargetKmsKeyIds": ["alias/amis"], "#,
            r#""TargetAccountIds": ["222222222222", "333333333333"]"#
        ),
        about: "The keys of the target accounts. An alias that each account has serves all. With \
            an organization or units, exactly one item.",
    },
    Key {
        name: "TargetRegions",
        also: None,
        group: WHOM,
        mode: Some(Mode::Copy),
        kind: Kind::List(kind::REGION),
        form: "a list of Region names",
        default: "the source's Region",
        example: concat!(
            r#""TargetRegions": ["us-west-2", "us-east-1"], "#,
            r#""TargetAccountIds": ["222222222222"]"#
        ),
        about: "The Regions of the accounts that `TargetAccountIds`, an organization or units \
            name: each account in each Region.",
    },
    Key {
        name: "OrganizationId",
        also: None,
        group: WHOM,
        mode: None,
        kind: Kind::Text(kind::ORGANIZATION),
        form: "an organization ID: `o-` and 10 to 32 lower-case letters or digits",
        default: "none",
        example: r#""OrganizationId": "o-abcdefghij""#,
        about: "Every active account of the organization, without the source account. The \
            management account is left out while it has no copy role.",
    },
    Key {
        name: "OrganizationalUnitIds",
        also: None,
        group: WHOM,
        mode: None,
        kind: Kind::List(kind::UNIT),
        form: "a list of IDs of organizational units (`ou-…`) or roots (`r-…`)",
        default: "none",
        example: r#""OrganizationalUnitIds": ["ou-abcd-12345678"]"#,
        about: "Every active account in these units and in the units below them, as with \
            `OrganizationId`.",
    },
    Key {
        name: "ExcludeAccountIds",
        also: None,
        group: WHOM,
        mode: Some(Mode::Copy),
        kind: Kind::List(kind::ACCOUNT),
        form: "a list of account IDs",
        default: "none",
        example: r#""ExcludeAccountIds": ["999999999999"], "OrganizationId": "o-abcdefghij""#,
        about: "Accounts of the organization or of the units that are no targets.",
    },
    Key {
        name: "TargetRoleName",
        also: Some("RoleName"),
        group: ROLE,
        mode: None,
        kind: Kind::Text(kind::ROLE),
        form: "a role name, with an optional path before it",
        default: "`AmiCopyRole`",
        example: r#""TargetRoleName": "AmiCopyRole""#,
        about: "The role that the function assumes in each target account.",
    },
    Key {
        name: "ExternalId",
        also: None,
        group: ROLE,
        mode: None,
        kind: Kind::Text(kind::EXTERNAL_ID),
        form: "2 to 1224 characters of `A-Za-z0-9+=,.@:/_-`",
        default: "none",
        example: r#""ExternalId": "images-4711""#,
        about: "The external ID that the trust policy of that role asks for.",
    },
    Key {
        name: "Name",
        also: None,
        group: RESULT,
        mode: Some(Mode::Copy),
        kind: Kind::Text(kind::ANY),
        form: "3 to 128 characters of `A-Za-z0-9()[] ./-'@_`, with the placeholders `{name}`, \
            `{image}`, `{account}`, `{region}` and `{source_account}`",
        default: "`{name}-copied-from-{source_account}`",
        example: r#""Name": "{name}-{image}""#,
        about: "The name of each copied AMI. An account and Region has each name once, so put \
            `{image}` into it where images are rebuilt under the same name.",
    },
    Key {
        name: "Tags",
        also: None,
        group: RESULT,
        mode: Some(Mode::Copy),
        kind: Kind::Map,
        form: "a map of strings, or a list of `{\"Key\": …, \"Value\": …}`; at most 46 tags",
        default: "none",
        example: r#""Tags": {"team": "images"}"#,
        about: "Tags for the copied snapshots and AMIs, beside the source's. Keys that begin with \
                `aws:` or `amiferry:` are refused. An Update of a custom resource changes the tags \
                of copies that stand. A direct call does not: where an earlier run has made the \
                image, the target's `Notes` in the reply name a tag that differs.",
    },
    Key {
        name: "CopyTags",
        also: None,
        group: RESULT,
        mode: None,
        kind: Kind::Flag,
        form: "`true` or `false`",
        default: "`true`",
        example: r#""CopyTags": false"#,
        about: "Whether copies get the source's tags. A resource has 50 tags at most; the target's \
                `Notes` in the reply list the tags without room. An Update of a custom resource \
                changes the tags of copies that stand; a direct call does not.",
    },
    Key {
        name: "KeyAccess",
        also: None,
        group: ACCESS,
        mode: None,
        kind: Kind::Word(&["Grant", "Policy", "None"]),
        form: "`Grant`, `Policy` or `None`",
        default: "`Grant`",
        example: r#""KeyAccess": "Grant""#,
        about: "`Grant` makes a grant on each source key, for the time of the copy or of the \
            share. `Policy` adds statements to each key's policy for as long. `None` adds nothing: \
            the targets can use the keys already.",
    },
    Key {
        name: "ReencryptKmsKeyId",
        also: None,
        group: ACCESS,
        mode: Some(Mode::Copy),
        kind: Kind::Text(kind::KMS_KEY),
        form: "a customer-managed key of the source account in `SourceRegion`: an ID, ARN or alias",
        default: "none; an image under `aws/ebs` is refused",
        example: r#""ReencryptKmsKeyId": "alias/shared-ami-key""#,
        about: "No other account can ever use the key `aws/ebs`. Snapshots under it are first \
            copied in the source account under this key, and those staged copies are deleted at \
            the end.",
    },
    Key {
        name: "StagingKmsKeyIds",
        also: None,
        group: ACCESS,
        mode: Some(Mode::Copy),
        kind: Kind::Map,
        form: "a map from Regions other than `SourceRegion` to customer-managed keys of the source \
            account there, each an ID, ARN or alias",
        default: "none; each target copies from `SourceRegion`",
        example: r#""StagingKmsKeyIds": {"us-east-1": "alias/shared-ami-key"}"#,
        about: "The image is copied once into each of these Regions, in the source account and \
            under this key; the targets there copy from that staged copy, which is deleted at the \
            end. The bytes cross between Regions once, however many accounts there are. It takes \
            two full copies one after the other. Not with `KeyAccess: Policy` or \
            `Strategy: Image`.",
    },
    Key {
        name: "ShareSnapshots",
        also: None,
        group: ACCESS,
        mode: Some(Mode::Share),
        kind: Kind::Flag,
        form: "`true` or `false`",
        default: "`true` if the request has a `SourceSnapshotId`, else `false`",
        example: r#""ShareSnapshots": true, "Mode": "Share""#,
        about: "Shares the snapshots too, for accounts that make volumes or copies of them.",
    },
    Key {
        name: "Unshare",
        also: None,
        group: ACCESS,
        mode: Some(Mode::Share),
        kind: Kind::Flag,
        form: "`true` or `false`",
        default: "`false`",
        example: r#""Unshare": true, "Mode": "Share""#,
        about: "Takes the share back from the targets of this request. For direct calls: a custom \
            resource takes a share back by its list of targets, or by its deletion.",
    },
    Key {
        name: "ServiceLinkedRoles",
        also: None,
        group: LAUNCH,
        mode: None,
        kind: Kind::List(kind::ANY),
        form: "a list of service names, some with `_` and a custom suffix; at most eight roles",
        default: "none",
        example: r#""ServiceLinkedRoles": ["autoscaling.amazonaws.com", "spot.amazonaws.com"]"#,
        about: "Services that launch instances by a service-linked role, which needs a grant on \
                the key: see [Auto Scaling and Spot](#auto-scaling-and-spot). An entry that an \
                Update takes off loses its grants, unless another run counts on them.",
    },
    Key {
        name: "CreateServiceLinkedRoles",
        also: None,
        group: LAUNCH,
        mode: None,
        kind: Kind::Flag,
        form: "`true` or `false`",
        default: "`false`",
        example: concat!(
            r#""CreateServiceLinkedRoles": true, "#,
            r#""ServiceLinkedRoles": ["spot.amazonaws.com"]"#
        ),
        about: "Creates the service-linked roles that do not exist in a target.",
    },
    Key {
        name: "Strategy",
        also: None,
        group: RESULT,
        mode: Some(Mode::Copy),
        kind: Kind::Word(&["Auto", "Snapshots", "Image"]),
        form: "`Auto`, `Snapshots` or `Image`",
        default: "`Auto`",
        example: r#""Strategy": "Image""#,
        about: "How the copies are made. `Snapshots` copies each snapshot and registers an AMI on \
            the copies. `Image` copies the AMI as a whole (EC2's CopyImage), which also keeps \
            billing data, watermarks and the name of the ancestor; meanwhile the target account \
            may launch from the source AMI. `Auto` takes `Image` where the AMI has billing data \
            or watermarks, and `Snapshots` elsewhere. See \
            [the two ways](how-it-works.md#two-ways-to-copy).",
    },
    Key {
        name: "Publish",
        also: None,
        group: PUBLISH,
        mode: Some(Mode::Copy),
        kind: Kind::Object(&PUBLISH_KEYS),
        form: "an object with the keys of [`Publish`](#in-publish)",
        default: "none; nothing is published",
        example: r#""Publish": {"Parameter": "/golden/{name}", "DeprecateAfterDays": 90}"#,
        about: "What is done in each target once its image is verified, in the order: launch test, \
            deprecation, protection, fast snapshot restore, launch permissions, launch template, \
            parameter. Each step finds what an earlier try did. See [Publishing](publishing.md).",
    },
    Key {
        name: "CopyCompletionMinutes",
        also: None,
        group: TIME,
        mode: Some(Mode::Copy),
        kind: Kind::Minutes,
        form: "a number from 15 to 2880, in steps of 15",
        default: "none; EBS takes the time it takes",
        example: r#""CopyCompletionMinutes": 60"#,
        about: "Asks EBS for a time-based copy, which AWS charges for. EBS completes one \
            snapshot's time-based copies one after another, so a run with several targets takes \
            that many times as long.",
    },
    Key {
        name: "RevokeAfterCopy",
        also: None,
        group: TIME,
        mode: None,
        kind: Kind::Flag,
        form: "`true` or `false`",
        default: "`true`",
        example: r#""RevokeAfterCopy": true"#,
        about: "Whether the run takes away its openings on the source when its copies have ended. \
            `false` needs the setting `AMIFERRY_ALLOW_SHARE`.",
    },
    Key {
        name: "OnDelete",
        also: None,
        group: TIME,
        mode: None,
        kind: Kind::Word(&["Retain", "Deregister"]),
        form: "`Retain` or `Deregister`",
        default: "`Retain`",
        example: r#""OnDelete": "Deregister""#,
        about: "For a custom resource: whether deleting it leaves its copies or removes them. A \
            copy that another run counts on stays until the last.",
    },
    Key {
        name: "Wait",
        also: None,
        group: TIME,
        mode: None,
        kind: Kind::Flag,
        form: "`true` or `false`",
        default: "`true`",
        example: r#""Wait": false"#,
        about: "For a custom resource: whether CloudFormation is answered when the run is done or \
            when it has started.",
    },
];

/// The keys of a request that name targets, and the roles there.
pub const OF_TARGETS: [&str; 10] = [
    "Targets",
    "TargetAccountIds",
    "TargetAccountId",
    "TargetKmsKeyIds",
    "TargetRegions",
    "OrganizationId",
    "OrganizationalUnitIds",
    "ExcludeAccountIds",
    "TargetRoleName",
    "ExternalId",
];

/// Returns all keys of `Retain`: its own, and those that name targets.
pub fn retain_keys() -> &'static [Key] {
    static ALL: LazyLock<Vec<Key>> = LazyLock::new(|| with_targets(&RETAIN_KEYS));
    &ALL
}

/// Returns all keys of `Promote`.
pub fn promote_keys() -> &'static [Key] {
    static ALL: LazyLock<Vec<Key>> = LazyLock::new(|| with_targets(&PROMOTE_KEYS));
    &ALL
}

/// Returns all keys of `Rollback`.
pub fn rollback_keys() -> &'static [Key] {
    static ALL: LazyLock<Vec<Key>> = LazyLock::new(|| with_targets(&ROLLBACK_KEYS));
    &ALL
}

fn with_targets(own: &[Key]) -> Vec<Key> {
    let of_targets = KEYS.iter().filter(|key| OF_TARGETS.contains(&key.name));
    own.iter().chain(of_targets).copied().collect()
}

/// Returns the names of `keys` for a refusal, each with its other name in parentheses.
pub fn accepted(keys: &[Key]) -> String {
    let names: Vec<String> = keys
        .iter()
        .map(|key| match key.also {
            Some(also) => format!("{} ({also})", key.name),
            None => key.name.to_owned(),
        })
        .collect();
    names.join(", ")
}

/// Returns whether `keys` has an entry for `name`.
pub fn knows(keys: &[Key], name: &str) -> bool {
    keys.iter()
        .any(|key| key.name == name || key.also == Some(name))
}
