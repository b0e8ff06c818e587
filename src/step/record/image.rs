//! Outcomes of copying the image as a whole.

use crate::cause::Cause;
use crate::command::{CopiedImage, ImageProgress};
use crate::error::{Refusal, RefusalKind};
use crate::state::{Pace, State, TargetPhase, TargetState};
use crate::step::pace::{UNSEEN_LIMIT, VISIBILITY_LIMIT, poll_interval, rest_of};

use super::copying::{broke, copy_again, key_not_ready, look_again, too_slow};
use super::{fail, stumble};

/// The wait for an image that does not show yet, in seconds.
const UNSEEN_PAUSE: i64 = 5;
/// Lost images that do not count as failures. Another process of the run clears failed images away,
/// and EC2 answers the token of such an image with that image for ever.
const MOST_LOST: u32 = 5;

pub(super) fn copied(state: &mut State, i: usize, copied: CopiedImage, now: i64) {
    match copied {
        CopiedImage::Started(image) => {
            let target = &mut state.targets[i];
            target.work.start(now);
            (target.image_id, target.pace) = (Some(image), Pace::default());
            target.pace.due = now + poll_interval(target.work.since, now, None);
        }
        CopiedImage::KeyNotReady(refusal) => key_not_ready(state, i, &refusal, now),
        CopiedImage::Refused(refusal) => {
            let visible_by = state.sharing.at + VISIBILITY_LIMIT;
            state.targets[i].work.start(now);
            refused(&mut state.targets[i], &refusal, visible_by, now);
            too_slow(state, i, now);
        }
    }
}

fn refused(target: &mut TargetState, refusal: &Refusal, visible_by: i64, now: i64) {
    let hidden = refusal.kind() == RefusalKind::NotFound || refusal.denies_storage();
    match refusal.kind() {
        _ if hidden && now < visible_by => target.pace.due = now + UNSEEN_PAUSE,
        _ if hidden => copy_again(target, Cause::SnapshotNotVisible, &refusal.to_string()),
        // The token was used for another image: its tags or its name were others.
        _ if refusal.code == "IdempotentParameterMismatch" => {
            target.work.lost_images += 1;
            copy_again(target, Cause::CopyFailed, &refusal.to_string());
        }
        RefusalKind::QuotaFull => {
            target.pace = Pace::default();
            target.pace.due = now + poll_interval(target.work.since, now, None);
        }
        RefusalKind::Throttled | RefusalKind::Uncertain | RefusalKind::Expired => {
            stumble(target, refusal, now);
        }
        RefusalKind::Denied | RefusalKind::NotFound | RefusalKind::Final => {
            fail(target, Cause::of(refusal), &refusal.to_string());
        }
    }
}

pub(super) fn polled(state: &mut State, i: usize, progress: ImageProgress, now: i64) {
    let target = &mut state.targets[i];
    target.work.begin(now);
    target.pace.tries = 0;
    match progress {
        ImageProgress::Pending(percent) => {
            target.work.progress = percent;
            let rest = rest_of(target.work.since, now, percent);
            target.pace.due = now + poll_interval(target.work.since, now, rest);
            too_slow(state, i, now);
        }
        ImageProgress::Available => {
            target.phase = TargetPhase::Checking;
            // An image of another run may not show before.
            target.pace.due = target.work.shown_by();
        }
        ImageProgress::Failed(said) => {
            lose(target);
            let waited = now - target.work.since;
            if waited < VISIBILITY_LIMIT && target.work.lost_images <= MOST_LOST {
                // EC2 gives a permission that has not spread no other reason.
                look_again(target, now + (waited / 4).clamp(5, 30));
            } else {
                broke(target, &said, now);
            }
        }
        ImageProgress::Absent if now - target.work.last_start <= UNSEEN_LIMIT => {
            target.pace.due = now + UNSEEN_PAUSE;
        }
        ImageProgress::Absent if target.work.lost_images < MOST_LOST => {
            lose(target);
            look_again(target, 0);
        }
        ImageProgress::Absent => {
            lose(target);
            let said = "the image was deregistered while it was copied";
            copy_again(target, Cause::CopyFailed, said);
        }
    }
}

/// Forgets the image, so that the next one gets a token of its own.
fn lose(target: &mut TargetState) {
    target.image_id = None;
    target.work.lost_images += 1;
}
