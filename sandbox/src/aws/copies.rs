//! Copies under way, and snapshots of volumes: when they end, how far they are.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::time::{Duration, SystemTime};

use super::{Aws, Caller, LiveImage};

/// The copy that is making a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Copying {
    pub caller: Caller,
    /// The Region to which the copy is made.
    pub region: String,
    pub source_snapshot_id: String,
    pub source_region: String,
    pub source_key: Option<String>,
    pub started: SystemTime,
    pub takes: Duration,
    /// The time and the message of the copy's failure, if it will fail.
    pub fails: Option<(SystemTime, String)>,
    /// Whether the source was readable when the copy began. Only a readable source can be lost.
    pub readable: bool,
    /// Whether the copy counts towards the limit of CopySnapshot. Snapshots of a CopyImage do not.
    pub counted: bool,
    /// MiB/s reserved by a time-based copy.
    pub reserved_mib_per_second: f64,
}

impl Copying {
    pub(crate) fn percent(&self, now: SystemTime) -> u8 {
        let gone = now.duration_since(self.started).unwrap_or_default();
        let share = gone.as_secs_f64() / self.takes.as_secs_f64().max(0.001);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=99"
        )]
        let percent = (share * 100.0).floor().clamp(0.0, 99.0) as u8;
        percent
    }

    /// Returns the moment at which the copy reaches this percentage.
    pub(crate) fn moment_of(&self, percent: u8) -> SystemTime {
        self.started + self.takes.mul_f64(f64::from(percent.min(100)) / 100.0)
    }

    fn place(&self) -> (String, String) {
        (self.caller.account().to_owned(), self.region.clone())
    }

    fn ends(&self) -> SystemTime {
        let done = self.started + self.takes;
        self.fails.as_ref().map_or(done, |(at, _)| *at)
    }
}

/// The copies under way, by their snapshots, by their ends, and by their accounts and Regions.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    all: BTreeMap<String, Copying>,
    ends: BTreeSet<(SystemTime, String)>,
    places: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Copies {
    pub(crate) fn insert(&mut self, id: String, copy: Copying) {
        self.remove(&id);
        self.ends.insert((copy.ends(), id.clone()));
        let there = self.places.entry(copy.place()).or_default();
        there.insert(id.clone());
        self.all.insert(id, copy);
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Copying> {
        let copy = self.all.remove(id)?;
        self.ends.remove(&(copy.ends(), id.to_owned()));
        if let Some(there) = self.places.get_mut(&copy.place()) {
            there.remove(id);
        }
        Some(copy)
    }

    /// Changes a copy, if it is under way.
    pub(crate) fn change(&mut self, id: &str, change: impl FnOnce(&mut Copying)) -> bool {
        let Some(mut copy) = self.remove(id) else {
            return false;
        };
        change(&mut copy);
        self.insert(id.to_owned(), copy);
        true
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Copying> {
        self.all.get(id)
    }

    pub(crate) fn iter(&self) -> btree_map::Iter<'_, String, Copying> {
        self.all.iter()
    }

    pub(crate) fn values(&self) -> btree_map::Values<'_, String, Copying> {
        self.all.values()
    }

    /// Returns the copies into an account in a Region.
    pub(crate) fn to(&self, account: &str, region: &str) -> impl Iterator<Item = &Copying> {
        let there = self.places.get(&(account.to_owned(), region.to_owned()));
        let ids = there.into_iter().flatten();
        ids.filter_map(|id| self.all.get(id))
    }

    /// Returns the snapshots of the copies that have ended by then, in the order of their IDs.
    fn due(&self, now: SystemTime) -> BTreeSet<String> {
        let due = self.ends.iter().take_while(|(end, _)| *end <= now);
        due.map(|(_, id)| id.clone()).collect()
    }
}

impl Aws {
    /// Adds an image, and returns the former one of the same ID.
    pub(crate) fn put_image(&mut self, image: LiveImage) -> Option<LiveImage> {
        let id = image.view.image_id.clone();
        self.pending_images.insert(id.clone());
        self.images.insert(id, image)
    }

    /// Ends the copies and the snapshots of volumes, and settles the images that are due at this
    /// moment.
    pub(crate) fn settle_copies(&mut self, now: SystemTime) {
        self.now = self.now.max(now);
        let now = self.now;
        for id in &self.copying.due(now) {
            self.end_copy(id);
        }
        self.complete_snapshots();
        self.settle_images();
    }

    fn end_copy(&mut self, id: &str) {
        let Some(copy) = self.copying.remove(id) else {
            return;
        };
        // Nothing remains of a copy whose snapshot was deleted.
        let Some(snapshot) = self.snapshots.get_mut(id) else {
            return;
        };
        if let Some((at, message)) = &copy.fails {
            // A copy of an unreadable source moves no data.
            let percent = if copy.readable { copy.percent(*at) } else { 0 };
            snapshot.view.progress = format!("{percent}%");
            snapshot.view.state_message = Some(message.clone());
            "error".clone_into(&mut snapshot.view.state);
        } else {
            snapshot.view.completion_time = Some(copy.ends());
            "100%".clone_into(&mut snapshot.view.progress);
            "completed".clone_into(&mut snapshot.view.state);
        }
    }

    /// Completes the snapshots of volumes that are due.
    fn complete_snapshots(&mut self) {
        let now = self.now;
        let snapshots = &mut self.snapshots;
        self.snapshots_due.retain(|id, at| {
            if *at > now {
                return true;
            }
            if let Some(snapshot) = snapshots.get_mut(id) {
                snapshot.view.completion_time = Some(*at);
                "100%".clone_into(&mut snapshot.view.progress);
                "completed".clone_into(&mut snapshot.view.state);
            }
            false
        });
    }

    fn settle_images(&mut self) {
        let now = self.now;
        let (images, snapshots) = (&mut self.images, &self.snapshots);
        self.pending_images.retain(|id| {
            let Some(image) = images.get_mut(id) else {
                return false;
            };
            if image.view.state != "pending" {
                return false;
            }
            let states = image.waits_for.iter().map(|id| {
                let snapshot = snapshots.get(id);
                snapshot.map_or("deleted", |s| s.view.state.as_str())
            });
            let states: Vec<&str> = states.collect();
            if states
                .iter()
                .any(|state| matches!(*state, "error" | "deleted"))
            {
                "failed".clone_into(&mut image.view.state);
                image.view.state_reason = Some("Client.InternalError".to_owned());
            } else if now >= image.available_at && states.iter().all(|s| *s == "completed") {
                "available".clone_into(&mut image.view.state);
                image.waits_for.clear();
            }
            image.view.state == "pending"
        });
    }
}
