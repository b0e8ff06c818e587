//! Copies of source snapshots as DescribeSnapshots shows them, and which of equal copies counts.

use crate::ids::SnapshotId;

/// One copy of one source snapshot, as DescribeSnapshots tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    pub id: SnapshotId,
    /// Unix seconds.
    pub started: i64,
    pub status: CopyStatus,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyStatus {
    Completed,
    /// Percent.
    Pending(u8),
    /// With AWS's StateMessage.
    Error(String),
}

/// All copies of each source snapshot in one target, in the source's order.
pub type Copies = Vec<Vec<Copy>>;

/// This run's copies of each source snapshot in the source account; `None` where it can be shared as it is.
pub type Staged = Vec<Option<Vec<Copy>>>;

/// The copy that counts: a completed one before a pending one, then the earlier, then the smaller ID.
pub fn best(copies: &[Copy]) -> Option<&Copy> {
    let rank = |copy: &Copy| match copy.status {
        CopyStatus::Completed => Some(0),
        CopyStatus::Pending(_) => Some(1),
        CopyStatus::Error(_) => None,
    };
    let live = copies.iter().filter_map(|copy| Some((rank(copy)?, copy)));
    live.min_by_key(|(rank, copy)| (*rank, copy.started, &copy.id))
        .map(|(_, copy)| copy)
}
