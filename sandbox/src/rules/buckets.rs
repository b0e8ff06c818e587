//! Names of buckets and keys of objects.
//!
//! Source: S3 guide, bucket naming rules and naming objects.

/// The longest key, in bytes (S3 guide, naming objects).
pub(crate) const LONGEST_KEY: usize = 1024;

/// Returns whether the name is 3 to 63 lower-case letters, digits, hyphens and dots, a letter or
/// digit first and last.
pub(crate) fn is_bucket_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| plain(*b) || matches!(b, b'-' | b'.'))
        && [bytes.first(), bytes.last()]
            .iter()
            .all(|end| end.is_some_and(|b| plain(*b)))
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_name_has_s3s_shape() {
        for name in ["abc", "a.b-c9", &"a".repeat(63)] {
            assert!(is_bucket_name(name), "{name}");
        }
        for name in [
            "ab",
            "",
            "-bc",
            "bc-",
            "aBc",
            "a..b",
            "a_b",
            &"a".repeat(64),
        ] {
            assert!(!is_bucket_name(name), "{name}");
        }
    }
}
