//! Closing comes before the end. The last look, for resources that another process of the run has
//! left, comes before the end as well.

use super::granting::to_the_end;
use super::*;
use crate::command::{SourceGone, Wait};
use crate::state::Failure;

/// Plays a run to its end. The commands in `refused` are refused, and everything else works.
fn refusing(state: &mut State, refused: &[(&str, Refusal)]) -> Vec<&'static str> {
    let of = |command: &Command| refused.iter().find(|(name, _)| *name == command.name());
    let (way, _) = to_the_end(state, |command| {
        of(command).map(|(_, refusal)| Outcome::Refused(command.clone(), refusal.clone()))
    });
    way
}

fn image_there(i: usize, image: &ImageId) -> Outcome {
    let there = Undone::ImageThere(image.clone());
    Outcome::Target(i, TargetOutcome::Undo(there))
}

/// The opening may have succeeded although its process died: this process gave up its targets
/// before it knew of any copy.
#[test]
fn targets_given_up_before_the_opening_are_undone_after_closing() {
    let mut state = fresh(2);
    let way = refusing(&mut state, &[("Share", refusal("PutObject", "Denied"))]);
    assert_eq!(way, ["Look", "Look", "Share", "Revoke", "Undo", "Undo"]);
    let failed = |t: &TargetState| (t.phase.clone(), t.failure.as_ref().map(|f| f.cause));
    let expected = (TargetPhase::Failed, Some(Cause::SharingFailed));
    assert!(state.targets.iter().all(|t| failed(t) == expected));
}

/// A source that is opened again must be closed again.
#[test]
fn targets_are_undone_even_if_the_source_cannot_be_closed() {
    let mut state = fresh(1);
    let denied = [
        ("Share", refusal("PutObject", "Denied")),
        ("Revoke", refusal("DescribeSnapshots", "Denied")),
    ];
    let way = refusing(&mut state, &denied);
    assert_eq!(way.last(), Some(&"Undo"));
    assert!(state.sharing.stuck.is_some());

    let share = Command::Source(SourceCommand::Share { targets: vec![0] });
    state.phase = Phase::Sharing;
    state.targets[0].phase = TargetPhase::Ready;
    record(&mut state, works(&share), NOW);
    let way = refusing(&mut state, &[]);
    assert!(way.contains(&"Revoke"), "{way:?}");
    assert!(state.sharing.stuck.is_none());
}

/// AWS did not answer for one of an account's two targets, and the source was open to the account.
#[test]
fn an_unanswered_target_is_undone_if_its_account_was_opened_to() {
    let mut state = fresh(2);
    state.targets[1].account_id = state.targets[0].account_id.clone();
    let (way, _) = to_the_end(&mut state, |command| match command {
        Command::Target(1, TargetCommand::Look) => Some(Outcome::Refused(
            command.clone(),
            refusal("DescribeKey", "Throttling"),
        )),
        _ => None,
    });
    let closing = way.iter().position(|name| *name == "Revoke").unwrap();
    assert_eq!(way[closing..], ["Revoke", "Tidy", "Undo"]);
    assert_eq!(state.targets[1].phase, TargetPhase::Failed);

    let unheard = [("Look", refusal("DescribeKey", "Throttling"))];
    assert_eq!(refusing(&mut fresh(1), &unheard).last(), Some(&"Revoke"));
}

/// A target that could not be looked at at all would refuse again.
#[test]
fn a_target_whose_look_was_denied_is_not_undone() {
    let denied = [("Look", refusal("AssumeRole", "AccessDenied"))];
    assert_eq!(refusing(&mut fresh(1), &denied), ["Look", "Revoke"]);
}

/// The earlier try is known from the first closing only, and must be reported by a later one as
/// well.
#[test]
fn an_earlier_try_is_reported_when_closing_takes_two_tries() {
    let mut state = fresh(1);
    let account = state.targets[0].account_id.clone();
    let mut revoked = 0;
    let (way, _) = to_the_end(&mut state, |command| match command {
        Command::Target(_, TargetCommand::Look) => Some(Outcome::Refused(
            command.clone(),
            refusal("AssumeRole", "AccessDenied"),
        )),
        Command::Source(SourceCommand::Revoke) => {
            revoked += 1;
            let said = refusal("DescribeSnapshots", "InternalError");
            (revoked == 1).then(|| {
                closed(Closed {
                    joined: false,
                    earlier: vec![account.clone()],
                    left: vec![("snap".to_owned(), said)],
                })
            })
        }
        _ => None,
    });
    assert_eq!(way, ["Look", "Revoke", "Revoke"]);
    assert!(matches!(state.targets[0].phase, TargetPhase::Stuck { .. }));
    assert!(state.sharing.stuck.is_none());
}

/// A closed attempt opens nothing more. Its copies are undone, and the source needs no second look.
#[test]
fn a_closed_source_is_closed_once() {
    let mut state = fresh(1);
    let (way, _) = to_the_end(&mut state, |command| match command {
        Command::Target(_, TargetCommand::Start { .. }) => Some(Outcome::Refused(
            command.clone(),
            refusal("CopySnapshot", "Denied"),
        )),
        _ => None,
    });
    let first = way.iter().position(|name| *name == "Revoke").unwrap();
    assert_eq!(way[first..], ["Revoke", "Undo"]);
    assert_eq!(state.targets[0].phase, TargetPhase::Failed);
}

