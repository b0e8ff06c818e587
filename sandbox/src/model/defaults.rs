//! Defaults of a world file, named for serde.

use std::time::SystemTime;

pub(super) fn available() -> String {
    "available".to_owned()
}
pub(super) fn completed() -> String {
    "completed".to_owned()
}
pub(super) fn whole() -> String {
    "100%".to_owned()
}
pub(super) fn standard() -> String {
    "standard".to_owned()
}
pub(super) fn epoch() -> SystemTime {
    SystemTime::UNIX_EPOCH
}
pub(super) fn x86_64() -> String {
    "x86_64".to_owned()
}
pub(super) fn hvm() -> String {
    "hvm".to_owned()
}
pub(super) fn ebs() -> String {
    "ebs".to_owned()
}
#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's own type")]
pub(super) fn root_device_name() -> Option<String> {
    Some("/dev/xvda".to_owned())
}
pub(super) fn platform_details() -> String {
    "Linux/UNIX".to_owned()
}
pub(super) fn usage_operation() -> String {
    "RunInstances".to_owned()
}
pub(super) fn volume_id() -> String {
    "vol-0ffffffffffffffff".to_owned()
}
