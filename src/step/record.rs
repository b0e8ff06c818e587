//! Notes the outcomes of commands in the state.

use std::collections::BTreeSet;

use crate::cause::Cause;
use crate::command::{
    Checked, Command, Left, Outcome, Registered, Removed, SourceCommand, SourceGone, SourceOutcome,
    Started, TargetCommand, TargetOutcome, Undone,
};
use crate::error::{Refusal, RefusalKind};
use crate::ids::{AccountId, ImageId, Region, SnapshotId};
use crate::state::{
    Failure, MOST_LEFT, NOTE_BYTES, Pace, Phase, Renewal, STUCK_BYTES, State, TargetPhase,
    TargetState, shorten,
};

use super::pace::{DENIED_AGAIN, MOST_AGAIN, MOST_DENIALS_OF_DELETING, MOST_TRIES};

mod copying;
mod granting;
mod image;
mod publishing;
mod sharing;
mod staging;

use copying::{key_not_ready, looked, polled, started};
use granting::{after_image, grant_refused, granted, retag_refused, retagged};
use sharing::{not_closed, not_opened, refuse_audience, revoked, shared};
use staging::{looked_staged, staged, stumbled};

/// Notes the outcome of a command in `state`.
pub fn record(state: &mut State, outcome: Outcome, now: i64) {
    match outcome {
        Outcome::Source(SourceOutcome::Share(targets, opening)) => {
            shared(state, &targets, opening, now);
        }
        Outcome::Source(SourceOutcome::LookStaged(seen)) => looked_staged(state, seen, now),
        Outcome::Source(SourceOutcome::Stage(staging)) => staged(state, staging, now),
        Outcome::Source(SourceOutcome::Revoke(closing)) => revoked(state, closing, now),
        Outcome::Target(i, outcome) => target_outcome(state, i, outcome, now),
        Outcome::Refused(command, refusal) => refused(state, command, &refusal, now),
        Outcome::Overtaken(Command::Source(_), wants) => overtaken(state, &wants),
        Outcome::Overtaken(Command::Target(i, _), wants) => state.overtake(i, &wants),
    }
}

/// Leaves everything that is not done to a later event of the resource.
pub fn overtaken(state: &mut State, wants: &BTreeSet<(AccountId, Region)>) {
    for i in 0..state.targets.len() {
        state.overtake(i, wants);
    }
    let lasting = state.order.share.is_some();
    if lasting && state.sharing.at == 0 {
        refuse_audience(state, "a later event of this resource came before");
    }
    if state.phase == Phase::Staging
        || state.phase == Phase::Sharing
        || state.phase == Phase::Looking
    {
        state.phase = Phase::Copying;
    }
}

fn target_outcome(state: &mut State, i: usize, outcome: TargetOutcome, now: i64) {
    let target = &mut state.targets[i];
    match outcome {
        TargetOutcome::Look(seen) => looked(state, i, seen, now),
        TargetOutcome::Start(Ok(Started::Copies(begun))) => started(state, i, begun, now),
        TargetOutcome::Start(Ok(Started::KeyNotReady(refusal))) => {
            key_not_ready(state, i, &refusal, now);
        }
        TargetOutcome::Poll(copies) => polled(state, i, &copies, now),
        TargetOutcome::CopyImage(Ok(copied)) => image::copied(state, i, copied, now),
        TargetOutcome::PollImage(progress) => image::polled(state, i, progress, now),
        TargetOutcome::Register(Ok(registered)) => image_registered(target, registered, now),
        TargetOutcome::Check(Ok(checked)) => image_checked(state, i, checked, now),
        TargetOutcome::Undo(Undone::ImageThere(image)) => adopt(target, image),
        TargetOutcome::Tidy(left)
        | TargetOutcome::Undo(Undone::Deleted(left))
        | TargetOutcome::Remove(Removed::Deleted(left)) => deleted(state, i, &left, now),
        TargetOutcome::Remove(Removed::Kept(why)) => {
            target.failure = Some(Failure::new(Cause::CountedOn, &why.join("; ")));
            target.phase = TargetPhase::Removed;
        }
        TargetOutcome::Retag(outcome) => retagged(state, i, outcome, now),
        TargetOutcome::Grant(outcome) => granted(state, i, outcome, now),
        TargetOutcome::Publish(publication) => {
            let tests = state.order.tests_launch();
            publishing::published(target, publication, tests, now);
        }
        TargetOutcome::EndTest => publishing::test_ended(target, now),
        TargetOutcome::Start(Err(gone))
        | TargetOutcome::CopyImage(Err(gone))
        | TargetOutcome::Register(Err(gone))
        | TargetOutcome::Check(Err(gone)) => source_gone(target, &gone),
    }
}

