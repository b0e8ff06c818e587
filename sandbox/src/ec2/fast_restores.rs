//! EnableFastSnapshotRestores, DisableFastSnapshotRestores and DescribeFastSnapshotRestores.
//!
//! Source: model; EBS guide, fast snapshot restore. A snapshot that is not there is an unsuccessful
//! item of an answer with status 200; its code is unproved.

use std::collections::BTreeMap;

use super::filters::Filters;
use super::pages::Page;
use super::permit::{self, Facts};
use super::{Ask, visibility};
use crate::aws::{Aws, FastRestoreKey, LiveFastRestore};
use crate::model::Snapshot;
use crate::refusals::{self, Refused};
use crate::rules::{ids, zones};
use crate::wire::time;
use crate::wire::xml::Xml;

const FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "owner-id",
    "snapshot-id",
    "state",
];

/// The zones that a call failed for, with the reason, by snapshot.
type Unsuccessful = BTreeMap<String, Vec<(String, Refused)>>;

pub(super) fn enable(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let (snapshots, zones) = wanted(aws, ask)?;
    for id in &snapshots {
        if visible(aws, ask, id).is_some_and(|snapshot| snapshot.state != "completed") {
            let what = "fast restores of a snapshot that is not completed";
            return Err(refusals::NOT_IMPLEMENTED.with(&[what]));
        }
    }
    let mut successful = Vec::new();
    let mut unsuccessful = Unsuccessful::new();
    for (id, zone) in each(&snapshots, &zones) {
        let Some(snapshot) = visible(aws, ask, &id) else {
            let no = refusals::SNAPSHOT_NOT_FOUND.with(&[&id]);
            unsuccessful.entry(id).or_default().push((zone, no));
            continue;
        };
        let live = LiveFastRestore {
            region: ask.region().to_owned(),
            enabled: aws.now,
            size: snapshot.volume_size,
            disabled: None,
        };
        let key = (ask.account().to_owned(), id, zone);
        let former = aws.fast_restores.get(&key);
        if former.is_none_or(|former| former.disabled.is_some()) {
            aws.fast_restores.insert(key.clone(), live);
        }
        successful.push(key);
    }
    Ok(answer(aws, ask, &successful, &unsuccessful))
}

pub(super) fn disable(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let (snapshots, zones) = wanted(aws, ask)?;
    let mut successful = Vec::new();
    let mut unsuccessful = Unsuccessful::new();
    for (id, zone) in each(&snapshots, &zones) {
        let now = aws.now;
        let key = (ask.account().to_owned(), id.clone(), zone.clone());
        match aws.fast_restores.get_mut(&key) {
            Some(live) => {
                live.disabled.get_or_insert(now);
                successful.push(key);
            }
            None => {
                let no = refusals::FAST_RESTORE_NOT_ENABLED.with(&[&id, &zone]);
                unsuccessful.entry(id).or_default().push((zone, no));
            }
        }
    }
    Ok(answer(aws, ask, &successful, &unsuccessful))
}

pub(super) fn describe(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let page = Page::read(aws, ask, "", 1)?;
    let filters = Filters::read(ask.query, |name| FILTERS.contains(&name))?;
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    let found = aws.fast_restores.iter().filter(|(key, live)| {
        key.0 == ask.account()
            && live.region == ask.region()
            && visible(aws, ask, &key.1).is_some()
            && filters.admit(Vec::new, |name| vec![fact(aws, key, live, name)])
    });
    let (found, token) = page.cut(found.collect());
    let mut xml = Xml::new();
    xml.list("fastSnapshotRestoreSet", found, |xml, (key, live)| {
        write(xml, aws, key, live);
    });
    xml.maybe("nextToken", token.as_deref());
    Ok(xml.finish())
}

