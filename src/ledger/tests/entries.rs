//! Tests of single decisions.

use super::*;
use crate::ledger::{Earlier, FRESH, Run};

const NOW: i64 = 1_800_000_000;

fn these(names: &[&str]) -> Principals {
    names.iter().copied().collect()
}

fn empty() -> Record {
    Record::new("snap-0123456789abcdef0", "us-west-2", "111111111111")
}

fn held(
    record: &Record,
    attempt: &Attempt,
    kind: Kind,
    who: &Principals,
    there: &Principals,
) -> Record {
    match record.open(attempt, kind, who, there, NOW) {
        Opening::Hold(new) => *new,
        other => panic!("not held: {other:?}"),
    }
}

fn closed(record: &Record, attempt: &Attempt, who: &Principals) -> Record {
    match record.close(attempt, who, "a process", false, NOW) {
        Close::Announce(new) => new.bury(attempt, NOW),
        Close::Nothing => panic!("nothing to close"),
    }
}

#[test]
fn a_preexisting_permission_survives_two_runs_in_a_row() {
    let (one, two) = (Attempt::new("one", 1), Attempt::new("two", 1));
    let both = these(&["222222222222", "333333333333"]);
    let there = these(&["333333333333"]);
    let record = held(&empty(), &one, Kind::Copy, &both, &there);
    let record = closed(&record, &one, &both);
    let record = held(&record, &two, Kind::Copy, &both, &there);
    let Close::Announce(announced) = record.close(&two, &both, "a process", false, NOW) else {
        panic!("nothing to close");
    };
    assert_eq!(announced.to_take_away(&two), these(&["222222222222"]));
}

#[test]
fn an_account_that_two_runs_hold_is_closed_by_the_last() {
    let (one, two) = (Attempt::new("one", 1), Attempt::new("two", 1));
    let who = these(&["222222222222"]);
    let record = held(&empty(), &one, Kind::Copy, &who, &Principals::default());
    let record = held(&record, &two, Kind::Share, &who, &who);
    let Close::Announce(first) = record.close(&one, &who, "a process", false, NOW) else {
        panic!("nothing to close");
    };
    assert!(first.to_take_away(&one).is_empty());
    let Close::Announce(last) = first
        .bury(&one, NOW)
        .close(&two, &who, "a process", false, NOW)
    else {
        panic!("nothing to close");
    };
    assert_eq!(last.to_take_away(&two), who);
}

#[test]
fn a_lasting_share_takes_over_holdings_of_its_earlier_attempt() {
    let (first, second) = (Attempt::new("run", 1), Attempt::new("run", 2));
    let one = these(&["222222222222"]);
    let both = these(&["222222222222", "333333333333"]);
    let record = held(&empty(), &first, Kind::Share, &one, &Principals::default());
    let record = held(&record, &second, Kind::Share, &both, &Principals::default());
    assert_eq!(record.holders.len(), 1);
    assert!(
        record.holds(&first, &one),
        "a later attempt of its run holds it"
    );
    assert!(record.holds(&second, &both));
}

#[test]
fn an_unshared_account_can_be_shared_with_again_at_once() {
    let (first, second) = (Attempt::new("run", 1), Attempt::new("run", 2));
    let one = these(&["222222222222"]);
    let record = held(&empty(), &first, Kind::Share, &one, &Principals::default());
    let record = closed(&record, &first, &one);
    assert_eq!(
        record.open(&first, Kind::Share, &one, &one, NOW),
        Opening::Over
    );
    let record = held(&record, &second, Kind::Share, &one, &one);
    assert!(
        !record.before.contains("222222222222"),
        "a run may have given it"
    );
}

#[test]
fn a_permission_found_soon_after_a_closing_is_noted_as_unclear() {
    let (first, second) = (Attempt::new("one", 1), Attempt::new("two", 1));
    let one = these(&["222222222222"]);
    let nobody = Principals::default();
    let record = held(&empty(), &first, Kind::Copy, &one, &nobody);
    let record = closed(&record, &first, &one);
    let found = held(&record, &second, Kind::Copy, &one, &one);
    assert_eq!((&found.unclear, &found.before), (&one, &nobody));
    let absent = held(&record, &second, Kind::Copy, &one, &nobody);
    assert_eq!(absent.unclear, nobody);
    let again = closed(&found, &second, &one);
    assert_eq!(again.unclear, one, "a second closing may still name it");
}

#[test]
fn a_closing_left_half_way_is_finished_after_fifteen_minutes() {
    let (one, two) = (Attempt::new("one", 1), Attempt::new("two", 1));
    let who = these(&["222222222222"]);
    let record = held(&empty(), &one, Kind::Copy, &who, &Principals::default());
    let Close::Announce(half) = record.close(&one, &who, "a process", false, NOW) else {
        panic!("nothing to close");
    };
    let open = |now| half.open(&two, Kind::Copy, &who, &who, now);
    assert!(matches!(open(NOW + LONGEST_LIFE - 1), Opening::Wait { .. }));
    assert_eq!(open(NOW + LONGEST_LIFE), Opening::Finish(one.clone()));
    assert_eq!(half.half_closed(NOW + LONGEST_LIFE), [one]);
}

