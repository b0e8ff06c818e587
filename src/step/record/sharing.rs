//! Outcomes of opening and closing the source.

use std::collections::BTreeSet;

use crate::cause::Cause;
use crate::command::{Left, Opened, Revoked, Shared, SourceGone};
use crate::error::Refusal;
use crate::ids::AccountId;
use crate::ledger::LONGEST_LIFE;
use crate::state::{Pace, Phase, SHOWN_WITHIN, State, TargetPhase, TargetState, backoff, shorten};
use crate::step::pace::{
    DENIED_AGAIN, MOST_DENIALS, MOST_DENIALS_OF_DELETING, MOST_TRIES, MOST_TRIES_OF_CLOSING,
};

use super::{after_image, fail, stick};

/// The reason of a target that nobody can look into any more.
const EARLIER_TRY: &str =
    "an earlier try of this run had the source open to it: its copies may be left there, unseen";

/// Seconds until two processes that end together have seen each other's writes and resources.
const SETTLED: i64 = 16;

pub(super) fn shared(
    state: &mut State,
    targets: &[usize],
    outcome: Result<Shared, SourceGone>,
    now: i64,
) {
    match outcome {
        Ok(Shared::Opened(opened)) => is_open_to(state, targets, opened, now),
        Ok(Shared::Wait(wait)) => wait_for(state, wait.until, now),
        Ok(Shared::Over(why)) => kept_out(state, targets, Cause::AttemptOver, &why, now),
        Ok(Shared::NotAllowed(why)) => kept_out(state, targets, Cause::NotAllowed, &why, now),
        Ok(Shared::Unsure(refusal)) => {
            // How far the opening got is unknown.
            state.sharing.unsure = true;
            if state.order.share.is_none() {
                is_open(state, now);
                for &i in targets {
                    state.targets[i].shared = true;
                }
            }
            not_opened(state, targets, &refusal, now);
        }
        Err(SourceGone(what)) => gone(state, targets, &what, now),
    }
}

fn is_open_to(state: &mut State, targets: &[usize], opened: Opened, now: i64) {
    if state.order.share.is_some() {
        return permitted(state, targets, &opened.refused, opened.audience, now);
    }
    if state.sharing.at == 0 {
        undo_earlier_try(state, &opened.earlier);
    }
    is_open(state, now);
    state.sharing.pace = Pace::default();
    for &i in targets {
        let refusal = opened.refused.iter().find(|(target, _)| *target == i);
        opened_to(state, i, refusal.map(|(_, refusal)| refusal), now);
    }
}

/// Waits for the closing of another attempt, or for the rest of this one's.
fn wait_for(state: &mut State, until: i64, now: i64) {
    state.sharing.pace.due = until.min(now.saturating_add(SETTLED));
}

/// Fails targets to which nothing was opened.
fn kept_out(state: &mut State, targets: &[usize], cause: Cause, why: &str, now: i64) {
    if state.order.share.is_some() {
        refuse_audience(state, why);
        state.sharing.at = now;
    }
    for &i in targets {
        fail(&mut state.targets[i], cause, why);
    }
}

fn opened_to(state: &mut State, i: usize, refusal: Option<&Refusal>, now: i64) {
    let target = &mut state.targets[i];
    // The snapshots are open to the account by now, even if the grant was refused.
    target.shared = true;
    target.pace.due = 0;
    match refusal {
        None => target.phase = TargetPhase::Copying,
        Some(refusal) if refusal.is_passing() && target.pace.tries < MOST_TRIES => {
            // The next `Share` asks again for the refused grant. A look would take the target for
            // one that has the grant.
            target.pace.tries += 1;
            state.sharing.pace.due = now + backoff(target.pace.tries);
        }
        Some(refusal) => fail(target, Cause::of_sharing(refusal), &refusal.to_string()),
    }
}

pub(super) fn not_opened(state: &mut State, targets: &[usize], refusal: &Refusal, now: i64) {
    if refusal.is_passing() && state.sharing.pace.tries < MOST_TRIES {
        state.sharing.pace.failed(now);
        return;
    }
    if state.order.share.is_some() {
        let each: Vec<(usize, Refusal)> = targets.iter().map(|&i| (i, refusal.clone())).collect();
        return permitted(state, targets, &each, Some(refusal.clone()), now);
    }
    state.sharing.pace.tries = 0;
    for &i in targets {
        fail(
            &mut state.targets[i],
            Cause::of_sharing(refusal),
            &refusal.to_string(),
        );
    }
}

