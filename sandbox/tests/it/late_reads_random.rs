//! Late reads whose delays are drawn from a seed, one for each change and kind.

use std::collections::BTreeSet;
use std::time::Duration;

use amiferry_sandbox::world::LateReads;

use crate::late_reads::{accounts, all, assert_effect, change, make, seen, stage, unmake};
use crate::worlds::{Bench, UNSHARED, world};

/// Returns the changes that reads show in each second after making them, and after undoing them.
async fn history(seed: u64, longest: Duration) -> Vec<BTreeSet<&'static str>> {
    let bench = Bench::of(world().late_reads(LateReads::random(seed, longest)));
    let made = make(&bench).await;
    assert_effect(&bench, &made, true).await;
    let mut history = Vec::new();
    for _ in 0..longest.as_secs() {
        history.push(seen(&bench, &made).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(seen(&bench, &made).await, all(), "seed {seed}");
    unmake(&bench, &made).await;
    assert_effect(&bench, &made, false).await;
    for _ in 0..longest.as_secs() {
        history.push(seen(&bench, &made).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(seen(&bench, &made).await, BTreeSet::new(), "seed {seed}");
    history
}

#[tokio::test(start_paused = true)]
async fn random_delays_follow_from_the_seed_and_differ_between_reads() {
    let longest = Duration::from_mins(1);
    let first = history(7, longest).await;
    assert_eq!(first, history(7, longest).await);
    assert_ne!(first, history(8, longest).await);
    let half = first.len() / 2;
    for read in all() {
        let shows = |half: &[BTreeSet<&str>]| half.iter().map(|seen| seen.contains(read)).collect();
        let (comes, goes): (Vec<bool>, Vec<bool>) = (shows(&first[..half]), shows(&first[half..]));
        assert!(comes.is_sorted(), "{read} comes and goes");
        assert!(goes.is_sorted_by(|a, b| a >= b), "{read} goes and comes");
    }
    let moments: BTreeSet<usize> = all()
        .into_iter()
        .map(|read| first.iter().take_while(|seen| !seen.contains(read)).count())
        .collect();
    assert!(moments.len() > 4, "{moments:?}");
}

#[tokio::test(start_paused = true)]
async fn changes_of_one_resource_show_in_their_order() {
    const CHANGES: u64 = 30;
    let longest = Duration::from_mins(1);
    for seed in 0..8 {
        let bench = Bench::of(world().late_reads(LateReads::random(seed, longest)));
        let (mut stages, mut shared) = (Vec::new(), Vec::new());
        for n in 1..=CHANGES + longest.as_secs() {
            if n <= CHANGES {
                let value = n.to_string();
                let tag = [
                    ("ResourceId.1", UNSHARED),
                    ("Tag.1.Key", "n"),
                    ("Tag.1.Value", &value),
                ];
                change(&bench.producer, "CreateTags", &tag).await;
                let account = format!("{n:012}");
                let open = [
                    ("SnapshotId", UNSHARED),
                    ("CreateVolumePermission.Add.1.UserId", &account),
                ];
                change(&bench.producer, "ModifySnapshotAttribute", &open).await;
            }
            stages.push(stage(&bench).await);
            shared.push(accounts(&bench).await.len() as u64);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(stages.is_sorted(), "seed {seed}: {stages:?}");
        assert!(shared.is_sorted(), "seed {seed}: {shared:?}");
        assert_eq!(stage(&bench).await, Some(CHANGES), "seed {seed}");
        assert_eq!(accounts(&bench).await.len() as u64, CHANGES, "seed {seed}");
        let prompt: Vec<_> = (1..=CHANGES).map(Some).collect();
        assert_ne!(
            stages[..prompt.len()],
            prompt,
            "seed {seed}: nothing was late"
        );
    }
}
