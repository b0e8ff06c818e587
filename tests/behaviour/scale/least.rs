//! The least calls that a distribution can make, by operation: what each is for. A caller that AWS
//! tells of everything at once, and that keeps nothing from one invocation to the next but a state
//! without secrets, makes these.

use serde_json::Value;

/// An operation of a run: what it is for, and how many calls of it there are at least.
pub struct Least {
    pub operation: &'static str,
    pub what: &'static str,
    pub calls: usize,
}

/// Returns the least calls of a distribution of an image under one key.
pub fn least(targets: usize, accounts: usize, snapshots: usize) -> Vec<Least> {
    let of = |operation, what, calls| Least {
        operation,
        what,
        calls,
    };
    vec![
        of("AssumeRole", "a session for each account", accounts),
        of(
            "DescribeImages",
            "the source; in each target an image of the same source, an image of the same name, \
             and the image registered",
            1 + 3 * targets,
        ),
        of(
            "DescribeImageAttribute",
            "the boot mode and UEFI data of the source, and of each image",
            1 + targets,
        ),
        of(
            "DescribeKey",
            "each target's key, and the source key as each account sees it",
            targets + accounts,
        ),
        of(
            "DescribeSnapshots",
            "the source; in each target copies that are there, the end of each copy, and the \
             copies of the image",
            1 + (2 + snapshots) * targets,
        ),
        of(
            "DescribeSnapshotAttribute",
            "who has each snapshot, before the opening and after the closing",
            2 * snapshots,
        ),
        of(
            "ModifySnapshotAttribute",
            "to open and to close each snapshot",
            2 * snapshots,
        ),
        of("CreateGrant", "for each account", accounts),
        of("RevokeGrant", "for each account", accounts),
        of("ListGrants", "the grants of the key after the closing", 1),
        of("CopySnapshot", "each copy", snapshots * targets),
        of("RegisterImage", "each image", targets),
        of("GetObject", "the run and the openings of the ledger", 2),
        of(
            "PutObject",
            "the run and the openings, as they begin and end",
            4,
        ),
    ]
}

/// Returns how often a row's run has called an operation.
pub fn made(row: &Value, operation: &str) -> usize {
    let count = row["calls"][operation].as_u64().unwrap_or_default();
    usize::try_from(count).expect("a small number")
}
