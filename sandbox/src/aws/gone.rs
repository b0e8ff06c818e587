//! Stale reads: what was deleted shows in describe calls for a while. Nothing else is decided by it: every other call knows better.
//!
//! Source: EC2 API reference, eventual consistency.

use std::time::SystemTime;

use super::{Aws, LiveImage, LiveSnapshot};

#[derive(Debug, Default)]
pub(crate) struct Gone {
    /// With the moment from which on they do not show any more.
    snapshots: Vec<(SystemTime, LiveSnapshot)>,
    images: Vec<(SystemTime, LiveImage)>,
}

impl Aws {
    /// Without asking whether an image uses it.
    pub fn delete_snapshot(&mut self, id: &str) -> bool {
        self.copying.remove(id);
        let Some(snapshot) = self.snapshots.remove(id) else {
            return false;
        };
        let until = self.gone_shows_until();
        if until > self.now {
            self.gone.snapshots.push((until, snapshot));
        }
        true
    }

    pub fn delete_image(&mut self, id: &str) -> bool {
        let Some(image) = self.images.remove(id) else {
            return false;
        };
        let until = self.gone_shows_until();
        if until > self.now {
            self.gone.images.push((until, image));
        }
        true
    }

    fn gone_shows_until(&self) -> SystemTime {
        self.now + self.rules.scaled(self.rules.gone_delay)
    }

    /// The snapshots that describe calls find, the deleted among them while they show.
    pub(crate) fn described_snapshots(&self) -> impl Iterator<Item = &LiveSnapshot> {
        let gone = self.gone.snapshots.iter();
        let shown = gone.filter(|(until, _)| *until > self.now);
        self.snapshots.values().chain(shown.map(|(_, gone)| gone))
    }

    /// The same for images.
    pub(crate) fn described_images(&self) -> impl Iterator<Item = &LiveImage> {
        let gone = self.gone.images.iter();
        let shown = gone.filter(|(until, _)| *until > self.now);
        self.images.values().chain(shown.map(|(_, gone)| gone))
    }
}
