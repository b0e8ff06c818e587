//! Outcomes of letting service-linked roles launch. Nothing here undoes: the image is good, or shared, and stays; whoever sends the
//! request again has only the missing grant made.

use crate::cause::Cause;
use crate::command::Outcome;
use crate::error::{Refusal, RefusalKind};
use crate::state::{Order, State, TargetPhase, TargetState};
use crate::step::pace::{MOST_TRIES, MOST_TRIES_FOR_A_ROLE, VISIBILITY_LIMIT, backoff};

/// Where a target goes that has all but its grants; once the source is closed again it has those too.
pub(super) fn end_or_grant(order: &Order, closed: bool) -> TargetPhase {
    if closed || order.service_linked_roles.is_empty() {
        TargetPhase::Succeeded
    } else {
        TargetPhase::Granting
    }
}

pub(super) fn granted(state: &mut State, i: usize, outcome: Outcome, now: i64) {
    let waited = now - state.sharing.at;
    // What lets the account make grants on a source key may not be in force yet.
    let settling = state.order.share.is_some() && waited < VISIBILITY_LIMIT;
    let target = &mut state.targets[i];
    match outcome {
        Outcome::Done => {
            (target.tries, target.due) = (0, 0);
            target.phase = TargetPhase::Succeeded;
        }
        // Made a moment ago; it takes a while until it is one that a grant may name.
        Outcome::NotYet(what) => {
            again(
                target,
                MOST_TRIES,
                Cause::ServiceLinkedRoleMissing,
                &what,
                now,
            );
        }
        // Somebody may have made it a moment ago.
        Outcome::RolesMissing(names, refusal) => {
            let said = format!("no role {}: {}", names.join(", "), refusal.answer());
            again(
                target,
                MOST_TRIES_FOR_A_ROLE,
                Cause::ServiceLinkedRoleMissing,
                &said,
                now,
            );
        }
        Outcome::Refused(refusal) if refusal.is_passing() => {
            let (cause, said) = (Cause::of(&refusal), refusal.to_string());
            again(target, MOST_TRIES, cause, &said, now);
        }
        Outcome::Refused(refusal)
            if settling
                && refusal.kind() == RefusalKind::Denied
                && refusal.operation == "CreateGrant" =>
        {
            target.due = now + (waited / 4).clamp(2, 30);
        }
        Outcome::Refused(refusal) => target.fail_standing(cause_of(&refusal), &refusal.to_string()),
        // There is nothing to launch from.
        Outcome::SourceGone(what) => {
            target.fail_standing(Cause::SourceGone, &what);
            target.image_id = None;
        }
        _ => {}
    }
}

fn again(target: &mut TargetState, most: u32, cause: Cause, said: &str, now: i64) {
    target.tries += 1;
    target.due = now + backoff(target.tries);
    if target.tries >= most {
        target.fail_standing(cause, said);
    }
}

fn cause_of(refusal: &Refusal) -> Cause {
    match Cause::of(refusal) {
        cause @ (Cause::RoleNotAssumable | Cause::RegionNotEnabled) => cause,
        _ => Cause::LaunchGrantMissing,
    }
}
