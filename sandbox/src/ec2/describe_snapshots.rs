//! DescribeSnapshots: the snapshots that an account may see, with their current progress.

use super::filters::Filters;
use super::pages::Page;
use super::permit::{self, Facts};
use super::{Ask, tags, visibility};
use crate::aws::{Aws, LiveSnapshot};
use crate::model::Snapshot;
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::wire::time;
use crate::wire::xml::Xml;

/// The least `MaxResults` (model).
const LEAST_RESULTS: usize = 5;

pub(super) fn perform(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let page = Page::read(aws, ask, "SnapshotId", LEAST_RESULTS)?;
    let filters = Filters::read(ask.query, |name| FILTERS.contains(&name))?;
    let wanted = ask.query.list("SnapshotId");
    for id in &wanted {
        ids::snapshot(id)?;
    }
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    for id in &wanted {
        let snapshot = named(aws, id);
        if !snapshot.is_some_and(|snapshot| is_visible(aws, ask, snapshot)) {
            return Err(refusals::SNAPSHOT_NOT_FOUND.with(&[id]));
        }
    }
    let owners = ask.query.list("Owner");
    let restorers = ask.query.list("RestorableBy");
    let candidates: Vec<&LiveSnapshot> = if wanted.is_empty() {
        let own = (owners[..] == ["self"]).then(|| ask.account());
        aws.described_snapshots(false, own).collect()
    } else {
        wanted.iter().filter_map(|id| named(aws, id)).collect()
    };
    let visible = candidates.into_iter().filter(|snapshot| {
        let view = &snapshot.view;
        is_visible(aws, ask, snapshot)
            && (owners.is_empty() || owners.iter().any(|owner| is_owner(owner, view, ask)))
            && (restorers.is_empty() || restorers.iter().any(|who| may_restore(who, view, ask)))
            && filters.admit(
                || shown_tags(aws, ask, snapshot),
                |name| facts(&aws.with_progress(snapshot), name),
            )
    });
    let (snapshots, token) = page.cut(visible.collect());
    let mut xml = Xml::new();
    xml.list("snapshotSet", snapshots, |xml, snapshot| {
        write(xml, aws, ask, snapshot);
    });
    xml.maybe("nextToken", token.as_deref());
    Ok(xml.finish())
}

fn named<'a>(aws: &'a Aws, id: &str) -> Option<&'a LiveSnapshot> {
    aws.described_snapshots(true, None)
        .find(|snapshot| snapshot.view.snapshot_id == id)
}

fn is_visible(aws: &Aws, ask: Ask<'_>, snapshot: &LiveSnapshot) -> bool {
    snapshot.view.region == ask.region()
        && visibility::may_restore(aws, &snapshot.view, ask.account())
}

fn is_owner(owner: &str, snapshot: &Snapshot, ask: Ask<'_>) -> bool {
    snapshot.owner_id == owner || (owner == "self" && snapshot.owner_id == ask.account())
}

fn may_restore(who: &str, snapshot: &Snapshot, ask: Ask<'_>) -> bool {
    let permitted = &snapshot.create_volume_permissions;
    match who {
        "all" => snapshot.public,
        "self" => permitted.contains(ask.account()),
        account => permitted.contains(account),
    }
}

/// Returns the tags that the caller sees. Only the owner sees tags.
fn shown_tags<'a>(aws: &Aws, ask: Ask<'_>, snapshot: &'a LiveSnapshot) -> Vec<(&'a str, &'a str)> {
    if snapshot.view.owner_id != ask.account() {
        return Vec::new();
    }
    let shown = &snapshot.shown.tags;
    let tags = shown.shown(&snapshot.view.tags, aws.now).iter();
    tags.map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

const FILTERS: &[&str] = &[
    "completion-duration-minutes",
    "description",
    "encrypted",
    "owner-id",
    "progress",
    "snapshot-id",
    "start-time",
    "status",
    "storage-tier",
    "transfer-type",
    "volume-id",
    "volume-size",
];

fn facts(snapshot: &Snapshot, filter: &str) -> Vec<String> {
    match filter {
        "completion-duration-minutes" => snapshot
            .completion_duration_minutes
            .iter()
            .map(u32::to_string)
            .collect(),
        "description" => vec![snapshot.description.clone()],
        "encrypted" => vec![snapshot.encrypted.to_string()],
        "owner-id" => vec![snapshot.owner_id.clone()],
        "progress" => vec![snapshot.progress.clone()],
        "snapshot-id" => vec![snapshot.snapshot_id.clone()],
        "start-time" => vec![time::iso(snapshot.start_time)],
        "status" => vec![snapshot.state.clone()],
        "storage-tier" => vec![snapshot.storage_tier.clone()],
        "transfer-type" => snapshot.transfer_type.iter().cloned().collect(),
        "volume-id" => vec![snapshot.volume_id.clone()],
        "volume-size" => vec![snapshot.volume_size.to_string()],
        _ => Vec::new(),
    }
}

/// Of all blocks that were ever written, not of the volume. Source: model.
fn full_bytes(snapshot: &Snapshot) -> u64 {
    let mib = snapshot
        .stored_mib
        .unwrap_or_else(|| u64::from(snapshot.volume_size) * 1024);
    mib * 1024 * 1024
}

fn write(xml: &mut Xml, aws: &Aws, ask: Ask<'_>, live: &LiveSnapshot) {
    let snapshot = aws.with_progress(live);
    xml.text("snapshotId", &snapshot.snapshot_id)
        .text("volumeId", &snapshot.volume_id)
        .text("status", &snapshot.state)
        .maybe("statusMessage", snapshot.state_message.as_deref())
        .text("startTime", time::iso(snapshot.start_time))
        .text("progress", &snapshot.progress)
        .text("ownerId", &snapshot.owner_id)
        .number("volumeSize", snapshot.volume_size)
        .text("fullSnapshotSizeInBytes", full_bytes(&snapshot).to_string())
        .text("description", &snapshot.description)
        .flag("encrypted", snapshot.encrypted)
        .maybe("kmsKeyId", snapshot.kms_key_arn.as_deref())
        .text("storageTier", &snapshot.storage_tier)
        .maybe("transferType", snapshot.transfer_type.as_deref());
    if let Some(minutes) = snapshot.completion_duration_minutes {
        xml.number("completionDurationMinutes", minutes);
    }
    if let Some(at) = snapshot.completion_time {
        xml.text("completionTime", time::iso(at));
    }
    let tags = shown_tags(aws, ask, live);
    let tags = tags
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    tags::write(xml, &tags.collect());
}
