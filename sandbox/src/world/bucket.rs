//! An S3 bucket of an account, and its objects.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::Deserialize;

/// A general purpose bucket with the settings of every new one: no versions, no ACLs, public access
/// blocked, and objects encrypted by S3 itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// The Region.
    pub region: String,
    /// The name, unique in all accounts of the world: 3 to 63 lower-case letters, digits, hyphens
    /// and dots.
    pub name: String,
    /// The bucket policy as JSON. Without one, the identity policies of the account decide.
    #[serde(default)]
    pub policy: Option<String>,
    /// The objects that exist from the start: key to content.
    #[serde(default)]
    pub objects: BTreeMap<String, String>,
}

impl Bucket {
    /// Returns an empty bucket without a policy.
    pub fn new(region: &str, name: &str) -> Self {
        Self {
            region: region.to_owned(),
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Sets the bucket policy.
    #[must_use]
    pub fn policy(mut self, json: impl Display) -> Self {
        self.policy = Some(json.to_string());
        self
    }

    /// Adds an object.
    #[must_use]
    pub fn object(mut self, key: &str, content: &str) -> Self {
        self.objects.insert(key.to_owned(), content.to_owned());
        self
    }
}
