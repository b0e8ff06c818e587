//! Outcomes of the last commands: changing tags, and letting service-linked roles launch.
//!
//! Nothing here undoes: the image is good, or shared, and stays. The same request sent again makes
//! only the missing grants.

use crate::cause::Cause;
use crate::command::{Granted, Retagged, SourceGone};
use crate::error::{Refusal, RefusalKind};
use crate::state::{Failure, Order, Pace, State, TargetPhase, TargetState};
use crate::step::pace::{MOST_TRIES, MOST_TRIES_FOR_A_ROLE, VISIBILITY_LIMIT};

/// Returns the next phase of a target whose image is good. Once the source is closed again, the
/// target has everything.
pub(super) fn after_image(order: &Order, closed: bool) -> TargetPhase {
    match order {
        _ if closed => TargetPhase::Succeeded,
        order if order.retag.is_some() => TargetPhase::Retagging,
        order => after_tags(order),
    }
}

fn after_tags(order: &Order) -> TargetPhase {
    let ends = order.share.is_none() && !order.ended_roles.is_empty();
    if order.service_linked_roles.is_empty() && !ends {
        after_grants(order)
    } else {
        TargetPhase::Granting
    }
}

fn after_grants(order: &Order) -> TargetPhase {
    match order.publish {
        Some(_) => TargetPhase::Publishing,
        None => TargetPhase::Succeeded,
    }
}

pub(super) fn granted(state: &mut State, i: usize, outcome: Result<Granted, SourceGone>, now: i64) {
    let missing = Cause::ServiceLinkedRoleMissing;
    let next = after_grants(&state.order);
    let target = &mut state.targets[i];
    match outcome {
        Ok(Granted::Done(kept)) => {
            target.pace = Pace::default();
            target.phase = next;
            if !kept.is_empty() {
                // Others count on the grants of roles that an update took off the list.
                target.failure = Some(Failure::new(Cause::CountedOn, &kept.join("; ")));
            }
        }
        // The role was created a moment ago, and cannot be the grantee of a grant yet.
        Ok(Granted::NotYet(what)) => again(target, MOST_TRIES, missing, &what, now),
        // Somebody may have created the role a moment ago.
        Ok(Granted::RolesMissing(names, refusal)) => {
            let said = format!("no role {}: {}", names.join(", "), refusal.answer());
            again(target, MOST_TRIES_FOR_A_ROLE, missing, &said, now);
        }
        // The image is gone, so there is nothing to launch from.
        Err(SourceGone(what)) => {
            target.fail_standing(Cause::SourceGone, &what);
            target.image_id = None;
        }
    }
}

pub(super) fn grant_refused(state: &mut State, i: usize, refusal: &Refusal, now: i64) {
    let waited = now - state.sharing.at;
    // The permission to make grants on a source key may not be in force yet.
    let settling = state.order.share.is_some()
        && waited < VISIBILITY_LIMIT
        && refusal.kind() == RefusalKind::Denied
        && refusal.operation == "CreateGrant";
    let makes_none = state.order.service_linked_roles.is_empty();
    let target = &mut state.targets[i];
    if refusal.is_passing() {
        again(
            target,
            MOST_TRIES,
            Cause::of(refusal),
            &refusal.to_string(),
            now,
        );
    } else if settling {
        target.pace.due = now + (waited / 4).clamp(2, 30);
    } else {
        target.fail_standing(cause_of(refusal, makes_none), &refusal.to_string());
    }
}

/// Notes the outcome of changing the tags of an existing copy.
pub(super) fn retagged(
    state: &mut State,
    i: usize,
    outcome: Result<Retagged, SourceGone>,
    now: i64,
) {
    let next = after_tags(&state.order);
    let target = &mut state.targets[i];
    let cause = Cause::TagsNotChanged;
    match outcome {
        Ok(Retagged::Done) => {
            (target.pace, target.failure) = (Pace::default(), None);
            target.phase = next;
        }
        Ok(Retagged::NotYet(what)) => again(target, MOST_TRIES, cause, &what, now),
        Err(SourceGone(what)) => target.fail_standing(cause, &what),
    }
}

pub(super) fn retag_refused(target: &mut TargetState, refusal: &Refusal, now: i64) {
    // A policy that was changed a moment ago may not be in force yet.
    let most = if refusal.is_passing() {
        MOST_TRIES
    } else if refusal.kind() == RefusalKind::Denied {
        MOST_TRIES_FOR_A_ROLE
    } else {
        1
    };
    again(
        target,
        most,
        Cause::TagsNotChanged,
        &refusal.to_string(),
        now,
    );
}

fn again(target: &mut TargetState, most: u32, cause: Cause, said: &str, now: i64) {
    target.pace.failed(now);
    if target.pace.tries >= most {
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
