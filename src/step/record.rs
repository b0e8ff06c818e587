//! Noting outcomes in the state.

use crate::command::{Command, Copies, CopyStatus, Outcome};
use crate::diagnose::Cause;
use crate::error::{Refusal, RefusalKind};
use crate::ids::{ImageId, KeyRef, SnapshotId};
use crate::state::{
    Failure, MOST_LEFT, Phase, STUCK_BYTES, State, TargetPhase, TargetState, shorten,
};

use super::pace::{
    COPY_LIMIT, MOST_AGAIN, MOST_TRIES, UNSEEN_LIMIT, VISIBILITY_LIMIT, backoff, poll_interval,
};

/// Notes in `state` what came of `command`.
pub fn record(state: &mut State, command: &Command, outcome: Outcome, now: i64) {
    match command {
        Command::Share { targets } => shared(state, targets, outcome, now),
        Command::Revoke => revoked(state, outcome, now),
        _ => {
            if let Some(target) = command.target() {
                target_outcome(state, target, command, outcome, now);
            }
        }
    }
}

fn shared(state: &mut State, targets: &[usize], outcome: Outcome, now: i64) {
    match outcome {
        Outcome::Shared { prior, refused } => {
            state.sharing.at = now;
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
                    Some(refusal) => fail(target, Cause::SharingFailed, &refusal.to_string()),
                }
            }
            state.sharing.due = due;
        }
        Outcome::Refused(refusal) => {
            // Reading and marking open nothing; past that, nobody knows how far it got.
            if refusal.operation == "ModifySnapshotAttribute" {
                state.sharing.at = now;
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

fn revoked(state: &mut State, outcome: Outcome, now: i64) {
    let problem = match outcome {
        Outcome::Done => {
            state.sharing.stuck = None;
            state.phase = Phase::Ended;
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
    let most = if passing { MOST_TRIES } else { 3 };
    if state.sharing.tries >= most {
        let said: Vec<String> = problem
            .iter()
            .map(|(_, refusal)| refusal.to_string())
            .collect();
        state.sharing.stuck = Some(shorten(&said.join("; "), 600));
        state.phase = Phase::Ended;
    }
}

fn target_outcome(state: &mut State, i: usize, command: &Command, outcome: Outcome, now: i64) {
    match outcome {
        Outcome::Looked { key, image, copies } => looked(state, i, key, image, &copies, now),
        Outcome::Started { results } => started(state, i, results, now),
        Outcome::KeyNotReady(refusal) => key_not_ready(state, i, &refusal, now),
        Outcome::Polled(copies) => polled(state, i, &copies, now),
        Outcome::Registered(image) | Outcome::NameTaken(Some(image), _)
            if matches!(command, Command::Register { .. }) =>
        {
            let target = &mut state.targets[i];
            (target.image_id, target.tries, target.due) = (Some(image), 0, 0);
            target.phase = TargetPhase::Checking;
        }
        Outcome::ImageThere(image) => adopt(&mut state.targets[i], image),
        Outcome::NameTaken(_, refusal) => name_taken(&mut state.targets[i], &refusal, now),
        Outcome::NotYet(what) => not_yet(&mut state.targets[i], &what, now),
        Outcome::Faithful { used, surplus } => {
            *state.copies_mut(i) = used.into_iter().map(Some).collect();
            let target = &mut state.targets[i];
            (target.tries, target.due, target.progress) = (0, 0, 100);
            target.phase = if surplus {
                TargetPhase::Tidying
            } else {
                TargetPhase::Succeeded
            };
        }
        Outcome::Unfaithful(differences) => fail(
            &mut state.targets[i],
            Cause::NotFaithful,
            &differences.join("; "),
        ),
        Outcome::Done => done(&mut state.targets[i]),
        Outcome::Left(left) => left_behind(&mut state.targets[i], &left, now),
        Outcome::SourceGone(what) => fail(&mut state.targets[i], Cause::SourceGone, &what),
        Outcome::Refused(refusal) => refused(state, i, command, &refusal, now),
        Outcome::Shared { .. } | Outcome::Registered(_) => {}
    }
}

fn looked(
    state: &mut State,
    i: usize,
    key: KeyRef,
    image: Option<ImageId>,
    copies: &Copies,
    now: i64,
) {
    let open = state.phase == Phase::Copying || state.phase == Phase::Sharing;
    let error = broken(state, i, copies);
    choose(state, i, copies, now);
    let key_is_young = now - state.sharing.at < VISIBILITY_LIMIT;
    let target = &mut state.targets[i];
    target.kms_key_id = key;
    // `tries` stays: a look is no progress, and a command that fails after every look must end some time.
    (target.due, target.queued) = (0, false);
    // An image remembered but not seen is one registered a moment ago.
    if let Some(image) = image.or_else(|| target.image_id.clone()) {
        target.image_id = Some(image);
        target.phase = TargetPhase::Checking;
        return;
    }
    if let Some(error) = error {
        return broke(target, &error, key_is_young);
    }
    target.phase = if all_completed(copies, &target.copies) {
        TargetPhase::Registering
    } else if open && target.shared {
        TargetPhase::Copying
    } else {
        TargetPhase::Ready
    };
}

/// Remembers for each snapshot the copy that counts: a completed one before a pending one, then the earlier, then the
/// smaller ID: every process that sees the same copies chooses the same.
fn choose(state: &mut State, i: usize, copies: &Copies, now: i64) {
    let last_start = state.targets[i].last_start;
    let remembered = state.copies_mut(i);
    for (place, seen) in remembered.iter_mut().zip(copies) {
        let rank = |status: &CopyStatus| match status {
            CopyStatus::Completed => Some(0),
            CopyStatus::Pending(_) => Some(1),
            CopyStatus::Error(_) => None,
        };
        let best = seen
            .iter()
            .filter_map(|c| rank(&c.status).map(|r| (r, c.started, &c.id)))
            .min();
        match best {
            Some((_, _, id)) => *place = Some(id.clone()),
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
}

fn all_completed(copies: &Copies, chosen: &[Option<SnapshotId>]) -> bool {
    copies.iter().zip(chosen).all(|(seen, id)| {
        seen.iter()
            .any(|c| Some(&c.id) == id.as_ref() && c.status == CopyStatus::Completed)
    })
}

fn started(
    state: &mut State,
    i: usize,
    results: Vec<(usize, Result<SnapshotId, Refusal>)>,
    now: i64,
) {
    let (shared_at, visible) = (state.sharing.at, now - state.sharing.at < VISIBILITY_LIMIT);
    let mut refusals = Vec::new();
    for (snapshot, result) in results {
        match result {
            Ok(id) => state.copies_mut(i)[snapshot] = Some(id),
            Err(refusal) => refusals.push(refusal),
        }
    }
    let target = &mut state.targets[i];
    begin_clock(target, now);
    target.last_start = now;
    target.due = now + poll_interval(target.since, now);
    // The gravest refusal decides.
    let grave = |r: &&Refusal| !r.is_passing() && r.kind() != RefusalKind::NotFound;
    if let Some(refusal) = refusals.iter().find(grave) {
        return fail(target, Cause::of(refusal), &refusal.to_string());
    }
    if let Some(refusal) = refusals.iter().find(|r| r.kind() == RefusalKind::NotFound) {
        if visible && shared_at > 0 {
            target.due = now + 5;
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
    target.tries = 0;
    target.queued = !refusals.is_empty();
    too_slow(target, now);
}

/// The first copy of this run begins, or is found under way.
fn begin_clock(target: &mut TargetState, now: i64) {
    if target.since == 0 {
        target.since = now;
    }
}

fn key_not_ready(state: &mut State, i: usize, refusal: &Refusal, now: i64) {
    let waited = now - state.sharing.at;
    let target = &mut state.targets[i];
    if refusal.is_passing() {
        stumble(target, refusal, now);
    } else if refusal.kind() == RefusalKind::Denied && waited < VISIBILITY_LIMIT {
        target.due = now + (waited / 4).clamp(2, 30);
    } else {
        fail(target, Cause::SourceKeyDenied, &refusal.to_string());
    }
}

fn polled(state: &mut State, i: usize, copies: &Copies, now: i64) {
    let before = state.copies_mut(i).clone();
    let error = broken(state, i, copies);
    choose(state, i, copies, now);
    let key_is_young = now - state.sharing.at < VISIBILITY_LIMIT;
    let target = &mut state.targets[i];
    begin_clock(target, now);
    (target.tries, target.queued) = (0, false);
    target.progress = progress(copies, &target.copies);
    if let Some(error) = error {
        return broke(target, &error, key_is_young);
    }
    if all_completed(copies, &target.copies) {
        target.due = 0;
        target.phase = TargetPhase::Registering;
        return;
    }
    let vanished = before
        .iter()
        .zip(&target.copies)
        .any(|(before, after)| before.is_some() && after.is_none());
    if vanished {
        // Somebody deleted a copy: perhaps another process at work on this target, which has registered by now.
        return copy_again(
            target,
            Cause::CopyFailed,
            "a copy was deleted while it was waited for",
        );
    }
    let missing = target.copies.iter().any(Option::is_none);
    target.due = if missing {
        0
    } else {
        now + poll_interval(target.since, now)
    };
    too_slow(target, now);
}

/// What AWS says of a remembered copy that ended in error.
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

/// A copy ended in error: again, unless it was for a key that has had its time to become usable.
fn broke(target: &mut TargetState, error: &str, key_is_young: bool) {
    match (error.contains("key"), key_is_young) {
        (true, false) => fail(target, Cause::KeyNotAccessible, error),
        (true, true) => copy_again(target, Cause::KeyNotAccessible, error),
        (false, _) => copy_again(target, Cause::CopyFailed, error),
    }
}

/// Percent over all snapshots, each counting the same.
fn progress(copies: &Copies, chosen: &[Option<SnapshotId>]) -> u8 {
    let percent = |seen: &Vec<crate::command::Copy>, id: &Option<SnapshotId>| {
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

/// One copy is lost: from the sharing on again, a few times.
fn copy_again(target: &mut TargetState, cause: Cause, reason: &str) {
    if target.again >= MOST_AGAIN {
        return fail(target, cause, reason);
    }
    target.again += 1;
    target.due = 0;
    target.shared = false;
    // A look first: perhaps the image is there by now.
    target.phase = TargetPhase::Looking;
}

fn too_slow(target: &mut TargetState, now: i64) {
    if now - target.since > COPY_LIMIT {
        fail(target, Cause::TooSlow, "copying took longer than 49 hours");
    }
}

fn name_taken(target: &mut TargetState, refusal: &Refusal, now: i64) {
    // Not visible: an image registered a moment ago, or deregistered a moment ago.
    target.tries += 1;
    target.due = now + backoff(target.tries);
    if target.tries >= MOST_TRIES {
        fail(target, Cause::NameTaken, &refusal.to_string());
    }
}

/// About to undo, we find the target's image: another process at work on it got further than this one.
fn adopt(target: &mut TargetState, image: ImageId) {
    if target.again >= MOST_AGAIN {
        return stick(
            target,
            &format!("{image} is there, but could not be checked"),
        );
    }
    target.again += 1;
    target.image_id = Some(image);
    target.failure = None;
    (target.tries, target.due) = (0, 0);
    target.phase = TargetPhase::Checking;
}

fn not_yet(target: &mut TargetState, what: &str, now: i64) {
    target.tries += 1;
    target.due = now + backoff(target.tries);
    if target.tries >= MOST_TRIES {
        fail(target, Cause::Unreachable, what);
    }
}

fn done(target: &mut TargetState) {
    (target.tries, target.due) = (0, 0);
    target.phase = match target.phase {
        TargetPhase::Tidying => TargetPhase::Succeeded,
        TargetPhase::Removing => TargetPhase::Removed,
        _ => TargetPhase::Failed,
    };
    if target.phase != TargetPhase::Succeeded {
        target.image_id = None;
        target.copies.clear();
        target.progress = 0;
    }
}

fn left_behind(target: &mut TargetState, left: &[(String, Refusal)], now: i64) {
    let passing = left.iter().all(|(_, refusal)| refusal.is_passing());
    target.tries += 1;
    target.due = now + backoff(target.tries);
    if (passing && target.tries < MOST_TRIES) || target.tries < 3 {
        return;
    }
    target.left = left
        .iter()
        .map(|(what, _)| what.clone())
        .take(MOST_LEFT)
        .collect();
    let said: Vec<String> = left
        .iter()
        .map(|(what, refusal)| format!("{what}: {}: {}", refusal.code, refusal.message))
        .collect();
    stick(target, &said.join("; "));
}

fn stick(target: &mut TargetState, said: &str) {
    let failure = target
        .failure
        .get_or_insert_with(|| Failure::new(Cause::Other, ""));
    failure.stuck = Some(shorten(said, STUCK_BYTES));
    if failure.reason.is_empty() {
        failure.reason = shorten(said, STUCK_BYTES);
    }
    target.phase = TargetPhase::Stuck;
}

fn refused(state: &mut State, i: usize, command: &Command, refusal: &Refusal, now: i64) {
    let target = &mut state.targets[i];
    if refusal.is_passing() && target.tries < MOST_TRIES {
        return stumble(target, refusal, now);
    }
    match target.phase {
        TargetPhase::Undoing | TargetPhase::Removing | TargetPhase::Tidying => {
            stick(target, &refusal.to_string());
        }
        // A copy was deleted between the last look and this: another process is at work on this target.
        TargetPhase::Registering
            if refusal.kind() == RefusalKind::NotFound && target.again < MOST_AGAIN =>
        {
            target.again += 1;
            target.copies.clear();
            target.phase = TargetPhase::Looking;
        }
        _ => {
            let cause = match (command, Cause::of(refusal)) {
                (Command::Look { .. }, cause) => cause,
                (_, Cause::TargetKeyMissing) => Cause::AccessDenied,
                (_, cause) => cause,
            };
            fail(target, cause, &refusal.to_string());
        }
    }
}

/// Something passing: again, later. Where the effect is unknown, a look comes first.
fn stumble(target: &mut TargetState, refusal: &Refusal, now: i64) {
    if target.tries >= MOST_TRIES {
        return fail(target, Cause::of(refusal), &refusal.to_string());
    }
    target.tries += 1;
    target.due = now + backoff(target.tries);
    let acting = matches!(
        target.phase,
        TargetPhase::Copying | TargetPhase::Registering | TargetPhase::Ready
    );
    if acting
        && matches!(
            refusal.kind(),
            RefusalKind::Uncertain | RefusalKind::Expired
        )
    {
        target.phase = TargetPhase::Looking;
    }
}

/// The end of hope for a target. What it made, or may have made, is undone; where it cannot have made anything, it has failed.
fn fail(target: &mut TargetState, cause: Cause, reason: &str) {
    target.failure = Some(Failure::new(cause, reason));
    (target.tries, target.due) = (0, 0);
    let untouched = target.copies.iter().all(Option::is_none)
        && target.image_id.is_none()
        && target.since == 0
        && !target.shared;
    // Undoing finds them by their tags; the words of the failure need their place in the state.
    target.copies.clear();
    target.phase = if untouched {
        TargetPhase::Failed
    } else {
        TargetPhase::Undoing
    };
}