/// The closing of another attempt is no failure, however long it takes. The opening is tried again
/// when that may have ended.
#[test]
fn an_opening_waits_for_another_closing_without_a_limit() {
    let mut state = fresh(1);
    let mut waited = 0;
    let (way, _) = to_the_end(&mut state, |command| match command {
        Command::Source(SourceCommand::Share { targets }) if waited < 60 => {
            waited += 1;
            let wait = Wait {
                until: i64::MAX,
                why: "attempt other.1 is closing it".to_owned(),
            };
            Some(shared(targets.clone(), Shared::Wait(wait)))
        }
        _ => None,
    });
    assert_eq!(way.iter().filter(|name| **name == "Share").count(), 61);
    assert_eq!(state.targets[0].phase, TargetPhase::Succeeded);
}

/// An attempt that was closed meanwhile opens nothing, and its copies are undone.
#[test]
fn targets_of_a_closed_attempt_fail_with_that_cause() {
    let mut state = fresh(1);
    let (_, _) = to_the_end(&mut state, |command| match command {
        Command::Source(SourceCommand::Share { targets }) => {
            let over = Shared::Over("attempt one.1 is over".to_owned());
            Some(shared(targets.clone(), over))
        }
        _ => None,
    });
    let failure = state.targets[0].failure.as_ref().unwrap();
    assert_eq!(failure.cause, Cause::AttemptOver);
    assert!(failure.reason.contains("one.1 is over"));
}

/// The target was given up, and its image was found, which another process had registered. Without
/// the source the image cannot be verified.
#[test]
fn the_first_failure_is_the_one_reported() {
    let mut state = fresh(1);
    state.give_up(
        Cause::SourceUnreadable,
        "DescribeImages: UnauthorizedOperation",
    );
    let image = ImageId::parse("ami-0a1b2c3d4e5f60718").unwrap();
    let (way, _) = to_the_end(&mut state, |command| match command {
        Command::Target(i, TargetCommand::Undo) => Some(image_there(*i, &image)),
        Command::Target(i, TargetCommand::Check) => {
            let gone = SourceGone("cannot be read".to_owned());
            Some(Outcome::Target(*i, TargetOutcome::Check(Err(gone))))
        }
        _ => None,
    });
    assert!(way.contains(&"Check"), "{way:?}");
    let failure = state.targets[0].failure.as_ref().unwrap();
    assert_eq!(failure.cause, Cause::SourceUnreadable);
    assert!(failure.reason.contains("UnauthorizedOperation"));
}

/// The image found is good, but may lack its launch grants, although the source is closed.
#[test]
fn an_image_found_while_undoing_gets_its_grants() {
    let mut state = fresh(1);
    state.order.service_linked_roles =
        vec![crate::service_linked_role::ServiceLinkedRole::parse("spot.amazonaws.com").unwrap()];
    state.sharing.closed = true;
    state.phase = Phase::Copying;
    state.targets[0].phase = TargetPhase::Undoing;
    state.targets[0].failure = Some(Failure::new(Cause::TooSlow, "late"));
    let image = ImageId::parse("ami-0a1b2c3d4e5f60718").unwrap();
    let (way, _) = to_the_end(&mut state, |command| match command {
        Command::Target(i, TargetCommand::Undo) => Some(image_there(*i, &image)),
        Command::Target(i, TargetCommand::Check) => {
            let faithful = Checked::Faithful {
                used: Vec::new(),
                surplus: true,
                other_tags: None,
            };
            Some(Outcome::Target(*i, TargetOutcome::Check(Ok(faithful))))
        }
        _ => None,
    });
    assert_eq!(way, ["Undo", "Check", "Tidy", "Grant"]);
    assert_eq!(state.targets[0].phase, TargetPhase::Succeeded);
    assert_eq!(state.targets[0].failure, None);
}

/// A second process with the same state may have started a copy a moment ago. After its longest
/// life all its copies show.
#[test]
fn tidying_waits_until_copies_of_another_process_show() {
    let tidied = |last_start: i64, contended: bool| {
        let mut state = fresh(1);
        state.phase = Phase::Revoking;
        state.contended = contended;
        let target = &mut state.targets[0];
        (target.phase, target.shared) = (TargetPhase::Succeeded, true);
        (target.work.since, target.work.last_start) = (last_start, last_start);
        record(&mut state, closed(Closed::default()), NOW);
        assert_eq!(state.targets[0].phase, TargetPhase::Tidying);
        state.targets[0].pace.due
    };
    assert_eq!(tidied(NOW - 30, true), NOW + 60, "a short copy");
    assert_eq!(tidied(NOW - 30, false), 0, "one process alone");
    assert!(
        tidied(NOW - 960, true) <= NOW,
        "a long copy waits no longer"
    );
}
