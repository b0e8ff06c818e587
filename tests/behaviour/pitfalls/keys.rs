//! Keys that a target cannot use, and controls of an organization.

use super::*;

/// EC2 accepts the copy, which ends in error: the key is not accessible.
pub fn inaccessible_keys() -> Vec<Pitfall> {
    vec![
        pitfall(
            (
                "Given key ID is not accessible",
                "`kms:ViaService` on the source key names another Region",
            ),
            two(
                on_condition(
                    &json!({"StringEquals": {"kms:ViaService": "ec2.eu-west-1.amazonaws.com"}}),
                ),
                consumer(TARGET.0, &[HOME]),
            ),
            by_hand(),
            "KeyNotAccessible",
            &["kms:ViaService"],
        ),
        pitfall(
            (
                "Given key ID is not accessible",
                "`aws:SourceArn` on the source key: it matches no call made for a role",
            ),
            two(
                on_condition(
                    &json!({"ArnLike": {"aws:SourceArn": "arn:aws:ec2:*:222222222222:*"}}),
                ),
                consumer(TARGET.0, &[HOME]),
            ),
            by_hand(),
            "KeyNotAccessible",
            &["look for a condition"],
        ),
        pitfall(
            (
                "Given key ID is not accessible",
                "the copy role may not write under the target's key",
            ),
            two(
                producer(),
                without(", \"kms:GenerateDataKeyWithoutPlaintext\""),
            ),
            plain(),
            "KeyNotAccessible",
            &[
                "kms:GenerateDataKeyWithoutPlaintext",
                "role policy and key policy",
            ],
        ),
        pitfall(
            (
                "the key policy lacks the target",
                "`KeyAccess: None`, and nobody has put it in",
            ),
            world(&[TARGET]),
            by_hand(),
            "SourceKeyDenied",
            &["With KeyAccess None", "policy of that key"],
        ),
    ]
}

/// A service control policy denies a call.
pub fn controlled() -> Vec<Pitfall> {
    vec![
        pitfall(
            (
                "a service control policy",
                "denies the target `ec2:CopySnapshot`",
            ),
            denied(TARGET.0, "ec2:CopySnapshot"),
            plain(),
            "AccessDenied",
            &["service control policy"],
        ),
        pitfall(
            (
                "a service control policy",
                "denies the target `kms:CreateGrant`",
            ),
            denied(TARGET.0, "kms:CreateGrant"),
            plain(),
            "KeyNotAccessible",
            &["service control policy"],
        ),
        pitfall(
            (
                "a service control policy",
                "denies the source account sharing",
            ),
            denied(SOURCE, "ec2:ModifySnapshotAttribute"),
            plain(),
            "SharingFailed",
            &["service control policy"],
        ),
        pitfall(
            (
                "a service control policy",
                "denies the source account `sts:AssumeRole`",
            ),
            denied(SOURCE, "sts:AssumeRole"),
            plain(),
            "RoleNotAssumable",
            &["service control policy"],
        ),
    ]
}
