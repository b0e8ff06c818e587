//! Resource IDs: `snap-`, `ami-`, `i-`, `lt-` or `vol-` and 8 or 17 hexadecimal digits.

use crate::refusals::{self, Refused};

pub(crate) fn is_id(prefix: &str, id: &str) -> bool {
    let digits = id
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'));
    digits.is_some_and(|digits| {
        let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        matches!(digits.len(), 8 | 17) && digits.bytes().all(hexadecimal)
    })
}

pub(crate) fn snapshot(id: &str) -> Result<(), Refused> {
    if is_id("snap", id) {
        return Ok(());
    }
    Err(refusals::SNAPSHOT_MALFORMED.with(&[id]))
}

pub(crate) fn image(id: &str) -> Result<(), Refused> {
    if is_id("ami", id) {
        return Ok(());
    }
    Err(refusals::IMAGE_MALFORMED.with(&[id]))
}

pub(crate) fn instance(id: &str) -> Result<(), Refused> {
    if is_id("i", id) {
        return Ok(());
    }
    Err(refusals::INSTANCE_MALFORMED.with(&[id]))
}

pub(crate) fn volume(id: &str) -> Result<(), Refused> {
    if is_id("vol", id) {
        return Ok(());
    }
    Err(refusals::VOLUME_MALFORMED.with(&[id]))
}

pub(crate) fn launch_template(id: &str) -> Result<(), Refused> {
    if is_id("lt", id) {
        return Ok(());
    }
    Err(refusals::TEMPLATE_MALFORMED.with(&[id]))
}

pub(crate) fn account(id: &str) -> Result<(), Refused> {
    if id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(());
    }
    Err(refusals::USER_ID_MALFORMED.with(&[id]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_id_has_8_or_17_hexadecimal_digits() {
        assert!(is_id("snap", "snap-0123456789abcdef0") && is_id("ami", "ami-1234abcd"));
        for bad in [
            "snap-",
            "snap-xyz",
            "ami-0123456789abcdef0",
            "snap-0123456789ABCDEF0",
            "snap",
        ] {
            assert!(!is_id("snap", bad), "{bad}");
        }
    }
}
