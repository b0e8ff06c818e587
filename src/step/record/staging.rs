//! Outcomes of copying the source in its own account.

use crate::cause::Cause;
use crate::command::{Begun, SourceGone, Staging};
use crate::copies::{Copy, CopyStatus, Staged, best};
use crate::error::{Refusal, RefusalKind};
use crate::ids::SnapshotId;
use crate::state::{Pace, Phase, State};
use crate::step::pace::{COPY_LIMIT, MOST_AGAIN, MOST_TRIES, UNSEEN_LIMIT, poll_interval, rest_of};
use crate::step::staging::waiting;

use super::fail;

const OVER: &str = "the run was closed meanwhile; this part of it was not done";

pub(super) fn looked_staged(state: &mut State, outcome: Result<Staged, SourceGone>, now: i64) {
    match outcome {
        Ok(copies) => seen(state, &copies, now),
        Err(SourceGone(what)) => fail_all(state, Cause::SourceGone, &what),
    }
}

pub(super) fn staged(state: &mut State, outcome: Result<Staging, SourceGone>, now: i64) {
    match outcome {
        Ok(Staging::Started(begun)) => started(state, begun, now),
        Ok(Staging::Over(why)) => fail_all(state, Cause::AttemptOver, &why),
        Err(SourceGone(what)) => fail_all(state, Cause::SourceGone, &what),
    }
}

/// Remembers the copy that counts for each snapshot, chosen as in the targets. Continues with the
/// sharing once all are complete.
fn seen(state: &mut State, copies: &Staged, now: i64) {
    let (mut complete, mut broken) = (true, None);
    let fresh = now - state.sharing.staged_at <= UNSEEN_LIMIT;
    let mut places = state.source.staged.clone();
    places.resize(copies.len(), None);
    let mut rest = Some(0);
    let originals = state.source.snapshots.iter().cycle();
    for ((place, copies), original) in places.iter_mut().zip(copies).zip(originals) {
        let Some(copies) = copies else {
            *place = Some(original.clone());
            continue;
        };
        let best = best(copies);
        complete &= best.is_some_and(|copy| copy.status == CopyStatus::Completed);
        rest = rest
            .zip(best.and_then(|copy| rest_of_copy(copy, now)))
            .map(|(a, b)| a.max(b));
        if let Some(copy) = best {
            *place = Some(copy.id.clone());
            continue;
        }
        // A copy that does not show may have been started a moment ago; later it is gone.
        let unseen = |id: &SnapshotId| fresh && copies.iter().all(|c| c.id != *id);
        *place = place.take().filter(unseen);
        let mut errors = copies.iter().filter_map(|copy| match &copy.status {
            CopyStatus::Error(said) => Some((&copy.id, said)),
            _ => None,
        });
        // Failed copies stay until the end, so that every process counts the same.
        if copies.len() > MOST_AGAIN as usize
            && let Some((id, said)) = errors.next_back()
        {
            broken = Some(format!("CopySnapshot: {id} ended in state error: {said}"));
        }
    }
    state.source.staged = places;
    if let Some(said) = broken {
        return fail_all(state, Cause::StagingFailed, &said);
    }
    if complete {
        state.sharing.pace = Pace::default();
        state.sharing.staged = true;
        state.phase = Phase::Sharing;
        return;
    }
    if state.part {
        // Only the whole makes and deletes staged copies.
        return fail_all(state, Cause::AttemptOver, OVER);
    }
    wait(state, rest, now);
}

/// Returns the seconds that a copy will take more; `None` while it shows no progress.
fn rest_of_copy(copy: &Copy, now: i64) -> Option<i64> {
    match copy.status {
        CopyStatus::Pending(percent) => rest_of(copy.started, now, percent),
        CopyStatus::Completed | CopyStatus::Error(_) => Some(0),
    }
}

/// Waits for the staged copies, of which the slowest will take `rest` seconds more.
fn wait(state: &mut State, rest: Option<i64>, now: i64) {
    if state.sharing.staged_at == 0 {
        state.sharing.staged_at = now;
    }
    let since = state.sharing.staged_at;
    if now - since > COPY_LIMIT {
        let said = "copying in the source account took longer than 49 hours";
        return fail_all(state, Cause::TooSlow, said);
    }
    state.sharing.pace.due = if state.unstaged().is_empty() {
        now + poll_interval(since, now, rest)
    } else {
        now
    };
}

fn started(state: &mut State, begun: Begun, now: i64) {
    let mut refusals = Vec::new();
    for (s, result) in begun {
        match result {
            Ok(id) => {
                if let Some(place) = state.source.staged.get_mut(s) {
                    *place = Some(id);
                }
                state.sharing.staged_at = now;
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    if let Some(refusal) = refusals.iter().find(|r| !r.is_passing()) {
        return fail_all(state, Cause::StagingFailed, &refusal.to_string());
    }
    // A call with an unknown effect takes a look before it is repeated.
    let passing = |r: &&Refusal| r.kind() != RefusalKind::QuotaFull;
    if let Some(refusal) = refusals.iter().find(passing) {
        return stumbled(state, refusal, now);
    }
    state.sharing.pace.tries = 0;
    wait(state, None, now);
    // Only the progress of other copies frees a place in a full quota.
    state.sharing.pace.due = now + poll_interval(state.sharing.staged_at, now, None);
}

pub(super) fn stumbled(state: &mut State, refusal: &Refusal, now: i64) {
    if !refusal.is_passing() || state.sharing.pace.tries >= MOST_TRIES {
        return fail_all(state, Cause::StagingFailed, &refusal.to_string());
    }
    state.sharing.pace.failed(now);
    state.source.staged.clear();
    // A copy that the call may have started shows later than this.
    if refusal.operation == "CopySnapshot" {
        state.sharing.staged_at = now;
    }
}

fn fail_all(state: &mut State, cause: Cause, said: &str) {
    for i in waiting(state) {
        fail(&mut state.targets[i], cause, said);
    }
    state.sharing.pace = Pace::default();
}
