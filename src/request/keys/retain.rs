//! The keys of `Retain`, apart from those that name targets.

use super::{Key, Kind, kind};

const RETAIN: &str = "In `Retain`";

const fn key(name: &'static str, kind: Kind, texts: [&'static str; 4]) -> Key {
    super::key(RETAIN, name, kind, texts)
}

/// The keys of `Retain`, in the order of the page.
pub const RETAIN_KEYS: [Key; 5] = [
    key(
        "Lineage",
        Kind::Text(kind::ANY),
        [
            "a pattern of AMI names, in which `*` stands for any characters; or a tag as \
             `Key=Value`",
            "none; the key is required",
            r#""Lineage": "golden-*""#,
            "The copies that belong together, by their names or by a tag of theirs. Only copies \
             that amiferry made from images of the function's account are meant.",
        ],
    ),
    key(
        "KeepNewest",
        Kind::Number(1, 1000),
        [
            "a number from 1 to 1000",
            "none; this or `KeepDays` is required",
            r#""KeepNewest": 3"#,
            "How many of the newest copies are kept in each target, by their time of creation.",
        ],
    ),
    key(
        "KeepDays",
        Kind::Number(1, 3650),
        [
            "a number from 1 to 3650",
            "none",
            r#""KeepDays": 30"#,
            "For how many days each copy is kept. With `KeepNewest`, a copy is kept that either of \
             the two keeps.",
        ],
    ),
    key(
        "GraceDays",
        Kind::Number(0, 365),
        [
            "a number from 0 to 365",
            "`7`",
            r#""GraceDays": 14"#,
            "Days between two steps of a removal: deprecated, disabled, deregistered. With `0` a \
             copy is deregistered at once.",
        ],
    ),
    key(
        "Apply",
        Kind::Flag,
        [
            "`true` or `false`",
            "`false`",
            r#""Apply": true"#,
            "Whether anything is changed. Without it, the reply tells what would be.",
        ],
    ),
];
