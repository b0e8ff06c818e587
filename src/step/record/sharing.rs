//! Outcomes of opening and closing the source.

use std::collections::BTreeSet;

use crate::command::Outcome;
use crate::diagnose::Cause;
use crate::error::Refusal;
use crate::ids::AccountId;
use crate::state::{Phase, State, TargetPhase, TargetState, shorten};
use crate::step::pace::{MOST_DENIALS, MOST_TRIES, backoff};

use super::{end_or_grant, fail, stick, stumble};

/// What is said of a target that nobody can look into any more.
const EARLIER_TRY: &str =
    "an earlier try of this run had the source open to it: its copies may be left there, unseen";

/// Seconds until two processes that end together have seen what each other wrote and made.
const SETTLED: i64 = 16;

pub(super) fn shared(state: &mut State, targets: &[usize], outcome: Outcome, now: i64) {
    match outcome {
        Outcome::Shared {
            prior,
            earlier,
            refused,
        } => {
            if state.sharing.at == 0 {
                undo_earlier_try(state, &earlier);
            }
            opened(state, now);
            state.sharing.prior = prior;
            (state.sharing.tries, state.sharing.due) = (0, 0);
            // A throttled grant is asked for again after a pause, by the next Share.
            let mut due = 0;
            for &i in targets {
                let refusal = refused
                    .iter()
                    .find(|(target, _)| *target == i)
                    .map(|(_, refusal)| refusal);
                let target = &mut state.targets[i];
                // Marked as shared even where the grant was refused: the snapshots are open to the account by now.
                target.shared = true;
                target.due = 0;
                match refusal {
                    None => target.phase = TargetPhase::Copying,
                    Some(refusal) if refusal.is_passing() => {
                        stumble(target, refusal, now);
                        due = target.due;
                    }
                    Some(refusal) => fail(target, Cause::of_sharing(refusal), &refusal.to_string()),
                }
            }
            state.sharing.due = due;
        }
        Outcome::SourceGone(what) => {
            for &i in targets {
                fail(&mut state.targets[i], Cause::SourceGone, &what);
            }
        }
        Outcome::Refused(refusal) => {
            // Reading and marking open nothing; past that, nobody knows how far it got.
            if refusal.operation == "ModifySnapshotAttribute" {
                if state.sharing.at == 0 {
                    // The mark knows who was there before; without it, nobody is shut out.
                    state.sharing.prior = accounts(state);
                }
                opened(state, now);
                for &i in targets {
                    state.targets[i].shared = true;
                }
            }
            if refusal.is_passing() && state.sharing.tries < MOST_TRIES {
                state.sharing.tries += 1;
                state.sharing.due = now + backoff(state.sharing.tries);
                return;
            }
            state.sharing.tries = 0;
            for &i in targets {
                fail(
                    &mut state.targets[i],
                    Cause::SharingFailed,
                    &refusal.to_string(),
                );
            }
        }
        _ => {}
    }
}

fn accounts(state: &State) -> Vec<AccountId> {
    let accounts: BTreeSet<&AccountId> = state.targets.iter().map(|t| &t.account_id).collect();
    accounts.into_iter().cloned().collect()
}

/// Whatever was said of closing it holds no more.
fn opened(state: &mut State, now: i64) {
    state.sharing.at = now;
    state.sharing.closed = false;
    state.sharing.stuck = None;
}

/// An earlier try of this run, of which no state is left, may have made copies in targets that have failed since without being
/// looked at.
fn undo_earlier_try(state: &mut State, earlier: &[AccountId]) {
    for target in &mut state.targets {
        let unseen = target.phase == TargetPhase::Failed && target.since == 0;
        if unseen && earlier.contains(&target.account_id) {
            target.shared = true;
            target.phase = TargetPhase::Undoing;
        }
    }
}

/// The outcome of a lasting share. Nothing was made in the targets, so a refused one has failed at once; what it had been
/// given of its share by then is taken back by revoking.
pub(super) fn permitted(state: &mut State, targets: &[usize], outcome: Outcome, now: i64) {
    let (refused, audience) = match outcome {
        Outcome::Permitted { refused, audience } => (refused, audience),
        Outcome::Refused(refusal) => {
            let each = targets.iter().map(|&i| (i, refusal.clone())).collect();
            (each, Some(refusal))
        }
        Outcome::SourceGone(what) => {
            for &i in targets {
                fail(&mut state.targets[i], Cause::SourceGone, &what);
            }
            state.sharing.at = now;
            let audience = state.order.share.as_ref().map(|s| &s.audience);
            if audience.is_some_and(|a| !a.is_empty()) {
                state.sharing.refused = Some(shorten(&what, 600));
            }
            return;
        }
        Outcome::NotYet(_) => {
            // Another run needs them too, and may be closing at this moment.
            state.sharing.due = now + SETTLED;
            return;
        }
        _ => return,
    };
    let again = state.sharing.tries < MOST_TRIES
        && refused
            .iter()
            .map(|(_, r)| r)
            .chain(&audience)
            .any(Refusal::is_passing);
    if again {
        state.sharing.tries += 1;
        state.sharing.due = now + backoff(state.sharing.tries);
    }
    let good = end_or_grant(&state.order, false);
    for &i in targets {
        let refusal = refused.iter().find(|(t, _)| *t == i).map(|(_, r)| r);
        let target = &mut state.targets[i];
        match refusal {
            None => {
                target.image_id = Some(state.source.image_id.clone());
                target.phase = good;
            }
            Some(refusal) if again && refusal.is_passing() => {}
            Some(refusal) => fail(target, Cause::of_sharing(refusal), &refusal.to_string()),
        }
    }
    match audience {
        Some(refusal) if again && refusal.is_passing() => {}
        Some(refusal) => {
            state.sharing.at = now;
            if state
                .order
                .share
                .as_ref()
                .is_some_and(|s| !s.audience.is_empty())
            {
                state.sharing.refused = Some(shorten(&refusal.to_string(), 600));
            }
        }
        None => state.sharing.at = now,
    }
}