/// Notes a refusal. The commands before the last have their reaction in common.
fn refused(state: &mut State, command: Command, refusal: &Refusal, now: i64) {
    use {SourceCommand as S, TargetCommand as T};
    match command {
        Command::Source(S::Share { targets }) => not_opened(state, &targets, refusal, now),
        Command::Source(S::LookStaged | S::Stage { .. }) => stumbled(state, refusal, now),
        Command::Source(S::Revoke) => {
            let image = state.source.image_id.to_string();
            not_closed(state, &vec![(image, refusal.clone())], now);
        }
        Command::Target(i, T::Retag) => retag_refused(&mut state.targets[i], refusal, now),
        Command::Target(i, T::Grant) => grant_refused(state, i, refusal, now),
        Command::Target(i, T::Publish) => {
            let tests = state.order.tests_launch();
            publishing::refused(&mut state.targets[i], refusal, tests, now);
        }
        Command::Target(i, T::EndTest) => {
            publishing::test_not_ended(&mut state.targets[i], refusal, now);
        }
        Command::Target(i, T::Look) => {
            target_refused(&mut state.targets[i], Cause::of(refusal), refusal, now);
        }
        Command::Target(
            i,
            T::Start { .. }
            | T::Poll
            | T::CopyImage
            | T::PollImage
            | T::Register
            | T::Check
            | T::Tidy
            | T::Undo
            | T::Remove,
        ) => {
            let cause = match Cause::of(refusal) {
                // Only a look can say so of the key.
                Cause::TargetKeyMissing => Cause::AccessDenied,
                cause => cause,
            };
            target_refused(&mut state.targets[i], cause, refusal, now);
        }
    }
}

fn image_registered(target: &mut TargetState, registered: Registered, now: i64) {
    match registered {
        Registered::Image(image) | Registered::NameTaken(Some(image), _) => {
            (target.image_id, target.pace) = (Some(image), Pace::default());
            target.phase = TargetPhase::Checking;
        }
        Registered::NameTaken(None, refusal) => name_taken(target, &refusal, now),
        Registered::NotYet(what) => not_yet(target, &what, now),
    }
}

fn image_checked(state: &mut State, i: usize, checked: Checked, now: i64) {
    let target = &mut state.targets[i];
    match checked {
        Checked::Faithful {
            used,
            surplus,
            other_tags,
        } => {
            target.note = other_tags.map(|said| shorten(&said, NOTE_BYTES));
            faithful(state, i, used, surplus, now);
        }
        Checked::Unfaithful(differences) => {
            fail(target, Cause::NotFaithful, &differences.join("; "));
        }
        Checked::Disabled(image) => {
            let said = format!("{image} is the copy, and is disabled");
            target.fail_standing(Cause::ImageDisabled, &said);
        }
        Checked::Older { image, unfinished } => {
            (target.image_id, target.pace) = (Some(image), Pace::default());
            target.work.doubled = true;
            if unfinished {
                target.phase = TargetPhase::Copying;
            }
        }
        Checked::NotYet(what) => not_yet(target, &what, now),
    }
}

fn faithful(state: &mut State, i: usize, used: Vec<SnapshotId>, surplus: bool, now: i64) {
    *state.copies_mut(i) = used.into_iter().map(Some).collect();
    let good = after_image(&state.order, false);
    let target = &mut state.targets[i];
    (target.pace, target.work.progress) = (Pace::default(), 100);
    if target.work.doubled && now < target.work.shown_by() {
        // The surplus copy may not show yet: the target is tidied once it must.
        target.pace.due = target.work.shown_by();
    }
    if surplus || target.pace.due > 0 || state.order.renewal == Some(Renewal::Remove) {
        target.phase = TargetPhase::Tidying;
    } else {
        target.failure = None;
        target.phase = good;
    }
}

fn source_gone(target: &mut TargetState, SourceGone(what): &SourceGone) {
    // A target that was failing already, and whose image was found meanwhile, keeps its
    // first failure.
    let before = target.failure.take();
    fail(target, Cause::SourceGone, what);
    if before.is_some() {
        target.failure = before;
    }
}

fn name_taken(target: &mut TargetState, refusal: &Refusal, now: i64) {
    // EC2 does not show the image: it was registered or deregistered a moment ago.
    target.pace.failed(now);
    if target.pace.tries >= MOST_TRIES {
        fail(target, Cause::NameTaken, &refusal.to_string());
    }
}

/// Takes over the image found instead of undoing: another process of the target got further than
/// this one.
fn adopt(target: &mut TargetState, image: ImageId) {
    if target.work.again >= MOST_AGAIN {
        let said = format!("{image} is there, but could not be checked");
        return stick(target, &said, Vec::new());
    }
    target.work.again += 1;
    target.image_id = Some(image);
    target.pace = Pace::default();
    target.phase = TargetPhase::Checking;
}

