//! Grants to launch come last, and the image stays however they end.

use super::*;
use crate::command::SourceGone;
use crate::plan::share;
use crate::request::Mode;
use crate::state::MOST_COPIES_BESIDE_WORDS;

fn request(more: &serde_json::Value) -> Request {
    let mut request = json!({
        "SourceImageId": "ami-0a1b2c3d4e5f60718",
        "Targets": [{"AccountId": "222222222222"}],
        "ServiceLinkedRoles": ["autoscaling.amazonaws.com", "autoscaling.amazonaws.com_x"],
    });
    for (key, value) in more.as_object().unwrap() {
        request[key] = value.clone();
    }
    let defaults = Defaults {
        region: Region::parse("us-west-2").unwrap(),
        account: None,
    };
    Request::parse(&request, &defaults).unwrap()
}

fn asking(more: &serde_json::Value) -> State {
    let request = request(more);
    let run = "0123456789abcdef";
    match request.mode {
        Mode::Copy => distribute(&request, &example(), run, NOW).unwrap(),
        Mode::Share => share(&request, &example(), Vec::new(), false, run, NOW).unwrap(),
    }
}

/// Plays a run to its end. Everything works except where `answer` returns an outcome. Returns the
/// names of all commands.
pub(super) fn to_the_end(
    state: &mut State,
    mut answer: impl FnMut(&Command) -> Option<Outcome>,
) -> (Vec<&'static str>, i64) {
    let (mut now, mut way) = (NOW, Vec::new());
    loop {
        match next(state, now, &Busy::default()) {
            Next::Do(commands) => {
                for command in commands {
                    way.push(command.name());
                    let outcome = answer(&command).unwrap_or_else(|| works(&command));
                    record(state, outcome, now);
                }
            }
            Next::WaitUntil(due) => now = due,
            Next::End => return (way, now),
            Next::WaitForBusy => panic!("nothing is busy"),
        }
        assert!(way.len() < 200, "{way:?}");
    }
}

fn granting(
    command: &Command,
    outcome: impl Fn() -> Result<Granted, SourceGone>,
) -> Option<Outcome> {
    matches!(command, Command::Target(0, TargetCommand::Grant))
        .then(|| Outcome::Target(0, TargetOutcome::Grant(outcome())))
}

fn failed_with_its_image(state: &State, cause: Cause) {
    let target = &state.targets[0];
    assert_eq!(target.phase, TargetPhase::Failed);
    assert_eq!(target.failure.as_ref().unwrap().cause, cause);
    assert!(target.image_id.is_some() && target.stands());
    let remedy = cause.remedy(state.run_ref(), target);
    assert!(remedy.contains("only makes the grant"), "{remedy}");
}

#[test]
fn grants_come_after_tidying_and_before_the_end() {
    let mut state = asking(&json!({}));
    let (way, _) = to_the_end(&mut state, |_| None);
    assert_eq!(
        way,
        [
            "Look", "Share", "Start", "Poll", "Register", "Check", "Tidy", "Grant", "Revoke",
            // The source is closed, and resources of other processes are looked for.
            "Tidy"
        ]
    );
    assert_eq!(state.targets[0].phase, TargetPhase::Succeeded);
    let done = |n| copy(n, CopyStatus::Completed).id;
    let mut state = asking(&json!({}));
    let (way, _) = to_the_end(&mut state, |command| {
        matches!(command, Command::Target(0, TargetCommand::Check)).then(|| {
            let faithful = Checked::Faithful {
                used: vec![done(0), done(1)],
                surplus: false,
                other_tags: None,
            };
            Outcome::Target(0, TargetOutcome::Check(Ok(faithful)))
        })
    });
    assert_eq!(way[5..], ["Check", "Grant", "Revoke", "Tidy"]);
}

/// The same holds if the image existed from the beginning.
#[test]
fn an_existing_image_still_gets_its_grants() {
    let mut state = asking(&json!({}));
    let (way, _) = to_the_end(&mut state, |command| {
        matches!(command, Command::Target(0, TargetCommand::Look)).then(|| {
            let copies = vec![Vec::new(), Vec::new()];
            Outcome::Target(0, looked(copies, Some("ami-00000000000000001")))
        })
    });
    assert_eq!(way, ["Look", "Check", "Tidy", "Grant", "Revoke"]);
}

#[test]
fn a_share_makes_grants_too() {
    let mut state = asking(&json!({"Mode": "Share"}));
    let (way, _) = to_the_end(&mut state, |_| None);
    assert_eq!(way, ["Share", "Grant", "Revoke"]);
    assert_eq!(state.targets[0].phase, TargetPhase::Succeeded);
}

#[test]
fn a_missing_role_fails_the_target_soon_and_keeps_the_image() {
    let mut state = asking(&json!({}));
    let missing = || {
        let names = vec!["AWSServiceRoleForAutoScaling_x".to_owned()];
        let first = refusal("CreateGrant", "InvalidArnException");
        Ok(Granted::RolesMissing(names, first))
    };
    let (way, _) = to_the_end(&mut state, |command| granting(command, missing));
    assert!(!way.contains(&"Undo"), "{way:?}");
    assert_eq!(way.iter().filter(|name| **name == "Grant").count(), 4);
    failed_with_its_image(&state, Cause::ServiceLinkedRoleMissing);
    let target = &state.targets[0];
    assert_eq!(target.work.copies.len(), 2, "told as well");
    let remedy = Cause::ServiceLinkedRoleMissing.remedy(state.run_ref(), target);
    assert!(
        remedy.contains("--aws-service-name autoscaling.amazonaws.com --custom-suffix x"),
        "{remedy}"
    );
    assert_eq!(
        remedy.matches("aws iam").count(),
        1,
        "only the one: {remedy}"
    );
}

