//! The publications of one target's image, with the former values by which a person goes back.

use serde::{Deserialize, Serialize};

use super::is_default;
use crate::ids::ImageId;

/// The publications of one target. Each is there once it was seen to be in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Published {
    /// Whether an instance of the image ran and passed its status checks.
    #[serde(skip_serializing_if = "is_default")]
    pub launched: bool,
    /// Whether an instance of the launch test may run.
    #[serde(skip_serializing_if = "is_default")]
    pub launching: bool,
    /// The parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<PublishedParameter>,
    /// The launch template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PublishedTemplate>,
}

/// The version of a parameter that holds the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct PublishedParameter {
    /// The number of the version.
    pub version: i64,
    /// The image that the parameter held before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<ImageId>,
}

/// The version of a launch template that names the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct PublishedTemplate {
    /// The number of the version.
    pub version: i64,
    /// The version that was the default before, if this one has become the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<i64>,
}
