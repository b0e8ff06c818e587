use serde_json::json;

use super::*;
use crate::cause::Cause;
use crate::command::{
    Checked, Closed, CopiedImage, Granted, ImageProgress, Looked, Opened, Outcome, Publication,
    Registered, Removed, Rest, Retagged, Revoked, Shared, SourceOutcome, Started, TargetOutcome,
    Undone,
};
use crate::copies::{Copies, Copy, CopyStatus};
use crate::error::{Place, Refusal};
use crate::ids::{ImageId, KeyArn, Region, SnapshotId};
use crate::plan::distribute;
use crate::request::{Defaults, Request};
use crate::source::tests::example;
use crate::state::Published;

const NOW: i64 = 1_800_000_000;

fn fresh(targets: usize) -> State {
    let accounts: Vec<_> = (0..targets)
        .map(|i| {
            json!({"AccountId": format!("{:012}", 222_222_222_222_u64 + i as u64),
            "KmsKeyId": "alias/amis"})
        })
        .collect();
    let request = json!({"SourceImageId": "ami-0a1b2c3d4e5f60718", "Targets": accounts});
    let defaults = Defaults {
        region: Region::parse("us-west-2").unwrap(),
        account: None,
    };
    distribute(
        &Request::parse(&request, &defaults).unwrap(),
        &example(),
        "0123456789abcdef",
        NOW,
    )
    .unwrap()
}

fn key() -> KeyArn {
    KeyArn::parse("arn:aws:kms:us-west-2:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab")
        .unwrap()
}

fn copy(n: u8, status: CopyStatus) -> Copy {
    Copy {
        id: SnapshotId::parse(&format!("snap-{n:017x}")).unwrap(),
        run: "0123456789abcdef".to_owned(),
        started: NOW + i64::from(n),
        status,
    }
}

/// Returns a look that found these copies, and this image.
fn looked(copies: Copies, image: Option<&str>) -> TargetOutcome {
    TargetOutcome::Look(Looked {
        unfinished: false,
        key: key(),
        image: image.map(|id| ImageId::parse(id).unwrap()),
        copies,
    })
}

fn closed(closed: Closed) -> Outcome {
    Outcome::Source(SourceOutcome::Revoke(Revoked::Closed(closed)))
}

fn shared(targets: Vec<usize>, shared: Shared) -> Outcome {
    Outcome::Source(SourceOutcome::Share(targets, Ok(shared)))
}

/// Returns the refusals of these copies.
fn starts_refused(snapshots: &[usize], code: &str) -> TargetOutcome {
    let refused = |s: &usize| (*s, Err(refusal("CopySnapshot", code)));
    let refused = snapshots.iter().map(refused).collect();
    TargetOutcome::Start(Ok(Started::Copies(refused)))
}

fn refusal(operation: &'static str, code: &str) -> Refusal {
    let at = Place {
        account: "222222222222".to_owned(),
        region: "us-west-2".to_owned(),
    };
    Refusal::ours(operation, &at, "it", code, "said")
}

/// Performs the commands of this moment with the outcomes that `answer` returns.
fn turn(state: &mut State, now: i64, answer: impl Fn(&Command) -> Outcome) -> Vec<Command> {
    let Next::Do(commands) = next(state, now, &Busy::default()) else {
        return Vec::new();
    };
    for command in &commands {
        record(state, answer(command), now);
    }
    commands
}

/// Answers as an AWS in which everything works at once.
fn works(command: &Command) -> Outcome {
    match command {
        Command::Source(SourceCommand::LookStaged | SourceCommand::Stage { .. }) => unreachable!(),
        Command::Source(SourceCommand::Share { targets }) => {
            shared(targets.clone(), Shared::Opened(Opened::default()))
        }
        Command::Source(SourceCommand::Revoke) => closed(Closed::default()),
        Command::Target(i, command) => Outcome::Target(*i, works_in_target(command)),
    }
}