/// KMS learns of a new role minutes after IAM.
#[test]
fn a_new_role_is_waited_for() {
    let mut state = asking(&json!({"CreateServiceLinkedRoles": true}));
    let mut asked = Vec::new();
    let (_, end) = to_the_end(&mut state, |command| {
        granting(command, || Ok(Granted::NotYet("made".to_owned()))).inspect(|_| asked.push(()))
    });
    assert_eq!(asked.len(), 11);
    assert!((330..700).contains(&(end - NOW)), "{}", end - NOW);
    failed_with_its_image(&state, Cause::ServiceLinkedRoleMissing);
}

#[test]
fn a_refused_grant_keeps_the_image() {
    for (operation, code, cause) in [
        (
            "CreateGrant",
            "AccessDeniedException",
            Cause::LaunchGrantMissing,
        ),
        (
            "ListGrants",
            "AccessDeniedException",
            Cause::LaunchGrantMissing,
        ),
        (
            "DescribeKey",
            "AccessDeniedException",
            Cause::LaunchGrantMissing,
        ),
        (
            "CreateGrant",
            "DisabledException",
            Cause::LaunchGrantMissing,
        ),
        (
            "CreateGrant",
            "LimitExceededException",
            Cause::LaunchGrantMissing,
        ),
        ("CreateGrant", "ThrottlingException", Cause::Throttled),
        ("ListGrants", "Timeout", Cause::Unreachable),
        ("AssumeRole", "AccessDenied", Cause::RoleNotAssumable),
    ] {
        let mut state = asking(&json!({}));
        let (way, _) = to_the_end(&mut state, |command| {
            matches!(command, Command::Target(0, TargetCommand::Grant))
                .then(|| Outcome::Refused(command.clone(), refusal(operation, code)))
        });
        assert!(!way.contains(&"Undo"), "{operation} {code}: {way:?}");
        failed_with_its_image(&state, cause);
    }
}

/// The account's own grant takes minutes to be in force. A grant on a target's own key has nothing
/// to wait for.
#[test]
fn a_denial_on_a_source_key_is_waited_out_for_minutes() {
    for (mode, least, most) in [("Share", 330, 400), ("Copy", 0, 60)] {
        let mut state = asking(&json!({"Mode": mode}));
        let (mut first, mut last) = (None, 0);
        let mut now = NOW;
        while state.phase != Phase::Ended {
            match next(&mut state, now, &Busy::default()) {
                Next::Do(commands) => {
                    for command in commands {
                        let outcome = match &command {
                            Command::Target(_, TargetCommand::Grant) => {
                                first.get_or_insert(now);
                                last = now;
                                let denied = refusal("CreateGrant", "AccessDeniedException");
                                Outcome::Refused(command, denied)
                            }
                            other => works(other),
                        };
                        record(&mut state, outcome, now);
                    }
                }
                Next::WaitUntil(due) => now = due,
                other => panic!("{other:?}"),
            }
        }
        let waited = last - first.unwrap();
        assert!((least..most).contains(&waited), "{mode}: {waited}");
        failed_with_its_image(&state, Cause::LaunchGrantMissing);
    }
}

/// A share of an image that is gone is no share, so it is taken back.
#[test]
fn a_share_of_a_missing_image_is_taken_back() {
    let mut state = asking(&json!({"Mode": "Share"}));
    to_the_end(&mut state, |command| {
        granting(command, || Err(SourceGone("gone".to_owned())))
    });
    assert_eq!(state.targets[0].phase, TargetPhase::Failed);
    assert!(!state.targets[0].stands());
}

/// The run may give up for lack of time or of turns.
#[test]
fn a_target_given_up_while_granting_keeps_its_image() {
    let until_granting = || {
        let mut state = asking(&json!({}));
        for now in (NOW..).step_by(60) {
            if state.targets[0].phase == TargetPhase::Granting {
                return (state, now);
            }
            turn(&mut state, now, works);
        }
        unreachable!()
    };
    let (mut state, now) = until_granting();
    state.give_up(Cause::TooSlow, "no more turns");
    failed_with_its_image(&state, Cause::LaunchGrantMissing);
    assert_eq!(
        turn(&mut state, now, works),
        [Command::Source(SourceCommand::Revoke)]
    );

    let (mut state, now) = until_granting();
    state.end_by = now - 1;
    assert_eq!(
        turn(&mut state, now, works),
        [Command::Source(SourceCommand::Revoke)]
    );
    failed_with_its_image(&state, Cause::LaunchGrantMissing);

    // A state handed in again continues with granting, which looks itself.
    let (mut state, now) = until_granting();
    state.reopen(now);
    let grant = Command::Target(0, TargetCommand::Grant);
    assert_eq!(turn(&mut state, now, works), [grant]);
}

/// The texts of a failure and many copies do not fit together; the image lists its snapshots.
#[test]
fn a_failed_target_with_an_image_keeps_within_its_size() {
    let mut state = asking(&json!({}));
    let id = copy(0, CopyStatus::Completed).id;
    for (count, kept) in [
        (MOST_COPIES_BESIDE_WORDS, true),
        (MOST_COPIES_BESIDE_WORDS + 1, false),
    ] {
        let target = &mut state.targets[0];
        target.work.copies = vec![Some(id.clone()); count];
        target.fail_standing(Cause::LaunchGrantMissing, "said");
        assert_eq!(!target.work.copies.is_empty(), kept);
    }
}
