//! Parameters of Parameter Store, and the values that are still being validated.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::{Aws, regional_arn};
use crate::model::ParameterVersion;
use crate::rules::parameters::MOST_VERSIONS;

/// (account, Region, name)
pub(crate) type ParameterKey = (String, String, String);

#[derive(Clone, Debug, Default)]
pub(crate) struct LiveParameter {
    pub tags: BTreeMap<String, String>,
    /// The versions that are kept, the oldest first.
    pub versions: Vec<LiveParameterVersion>,
}

#[derive(Clone, Debug)]
pub(crate) struct LiveParameterVersion {
    pub view: ParameterVersion,
    pub description: Option<String>,
    pub modified: SystemTime,
    /// The ARN of the principal that put the version.
    pub by: String,
}

/// A value of the data type `aws:ec2:image` that is being validated.
#[derive(Clone, Debug)]
pub(crate) struct PendingParameter {
    pub at: SystemTime,
    pub key: ParameterKey,
    pub overwrite: bool,
    pub version: LiveParameterVersion,
    pub tags: BTreeMap<String, String>,
}

/// Returns the ARN of a parameter; a leading slash of the name is not repeated.
pub(crate) fn parameter_arn(key: &ParameterKey) -> String {
    let (account, region, name) = key;
    let name = name.strip_prefix('/').unwrap_or(name);
    regional_arn("ssm", region, account, &format!("parameter/{name}"))
}

impl Aws {
    /// Returns the number that the next version of the parameter will have.
    pub(crate) fn next_parameter_version(&self, key: &ParameterKey) -> u64 {
        let versions = self.parameters.get(key).map(|found| &found.versions);
        let latest = versions.and_then(|versions| versions.last());
        latest.map_or(1, |latest| latest.view.version + 1)
    }

    /// Adds a version, which gets its number here. The oldest goes beyond the most that are kept.
    pub(crate) fn put_parameter(
        &mut self,
        key: ParameterKey,
        mut version: LiveParameterVersion,
        tags: BTreeMap<String, String>,
    ) {
        version.view.version = self.next_parameter_version(&key);
        let live = self.parameters.entry(key).or_default();
        live.tags.extend(tags);
        live.versions.push(version);
        if live.versions.len() > MOST_VERSIONS {
            live.versions.remove(0);
        }
    }

    /// Returns the versions of a parameter, the oldest first; none if there is no such parameter.
    pub(crate) fn parameter_versions(&self, key: &ParameterKey) -> Vec<ParameterVersion> {
        let found = self.parameters.get(key);
        let versions = found.into_iter().flat_map(|found| &found.versions);
        versions.map(|version| version.view.clone()).collect()
    }
}
