//! The properties that each family of instance types needs of an image. Unknown families are
//! refused by name.
//!
//! Source: EC2 instance types guide. Requirements of boot mode and TPM are not modelled.

use crate::model::Image;
use crate::refusals::{self, Refused};

/// The type that EC2 launches when none is named.
pub(super) const DEFAULT: &str = "m1.small";

struct Family {
    names: &'static [&'static str],
    architectures: &'static [&'static str],
    virtualization: &'static str,
    needs_ena: bool,
}

static FAMILIES: &[Family] = &[
    Family {
        names: &["m1"],
        architectures: &["i386", "x86_64"],
        virtualization: "paravirtual",
        needs_ena: false,
    },
    Family {
        names: &["t2"],
        architectures: &["i386", "x86_64"],
        virtualization: "hvm",
        needs_ena: false,
    },
    Family {
        names: &["t3", "t3a", "m5", "c5", "r5", "m6i", "c6i", "m7i"],
        architectures: &["x86_64"],
        virtualization: "hvm",
        needs_ena: true,
    },
    Family {
        names: &["t4g", "m6g", "c6g", "r6g", "m7g", "c7g"],
        architectures: &["arm64"],
        virtualization: "hvm",
        needs_ena: true,
    },
];

/// Refuses an image from which an instance of this type cannot be made.
pub(super) fn check(instance_type: &str, image: &Image) -> Result<(), Refused> {
    let name = instance_type.split('.').next().unwrap_or_default();
    let family = FAMILIES.iter().find(|family| family.names.contains(&name));
    let family = family.ok_or_else(|| {
        refusals::NOT_IMPLEMENTED.with(&[&format!("instance type {instance_type}")])
    })?;
    if !family.architectures.contains(&image.architecture.as_str()) {
        let offered = family.architectures.join(",");
        return Err(refusals::LAUNCH_ARCHITECTURE.with(&[&offered, &image.architecture]));
    }
    if family.virtualization != image.virtualization_type {
        return Err(refusals::LAUNCH_VIRTUALIZATION.with(&[&image.virtualization_type]));
    }
    if family.needs_ena && !image.ena_support {
        return Err(refusals::LAUNCH_NEEDS_ENA.with(&[instance_type]));
    }
    Ok(())
}
