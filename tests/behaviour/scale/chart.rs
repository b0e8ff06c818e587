//! One run by time: when each part of it begins and ends, as the calls to AWS show.

use std::time::SystemTime;

use amiferry_sandbox::{Call, Sandbox};
use serde_json::{Value, json};

use super::drivers::{Driver, Meter};
use super::{places, world_of};
use crate::support::*;

const TARGETS: usize = 6;
const SNAPSHOTS: usize = 3;

/// Plays a run by the state machine, and returns its bars: for each target and the source, their
/// names and their seconds from the beginning.
pub async fn of_a_run() -> Value {
    let sandbox = Sandbox::new(world_of(TARGETS, SNAPSHOTS));
    let places = places(TARGETS);
    let reply = Driver::Machine
        .drive(&sandbox, &distribute(&places), &Meter::default())
        .await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let ledger = sandbox.ledger();
    let begun = ledger[0].at;
    let seconds = |at: SystemTime| {
        let since = at.duration_since(begun).unwrap_or_default();
        (since.as_secs_f64() * 10.0).round() / 10.0
    };
    let times = |what: &dyn Fn(&Call) -> bool| {
        let calls = ledger.iter().filter(|call| what(call));
        calls.map(|call| seconds(call.at)).collect::<Vec<f64>>()
    };
    let opens = ["ModifySnapshotAttribute", "CreateGrant", "RevokeGrant"];
    let opening = times(&|call| opens.contains(&&*call.operation));
    let mut rows = vec![json!({
        "name": "source open",
        "from": opening.first(),
        "to": opening.last(),
    })];
    for (account, region) in places {
        let here = |call: &Call| call.account == account && call.region == region;
        let of = |operation: &str| times(&|call| here(call) && call.operation == operation);
        let ends: Vec<f64> = sandbox
            .snapshots(account, region)
            .iter()
            .map(|copy| seconds(copy.start_time + super::copying(copy.volume_size)))
            .collect();
        let looks = of("DescribeSnapshots");
        rows.push(json!({
            "name": format!("{account} {region}"),
            "from": of("CopySnapshot").first(),
            "to": ends.iter().copied().fold(0.0, f64::max),
            "registered": of("RegisterImage").first(),
            "looks": looks,
            "done": times(&here).last(),
        }));
    }
    json!({
        "targets": TARGETS,
        "snapshots": SNAPSHOTS,
        "driver": Driver::Machine.name(),
        "rows": rows,
    })
}