/// Checks a call that changes fast restores, and returns the snapshots and zones that it names.
fn wanted(aws: &Aws, ask: Ask<'_>) -> Result<(Vec<String>, Vec<String>), Refused> {
    let snapshots = ask.query.list("SourceSnapshotId");
    if snapshots.is_empty() {
        return Err(refusals::MISSING_PARAMETER.with(&["SourceSnapshotId"]));
    }
    snapshots.iter().try_for_each(|id| ids::snapshot(id))?;
    let (named, by_id) = ("AvailabilityZone", "AvailabilityZoneId");
    let mut zones = ask.query.list(named);
    let zone_ids = ask.query.list(by_id);
    match (zones.is_empty(), zone_ids.is_empty()) {
        (true, true) => return Err(refusals::MISSING_PARAMETER.with(&[named])),
        (false, false) => return Err(refusals::ZONE_TWO_FORMS.with(&[])),
        _ => {}
    }
    for zone in &zones {
        zones::id_of(ask.region(), zone).ok_or_else(|| ask.query.bad(named, zone))?;
    }
    for id in &zone_ids {
        let zone = zones::of_id(ask.region(), id);
        zones.push(zone.ok_or_else(|| ask.query.bad(by_id, id))?);
    }
    for id in &snapshots {
        let snapshot = aws.snapshots.get(id).map(|live| &live.view);
        let own = snapshot.filter(|snapshot| snapshot.owner_id == ask.account());
        let facts = Facts {
            resource_tags: own.map(|snapshot| &snapshot.tags),
            owner: snapshot.map(|snapshot| snapshot.owner_id.as_str()),
            ..Facts::default()
        };
        permit::action(aws, ask, &permit::snapshot_arn(ask.region(), id), &facts)?;
    }
    ask.dry_run()?;
    Ok((snapshots, zones))
}

fn each(snapshots: &[String], zones: &[String]) -> Vec<(String, String)> {
    let pairs = snapshots
        .iter()
        .flat_map(|id| zones.iter().map(|zone| (id.clone(), zone.clone())));
    pairs.collect()
}

fn visible<'a>(aws: &'a Aws, ask: Ask<'_>, id: &str) -> Option<&'a Snapshot> {
    let snapshot = aws.snapshots.get(id).map(|live| &live.view);
    snapshot.filter(|snapshot| {
        snapshot.region == ask.region() && visibility::may_restore(aws, snapshot, ask.account())
    })
}

fn fact(aws: &Aws, key: &FastRestoreKey, live: &LiveFastRestore, filter: &str) -> String {
    let (owner, snapshot, zone) = key;
    match filter {
        "availability-zone" => zone.clone(),
        "availability-zone-id" => zones::id_of(&live.region, zone).unwrap_or_default(),
        "owner-id" => owner.clone(),
        "snapshot-id" => snapshot.clone(),
        _ => live.state(aws).to_owned(),
    }
}

fn answer(
    aws: &Aws,
    ask: Ask<'_>,
    successful: &[FastRestoreKey],
    unsuccessful: &Unsuccessful,
) -> String {
    let mut xml = Xml::new();
    let done = successful
        .iter()
        .filter_map(|key| Some((key, aws.fast_restores.get(key)?)));
    xml.list("successful", done, |xml, (key, live)| {
        write(xml, aws, key, live);
    });
    xml.list("unsuccessful", unsuccessful, |xml, (id, errors)| {
        xml.text("snapshotId", id);
        xml.list(
            "fastSnapshotRestoreStateErrorSet",
            errors,
            |xml, (zone, no)| {
                xml.text("availabilityZone", zone);
                let zone_id = zones::id_of(ask.region(), zone);
                xml.maybe("availabilityZoneId", zone_id.as_deref());
                xml.element("error", |xml| {
                    xml.text("code", no.refusal.code)
                        .text("message", &no.message);
                });
            },
        );
    });
    xml.finish()
}

fn write(xml: &mut Xml, aws: &Aws, key: &FastRestoreKey, live: &LiveFastRestore) {
    let (owner, snapshot, zone) = key;
    let state = live.state(aws);
    let reason = match state {
        "enabling" | "disabling" => "Client.UserInitiated",
        _ => "Client.UserInitiated - Lifecycle state transition",
    };
    let zone_id = zones::id_of(&live.region, zone);
    xml.text("snapshotId", snapshot)
        .text("availabilityZone", zone)
        .maybe("availabilityZoneId", zone_id.as_deref())
        .text("state", state)
        .text("stateTransitionReason", reason)
        .text("ownerId", owner);
    for (state, at) in live.states(aws) {
        xml.text(&format!("{state}Time"), time::iso(at));
    }
}
