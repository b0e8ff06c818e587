//! Deleted snapshots and deregistered images, while a describe call may still find them. No other
//! call finds them.
//!
//! Source: EC2 API reference, eventual consistency.

use super::late::Read;
use super::{Aws, LiveImage, LiveSnapshot};

#[derive(Debug, Default)]
pub(crate) struct Gone {
    snapshots: Vec<LiveSnapshot>,
    images: Vec<LiveImage>,
}

impl Aws {
    /// Deletes a snapshot, even if it is locked or an image uses it. A copy under way goes on, and
    /// counts until it ends.
    pub fn delete_snapshot(&mut self, id: &str) -> bool {
        let Some(mut snapshot) = self.snapshots.remove(id) else {
            return false;
        };
        self.locks.remove(id);
        self.show_deletion(&mut snapshot.shown, Read::Snapshots);
        let (now, gone) = (self.now, &mut self.gone.snapshots);
        gone.push(snapshot);
        gone.retain(|snapshot| !snapshot.shown.is_settled(now));
        true
    }

    /// Deregisters an image, even a protected one.
    pub fn delete_image(&mut self, id: &str) -> bool {
        let Some(mut image) = self.images.remove(id) else {
            return false;
        };
        self.show_deletion(&mut image.shown, Read::Images);
        let (now, gone) = (self.now, &mut self.gone.images);
        gone.push(image);
        gone.retain(|image| !image.shown.is_settled(now));
        true
    }

    /// Returns the snapshots of one owner, or of all, that describe calls find, by their IDs or
    /// without IDs.
    pub(crate) fn described_snapshots(
        &self,
        by_id: bool,
        owner: Option<&str>,
    ) -> impl Iterator<Item = &LiveSnapshot> {
        let found = move |exists: bool| {
            move |snapshot: &&LiveSnapshot| snapshot.shown.is_found(exists, by_id, self.now)
        };
        let live = self.snapshots.of(owner).filter(found(true));
        live.chain(self.gone.snapshots.iter().filter(found(false)))
    }

    /// Returns the images of one owner, or of all, that describe calls find, by their IDs or
    /// without IDs.
    pub(crate) fn described_images(
        &self,
        by_id: bool,
        owner: Option<&str>,
    ) -> impl Iterator<Item = &LiveImage> {
        let found = move |exists: bool| {
            move |image: &&LiveImage| image.shown.is_found(exists, by_id, self.now)
        };
        let live = self.images.of(owner).filter(found(true));
        live.chain(self.gone.images.iter().filter(found(false)))
    }
}
