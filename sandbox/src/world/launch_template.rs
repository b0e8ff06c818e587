//! A launch template.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::LaunchTemplateMapping;

/// A launch template that was created before the world began. Image, instance type and mappings are
/// those of version 1.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchTemplate {
    /// The Region.
    pub region: String,
    /// `lt-` and 8 or 17 hexadecimal digits.
    pub id: String,
    /// The name, unique in the account and Region.
    pub name: String,
    /// The ID of the image.
    #[serde(default)]
    pub image: Option<String>,
    /// The instance type.
    #[serde(default)]
    pub instance_type: Option<String>,
    /// The block device mappings.
    #[serde(default, rename = "mapping")]
    pub mappings: Vec<LaunchTemplateMapping>,
    /// The images of further versions, which are like version 1 apart from that.
    #[serde(default)]
    pub later_images: Vec<String>,
    /// The number of the default version, by default 1.
    #[serde(default)]
    pub default_version: Option<u64>,
    /// The tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl LaunchTemplate {
    /// Returns a launch template whose only version names no image.
    pub fn new(region: &str, id: &str, name: &str) -> Self {
        Self {
            region: region.to_owned(),
            id: id.to_owned(),
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Sets the image of version 1.
    #[must_use]
    pub fn image(mut self, id: &str) -> Self {
        self.image = Some(id.to_owned());
        self
    }

    /// Sets the instance type.
    #[must_use]
    pub fn instance_type(mut self, name: &str) -> Self {
        self.instance_type = Some(name.to_owned());
        self
    }

    /// Adds a block device mapping.
    #[must_use]
    pub fn mapping(mut self, mapping: LaunchTemplateMapping) -> Self {
        self.mappings.push(mapping);
        self
    }

    /// Adds a version with this image.
    #[must_use]
    pub fn later_image(mut self, id: &str) -> Self {
        self.later_images.push(id.to_owned());
        self
    }

    /// Sets the number of the default version.
    #[must_use]
    pub fn default_version(mut self, number: u64) -> Self {
        self.default_version = Some(number);
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }
}
