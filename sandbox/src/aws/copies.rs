//! Copies under way: when they end, how far they are, and what breaks them.

use std::time::{Duration, SystemTime};

use super::{Aws, Caller};
use crate::refusals;

/// The copy that is making a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Copying {
    pub caller: Caller,
    /// Where the copy is made.
    pub region: String,
    pub source_snapshot_id: String,
    pub source_region: String,
    pub source_key: Option<String>,
    pub started: SystemTime,
    pub takes: Duration,
    /// When and why it ends in `error`, if it will.
    pub fails: Option<(SystemTime, String)>,
    /// Whether the source was readable when the copy began; only then can it be lost.
    pub readable: bool,
    /// Counts towards the limit of CopySnapshot; the snapshots of a CopyImage do not.
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

    /// The moment it will be this far.
    pub(crate) fn moment_of(&self, percent: u8) -> SystemTime {
        self.started + self.takes.mul_f64(f64::from(percent.min(100)) / 100.0)
    }

    fn ends(&self) -> SystemTime {
        let done = self.started + self.takes;
        self.fails.as_ref().map_or(done, |(at, _)| *at)
    }
}

impl Aws {
    /// Brings the world to this moment: ends what is due, and puts key policies in force, each at its time.
    pub(crate) fn settle(&mut self, now: SystemTime) {
        while let Some(at) = self.next_policy().filter(|at| *at <= now) {
            self.settle_copies(at);
            self.put_policies_in_force();
            self.break_copies();
        }
        self.settle_copies(now);
    }

    fn settle_copies(&mut self, now: SystemTime) {
        self.now = self.now.max(now);
        let now = self.now;
        let due: Vec<String> = {
            let copies = self.copying.iter();
            let due = copies.filter(|(_, copy)| copy.ends() <= now);
            due.map(|(id, _)| id.clone()).collect()
        };
        for id in &due {
            self.end_copy(id);
        }
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
            // Nothing was moved where nothing could be read.
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

    fn settle_images(&mut self) {
        let now = self.now;
        for image in self
            .images
            .values_mut()
            .filter(|image| image.view.state == "pending")
        {
            let states = image.waits_for.iter().map(|id| {
                let snapshot = self.snapshots.get(id);
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
        }
    }

    /// Ends in `error` every copy whose source its caller can no longer read. Called after whatever may take access away.
    pub(crate) fn break_copies(&mut self) {
        let lost: Vec<(String, String)> = {
            let readable = self.copying.iter().filter(|(_, copy)| copy.readable);
            readable
                .filter_map(|(id, copy)| Some((id.clone(), self.loss_of(copy)?)))
                .collect()
        };
        for (id, message) in lost {
            self.fail_copy(&id, &message);
        }
    }

    /// What this copy has lost since it began.
    fn loss_of(&self, copy: &Copying) -> Option<String> {
        let gone = || {
            let refused = refusals::COPY_SOURCE_LOST.with(&[&copy.source_snapshot_id]);
            refused.message
        };
        let Some(source) = self.snapshots.get(&copy.source_snapshot_id) else {
            return Some(gone());
        };
        if !crate::ec2::visibility::may_restore(self, &source.view, copy.caller.account()) {
            return Some(gone());
        }
        let key = copy.source_key.as_ref()?;
        let usable = crate::kms::by_ec2::may_read(self, &copy.caller, key, &source.view);
        (!usable).then(|| refusals::COPY_KEY_NOT_ACCESSIBLE.with(&[]).message)
    }
}
