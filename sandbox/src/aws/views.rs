//! The world as assertions read it.

use std::time::SystemTime;

use super::{Aws, LiveSnapshot};
use crate::model::{Grant, Image, Instance, Snapshot};

impl Aws {
    pub(crate) fn images_of(&self, account: &str, region: &str) -> Vec<Image> {
        let owned = self.images.values().map(|image| &image.view);
        let here = owned.filter(|image| image.owner_id == account && image.region == region);
        here.cloned().collect()
    }

    pub(crate) fn snapshots_of(&self, account: &str, region: &str) -> Vec<Snapshot> {
        let owned = self.snapshots.values();
        let here = owned.filter(|s| s.view.owner_id == account && s.view.region == region);
        here.map(|snapshot| snapshot.shown(self.now)).collect()
    }

    pub(crate) fn instances_of(&self, account: &str, region: &str) -> Vec<Instance> {
        let owned = self.instances.values();
        let here = owned.filter(|i| i.owner == account && i.region == region);
        here.map(|instance| instance.view(self)).collect()
    }

    pub(crate) fn grants_of(&self, key_arn: &str) -> Vec<Grant> {
        let grants = self.keys.get(key_arn).map(|key| key.grants.iter());
        grants
            .into_iter()
            .flatten()
            .map(|grant| grant.view.clone())
            .collect()
    }

    pub(crate) fn key_policy_of(&self, key_arn: &str) -> Option<serde_json::Value> {
        serde_json::from_str(&self.keys.get(key_arn)?.policy_text).ok()
    }
}

impl LiveSnapshot {
    /// With the progress of this moment.
    pub(crate) fn shown(&self, now: SystemTime) -> Snapshot {
        let mut view = self.view.clone();
        if let Some(copy) = self.copy.as_ref().filter(|_| view.state == "pending") {
            view.progress = format!("{}%", copy.percent(now));
        }
        view
    }
}
