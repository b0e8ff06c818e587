//! Locks of snapshots: their states over time.
//!
//! Source: EBS guide, snapshot lock.

use std::time::{Duration, SystemTime};

use super::Aws;

/// The duration of a lock that a test sets, in days.
const OF_TESTS: u32 = 365;

#[derive(Clone, Debug)]
pub(crate) struct LiveLock {
    /// Whether the mode is `compliance` rather than `governance`.
    pub compliance: bool,
    pub days: u32,
    /// The cooling-off period of the mode `compliance`.
    pub cool_off_hours: Option<u32>,
    pub created: SystemTime,
}

impl LiveLock {
    pub(crate) fn expires(&self, aws: &Aws) -> SystemTime {
        let lasts = Duration::from_hours(24) * self.days;
        self.created + aws.rules.scaled(lasts)
    }

    /// Returns the end of the cooling-off period.
    pub(crate) fn cools_until(&self, aws: &Aws) -> Option<SystemTime> {
        let lasts = Duration::from_hours(1) * self.cool_off_hours?;
        Some(self.created + aws.rules.scaled(lasts))
    }

    /// Returns the state as AWS names it.
    pub(crate) fn state(&self, aws: &Aws) -> &'static str {
        if self.expires(aws) <= aws.now {
            "expired"
        } else if !self.compliance {
            "governance"
        } else if self.cools_until(aws).is_some_and(|end| aws.now < end) {
            "compliance-cooloff"
        } else {
            "compliance"
        }
    }
}

impl Aws {
    /// Locks the snapshot in governance mode for a year.
    pub fn lock_snapshot(&mut self, id: &str) -> bool {
        let lock = LiveLock {
            compliance: false,
            days: OF_TESTS,
            cool_off_hours: None,
            created: self.now,
        };
        let exists = self.snapshots.contains_key(id);
        if exists {
            self.locks.insert(id.to_owned(), lock);
        }
        exists
    }

    /// Takes the snapshot's lock away, whatever its mode.
    pub fn unlock_snapshot(&mut self, id: &str) -> bool {
        self.locks.remove(id).is_some()
    }

    /// Returns the lock of a snapshot, unless it has expired.
    pub(crate) fn lock_in_force(&self, id: &str) -> Option<&LiveLock> {
        let lock = self.locks.get(id);
        lock.filter(|lock| lock.state(self) != "expired")
    }
}
