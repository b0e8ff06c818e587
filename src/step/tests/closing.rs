//! Closing comes before the end, and before it the last look for what another process of the run has left.

use super::granting::to_the_end;
use super::*;

/// It may have opened the source, and died: this process gave its targets up before it knew of any copy.
#[test]
fn targets_given_up_before_the_source_was_open_are_looked_at_once_it_is_closed() {
    let mut state = fresh(2);
    let (way, _) = to_the_end(&mut state, |command| match command {
        Command::Share { .. } => Some(Outcome::Refused(refusal("CreateTags", "Denied"))),
        _ => None,
    });
    assert_eq!(way, ["Look", "Look", "Share", "Revoke", "Undo", "Undo"]);
    let failed = |t: &TargetState| (t.phase, t.failure.as_ref().map(|f| f.cause));
    let expected = (TargetPhase::Failed, Some(Cause::SharingFailed));
    assert!(state.targets.iter().all(|t| failed(t) == expected));
}

/// One that could not even be looked at is asked nothing more: it would say the same.
#[test]
fn a_target_that_could_not_be_looked_at_is_left_alone() {
    let mut state = fresh(1);
    let (way, _) = to_the_end(&mut state, |command| match command {
        Command::Look { .. } => Some(Outcome::Refused(refusal("AssumeRole", "AccessDenied"))),
        _ => None,
    });
    assert_eq!(way, ["Look", "Revoke"]);
}

/// The mark that told of an earlier try is gone when the rest of the closing is tried again: it is told all the same.
#[test]
fn an_earlier_try_is_told_though_closing_takes_two_attempts() {
    let mut state = fresh(1);
    let account = state.targets[0].account_id.clone();
    let mut revoked = 0;
    let (way, _) = to_the_end(&mut state, |command| match command {
        Command::Look { .. } => Some(Outcome::Refused(refusal("AssumeRole", "AccessDenied"))),
        Command::Revoke => {
            revoked += 1;
            (revoked == 1).then(|| Outcome::Closed {
                earlier: vec![account.clone()],
                left: vec![(
                    "snap".to_owned(),
                    refusal("DescribeSnapshots", "InternalError"),
                )],
            })
        }
        _ => None,
    });
    assert_eq!(way, ["Look", "Revoke", "Revoke"]);
    assert_eq!(state.targets[0].phase, TargetPhase::Stuck);
    assert!(state.sharing.stuck.is_none());
}
