//! Fast snapshot restore of an image's snapshots.

use aws_sdk_ec2::types::{EnableFastSnapshotRestoreErrorItem, Filter};

use super::Publishing;
use crate::aws::refusal;
use crate::command::Rest;
use crate::error::Refusal;
use crate::ids::{SnapshotId, ZoneId};

/// Enables fast restore in the requested zones of the target's Region.
pub(super) async fn enable(publishing: &mut Publishing<'_>) -> Result<(), Rest> {
    let (visit, wish) = (publishing.visit, publishing.wish);
    let region = &visit.target.region;
    let zones = wish.fast_snapshot_restore.iter();
    let zones: Vec<&ZoneId> = zones.filter(|zone| zone.is_in(region)).collect();
    if wish.fast_snapshot_restore.is_empty() {
        return Ok(());
    }
    if zones.is_empty() {
        let note = format!("no zone of FastSnapshotRestore is in {region}");
        publishing.notes.push(note);
        return Ok(());
    }
    let snapshots = publishing.snapshots();
    let enabled = enabled(publishing, &snapshots).await?;
    for zone in zones {
        let is_on = |id: &&SnapshotId| {
            let on = (id.to_string(), zone.to_string());
            enabled.contains(&on)
        };
        let missing: Vec<&SnapshotId> = snapshots.iter().filter(|id| !is_on(id)).collect();
        if missing.is_empty() {
            continue;
        }
        let ids = missing.iter().map(ToString::to_string).collect();
        let asked = visit.ec2.enable_fast_snapshot_restores();
        let asked = asked.set_source_snapshot_ids(Some(ids));
        let answer = asked.availability_zone_ids(zone.as_str()).send().await;
        let named = || format!("{} in {zone}", missing[0]);
        let answer =
            answer.map_err(|e| refusal("EnableFastSnapshotRestores", &visit.at, named(), &e))?;
        if let Some(refused) = answer.unsuccessful().first() {
            return Err(Rest::Refused(refusal_of(publishing, refused)));
        }
    }
    Ok(())
}

/// Returns the snapshots and zones in which fast restore is on, or about to be.
async fn enabled(
    publishing: &Publishing<'_>,
    snapshots: &[SnapshotId],
) -> Result<Vec<(String, String)>, Refusal> {
    let visit = publishing.visit;
    let ids = snapshots.iter().map(ToString::to_string).collect();
    let filter = Filter::builder().name("snapshot-id").set_values(Some(ids));
    let asked = visit.ec2.describe_fast_snapshot_restores();
    let mut pages = asked.filters(filter.build()).into_paginator().send();
    let mut enabled = Vec::new();
    while let Some(page) = pages.next().await {
        let named = publishing.id;
        let page =
            page.map_err(|e| refusal("DescribeFastSnapshotRestores", &visit.at, named, &e))?;
        for item in page.fast_snapshot_restores() {
            let state = item.state().map_or("", |state| state.as_str());
            if matches!(state, "enabling" | "optimizing" | "enabled") {
                let id = item.snapshot_id().unwrap_or_default().to_owned();
                let zone = item.availability_zone_id().unwrap_or_default().to_owned();
                enabled.push((id, zone));
            }
        }
    }
    Ok(enabled)
}

/// Returns the refusal in an answer that EC2 calls a success.
fn refusal_of(publishing: &Publishing<'_>, item: &EnableFastSnapshotRestoreErrorItem) -> Refusal {
    let mut errors = item.fast_snapshot_restore_state_errors().iter();
    let error = errors.find_map(|one| one.error());
    let code = error
        .and_then(|error| error.code())
        .unwrap_or("Unsuccessful");
    let message = error.and_then(|error| error.message());
    let (operation, at) = ("EnableFastSnapshotRestores", &publishing.visit.at);
    let id = item.snapshot_id().unwrap_or_default();
    Refusal::ours(operation, at, id, code, message.unwrap_or("no message"))
}
