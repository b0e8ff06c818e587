//! A parameter of Parameter Store.

use serde::Deserialize;

/// A parameter that was created before the world began, with one version.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// The Region.
    pub region: String,
    /// The name, unique in the account and Region.
    pub name: String,
    /// The value.
    pub value: String,
    /// The data type: `text` by default, or `aws:ec2:image`.
    #[serde(default)]
    pub data_type: Option<String>,
}

impl Parameter {
    /// Returns a parameter of the data type `text`.
    pub fn new(region: &str, name: &str, value: &str) -> Self {
        Self {
            region: region.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            data_type: None,
        }
    }

    /// Sets the data type: `text` or `aws:ec2:image`.
    #[must_use]
    pub fn data_type(mut self, data_type: &str) -> Self {
        self.data_type = Some(data_type.to_owned());
        self
    }
}
