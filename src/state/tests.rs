use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::cause::Cause;
use crate::denial::{Denial, Policy};
use crate::ids::{AccountId, ImageId, KeyArn, KeyRef, Region, RoleName};
use crate::name::NameTemplate;
use crate::request::KeyAccess;

const PACE: Pace = Pace {
    due: 1_800_000_000,
    tries: 11,
};

/// Returns a state as large as that of a run with these numbers of targets and snapshots.
pub(crate) fn full(targets: usize, snapshots: usize) -> State {
    State {
        schema: SCHEMA,
        run: "0123456789abcdef".to_owned(),
        attempt: 3,
        started: 1_800_000_000,
        phase: Phase::Copying,
        source: SourceRef {
            image_id: ImageId::parse("ami-0a1b2c3d4e5f60718").unwrap(),
            region: Region::parse("us-west-2").unwrap(),
            account_id: AccountId::parse("111111111111").unwrap(),
            snapshots: (0..snapshots).map(snapshot).collect(),
            keys: vec![
                KeyArn::parse(
                    "arn:aws:kms:us-west-2:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab",
                )
                .unwrap(),
            ],
            managed_keys: Vec::new(),
            staged: Vec::new(),
        },
        order: order(),
        sharing: Sharing {
            at: 1_800_000_000,
            pace: PACE,
            closed: true,
            refused: None,
            unsure: true,
            staged: true,
            staged_at: 1_800_000_000,
            stuck: Some("x".repeat(600)),
        },
        execution: "x".repeat(80),
        event: "e".repeat(32),
        end_by: 1_800_000_000,
        part: true,
        unread: 11,
        contended: true,
        targets: (0..targets).map(|n| target(n, snapshots)).collect(),
    }
}

fn snapshot(n: usize) -> SnapshotId {
    SnapshotId::parse(&format!("snap-{n:017x}")).unwrap()
}

fn target(n: usize, snapshots: usize) -> TargetState {
    TargetState {
        account_id: AccountId::parse(&format!("{n:012}")).unwrap(),
        region: Region::parse("ap-southeast-2").unwrap(),
        kms_key_id: KeyRef::parse(
            "arn:aws:kms:ap-southeast-2:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        )
        .unwrap(),
        role_name: RoleName::parse("AmiCopyRole").unwrap(),
        external_id: None,
        member: false,
        phase: TargetPhase::Registering,
        pace: PACE,
        work: Work {
            progress: 100,
            since: 1_800_000_000,
            last_start: 1_800_000_000,
            again: 2,
            lost_images: 0,
            queued: true,
            doubled: true,
            copies: (0..snapshots).map(|n| Some(snapshot(n))).collect(),
        },
        shared: true,
        image_id: ImageId::parse("ami-0a1b2c3d4e5f60718").ok(),
        published: Published::default(),
        note: Some("n".repeat(NOTE_BYTES)),
        failure: None,
    }
}

fn order() -> Order {
    Order {
        name: NameTemplate::default(),
        tags: BTreeMap::new(),
        copy_tags: true,
        copies_image: false,
        key_access: KeyAccess::Grant,
        revoke_after_copy: true,
        copy_completion_minutes: Some(2880),
        serial: 1000,
        share: None,
        renewal: None,
        retag: None,
        ended_roles: Vec::new(),
        service_linked_roles: Vec::new(),
        create_service_linked_roles: false,
        audience: Vec::new(),
        publish: None,
        reencrypt_key: None,
        staging_keys: BTreeMap::new(),
        notes: Vec::new(),
    }
}

#[test]
fn a_state_survives_json() {
    let state = full(3, 2);
    let value = serde_json::to_value(&state).unwrap();
    assert_eq!(State::open(&value).unwrap(), state);
    assert_eq!(
        value["Targets"][0]["Work"]["Copies"],
        "00000000000000000,00000000000000001"
    );
}

/// A state in the released form of this schema must open in every later version.
#[test]
fn the_golden_state_of_the_schema_opens() {
    let golden: Value = serde_json::from_str(include_str!("golden-1.json")).unwrap();
    let state = State::open(&golden).unwrap();
    assert_eq!(serde_json::to_value(&state).unwrap(), golden);
}

#[test]
fn a_state_keeps_within_its_size() {
    for (targets, snapshots) in [(1, 1), (3, 26), (200, 26), (3, 60)] {
        let state = full(targets, snapshots);
        let (size, limit) = (
            serde_json::to_string(&state).unwrap().len(),
            BYTES_IN_ALL + BYTES_PER_TARGET * targets,
        );
        assert!(
            size <= limit,
            "{targets} targets, {snapshots} snapshots: {size} of {limit}"
        );
        let mut failed = state.clone();
        for target in &mut failed.targets {
            target.work.copies.clear();
            target.work.doubled = false;
            target.note = None;
            let reason = "\"\n".repeat(900);
            target.failure = Some(Failure::new(Cause::SnapshotNotVisible, &reason));
            target.pace = Pace::default();
            target.phase = TargetPhase::Stuck {
                why: "x".repeat(STUCK_BYTES),
                left: vec!["snap-00000000000000000".to_owned(); MOST_LEFT],
            };
        }
        assert!(
            state.largest_size() <= limit,
            "{} of {limit}",
            state.largest_size()
        );
        let size = serde_json::to_string(&failed).unwrap().len();
        assert!(
            size <= limit,
            "failed: {targets} targets, {snapshots} snapshots: {size} of {limit}"
        );
    }
}

#[test]
fn newer_and_broken_states_are_refused_by_name() {
    let whole = serde_json::to_value(full(2, 2)).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut broken = whole.clone();
        *broken.pointer_mut(pointer).unwrap() = value;
        State::open(&broken).unwrap_err()
    };
    for (pointer, value, said) in [
        (
            "/Schema",
            json!(SCHEMA + 1),
            "Schema 2 was written by a newer version",
        ),
        ("/Schema", json!(0), "Schema must be"),
        ("/Targets", json!([]), "Targets is empty"),
        ("/Targets/0/Pace/Due", json!(i64::MAX), "out of range"),
        ("/Started", json!(-1), "out of range"),
        ("/Run", json!("../../etc"), "Run is not a run ID"),
        (
            "/Targets/0/Work/Copies",
            json!("00000000000000000"),
            "Copies do not match",
        ),
        ("/Targets/0/Work/Copies", json!("zzz,"), "not a snapshot ID"),
        ("/Targets/0/AccountId", json!("1"), "12 digits"),
        ("/Targets/0/Phase", json!("Stuck"), "is not whole"),
        (
            "/Targets/0/Work",
            json!({"Left": []}),
            "unknown field `Left`",
        ),
        (
            "/Targets/0/Pace",
            json!({"Since": 1}),
            "unknown field `Since`",
        ),
        ("/Source/Snapshots", json!([]), "Source.Snapshots is empty"),
        ("/Source/Keys", json!(["*"]), "not the ARN of a KMS key"),
    ] {
        let error = with(pointer, value);
        assert_eq!(error.error_type(), "InvalidState");
        assert!(error.to_string().contains(said), "{error} lacks {said}");
    }
}