fn works_in_target(command: &TargetCommand) -> TargetOutcome {
    let done = |n| copy(n, CopyStatus::Completed);
    match command {
        TargetCommand::Look => looked(vec![Vec::new(), Vec::new()], None),
        TargetCommand::Start { snapshots } => {
            let id = |s: usize| copy(u8::try_from(s).unwrap(), CopyStatus::Pending(0)).id;
            let started = snapshots.iter().map(|&s| (s, Ok(id(s)))).collect();
            TargetOutcome::Start(Ok(Started::Copies(started)))
        }
        TargetCommand::CopyImage => {
            let image = ImageId::parse("ami-00000000000000001").unwrap();
            TargetOutcome::CopyImage(Ok(CopiedImage::Started(image)))
        }
        TargetCommand::PollImage => TargetOutcome::PollImage(ImageProgress::Available),
        TargetCommand::Poll => TargetOutcome::Poll(vec![vec![done(0)], vec![done(1)]]),
        TargetCommand::Register => {
            let image = ImageId::parse("ami-00000000000000001").unwrap();
            TargetOutcome::Register(Ok(Registered::Image(image)))
        }
        TargetCommand::Check => TargetOutcome::Check(Ok(Checked::Faithful {
            used: vec![done(0).id, done(1).id],
            surplus: true,
            other_tags: None,
        })),
        TargetCommand::Tidy => TargetOutcome::Tidy(Vec::new()),
        TargetCommand::Undo => TargetOutcome::Undo(Undone::Deleted(Vec::new())),
        TargetCommand::Remove => TargetOutcome::Remove(Removed::Deleted(Vec::new())),
        TargetCommand::Retag => TargetOutcome::Retag(Ok(Retagged::Done)),
        TargetCommand::Grant => TargetOutcome::Grant(Ok(Granted::Done(Vec::new()))),
        TargetCommand::Publish => TargetOutcome::Publish(Publication {
            done: Published::default(),
            notes: Vec::new(),
            rest: Rest::Nothing,
        }),
        TargetCommand::EndTest => TargetOutcome::EndTest,
    }
}

/// The list of all commands is the protocol.
#[test]
fn two_targets_go_through_all_commands_in_order() {
    let mut state = fresh(2);
    let mut way = Vec::new();
    for now in (NOW..).step_by(60) {
        let commands = turn(&mut state, now, works);
        way.push(
            commands
                .iter()
                .map(Command::name)
                .collect::<Vec<_>>()
                .join(" "),
        );
        if state.phase == Phase::Ended {
            break;
        }
    }
    assert_eq!(
        way,
        [
            "Look Look",
            "Share",
            "Start Start",
            "Poll Poll",
            "Register Register",
            "Check Check",
            "Tidy Tidy",
            "Revoke",
            // Nobody can start copies any more: deletes what other processes of the same state have
            // left.
            "Tidy Tidy",
            ""
        ]
    );
    assert_eq!(next(&mut state, NOW, &Busy::default()), Next::End);
}

#[test]
fn the_source_is_not_closed_while_a_target_is_on_its_way() {
    let mut state = fresh(2);
    turn(&mut state, NOW, works);
    turn(&mut state, NOW, works);
    // The first target continues to its end, while the second one's copy stays pending.
    for now in (NOW..NOW + 4000).step_by(61) {
        let commands = turn(&mut state, now, |command| match command {
            Command::Target(1, TargetCommand::Poll) => {
                let pending = |n| vec![copy(n, CopyStatus::Pending(9))];
                Outcome::Target(1, TargetOutcome::Poll(vec![pending(0), pending(1)]))
            }
            other => works(other),
        });
        assert!(!commands.contains(&Command::Source(SourceCommand::Revoke)));
    }
    assert_eq!(state.targets[0].phase, TargetPhase::Succeeded);
    assert_eq!(state.targets[1].phase, TargetPhase::Copying);
}

#[test]
fn a_target_with_its_image_needs_no_sharing() {
    let mut state = fresh(1);
    turn(&mut state, NOW, |_| {
        let copies = vec![Vec::new(), Vec::new()];
        Outcome::Target(0, looked(copies, Some("ami-00000000000000001")))
    });
    let all: Vec<Command> = (0..5).flat_map(|_| turn(&mut state, NOW, works)).collect();
    assert_eq!(
        all,
        [
            Command::Target(0, TargetCommand::Check),
            Command::Target(0, TargetCommand::Tidy),
            Command::Source(SourceCommand::Revoke)
        ]
    );
}

/// Every process that sees the same copies must choose the same ones.
#[test]
fn every_process_chooses_the_same_of_equal_copies() {
    let mut state = fresh(1);
    turn(&mut state, NOW, |_| {
        let copies = vec![
            vec![
                copy(3, CopyStatus::Pending(80)),
                copy(2, CopyStatus::Pending(1)),
            ],
            vec![
                copy(4, CopyStatus::Error("x".to_owned())),
                copy(6, CopyStatus::Completed),
                copy(5, CopyStatus::Pending(99)),
            ],
        ];
        Outcome::Target(0, looked(copies, None))
    });
    let chosen: Vec<_> = state.targets[0]
        .work
        .copies
        .iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    assert_eq!(chosen, ["snap-00000000000000002", "snap-00000000000000006"]);
}