fn closed(state: &mut State, now: i64) {
    state.sharing.stuck = None;
    state.sharing.closed = true;
    look_back(state, now);
    // Whoever opened it meanwhile, and was not heard of again, has done so by the time that these are undone.
    state.sharing.again = state
        .targets
        .iter()
        .any(|t| t.phase == TargetPhase::Undoing);
}

/// The source is closed, so nobody starts another copy; or it cannot be. Another process may have been at work on the same state, and
/// died without telling of the copies it began: they are looked for now, in every target that the source was open to, or may have been.
fn look_back(state: &mut State, now: i64) {
    state.phase = Phase::Ended;
    let copies = state.order.share.is_none();
    let opened = state.targets.iter().filter(|t| t.shared);
    let opened: BTreeSet<AccountId> = opened.map(|t| t.account_id.clone()).collect();
    // It was open again, and nobody knows to whom.
    let reopened = state.sharing.again;
    let concerned = |t: &&mut TargetState| {
        let looked_at = t.kms_key_id.is_key_arn();
        t.shared
            || (reopened && looked_at)
            || failed_before_opening(t)
            || (opened.contains(&t.account_id) && unheard(t))
    };
    for target in state
        .targets
        .iter_mut()
        .filter(|_| copies)
        .filter(concerned)
    {
        (target.phase, target.due) = match target.phase {
            // Copying took longer than anything takes to show.
            TargetPhase::Succeeded => (TargetPhase::Tidying, 0),
            TargetPhase::Failed if !target.stands() => (TargetPhase::Undoing, now + SETTLED),
            _ => continue,
        };
        // What cannot be closed is told by it.
        target.shared &= !state.sharing.closed;
        state.phase = Phase::Copying;
    }
}

/// Whether it had been looked at, and was given up before this process had opened the source: another may have got further.
fn failed_before_opening(target: &TargetState) -> bool {
    let cause = target.failure.as_ref().map(|failure| failure.cause);
    let before = matches!(
        cause,
        Some(
            Cause::StagingFailed
                | Cause::SharingFailed
                | Cause::SourceGone
                | Cause::SourceUnreadable
                | Cause::TooSlow
        )
    );
    before && target.kms_key_id.is_key_arn()
}

/// Whether AWS gave no answer to its first look. Another process may have got one.
fn unheard(target: &TargetState) -> bool {
    let cause = target.failure.as_ref().map(|failure| failure.cause);
    target.since == 0 && matches!(cause, Some(Cause::Throttled | Cause::Unreachable))
}

pub(super) fn revoked(state: &mut State, outcome: Outcome, now: i64) {
    let problem = match outcome {
        Outcome::Done if state.sharing.again => {
            state.sharing.again = false;
            state.phase = Phase::Ended;
            return;
        }
        Outcome::Done => return closed(state, now),
        Outcome::Closed { earlier, left } => {
            if left.is_empty() {
                closed(state, now);
            }
            for target in &mut state.targets {
                let unseen = target.phase == TargetPhase::Failed && target.since == 0;
                let looks = target.shared || failed_before_opening(target);
                if unseen && !looks && earlier.contains(&target.account_id) {
                    stick(target, EARLIER_TRY);
                }
            }
            if left.is_empty() {
                return;
            }
            left
        }
        Outcome::Settling { changed } => {
            if changed || state.sharing.policies_clean_since == 0 {
                state.sharing.policies_clean_since = now;
            }
            state.sharing.tries = 0;
            state.sharing.due = now + SETTLED;
            return;
        }
        Outcome::NotYet(_) => {
            // Another run ends at the same time; which of the two closes is settled in a moment.
            state.sharing.due = now + SETTLED;
            return;
        }
        Outcome::Left(left) => left,
        Outcome::Refused(refusal) => vec![(state.source.image_id.to_string(), refusal)],
        _ => return,
    };
    state.sharing.tries += 1;
    state.sharing.due = now + backoff(state.sharing.tries);
    let passing = problem.iter().all(|(_, refusal)| refusal.is_passing());
    // A denial gets a few tries too: closing what was opened is worth more than an early answer.
    let most = if passing { MOST_TRIES } else { MOST_DENIALS };
    if state.sharing.tries >= most {
        let said: Vec<String> = problem
            .iter()
            .map(|(_, refusal)| refusal.to_string())
            .collect();
        state.sharing.stuck = Some(shorten(&said.join("; "), 600));
        look_back(state, now);
    }
}