fn not_yet(target: &mut TargetState, what: &str, now: i64) {
    target.pace.failed(now);
    if target.pace.tries >= MOST_TRIES {
        fail(target, Cause::Unreachable, what);
    }
}

fn deleted(state: &mut State, i: usize, left: &Left, now: i64) {
    if !left.is_empty() {
        return left_behind(&mut state.targets[i], left, now);
    }
    // A target that had ended has its grants. A target that another process got further with may
    // lack them.
    let had_ended = state.sharing.closed && state.targets[i].failure.is_none();
    let good = after_image(&state.order, had_ended);
    let target = &mut state.targets[i];
    target.pace = Pace::default();
    if target.phase == TargetPhase::Tidying {
        (target.phase, target.failure) = (good, None);
        return;
    }
    target.phase = if target.phase == TargetPhase::Removing {
        TargetPhase::Removed
    } else {
        TargetPhase::Failed
    };
    target.image_id = None;
    target.work.copies.clear();
    target.work.progress = 0;
}

fn left_behind(target: &mut TargetState, left: &Left, now: i64) {
    let passing = left.iter().all(|(_, refusal)| refusal.is_passing());
    target.pace.failed(now);
    if !passing {
        target.pace.due = target.pace.due.min(now + DENIED_AGAIN);
    }
    // A denial may mean that the copy is gone. EC2 lists a deleted copy for a while, without the
    // tags by which a policy would allow its deletion.
    if (passing && target.pace.tries < MOST_TRIES) || target.pace.tries < MOST_DENIALS_OF_DELETING {
        return;
    }
    let ids = left.iter().map(|(what, _)| what.clone());
    let ids = ids.take(MOST_LEFT).collect();
    let said: Vec<String> = left
        .iter()
        .map(|(what, refusal)| format!("{what}: {}: {}", refusal.code, refusal.message))
        .collect();
    stick(target, &said.join("; "), ids);
}

fn stick(target: &mut TargetState, said: &str, left: Vec<String>) {
    let why = shorten(said, STUCK_BYTES);
    target.note = None;
    let failure = target
        .failure
        .get_or_insert_with(|| Failure::new(Cause::Other, ""));
    if failure.reason.is_empty() {
        failure.reason.clone_from(&why);
    }
    (target.phase, target.pace) = (TargetPhase::Stuck { why, left }, Pace::default());
}

fn target_refused(target: &mut TargetState, cause: Cause, refusal: &Refusal, now: i64) {
    if refusal.is_passing() && target.pace.tries < MOST_TRIES {
        return stumble(target, refusal, now);
    }
    let shut_out = matches!(cause, Cause::RoleNotAssumable | Cause::RegionNotEnabled);
    match target.phase {
        // The account was closed or has lost its role, which must not keep a resource from being
        // deleted.
        TargetPhase::Removing if shut_out => {
            target.failure = Some(Failure::new(cause, &refusal.to_string()));
            target.phase = TargetPhase::Removed;
        }
        TargetPhase::Undoing | TargetPhase::Removing | TargetPhase::Tidying => {
            stick(target, &refusal.to_string(), Vec::new());
        }
        // A copy was deleted after the last look, by another process of this target.
        TargetPhase::Registering
            if refusal.kind() == RefusalKind::NotFound && target.work.again < MOST_AGAIN =>
        {
            target.work.again += 1;
            target.work.copies.clear();
            target.phase = TargetPhase::Looking;
        }
        _ => fail(target, cause, &refusal.to_string()),
    }
}

/// Plans another try after a failure that may pass. A look comes first if the effect of the call is
/// unknown.
fn stumble(target: &mut TargetState, refusal: &Refusal, now: i64) {
    if target.pace.tries >= MOST_TRIES {
        return fail(target, Cause::of(refusal), &refusal.to_string());
    }
    target.pace.failed(now);
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

/// Fails a target. Everything that it made or may have made is undone; a target that cannot have
/// made anything is done.
fn fail(target: &mut TargetState, cause: Cause, reason: &str) {
    target.failure = Some(Failure::new(cause, reason));
    target.note = None;
    target.pace = Pace {
        due: target.work.shown_by(),
        tries: 0,
    };
    target.work.doubled = false;
    let untouched = target.work.copies.iter().all(Option::is_none)
        && target.image_id.is_none()
        && target.work.since == 0
        && !target.shared;
    // Undoing finds the copies by their tags, and the state needs their room for the texts of the
    // failure.
    target.work.copies.clear();
    target.phase = if untouched {
        TargetPhase::Failed
    } else {
        TargetPhase::Undoing
    };
}
