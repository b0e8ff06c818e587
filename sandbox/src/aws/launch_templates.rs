//! Launch templates and their versions.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::Aws;
use crate::model::{LaunchTemplateVersion, LaunchTemplateVersions};

#[derive(Clone, Debug)]
pub(crate) struct LiveTemplate {
    pub id: String,
    pub name: String,
    pub account: String,
    pub region: String,
    pub tags: BTreeMap<String, String>,
    pub created: SystemTime,
    pub created_by: String,
    pub default_version: u64,
    /// The versions, the oldest first; never empty.
    pub versions: Vec<LiveTemplateVersion>,
}

#[derive(Clone, Debug)]
pub(crate) struct LiveTemplateVersion {
    pub view: LaunchTemplateVersion,
    /// The data as parameters of RunInstances, as far as a call gave them.
    pub data: BTreeMap<String, String>,
    pub created: SystemTime,
    pub created_by: String,
}

impl LiveTemplate {
    pub(crate) fn latest_version(&self) -> u64 {
        self.versions.last().map_or(1, |latest| latest.view.version)
    }

    pub(crate) fn version(&self, number: u64) -> Option<&LiveTemplateVersion> {
        let mut all = self.versions.iter();
        all.find(|version| version.view.version == number)
    }
}

impl Aws {
    /// Returns the launch templates of an account and Region.
    pub(crate) fn templates_of(
        &self,
        account: &str,
        region: &str,
    ) -> impl Iterator<Item = &LiveTemplate> {
        let all = self.templates.values();
        all.filter(move |live| live.account == account && live.region == region)
    }

    pub(crate) fn template_versions(
        &self,
        account: &str,
        region: &str,
        id: &str,
    ) -> Option<LaunchTemplateVersions> {
        let found = self
            .templates_of(account, region)
            .find(|live| live.id == id)?;
        let versions = found.versions.iter();
        Some(LaunchTemplateVersions {
            default_version: found.default_version,
            versions: versions.map(|version| version.view.clone()).collect(),
        })
    }
}
