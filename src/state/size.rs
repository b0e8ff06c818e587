//! The largest size of a state, which a caller holds in an event.

use super::{
    Failure, MOST_LEFT, NOTE_BYTES, Pace, Published, PublishedParameter, PublishedTemplate,
    REASON_BYTES, STUCK_BYTES, Sharing, State, TargetPhase, Work,
};
use crate::cause::Cause;
use crate::ids::{ImageId, KeyRef};

/// Returns what a run publishes at most.
fn longest() -> Published {
    let version = i64::from(u32::MAX);
    Published {
        launched: true,
        launching: true,
        parameter: Some(PublishedParameter {
            version,
            former: ImageId::parse("ami-00000000000000000").ok(),
        }),
        template: Some(PublishedTemplate {
            version,
            former: Some(version),
        }),
    }
}

impl State {
    /// Returns the most bytes that this state can grow to in its run. Either every target failed
    /// with the longest texts, or every target has all its copies.
    pub fn largest_size(&self) -> usize {
        let size =
            |state: &Self| serde_json::to_string(state).map_or(usize::MAX, |text| text.len());
        let mut busy = self.busiest();
        let mut failed = busy.clone();
        for target in &mut failed.targets {
            target.work.copies.clear();
            target.work.doubled = false;
            target.note = None;
            let reason = "x".repeat(REASON_BYTES);
            target.failure = Some(Failure::new(Cause::ServiceLinkedRoleMissing, &reason));
            target.pace = Pace::default();
            target.phase = TargetPhase::Stuck {
                why: "x".repeat(STUCK_BYTES),
                left: vec!["snap-00000000000000000".to_owned(); MOST_LEFT],
            };
        }
        for target in &mut busy.targets {
            target.image_id = ImageId::parse("ami-00000000000000000").ok();
            target.note = Some("x".repeat(NOTE_BYTES));
            if self.order.publish.is_some() {
                target.published = longest();
            }
            target.work.doubled = true;
            target.work.copies = self.source.snapshots.iter().cloned().map(Some).collect();
        }
        let mut standing = busy.clone();
        for target in &mut standing.targets {
            target.fail_standing(Cause::ServiceLinkedRoleMissing, &"x".repeat(REASON_BYTES));
        }
        size(&busy).max(size(&failed)).max(size(&standing))
    }

    /// Returns the state with the longest values of a run that has not failed.
    fn busiest(&self) -> Self {
        let now = i64::from(u32::MAX);
        let pace = Pace {
            due: now,
            tries: 99,
        };
        let mut busy = self.clone();
        busy.unread = 99;
        busy.attempt = u32::MAX;
        busy.sharing = Sharing {
            at: now,
            pace,
            closed: true,
            refused: None,
            unsure: true,
            staged: true,
            staged_at: now,
            stuck: Some("x".repeat(600)),
        };
        let staged = self.source.snapshots.iter().cycle();
        let staged = staged.take(self.staged_count()).cloned();
        busy.source.staged = staged.map(Some).collect();
        for target in &mut busy.targets {
            // An alias becomes the ARN of a key.
            if let Ok(key) = KeyRef::parse(&format!(
                "arn:aws-us-gov:kms:{}:{}:key/{}",
                target.region, target.account_id, "mrk-1234abcd12ab34cd56ef1234567890ab"
            )) {
                target.kms_key_id = key;
            }
            target.pace = pace;
            target.work = Work {
                progress: 100,
                since: now,
                last_start: now,
                again: 9,
                queued: true,
                ..target.work.clone()
            };
            target.shared = true;
            target.phase = TargetPhase::Registering;
        }
        busy
    }
}
