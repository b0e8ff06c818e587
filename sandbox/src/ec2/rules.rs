//! Rules of images and tags that hold for what a call makes as for what a world declares.

pub(crate) use super::mapping::TYPES as VOLUME_TYPES;
pub(crate) use super::register::{ARCHITECTURES, BOOT_MODES, check_name, consistent};
pub(crate) use super::tags::check as check_tags;
