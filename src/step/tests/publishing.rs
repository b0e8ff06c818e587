//! Publishing comes last, and the image stays however it ends.

use super::granting::to_the_end;
use super::*;
use crate::state::{PublishedParameter, SHOWN_WITHIN};

fn publishing(more: &serde_json::Value) -> State {
    let request = json!({
        "SourceImageId": "ami-0a1b2c3d4e5f60718",
        "Targets": [{"AccountId": "222222222222"}],
        "Publish": more,
    });
    let defaults = Defaults {
        region: Region::parse("us-west-2").unwrap(),
        account: None,
    };
    let request = Request::parse(&request, &defaults).unwrap();
    distribute(&request, &example(), "0123456789abcdef", NOW).unwrap()
}

fn parameter() -> State {
    publishing(&json!({"Parameter": "/golden/{name}"}))
}

fn tested() -> State {
    publishing(&json!({"Parameter": "/golden/web", "LaunchTest": {}}))
}

fn outcome(rest: Rest) -> Outcome {
    let publication = Publication {
        done: Published::default(),
        notes: Vec::new(),
        rest,
    };
    Outcome::Target(0, TargetOutcome::Publish(publication))
}

fn refusal(code: &str) -> Refusal {
    let at = Place {
        account: "222222222222".to_owned(),
        region: "us-west-2".to_owned(),
    };
    Refusal::ours("PutParameter", &at, "/golden/web", code, "said")
}

fn failed_standing(state: &State, cause: Cause) {
    let target = &state.targets[0];
    assert_eq!(target.phase, TargetPhase::Failed);
    assert_eq!(target.failure.as_ref().unwrap().cause, cause);
    assert!(target.image_id.is_some() && target.stands());
}

#[test]
fn publishing_comes_after_the_image_and_before_the_closing() {
    let mut state = parameter();
    let (way, _) = to_the_end(&mut state, |_| None);
    assert_eq!(
        way,
        [
            "Look", "Share", "Start", "Poll", "Register", "Check", "Tidy", "Publish", "Revoke",
            "Tidy"
        ]
    );
    assert_eq!(state.targets[0].phase, TargetPhase::Succeeded);
}

#[test]
fn an_existing_image_is_published_without_opening_the_source() {
    let mut state = parameter();
    let (way, _) = to_the_end(&mut state, |command| match command {
        Command::Target(0, TargetCommand::Look) => {
            let seen = looked(vec![Vec::new(), Vec::new()], Some("ami-00000000000000001"));
            Some(Outcome::Target(0, seen))
        }
        _ => None,
    });
    assert_eq!(way[..4], ["Look", "Check", "Tidy", "Publish"]);
    assert!(!way.contains(&"Share"));
}

#[test]
fn a_refused_publication_keeps_the_image_and_what_was_published() {
    for (code, tries) in [
        ("ParameterLimitExceeded", 1),
        ("AccessDeniedException", 5),
        ("ThrottlingException", 11),
    ] {
        let mut state = parameter();
        let (way, _) = to_the_end(&mut state, |command| {
            (command.name() == "Publish").then(|| {
                let done = Published {
                    launched: true,
                    ..Published::default()
                };
                let publication = Publication {
                    done,
                    notes: Vec::new(),
                    rest: Rest::Refused(refusal(code)),
                };
                Outcome::Target(0, TargetOutcome::Publish(publication))
            })
        });
        failed_standing(&state, Cause::NotPublished);
        assert!(state.targets[0].published.launched, "{code}");
        let count = way.iter().filter(|name| **name == "Publish").count();
        assert_eq!(count, tries, "{code}");
    }
}

#[test]
fn a_parameter_that_does_not_show_yet_is_waited_for() {
    let mut state = parameter();
    let mut looks = 0;
    to_the_end(&mut state, |command| {
        let asked = command.name() == "Publish";
        looks += usize::from(asked);
        (asked && looks < 5).then(|| outcome(Rest::NotYet("not yet".to_owned())))
    });
    assert_eq!(state.targets[0].phase, TargetPhase::Succeeded);
    let mut state = parameter();
    to_the_end(&mut state, |command| {
        let asked = command.name() == "Publish";
        asked.then(|| outcome(Rest::NotYet("never".to_owned())))
    });
    failed_standing(&state, Cause::NotPublished);
    assert_eq!(state.targets[0].failure.as_ref().unwrap().reason, "never");
}

#[test]
fn a_failed_launch_test_publishes_nothing_and_keeps_the_image() {
    let mut state = tested();
    let (way, _) = to_the_end(&mut state, |command| {
        let asked = command.name() == "Publish";
        asked.then(|| outcome(Rest::NotLaunched("no boot".to_owned())))
    });
    failed_standing(&state, Cause::LaunchTestFailed);
    assert!(!way.contains(&"EndTest"), "the instance is terminated");
}

/// A launch test takes minutes, so its looks are no failures.
#[test]
fn a_launch_test_is_looked_at_as_often_as_it_takes() {
    let mut state = tested();
    let mut looks = 0;
    let (_, now) = to_the_end(&mut state, |command| {
        let asked = command.name() == "Publish";
        looks += usize::from(asked);
        (asked && looks < 40).then(|| outcome(Rest::Launching { seconds: 15 }))
    });
    assert_eq!(state.targets[0].phase, TargetPhase::Succeeded);
    assert!(now >= NOW + 39 * 15);
}

#[test]
fn a_launch_test_given_up_terminates_its_instance_also_if_it_shows_late() {
    let mut state = tested();
    state.targets[0].phase = TargetPhase::Publishing;
    state.targets[0].image_id = ImageId::parse("ami-00000000000000001").ok();
    state.phase = Phase::Copying;
    state.give_up(Cause::TooSlow, "no time");
    assert_eq!(state.targets[0].phase, TargetPhase::EndingTest);
    let (way, now) = to_the_end(&mut state, |_| None);
    assert_eq!(way[..2], ["EndTest", "EndTest"]);
    assert!(now >= NOW + SHOWN_WITHIN);
    failed_standing(&state, Cause::NotPublished);
}

#[test]
fn a_launch_test_that_a_later_event_overtakes_terminates_its_instance() {
    let mut state = tested();
    state.targets[0].phase = TargetPhase::Publishing;
    state.targets[0].image_id = ImageId::parse("ami-00000000000000001").ok();
    state.phase = Phase::Copying;
    overtaken(&mut state, &std::collections::BTreeSet::new());
    assert_eq!(state.targets[0].phase, TargetPhase::EndingTest);
    to_the_end(&mut state, |_| None);
    failed_standing(&state, Cause::Overtaken);
}

#[test]
fn a_published_target_keeps_within_its_size() {
    let mut state = tested();
    let largest = state.largest_size();
    to_the_end(&mut state, |command| {
        (command.name() == "Publish").then(|| {
            let parameter = PublishedParameter {
                version: 100,
                former: ImageId::parse("ami-0a1b2c3d4e5f60718").ok(),
            };
            let done = Published {
                launched: true,
                launching: false,
                parameter: Some(parameter),
                template: None,
            };
            let publication = Publication {
                done,
                notes: vec!["n".repeat(400)],
                rest: Rest::Nothing,
            };
            Outcome::Target(0, TargetOutcome::Publish(publication))
        })
    });
    let size = serde_json::to_string(&state).unwrap().len();
    assert!(size <= largest, "{size} of {largest}");
}