#[test]
fn shortening_cuts_between_characters_and_drops_controls() {
    assert_eq!(shorten("ab\ncd", 10), "ab cd");
    let cut = shorten(&"é".repeat(100), 31);
    assert!(cut.len() <= 31 && cut.ends_with('é'), "{cut}");
    let said =
        "AssumeRole of a role: AccessDenied: with an explicit deny in a service control policy";
    let cut = shorten(said, 70);
    assert!(cut.starts_with("AssumeRole of a role"), "{cut}");
    assert!(cut.ends_with("service control policy"), "{cut}");
}

/// AWS ends a denial with the kind of policy, and may add its ARN.
#[test]
fn the_policy_that_denied_is_read_from_a_failures_reason() {
    let arn =
        "arn:aws:organizations::987654321098:policy/o-qv5af4abcd/service_control_policy/p-2kgnabcd";
    let key = "arn:aws:kms:ap-southeast-1:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    for named in [String::new(), format!(": {arn}")] {
        let said = format!(
            "DescribeKey of {key} in 222222222222 ap-southeast-1: AccessDeniedException (request \
             ID b61bae2c-1c5d-492e-8b0d-6bb456688fac): not authorized to perform: kms:DescribeKey \
             on resource: {key} with an explicit deny in a service control policy{named}"
        );
        let failure = Failure::new(Cause::AccessDenied, &said);
        let denial = Denial::read(&failure.reason).expect("a denial");
        assert_eq!(denial.by, Policy::ServiceControl, "{}", failure.reason);
        assert!(denial.explicit, "{}", failure.reason);
        assert!(failure.reason.contains("AccessDeniedException"));
    }
}

/// AWS's message may be in any script, and a cut may come at any byte.
#[test]
fn multibyte_text_is_shortened_to_every_length() {
    for word in ["é", "日本", "🦀x", "a\u{301}ß"] {
        let text = word.repeat(20);
        for bytes in 0..=text.len() + 1 {
            let cut = shorten(&text, bytes);
            assert!(cut.len() <= bytes.max('…'.len_utf8()), "{cut} of {bytes}");
            let (head, tail) = cut.split_once('…').unwrap_or((&cut, ""));
            assert!(
                text.starts_with(head) && text.ends_with(tail),
                "{cut} of {bytes}"
            );
            let line = crate::error::on_one_line(&text, bytes);
            assert!(line.len() <= bytes + '…'.len_utf8(), "{line} of {bytes}");
        }
    }
}