fn gone(state: &mut State, targets: &[usize], what: &str, now: i64) {
    for &i in targets {
        fail(&mut state.targets[i], Cause::SourceGone, what);
    }
    if state.order.share.is_some() {
        state.sharing.at = now;
        refuse_audience(state, what);
    }
}

pub(super) fn refuse_audience(state: &mut State, said: &str) {
    let audience = state.order.share.as_ref().map(|share| &share.audience);
    if audience.is_some_and(|audience| !audience.is_empty()) {
        state.sharing.refused = Some(shorten(said, 600));
    }
}

/// Marks the source as open; an earlier closing, or the failure of one, does not count any more.
fn is_open(state: &mut State, now: i64) {
    state.sharing.at = now;
    state.sharing.closed = false;
    state.sharing.stuck = None;
}

/// Undoes targets that failed without a look. An earlier try of this run, of which no state is
/// left, may have made copies in them.
fn undo_earlier_try(state: &mut State, earlier: &[AccountId]) {
    for target in &mut state.targets {
        let unseen = target.phase == TargetPhase::Failed && target.work.since == 0;
        if unseen && earlier.contains(&target.account_id) {
            target.shared = true;
            target.phase = TargetPhase::Undoing;
        }
    }
}

/// Notes a lasting share. Nothing was made in the targets, so a refused target has failed at once.
/// Revoking takes back the part of its share that was opened.
fn permitted(
    state: &mut State,
    targets: &[usize],
    refused: &[(usize, Refusal)],
    audience: Option<Refusal>,
    now: i64,
) {
    let mut all = refused.iter().map(|(_, r)| r).chain(&audience);
    let again = state.sharing.pace.tries < MOST_TRIES && all.any(Refusal::is_passing);
    if again {
        state.sharing.pace.failed(now);
    }
    let good = after_image(&state.order, false);
    for &i in targets {
        let refusal = refused.iter().find(|(t, _)| *t == i).map(|(_, r)| r);
        let target = &mut state.targets[i];
        match refusal {
            None => {
                target.image_id = Some(state.source.image_id.clone());
                target.phase = good.clone();
            }
            Some(refusal) if again && refusal.is_passing() => {}
            Some(refusal) => fail(target, Cause::of_sharing(refusal), &refusal.to_string()),
        }
    }
    match audience {
        Some(refusal) if again && refusal.is_passing() => {}
        Some(refusal) => {
            state.sharing.at = now;
            refuse_audience(state, &refusal.to_string());
        }
        None => state.sharing.at = now,
    }
}

fn closed(state: &mut State, now: i64) {
    state.sharing.stuck = None;
    state.sharing.closed = true;
    look_back(state, now);
}

/// Looks at every target that the source was, or may have been, open to.
///
/// The source is closed, or cannot be closed, so nobody starts another copy. Another process may
/// have worked on the same state, and died without reporting its copies.
fn look_back(state: &mut State, now: i64) {
    let (copies, contended) = (state.order.share.is_none(), state.contended);
    let opened = state.targets.iter().filter(|t| t.shared);
    let opened: BTreeSet<AccountId> = opened.map(|t| t.account_id.clone()).collect();
    let owner = state.source.account_id.clone();
    let concerned = |t: &&mut TargetState| {
        let reached = t.shared || t.account_id == owner;
        reached || failed_before_opening(t) || (opened.contains(&t.account_id) && unheard(t))
    };
    for target in state
        .targets
        .iter_mut()
        .filter(|_| copies)
        .filter(concerned)
    {
        let shown = if contended {
            others_shown(target, now)
        } else {
            0
        };
        (target.phase, target.pace.due) = match target.phase {
            TargetPhase::Succeeded => (TargetPhase::Tidying, shown),
            TargetPhase::Failed if !target.stands() => {
                (TargetPhase::Undoing, shown.max(now + SETTLED))
            }
            _ => continue,
        };
        // The refusal of the closing names the accounts that are still open.
        target.shared &= !state.sharing.closed;
    }
    let ended = state.targets.iter().all(|t| t.phase.is_terminal());
    state.phase = if ended { Phase::Ended } else { Phase::Copying };
}

