//! The world as assertions read it.

use super::{Aws, LiveSnapshot};
use crate::model::{Grant, Image, Instance, Snapshot, Volume};

impl Aws {
    pub(crate) fn images_of(&self, account: &str, region: &str) -> Vec<Image> {
        let owned = self.images.of(Some(account)).map(|image| &image.view);
        let here = owned.filter(|image| image.region == region);
        here.cloned().collect()
    }

    pub(crate) fn snapshots_of(&self, account: &str, region: &str) -> Vec<Snapshot> {
        let owned = self.snapshots.of(Some(account));
        let here = owned.filter(|s| s.view.region == region);
        here.map(|snapshot| self.with_progress(snapshot)).collect()
    }

    pub(crate) fn volumes_of(&self, account: &str, region: &str) -> Vec<Volume> {
        let owned = self.volumes.values();
        let here = owned.filter(|volume| volume.owner_id == account && volume.region == region);
        here.cloned().collect()
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

    /// Returns the snapshot with its current progress.
    pub(crate) fn with_progress(&self, snapshot: &LiveSnapshot) -> Snapshot {
        let mut view = snapshot.view.clone();
        let copy = self.copying.get(&view.snapshot_id);
        if let Some(copy) = copy.filter(|_| view.state == "pending") {
            view.progress = format!("{}%", copy.percent(self.now));
        }
        view
    }
}
