//! The keys of `Enroll`. Its targets are those of the function's own request.

use super::{Key, Kind, kind};

const ENROLL: &str = "In `Enroll`";

const fn key(name: &'static str, kind: Kind, texts: [&'static str; 4]) -> Key {
    super::key(ENROLL, name, kind, texts)
}

/// The keys of `Enroll`, in the order of the page.
pub const ENROLL_KEYS: [Key; 3] = [
    key(
        "Channels",
        Kind::List(kind::ANY),
        [
            "a list of names of parameters, with placeholders `{account}` `{region}`",
            "the `Parameter` of the request's `Publish`",
            r#""Channels": ["/golden/dev", "/golden/prod"]"#,
            "The channels that each target of the function's own request is to have. A target \
             without a channel gets the image that most targets have in it.",
        ],
    ),
    key(
        "SourceRegion",
        Kind::Text(kind::REGION),
        [
            "a Region name",
            "the function's Region",
            r#""SourceRegion": "eu-west-1""#,
            "The Region of the source images.",
        ],
    ),
    key(
        "Apply",
        Kind::Flag,
        [
            "`true` or `false`",
            "`false`",
            r#""Apply": true"#,
            "Whether executions are started. Without it, the reply tells for which targets they \
             would be.",
        ],
    ),
];
