//! The delays with which reads show a change that is already in effect.

use std::time::Duration;

use serde::Deserialize;

use super::WorldError;
use super::file::seconds;

/// The delay with which each kind of read shows a change that is already in effect.
///
/// Each duration is exact. With a `seed`, each is a bound: every change draws a delay of its own
/// for each kind, up to that kind's duration. Changes of one kind to one resource show in their
/// order.
///
/// New and deleted resources show no earlier than `World::read_delay`, `tag_delay` and `gone_delay`
/// say. The visibility of another account's resources is an effect of permissions, and prompt.
///
/// Source: EC2 API reference and KMS guide, eventual consistency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateReads {
    /// The seed of random delays; without one, each delay is exact.
    pub seed: Option<u64>,
    /// Tags, in DescribeImages and DescribeSnapshots and in their tag filters.
    pub tags: Duration,
    /// createVolumePermission in DescribeSnapshotAttribute, launchPermission in
    /// DescribeImageAttribute.
    pub permissions: Duration,
    /// New and revoked grants, in ListGrants.
    pub grants: Duration,
    /// New and deregistered images, in DescribeImages by ID.
    pub images: Duration,
    /// New and deleted snapshots, in DescribeSnapshots by ID.
    pub snapshots: Duration,
    /// New and deleted images and snapshots, in DescribeImages and DescribeSnapshots without
    /// IDs.
    pub listings: Duration,
}

impl LateReads {
    /// Draws each delay from the seed, up to the same longest one for every kind.
    pub fn random(seed: u64, longest: Duration) -> Self {
        Self {
            seed: Some(seed),
            tags: longest,
            permissions: longest,
            grants: longest,
            images: longest,
            snapshots: longest,
            listings: longest,
        }
    }
}

/// `[late_reads]` of a world file.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Table {
    seed: Option<u64>,
    tags_seconds: Option<f64>,
    permissions_seconds: Option<f64>,
    grants_seconds: Option<f64>,
    images_seconds: Option<f64>,
    snapshots_seconds: Option<f64>,
    listings_seconds: Option<f64>,
}

pub(super) fn read(table: &Table) -> Result<LateReads, WorldError> {
    let mut late = LateReads {
        seed: table.seed,
        ..LateReads::default()
    };
    for (key, given, place) in [
        ("tags", table.tags_seconds, &mut late.tags),
        (
            "permissions",
            table.permissions_seconds,
            &mut late.permissions,
        ),
        ("grants", table.grants_seconds, &mut late.grants),
        ("images", table.images_seconds, &mut late.images),
        ("snapshots", table.snapshots_seconds, &mut late.snapshots),
        ("listings", table.listings_seconds, &mut late.listings),
    ] {
        seconds(&format!("late_reads.{key}_seconds"), given, place)?;
    }
    Ok(late)
}
