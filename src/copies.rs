//! Copies of source snapshots as DescribeSnapshots shows them, and which of equal copies counts.

use std::collections::BTreeSet;

use crate::ids::SnapshotId;

/// One copy of one source snapshot, as DescribeSnapshots shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The copy's ID.
    pub id: SnapshotId,
    /// The ID of the run that started the copy, from its tag.
    pub run: String,
    /// When the copy was started (Unix seconds).
    pub started: i64,
    /// The status of the copy.
    pub status: CopyStatus,
}

/// The status of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyStatus {
    /// The copy is complete.
    Completed,
    /// The copy is under way; progress in percent.
    Pending(u8),
    /// The copy ended in error; the text is AWS's StateMessage.
    Error(String),
}

/// All copies of each source snapshot in one target, in the order of the source's snapshots.
pub type Copies = Vec<Vec<Copy>>;

/// This run's copies in the source account, for each stage those of each source snapshot; `None`
/// for a snapshot that can be shared itself.
pub type Staged = Vec<Option<Vec<Copy>>>;

/// Returns the copy that counts: a completed one before a pending one, then the earlier, then the
/// smaller ID.
pub fn best(copies: &[Copy]) -> Option<&Copy> {
    best_of(copies, |_| true)
}

/// Returns the copy that counts for each source snapshot of a target.
///
/// All are of one run if one run has a copy of each. EC2 protects only the root snapshot of an
/// image from deletion. A run that undoes its own copies then notices an image that stands on them.
pub fn chosen(copies: &Copies) -> Vec<Option<&Copy>> {
    let runs: BTreeSet<&str> = copies.iter().flatten().map(|c| c.run.as_str()).collect();
    let whole = runs.into_iter().filter_map(|run| {
        let of_run = copies.iter().map(|seen| best_of(seen, |c| c.run == run));
        of_run.collect::<Option<Vec<&Copy>>>()
    });
    let rank = |set: &Vec<&Copy>| {
        let worst = set.iter().filter_map(|copy| rank(copy)).max();
        let started = set.iter().map(|copy| copy.started).max();
        (worst, started, set.first().map(|copy| copy.id.clone()))
    };
    match whole.min_by_key(rank) {
        Some(set) => set.into_iter().map(Some).collect(),
        None => copies.iter().map(|seen| best(seen)).collect(),
    }
}

fn best_of(copies: &[Copy], counts: impl Fn(&Copy) -> bool) -> Option<&Copy> {
    let counting = copies.iter().filter(|copy| counts(copy));
    let live = counting.filter_map(|copy| Some((rank(copy)?, copy)));
    live.min_by_key(|(rank, copy)| (*rank, copy.started, &copy.id))
        .map(|(_, copy)| copy)
}

fn rank(copy: &Copy) -> Option<u8> {
    match copy.status {
        CopyStatus::Completed => Some(0),
        CopyStatus::Pending(_) => Some(1),
        CopyStatus::Error(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(n: u8, run: &str, status: CopyStatus) -> Copy {
        Copy {
            id: SnapshotId::parse(&format!("snap-{n:017x}")).unwrap(),
            run: run.to_owned(),
            started: i64::from(n),
            status,
        }
    }

    fn numbers(copies: &Copies) -> Vec<Option<u8>> {
        let number = |copy: &Copy| u8::try_from(copy.started).unwrap();
        chosen(copies)
            .into_iter()
            .map(|copy| copy.map(number))
            .collect()
    }

    #[test]
    fn copies_of_one_run_win_if_it_has_all_of_them() {
        let copies = vec![
            vec![
                copy(1, "one", CopyStatus::Completed),
                copy(2, "two", CopyStatus::Completed),
            ],
            vec![
                copy(4, "one", CopyStatus::Completed),
                copy(3, "two", CopyStatus::Completed),
            ],
        ];
        assert_eq!(numbers(&copies), [Some(2), Some(3)]);
        let pending = vec![
            vec![
                copy(1, "one", CopyStatus::Completed),
                copy(2, "two", CopyStatus::Completed),
            ],
            vec![
                copy(3, "one", CopyStatus::Pending(9)),
                copy(4, "two", CopyStatus::Completed),
            ],
        ];
        assert_eq!(
            numbers(&pending),
            [Some(2), Some(4)],
            "completed before pending"
        );
    }

    #[test]
    fn copies_of_two_runs_mix_if_neither_has_all_of_them() {
        let copies = vec![
            vec![copy(1, "one", CopyStatus::Pending(9))],
            vec![
                copy(2, "one", CopyStatus::Error("x".to_owned())),
                copy(3, "two", CopyStatus::Completed),
            ],
            Vec::new(),
        ];
        assert_eq!(numbers(&copies), [Some(1), Some(3), None]);
    }
}
