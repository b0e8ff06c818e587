//! Outcomes of looking, starting copies and waiting for them.

use crate::cause::Cause;
use crate::command::{Begun, Looked};
use crate::copies::{Copies, Copy, CopyStatus, chosen};
use crate::error::{Refusal, RefusalKind};
use crate::ids::SnapshotId;
use crate::state::{Phase, State, TargetPhase, TargetState};
use crate::step::pace::{
    MOST_AGAIN, UNSEEN_LIMIT, VISIBILITY_LIMIT, copy_limit, poll_interval, rest_of, woken_interval,
};

use super::{fail, stumble};

pub(super) fn looked(state: &mut State, i: usize, seen: Looked, now: i64) {
    let Looked {
        key,
        image,
        unfinished,
        copies,
    } = seen;
    let open = state.phase == Phase::Copying || state.phase == Phase::Sharing;
    let own = state.run_ref().is_own(&state.targets[i]);
    let whole = state.order.copies_image;
    let error = broken(state, i, &copies);
    choose(state, i, &copies, now);
    let target = &mut state.targets[i];
    target.kms_key_id = key.into();
    // `tries` stays, because a look is no progress: a command that fails after every look must end
    // some time.
    (target.pace.due, target.work.queued) = (0, false);
    // A remembered image that EC2 does not show was made a moment ago, or somebody deregistered it
    // while it was copied.
    let unfinished = unfinished || (whole && image.is_none());
    if let Some(image) = image.or_else(|| target.image_id.clone()) {
        target.image_id = Some(image);
        // The attempt that began an unfinished image has the source open for it.
        target.phase = if unfinished {
            TargetPhase::Copying
        } else {
            TargetPhase::Checking
        };
        return;
    }
    if let Some(error) = error {
        return broke(target, &error, now);
    }
    target.phase = if !whole && all_completed(&copies, &target.work.copies) {
        TargetPhase::Registering
    } else if own || (open && target.shared) {
        TargetPhase::Copying
    } else {
        TargetPhase::Ready
    };
    let under_way =
        !target.work.copies.is_empty() && target.work.copies.iter().all(Option::is_some);
    if target.phase == TargetPhase::Copying && !whole && under_way {
        // The look has seen what a poll would see.
        waited(state, i, &copies, now);
    }
}

fn interval(part: bool, since: i64, now: i64, rest: Option<i64>) -> i64 {
    if part {
        woken_interval(since, now, rest)
    } else {
        poll_interval(since, now, rest)
    }
}

/// Sets the time of the next poll of copies that are all under way.
fn waited(state: &mut State, i: usize, copies: &Copies, now: i64) {
    let target = &mut state.targets[i];
    target.work.begin(now);
    target.work.progress = progress(copies, &target.work.copies);
    let rest = rest(copies, &target.work.copies, now);
    target.pace.due = now + interval(state.part, target.work.since, now, rest);
    too_slow(state, i, now);
}

/// Remembers the copy that counts for each snapshot. Every process that sees the same copies
/// chooses the same.
fn choose(state: &mut State, i: usize, copies: &Copies, now: i64) {
    let last_start = state.targets[i].work.last_start;
    let mut doubled = false;
    let remembered = state.copies_mut(i);
    for ((place, seen), chosen) in remembered.iter_mut().zip(copies).zip(chosen(copies)) {
        match chosen {
            Some(copy) => {
                doubled |= place.as_ref().is_some_and(|before| *before != copy.id);
                *place = Some(copy.id.clone());
            }
            None => {
                let failed = place
                    .as_ref()
                    .is_some_and(|id| seen.iter().any(|c| c.id == *id));
                if failed || now - last_start > UNSEEN_LIMIT {
                    *place = None;
                }
            }
        }
    }
    state.targets[i].work.doubled |= doubled;
}

fn all_completed(copies: &Copies, chosen: &[Option<SnapshotId>]) -> bool {
    copies.iter().zip(chosen).all(|(seen, id)| {
        seen.iter()
            .any(|c| Some(&c.id) == id.as_ref() && c.status == CopyStatus::Completed)
    })
}

pub(super) fn started(state: &mut State, i: usize, begun: Begun, now: i64) {
    let (shared_at, visible) = (state.sharing.at, now - state.sharing.at < VISIBILITY_LIMIT);
    let mut refusals = Vec::new();
    for (snapshot, result) in begun {
        match result {
            Ok(id) => state.copies_mut(i)[snapshot] = Some(id),
            Err(refusal) => refusals.push(refusal),
        }
    }
    let target = &mut state.targets[i];
    target.work.start(now);
    target.pace.due = now + interval(state.part, target.work.since, now, None);
    // The gravest refusal decides.
    let grave = |r: &&Refusal| !r.is_passing() && r.kind() != RefusalKind::NotFound;
    if let Some(refusal) = refusals.iter().find(grave) {
        return fail(target, Cause::of(refusal), &refusal.to_string());
    }
    if let Some(refusal) = refusals.iter().find(|r| r.kind() == RefusalKind::NotFound) {
        if visible && shared_at > 0 {
            target.pace.due = now + 5;
            return;
        }
        return copy_again(target, Cause::SnapshotNotVisible, &refusal.to_string());
    }
    if let Some(refusal) = refusals
        .iter()
        .find(|r| matches!(r.kind(), RefusalKind::Uncertain | RefusalKind::Expired))
    {
        return stumble(target, refusal, now);
    }
    if let Some(refusal) = refusals.iter().find(|r| r.kind() == RefusalKind::Throttled) {
        return stumble(target, refusal, now);
    }
    target.pace.tries = 0;
    target.work.queued = !refusals.is_empty();
    too_slow(state, i, now);
}

