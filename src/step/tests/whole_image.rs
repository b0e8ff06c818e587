//! An image that is copied as a whole has no registration, and each lost one another token.

use super::granting::to_the_end;
use super::*;
use crate::command::image_token;

fn whole() -> State {
    let mut state = fresh(1);
    state.order.copies_image = true;
    state
}

fn polled(progress: ImageProgress) -> Outcome {
    Outcome::Target(0, TargetOutcome::PollImage(progress))
}

/// Returns a state whose image is being copied.
fn copying() -> State {
    let mut state = whole();
    for _ in 0..3 {
        turn(&mut state, NOW, works);
    }
    assert!(state.targets[0].image_id.is_some());
    state
}

#[test]
fn an_image_is_copied_polled_and_checked() {
    let (way, _) = to_the_end(&mut whole(), |_| None);
    assert_eq!(
        way[..5],
        ["Look", "Share", "CopyImage", "PollImage", "Check"]
    );
    assert!(
        !way.contains(&"Register") && !way.contains(&"Start"),
        "{way:?}"
    );
}

#[test]
fn the_token_is_the_same_until_an_image_is_lost() {
    let mut state = copying();
    let token = |state: &State| image_token(state.run_ref(), &state.targets[0]);
    let before = token(&state);
    record(&mut state, polled(ImageProgress::Pending(40)), NOW + 10);
    assert_eq!(state.targets[0].work.progress, 40);
    assert_eq!(token(&state), before);
    record(
        &mut state,
        polled(ImageProgress::Failed("Internal error".to_owned())),
        NOW + 20,
    );
    assert_eq!(state.targets[0].phase, TargetPhase::Looking);
    assert_eq!(state.targets[0].image_id, None);
    assert_ne!(token(&state), before);
}

#[test]
fn an_image_that_does_not_show_is_waited_for_and_then_copied_anew() {
    let mut state = copying();
    record(&mut state, polled(ImageProgress::Absent), NOW + 60);
    assert_eq!(state.targets[0].phase, TargetPhase::Copying);
    assert!(state.targets[0].image_id.is_some());
    record(&mut state, polled(ImageProgress::Absent), NOW + 600);
    assert_eq!(state.targets[0].phase, TargetPhase::Looking);
    assert_eq!(state.targets[0].work.lost_images, 1);
}

#[test]
fn an_unfinished_image_that_a_look_finds_is_polled_and_not_checked() {
    let mut state = whole();
    let found = |unfinished| {
        Outcome::Target(
            0,
            TargetOutcome::Look(Looked {
                unfinished,
                key: key(),
                image: ImageId::parse("ami-00000000000000002").ok(),
                copies: vec![Vec::new(), Vec::new()],
            }),
        )
    };
    record(&mut state, found(true), NOW);
    assert_eq!(state.targets[0].phase, TargetPhase::Copying);
    record(&mut state, found(false), NOW);
    assert_eq!(state.targets[0].phase, TargetPhase::Checking);
}

#[test]
fn an_older_image_counts_in_the_place_of_this_one() {
    let mut state = copying();
    record(&mut state, polled(ImageProgress::Available), NOW + 100);
    let older = ImageId::parse("ami-00000000000000003").unwrap();
    for (unfinished, phase) in [(false, TargetPhase::Checking), (true, TargetPhase::Copying)] {
        let checked = Checked::Older {
            image: older.clone(),
            unfinished,
        };
        let checked = Outcome::Target(0, TargetOutcome::Check(Ok(checked)));
        record(&mut state, checked, NOW + 200);
        assert_eq!(state.targets[0].phase, phase);
        assert_eq!(state.targets[0].image_id, Some(older.clone()));
        assert!(state.targets[0].work.doubled);
    }
}
