//! Outcomes of the last commands: changing tags, and letting service-linked roles launch.
//!
//! Nothing here undoes: the image is good, or shared, and stays. The same request sent again makes
//! only the missing grants.

use crate::cause::Cause;
use crate::command::Outcome;
use crate::error::{Refusal, RefusalKind};
use crate::state::{Failure, Order, State, TargetPhase, TargetState};
use crate::step::pace::{MOST_TRIES, MOST_TRIES_FOR_A_ROLE, VISIBILITY_LIMIT, backoff};

/// Returns the next phase of a target that may lack only its tags and grants. Once the source is
/// closed again, the target has them too.
pub(super) fn end_or_grant(order: &Order, closed: bool) -> TargetPhase {
    if order.retag.is_some() && !closed {
        TargetPhase::Retagging
    } else {
        end_or_let_launch(order, closed)
    }
}

fn end_or_let_launch(order: &Order, closed: bool) -> TargetPhase {
    let ends = order.share.is_none() && !order.ended_roles.is_empty();
    if closed || (order.service_linked_roles.is_empty() && !ends) {
        TargetPhase::Succeeded
    } else {
        TargetPhase::Granting
    }
}

pub(super) fn granted(state: &mut State, i: usize, outcome: Outcome, now: i64) {
    let waited = now - state.sharing.at;
    // The permission to make grants on a source key may not be in force yet.
    let settling = state.order.share.is_some() && waited < VISIBILITY_LIMIT;
    let makes_none = state.order.service_linked_roles.is_empty();
    let missing = Cause::ServiceLinkedRoleMissing;
    let target = &mut state.targets[i];
    match outcome {
        Outcome::Done => {
            (target.tries, target.due) = (0, 0);
            target.phase = TargetPhase::Succeeded;
        }
        // Others count on the grants of roles that an update took off the list.
        Outcome::Kept(why) => {
            (target.tries, target.due) = (0, 0);
            target.failure = Some(Failure::new(Cause::CountedOn, &why.join("; ")));
            target.phase = TargetPhase::Succeeded;
        }
        // The role was created a moment ago, and cannot be the grantee of a grant yet.
        Outcome::NotYet(what) => again(target, MOST_TRIES, missing, &what, now),
        // Somebody may have created the role a moment ago.
        Outcome::RolesMissing(names, refusal) => {
            let said = format!("no role {}: {}", names.join(", "), refusal.answer());
            again(target, MOST_TRIES_FOR_A_ROLE, missing, &said, now);
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
        Outcome::Refused(refusal) => {
            let cause = cause_of(&refusal, makes_none);
            target.fail_standing(cause, &refusal.to_string());
        }
        // The image is gone, so there is nothing to launch from.
        Outcome::SourceGone(what) => {
            target.fail_standing(Cause::SourceGone, &what);
            target.image_id = None;
        }
        _ => {}
    }
}

/// Notes the outcome of changing the tags of an existing copy.
pub(super) fn retagged(state: &mut State, i: usize, outcome: Outcome, now: i64) {
    let next = end_or_let_launch(&state.order, false);
    let target = &mut state.targets[i];
    let cause = Cause::TagsNotChanged;
    match outcome {
        Outcome::Done => {
            (target.tries, target.due, target.failure) = (0, 0, None);
            target.phase = next;
        }
        Outcome::NotYet(what) => again(target, MOST_TRIES, cause, &what, now),
        Outcome::Refused(refusal) => {
            // A policy that was changed a moment ago may not be in force yet.
            let most = if refusal.is_passing() {
                MOST_TRIES
            } else if refusal.kind() == RefusalKind::Denied {
                MOST_TRIES_FOR_A_ROLE
            } else {
                1
            };
            again(target, most, cause, &refusal.to_string(), now);
        }
        Outcome::SourceGone(what) => target.fail_standing(cause, &what),
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

fn cause_of(refusal: &Refusal, makes_none: bool) -> Cause {
    match Cause::of(refusal) {
        cause @ (Cause::RoleNotAssumable | Cause::RegionNotEnabled) => cause,
        _ if makes_none || refusal.operation == "RevokeGrant" => Cause::LaunchGrantLeft,
        _ => Cause::LaunchGrantMissing,
    }
}