pub(super) fn key_not_ready(state: &mut State, i: usize, refusal: &Refusal, now: i64) {
    let waited = now - state.sharing.at;
    let target = &mut state.targets[i];
    if refusal.is_passing() {
        stumble(target, refusal, now);
    } else if refusal.kind() == RefusalKind::Denied
        && !refusal.is_final_denial()
        && waited < VISIBILITY_LIMIT
    {
        target.pace.due = now + (waited / 4).clamp(2, 30);
    } else {
        fail(target, Cause::SourceKeyDenied, &refusal.to_string());
    }
}

pub(super) fn polled(state: &mut State, i: usize, copies: &Copies, now: i64) {
    let before = state.copies_mut(i).clone();
    let error = broken(state, i, copies);
    choose(state, i, copies, now);
    let target = &mut state.targets[i];
    // A copy appeared that this process did not start. Another process works on the target, and its
    // other copies may not show yet.
    let mut met = before.iter().zip(&target.work.copies);
    target.work.doubled |= met.any(|(before, after)| before.is_none() && after.is_some());
    target.work.begin(now);
    (target.pace.tries, target.work.queued) = (0, false);
    target.work.progress = progress(copies, &target.work.copies);
    if let Some(error) = error {
        return broke(target, &error, now);
    }
    if all_completed(copies, &target.work.copies) {
        target.pace.due = 0;
        target.phase = TargetPhase::Registering;
        return;
    }
    let vanished = before
        .iter()
        .zip(&target.work.copies)
        .any(|(before, after)| before.is_some() && after.is_none());
    if vanished {
        // Somebody deleted a copy. Another process of this target may have done so, and have
        // registered the image by now.
        return copy_again(
            target,
            Cause::CopyFailed,
            "a copy was deleted while it was waited for",
        );
    }
    if target.work.copies.iter().any(Option::is_none) {
        target.pace.due = 0;
        return too_slow(state, i, now);
    }
    waited(state, i, copies, now);
}

/// Returns AWS's message about a remembered copy that ended in error.
fn broken(state: &mut State, i: usize, copies: &Copies) -> Option<String> {
    let remembered = state.copies_mut(i);
    copies.iter().zip(remembered).find_map(|(seen, id)| {
        let copy = seen.iter().find(|c| Some(&c.id) == id.as_ref())?;
        match &copy.status {
            CopyStatus::Error(said) => Some(format!(
                "CopySnapshot: {} ended in state error: {said}",
                copy.id
            )),
            _ => None,
        }
    })
}

/// Begins again after a copy that ended in error, a few times.
///
/// EC2 accepts a copy whose source or key it cannot see yet, and reports this only by such an
/// error. Errors are not counted for as long as a permission or grant may take to spread. Even a
/// key that worked before may have been reached by another run's grant, which has been revoked
/// meanwhile.
pub(super) fn broke(target: &mut TargetState, error: &str, now: i64) {
    let said = error.to_lowercase();
    let cause = if said.contains("key") {
        Cause::KeyNotAccessible
    } else if said.contains("source snapshot") {
        Cause::SnapshotNotVisible
    } else {
        Cause::CopyFailed
    };
    let waited = now - target.work.since;
    if cause != Cause::CopyFailed && waited < VISIBILITY_LIMIT {
        return look_again(target, now + (waited / 4).clamp(5, 30));
    }
    copy_again(target, cause, error);
}

/// Returns the seconds that the slowest copy will take more; `None` while one shows no progress.
fn rest(copies: &Copies, chosen: &[Option<SnapshotId>], now: i64) -> Option<i64> {
    let mut longest = 0;
    for (seen, id) in copies.iter().zip(chosen) {
        let copy = seen.iter().find(|c| Some(&c.id) == id.as_ref())?;
        if let CopyStatus::Pending(percent) = copy.status {
            longest = longest.max(rest_of(copy.started, now, percent)?);
        }
    }
    Some(longest)
}

/// Returns the progress in percent, with the same weight for each snapshot.
fn progress(copies: &Copies, chosen: &[Option<SnapshotId>]) -> u8 {
    let percent = |seen: &Vec<Copy>, id: &Option<SnapshotId>| {
        let copy = seen.iter().find(|c| Some(&c.id) == id.as_ref());
        copy.map_or(0, |c| match c.status {
            CopyStatus::Completed => 100,
            CopyStatus::Pending(percent) => usize::from(percent.min(99)),
            CopyStatus::Error(_) => 0,
        })
    };
    let sum: usize = copies
        .iter()
        .zip(chosen)
        .map(|(seen, id)| percent(seen, id))
        .sum();
    u8::try_from(sum / copies.len().max(1)).unwrap_or(100)
}

/// Begins again from the sharing after a lost copy, a few times.
pub(super) fn copy_again(target: &mut TargetState, cause: Cause, reason: &str) {
    if target.work.again >= MOST_AGAIN {
        return fail(target, cause, reason);
    }
    target.work.again += 1;
    look_again(target, 0);
}

/// Looks again before anything else, because the image may exist by now. Then the source is opened
/// again, and the copy started.
pub(super) fn look_again(target: &mut TargetState, due: i64) {
    target.pace.due = due;
    target.shared = false;
    target.phase = TargetPhase::Looking;
}

pub(super) fn too_slow(state: &mut State, i: usize, now: i64) {
    let order = &state.order;
    let minutes = order.copy_completion_minutes.map(u64::from);
    let limit = copy_limit(minutes, order.serial);
    let target = &mut state.targets[i];
    if now - target.work.since > limit {
        let said = format!("copying took longer than {} hours", limit / 3600);
        fail(target, Cause::TooSlow, &said);
    }
}
