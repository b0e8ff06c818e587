//! The values of an image's attributes, and how they may go together.
//!
//! Source: aws-facts, EC2 registering; model.

use crate::model::Image;
use crate::refusals::{self, Refused};

pub(crate) const ARCHITECTURES: &[&str] = &["i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"];
pub(crate) const BOOT_MODES: &[&str] = &["legacy-bios", "uefi", "uefi-preferred"];
pub(crate) const VOLUME_TYPES: &[&str] = &["standard", "io1", "io2", "gp2", "sc1", "st1", "gp3"];

/// Refuses attributes that contradict each other.
pub(crate) fn consistent(image: &Image) -> Result<(), Refused> {
    let uefi = image.boot_mode.as_deref() == Some("uefi");
    let hvm = image.virtualization_type == "hvm";
    if image.tpm_support.is_some() && !uefi {
        return Err(refusals::REGISTER_TPM_NEEDS_UEFI.with(&[]));
    }
    let needs_hvm = image.architecture == "arm64" || image.boot_mode.is_some() || image.ena_support;
    if needs_hvm && !hvm {
        let kind = &image.virtualization_type;
        return Err(refusals::REGISTER_NEEDS_HVM.with(&[kind]));
    }
    Ok(())
}

/// Refuses a name that is not 3 to 128 of `A-Za-z0-9()[] ./-'@_` (model).
pub(crate) fn check_name(name: &str) -> Result<(), Refused> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
    if (3..=128).contains(&name.chars().count()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(refusals::NAME_MALFORMED.with(&[]))
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn an_image_name_has_the_models_form() {
        for good in ["abc", "base-image (v1) [x] a/b's @_.", &"x".repeat(128)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["ab", "", "näme", "a:bc", "a,b c", &"x".repeat(129)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
