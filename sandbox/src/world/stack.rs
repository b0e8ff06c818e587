//! A stack of CloudFormation, as far as its outputs.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A stack that was created before the world began.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// The Region.
    pub region: String,
    /// The name, unique in the account and Region.
    pub name: String,
    /// The outputs: key to value.
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
}

impl Stack {
    /// Returns a stack without outputs.
    pub fn new(region: &str, name: &str) -> Self {
        Self {
            region: region.to_owned(),
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Adds an output.
    #[must_use]
    pub fn output(mut self, key: &str, value: &str) -> Self {
        self.outputs.insert(key.to_owned(), value.to_owned());
        self
    }
}
