//! The keys of `Promote` and `Rollback`, apart from those that name targets.

use super::{Key, Kind, key, kind};

const PROMOTE: &str = "In `Promote`";
const ROLLBACK: &str = "In `Rollback`";
const NAME: &str = "the name of a parameter, with placeholders `{account}` `{region}`";
const REQUIRED: &str = "none; the key is required";
const APPLY: [&str; 4] = [
    "`true` or `false`",
    "`false`",
    r#""Apply": true"#,
    "Whether anything is changed. Without it, the reply tells what would be.",
];

/// The keys of `Promote`, in the order of the page.
pub const PROMOTE_KEYS: [Key; 3] = [
    key(
        PROMOTE,
        "From",
        Kind::Text(kind::ANY),
        [
            NAME,
            REQUIRED,
            r#""From": "/golden/dev""#,
            "The parameter that holds the copy. In all targets it must hold copies of the same \
             source image.",
        ],
    ),
    key(
        PROMOTE,
        "To",
        Kind::Text(kind::ANY),
        [
            NAME,
            REQUIRED,
            r#""To": "/golden/prod""#,
            "The parameter that gets this copy.",
        ],
    ),
    key(PROMOTE, "Apply", Kind::Flag, APPLY),
];

/// The keys of `Rollback`, in the order of the page.
pub const ROLLBACK_KEYS: [Key; 3] = [
    key(
        ROLLBACK,
        "Parameter",
        Kind::Text(kind::ANY),
        [
            NAME,
            REQUIRED,
            r#""Parameter": "/golden/prod""#,
            "The parameter that goes back.",
        ],
    ),
    key(
        ROLLBACK,
        "SourceImageId",
        Kind::Text(kind::IMAGE),
        [
            "an AMI ID",
            REQUIRED,
            r#""SourceImageId": "ami-0a1b2c3d4e5f60718""#,
            "The source image whose copies the parameter is to leave. A target whose parameter \
             holds another image already stays as it is, so the call can be repeated.",
        ],
    ),
    key(ROLLBACK, "Apply", Kind::Flag, APPLY),
];
