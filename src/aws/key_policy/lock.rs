//! The lock on a key's policy: the `Edit` of the key's record in the ledger.
//!
//! A process that died with the lock loses it once another has seen it there for two minutes. None
//! of its writes can be under way by then: a process writes within one minute of taking the lock,
//! and a call lasts 50 seconds at most. Each process measures by its own clock only: two clocks may
//! be minutes apart.

use std::time::Duration;

use super::Editor;
use crate::aws::Aws;
use crate::aws::ledger::Change;
use crate::error::Refusal;
use crate::ids::KeyArn;
use crate::ledger::{Edit, LONGEST_LIFE, Record};

/// Seconds within which the holder of the lock may write.
const WRITES_WITHIN: i64 = 60;
/// Seconds for which another process must have seen the lock before it may take it.
const LEASE: i64 = 120;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(2);
/// Tries before the edit fails. Together they last longer than a lease.
const MOST_TRIES: usize = 75;

/// Whether a process that took the lock at that time may still write.
pub fn is_fresh(locked_at: i64, now: i64) -> bool {
    now.saturating_sub(locked_at) < WRITES_WITHIN
}

impl Aws {
    /// Takes the lock. Returns when (Unix seconds).
    pub(super) async fn lock_policy(&self, editor: &Editor, key: &KeyArn) -> Result<i64, Refusal> {
        // The lock of another process, and when this one first saw it.
        let mut seen: Option<(Edit, i64)> = None;
        for _ in 0..MOST_TRIES {
            let now = self.now();
            let locked = self.change_record(key.as_str(), |record| {
                let record = editor.record_of(key, record);
                let other = record.edit.as_ref().filter(|edit| edit.by != self.process);
                if let Some(edit) = other {
                    let since = match &seen {
                        Some((same, since)) if same == edit => *since,
                        _ => now,
                    };
                    seen = Some((edit.clone(), since));
                    let age = now.saturating_sub(edit.since);
                    if now.saturating_sub(since) < LEASE && age < LONGEST_LIFE {
                        return Change::Leave(false);
                    }
                }
                let mut locked = record.next();
                locked.edited = true;
                locked.edit = Some(Edit {
                    by: self.process.clone(),
                    since: now,
                });
                Change::Write(locked, true)
            });
            if locked.await? {
                return Ok(now);
            }
            tokio::time::sleep(PAUSE).await;
        }
        let message = "another process of this project holds the lock on it".to_owned();
        Err(editor.refused(key, "KeyPolicyChanging", message))
    }

    /// Notes that the policy may have statements of a run, where it has some though no process has
    /// locked it.
    pub(super) async fn note_edited(&self, editor: &Editor, key: &KeyArn) -> Result<(), Refusal> {
        self.change_record(key.as_str(), |record| {
            let record = editor.record_of(key, record);
            if record.edited || record.is_empty() {
                return Change::Leave(());
            }
            let mut noted = record.next();
            noted.edited = true;
            Change::Write(noted, ())
        })
        .await
    }

    /// Takes the lock off a record whose process died with it.
    pub(in crate::aws) async fn break_dead_lock(&self, record: &Record) -> Result<(), Refusal> {
        let dead = |edit: &Edit, now: i64| now >= edit.since.saturating_add(LONGEST_LIFE);
        let now = self.now();
        if !record.edit.as_ref().is_some_and(|edit| dead(edit, now)) {
            return Ok(());
        }
        self.change_record(&record.resource, |record| match record {
            Some(record) if record.edit.as_ref().is_some_and(|edit| dead(edit, now)) => {
                let mut new = record.next();
                new.edit = None;
                Change::to_record(new)
            }
            _ => Change::Leave(()),
        })
        .await
    }

    /// Gives the lock back. If that fails, the lock expires with its lease.
    pub(super) async fn unlock_policy(&self, key: &KeyArn) {
        let unlocked = self.change_record(key.as_str(), |record| match record {
            Some(record) if record.edit.as_ref().is_some_and(|e| e.by == self.process) => {
                let mut new = record.next();
                new.edit = None;
                Change::to_record(new)
            }
            _ => Change::Leave(()),
        });
        if let Err(refused) = unlocked.await {
            let key = key.as_str();
            tracing::warn!(key, %refused, "the lock on the key's policy was not given back");
        }
    }
}