/// Undoes a target that failed without a look if an earlier try of the run had the source open to
/// its account. Reports the target if nobody can look.
fn look_behind_earlier_try(state: &mut State, i: usize, earlier: &[AccountId], now: i64) {
    let target = &mut state.targets[i];
    let unseen = target.phase == TargetPhase::Failed && target.work.since == 0;
    let looks = target.shared || failed_before_opening(target);
    if !unseen || looks || !earlier.contains(&target.account_id) {
        return;
    }
    let cause = target.failure.as_ref().map(|failure| failure.cause);
    if matches!(
        cause,
        Some(Cause::RoleNotAssumable | Cause::RegionNotEnabled)
    ) {
        return stick(target, EARLIER_TRY, Vec::new());
    }
    target.pace.due = others_shown(target, now);
    target.phase = TargetPhase::Undoing;
    if state.phase == Phase::Ended {
        state.phase = Phase::Copying;
    }
}

/// Returns when every copy of another process shows (Unix seconds). Two processes have the same
/// state at most for the life of one. A copy that the other started right before the closing takes
/// a minute to show.
fn others_shown(target: &TargetState, now: i64) -> i64 {
    let began = target.work.last_start.max(target.work.since);
    let latest_start = if began == 0 {
        now
    } else {
        now.min(began.saturating_add(LONGEST_LIFE))
    };
    latest_start.saturating_add(SHOWN_WITHIN)
}

/// Returns whether the target was given up after its look, but before this process had opened the
/// source. Another process may have got further.
fn failed_before_opening(target: &TargetState) -> bool {
    let cause = target.failure.as_ref().map(|failure| failure.cause);
    let before = matches!(
        cause,
        Some(
            Cause::StagingFailed
                | Cause::SharingFailed
                | Cause::LedgerFailed
                | Cause::AttemptOver
                | Cause::NotAllowed
                | Cause::SourceGone
                | Cause::SourceUnreadable
                | Cause::TooSlow
        )
    );
    before && target.kms_key_id.arn().is_some()
}

/// Returns whether AWS did not answer the target's first look. Another process may have got an
/// answer.
fn unheard(target: &TargetState) -> bool {
    let cause = target.failure.as_ref().map(|failure| failure.cause);
    target.work.since == 0 && matches!(cause, Some(Cause::Throttled | Cause::Unreachable))
}

pub(super) fn revoked(state: &mut State, outcome: Revoked, now: i64) {
    let known = match outcome {
        Revoked::Wait(wait) => return wait_for(state, wait.until, now),
        Revoked::Closed(known) => known,
    };
    state.contended |= known.joined || !known.earlier.is_empty();
    if known.left.is_empty() {
        closed(state, now);
    }
    for i in 0..state.targets.len() {
        look_behind_earlier_try(state, i, &known.earlier, now);
    }
    if !known.left.is_empty() {
        not_closed(state, &known.left, now);
    }
}

/// Plans another closing, or gives up and names what is left.
pub(super) fn not_closed(state: &mut State, left: &Left, now: i64) {
    state.sharing.pace.failed(now);
    let passing = left.iter().all(|(_, refusal)| refusal.is_passing());
    let deleting = left
        .iter()
        .all(|(_, refusal)| refusal.is_passing() || refusal.operation == "DeleteSnapshot");
    // A denial gets a few tries too, because closing the source matters more than an early answer.
    let most = if passing {
        MOST_TRIES_OF_CLOSING
    } else if deleting {
        state.sharing.pace.due = state.sharing.pace.due.min(now + DENIED_AGAIN);
        MOST_DENIALS_OF_DELETING
    } else {
        MOST_DENIALS
    };
    if state.sharing.pace.tries >= most {
        let said: Vec<String> = left
            .iter()
            .map(|(_, refusal)| refusal.to_string())
            .collect();
        state.sharing.stuck = Some(shorten(&said.join("; "), 600));
        look_back(state, now);
    }
}
