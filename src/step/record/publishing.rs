//! Outcomes of publishing, the last command of a target.
//!
//! Nothing here undoes: the image is good and stays. The same request sent again publishes only
//! what is missing.

use crate::cause::Cause;
use crate::command::{Publication, Rest};
use crate::error::{Refusal, RefusalKind};
use crate::state::{Failure, NOTE_BYTES, Pace, SHOWN_WITHIN, TargetPhase, TargetState, shorten};
use crate::step::pace::{MOST_DENIALS, MOST_TRIES};

use super::stick;

/// The calls that end a launch test.
const ENDING: [&str; 2] = ["TerminateInstances", "DeleteAutoScalingGroup"];
/// The calls that an image may not stand.
const LAUNCHING: [&str; 2] = ["RunInstances", "CreateAutoScalingGroup"];
/// Seconds until a value that was written usually shows.
const SHOWS_AFTER: i64 = 15;

/// Records a publication. `tests` says whether the run tests launches: a part that fails before the
/// test has passed ends the test too.
pub(super) fn published(target: &mut TargetState, publication: Publication, tests: bool, now: i64) {
    let Publication { done, notes, rest } = publication;
    // A part that succeeded counts even if a later one is refused.
    target.published = done;
    if !notes.is_empty() {
        let all = target.note.take().into_iter().chain(notes);
        let all: Vec<String> = all.collect();
        target.note = Some(shorten(&all.join("; "), NOTE_BYTES));
    }
    match rest {
        // A failure that stands by now says which grants of former roles stay.
        Rest::Nothing => {
            target.pace = Pace::default();
            target.phase = TargetPhase::Succeeded;
        }
        // The wait has an end of its own, by the age of the instance.
        Rest::Launching { seconds } => {
            target.pace = Pace {
                due: now + seconds,
                tries: 0,
            };
        }
        // An earlier look would write again what is only late.
        Rest::NotYet(what) => {
            again(target, MOST_TRIES, &what, tests, now);
            target.pace.due = target.pace.due.max(now + SHOWS_AFTER);
        }
        Rest::NotLaunched(why) => target.fail_standing(Cause::LaunchTestFailed, &why),
        Rest::Unfit(why) => target.fail_publishing(Cause::NotPublished, &why, tests),
        Rest::Refused(refusal) => refused(target, &refusal, tests, now),
    }
}

pub(super) fn refused(target: &mut TargetState, refusal: &Refusal, tests: bool, now: i64) {
    let fits = !matches!(refusal.kind(), RefusalKind::Final | RefusalKind::NotFound);
    if LAUNCHING.contains(&refusal.operation) && !fits {
        return target.fail_publishing(Cause::LaunchTestFailed, &refusal.to_string(), tests);
    }
    let most = match refusal.kind() {
        _ if refusal.is_passing() => MOST_TRIES,
        // A policy that was changed a moment ago may not be in force yet.
        RefusalKind::Denied if !refusal.is_final_denial() => MOST_DENIALS,
        _ => 1,
    };
    if ENDING.contains(&refusal.operation) {
        return instance_left(target, most, refusal, now);
    }
    again(target, most, &refusal.to_string(), tests, now);
}

/// Tries again, and then names the instance that still runs.
fn instance_left(target: &mut TargetState, most: u32, refusal: &Refusal, now: i64) {
    target.pace.failed(now);
    if target.pace.tries < most {
        return;
    }
    let said = refusal.to_string();
    target.failure = Some(Failure::new(Cause::LaunchTestFailed, &said));
    stick(target, &said, vec![refusal.resource.clone()]);
}

/// Looks a second time: an instance of a moment ago may not show yet.
pub(super) fn test_ended(target: &mut TargetState, now: i64) {
    if target.pace.tries > 0 {
        (target.phase, target.pace) = (TargetPhase::Failed, Pace::default());
        target.published.launching = false;
        return;
    }
    target.pace = Pace {
        due: now + SHOWN_WITHIN,
        tries: 1,
    };
}

/// Tries again, and then names the instance that may still run.
pub(super) fn test_not_ended(target: &mut TargetState, refusal: &Refusal, now: i64) {
    if ENDING.contains(&refusal.operation) {
        return instance_left(target, MOST_TRIES, refusal, now);
    }
    target.pace.failed(now);
    if target.pace.tries < MOST_TRIES {
        return;
    }
    if !target.published.launching {
        // The former failure came before any launch.
        (target.phase, target.pace) = (TargetPhase::Failed, Pace::default());
        return;
    }
    let image = target.image_id.as_ref();
    let image = image.map_or("the image", |id| id.as_str());
    let said = format!("the instance that tests {image} may still run: {refusal}");
    target.fail_standing(Cause::LaunchTestFailed, &said);
}

fn again(target: &mut TargetState, most: u32, said: &str, tests: bool, now: i64) {
    target.pace.failed(now);
    if target.pace.tries >= most {
        target.fail_publishing(Cause::NotPublished, said, tests);
    }
}