#[test]
fn only_a_second_process_makes_a_closing_contested() {
    let one = Attempt::new("one", 1);
    let who = these(&["222222222222"]);
    let record = held(&empty(), &one, Kind::Copy, &who, &Principals::default());
    let Close::Announce(first) = record.close(&one, &who, "a process", false, NOW) else {
        panic!("nothing to close");
    };
    for (by, later, contested) in [
        ("a process", 0, false),
        ("another", LONGEST_LIFE - 1, true),
        // The first process is dead by then.
        ("another", LONGEST_LIFE, false),
    ] {
        let Close::Announce(again) = first.close(&one, &who, by, false, NOW + later) else {
            panic!("it stands in Closing");
        };
        assert_eq!(
            again.closing[&one].contested, contested,
            "{by} {later} s later"
        );
    }
}

/// A lasting share ends for one of two principals. Its process dies, and another finishes the
/// closing.
#[test]
fn finishing_a_closing_takes_away_only_what_was_announced() {
    let one = Attempt::new("one", 1);
    let both = these(&["222222222222", "333333333333"]);
    let gone = these(&["333333333333"]);
    let record = held(&empty(), &one, Kind::Share, &both, &Principals::default());
    let Close::Announce(half) = record.close(&one, &gone, "a process", false, NOW) else {
        panic!("nothing to close");
    };
    let nobody = Principals::default();
    let Close::Announce(finished) = half.close(&one, &nobody, "another", false, NOW) else {
        panic!("it stands in Closing");
    };
    assert_eq!(finished.to_take_away(&one), gone);
    assert!(finished.holds(&one, &these(&["222222222222"])));
}

#[test]
fn a_hold_without_principals_names_its_attempt_until_verified() {
    let one = Attempt::new("one", 1);
    let record = empty().hold_nothing(&one, NOW).expect("it holds");
    assert_eq!(record.hold_nothing(&one, NOW), None);
    let record = closed(&record, &one, &Principals::default());
    assert!(!record.is_empty());
    let announced = record
        .verify(&one, "sweeper", NOW + VERIFIED_AFTER)
        .expect("it is time");
    assert!(announced.forget(&one).is_empty());
}

#[test]
fn a_preexisting_permission_that_went_is_closed_with_the_last_holder() {
    let (one, two) = (Attempt::new("one", 1), Attempt::new("two", 1));
    let who = these(&["222222222222"]);
    let record = held(&empty(), &one, Kind::Copy, &who, &who);
    let open =
        |later: i64| match record.open(&two, Kind::Copy, &who, &Principals::default(), NOW + later)
        {
            Opening::Hold(new) => Ok(new.before),
            Opening::Wait { until, .. } => Err(until),
            other => panic!("not held: {other:?}"),
        };
    // The read may be older than the hold that saw the permission.
    assert_eq!(open(FRESH), Err(NOW + FRESH + 1));
    assert_eq!(open(FRESH + 1), Ok(Principals::default()));
}

#[test]
fn a_record_is_empty_once_its_only_attempt_is_verified() {
    let one = Attempt::new("one", 1);
    let who = these(&[
        "222222222222",
        "arn:aws:organizations::111111111111:organization/o-a1b2c3d4e5",
    ]);
    let record = held(&empty(), &one, Kind::Share, &who, &who);
    let record = closed(&record, &one, &who);
    assert_eq!(
        record.verify(&one, "sweeper", NOW + VERIFIED_AFTER - 1),
        None
    );
    let announced = record
        .verify(&one, "sweeper", NOW + VERIFIED_AFTER)
        .expect("it is time");
    assert!(announced.closing.contains_key(&one));
    let forgotten = announced.forget(&one);
    assert!(forgotten.is_empty() && forgotten.before.is_empty());
    assert!(forgotten.revision > record.revision);
}

#[test]
fn a_record_survives_json_with_readable_times() {
    let one = Attempt::new("0123456789abcdef", 3);
    let who = these(&[
        "222222222222",
        "arn:aws:organizations::111111111111:ou/o-a1b2c3d4e5/ou-a1b2-c3d4e5f6",
    ]);
    let record = held(&empty(), &one, Kind::Share, &who, &Principals::default());
    let text = serde_json::to_value(&record).expect("JSON");
    let holding = &text["Holders"]["0123456789abcdef.3"];
    assert_eq!(holding["Accounts"], serde_json::json!(["222222222222"]));
    assert_eq!(holding["Since"], "2027-01-15T08:00:00Z");
    let read: Record = serde_json::from_value(text).expect("a record");
    assert_eq!(read, record);
}

#[test]
fn a_grant_held_by_a_later_attempt_is_not_revoked() {
    let (first, second) = (Attempt::new("run", 1), Attempt::new("run", 2));
    let who = these(&["222222222222"]);
    let record = held(&empty(), &first, Kind::Copy, &who, &Principals::default());
    let record = held(&record, &second, Kind::Copy, &who, &who);
    let Close::Announce(announced) = record.close(&first, &who, "a process", false, NOW) else {
        panic!("nothing to close");
    };
    assert!(announced.to_take_away_of_run(&first).is_empty());
}

#[test]
fn an_earlier_attempt_ends_with_the_live_one_only_if_closing() {
    let (first, second) = (Attempt::new("run", 1), Attempt::new("run", 2));
    let mut run = Run::unknown(&second, "111111111111", "us-west-2");
    for closing in [false, true] {
        run.earlier.insert(
            1,
            Earlier {
                closing,
                ..Earlier::default()
            },
        );
        assert_eq!(run.closes(&second, &first), closing);
    }
}
