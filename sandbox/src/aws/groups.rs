//! Auto Scaling groups.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::Aws;

/// (account, Region, name)
pub(crate) type GroupKey = (String, String, String);

/// A group of at most one instance.
#[derive(Clone, Debug)]
pub(crate) struct LiveGroup {
    /// The parameters by which it launches.
    pub launch: BTreeMap<String, String>,
    pub template: (String, String),
    pub zones: Vec<String>,
    pub subnet_id: Option<String>,
    pub created: SystemTime,
    pub visible_at: SystemTime,
    /// The instance that was launched last.
    pub instance: Option<String>,
    /// The last activities, the newest first.
    pub activities: Vec<LiveActivity>,
    pub deleted: Option<SystemTime>,
}

#[derive(Clone, Debug)]
pub(crate) struct LiveActivity {
    pub id: String,
    pub began: SystemTime,
    /// The instance, or the reason why there is none.
    pub launched: Result<String, String>,
}

impl Aws {
    /// Returns whether the instance of a group lives or is about to.
    pub(crate) fn is_at_work(&self, instance: &str) -> bool {
        let live = self.instances.get(instance);
        live.is_some_and(|live| !matches!(live.state(self).1, "shutting-down" | "terminated"))
    }
}