#[test]
fn a_passing_refusal_is_retried_ever_slower_then_fails() {
    let mut state = fresh(1);
    let mut now = NOW;
    let mut tries = 0;
    while state.targets[0].phase != TargetPhase::Failed {
        match next(&mut state, now, &Busy::default()) {
            Next::Do(commands) => {
                tries += 1;
                let refusal = refusal("DescribeImages", "RequestLimitExceeded");
                record(
                    &mut state,
                    Outcome::Refused(commands[0].clone(), refusal),
                    now,
                );
            }
            Next::WaitUntil(due) => now = due,
            other => panic!("{other:?}"),
        }
        assert!(tries < 50);
    }
    assert!((300..900).contains(&(now - NOW)), "{}", now - NOW);
    assert_eq!(
        state.targets[0].failure.as_ref().unwrap().cause,
        Cause::Throttled
    );
}

/// A copy that is refused without end, after looks that succeed, must end too.
#[test]
fn starts_refused_after_each_look_end_in_failure() {
    let mut state = fresh(1);
    let (mut now, mut starts) = (NOW, 0);
    while !state.targets[0].phase.is_terminal() {
        match next(&mut state, now, &Busy::default()) {
            Next::Do(commands) => {
                for command in commands {
                    let outcome = match &command {
                        Command::Target(0, TargetCommand::Start { snapshots }) => {
                            starts += 1;
                            Outcome::Target(0, starts_refused(snapshots, "Timeout"))
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
    assert!((2..30).contains(&starts), "{starts}");
    assert_eq!(state.targets[0].phase, TargetPhase::Failed);
}

#[test]
fn a_full_quota_is_waited_for_without_a_limit() {
    let mut state = fresh(1);
    turn(&mut state, NOW, works);
    turn(&mut state, NOW, works);
    let mut now = NOW;
    let mut refused = 0;
    while now < NOW + 3600 {
        match next(&mut state, now, &Busy::default()) {
            Next::Do(commands) => {
                for command in commands {
                    let outcome = match &command {
                        Command::Target(0, TargetCommand::Start { snapshots }) => {
                            refused += 1;
                            Outcome::Target(0, starts_refused(snapshots, "ResourceLimitExceeded"))
                        }
                        Command::Target(0, TargetCommand::Poll) => {
                            let none = vec![Vec::new(), Vec::new()];
                            Outcome::Target(0, TargetOutcome::Poll(none))
                        }
                        other => panic!("{other:?}"),
                    };
                    record(&mut state, outcome, now);
                }
            }
            Next::WaitUntil(due) => now = due,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(state.targets[0].phase, TargetPhase::Copying);
    assert!((30..300).contains(&refused), "{refused} tries in an hour");
}

#[test]
fn a_source_that_cannot_be_closed_ends_stuck() {
    let mut state = fresh(1);
    granting::to_the_end(&mut state, |command| {
        matches!(command, Command::Source(SourceCommand::Revoke)).then(|| {
            let said = refusal("ModifySnapshotAttribute", "UnauthorizedOperation");
            closed(Closed {
                left: vec![("snap".to_owned(), said)],
                ..Closed::default()
            })
        })
    });
    assert!(
        state
            .sharing
            .stuck
            .as_ref()
            .unwrap()
            .contains("ModifySnapshotAttribute")
    );
    assert!(state.targets[0].shared, "whom to shut out is told by it");
    assert_eq!(state.targets[0].phase, TargetPhase::Succeeded);
}

mod closing;
mod granting;
mod publishing;
mod whole_image;

/// Only the opening makes the grant, so a grant that may be missing takes another opening.
#[test]
fn a_grant_with_a_passing_refusal_takes_another_opening() {
    let mut state = fresh(2);
    for target in &mut state.targets {
        target.phase = TargetPhase::Ready;
    }
    state.phase = Phase::Sharing;
    let opened = Shared::Opened(Opened {
        refused: vec![(1, refusal("CreateGrant", "ServiceUnavailable"))],
        ..Opened::default()
    });
    record(&mut state, shared(vec![0, 1], opened), 1000);
    assert_eq!(state.targets[1].phase, TargetPhase::Ready);
    let due = state.sharing.pace.due.max(1000);
    let Next::Do(commands) = next(&mut state, due, &Busy::default()) else {
        panic!("there is something to do");
    };
    let share = Command::Source(SourceCommand::Share { targets: vec![1] });
    assert!(commands.contains(&share), "{commands:?}");
}
