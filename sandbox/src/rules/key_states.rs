//! The states of a KMS key.

/// States in which a key cannot be used, with KMS's words for them (model, KeyState; some
/// unproved).
pub(crate) const UNUSABLE: &[(&str, &str)] = &[
    ("Disabled", "disabled"),
    ("PendingDeletion", "pending deletion"),
    ("PendingImport", "pending import"),
    ("Unavailable", "unavailable"),
];
